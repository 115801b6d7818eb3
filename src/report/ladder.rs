//! One incident in full: the verdict, both legs frame by frame, what proves it, and where to look further.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use crate::diagnose::incident::{Actor, Attempt, Grade, Incident, Leg};
use crate::event::{Frame, Moment};
use crate::report::style::Paint;
use crate::report::{Report, Style, drawing, lines, text, units};

/// Writes one incident in full. Frames are numbered as Wireshark does.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    verdict(incident, style, out)?;
    attempts(incident, style, out)?;
    drawing::write(incident, style, out)?;
    reasons(incident, style, out)?;
    writeln!(out)?;
    text::paragraph("SAME CAUSE", &[same_cause(report, incident)], style, out)?;
    wireshark(report, incident, style, out)?;
    log_lines(incident, style, out)?;
    bullets("WHAT TO DO", incident.advice.iter().map(|advice| style.prose(advice)), style, out)
}

fn verdict(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let detail = incident.detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    let (number, outcome, request) =
        (format!("INCIDENT {}", incident.id), lines::outcome(incident), lines::request(incident, style));
    let what = format!("{}{detail}, {}", incident.cause.id(), incident.grade.id());
    let when = format!("{} {} UTC", units::date(incident.time), units::time_of_day(incident.time));
    let columns = |parts: &[&String]| parts.iter().map(|part| part.chars().count() + 3).sum::<usize>() - 3;
    let exceeds = |parts: &[&String]| style.columns.is_some_and(|limit| columns(parts) > limit);
    let gap = |breaks: bool| if breaks { "\n" } else { "   " };
    let broken = exceeds(&[&number, &outcome, &request, &what, &when]);
    let gaps = [gap(broken), gap(broken && exceeds(&[&what, &when]))];
    writeln!(
        out,
        "{}   {} {request}{}{}{detail}, {}{}{when}",
        style.paint(Paint::Bold, &number),
        style.paint(lines::kind_paint(incident.kind), &outcome),
        gaps[0],
        style.paint(Paint::Bold, incident.cause.id()),
        style.paint(lines::grade_paint(incident.grade), incident.grade.id()),
        gaps[1],
    )?;
    let sure = match (incident.grade, incident.candidates.is_empty()) {
        (Grade::Proven, _) => "proven: the packets exclude every other cause",
        (Grade::Consistent, false) => "consistent: everything seen fits, and so do the candidates below",
        (Grade::Consistent, true) => "consistent: everything seen fits; what is not known below keeps it from proof",
        (Grade::Undetermined, false) => "undetermined: the packets cannot tell; the candidates are below",
        (Grade::Undetermined, true) => "undetermined: the packets cannot tell",
    };
    let summary = style.prose(&incident.summary);
    units::wrap(&summary, style.width).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    writeln!(out, "{sure}")?;
    if let Some(leg) = &incident.downstream {
        let early = leg.response.is_some() && leg.request.is_some();
        let wait = match leg.wait {
            Some(wait) => format!(" after {}", units::span(wait)),
            None if early => ", and no end of the request was seen before it".to_owned(),
            None => String::new(),
        };
        let host = leg.host.as_deref().map(|host| format!("host {}; ", style.cut_host(host))).unwrap_or_default();
        let by = leg.responder.as_deref().map(|by| format!("; answered by {by}")).unwrap_or_default();
        let outcome = incident.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let facts = format!("{host}exchange {} of its connection; {outcome}{wait}{by}", leg.exchange);
        for line in units::wrap(&style.prose(&facts), style.width) {
            writeln!(out, "{}", style.paint(Paint::Dim, &line))?;
        }
    }
    Ok(())
}

fn attempts(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if incident.attempts.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let rows = incident
        .attempts
        .iter()
        .enumerate()
        .map(|(index, attempt)| format!("{}  {}", index + 1, tried(attempt, style)));
    match style.columns {
        None => listed("ATTEMPTS", rows, style, out),
        Some(limit) => {
            listed("ATTEMPTS", rows.flat_map(|row| hanging(&row, limit.saturating_sub(text::LABEL))), style, out)
        }
    }
}

