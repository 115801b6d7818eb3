//! What takes several upstreams at once: a path that is gone, a name server that does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::diagnose::cause::{Cause, Phase};
use crate::diagnose::episode::{AWAY, FEWEST, NEAR, made, time_of_day};
use crate::diagnose::incident::{Episode, Incident};
use crate::event::Endpoint;
use crate::stats::Stats;
use crate::time::Timestamp;

/// An attempt that nothing answered.
#[derive(Clone, Copy)]
struct Silence<'a> {
    incident: &'a Incident,
    upstream: Endpoint,
    /// When it began, when the gateway last sent something for it, and when the gateway gave up on it.
    began: Timestamp,
    last: Timestamp,
    over: Timestamp,
}

/// Upstreams on several hosts that fell silent together, while nothing on these hosts served anything.
pub(super) fn of_paths(incidents: &[Incident], stats: &Stats) -> Vec<Episode> {
    let mut silent: Vec<Silence<'_>> = incidents.iter().flat_map(silences).collect();
    silent.sort_by_key(|one| (one.began, one.upstream));
    let of_host = |host: IpAddr| stats.upstreams.iter().filter(move |(endpoint, _)| endpoint.ip() == host);
    let served = |host, from, until| of_host(host).any(|(_, known)| known.served.between(from, until));
    // Who gives up after a minute, and has one request at a time, meets with an outage once a minute.
    let joined = |one: &Silence<'_>, next: &Silence<'_>| {
        let apart = next.began.since(one.over);
        let dark = |host| !served(host, one.began, next.last);
        apart <= NEAR || apart <= AWAY && dark(one.upstream.ip()) && dark(next.upstream.ip())
    };
    let mut episodes = Vec::new();
    for run in silent.chunk_by(joined) {
        let Some(from) = run.iter().map(|one| one.began).min() else { continue };
        let Some(last) = run.iter().map(|one| one.last).max() else { continue };
        let gone = |host: IpAddr| of_host(host).next().is_some() && !served(host, from, last);
        let dark: Vec<Silence<'_>> = run.iter().copied().filter(|one| gone(one.upstream.ip())).collect();
        let hosts: BTreeSet<IpAddr> = dark.iter().map(|one| one.upstream.ip()).collect();
        let mut members: Vec<&Incident> = dark.iter().map(|one| one.incident).collect();
        members.dedup_by_key(|incident| incident.id);
        let again = |host: IpAddr| of_host(host).filter_map(|(_, known)| known.served.after(last)).min();
        let lived =
            |host: &IpAddr| of_host(*host).any(|(_, known)| known.served.before(from)) || again(*host).is_some();
        if dark.len() < FEWEST || members.len() < 2 || hosts.len() < 2 || !hosts.iter().all(lived) {
            continue;
        }
        let upstreams: BTreeSet<Endpoint> = dark.iter().map(|one| one.upstream).collect();
        let upstreams: Vec<Endpoint> = upstreams.into_iter().collect();
        let again = hosts.iter().filter_map(|host| again(*host)).min();
        let until = dark.iter().map(|one| one.over).max().unwrap_or(last);
        let back = again.map_or(String::new(), |again| format!(", one served again at {}", time_of_day(again)));
        let what = format!(
            "{} upstreams on {} hosts fell silent together, from {} to {}{back}: what they share is the path to them",
            upstreams.len(),
            hosts.len(),
            time_of_day(from),
            time_of_day(until)
        );
        let mut episode = made("path_outage", &members, &upstreams, &what);
        (episode.first, episode.last, episode.served_again) = (from, until, again);
        episodes.push(episode);
    }
    episodes
}

/// The attempts of an incident that nothing answered: of a request that was tried again, each.
fn silences(incident: &Incident) -> impl Iterator<Item = Silence<'_>> {
    let attempts = if is_silence(incident.cause) { incident.attempts.as_slice() } else { &[] };
    attempts.iter().enumerate().filter(|(_, attempt)| attempt.outcome.is_some_and(is_silence)).filter_map(
        move |(index, attempt)| {
            let next = attempts.iter().skip(index + 1).find(|next| next.hop == attempt.hop);
            Some(Silence {
                incident,
                upstream: attempt.upstream?,
                began: attempt.first.at,
                last: attempt.last.at.min(incident.time),
                over: next.map_or(incident.time, |next| next.first.at),
            })
        },
    )
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
