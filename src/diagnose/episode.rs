//! Failures that are one event: an upstream that dies takes requests in flight, queued ones and new ones with it, each
//! with a signature of its own; a path that is gone takes every upstream behind it; a rollout one upstream after the other.
//!
//! What fails twice by chance is no event: nothing may have been served in between where an upstream is said to be away, and
//! where nothing tells what happened it takes three failures.

mod outage;
pub mod unlisted;
mod wave;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::episode::unlisted::Unlisted;
use crate::diagnose::incident::{Episode, Grade, Incident};
use crate::event::{Endpoint, Frame};
use crate::stats::Stats;
use crate::time::Timestamp;

/// Finds the episodes and notes them at their incidents, which are in the order of time and numbered from 1.
#[must_use]
pub fn find(incidents: &mut [Incident], unlisted: &Unlisted, stats: &Stats) -> Vec<Episode> {
    let mut by_upstream: BTreeMap<Endpoint, Vec<&Incident>> = BTreeMap::new();
    for incident in incidents.iter() {
        if let Some(upstream) = upstream_of(incident) {
            by_upstream.entry(upstream).or_default().push(incident);
        }
    }
    by_upstream.values_mut().for_each(|members| members.sort_by_key(|incident| failed_at(incident)));
    let mut episodes = outage::of_paths(incidents, stats);
    episodes.extend(outage::of_resolvers(incidents, stats));
    let taken: BTreeSet<u32> = episodes.iter().flat_map(|episode| episode.incidents.iter().copied()).collect();
    for (upstream, members) in by_upstream {
        let free: Vec<&Incident> = members.into_iter().filter(|incident| !taken.contains(&incident.id)).collect();
        for run in runs(&free, upstream, stats) {
            episodes.extend(of_upstream(run, upstream, unlisted, stats).or_else(|| saturated(run, upstream, stats)));
        }
    }
    follow(&mut episodes, incidents);
    episodes.retain(|episode| episode.incidents.len() >= FEWEST || episode.kind != DOWN);
    let mut episodes = wave::merge(episodes);
    episodes.sort_by_key(|episode: &Episode| (episode.first, episode.upstream));
    for (index, episode) in episodes.iter_mut().enumerate() {
        episode.id = u32::try_from(index + 1).unwrap_or(u32::MAX);
        episode.incidents.sort_unstable();
        for incident in incidents.iter_mut().filter(|incident| episode.incidents.contains(&incident.id)) {
            incident.episode = Some(episode.id);
        }
    }
    episodes
}

/// Where the attempt failed that an incident is about.
pub(super) fn upstream_of(incident: &Incident) -> Option<Endpoint> {
    let failing = incident.attempts.iter().rev().find(|attempt| attempt.outcome == Some(incident.cause));
    failing.and_then(|attempt| attempt.upstream)
}

/// When its attempt failed: what a retry hid was over for the client only later.
pub(super) fn failed_at(incident: &Incident) -> Timestamp {
    let failing = incident.attempts.iter().rev().find(|attempt| attempt.outcome == Some(incident.cause));
    failing.map_or(incident.time, |attempt| attempt.last.at.min(incident.time))
}

/// Incidents of one upstream that may be one event: near to each other, or both of an upstream that could not be reached and
/// had served nothing in between.
fn runs<'a, 'i>(members: &'a [&'i Incident], upstream: Endpoint, stats: &Stats) -> Vec<&'a [&'i Incident]> {
    let served = |from, to| stats.upstreams.get(&upstream).is_some_and(|known| known.served.between(from, to));
    let joined = |one: &&Incident, next: &&Incident| {
        let (ended, began) = (failed_at(one), failed_at(next));
        let apart = began.since(ended);
        apart <= NEAR
            || apart <= AWAY
                && is_unreachable(next.cause)
                && (is_unreachable(one.cause) || is_cut_off(one.cause))
                && !served(ended, began)
    };
    members.chunk_by(joined).collect()
}

/// An upstream that died, was restarted or was away.
fn of_upstream(members: &[&Incident], upstream: Endpoint, unlisted: &Unlisted, stats: &Stats) -> Option<Episode> {
    let served = stats.upstreams.get(&upstream).map(|known| &known.served);
    let (first, last) = (failed_at(members.first()?), failed_at(members.last()?));
    // Where nothing was served since, what is not listed goes on with it.
    let goes_on = unlisted.unreachable_until(upstream).filter(|until| {
        let is_away = members.last().is_some_and(|incident| is_unreachable(incident.cause));
        is_away && *until > last && served.is_none_or(|served| !served.between(last, *until))
    });
    let last = goes_on.unwrap_or(last);
    let at_once = members.iter().take_while(|incident| is_cut_off(incident.cause)).count();
    let (cut_off, after) = members.split_at(at_once);
    let refused: Vec<Timestamp> = members
        .iter()
        .filter(|incident| incident.cause == Cause::ConnectRefused)
        .map(|incident| failed_at(incident))
        .chain(goes_on.filter(|_| members.last().is_some_and(|incident| incident.cause == Cause::ConnectRefused)))
        .collect();
    // Failures that are no part of it mean that it lives, or that they are a coincidence.
    if !after.iter().all(|incident| is_unreachable(incident.cause)) {
        return None;
    }
    let ends = cut_off
        .first()
        .zip(cut_off.last())
        .map_or(Duration::MAX, |(one, other)| failed_at(other).since(failed_at(one)));
    let died = at_once > 0 && (!refused.is_empty() && ends <= AT_ONCE || at_once >= TOGETHER.0 && ends <= TOGETHER.1);
    let down = at_once == 0 && members.len() >= 2;
    let again = served.and_then(|served| served.after(last)).filter(|again| again.since(last) <= AWAY);
    let before = served.is_some_and(|served| served.before(first));
    let again = again.filter(|_| before);
    let was_away = down && served.is_none_or(|served| !served.between(first, last));
    let back = again.map_or(String::new(), |again| format!(", served again at {}", time_of_day(again)));
    let away = match (refused.first(), refused.last()) {
        (Some(from), Some(to)) if from == to => format!(", refused connections at {}", time_of_day(*from)),
        (Some(from), Some(to)) => {
            format!(", refused connections from {} to {}", time_of_day(*from), time_of_day(*to))
        }
        _ => String::new(),
    };
    let (kind, what) = if died && again.is_some() && !refused.is_empty() {
        let what = "the process was restarted, or died and was started again";
        (RESTARTED, format!("its connections ended at one moment{away}{back}: {what}"))
    } else if died {
        let what = "the process died or was restarted; the packets cannot tell which";
        (DIED, format!("its connections ended at one moment{away}{back}: {what}"))
    } else if was_away {
        (DOWN, format!("no connection to it succeeded{away}{back}"))
    } else {
        return None;
    };
    let mut episode = made(kind, members, &[upstream], &what);
    episode.served_again = again;
    episode.last = episode.last.max(last);
    Some(episode)
}

