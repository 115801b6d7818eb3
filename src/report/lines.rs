//! One line for each incident: columns that can be read down, and cut by `awk` (the last one is `$NF`).

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::diagnose::cause::Cause;
use crate::diagnose::incident::{Attempt, Grade, Incident, Kind};
use crate::report::style::Paint;
use crate::report::table::{self, Cell, Column};
use crate::report::{Report, Style, escape, units};

/// Up to this many incidents are all printed.
const ALL: usize = 40;

/// Beyond it, of every cause and kind that many from the beginning, and that many from the end.
const FIRST: usize = 5;
const LAST: usize = 2;

/// Fewer than that many in a row are not left out.
const WORTH: usize = 3;

const REQUEST_COLUMNS: usize = 32;
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
    Column { width: 56, ..Column::left("WHY") },
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
    let kept = rows.iter().zip(&shown).filter_map(|(row, shown)| shown.then_some(row.as_slice()));
    let columns = table::fit(&LIVE.iter().map(|column| Column { width: 0, ..*column }).collect::<Vec<_>>(), kept);
    writeln!(out, "{}", table::head(&columns, style))?;
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
        writeln!(out, "{}", table::line(&columns, row, style))?;
    }
    skipped(&mut left_out, style, out)?;
    legend(&report.incidents, style, out)
}

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
    let line = format!("      … {causes} (all: --format ndjson)");
    writeln!(out, "{}", style.paint(Paint::Dim, &line))
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
    let marks = units::join(marks.iter().filter_map(|(occurs, mark)| occurs.then_some(mark)), "   ");
    if marks.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", style.paint(Paint::Dim, &format!("OUT: {marks}")))
}

fn cells(incident: &Incident, mark: &str, style: &Style) -> [Cell; 9] {
    let upstream = blamed(incident).map_or_else(|| "-".to_owned(), |attempt| attempt.upstream.to_string());
    [
        format!("{mark}{}", incident.id).into(),
        units::time_of_day(incident.time).into(),
        Cell::painted(outcome(incident), kind_paint(incident.kind)),
        units::fit(&request(incident, style), REQUEST_COLUMNS).into(),
        upstream.into(),
        Cell::painted(incident.cause.id(), Paint::Bold),
        Cell::painted(incident.grade.id(), grade_paint(incident.grade)),
        units::fit(&style.prose(&incident.why), WHY_COLUMNS).into(),
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

/// Method and target, `-` for what was not seen: always two words.
pub(super) fn request(incident: &Incident, style: &Style) -> String {
    let leg = incident.downstream.as_ref();
    let method = leg.and_then(|leg| leg.method.as_deref()).unwrap_or("-");
    let target =
        leg.and_then(|leg| leg.target.as_deref()).map_or_else(|| "-".to_owned(), |target| style.target(target));
    format!("{} {target}", escape::text(method))
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
    let mut proof: Vec<_> = incident.evidence.iter().map(|one| one.moment.frame).collect();
    proof.sort_unstable();
    proof.dedup();
    proof.retain(|frame| Some(*frame) != response);
    let more = if proof.len() > FRAMES { ",…" } else { "" };
    let proof = units::join(proof.iter().take(FRAMES).map(|frame| style.frame(*frame)), ",");
    let response = response.map_or_else(String::new, |frame| format!(">{}", style.frame(frame)));
    let frames = format!("{proof}{more}{response}");
    if frames.is_empty() { "-".to_owned() } else { frames }
}
