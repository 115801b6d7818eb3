//! Both legs of an incident side by side, an arrow for each frame.

use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::diagnose::incident::{Actor, Attempt, Incident, Leg, Step};
use crate::report::style::Paint;
use crate::report::{Style, ladder, lines, units};
use crate::time::Timestamp;

/// Three lines for client, gateway and upstream, with an arrow for each frame; a list of frames where a terminal is too
/// narrow for that.
pub(super) fn write(incident: &Incident, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = incident.ladder.first() else { return Ok(()) };
    writeln!(out)?;
    let request = incident.downstream.as_ref().and_then(|leg| leg.request);
    let request = request.or_else(|| lines::blamed(incident).and_then(|attempt| attempt.request));
    let origin = request.unwrap_or(first.moment).at;
    let labels: Vec<String> = incident.ladder.iter().map(|step| style.prose(&step.what)).collect();
    let roles: Vec<String> = incident
        .ladder
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let is_last = incident.ladder.get(index + 1).is_none_or(|next| !is_same_packet(step, next));
            role(incident, step, is_last)
        })
        .collect();
    let ends = ends(incident);
    let lane = |leg: Leg, ends: &[&String]| {
        let labels = incident.ladder.iter().zip(&labels).filter(|(step, _)| step.leg == leg);
        let longest = labels.map(|(_, label)| label.chars().count() + 10);
        let longest = longest.chain(ends.iter().map(|end| end.chars().count() + 1)).max();
        longest.unwrap_or_default().clamp(*LANE.start(), *LANE.end())
    };
    let [client, gateway, gateway_there, upstream] = &ends;
    let lanes = [lane(Leg::Downstream, &[client]), lane(Leg::Upstream, &[gateway, gateway_there])];
    let longest = roles.iter().map(|role| role.chars().count()).max().unwrap_or_default();
    let beside = (BESIDE + longest).max(FRAME + TIME + 6 + upstream.chars().count());
    let lanes = style.columns.map_or(lanes, |limit| narrowed(lanes, limit.saturating_sub(beside)));
    let narrow = style.columns.is_some_and(|_| {
        let cut =
            |(step, label): (&Step, &String)| label.chars().count().min(LONGEST) + SHAFT > lane_of(lanes, step.leg);
        incident.ladder.iter().zip(&labels).any(cut)
    });
    let lanes = (!narrow).then_some(lanes);
    match lanes {
        Some(lanes) => heads(&ends, lanes, style, out)?,
        None => list_heads(&ends, style, out)?,
    }
    let middle = incident.ladder.len().saturating_sub(STEPS);
    let mut before: Option<Timestamp> = None;
    for (index, ((step, label), role)) in incident.ladder.iter().zip(&labels).zip(&roles).enumerate() {
        if middle > 0 && (STEPS / 2..STEPS / 2 + middle).contains(&index) {
            if index == STEPS / 2 {
                let more = format!("… {} between, not drawn", units::count(middle as u64, "frame"));
                writeln!(out, "{}", between(lanes, &more))?;
            }
            before = Some(step.moment.at);
            continue;
        }
        let silence = before.map(|before| step.moment.at.since(before)).filter(|span| *span >= SILENCE);
        if let Some(silence) = silence {
            let passed = format!(". . . {} . . .", units::span(silence));
            writeln!(out, "{}", style.paint(Paint::Dim, &between(lanes, &passed)))?;
        }
        before = Some(step.moment.at);
        match lanes {
            Some(lanes) => row(step, [label, role], lanes, origin, style, out)?,
            None => list_row(step, [label, role], origin, style, out)?,
        }
    }
    Ok(())
}

const fn lane_of([downstream, upstream]: [usize; 2], leg: Leg) -> usize {
    match leg {
        Leg::Downstream => downstream,
        Leg::Upstream => upstream,
    }
}

/// Both lanes in so many columns: the wider one gives way first.
fn narrowed([downstream, upstream]: [usize; 2], limit: usize) -> [usize; 2] {
    let half = limit / 2;
    let [downstream, upstream] = if downstream + upstream <= limit {
        [downstream, upstream]
    } else if downstream < half {
        [downstream, limit - downstream]
    } else if upstream < half {
        [limit - upstream, upstream]
    } else {
        [half, half]
    };
    [downstream.max(LEAST_LANE), upstream.max(LEAST_LANE)]
}

