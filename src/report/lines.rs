//! One line for each incident: columns that can be read down, and cut by `awk` (the last one is `$NF`).

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::diagnose::cause::Cause;
use crate::diagnose::incident::{Attempt, Grade, Incident, Kind};
use crate::report::style::Paint;
use crate::report::table::{self, Align, Cell, Column};
use crate::report::{Report, Style, escape, units};

/// Up to this many incidents are all printed.
const ALL: usize = 40;

/// Beyond this many the causes and what to do stand before them, so that they are on the first screen.
pub(super) const FEW: usize = 12;

/// Beyond it, of every cause and kind that many from the beginning, and that many from the end.
const FIRST: usize = 5;
const LAST: usize = 2;

/// Fewer than that many in a row are not left out.
const WORTH: usize = 3;

/// A longer request is cut: `--show` has all of it. On a narrow terminal it may come down to the lesser number.
const REQUEST_COLUMNS: usize = 32;
const LEAST_REQUEST: usize = 14;
/// A longer reason is not cut, but shifts what follows it.
const WHY_COLUMNS: usize = 72;
const FRAMES: usize = 4;

/// Widths for lines that are printed before the next incident is known.
const LIVE: &[Column] = &[
    Column { width: 4, ..Column::right("ID") },
    Column { width: 12, ..Column::left("TIME") },
    Column { width: 6, ..Column::left("OUT") },
    Column { width: 24, ..Column::left("REQUEST") },
    Column { width: 19, ..Column::left("UPSTREAM") },
    Column { width: 23, ..Column::left("CAUSE") },
    Column { width: 12, ..Column::left("GRADE") },
    Column { width: 56, ..Column::prose("WHY") },
    Column::left("FRAMES"),
];

/// The headings of [`incident_line`].
#[must_use]
pub fn incident_head(style: &Style) -> String {
    table::head(LIVE, style)
}

/// An incident as one line of fixed columns.
#[must_use]
pub fn incident_line(incident: &Incident, style: &Style) -> String {
    table::line(LIVE, &cells(incident, "", style), style)
}

/// An incident whose verdict later packets changed: the same line with `~` before the id.
#[must_use]
pub fn amended_line(incident: &Incident, style: &Style) -> String {
    table::line(LIVE, &cells(incident, "~", style), style)
}

/// The attempt that the verdict is about: the last one that failed so, else the last one that failed, else the last.
pub(super) fn blamed(incident: &Incident) -> Option<&Attempt> {
    let attempts = || incident.attempts.iter().rev();
    let same = attempts().find(|attempt| attempt.outcome == Some(incident.cause));
    same.or_else(|| attempts().find(|attempt| attempt.outcome.is_some())).or_else(|| attempts().next())
}

