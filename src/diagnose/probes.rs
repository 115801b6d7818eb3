//! Requests that a gateway makes on its own account: what comes at even intervals, from a gateway whose clients are all
//! visible, is a health probe.

use std::collections::{BTreeMap, BTreeSet};

use crate::correlate::Case;
use crate::diagnose::incident::{Candidate, Grade, Incident};
use crate::event::Endpoint;
use crate::mark::mark;
use crate::time::Timestamp;
use std::net::IpAddr;

/// Whose request, to whom, and a mark of method and target.
type Key = (IpAddr, Endpoint, u64);

/// Requests of gateways for which no client's request is in the capture, although this gateway's clients are.
#[derive(Debug, Default)]
pub(super) struct LoneRequests {
    times: BTreeMap<Key, Vec<Timestamp>>,
    held: Vec<(Key, Incident, bool)>,
    /// Incidents for which there was no room.
    beyond: u64,
}

impl LoneRequests {
    /// Notes a request.
    pub(super) fn note(&mut self, case: &Case<'_>) {
        if self.times.len() < MOST_KINDS || self.times.contains_key(&key(case)) {
            let times = self.times.entry(key(case)).or_default();
            if times.len() < MOST_TIMES {
                times.push(case.root.exchange.started.at);
            }
        }
    }

    /// Holds an incident back until it is known whether its request is a probe. `known` gateways are those whose clients are
    /// in the capture.
    pub(super) fn hold(&mut self, case: &Case<'_>, incident: Incident, known: bool) {
        if self.held.len() < MOST_HELD {
            self.held.push((key(case), incident, known));
        } else {
            self.beyond += 1;
        }
    }

    /// The incidents that are none of probes; how many probes there were, how many failed, and how many incidents there was
    /// no room for.
    pub(super) fn sift(mut self) -> Sifted {
        self.times.retain(|_, times| is_regular(times));
        let Self { times, held, beyond } = self;
        let mut sifted = Sifted { beyond, ..Sifted::default() };
        let mut probed = BTreeSet::new();
        for (key, mut incident, known) in held {
            let regular = times.contains_key(&key);
            if regular && known {
                sifted.failed += 1;
                probed.insert(key);
                continue;
            }
            if regular {
                // Without the clients' leg a client that asks at even intervals looks the same.
                incident.grade = incident.grade.min(Grade::Consistent);
                let what = String::from("a health probe of the gateway: the request comes at even intervals");
                incident.candidates.push(Candidate { cause: None, what });
            }
            sifted.incidents.push(incident);
        }
        sifted.sent = times.iter().filter(|(key, _)| probed.contains(*key)).map(|(_, times)| times.len() as u64).sum();
        sifted
    }
}

/// What remains once it is known which requests were probes.
#[derive(Debug, Default)]
pub(super) struct Sifted {
    pub(super) incidents: Vec<Incident>,
    pub(super) sent: u64,
    pub(super) failed: u64,
    pub(super) beyond: u64,
}

fn key(case: &Case<'_>) -> Key {
    let exchange = case.root.exchange;
    let request = exchange
        .request
        .as_ref()
        .map_or(0, |request| mark(format!("{} {}", request.method(), request.target()).as_bytes()));
    (exchange.client.ip(), exchange.server, request)
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
