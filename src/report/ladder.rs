//! One incident in full: the verdict, both legs frame by frame, what proves it, and where to look further.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use crate::diagnose::incident::{Actor, Attempt, Grade, Incident, Leg, Step};
use crate::event::{Frame, Moment};
use crate::report::style::Paint;
use crate::report::{Report, Style, lines, text, units};
use crate::time::Timestamp;

/// Columns of a lane between two actors.
const LANE: std::ops::RangeInclusive<usize> = 24..=44;

/// Columns of the frame's number and of the time.
const FRAME: usize = 7;
const TIME: usize = 12;

/// A silence of this length is drawn.
const SILENCE: Duration = Duration::from_millis(250);

/// Rows of a ladder; beyond it the middle is left out, and counted.
const STEPS: usize = 60;

/// Writes one incident in full. Frames are numbered as Wireshark does.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    verdict(incident, style, out)?;
    attempts(incident, style, out)?;
    drawing(incident, style, out)?;
    reasons(incident, style, out)?;
    writeln!(out)?;
    text::paragraph("SAME CAUSE", &[same_cause(report, incident)], style, out)?;
    wireshark(report, incident, style, out)?;
    log_lines(incident, style, out)?;
    bullets("WHAT TO DO", incident.advice.iter().map(|advice| style.prose(advice)), style, out)
}

fn verdict(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let detail = incident.detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    writeln!(
        out,
        "{}   {} {}   {}{detail}, {}   {} {} UTC",
        style.paint(Paint::Bold, &format!("INCIDENT {}", incident.id)),
        style.paint(lines::kind_paint(incident.kind), &lines::outcome(incident)),
        lines::request(incident, style),
        style.paint(Paint::Bold, incident.cause.id()),
        style.paint(lines::grade_paint(incident.grade), incident.grade.id()),
        units::date(incident.time),
        units::time_of_day(incident.time),
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
        let wait = leg.wait.map(|wait| format!(" after {}", units::span(wait))).unwrap_or_default();
        let host = leg.host.as_deref().map(|host| format!("host {}; ", style.cut_host(host))).unwrap_or_default();
        let by = leg.responder.as_deref().map(|by| format!("; answered by {by}")).unwrap_or_default();
        let outcome = incident.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
        let facts = format!("{host}exchange {} of its connection; {outcome}{wait}{by}", leg.exchange);
        writeln!(out, "{}", style.paint(Paint::Dim, &style.prose(&facts)))?;
    }
    Ok(())
}

fn attempts(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if incident.attempts.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let rows =
        incident.attempts.iter().enumerate().map(|(index, attempt)| format!("{}  {}", index + 1, tried(attempt)));
    listed("ATTEMPTS", rows, style, out)
}

fn tried(attempt: &Attempt) -> String {
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
    let (gateway, upstream, pairing) = (attempt.gateway, attempt.upstream, attempt.pairing.id());
    format!("{gateway} -> {upstream}  {connection}; {outcome}; pairing {pairing}{hop}")
}

/// Three lines for client, gateway and upstream, with an arrow for each frame.
fn drawing(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = incident.ladder.first() else { return Ok(()) };
    writeln!(out)?;
    let request = incident.downstream.as_ref().and_then(|leg| leg.request);
    let request = request.or_else(|| lines::blamed(incident).and_then(|attempt| attempt.request));
    let origin = request.unwrap_or(first.moment).at;
    let labels: Vec<String> = incident.ladder.iter().map(|step| style.prose(&step.what)).collect();
    let lane = |leg: Leg| {
        let longest = incident
            .ladder
            .iter()
            .zip(&labels)
            .filter(|(step, _)| step.leg == leg)
            .map(|(_, label)| label.chars().count());
        longest.max().map_or(*LANE.start(), |longest| (longest + 10).clamp(*LANE.start(), *LANE.end()))
    };
    let lanes = [lane(Leg::Downstream), lane(Leg::Upstream)];
    heads(incident, lanes, style, out)?;
    let middle = incident.ladder.len().saturating_sub(STEPS);
    let mut before: Option<Timestamp> = None;
    for (index, (step, label)) in incident.ladder.iter().zip(&labels).enumerate() {
        if middle > 0 && (STEPS / 2..STEPS / 2 + middle).contains(&index) {
            if index == STEPS / 2 {
                let more = format!("… {} between, not drawn", units::count(middle as u64, "frame"));
                writeln!(out, "{}", blank_row(lanes, ':', &more))?;
            }
            before = Some(step.moment.at);
            continue;
        }
        let silence = before.map(|before| step.moment.at.since(before)).filter(|span| *span >= SILENCE);
        if let Some(silence) = silence {
            let passed = format!(". . . {} . . .", units::span(silence));
            writeln!(out, "{}", style.paint(Paint::Dim, &blank_row(lanes, ':', &passed)))?;
        }
        before = Some(step.moment.at);
        let is_last = incident.ladder.get(index + 1).is_none_or(|next| !is_same_packet(step, next));
        let role = role(incident, step, is_last);
        row(step, [label, &role], lanes, origin, style, out)?;
    }
    Ok(())
}

