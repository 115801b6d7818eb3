//! Attempts that bear one request: a gateway that tries again sends what it sent before. Where the client's leg is inside TLS,
//! this alone tells which attempts belong together, and that one which was followed by another was not the last.
//!
//! ```text
//!   front     | request, inside TLS ------------------------------------| response
//!   attempts    | GET /a ---- x                   | GET /a ------ 200 |
//!                     | GET /b ------------ 200 |
//! ```

use crate::correlate::Correlator;
use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::pair::{AT_ONCE, LONGEST_PAUSE, MOST_CANDIDATES, Window};
use crate::correlate::veiled::is_alike;
use crate::event::Request;
use crate::time::Timestamp;

/// Whether two attempts bear one request; `None` where that is not known.
pub(super) fn bear_same(one: &Exchange, other: &Exchange) -> Option<bool> {
    let whole = |exchange: &'_ Exchange| exchange.request.as_ref().is_some_and(|request| !request.cut);
    if !whole(one) || !whole(other) {
        return None;
    }
    let (one, other) = (one.request.as_ref()?, other.request.as_ref()?);
    Some(is_same(one, other))
}

fn is_same(one: &Request, other: &Request) -> bool {
    // Of most the mark alone tells.
    one.target_mark == other.target_mark
        && one.method_mark == other.method_mark
        && one.content_length == other.content_length
        && one.target() == other.target()
        && one.method() == other.method()
}

impl Correlator {
    /// Whether the gateway sent the same request once more before it answered: then an attempt was not the last one.
    pub(super) fn was_made_again(&self, front: &Exchange, candidate: &Exchange, window: Window) -> bool {
        if has_content(candidate) {
            return false;
        }
        let Some(failed) = self.outcome(candidate, window.until) else { return false };
        self.others_with_same(front, candidate, window).any(|other| {
            let began = self.began(other);
            let follows = began + AT_ONCE >= failed.at && began.since(failed.at) <= LONGEST_PAUSE;
            other.started > candidate.started && follows && (!has_content(other) || is_alike(front, other))
        })
    }

    /// When the gateway sent a request for the first time that it sent again when that had failed.
    pub(super) fn first_made(&self, front: &Exchange, candidate: &Exchange, window: Window) -> Timestamp {
        let began = self.began(candidate);
        let before = self.others_with_same(front, candidate, window).filter(|other| {
            let failed = self.outcome(other, window.until).map_or(window.until, |moment| moment.at);
            !has_content(other) && failed <= began + AT_ONCE && other.started < candidate.started
        });
        before.map(|other| self.began(other)).min().unwrap_or(began).min(began)
    }

    /// Whether an attempt bears the same request as the one that followed it.
    pub(super) fn is_made_again_as(&self, candidate: &Exchange, window: Window) -> Option<bool> {
        bear_same(candidate, self.books.exchange(window.follower?)?)
    }

    /// The same in clear, where gateways that name each request say so themselves: attempts that share an identifier which is not
    /// their client's, and which no other attempt bears, are of one request, however long the gateway paused between them.
    pub(super) fn is_named_as(&self, front: &Exchange, candidate: &Exchange, window: Window) -> bool {
        let Some(follower) = window.follower.and_then(|key| self.books.exchange(key)) else { return false };
        let Some((asked, (one, other))) =
            front.request.as_ref().zip(candidate.request.as_ref().zip(follower.request.as_ref()))
        else {
            return false;
        };
        is_same(one, other)
            && one.marks.iter().any(|mark| {
                let is_shared = other.marks.contains(mark) && !asked.marks.contains(mark);
                is_shared && !self.is_borne_beside(*mark, front.key, [candidate, follower])
            })
    }

    /// Whether a mark stands in any request that the same servers were asked lately, but these two and others that were made for
    /// the same exchange: what a gateway writes into all of its requests stands in most.
    fn is_borne_beside(&self, mark: u64, front: ExchangeKey, these: [&Exchange; 2]) -> bool {
        let lately = these.into_iter().flat_map(|one| self.unsettled.latest(one.hosts.server).take(MOST_COMPARED));
        let others = lately.filter_map(|entry| self.books.exchange(entry.key));
        let mut others =
            others.filter(|other| other.parent != Some(front) && these.iter().all(|one| one.key != other.key));
        let bears = |exchange: &Exchange| exchange.request.as_ref().is_some_and(|asked| asked.marks.contains(&mark));
        let [one, _] = these;
        others.any(|other| bears(other) && !is_attempt_as(other, one))
    }

    fn others_with_same<'a>(
        &'a self,
        front: &'a Exchange,
        candidate: &'a Exchange,
        window: Window,
    ) -> impl Iterator<Item = &'a Exchange> {
        let veiled = front.veiled.is_some() && candidate.request.is_some();
        let others = veiled.then(|| self.orphans_within(front, window).take(MOST_CANDIDATES));
        let others = others.into_iter().flatten().filter(|key| *key != candidate.key);
        others.filter_map(|key| self.books.exchange(key)).filter(|other| bear_same(candidate, other) == Some(true))
    }
}

/// Whether a request may be one more attempt at the same: it bears the same request.
fn is_attempt_as(other: &Exchange, one: &Exchange) -> bool {
    other.hosts.client == one.hosts.client && bear_same(one, other) == Some(true) && !has_content(other)
}

/// Requests of each server that are looked through for what stands in most.
const MOST_COMPARED: usize = 128;

/// Whether an attempt was answered in a way that gives no reason to try again.
fn has_content(attempt: &Exchange) -> bool {
    attempt.is_answered() && attempt.status().is_some_and(|status| status < 500)
}
