//! Requests that a gateway makes on its own account: what comes at even intervals, from a gateway whose clients are all
//! visible, is a health probe.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::correlate::Case;
use crate::correlate::served::Leg;
use crate::diagnose::cause::Cause;
use crate::diagnose::incident::{Candidate, Grade, Incident};
use crate::event::{Endpoint, Request};
use crate::mark::mark;
use crate::stats::Taken;
use crate::time::Timestamp;

/// Whose request, to whom, and a mark of method and target.
type Key = (IpAddr, Endpoint, u64);

/// Requests of gateways for which no client's request is in the capture, although this gateway's clients are.
#[derive(Debug, Default)]
pub(super) struct LoneRequests {
    kinds: BTreeMap<Key, Alike>,
    /// Instants remembered, over all kinds.
    remembered: usize,
    held: Vec<(Key, Incident)>,
    /// Incidents for which there was no room.
    beyond: u64,
}

/// Requests that are alike.
#[derive(Debug, Default)]
struct Alike {
    /// Whether the gateway is one whose clients are in the capture.
    known: bool,
    times: Vec<Timestamp>,
    taken: Vec<Taken>,
    sent: u64,
    failed: BTreeMap<Cause, u64>,
    /// Whether they are probes, once no more instants are remembered.
    settled: Option<bool>,
}

impl Alike {
    fn is_probe(&self) -> bool {
        self.known && self.settled.unwrap_or_else(|| is_regular(&self.times))
    }
}

impl LoneRequests {
    /// Notes a request of a gateway, whose clients are in the capture if it is `known`, and how it failed. `false` if there
    /// is no room for it, so that it is to be counted as any other.
    pub(super) fn note(&mut self, sent: &Sent, known: bool, taken: Taken, failed: Option<Cause>) -> bool {
        let Sent { key, at } = *sent;
        if self.kinds.len() >= MOST_KINDS && !self.kinds.contains_key(&key) {
            return false;
        }
        let alike = self.kinds.entry(key).or_default();
        alike.known |= known;
        if alike.times.len() < MOST_TIMES && self.remembered < MOST_REMEMBERED {
            self.remembered += 1;
            alike.times.push(at);
            alike.taken.push(taken);
        } else if !*alike.settled.get_or_insert_with(|| is_regular(&alike.times)) {
            return false;
        }
        alike.sent += 1;
        if let Some(cause) = failed {
            *alike.failed.entry(cause).or_default() += 1;
        }
        true
    }

    /// Holds an incident back until it is known whether its request is a probe.
    pub(super) fn hold(&mut self, case: &Case<'_>, incident: Incident) {
        if self.held.len() < MOST_HELD {
            self.held.push((Sent::of(case).key, incident));
        } else {
            self.beyond += 1;
        }
    }

    /// Incidents that have been held back for as long as it takes to recognise most probes, and whose requests still come at
    /// no even intervals. Those of probes are forgotten: a gateway may find an upstream dead for days.
    pub(super) fn overdue(&mut self, now: Timestamp) -> Vec<Incident> {
        let Self { kinds, held, .. } = self;
        let is_due = |(key, incident): &mut (Key, Incident)| {
            let held = now.since(incident.time) >= LONGEST_HOLD;
            held || kinds.get(key).is_none_or(|alike| !alike.known)
        };
        let is_probe = |key: &Key| kinds.get(key).is_some_and(Alike::is_probe);
        held.extract_if(.., is_due).filter(|(key, _)| !is_probe(key)).map(|(_, incident)| incident).collect()
    }

