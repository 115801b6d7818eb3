//! Failures among others that are all alike: whose attempt was whose is dealt out, and said to be a guess. What is left when all
//! have been dealt tells nothing of anybody else.

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::fit::Fit;
use crate::correlate::pair::{MOST_GUESSED, MOST_RIVALS, Window};
use crate::correlate::{Correlator, Pairing};
use crate::mark::mark;

impl Correlator {
    /// The best of the candidates where all fit others better, there is one for everybody, and nothing tells whose was whose: all
    /// ask for the same, or nothing was ever sent on the candidates.
    pub(super) fn draw(&self, front: &Exchange, best: &Fit, fits: &[Fit]) -> Option<(ExchangeKey, Pairing)> {
        let target = |exchange: &Exchange| exchange.request.as_ref().map(|request| mark(request.target().as_bytes()));
        let rivals = self.rivals(front, *best);
        let enough = fits.len() > rivals.len() || rivals.len() == MOST_RIVALS;
        let alike = |rival: &Fit| self.books.exchange(rival.key).is_some_and(|rival| target(rival) == target(front));
        let bare = fits.iter().all(|fit| fit.key.number == 0);
        let is_draw = enough && self.is_only_endpoint(fits, best.key) && (bare || rivals.iter().all(alike));
        is_draw.then_some((best.key, Pairing::Possible))
    }

    /// Whether a rival failed: what it lacks explains the failure.
    pub(super) fn has_no_other(&self, rival: &Fit) -> bool {
        self.books.exchange(rival.key).is_some_and(has_failed)
    }

    /// Which of several exchanges an attempt was made for that began in a window was a guess.
    pub(super) fn note_doubt(&mut self, window: Window) {
        if let Some((from, until)) = self.doubtful.back_mut()
            && window.from <= *until
            && *from <= window.until
        {
            (*from, *until) = (window.from.min(*from), window.until.max(*until));
            return;
        }
        if self.doubtful.len() >= MOST_GUESSED {
            self.doubtful.pop_front();
        }
        self.doubtful.push_back((window.from, window.until));
    }

    /// Whether an attempt began when others were dealt out by guess: it may be what is left because one was dealt wrongly.
    pub(super) fn is_doubtful(&self, key: ExchangeKey) -> bool {
        self.books.exchange(key).is_none_or(|candidate| {
            let began = self.began(candidate);
            self.doubtful.iter().rev().any(|(from, until)| *from <= began && began <= *until)
        })
    }

    /// Whether all that began in a window did so when attempts were dealt out by guess.
    pub(super) fn is_in_doubt(&self, window: Window) -> bool {
        self.doubtful.iter().rev().any(|(from, until)| *from <= window.from && window.until <= *until)
    }
}

/// Whether an exchange was not answered, or by an error.
pub(super) fn has_failed(exchange: &Exchange) -> bool {
    exchange.status().is_none_or(|status| status >= 500)
}
