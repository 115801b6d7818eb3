//! Which attempts were made for a downstream exchange, by time, for what bears no identifier: the attempts of one exchange
//! form a chain, and its links are short.
//!
//! ```text
//!   downstream   request |----------------------------------------| response
//!   attempts              |== first ==|x |======= second =========|
//!                         ^ start slack                           ^ end slack
//! ```
//!
//! A candidate that fits another unsettled exchange better is left to that one.

use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Conversation, Exchange, ExchangeKey};
use crate::correlate::crowd::has_failed;
use crate::correlate::fit::Fit;
use crate::correlate::marks::shared;
use crate::correlate::veiled::has_passed_on;
use crate::correlate::{Correlator, Pairing};
use crate::event::{Endpoint, Side};
use crate::time::Timestamp;

/// The part of a downstream exchange's time that no attempt accounts for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
    /// The attempt after it; `None` where the response follows.
    pub(super) next: Option<Endpoint>,
    /// That attempt, where it is known.
    pub(super) follower: Option<ExchangeKey>,
    /// What stands at its beginning.
    pub(super) opening: Opening,
}

/// What was found for a window.
struct Next {
    key: ExchangeKey,
    pairing: Pairing,
    /// Whether another attempt follows.
    is_followed: bool,
    /// Whether an identifier tells that it bears the same request as that one.
    is_named: bool,
}

/// What stands at the beginning of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// The downstream request.
    Request,
    /// The failure of another attempt.
    Failure,
    /// Another attempt that nothing came of, begun then: when it was given up is not known.
    Silence(Timestamp),
}

impl Correlator {
    /// The attempts of an exchange that settles, in the order of time: the identified ones, and what fits in between.
    pub(super) fn attempts_of(&mut self, key: ExchangeKey) -> Vec<(ExchangeKey, Pairing)> {
        let Some(front) = self.books.exchange(key) else { return Vec::new() };
        let mut attempts: Vec<(ExchangeKey, Pairing)> = front
            .attempts
            .iter()
            .filter_map(|a| self.books.exchange(*a))
            .map(|attempt| (attempt.key, attempt.pairing))
            .collect();
        // Where it is a guess which attempt served it, so many were under way that one more would be a guess upon a guess.
        let is_guessed = |pairing: &Pairing| *pairing == Pairing::Possible;
        let served = front.status().is_some_and(|status| status < 500);
        let is_guess = served && attempts.iter().any(|(_, pairing)| is_guessed(pairing));
        for _ in 0..MOST_ATTEMPTS {
            let Some(Next { key: fit, pairing, is_followed, is_named }) = self.next_fit(key, &attempts) else { break };
            if !is_named && (is_guess || is_followed && (self.may_be_probe(fit) || self.is_disputed(key, fit))) {
                break;
            }
            self.believe(key, fit, pairing, attempts.is_empty());
            self.note_relay(fit);
            attempts.push((fit, pairing));
            attempts.sort_by_key(|(attempt, _)| self.books.exchange(*attempt).map(|attempt| attempt.started.at));
        }
        self.pass_over(key, &attempts);
        if let Some((last, pairing)) = attempts.last_mut()
            && self.may_have_gone_on(key, *last)
        {
            *pairing = Pairing::Likely.min(*pairing);
        }
        // Where one link of the chain is a guess, time alone does not make another one certain.
        if attempts.iter().any(|(_, pairing)| *pairing == Pairing::Possible) {
            self.doubt(key);
            for (attempt, pairing) in &mut attempts {
                if self.books.exchange(*attempt).is_some_and(|attempt| !attempt.identified) {
                    *pairing = Pairing::Likely.min(*pairing);
                }
            }
        }
        attempts
    }

    /// Whether another request was made between an exchange's last attempt, which time alone tells, and the answer: it may have
    /// been the last one.
    fn may_have_gone_on(&self, key: ExchangeKey, last: ExchangeKey) -> bool {
        let (Some(front), Some(last)) = (self.books.exchange(key), self.books.exchange(last)) else { return false };
        let whole = self.whole(front);
        let Some(failed) = self.outcome(last, whole.until).filter(|_| !last.identified) else { return false };
        let rest = Window { from: failed.at, ..whole };
        self.orphans_within(front, rest).any(|other| other.number > 0 && other != last.key)
    }

