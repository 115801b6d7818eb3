//! Who else may want an attempt that nothing identifies: exchanges of which other attempts are known, as what they made next to
//! those.

use smallvec::SmallVec;

use crate::correlate::conversation::Exchange;
use crate::correlate::crowd::has_failed;
use crate::correlate::fit::{Fit, is_at_once};
use crate::correlate::pair::Opening;
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
}
