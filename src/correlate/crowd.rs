//! Failures among others that are all alike: whose attempt was whose is dealt out, and said to be a guess. What is left when all
//! have been dealt tells nothing of anybody else.

use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::fit::Fit;
use crate::correlate::pair::{AT_ONCE, CLOCK_SLACK, MOST_GUESSED, MOST_RIVALS, Opening, Window};
use crate::correlate::{Correlator, Pairing};
use crate::mark::mark;
use crate::time::Timestamp;

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

    /// Of connections that nobody answered, opened at the same moment, the one whose turn it was: gateways begin in the order in
    /// which requests come. Time alone would cross them: the last request and the first connection stand closest to each other.
    pub(super) fn in_turn(&self, front: &Exchange, window: Window, fits: &[Fit]) -> Option<ExchangeKey> {
        let is_first = window.next.is_none() && window.opening == Opening::Request;
        let several = fits.first().is_some_and(|fit| !self.is_only_endpoint(fits, fit.key));
        if !is_first || !several {
            return None;
        }
        let began = |key: ExchangeKey| Some(self.began(self.books.exchange(key)?));
        let nearest = began(fits.first()?.key)?;
        let silent = |fit: &&Fit| {
            let candidate = self.books.exchange(fit.key).filter(|_| fit.key.number == 0);
            candidate.is_some_and(|candidate| self.outcome(candidate, window.until + CLOCK_SLACK).is_none())
        };
        let apart = |began: Timestamp| began.since(nearest).max(nearest.since(began));
        let mut together: SmallVec<[(Timestamp, Fit); 4]> = SmallVec::new();
        for fit in fits.iter().filter(|fit| began(fit.key).is_some_and(|began| apart(began) <= AT_ONCE)) {
            together.push((began(fit.key).filter(|_| silent(&fit))?, *fit));
        }
        together.sort_unstable_by_key(|(began, fit)| (*began, fit.key));
        let mut rivals: SmallVec<[ExchangeKey; 8]> = SmallVec::new();
        for (_, fit) in &together {
            rivals.extend(self.rivals(front, *fit).iter().map(|rival| rival.key));
        }
        rivals.sort_unstable();
        rivals.dedup();
        let is_earlier = |rival: &&ExchangeKey| {
            let rival = self.books.exchange(**rival);
            rival.is_some_and(|rival| (rival.started.at, rival.key) < (front.started.at, front.key))
        };
        let turn = rivals.iter().filter(is_earlier).count();
        let enough = together.len() > rivals.len() && !rivals.is_empty();
        together.get(turn).filter(|_| enough).map(|(_, fit)| fit.key)
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
