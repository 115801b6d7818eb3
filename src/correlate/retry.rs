//! What would explain that a gateway tried again, where nothing else tells that it did: the client was served. Such a claim has to
//! be better than anybody else's, and what fails without anybody waiting for it explains nothing.
//!
//! ```text
//!   one       request |--------------------| response
//!   another     request |------------------| response       both fit: if it is anybody's, the first one's
//!   attempts             |x |== serves ==|
//! ```

use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::fit::Fit;
use crate::correlate::pair::{CLEAR, CLOCK_SLACK, LONGEST_PAUSE, MOST_CANDIDATES, Opening};
use crate::correlate::{Correlator, Pairing};
use crate::time::Timestamp;

impl Correlator {
    /// Whether what would explain a retry may as well be one of the connections by which somebody looks whether the endpoint
    /// accepts.
    pub(super) fn may_be_probe(&mut self, key: ExchangeKey) -> bool {
        if let Some(exchange) = self.books.exchange_mut(key) {
            exchange.wanted = true;
        }
        self.is_probed(key)
    }

    /// Whether another exchange that was served as well could have had a candidate as its first attempt: one that came before this
    /// one, since gateways begin in the order in which requests come. Those of several threads do not always: where attempts that
    /// carry no request often fail, so that an error is made sooner or later, one that it fits nearly as well, too.
    pub(super) fn is_disputed(&self, key: ExchangeKey, candidate: ExchangeKey) -> bool {
        let (Some(front), Some(candidate)) = (self.books.exchange(key), self.books.exchange(candidate)) else {
            return false;
        };
        let until = (candidate.started.at + CLOCK_SLACK, candidate.key);
        let since = candidate.started.at - LONGEST_PAUSE;
        let first_cost = |exchange: &Exchange| {
            let served: SmallVec<[_; 2]> =
                exchange.attempts.iter().map(|attempt| (*attempt, Pairing::Certain)).collect();
            let windows = self.windows(exchange, &served);
            let first = windows.first().filter(|window| window.next.is_some() && window.opening == Opening::Request)?;
            Some((self.cost(exchange, candidate, *first)?.cost, self.is_made_again_as(candidate, *first)))
        };
        let own = first_cost(front).map_or(0, |(cost, _)| cost);
        let often = self.places.fails_often(candidate.place);
        let may_have = |began: Timestamp, cost: u32| {
            let is_earlier = began < front.started.at;
            cost < own + CLEAR && (is_earlier || often)
        };
        let passed_over = candidate.trouble.as_ref().and_then(|trouble| trouble.passed_over);
        passed_over.is_some_and(|(cost, began)| may_have(began, cost))
            || self.fronts_of(candidate, since, until).filter(|key| *key != front.key).any(|key| {
                let Some(other) = self.books.exchange(key) else { return false };
                let is_earlier = (other.started.at, other.key) < (front.started.at, front.key);
                first_cost(other).is_some_and(|(cost, again)| {
                    again != Some(false) && (is_earlier || may_have(other.started.at, cost))
                })
            })
    }

    /// Notes how well that fits an exchange which would explain a retry of it, and which it is told without.
    pub(super) fn pass_over(&mut self, key: ExchangeKey, attempts: &[(ExchangeKey, Pairing)]) {
        let Some(began) = self.books.exchange(key).map(|front| front.started.at) else { return };
        for fit in self.retries_of(key, attempts) {
            if let Some(candidate) = self.books.exchange_mut(fit.key) {
                let least = &mut candidate.trouble.get_or_insert_default().passed_over;
                *least = Some(least.map_or((fit.cost, began), |other| other.min((fit.cost, began))));
            }
        }
    }

    /// What fits the stretches of an exchange that another attempt follows.
    fn retries_of(&self, key: ExchangeKey, attempts: &[(ExchangeKey, Pairing)]) -> SmallVec<[Fit; 4]> {
        let mut fits = SmallVec::new();
        let Some(front) = self.books.exchange(key).filter(|front| self.has_orphans(front)) else { return fits };
        for window in self.windows(front, attempts).into_iter().filter(|window| window.next.is_some()) {
            let orphans = self.orphans_within(front, window).take(MOST_CANDIDATES);
            let candidates = orphans.filter_map(|key| self.books.exchange(key));
            let again = candidates.filter(|candidate| self.is_made_again_as(candidate, window) != Some(false));
            fits.extend(again.filter_map(|candidate| self.cost(front, candidate, window)));
        }
        fits
    }

    /// Whether connections to an attempt's endpoint are opened without any exchange to need them.
    pub(super) fn is_probed(&self, key: ExchangeKey) -> bool {
        key.number == 0 && self.books.exchange(key).is_some_and(|candidate| self.places.is_probed(candidate.place))
    }
}