/// A numbered row, wrapped, with what follows the first line further in.
fn hanging(row: &str, width: usize) -> Vec<String> {
    let Some((number, rest)) = row.split_once("  ") else { return vec![row.to_owned()] };
    let indent = number.chars().count() + 2;
    let lines = units::wrap(rest, width.saturating_sub(indent));
    let number = |index: usize| if index == 0 { format!("{number}  ") } else { " ".repeat(indent) };
    lines.iter().enumerate().map(|(index, line)| format!("{}{line}", number(index))).collect()
}

fn tried(attempt: &Attempt, style: &Style) -> String {
    let connection = match (attempt.reused, attempt.idle) {
        (true, Some(idle)) => format!("reused after {} idle", units::span(idle)),
        (true, None) => "reused".to_owned(),
        (false, _) if attempt.exchange == 0 => "no request sent".to_owned(),
        (false, _) => "new connection".to_owned(),
    };
    let outcome = match (attempt.outcome, attempt.status) {
        (Some(cause), Some(status)) => format!("{cause}, {} (it sent {status})", attempt.grade.id()),
        (Some(cause), None) => format!("{cause}, {}", attempt.grade.id()),
        (None, Some(status)) => format!("served: {status}"),
        (None, None) => "no failure seen".to_owned(),
    };
    let hop = if attempt.hop > 0 {
        format!("; {} behind the gateway", units::count(attempt.hop.into(), "hop"))
    } else {
        String::new()
    };
    let (gateway, pairing) = (attempt.gateway, attempt.pairing.id());
    let connection = match (&attempt.name, attempt.resolver) {
        (Some(name), Some(resolver)) => format!("asked {resolver} for {}", style.prose(name)),
        _ => connection,
    };
    let there = attempt.destination().map_or_else(|| "-".to_owned(), |there| style.prose(&there));
    format!("{gateway} -> {there}  {connection}; {outcome}; pairing {pairing}{hop}")
}

/// A fact, and the frames that show it.
pub(super) struct Reason<'a> {
    pub(super) frames: Vec<Frame>,
    pub(super) leg: Leg,
    from: Actor,
    what: &'a str,
}

/// The evidence; a fact that follows itself in further frames is one.
pub(super) fn reasons_of(incident: &Incident) -> Vec<Reason<'_>> {
    let mut reasons: Vec<Reason<'_>> = Vec::new();
    for one in &incident.evidence {
        let frame = one.moment.frame;
        match reasons.last_mut() {
            Some(last) if (last.leg, last.from, last.what) == (one.leg, one.from, &*one.what) => {
                last.frames.push(frame)
            }
            _ => reasons.push(Reason { frames: vec![frame], leg: one.leg, from: one.from, what: &one.what }),
        }
    }
    reasons
}

fn reasons(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let evidence = reasons_of(incident);
    let evidence = evidence.iter().enumerate().map(|(index, one)| {
        let frames = units::join(one.frames.iter().map(|frame| format!("#{}", style.frame(*frame))), ", ");
        format!("{}. {frames} {}: {}", index + 1, one.from.id(), style.prose(one.what))
    });
    bullets("WHY", evidence, style, out)?;
    let ruled_out = incident.ruled_out.iter().map(|one| {
        let frame = one.frame.map(|frame| format!(" (#{})", style.frame(frame))).unwrap_or_default();
        format!("{}: {}{frame}", one.cause, style.prose(&one.because))
    });
    bullets("RULED OUT", ruled_out, style, out)?;
    let candidates = incident.candidates.iter().map(|one| {
        let cause = one.cause.map(|cause| format!("{cause}: ")).unwrap_or_default();
        format!("{cause}{}", style.prose(&one.what))
    });
    bullets("CANDIDATES", candidates, style, out)?;
    bullets("NOT KNOWN", incident.not_known.iter().map(|what| style.prose(what)), style, out)
}