/// The incidents in the order of time. Where there are too many, like ones are left out, and counted where they stood.
pub(super) fn list(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let shown = shown(&report.incidents);
    let rows: Vec<[Cell; 9]> = report.incidents.iter().map(|incident| cells(incident, "", style)).collect();
    let kept: Vec<&[Cell]> =
        rows.iter().zip(&shown).filter_map(|(row, shown)| shown.then_some(row.as_slice())).collect();
    let layout = Layout::of(&kept, style.columns);
    layout.head(style).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    // One day is named where the report says what was looked at; of several each is named where it begins.
    let [first, last] =
        [report.incidents.first(), report.incidents.last()].map(|end| end.map(|one| units::date(one.time)));
    let mut date = if first == last { first } else { None };
    let mut left_out = BTreeMap::new();
    for ((incident, row), shown) in report.incidents.iter().zip(&rows).zip(shown) {
        if !shown {
            *left_out.entry(incident.cause).or_insert(0) += 1;
            continue;
        }
        skipped(&mut left_out, style, out)?;
        let today = Some(units::date(incident.time));
        if today != date {
            writeln!(out, "{}", style.paint(Paint::Bold, &format!("      {}", today.as_deref().unwrap_or_default())))?;
            date = today;
        }
        layout.row(row, style).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    skipped(&mut left_out, style, out)?;
    legend(&report.incidents, style, out)
}

/// Where the cells of an incident stand.
struct Layout {
    /// The columns of its first line, by their place in [`LIVE`].
    columns: Vec<(usize, Column)>,
    /// Columns of the line, where the rest of the cells stands below as a sentence.
    below: Option<usize>,
}

impl Layout {
    /// One line if the terminal is wide enough for it. Else the reason is wrapped, stands below with its frames, and on
    /// narrow terminals the upstream with them.
    fn of(rows: &[&[Cell]], limit: Option<usize>) -> Self {
        let columns: Vec<Column> = LIVE.iter().map(|column| Column { width: 0, ..*column }).collect();
        let mut columns: Vec<(usize, Column)> =
            table::fit(&columns, rows.iter().copied()).into_iter().enumerate().collect();
        let total =
            |columns: &[(usize, Column)]| table::total(&columns.iter().map(|(_, column)| *column).collect::<Vec<_>>());
        let mut whole = Self { columns: columns.clone(), below: None };
        let why = whole.columns.get_mut(WHY).map(|(_, column)| column);
        let Some(limit) = limit else {
            why.into_iter().for_each(|why| why.width = why.width.min(WHY_COLUMNS));
            return whole;
        };
        let excess = total(&columns).saturating_sub(limit);
        if let Some(why) = why.filter(|why| excess == 0 || why.width >= excess + table::LEAST_PROSE) {
            why.width -= excess;
            return whole;
        }
        columns.truncate(WHY);
        let spare = columns.get(REQUEST).map_or(0, |(_, request)| request.width.saturating_sub(LEAST_REQUEST));
        if total(&columns) > limit + spare {
            columns.remove(UPSTREAM);
        }
        let excess = total(&columns).saturating_sub(limit);
        if let Some((_, request)) = columns.get_mut(REQUEST) {
            request.width = request.width.saturating_sub(excess).max(LEAST_REQUEST.min(request.width));
        }
        Self { columns, below: Some(limit) }
    }

    fn head(&self, style: &Style) -> Vec<String> {
        let head: Vec<Cell> = LIVE.iter().map(|column| Cell::painted(column.head, Paint::Bold)).collect();
        self.row(&head, style)
    }

    fn row(&self, cells: &[Cell], style: &Style) -> Vec<String> {
        let columns: Vec<Column> = self.columns.iter().map(|(_, column)| *column).collect();
        let first: Vec<Cell> = self.columns.iter().filter_map(|(index, _)| cells.get(*index).cloned()).collect();
        let Some(limit) = self.below else { return self.lines(&columns, &first, style) };
        let first = first.into_iter().zip(&columns).map(|(cell, column)| match column.align {
            Align::Left => Cell { text: units::fit(&cell.text, column.width), ..cell },
            Align::Right | Align::Prose => cell,
        });
        let mut lines = vec![table::line(&columns, &first.collect::<Vec<_>>(), style)];
        let text = |index: usize| cells.get(index).map_or("", |cell| cell.text.as_str());
        let indent = columns.first().map_or(0, |id| id.width) + 2;
        let upstream = if self.columns.iter().any(|(index, _)| *index == UPSTREAM) || text(UPSTREAM) == "-" {
            String::new()
        } else {
            format!("{}: ", text(UPSTREAM))
        };
        let sentence = format!("{upstream}{} [{}]", text(WHY), text(FRAMES_CELL));
        let paint = cells.get(WHY).map_or(Paint::Plain, |cell| cell.paint);
        let wrapped = units::wrap(&sentence, limit.saturating_sub(indent));
        lines.extend(wrapped.iter().map(|line| format!("{:indent$}{}", "", style.paint(paint, line))));
        lines
    }

    /// Where nothing limits the line, a long reason is not wrapped.
    fn lines(&self, columns: &[Column], cells: &[Cell], style: &Style) -> Vec<String> {
        if style.columns.is_none() {
            vec![table::line(columns, cells, style)]
        } else {
            table::lines(columns, cells, style)
        }
    }
}

/// Places of cells in [`LIVE`].
const REQUEST: usize = 3;
const UPSTREAM: usize = 4;
const WHY: usize = 7;
const FRAMES_CELL: usize = 8;

/// Which incidents are printed: the first and the last few of each cause and kind.
fn shown(incidents: &[Incident]) -> Vec<bool> {
    if incidents.len() <= ALL {
        return vec![true; incidents.len()];
    }
    let mut totals: BTreeMap<(Cause, Kind), usize> = BTreeMap::new();
    for incident in incidents {
        *totals.entry((incident.cause, incident.kind)).or_default() += 1;
    }
    let mut seen: BTreeMap<(Cause, Kind), usize> = BTreeMap::new();
    let shown = incidents.iter().map(|incident| {
        let kind = (incident.cause, incident.kind);
        let nth = seen.entry(kind).or_default();
        *nth += 1;
        *nth <= FIRST || *nth + LAST > totals.get(&kind).copied().unwrap_or_default()
    });
    let mut shown: Vec<bool> = shown.collect();
    // To say that one is left out takes as much room as the one.
    for run in shown.chunk_by_mut(|one, next| one == next).filter(|run| run.len() < WORTH) {
        run.fill(true);
    }
    shown
}

fn skipped(left_out: &mut BTreeMap<Cause, u64>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if left_out.is_empty() {
        return Ok(());
    }
    let causes = units::join(left_out.iter().map(|(cause, n)| format!("{n} more {cause}")), ", ");
    left_out.clear();
    let line = format!("… {causes} (all: --format ndjson)");
    let lines = style.columns.map_or_else(|| vec![line.clone()], |limit| units::wrap(&line, limit.saturating_sub(6)));
    lines.iter().try_for_each(|line| writeln!(out, "      {}", style.paint(Paint::Dim, line)))
}

/// What the marks in the column OUT mean, as far as they occur.
fn legend(incidents: &[Incident], style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let has = |kind, answered: bool| incidents.iter().any(|one| one.kind == kind && one.status.is_some() == answered);
    let marks = [
        (has(Kind::Masked, true) || has(Kind::Masked, false), "* a retry served the client"),
        (has(Kind::GatewayError, false), "closed: no answer was sent"),
        (has(Kind::BrokenSuccess, true), "! broken after this status"),
        (has(Kind::ClientAbort, false), "gone: the client left first"),
        (has(Kind::UpstreamFailure, false), "?: the client's leg is not visible"),
    ];
    let mut line = String::from("OUT:");
    for mark in marks.iter().filter_map(|(occurs, mark)| occurs.then_some(*mark)) {
        let blanks = if line.ends_with(':') { " " } else { "   " };
        let columns = line.chars().count() + blanks.len() + mark.chars().count();
        if style.columns.is_some_and(|limit| columns > limit) {
            writeln!(out, "{}", style.paint(Paint::Dim, &line))?;
            line = format!("     {mark}");
            continue;
        }
        line = format!("{line}{blanks}{mark}");
    }
    if line == "OUT:" { Ok(()) } else { writeln!(out, "{}", style.paint(Paint::Dim, &line)) }
}

fn cells(incident: &Incident, mark: &str, style: &Style) -> [Cell; 9] {
    let upstream = blamed(incident).and_then(Attempt::destination).map(|upstream| style.prose(&upstream));
    let upstream = upstream.unwrap_or_else(|| "-".to_owned());
    [
        format!("{mark}{}", incident.id).into(),
        units::time_of_day(incident.time).into(),
        Cell::painted(outcome(incident), kind_paint(incident.kind)),
        units::fit(&request(incident, style), REQUEST_COLUMNS).into(),
        upstream.into(),
        Cell::painted(incident.cause.id(), Paint::Bold),
        Cell::painted(incident.grade.id(), grade_paint(incident.grade)),
        style.prose(&incident.why).into(),
        frames(incident, style).into(),
    ]
}

/// What reached the client: a status, `200*` where a retry served it, `closed` where nothing was sent.
pub(super) fn outcome(incident: &Incident) -> String {
    let status = incident.status.map(|status| status.to_string());
    match incident.kind {
        Kind::GatewayError => status.unwrap_or_else(|| "closed".to_owned()),
        Kind::Masked => format!("{}*", status.unwrap_or_default()),
        Kind::UpstreamFailure => "?".to_owned(),
        Kind::BrokenSuccess => format!("{}!", status.unwrap_or_default()),
        Kind::ClientAbort => status.unwrap_or_else(|| "gone".to_owned()),
    }
}

/// Method and target, `-` for what was not seen: always two words. Where the client's leg is not visible, those that the
/// gateway sent.
pub(super) fn request(incident: &Incident, style: &Style) -> String {
    let (method, target) = match (&incident.downstream, blamed(incident)) {
        (Some(leg), _) => (leg.method.as_deref(), leg.target.as_deref()),
        (None, Some(attempt)) => (attempt.method.as_deref(), attempt.target.as_deref()),
        (None, None) => (None, None),
    };
    let target = target.map_or_else(|| "-".to_owned(), |target| style.target(target));
    format!("{} {target}", escape::text(method.unwrap_or("-")))
}

pub(super) const fn kind_paint(kind: Kind) -> Paint {
    match kind {
        Kind::GatewayError | Kind::UpstreamFailure => Paint::Red,
        Kind::Masked | Kind::BrokenSuccess => Paint::Yellow,
        Kind::ClientAbort => Paint::Dim,
    }
}

pub(super) const fn grade_paint(grade: Grade) -> Paint {
    match grade {
        Grade::Proven => Paint::Green,
        Grade::Consistent => Paint::Plain,
        Grade::Undetermined => Paint::Yellow,
    }
}

/// `25,26>28`: what proves it, and the frame in which it reached the client.
fn frames(incident: &Incident, style: &Style) -> String {
    let response = incident.downstream.as_ref().and_then(|leg| leg.response).map(|moment| moment.frame);
    let mut moments: Vec<_> = incident.evidence.iter().map(|one| one.moment).collect();
    moments.sort_unstable();
    let mut proof: Vec<_> = moments.iter().map(|moment| moment.frame).collect();
    proof.dedup();
    proof.retain(|frame| Some(*frame) != response);
    let more = if proof.len() > FRAMES { ",…" } else { "" };
    let proof = units::join(proof.iter().take(FRAMES).map(|frame| style.frame(*frame)), ",");
    let response = response.map_or_else(String::new, |frame| format!(">{}", style.frame(frame)));
    let frames = format!("{proof}{more}{response}");
    if frames.is_empty() { "-".to_owned() } else { frames }
}
