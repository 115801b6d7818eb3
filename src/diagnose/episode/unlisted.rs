//! Incidents beyond the limit, which are counted and not kept: of each what has to be known for what is said of all.

use std::collections::BTreeMap;

use crate::diagnose::cause::Cause;
use crate::diagnose::episode;
use crate::diagnose::incident::{Incident, Kind};
use crate::event::Endpoint;
use crate::time::Timestamp;

/// What is known of them. Memory: some kilobytes.
#[derive(Debug, Default)]
pub struct Unlisted {
    /// Of each cause how many are no client's doing, and how many of these a retry hid.
    counts: BTreeMap<Cause, [usize; 2]>,
    /// When an upstream could not be reached the last time.
    unreachable: BTreeMap<Endpoint, Timestamp>,
}

impl Unlisted {
    /// Takes note of one.
    pub fn note(&mut self, incident: &Incident) {
        if incident.kind == Kind::ClientAbort {
            return;
        }
        let [all, masked] = self.counts.entry(incident.cause).or_default();
        *all += 1;
        *masked += usize::from(incident.kind == Kind::Masked);
        if episode::is_unreachable(incident.cause)
            && let Some(upstream) = episode::upstream_of(incident)
            && (self.unreachable.len() < MOST_UPSTREAMS || self.unreachable.contains_key(&upstream))
        {
            let latest = self.unreachable.entry(upstream).or_default();
            *latest = episode::failed_at(incident).max(*latest);
        }
    }

    /// How many there are of a cause, and how many of these a retry hid.
    #[must_use]
    pub fn count(&self, cause: Cause) -> [usize; 2] {
        self.counts.get(&cause).copied().unwrap_or_default()
    }

    /// When an upstream could not be reached the last time.
    #[must_use]
    pub(super) fn unreachable_until(&self, upstream: Endpoint) -> Option<Timestamp> {
        self.unreachable.get(&upstream).copied()
    }
}

/// Upstreams that are told apart.
const MOST_UPSTREAMS: usize = 512;
