//! Attempts that bear one request: a gateway that tries again sends what it sent before. Where the client's leg is inside TLS,
//! this alone tells which attempts belong together, and that one which was followed by another was not the last.
//!
//! ```text
//!   front     | request, inside TLS ------------------------------------| response
//!   attempts    | GET /a ---- x                   | GET /a ------ 200 |
//!                     | GET /b ------------ 200 |
//! ```

use std::cell::RefCell;

use smallvec::SmallVec;

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

/// The attempts of windows that were not answered with content, as found while nothing changes: each candidate of an exchange is
/// held against the same ones.
#[derive(Debug, Default)]
pub(super) struct Unserved(RefCell<Option<Vec<Known>>>);

/// Of which exchange, from when until when, and what was found.
type Known = (ExchangeKey, [Timestamp; 2], Found);
type Found = SmallVec<[ExchangeKey; 8]>;

impl Unserved {
    /// From here on nothing changes, until [`Unserved::forget`].
    pub(super) fn remember(&self) {
        self.0.replace(Some(Vec::new()));
    }

    /// Something may change.
    pub(super) fn forget(&self) {
        self.0.replace(None);
    }

    /// What `ask` says of those within an exchange's window, which `find` finds.
    fn those_within<T>(
        &self,
        front: ExchangeKey,
        window: Window,
        find: impl FnOnce() -> Found,
        ask: impl FnOnce(&[ExchangeKey]) -> T,
    ) -> T {
        let span = [window.from, window.until];
        let mut known = self.0.borrow_mut();
        let Some(known) = known.as_mut() else { return ask(&find()) };
        if let Some((.., found)) = known.iter().find(|(of, within, _)| *of == front && *within == span) {
            return ask(found);
        }
        let found = find();
        let said = ask(&found);
        known.push((front, span, found));
        said
    }
}

impl Correlator {
    /// Whether the gateway sent the same request once more before it answered: then an attempt was not the last one.
    pub(super) fn was_made_again(&self, front: &Exchange, candidate: &Exchange, window: Window) -> bool {
        if has_content(candidate) || front.veiled.is_none() || candidate.request.is_none() {
            return false;
        }
        let Some(failed) = self.outcome(candidate, window.until) else { return false };
        self.made_within(front, window).any(|other| {
            let began = self.began(other);
            let follows = began + AT_ONCE >= failed.at && began.since(failed.at) <= LONGEST_PAUSE;
            let may_be =
                other.started > candidate.started && follows && (!has_content(other) || is_alike(front, other));
            may_be && bear_same(candidate, other) == Some(true)
        })
    }

    /// When the gateway sent a request for the first time that it sent again when that had failed.
    pub(super) fn first_made(&self, front: &Exchange, candidate: &Exchange, window: Window) -> Timestamp {
        let began = self.began(candidate);
        if front.veiled.is_none() || candidate.request.is_none() {
            return began;
        }
        let find = || self.made_within(front, window).filter(|made| !has_content(made)).map(|made| made.key).collect();
        let first = self.unserved.those_within(front.key, window, find, |others| {
            let others = others.iter().filter_map(|key| self.books.exchange(*key));
            let before = others.filter(|other| {
                if other.started >= candidate.started {
                    return false;
                }
                let failed = self.outcome(other, window.until).map_or(window.until, |moment| moment.at);
                failed <= began + AT_ONCE && bear_same(candidate, other) == Some(true)
            });
            before.map(|other| self.began(other)).min()
        });
        first.map_or(began, |first| first.min(began))
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

    /// What may have been made for an exchange in a window.
    fn made_within(&self, front: &Exchange, window: Window) -> impl Iterator<Item = &Exchange> {
        self.orphans_within(front, window).take(MOST_CANDIDATES).filter_map(|key| self.books.exchange(key))
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