/// An upstream that had more to do than it could: it left connections waiting, or all kinds of waiting at one time.
fn saturated(members: &[&Incident], upstream: Endpoint, stats: &Stats) -> Option<Episode> {
    let waited: Vec<&Incident> = members.iter().copied().filter(|incident| is_overload(incident.cause)).collect();
    let kinds: BTreeSet<Cause> = waited.iter().map(|incident| incident.cause).collect();
    let queue = kinds.contains(&Cause::AcceptQueueFull);
    let is_one = waited.len() >= FEWEST && waited.len() * 2 > members.len() && (queue || kinds.len() >= 2);
    is_one.then(|| {
        let what = if queue {
            "its accept queue was full: it had more to do than it could"
        } else {
            "it neither answered in time nor took connections in time: it had more to do than it could, or stood still"
        };
        let last = waited.last().map_or(Timestamp::default(), |incident| incident.time);
        let again = stats.upstreams.get(&upstream).and_then(|known| known.served.after(last));
        let back = again.map_or(String::new(), |again| format!(", and served again at {}", time_of_day(again)));
        Episode { served_again: again, ..made("saturation", &waited, &[upstream], &format!("{what}{back}")) }
    })
}

/// Requests for which the gateway made no attempt because of what an episode's failures had shown it are part of it.
fn follow(episodes: &mut [Episode], incidents: &[Incident]) {
    let frames =
        |incident: &Incident| -> HashSet<Frame> { incident.evidence.iter().map(|proof| proof.moment.frame).collect() };
    let followers: Vec<(&Incident, HashSet<Frame>)> = incidents
        .iter()
        .filter(|incident| incident.cause == Cause::NoUpstreamAttempt && incident.grade == Grade::Consistent)
        .map(|incident| (incident, frames(incident)))
        .collect();
    if followers.is_empty() {
        return;
    }
    for episode in episodes {
        let members = incidents.iter().filter(|incident| episode.incidents.contains(&incident.id));
        let shown: HashSet<Frame> = members.flat_map(frames).collect();
        for (incident, seen) in &followers {
            if !seen.is_disjoint(&shown) && !episode.incidents.contains(&incident.id) {
                episode.incidents.push(incident.id);
                episode.last = episode.last.max(failed_at(incident));
            }
        }
    }
}

fn made(kind: &'static str, members: &[&Incident], upstreams: &[Endpoint], what: &str) -> Episode {
    let times = members.iter().map(|incident| failed_at(incident));
    let named = match upstreams {
        [only] => format!("{only}: "),
        _ => String::new(),
    };
    Episode {
        id: 0,
        kind,
        upstream: upstreams.first().copied().filter(|_| upstreams.len() == 1),
        upstreams: upstreams.to_vec(),
        first: times.clone().min().unwrap_or_default(),
        last: times.max().unwrap_or_default(),
        served_again: None,
        incidents: members.iter().map(|incident| incident.id).collect(),
        summary: format!("{named}{what}"),
    }
}

/// `13:35:35.216`.
fn time_of_day(at: Timestamp) -> String {
    let printed = at.to_string();
    let time = printed.split_once('T').map_or(printed.as_str(), |(_, time)| time);
    time.get(..12).unwrap_or(time).to_owned()
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

pub(super) fn is_unreachable(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ConnectRefused | Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited
    )
}

fn is_overload(cause: Cause) -> bool {
    matches!(cause, Cause::AcceptQueueFull | Cause::ConnectTimeout | Cause::ResponseTimeout | Cause::UpstreamNotReading)
}

/// An upstream's process died, or was restarted.
pub const DIED: &str = "backend_died";
/// It was restarted: it served before and after.
pub const RESTARTED: &str = "backend_restarted";
/// Nothing could be reached there.
pub const DOWN: &str = "backend_down";
/// Incidents of one upstream that are further apart than this are not one event.
const NEAR: Duration = Duration::from_secs(2);
/// For so long an upstream may be away in one event, if it serves nothing meanwhile.
const AWAY: Duration = Duration::from_secs(60);
/// Fewer failures than this may be a coincidence.
const FEWEST: usize = 3;
/// What ends within this span ends at one moment.
const AT_ONCE: Duration = Duration::from_millis(50);
/// That so many connections are cut off within such a span is no coincidence, even if none is refused afterwards.
const TOGETHER: (usize, Duration) = (3, Duration::from_millis(5));
