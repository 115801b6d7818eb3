//! How well a candidate fills a stretch of an exchange that no attempt accounts for.

use std::time::Duration;

use crate::correlate::Correlator;
use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::fit::{Fit, answers_otherwise, gives_no_reason, is_at_once, mismatch, surprise};
use crate::correlate::pair::{AT_ONCE, CLOCK_SLACK, LONGEST_PAUSE, Opening, Window};
use crate::event::{FirstSeen, Moment};

impl Correlator {
    /// What it costs to believe that a candidate fills a window; `None` where it cannot.
    pub(super) fn cost(&self, front: &Exchange, candidate: &Exchange, window: Window) -> Option<Fit> {
        // Of most that is told at once.
        if window.next.is_some() && gives_no_reason(front, candidate) {
            return None;
        }
        let began = self.began(candidate);
        let elsewhere = candidate.key.connection == front.key.connection
            || !self.has_failed(candidate)
            || front.veiled.is_some() && self.is_handshake_probe(candidate)
            || (candidate.key.number > 0 && candidate.request_start.is_none())
            || !self.places.may_stand_behind(candidate.place, front.place)
            || began + CLOCK_SLACK < window.from
            || began > window.until;
        if elsewhere || !self.gateways.are_same(front.hosts.server, candidate.hosts.client) {
            return None;
        }
        // An answer that is another one than the front's, to a request that has nothing in common with its own, was given to another.
        if answers_otherwise(front, candidate) && self.is_unlike(front, candidate.key) {
            return None;
        }
        let again = match front.veiled {
            Some(_) => self.is_made_again_as(candidate, window),
            None => self.is_named_as(front, candidate, window).then_some(true),
        };
        if again == Some(false) || window.next.is_none() && self.was_made_again(front, candidate, window) {
            return None;
        }
        let penalty = mismatch(front, candidate, window)?;
        // Nor does anybody try again after what he had enough of.
        if window.next.is_some() && self.books.party(candidate.key).is_some_and(|party| party.had_enough()) {
            return None;
        }
        let start = match window.opening {
            Opening::Request => {
                let began = if window.next.is_none() { self.first_made(front, candidate, window) } else { began };
                let ready = [Some(front.ready()), front.request_end.map(|(moment, _)| moment)];
                let ready = ready.into_iter().flatten().map(|moment| began.since(moment.at.max(window.from)));
                ready.min().unwrap_or_default()
            }
            Opening::Failure => began.since(window.from),
            Opening::Silence(_) => Duration::ZERO,
        };
        let outcome = self.outcome(candidate, window.until + CLOCK_SLACK);
        let end =
            outcome.map(|moment| window.until.since(moment.at)).or_else(|| self.let_go_after(front, candidate, window));
        if end.is_none() && !self.was_given_up(front, candidate, window) {
            return None;
        }
        if let Some(next) = window.next.filter(|_| again.is_none() || end.is_none_or(|end| end > LONGEST_PAUSE)) {
            // What failed before the request was complete, and was followed by an attempt only afterwards, was not what that
            // attempt followed: this gateway reads requests whole before it turns to an upstream.
            let failed = self.outcome(candidate, window.until);
            let is_older = |(end, _): (Moment, u64)| failed.is_some_and(|at| at < end) && end.at <= window.until;
            if window.opening == Opening::Request && front.request_end.is_some_and(is_older) {
                return None;
            }
            // Another attempt followed: at once; or after the gateway's pauses, at the same endpoint, or wherever it was made for
            // nobody else.
            let again = next == candidate.server;
            let pauses = again || candidate.for_one && self.is_identified(window.follower);
            let pause = if pauses { LONGEST_PAUSE } else { AT_ONCE };
            let follows = start <= AT_ONCE || pauses && window.opening != Opening::Request && start <= pause;
            let precedes = end.is_none_or(|end| end <= pause);
            // A gateway that is short of time begins late, and then tries again at once all the same.
            let alone = || end.is_some_and(is_at_once) && self.is_alone(front, candidate.key);
            if !(follows && (precedes || again) || precedes && again && window.opening != Opening::Request || alone()) {
                return None;
            }
        }
        // When a SYN was sent that no wire carried, nothing tells: that it failed then does.
        let unseen =
            self.books.conversation(candidate.key.connection).is_some_and(|c| c.first_seen == FirstSeen::Quoted);
        let start = match (window.opening, end) {
            (Opening::Silence(_), _) if unseen => return None,
            (Opening::Failure, Some(end)) if unseen && end > AT_ONCE => return None,
            (Opening::Silence(_), Some(end)) if end > AT_ONCE => return None,
            // Two attempts that nothing came of were waited for equally long.
            (Opening::Silence(before), None) => {
                let (first, second) = (began.since(before), window.until.since(began));
                let difference = first.abs_diff(second);
                if window.next.is_some() && difference > second / 4 + AT_ONCE {
                    return None;
                }
                difference
            }
            _ => start,
        };
        // A connection that fails before it carries a request is opened soon after the client's request; or it is the last of
        // several, whose failure the gateway answers soon.
        let bare = candidate.key.number == 0 && window.next.is_none();
        if bare && start > LATE && end.is_some_and(|end| end > SOON) {
            return None;
        }
        // Who says that he waited for too long was hardly refused.
        let waited = if bare && end.is_some() && front.status() == Some(504) { UNLIKELY } else { 0 };
        // When the attempt before was given up nothing tells: it may have been right before this one, or long before.
        let is_unknown = matches!(window.opening, Opening::Silence(_)) && end.is_some();
        let unknown = if is_unknown || end.is_none() { UNRESOLVED } else { 0 };
        let start = if is_unknown { UNRESOLVED } else { surprise(start) };
        let end = end.map_or(UNRESOLVED, surprise);
        Some(Fit { cost: start + end + penalty + waited, tighter: start.min(end), key: candidate.key, unknown })
    }