    /// An exchange got an attempt by time: what was open meanwhile may have got the wrong one.
    pub(super) fn note_guess(&mut self, key: ExchangeKey, window: Window) {
        if self.guessed.len() >= MOST_GUESSED {
            self.guessed.pop_front();
        }
        self.guessed.push_back((key, window.from, window.until));
    }

    /// Whether an exchange may have had attempts of which more is to be learned: to which exchanges that are still open have a
    /// better claim, or which may not have been given up at all.
    pub(super) fn is_contested(&self, key: ExchangeKey) -> bool {
        let Some(front) = self.books.exchange(key) else { return false };
        if !self.has_orphans(front) {
            return false;
        }
        let served = front.attempts.iter().map(|attempt| (*attempt, Pairing::Certain)).collect::<SmallVec<[_; 2]>>();
        self.windows(front, &served).into_iter().any(|window| {
            let orphans = self.orphans_within(front, window).take(MOST_CANDIDATES);
            orphans.filter_map(|key| self.books.exchange(key)).any(|candidate| {
                let may_go_on = self.may_go_on(candidate);
                let wanted = |fit| self.rivals(front, fit).iter().any(Fit::is_tight);
                (may_go_on || window.next.is_some())
                    && self.cost(front, candidate, window).is_some_and(|fit| may_go_on || wanted(fit))
            })
        })
    }

    /// Whether an attempt that may have been made for an exchange is still being answered.
    pub(super) fn has_running_attempt(&self, front: &Exchange) -> bool {
        let window = self.whole(front);
        let orphans = self.orphans_within(front, window).take(MOST_CANDIDATES);
        orphans.filter_map(|key| self.books.exchange(key)).any(|candidate| {
            candidate.over.is_none()
                && candidate.response_start.is_some()
                && self.cost(front, candidate, window).is_some()
        })
    }

    /// Whether a SYN that nobody answered may yet be repeated: then the attempt has not been given up.
    fn may_go_on(&self, candidate: &Exchange) -> bool {
        candidate.key.number == 0
            && candidate.over.is_none()
            && self.books.conversation(candidate.key.connection).is_some_and(|conversation| {
                let (latest, repeats) = conversation.syn();
                let pause = FIRST_RETRANSMISSION * (1 << repeats.min(LATEST_WAITED_FOR));
                conversation.syn_ack.is_none() && self.now.since(latest.at) <= pause
            })
    }

    /// Whether no other attempt can have been made before an attempt.
    pub(super) fn is_first(&self, front: &Exchange, attempt: &Exchange) -> bool {
        let window = Window {
            until: self.began(attempt),
            next: Some(attempt.server),
            follower: Some(attempt.key),
            ..self.whole(front)
        };
        let may_be = |key| self.books.exchange(key).is_some_and(|other| self.cost(front, other, window).is_some());
        !self.has_orphan_within(front, window, may_be)
    }

    /// Whether neither side had closed an attempt's connection by `end`.
    fn is_open(&self, attempt: &Exchange, end: Timestamp) -> bool {
        let conversation = self.books.conversation(attempt.key.connection);
        conversation.is_some_and(|conversation| conversation.first_close().is_none_or(|(close, ..)| close.at >= end))
    }

    /// Whether the gateway let go of an attempt, unanswered, the moment that it answered its client.
    fn is_given_up_at(&self, attempt: &Exchange, end: Timestamp) -> bool {
        let first = self.books.conversation(attempt.key.connection).and_then(Conversation::first_close);
        attempt.key.number > 0
            && !attempt.is_answered()
            && first.is_some_and(|(close, closing, _)| {
                closing.by == Side::Client && close.at >= end && close.at.since(end) <= AT_ONCE
            })
    }