/// The client, the gateway's two ends, and the upstream; empty where there is none, or more than one.
fn ends(incident: &Incident) -> [String; 4] {
    let ends = incident.downstream.as_ref();
    let mut pairs: Vec<_> = incident.attempts.iter().map(|one| (one.gateway, one.upstream.or(one.resolver))).collect();
    pairs.dedup();
    let there = match pairs.as_slice() {
        [] => [String::new(), String::new()],
        [(gateway, upstream)] => [gateway.to_string(), upstream.map(|end| end.to_string()).unwrap_or_default()],
        [_, ..] => [String::new(), "see ATTEMPTS".to_owned()],
    };
    let client = ends.map(|leg| leg.client.to_string()).unwrap_or_default();
    let gateway = ends.map(|leg| leg.gateway.to_string()).unwrap_or_default();
    let [gateway_there, upstream_end] = there;
    [client, gateway, gateway_there, upstream_end]
}

fn heads(
    [client, gateway, gateway_there, upstream_end]: &[String; 4],
    [downstream, upstream]: [usize; 2],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let (client, gateway) = (units::fit(client, downstream), units::fit(gateway, upstream));
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

/// What stands between two frames.
fn between(lanes: Option<[usize; 2]>, what: &str) -> String {
    let indent = FRAME + TIME + 4;
    let Some([downstream, upstream]) = lanes else { return format!("{:indent$}{what}", "") };
    format!("{:indent$}:{:downstream$}:{what:^upstream$}:", "", "")
}

fn list_heads(
    [client, gateway, gateway_there, upstream]: &[String; 4],
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let gateway = if gateway_there.is_empty() { gateway.clone() } else { format!("{gateway} = {gateway_there}") };
    let named = [("client", client), ("gateway", &gateway), ("upstream", upstream)];
    for (name, end) in named.into_iter().filter(|(_, end)| !end.is_empty()) {
        writeln!(out, "{:indent$}{name:<ACTOR$}  {end}", "", indent = FRAME + TIME + 4)?;
    }
    let named = format!("{:>FRAME$}  {:>TIME$}  {:<ACTOR$}    {:<ACTOR$}  what", "frame", "seconds", "from", "to");
    writeln!(out, "{}", style.paint(Paint::Bold, &named))
}

fn list_row(
    step: &Step,
    [label, role]: [&str; 2],
    origin: Timestamp,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let to = match (step.leg, step.from) {
        (Leg::Downstream, Actor::Gateway) => Actor::Client,
        (Leg::Upstream, Actor::Gateway) => Actor::Upstream,
        _ => Actor::Gateway,
    };
    let (frame, time) = (format!("#{}", style.frame(step.moment.frame)), units::offset(step.moment.at, origin));
    let line = format!("{frame:>FRAME$}  {time:>TIME$}  {:<ACTOR$} -> {:<ACTOR$}  ", step.from.id(), to.id());
    let indent = line.chars().count();
    let what = if role.is_empty() { label.to_owned() } else { format!("{label}  ({})", role.replace("  ", ", ")) };
    let wrapped = units::wrap(&what, style.columns.unwrap_or(style.width).saturating_sub(indent).max(LEAST_LANE));
    writeln!(out, "{line}{}", wrapped.join(&format!("\n{:indent$}", "")))
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
    let proves = |reason: &&ladder::Reason<'_>| {
        let frames = &reason.frames;
        is_last && reason.leg == step.leg && frames.contains(&step.moment.frame)
    };
    let reasons = ladder::reasons_of(incident);
    let numbers = (1..).zip(&reasons).filter(|(_, reason)| proves(reason)).map(|(number, _): (usize, _)| number);
    let numbers = units::join(numbers, ", ");
    let role = if numbers.is_empty() { numbers } else { format!("why {numbers}") };
    let spans = |attempt: &Attempt| (attempt.first..=attempt.last).contains(&step.moment);
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
    let label = units::fit(label, lane.saturating_sub(SHAFT));
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

fn is_same_packet(one: &Step, other: &Step) -> bool {
    one.moment.frame == other.moment.frame && one.leg == other.leg
}

/// Columns of a lane between two actors, and how far it may shrink on a narrow terminal.
const LANE: RangeInclusive<usize> = 24..=48;
const LEAST_LANE: usize = 20;

/// What an arrow takes besides its label, and the longest label that it can have.
const SHAFT: usize = 8;
const LONGEST: usize = *LANE.end() - SHAFT;

/// Columns of an actor's name.
const ACTOR: usize = 8;

/// Columns of the frame's number and of the time.
const FRAME: usize = 7;
const TIME: usize = 12;

/// What stands beside the lanes: frame, time, the three posts, the blanks between and before the role.
const BESIDE: usize = FRAME + TIME + 9;

/// A silence of this length is drawn.
const SILENCE: Duration = Duration::from_millis(250);

/// Rows of a ladder; beyond it the middle is left out, and counted.
const STEPS: usize = 60;
