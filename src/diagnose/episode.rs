//! Failures that are one event: an upstream that dies takes requests in flight, queued ones and new ones with it, each
//! with a signature of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::incident::{Episode, Incident};
use crate::event::Endpoint;

/// Finds the episodes and notes them at their incidents, which are in the order of time and numbered from 1.
#[must_use]
pub fn find(incidents: &mut [Incident]) -> Vec<Episode> {
    let mut by_upstream: BTreeMap<Endpoint, Vec<usize>> = BTreeMap::new();
    for (index, incident) in incidents.iter().enumerate() {
        let failing = incident.attempts.iter().rev().find(|attempt| attempt.outcome == Some(incident.cause));
        if let Some(upstream) = failing.and_then(|attempt| attempt.upstream) {
            by_upstream.entry(upstream).or_default().push(index);
        }
    }
    let mut episodes = Vec::new();
    for (upstream, indices) in by_upstream {
        let mut run: Vec<usize> = Vec::new();
        for index in indices {
            let near = run.last().is_some_and(|last| span_between(incidents, *last, index) <= NEAR);
            if !near {
                close(&run, upstream, incidents, &mut episodes);
                run.clear();
            }
            run.push(index);
        }
        close(&run, upstream, incidents, &mut episodes);
    }
    episodes.sort_by_key(|episode: &Episode| (episode.first, episode.upstream));
    for (index, episode) in episodes.iter_mut().enumerate() {
        episode.id = u32::try_from(index + 1).unwrap_or(u32::MAX);
        for incident in incidents.iter_mut().filter(|incident| episode.incidents.contains(&incident.id)) {
            incident.episode = Some(episode.id);
        }
    }
    episodes
}

fn span_between(incidents: &[Incident], one: usize, other: usize) -> Duration {
    match (incidents.get(one), incidents.get(other)) {
        (Some(one), Some(other)) => other.time.since(one.time),
        _ => Duration::MAX,
    }
}

fn close(run: &[usize], upstream: Endpoint, incidents: &[Incident], episodes: &mut Vec<Episode>) {
    let members: Vec<&Incident> = run.iter().filter_map(|index| incidents.get(*index)).collect();
    let died = members.iter().position(|incident| is_cut_off(incident.cause)).is_some_and(|first| {
        let at_once = members.iter().skip(first).take_while(|incident| is_cut_off(incident.cause)).count();
        let (cut_off, after) = members.get(first..).unwrap_or_default().split_at(at_once);
        let refused = after.iter().any(|incident| incident.cause == Cause::ConnectRefused);
        let ends =
            cut_off.first().zip(cut_off.last()).map_or(Duration::MAX, |(first, last)| last.time.since(first.time));
        // Failures that are no part of it mean that it lives, or that they are a coincidence.
        first == 0
            && after.iter().all(|incident| is_unreachable(incident.cause))
            && (refused && ends <= AT_ONCE || cut_off.len() >= TOGETHER.0 && ends <= TOGETHER.1)
    });
    let down = members.len() >= 2 && members.iter().all(|incident| is_unreachable(incident.cause));
    let (kind, what) = if died {
        (
            "backend_died",
            "its connections ended at one moment: the process died or was restarted; the packets cannot tell which",
        )
    } else if down {
        ("backend_down", "no connection to it succeeded")
    } else {
        return;
    };
    let (Some(first), Some(last)) = (members.first(), members.last()) else { return };
    episodes.push(Episode {
        id: 0,
        kind,
        upstream: Some(upstream),
        first: first.time,
        last: last.time,
        incidents: members.iter().map(|incident| incident.id).collect(),
        summary: format!("{upstream}: {what} ({} incidents)", members.len()),
    });
}

fn is_cut_off(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ClosedWithoutResponse
            | Cause::ResetWithoutResponse
            | Cause::TruncatedHeader
            | Cause::TruncatedBody
            | Cause::ConnectReset
    )
}

fn is_unreachable(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ConnectRefused | Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited
    )
}

/// Incidents of one upstream that are further apart than this are not one event.
const NEAR: Duration = Duration::from_secs(2);
/// What ends within this span ends at one moment.
const AT_ONCE: Duration = Duration::from_millis(50);
/// That so many connections are cut off within such a span is no coincidence, even if none is refused afterwards.
const TOGETHER: (usize, Duration) = (3, Duration::from_millis(5));
