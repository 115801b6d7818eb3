//! Who else may want an attempt that nothing identifies: exchanges of which other attempts are known, as what they made next to
//! those.

use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::crowd::has_failed;
use crate::correlate::fit::{Fit, is_at_once};
use crate::correlate::pair::{LONGEST_PAUSE, Opening, Window};
use crate::correlate::{Correlator, Pairing};

impl Correlator {
    /// The cost of a connection on which nothing was sent as what an exchange tried next, at once after the failure of an attempt
    /// that bore its marks.
    pub(super) fn cost_as_next(&self, rival: &Exchange, candidate: &Exchange) -> Option<Fit> {
        if candidate.key.number > 0 || !has_failed(rival) {
            return None;
        }
        let known = rival.attempts.iter().map(|attempt| (*attempt, Pairing::Certain)).collect::<SmallVec<[_; 2]>>();
        let last = self.windows(rival, &known).pop().filter(|last| last.next.is_none())?;
        let fit = self.cost(rival, candidate, last).filter(|_| last.opening == Opening::Failure)?;
        is_at_once(self.began(candidate).since(last.from)).then_some(fit)
    }

    /// Whether an exchange that came before this one, and was served as well, could have had the candidate as its first
    /// attempt: gateways begin in the order in which requests come.
    pub(super) fn is_due_to_earlier(&self, front: &Exchange, key: ExchangeKey) -> bool {
        let Some(candidate) = self.books.exchange(key) else { return false };
        let until = (front.started.at, front.key);
        let since = front.started.at - LONGEST_PAUSE;
        self.fronts_of(candidate, since, until).filter(|key| *key != front.key).any(|key| {
            let earlier = self.books.exchange(key).and_then(|earlier| self.first_window(earlier));
            earlier.is_some_and(|(earlier, window)| self.cost(earlier, candidate, window).is_some())
        })
    }

    /// The stretch before the first attempt that is known of an exchange.
    fn first_window<'a>(&self, exchange: &'a Exchange) -> Option<(&'a Exchange, Window)> {
        let known = exchange.attempts.iter().map(|attempt| (*attempt, Pairing::Certain)).collect::<SmallVec<[_; 2]>>();
        let first = self.windows(exchange, &known).into_iter().next()?;
        (first.next.is_some() && first.opening == Opening::Request).then_some((exchange, first))
    }
}
