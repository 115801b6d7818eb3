//! What can be said of a failed exchange before all about it is in: a late answer, a better claim to an attempt. The case is
//! made as it will be when the exchange settles, and what was believed for it is taken back.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use smallvec::SmallVec;

use crate::correlate::conversation::ExchangeKey;
use crate::correlate::index::Entry;
use crate::correlate::settle::Attempted;
use crate::correlate::{Correlator, Finding, Pairing};
use crate::time::Timestamp;

/// Exchanges that are to be looked at before they settle.
#[derive(Debug, Default)]
pub(super) struct Provisional {
    /// While live: when which one is.
    due: Option<BinaryHeap<Reverse<(Timestamp, ExchangeKey)>>>,
    /// While one is looked at: which attempts were believed to be made for which exchange.
    believed: Option<Vec<(ExchangeKey, ExchangeKey)>>,
}

impl Provisional {
    pub(super) fn schedule(&mut self, at: Timestamp, key: ExchangeKey) {
        if let Some(due) = &mut self.due {
            due.push(Reverse((at, key)));
        }
    }

    /// When the first one is; the end of time where there is none.
    #[inline]
    pub(super) fn next(&self) -> Timestamp {
        let first = self.due.as_ref().and_then(BinaryHeap::peek);
        first.map_or(Timestamp::from_nanos(i64::MAX), |Reverse((at, _))| *at)
    }
}

impl Correlator {
    /// From now on failed exchanges are also given out as `Finding::Provisional`.
    #[must_use]
    pub fn live(mut self) -> Self {
        self.provisional.due = Some(BinaryHeap::new());
        self
    }

    /// Gives out what is due to be looked at and has not settled.
    pub(super) fn look_at_due(&mut self, now: Timestamp, sink: &mut dyn FnMut(Finding<'_>)) {
        while let Some(due) = &mut self.provisional.due
            && let Some(Reverse((at, key))) = due.peek().copied()
            && at <= now
        {
            due.pop();
            let is_root = self.books.exchange(key).is_some_and(|exchange| exchange.parent.is_none());
            if !is_root || (self.may_be_attempt(key) && self.has_hope(key)) {
                continue;
            }
            let contested = self.is_contested(key);
            self.provisional.believed = Some(Vec::new());
            let mut tries: SmallVec<[Attempted; 2]> = SmallVec::new();
            self.collect_attempts(key, 0, &mut tries);
            for (parent, attempt) in self.provisional.believed.take().unwrap_or_default() {
                self.release(parent, attempt);
            }
            if let Some(case) = self.case(key, &tries) {
                sink(Finding::Provisional { case, contested });
            }
        }
    }

    /// Notes that an attempt was made for an exchange, as time tells, and what that says of the gateway. `first` where none
    /// was known before.
    pub(super) fn believe(&mut self, key: ExchangeKey, attempt: ExchangeKey, pairing: Pairing, first: bool) {
        if let Some(believed) = &mut self.provisional.believed {
            believed.push((key, attempt));
        } else if let (Some(front), Some(back)) = (self.books.exchange(key), self.books.exchange(attempt)) {
            let (server, client, window) = (front.server.ip(), back.client.ip(), self.whole(front));
            if pairing >= Pairing::Likely {
                self.gateways.join(server, client);
                self.note_other_family(server, attempt);
            }
            if first {
                self.note_guess(key, window);
            }
        }
        self.adopt_orphan(key, attempt, pairing, None);
    }

    /// Notes that which attempts were made for an exchange is a guess.
    pub(super) fn doubt(&mut self, key: ExchangeKey) {
        if self.provisional.believed.is_none()
            && let Some(front) = self.books.exchange(key)
        {
            let window = self.whole(front);
            self.note_doubt(window);
        }
    }

    /// Takes it back that an attempt was made for an exchange.
    fn release(&mut self, parent: ExchangeKey, key: ExchangeKey) {
        if let Some(parent) = self.books.exchange_mut(parent) {
            parent.attempts.retain(|attempt| *attempt != key);
        }
        let Some(attempt) = self.books.exchange_mut(key) else { return };
        attempt.parent = None;
        let [spot, _] = &mut attempt.spots;
        *spot = self.orphans.insert(attempt.hosts.client, Entry::new(attempt.started.at, key, attempt.place));
        if attempt.offered {
            self.offer(key);
        }
    }
}