    /// The best candidate for a stretch of the exchange that no attempt accounts for yet.
    fn next_fit(&self, key: ExchangeKey, attempts: &[(ExchangeKey, Pairing)]) -> Option<Next> {
        let front = self.books.exchange(key).filter(|front| self.has_orphans(front))?;
        let windows = self.windows(front, attempts);
        self.unserved.remember();
        let next = windows.into_iter().rev().find_map(|window| {
            let (key, pairing) = self.best_fit(front, window)?;
            let is_named = self.books.exchange(key).is_some_and(|fit| self.is_named_as(front, fit, window));
            Some(Next { key, pairing, is_followed: window.next.is_some(), is_named })
        });
        self.unserved.forget();
        next
    }

    /// The stretches before, between and after the attempts.
    pub(super) fn windows(&self, front: &Exchange, attempts: &[(ExchangeKey, Pairing)]) -> SmallVec<[Window; 4]> {
        let end = front.response_start.as_ref().map(|start| start.moment).or(front.over).map_or(self.now, |m| m.at);
        let mut windows: SmallVec<[Window; 4]> = SmallVec::new();
        let mut from = if front.is_begun() { front.started.at } else { end - UNSEEN_REQUEST };
        let mut opening = Opening::Request;
        for (attempt, _) in attempts {
            let Some(attempt) = self.books.exchange(*attempt) else { continue };
            windows.push(Window {
                from,
                until: self.began(attempt),
                next: Some(attempt.server),
                follower: Some(attempt.key),
                opening,
            });
            (from, opening) = match self.outcome(attempt, end) {
                _ if attempt.is_answered() && has_passed_on(front, attempt) => (end, Opening::Failure),
                Some(moment) => (moment.at, Opening::Failure),
                None => (self.last_try(attempt), Opening::Silence(self.began(attempt))),
            };
        }
        // What fails right before the answer explains it; and who still waits for one attempt has not made another.
        let explained = attempts.last().and_then(|(last, _)| self.books.exchange(*last)).is_some_and(|last| {
            let waits = last.key.number > 0 && last.response_start.is_none() && self.is_open(last, end);
            waits || self.is_given_up_at(last, end) || (opening == Opening::Failure && end.since(from) <= AT_ONCE)
        });
        let rest = Window { from, until: end, next: None, follower: None, opening };
        if !explained || self.was_refused_next(front, rest) {
            windows.push(rest);
        }
        windows.retain(|window| window.until.since(window.from) > SHORTEST_WINDOW);
        windows
    }

    /// Whether a connection was refused within what is left of an exchange behind a failure, closely after that and closely before
    /// the answer: on a short way a gateway tries once more in next to no time.
    fn was_refused_next(&self, front: &Exchange, rest: Window) -> bool {
        let failed = rest.opening == Opening::Failure && front.status().is_some_and(|status| status >= 500);
        failed
            && self.orphans_within(front, rest).take(MOST_CANDIDATES).any(|key| {
                let Some(candidate) = self.books.exchange(key).filter(|_| key.number == 0) else { return false };
                let within = self.began(candidate) >= rest.from && candidate.over.is_some_and(|o| o.at <= rest.until);
                within
                    && self.is_alone(front, key)
                    && self.cost(front, candidate, rest).is_some_and(|fit| fit.is_tight_at_both_ends())
            })
    }

