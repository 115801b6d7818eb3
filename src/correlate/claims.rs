//! Who else may want an attempt that nothing identifies: exchanges of which other attempts are known, as what they made next to
//! those.

use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::crowd::has_failed;
use crate::correlate::fit::{Fit, is_at_once};
use crate::correlate::index::LAST;
use crate::correlate::pair::{LONGEST_EXCHANGE, LONGEST_PAUSE, Opening};
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

    /// Whether a connection on which nothing was sent may be what another exchange tried next, after a pause such as some gateways
    /// make: an attempt of it had failed shortly before, and it had no answer.
    pub(super) fn may_be_anothers_retry(&self, front: &Exchange, key: ExchangeKey) -> bool {
        let Some(candidate) = self.books.exchange(key).filter(|_| key.number == 0) else { return false };
        let began = self.began(candidate);
        let waits = |other: &Exchange| {
            let mut attempts = other.attempts.iter().rev().filter_map(|attempt| self.books.exchange(*attempt));
            let last = attempts.find(|attempt| attempt.started.at <= began);
            let failed = last.filter(|last| has_failed(last)).and_then(|last| last.over);
            other.key != front.key
                && other.response_start.as_ref().is_none_or(|start| start.moment.at >= began)
                && failed.is_some_and(|failed| failed.at <= began && began.since(failed.at) <= LONGEST_PAUSE)
        };
        let fronts = self.fronts_of(candidate, began - LONGEST_EXCHANGE, (began, LAST));
        fronts.filter_map(|other| self.books.exchange(other)).any(waits)
    }
}
