//! Exchanges that were served as they should be: nothing is judged of them, and as much is learned from them as from any other.

use crate::correlate::Pairing;
use crate::correlate::served::{Leg, Lone, Served};
use crate::diagnose::pools::kind_of;
use crate::diagnose::probes::Sent;
use crate::diagnose::remember::note_added;
use crate::diagnose::{Diagnoser, cut, product};
use crate::stats::{Stats, Taken};

impl Diagnoser {
    /// Learns from one of them.
    pub fn learn(&mut self, served: &Served, attempts: &[Leg], stats: &mut Stats) {
        let root = &served.root;
        self.products.recognise_served(served, attempts);
        self.cut_targets |= root.request.as_ref().is_some_and(|request| cut::is_cut(request.target()));
        // The attempts form a chain: each was made for the one before.
        let (mut maker, mut behind) = (root, Pairing::Certain);
        for attempt in attempts {
            self.pools.served(attempt.place, attempt.server, attempt.started);
            stats.take(attempt.server, &Taken::by(attempt));
            if behind.min(attempt.pairing) == Pairing::Certain
                && let Some(request) = &maker.request
            {
                self.pools.learn(kind_of(maker.server, request), attempt.server);
            }
            (maker, behind) = (attempt, attempt.pairing);
        }
        if let Some(first) = attempts.first() {
            note_added(root.wait, first.wait, stats);
        }
        if let Some(wait) = root.wait {
            stats.client_wait.note(wait);
        }
    }

    /// Learns from one that no client's exchange was found for.
    pub fn learn_lone(&mut self, lone: &Lone, stats: &mut Stats) {
        let Lone { leg, known, at_home } = lone;
        if let Some(request) = &leg.request {
            self.askers.note_request(request, leg.client, leg.server, *at_home);
            self.cut_targets |= cut::is_cut(request.target());
            if product::probe(request).is_some() {
                stats.probes(leg.server, 1, 0);
                self.pools.served(leg.place, leg.server, leg.started);
                return;
            }
        }
        let (sent, taken) = (Sent::by(leg), Taken::by(leg));
        if !self.lone.note(&sent, *known, taken, None) {
            stats.take(leg.server, &taken);
        }
    }
}