    fn best_fit(&self, front: &Exchange, window: Window) -> Option<(ExchangeKey, Pairing)> {
        let in_doubt = window.next.is_some() && self.is_in_doubt(window);
        let mut made_again = None;
        let mut fits: SmallVec<[Fit; 8]> = SmallVec::new();
        let mut orphans = self.orphans_within(front, window);
        for key in orphans.by_ref().take(MOST_CANDIDATES) {
            let Some(candidate) = self.books.exchange(key) else { continue };
            if let Some(cost) = self.cost(front, candidate, window) {
                if front.veiled.is_some() && self.is_made_again_as(candidate, window) == Some(true) {
                    let alone = self.is_alone(front, key);
                    made_again = Some((key, if alone { Pairing::Certain } else { Pairing::Likely }));
                } else if self.is_named_as(front, candidate, window) {
                    // As sure as the one that it was followed by.
                    let follower = window.follower.and_then(|follower| self.books.exchange(follower));
                    made_again = Some((key, follower.map_or(Pairing::Possible, |follower| follower.pairing)));
                }
                fits.push(cost);
            }
        }
        // The latest of them: those before it come next.
        if made_again.is_some() || in_doubt {
            return made_again;
        }
        self.leave_to_relays(&mut fits, window);
        fits.sort_unstable();
        let is_cut = orphans.next().is_some();
        let may_be_compared = || {
            let most = MOST_COMPARED / fits.len();
            fits.first().is_none_or(|best| self.each_rival(front, *best).take(most + 1).count() <= most)
        };
        if is_cut || fits.len() > FEW && !may_be_compared() {
            // Which of them it was nobody can tell, and which of the others lack one would take long to tell.
            let wanted = window.next.is_none() && window.opening == Opening::Request;
            return fits.first().filter(|_| wanted).map(|fit| (fit.key, Pairing::Possible));
        }
        if let Some(key) = self.in_turn(front, window, &fits) {
            return Some((key, Pairing::Possible));
        }
        let mut ours = fits.iter().filter_map(|fit| {
            let rivals = self.rivals(front, *fit);
            let claim = if window.next.is_some() {
                // It would only explain a retry that nobody needs to have made: who has no other explanation comes first. Who else
                // was open may have got the wrong one; but hardly where nothing fits as well, nor anybody.
                let is_only = fits.len() == 1 && rivals.is_empty() && fit.is_tight_at_both_ends();
                !rivals.iter().any(|rival| rival.is_tight() || self.has_no_other(rival))
                    && (is_only || !self.was_guessed(front, fit.key))
                    && !self.is_doubtful(fit.key)
            } else {
                // What fits somebody else better is theirs. Where it is nearly a draw, whoever loses it must make do with
                // his next best: the sum decides.
                let spare = fits.iter().filter(|other| other.key != fit.key).map(|other| other.cost).min();
                rivals.iter().all(|rival| {
                    let draw = rival.cost < fit.cost + CLEAR;
                    let theirs = || self.next_best(rival.key, fit.key).unwrap_or(NOTHING);
                    rival.cost >= fit.cost && (!draw || fit.cost + theirs() <= rival.cost + spare.unwrap_or(NOTHING))
                })
            };
            claim.then(|| (*fit, rivals.iter().map(|rival| rival.cost).min()))
        });
        let Some((best, rival)) = ours.next() else {
            let needed = window.next.is_none() && window.opening == Opening::Request && has_failed(front);
            return self.draw(front, fits.first().filter(|_| needed)?, &fits);
        };
        let alternative = ours.next().map(|(fit, _)| fit.cost).into_iter().chain(rival).min();
        let pairing = match alternative {
            _ if self.is_beyond_doubt(front, best, window, &fits) => Pairing::Certain,
            None if best.cost <= CERTAIN
                && window.next.is_none()
                && !self.has_identified(front)
                && !self.is_unlike(front, best.key)
                && !self.may_be_anothers_retry(front, best.key)
                && !self.may_lack_a_name(front, best.key)
                && !self.was_guessed(front, best.key)
                && !self.is_overlooked(front, best.key) =>
            {
                Pairing::Certain
            }
            None if best.cost <= CERTAIN => Pairing::Likely,
            Some(cost) if cost.saturating_sub(best.cost) >= CLEAR => Pairing::Likely,
            _ => Pairing::Possible,
        };
        // Whose request was not seen may have begun later, and asked for something else.
        // And what began before it, as the frames stand, may be another's.
        let is_earlier = self.books.party(best.key).is_some_and(|candidate| {
            let opened = candidate.conversation.opened;
            candidate.exchange.key.number == 0 && front.is_asked() && opened < front.started
        });
        let surest = if front.is_asked() && !is_earlier { Pairing::Certain } else { Pairing::Likely };
        Some((best.key, pairing.min(surest)))
    }

