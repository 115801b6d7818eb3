//! What to do: the setting of the recognised product, with the numbers that were measured.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::span;
use crate::diagnose::explain;
use crate::diagnose::incident::{Incident, Kind};
use crate::diagnose::product;
use crate::event::Endpoint;
use crate::stats::{Spans, Stats};

/// Fills in what to do about each incident.
pub fn advise(incidents: &mut [Incident], stats: &Stats) {
    for incident in incidents {
        let upstream = upstream_of(incident);
        let mut advice = Vec::new();
        if let Some(measured) = upstream.and_then(|upstream| measured(incident.cause, upstream, stats)) {
            advice.push(measured);
        }
        if let Some(product) = incident.product
            && let Some(setting) = product::setting(product, incident.cause)
        {
            advice.push(format!("{}: {setting}", product.name()));
        }
        advice.push(explain::explain(incident.cause).todo.to_owned());
        incident.advice = advice;
    }
}

/// The paragraphs that say what to do first, the most frequent cause first.
#[must_use]
pub fn do_first(incidents: &[Incident], stats: &Stats) -> Vec<String> {
    let mut groups: BTreeMap<(Cause, Option<Endpoint>), Vec<&Incident>> = BTreeMap::new();
    for incident in incidents.iter().filter(|incident| incident.kind != Kind::ClientAbort) {
        groups.entry((incident.cause, upstream_of(incident))).or_default().push(incident);
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(key, group)| (std::cmp::Reverse(group.len()), *key));
    groups
        .iter()
        .take(PARAGRAPHS)
        .map(|((cause, upstream), group)| paragraph(*cause, *upstream, group, stats))
        .collect()
}

fn paragraph(cause: Cause, upstream: Option<Endpoint>, group: &[&Incident], stats: &Stats) -> String {
    let masked = group.iter().filter(|incident| incident.kind == Kind::Masked).count();
    let n = group.len();
    let times = if n == 1 { String::from("once") } else { format!("{n} times") };
    let hidden = if masked > 0 { format!(" ({masked} hidden by a retry)") } else { String::new() };
    let at = upstream.map_or(String::new(), |upstream| format!(" at {upstream}"));
    let mut text = format!("{cause}{at}, {times}{hidden}.");
    if let Some(measured) = upstream.and_then(|upstream| measured(cause, upstream, stats)) {
        text.push(' ');
        text.push_str(&measured);
    }
    let idles: Vec<Duration> =
        group.iter().filter_map(|incident| incident.attempts.iter().find(|a| a.outcome == Some(cause))?.idle).collect();
    if matches!(cause, Cause::KeepaliveRace | Cause::StaleReuse | Cause::IdleFlowDropped)
        && let (Some(least), Some(most)) = (idles.iter().min(), idles.iter().max())
    {
        text.push_str(&format!(" The reused connections had been idle for {} to {}.", span(*least), span(*most)));
    }
    let advised = group.iter().find_map(|incident| {
        let product = incident.product?;
        Some(format!(" {}: {}", product.name(), product::setting(product, cause)?))
    });
    text.push_str(&advised.unwrap_or_else(|| format!(" {}", explain::explain(cause).todo)));
    text
}

/// What the capture tells of an upstream's habits that bears on a cause.
fn measured(cause: Cause, upstream: Endpoint, stats: &Stats) -> Option<String> {
    match cause {
        Cause::KeepaliveRace | Cause::StaleReuse => {
            let known = stats.upstreams.get(&upstream);
            let closes = stats.of_server(upstream).and_then(|server| server.idle_close.as_deref());
            let mut text = match closes {
                Some(spans) => format!("{upstream} closes idle connections after {}.", spread(spans)),
                None => String::new(),
            };
            if let Some(announced) = known.and_then(|known| known.announced_timeout) {
                text.push_str(&format!(" It announces Keep-Alive: timeout={}.", announced.as_secs()));
            }
            if let Some(reuse) = known.and_then(|known| known.longest_reuse) {
                text.push_str(&format!(" The gateway reused connections up to {} idle with success.", span(reuse)));
            }
            if text.is_empty() {
                return None;
            }
            text.push_str(" Make the gateway's idle limit clearly shorter than the upstream's.");
            Some(text.trim_start().to_owned())
        }
        Cause::ResponseTimeout => {
            let upstream_stats = stats.upstreams.get(&upstream)?;
            let gave_up = upstream_stats.gave_up.as_deref().filter(|spans| spans.count() > 0)?;
            let usual = upstream_stats.wait.as_deref().filter(|wait| wait.count() > 0).map_or(String::new(), |wait| {
                format!(
                    " Its answers otherwise take {} (median) to {} (99 %).",
                    span(Duration::from_micros(wait.quantile_us(0.5))),
                    span(Duration::from_micros(wait.quantile_us(0.99)))
                )
            });
            Some(format!("The gateway gives up on {upstream} after {}.{usual}", spread(gave_up)))
        }
        _ => None,
    }
}

/// `6.000 s (n=214, 5.990 s to 6.010 s)`.
fn spread(spans: &Spans) -> String {
    let median = span(Duration::from_micros(spans.quantile_us(0.5)));
    match spans.count() {
        1 => format!("{median} (seen once)"),
        n => format!("{median} (n={n}, {} to {})", span(spans.min()), span(spans.max())),
    }
}

fn upstream_of(incident: &Incident) -> Option<Endpoint> {
    let failing = incident.attempts.iter().rev().find(|attempt| attempt.outcome == Some(incident.cause));
    failing.map(|attempt| attempt.upstream)
}

/// Paragraphs at most: what to do first is not a catalogue.
const PARAGRAPHS: usize = 3;