fn same_cause(report: &Report, incident: &Incident) -> String {
    let same: Vec<u32> = report.incidents.iter().filter(|one| one.cause == incident.cause).map(|one| one.id).collect();
    let others: Vec<&u32> = same.iter().filter(|id| **id != incident.id).collect();
    let more = if others.len() > 10 { " …" } else { "" };
    let also = match others.as_slice() {
        [] => String::new(),
        _ => format!(" (also {}{more})", units::join(others.iter().take(10), ", ")),
    };
    let listed = units::count(report.incidents.len() as u64, "incident");
    let episode = incident.episode.map(|id| format!("; part of episode {id}")).unwrap_or_default();
    format!("{} of {listed}{also}{episode}", units::thousands(same.len() as u64))
}

/// Display filters, ready to paste: the connections, and the frames that tell the story.
fn wireshark(report: &Report, incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut files: BTreeMap<u16, (BTreeSet<u64>, BTreeSet<u64>)> = BTreeMap::new();
    let mut stream = |frame: Frame, stream: u64| files.entry(frame.input()).or_default().0.insert(stream);
    let leg = incident.downstream.as_ref();
    if let Some((leg, moment)) = leg.and_then(|leg| Some((leg, leg.request.or(leg.response)?))) {
        stream(moment.frame, leg.stream);
    }
    for attempt in &incident.attempts {
        if let Some(number) = attempt.stream {
            stream(attempt.first.frame, number);
        }
    }
    let ends = leg.into_iter().flat_map(|leg| [leg.request, leg.response]);
    let requests = incident.attempts.iter().map(|attempt| attempt.request);
    let story = ends.chain(requests).flatten().chain(incident.evidence.iter().map(|one| one.moment));
    for Moment { frame, .. } in story {
        files.entry(frame.input()).or_default().1.insert(frame.number());
    }
    for (file, (streams, frames)) in files {
        let name = report.inputs.get(usize::from(file)).map(|input| input.name.as_str()).unwrap_or_default();
        let name = if style.several_inputs { format!("{file}: {}", style.prose(name)) } else { String::new() };
        let streams = units::join(streams.iter().map(|stream| format!("tcp.stream == {stream}")), " || ");
        let frames = units::join(&frames, ", ");
        let frames = if frames.is_empty() { frames } else { format!("frame.number in {{{frames}}}") };
        let rows = [name, streams, frames].into_iter().filter(|row| !row.is_empty());
        listed("IN WIRESHARK", rows, style, out)?;
    }
    Ok(())
}

/// What to search for in the gateway's own log: the product that was recognised, or else all of them.
fn log_lines(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let known = &incident.log_lines;
    let Some(product) = incident.product else {
        let rows = known.iter().map(|(product, line)| format!("{}: {}", product.id(), style.prose(line)));
        return bullets("GATEWAY LOG", rows, style, out);
    };
    if known.is_empty() {
        return Ok(());
    }
    let own = known.iter().find(|(other, _)| *other == product).map(|(_, line)| style.prose(line));
    let others = known.len() - usize::from(own.is_some());
    let own = own.unwrap_or_else(|| "what it logs of this is not known".to_owned());
    let others = (others > 0).then(|| format!("{}: --format json", units::count(others as u64, "other product")));
    let own = format!("{} (this gateway): {own}", product.id());
    bullets("GATEWAY LOG", [own].into_iter().chain(others), style, out)
}

/// A label and items, each on lines of its own: wrapped sentences.
fn bullets(label: &str, items: impl Iterator<Item = String>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let items: Vec<String> = items.collect();
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    text::paragraph(label, &items, style, out)
}

/// A label and rows that must not be wrapped: they are to be copied, or aligned.
fn listed(label: &str, rows: impl Iterator<Item = String>, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut label = label;
    for row in rows {
        writeln!(out, "{}{row}", style.paint(Paint::Bold, &format!("{label:<width$}", width = text::LABEL)))?;
        label = "";
    }
    Ok(())
}