    /// Whether nobody else can have made an attempt, and nothing else can have been made. Next to an attempt that an
    /// identifier tells, and among attempts at several endpoints, time alone is not enough.
    fn is_beyond_doubt(&self, front: &Exchange, best: Fit, window: Window, fits: &[Fit]) -> bool {
        (best.cost <= CERTAIN || window.next.is_some())
            && !self.is_unlike(front, best.key)
            && !self.has_identified(front)
            && self.is_only_endpoint(fits, best.key)
            && !self.is_probed(best.key)
            && !self.may_lack_a_name(front, best.key)
            && self.is_alone(front, best.key)
    }

    /// Whether a candidate's request has nothing in common with the exchange's, although this gateway's others had.
    pub(super) fn is_unlike(&self, front: &Exchange, key: ExchangeKey) -> bool {
        let candidate = self.books.exchange(key).and_then(|candidate| candidate.request.as_ref());
        let unlike = front
            .request
            .as_ref()
            .zip(candidate)
            .is_some_and(|(wanted, sent)| wanted.target() != sent.target() && !shared(wanted, sent));
        unlike && self.places.is_front(front.place)
    }

    /// Whether an identifier told an attempt of an exchange.
    fn has_identified(&self, front: &Exchange) -> bool {
        front.attempts.iter().any(|attempt| self.books.exchange(*attempt).is_some_and(|attempt| attempt.identified))
    }

    /// Whether all candidates are attempts at one endpoint.
    pub(super) fn is_only_endpoint(&self, fits: &[Fit], key: ExchangeKey) -> bool {
        let endpoint = |key: &ExchangeKey| self.books.exchange(*key).map(|candidate| candidate.server);
        fits.iter().all(|fit| endpoint(&fit.key) == endpoint(&key))
    }

    /// Whether another exchange that got its attempts by time was open when an attempt began: it may have got the wrong one.
    fn was_guessed(&self, front: &Exchange, key: ExchangeKey) -> bool {
        let Some(began) = self.books.exchange(key).map(|candidate| self.began(candidate)) else { return true };
        self.guessed.iter().rev().any(|(other, from, until)| *other != front.key && *from <= began && began <= *until)
    }

    /// Whether so many exchanges have not settled that not all were asked whether they want an attempt.
    fn is_overlooked(&self, front: &Exchange, key: ExchangeKey) -> bool {
        let Some(candidate) = self.books.exchange(key) else { return true };
        let (since, until) = (candidate.started.at - LONGEST_EXCHANGE, (candidate.started.at, key));
        let fronts = self.gateways.akin(front.hosts.server);
        fronts.iter().any(|front| self.unsettled.count(*front, since, until) > MOST_LOOKED_AT)
    }

    /// Whether no other exchange of this gateway was open when an attempt began: then nobody else can have made it.
    pub(super) fn is_alone(&self, front: &Exchange, key: ExchangeKey) -> bool {
        let Some(began) = self.books.exchange(key).map(|candidate| self.began(candidate)) else { return false };
        let since = began - LONGEST_EXCHANGE;
        let fronts = self.gateways.akin(front.hosts.server).each();
        let others = fronts.flat_map(|host| self.unsettled.between(host, since, (began, key)).rev());
        // Where more exchanges have not settled, who knows.
        let mut looked_at = 0;
        !self.was_guessed(front, key)
            && !others.take(MOST_LOOKED_AT).any(|other| {
                looked_at += 1;
                let open = other.key != front.key && other.over >= began;
                looked_at == MOST_LOOKED_AT
                    || open
                        && self.books.exchange(other.key).is_some_and(|other| {
                            other.parent.is_none() && self.gateways.are_same(other.hosts.server, front.hosts.server)
                        })
            })
    }

    /// Other unsettled exchanges that lack an attempt, and that a candidate fits as well. The one that an exchange was itself made
    /// for is none.
    pub(super) fn rivals(&self, front: &Exchange, fit: Fit) -> SmallVec<[Fit; 4]> {
        self.each_rival(front, fit).collect()
    }