    /// Whether an identifier tells whose an attempt was.
    fn is_identified(&self, attempt: Option<ExchangeKey>) -> bool {
        attempt.and_then(|key| self.books.exchange(key)).is_some_and(|attempt| attempt.identified)
    }

    /// Whether an attempt that nothing came of may have been given up by the end of a window: nobody gives up at once, and
    /// nobody tries on after he has.
    fn was_given_up(&self, front: &Exchange, candidate: &Exchange, window: Window) -> bool {
        let conversation = self.books.conversation(candidate.key.connection);
        let tried = conversation.map(|conversation| conversation.syn().0.at);
        let waited = window.until.since(candidate.started.at);
        // Who answers because it has given up a request of HTTP/1 closes the connection.
        let closes = candidate.key.number > 0 && front.status().is_some() && self.now.since(window.until) > LETTING_GO;
        let is_kept = closes
            && conversation.is_some_and(|conversation| {
                let is_whole = conversation.multiplexed.is_none() && !conversation.is_incomplete();
                is_whole && conversation.first_close().is_none()
            });
        // A SYN that goes on most likely is another exchange's; but some gateways open connections for whoever comes next.
        let goes_on = tried.is_some_and(|tried| tried > window.until + AT_ONCE)
            && (candidate.key.number > 0 || !self.is_alone(front, candidate.key));
        waited >= SHORTEST_PATIENCE && !goes_on && !is_kept
    }
}

/// A gateway acts within this span, even when it is busy.
const SOON: Duration = Duration::from_millis(20);
/// Who begins later than this has waited for something.
const LATE: Duration = Duration::from_millis(200);
/// A connection that is given up is closed within this span.
const LETTING_GO: Duration = Duration::from_millis(500);
/// No gateway waits less than this for an answer.
pub(crate) const SHORTEST_PATIENCE: Duration = Duration::from_millis(100);
/// What speaks against an attempt that failed otherwise than its exchange.
const UNLIKELY: u32 = 3000;
/// The cost of an end of which nothing is known.
const UNRESOLVED: u32 = 5500;