    /// The incidents that are none of probes, how many there was no room for, and the requests that were noted.
    pub(super) fn sift(self) -> Sifted {
        let Self { kinds, held, beyond, .. } = self;
        let mut incidents = Vec::new();
        for (key, mut incident) in held {
            let alike = kinds.get(&key);
            if alike.is_some_and(Alike::is_probe) {
                continue;
            }
            if alike.is_some_and(|alike| is_regular(&alike.times)) {
                // Without the clients' leg a client that asks at even intervals looks the same.
                incident.grade = incident.grade.min(Grade::Consistent);
                let what = String::from("a health probe of the gateway: the request comes at even intervals");
                incident.candidates.push(Candidate { cause: None, what });
            }
            incidents.push(incident);
        }
        let asked = kinds.into_iter().map(|((_, upstream, _), alike)| {
            let probe = alike.is_probe();
            Asked { upstream, probe, sent: alike.sent, failed: alike.failed, taken: alike.taken }
        });
        Sifted { incidents, asked: asked.collect(), beyond }
    }
}

/// What remains once it is known which requests were probes.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    pub(super) incidents: Vec<Incident>,
    pub(super) asked: Vec<Asked>,
    pub(super) beyond: u64,
}

/// Requests that are alike, sent to an upstream.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) upstream: Endpoint,
    pub(super) probe: bool,
    pub(super) sent: u64,
    pub(super) failed: BTreeMap<Cause, u64>,
    /// What each adds to the numbers, if it is no probe.
    pub(super) taken: Vec<Taken>,
}

/// A request that was sent.
pub(super) struct Sent {
    key: Key,
    at: Timestamp,
}

impl Sent {
    /// That of a case.
    pub(super) fn of(case: &Case<'_>) -> Self {
        let exchange = case.root.exchange;
        let key = (exchange.client.ip(), exchange.server, kind(exchange.request.as_ref()));
        Self { key, at: exchange.started.at }
    }

    /// That of an exchange that went as it should.
    pub(super) fn by(leg: &Leg) -> Self {
        Self { key: (leg.client, leg.server, kind(leg.request.as_ref())), at: leg.started }
    }
}

fn kind(request: Option<&Request>) -> u64 {
    request.map_or(0, |request| mark(format!("{} {}", request.method(), request.target()).as_bytes()))
}

/// Whether instants follow each other at even intervals.
fn is_regular(times: &[Timestamp]) -> bool {
    let mut times = times.to_vec();
    times.sort_unstable();
    let mut spans: Vec<u128> = times
        .windows(2)
        .filter_map(|pair| match pair {
            [one, other] => Some(other.since(*one).as_millis()),
            _ => None,
        })
        .collect();
    spans.sort_unstable();
    let Some(middle) = spans.get(spans.len() / 2).copied() else { return false };
    // A probe that fails may be repeated sooner, and one that is slow comes later: most intervals count.
    let even = spans.iter().filter(|span| **span * 2 >= middle && **span <= middle * 2).count();
    spans.len() >= 2 && middle >= SHORTEST_INTERVAL_MS && even * 3 >= spans.len() * 2
}

/// Probes are not sent more often than this.
const SHORTEST_INTERVAL_MS: u128 = 100;
/// Kinds of requests, and instants of each, that are remembered.
const MOST_KINDS: usize = 512;
const MOST_TIMES: usize = 4096;
/// Instants of all kinds together: with what each request took, 80 octets each.
const MOST_REMEMBERED: usize = 65_536;
/// While live, incidents are held back for this long at most: three probes at the usual two seconds fall into it.
const LONGEST_HOLD: Duration = Duration::from_secs(7);
/// Incidents that are held back.
const MOST_HELD: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_intervals_make_a_probe() {
        let at = |millis: &[i64]| millis.iter().map(|ms| Timestamp::from_nanos(ms * 1_000_000)).collect::<Vec<_>>();
        assert!(is_regular(&at(&[0, 1000, 2003, 2998, 4001])));
        assert!(is_regular(&at(&[0, 500, 1000])));
        assert!(!is_regular(&at(&[0, 1000])));
        assert!(!is_regular(&at(&[0, 20, 5000, 5100, 9000, 9001])));
        assert!(!is_regular(&at(&[0, 1, 2, 3])));
    }
}