    fn each_rival(&self, front: &Exchange, fit: Fit) -> impl Iterator<Item = Fit> {
        let (own, parent) = (front.key, front.parent);
        let candidate = self.books.exchange(fit.key);
        let fronts = candidate.map(|candidate| {
            let until = (candidate.started.at + CLOCK_SLACK, fit.key);
            self.fronts_of(candidate, candidate.started.at - LONGEST_EXCHANGE, until)
        });
        let others = fronts.into_iter().flatten().filter(move |key| *key != own && Some(*key) != parent);
        let rivals = others.take(MOST_CANDIDATES).filter_map(move |key| {
            let (candidate, rival) = candidate.zip(self.books.exchange(key))?;
            let cost = if rival.attempts.is_empty() {
                self.cost(rival, candidate, self.whole(rival))
            } else {
                self.cost_as_next(rival, candidate)
            };
            cost.filter(|fit| fit.cost - fit.unknown <= CERTAIN).map(|fit| Fit { key, ..fit })
        });
        rivals.take(MOST_RIVALS)
    }

    /// The window of an exchange without attempts.
    pub(super) fn whole(&self, front: &Exchange) -> Window {
        let end = front.response_start.as_ref().map(|start| start.moment).or(front.over);
        let until = end.map_or(self.now, |moment| moment.at);
        Window { from: front.started.at, until, next: None, follower: None, opening: Opening::Request }
    }

    /// The cost of the best candidate of an exchange other than `except`.
    fn next_best(&self, front: ExchangeKey, except: ExchangeKey) -> Option<u32> {
        let front = self.books.exchange(front)?;
        let window = self.whole(front);
        let others = self.orphans_within(front, window).filter(|key| *key != except);
        let others = others.take(MOST_CANDIDATES);
        others.filter_map(|key| Some(self.cost(front, self.books.exchange(key)?, window)?.cost)).min()
    }
}

/// Attempts of one exchange.
const MOST_ATTEMPTS: usize = 32;
/// Frames of one host may be captured out of order by this much.
pub(crate) const CLOCK_SLACK: Duration = Duration::from_micros(50);
/// Shorter stretches are the gateway's own time.
const SHORTEST_WINDOW: Duration = Duration::from_micros(20);
/// A gateway that tries again at once does so within this span.
pub(super) const AT_ONCE: Duration = Duration::from_millis(5);
/// The pause before a SYN is repeated for the first time (RFC 6298: 1 s, and some slack); it doubles from then on.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(1200);
/// How often a SYN is repeated, at most, before no further repetition is waited for.
const LATEST_WAITED_FOR: u32 = 2;
/// Longest pause of a gateway before it tries an endpoint again.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_millis(1300);
/// The cost up to which the only candidate is beyond doubt: one end tight, the other within a second.
pub(super) const CERTAIN: u32 = 12_000;
/// The difference that makes a candidate clearly better than the next.
pub(super) const CLEAR: u32 = 2500;
/// Exchanges with guessed attempts that are remembered.
pub(super) const MOST_GUESSED: usize = 256;
/// What it costs an exchange to be left without an attempt.
const NOTHING: u32 = 15_000;
/// Rivals that count.
pub(super) const MOST_RIVALS: usize = 16;
/// Candidates of one exchange, and exchanges that may want one candidate, that are looked at.
pub(super) const MOST_CANDIDATES: usize = 48;
/// So many candidates that fit are always held against all their rivals; more of them, as long as that makes no more pairs
/// than this.
const FEW: usize = 2;
const MOST_COMPARED: usize = 32;
/// Exchanges that are asked whether they were open at an instant, the latest first.
pub(super) const MOST_LOOKED_AT: usize = 1024;
/// How far before its response the attempts of an exchange are sought of whose request nothing was seen.
pub(super) const UNSEEN_REQUEST: Duration = Duration::from_secs(2);
/// An exchange that is older than this when an attempt begins is no rival for it.
pub(super) const LONGEST_EXCHANGE: Duration = Duration::from_secs(120);
