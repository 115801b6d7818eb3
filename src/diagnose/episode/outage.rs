//! What takes several upstreams at once: a path that is gone, a name server that does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::diagnose::cause::{Cause, Phase};
use crate::diagnose::episode::{FEWEST, NEAR, failed_at, made, time_of_day, upstream_of};
use crate::diagnose::incident::{Episode, Incident};
use crate::event::Endpoint;
use crate::stats::Stats;
use crate::time::Timestamp;

/// Upstreams on several hosts that fell silent together, while nothing on these hosts served anything.
pub(super) fn of_paths(incidents: &[Incident], stats: &Stats) -> Vec<Episode> {
    let mut silent: Vec<(&Incident, Endpoint)> = incidents
        .iter()
        .filter(|incident| is_silence(incident.cause))
        .filter_map(|incident| Some((incident, upstream_of(incident)?)))
        .collect();
    let mut episodes = Vec::new();
    silent.sort_by_key(|(incident, _)| failed_at(incident));
    for run in silent.chunk_by(|(one, _), (next, _)| failed_at(next).since(failed_at(one)) <= NEAR) {
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { continue };
        // Each began with an attempt that stood unanswered for a while.
        let last = failed_at(last);
        let from = run.iter().map(|(incident, _)| began(incident)).min().unwrap_or(first.time);
        let gone = |host: IpAddr| {
            let mut own = stats.upstreams.iter().filter(|(endpoint, _)| endpoint.ip() == host).peekable();
            own.peek().is_some() && own.all(|(_, known)| !known.served.between(from, last))
        };
        let dark: Vec<(&Incident, Endpoint)> =
            run.iter().copied().filter(|(_, upstream)| gone(upstream.ip())).collect();
        let hosts: BTreeSet<IpAddr> = dark.iter().map(|(_, upstream)| upstream.ip()).collect();
        let lived = |host: &IpAddr| {
            let mut own = stats.upstreams.iter().filter(|(endpoint, _)| endpoint.ip() == *host);
            own.any(|(_, known)| known.served.before(from) || known.served.after(last).is_some())
        };
        if dark.len() < FEWEST || hosts.len() < 2 || !hosts.iter().all(lived) {
            continue;
        }
        let upstreams: BTreeSet<Endpoint> = dark.iter().map(|(_, upstream)| *upstream).collect();
        let upstreams: Vec<Endpoint> = upstreams.into_iter().collect();
        let members: Vec<&Incident> = dark.iter().map(|(incident, _)| *incident).collect();
        let what = format!(
            "{} upstreams on {} hosts fell silent together, from {} to {}: what they share is the path to them",
            upstreams.len(),
            hosts.len(),
            time_of_day(from),
            time_of_day(last)
        );
        episodes.push(made("path_outage", &members, &upstreams, &what));
    }
    episodes
}

/// A name server that answered none of several lookups, or none of them well: more of them in a row than chance brings about.
pub(super) fn of_resolvers(incidents: &[Incident], stats: &Stats) -> Vec<Episode> {
    let lookups: Vec<(&Incident, Endpoint)> = incidents
        .iter()
        .filter(|incident| incident.cause.phase() == Phase::Resolve)
        .filter_map(|incident| Some((incident, incident.attempts.iter().rev().find_map(|attempt| attempt.resolver)?)))
        .collect();
    let mut by_resolver: BTreeMap<Endpoint, Vec<&Incident>> = BTreeMap::new();
    for (incident, resolver) in lookups {
        by_resolver.entry(resolver).or_default().push(incident);
    }
    let well = stats.upstream_resolve.count();
    let mut episodes = Vec::new();
    for (resolver, members) in by_resolver {
        let all = well + members.len() as u64;
        // That there is no such name is an answer as well as any.
        let is_failure = |incident: &Incident| incident.cause != Cause::DnsNxdomain;
        let failures = members.iter().filter(|incident| is_failure(incident)).count() as u64;
        let joined = |one: &&Incident, next: &&Incident| {
            is_failure(one) && is_failure(next) && !stats.resolved.between(one.time, next.time)
        };
        for run in members.chunk_by(joined).filter(|run| run.len() >= FEWEST && run.iter().all(|one| is_failure(one))) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            if !is_no_chance(run.len() as u64, failures, all) {
                continue;
            }
            let again = stats.resolved.after(last.time);
            let back =
                again.map_or(String::new(), |again| format!(", the next one was answered at {}", time_of_day(again)));
            let what = format!(
                "the name server {resolver} answered no lookup well from {} to {}{back}",
                time_of_day(first.time),
                time_of_day(last.time)
            );
            let mut episode = made("resolver_outage", run, &[], &what);
            episode.served_again = again;
            episodes.push(episode);
        }
    }
    episodes
}

/// Whether so many failures in a row are more than chance brings about where lookups fail as often as the others do.
fn is_no_chance(in_a_row: u64, failures: u64, all: u64) -> bool {
    let rate = (failures - in_a_row + 1) as f64 / (all - in_a_row + 2) as f64;
    let places = all as f64;
    places * rate.powi(i32::try_from(in_a_row).unwrap_or(i32::MAX)) < MOST_CHANCE
}

fn began(incident: &Incident) -> Timestamp {
    incident.attempts.iter().map(|attempt| attempt.first.at).min().unwrap_or(incident.time)
}

fn is_silence(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ConnectTimeout
            | Cause::ConnectUnreachable
            | Cause::RequestLost
            | Cause::IdleFlowDropped
            | Cause::ResponseLost
    )
}

/// How likely chance alone may have made up an outage.
const MOST_CHANCE: f64 = 0.01;