fn heads(
    incident: &Incident,
    [downstream, upstream]: [usize; 2],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let ends = incident.downstream.as_ref();
    let mut pairs: Vec<_> = incident.attempts.iter().map(|attempt| (attempt.gateway, attempt.upstream)).collect();
    pairs.dedup();
    let there = match pairs.as_slice() {
        [] => [String::new(), String::new()],
        [(gateway, upstream)] => [gateway.to_string(), upstream.to_string()],
        [_, ..] => [String::new(), "see ATTEMPTS".to_owned()],
    };
    let client = ends.map(|leg| leg.client.to_string()).unwrap_or_default();
    let gateway = ends.map(|leg| leg.gateway.to_string()).unwrap_or_default();
    let [gateway_there, upstream_end] = there;
    let named = format!(
        "{:>FRAME$}  {:>TIME$}  {:<w$}{:<v$}upstream",
        "frame",
        "seconds",
        "client",
        "gateway",
        w = downstream + 1,
        v = upstream + 1
    );
    writeln!(out, "{}", style.paint(Paint::Bold, &named))?;
    let indent = FRAME + TIME + 4;
    let ends = format!("{:indent$}{client:<w$}{gateway:<v$}{upstream_end}", "", w = downstream + 1, v = upstream + 1);
    writeln!(out, "{}", ends.trim_end())?;
    if gateway_there.is_empty() {
        return Ok(());
    }
    writeln!(out, "{:indent$}{:w$}{gateway_there}", "", "", w = downstream + 1)
}

fn blank_row([downstream, upstream]: [usize; 2], post: char, what: &str) -> String {
    let indent = FRAME + TIME + 4;
    format!("{:indent$}{post}{:downstream$}{post}{what:^upstream$}{post}", "", "")
}

fn row(
    step: &Step,
    [label, role]: [&str; 2],
    [downstream, upstream]: [usize; 2],
    origin: Timestamp,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let frame = format!("#{}", style.frame(step.moment.frame));
    let time = units::offset(step.moment.at, origin);
    let (left, right) = match step.leg {
        Leg::Downstream => (arrow(step, label, downstream), " ".repeat(upstream)),
        Leg::Upstream => (" ".repeat(downstream), arrow(step, label, upstream)),
    };
    let line = format!("{frame:>FRAME$}  {time:>TIME$}  |{left}|{right}|");
    let blanks = if role.is_empty() { "" } else { "  " };
    writeln!(out, "{line}{blanks}{}", style.paint(Paint::Dim, role))
}

/// The numbers under WHY that a frame has, behind the last row of the frame; where there are several attempts, before
/// them the one that it is of. It is told by the frames alone, so where two overlap nothing is said.
fn role(incident: &Incident, step: &Step, is_last: bool) -> String {
    let proves = |reason: &&Reason<'_>| {
        let frames = &reason.frames;
        is_last && reason.leg == step.leg && frames.contains(&step.moment.frame)
    };
    let reasons = reasons_of(incident);
    let numbers = (1..).zip(&reasons).filter(|(_, reason)| proves(reason)).map(|(number, _): (usize, _)| number);
    let numbers = units::join(numbers, ", ");
    let role = if numbers.is_empty() { numbers } else { format!("why {numbers}") };
    let spans = |attempt: &Attempt| (attempt.first.frame..=attempt.last.frame).contains(&step.moment.frame);
    let mut of = (1..).zip(&incident.attempts).filter(|(_, attempt)| spans(attempt));
    match (of.next(), of.next()) {
        (Some((number, _)), None) if step.leg == Leg::Upstream && incident.attempts.len() > 1 => {
            format!("attempt {number}  {role}").trim_end().to_owned()
        }
        _ => role,
    }
}

/// An arrow that fills its lane, away from whoever sent it. What the network says begins in the middle.
fn arrow(step: &Step, label: &str, lane: usize) -> String {
    let label = units::fit(label, lane.saturating_sub(8));
    let shaft = "-".repeat(lane.saturating_sub(label.chars().count() + 6));
    match (step.leg, step.from) {
        (Leg::Downstream, Actor::Client) | (Leg::Upstream, Actor::Gateway) => format!("--- {label} {shaft}>"),
        (Leg::Downstream, Actor::Network) => {
            let shaft = shaft.get(2..).unwrap_or_default();
            format!("  *-- {label} {shaft}>")
        }
        (Leg::Upstream, Actor::Network) => {
            let shaft = shaft.get(2..).unwrap_or_default();
            format!("<{shaft} {label} --*  ")
        }
        _ => format!("<{shaft} {label} ---"),
    }
}

/// A fact, and the frames that show it.
struct Reason<'a> {
    frames: Vec<Frame>,
    leg: Leg,
    from: Actor,
    what: &'a str,
}

/// The evidence; a fact that follows itself in further frames is one.
fn reasons_of(incident: &Incident) -> Vec<Reason<'_>> {
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

fn is_same_packet(one: &Step, other: &Step) -> bool {
    one.moment.frame == other.moment.frame && one.leg == other.leg
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
        stream(attempt.first.frame, attempt.stream);
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
    let recognised = incident.log_lines.iter().any(|(product, _)| Some(*product) == incident.product);
    let wanted = |one: &&(_, &str)| !recognised || Some(one.0) == incident.product;
    let rows = incident.log_lines.iter().filter(wanted).map(|(product, line)| {
        let mark = if recognised { " (this gateway)" } else { "" };
        format!("{}{mark}: {}", product.id(), style.prose(line))
    });
    let others = incident.log_lines.len().saturating_sub(1);
    let others =
        (recognised && others > 0).then(|| format!("{}: --format json", units::count(others as u64, "other product")));
    bullets("GATEWAY LOG", rows.chain(others), style, out)
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
