//! Incidents counted by cause: in come incidents, out come the numbers that stand for them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::diagnose::cause::Cause;
use crate::diagnose::incident::{Grade, Incident, Kind};
use crate::event::Endpoint;
use crate::report::lines;
use crate::time::Timestamp;

/// What is counted of each cause. Memory: some 100 octets a cause, and as many for each of its upstreams, of which 512 are
/// counted.
pub type Tallies = BTreeMap<Cause, Tally>;

/// What is counted of a cause.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Failures that clients saw, or most likely did.
    pub failed: u64,
    /// Those that a retry hid.
    pub masked: u64,
    /// Broken after a success status, or given up by the client.
    pub other: u64,
    /// By grade, the surest first.
    pub grades: BTreeMap<Reverse<Grade>, u64>,
    /// By the upstream at fault: its endpoint, or its name where no address was found for it.
    pub upstreams: BTreeMap<(Option<Endpoint>, Option<Box<str>>), u64>,
    /// The time of the earliest.
    pub first: Timestamp,
    /// The time of the latest.
    pub last: Timestamp,
    /// Grade and identifier of the first of the surest that is listed.
    pub example: Option<(Grade, u32)>,
}

/// Counts an incident.
pub fn add(tallies: &mut Tallies, incident: &Incident) {
    let tally = tallies.entry(incident.cause).or_insert_with(|| Tally::new(incident));
    match incident.kind {
        Kind::GatewayError | Kind::UpstreamFailure => tally.failed += 1,
        Kind::Masked => tally.masked += 1,
        Kind::BrokenSuccess | Kind::ClientAbort => tally.other += 1,
    }
    *tally.grades.entry(Reverse(incident.grade)).or_default() += 1;
    if let Some(attempt) = lines::blamed(incident) {
        let upstream = (attempt.upstream, attempt.name.clone());
        if tally.upstreams.len() < MOST_UPSTREAMS || tally.upstreams.contains_key(&upstream) {
            *tally.upstreams.entry(upstream).or_default() += 1;
        }
    }
    tally.first = tally.first.min(incident.time);
    tally.last = tally.last.max(incident.time);
    if tally.example.is_none_or(|(grade, _)| incident.grade > grade) {
        tally.example = Some((incident.grade, incident.id));
    }
}

/// Adds what was counted of incidents that are not listed.
pub(super) fn merge(tallies: &mut Tallies, others: &Tallies) {
    for (cause, other) in others {
        let Some(tally) = tallies.get_mut(cause) else {
            tallies.insert(*cause, Tally { example: None, ..other.clone() });
            continue;
        };
        tally.failed += other.failed;
        tally.masked += other.masked;
        tally.other += other.other;
        other.grades.iter().for_each(|(grade, n)| *tally.grades.entry(*grade).or_default() += n);
        other.upstreams.iter().for_each(|(upstream, n)| *tally.upstreams.entry(upstream.clone()).or_default() += n);
        tally.first = tally.first.min(other.first);
        tally.last = tally.last.max(other.last);
    }
}

impl Tally {
    fn new(incident: &Incident) -> Self {
        Self {
            failed: 0,
            masked: 0,
            other: 0,
            grades: BTreeMap::new(),
            upstreams: BTreeMap::new(),
            first: incident.time,
            last: incident.time,
            example: None,
        }
    }
}

/// Upstreams of a cause that are counted each.
const MOST_UPSTREAMS: usize = 512;
