//! Relays of TCP on the gateway's own host, as Docker has one for each port that it publishes: what they connect to is not the
//! gateway's own attempt, though it comes from the same host.

use smallvec::SmallVec;

use crate::correlate::Correlator;
use crate::correlate::conversation::ExchangeKey;
use crate::correlate::fit::{Fit, is_at_once};
use crate::correlate::pair::{CLOCK_SLACK, MOST_LOOKED_AT, Window};

impl Correlator {
    /// Leaves to relays the connections that they made for what the gateway asked them: of two candidates the outer one, whose
    /// failure followed that of the inner one, is the gateway's.
    pub(super) fn leave_to_relays(&self, fits: &mut SmallVec<[Fit; 8]>, window: Window) {
        if fits.len() > 1 && fits.iter().any(|fit| fit.key.number == 0) {
            let all = fits.clone();
            fits.retain(|inner| !all.iter().any(|outer| self.is_relays(inner.key, outer.key, window)));
        }
    }

    /// An attempt went to an endpoint on the gateway's own host that was never seen to ask others. It does, if a connection of that
    /// host's failed meanwhile, and the attempt right behind.
    pub(super) fn note_relay(&mut self, attempt: ExchangeKey) {
        let Some(outer) = self.books.exchange(attempt).filter(|outer| self.is_own_upstream(outer)) else { return };
        let window = self.whole(outer);
        let inner = self
            .orphans_within(outer, window)
            .take(MOST_LOOKED_AT)
            .find(|inner| self.is_relays(*inner, attempt, window))
            .and_then(|inner| self.books.exchange(inner));
        if let Some([outer, inner]) = inner.map(|inner| [outer.place, inner.place]) {
            self.places.note_attempt(outer, inner);
        }
    }

    /// Whether a connection that carried no request was made on behalf of what another candidate had asked.
    fn is_relays(&self, inner: ExchangeKey, outer: ExchangeKey, window: Window) -> bool {
        let until = window.until + CLOCK_SLACK;
        let Some((inner, outer)) = self.books.exchange(inner).zip(self.books.exchange(outer)) else { return false };
        let failed = || self.outcome(inner, until).zip(self.outcome(outer, until));
        inner.key.number == 0
            && outer.request_end.is_some_and(|(asked, _)| asked < inner.started)
            && self.gateways.are_same(outer.hosts.server, inner.hosts.client)
            && self.places.may_stand_behind(inner.place, outer.place)
            && failed().is_some_and(|(inner, outer)| inner < outer && is_at_once(outer.at.since(inner.at)))
    }
}
