//! Exchanges inside TLS, of which nothing but time and octets is seen: how much of them fits an attempt, and when they have
//! come to rest.
//!
//! A gateway passes messages on with fields of its own added and others taken away, so that what stands on one leg is about
//! as long as on the other. An answer that it makes by itself has nothing to do with what it got.

use std::time::Duration;

use crate::correlate::Correlator;
use crate::correlate::conversation::{Conversation, Exchange, ExchangeKey};
use crate::correlate::pair::{AT_ONCE, Window};
use crate::event::{Ending, Opaque, Side};
use crate::time::Timestamp;

/// What speaks against a candidate where it or the exchange is inside TLS; `None` where it cannot be.
pub(super) fn mismatch(front: &Exchange, candidate: &Exchange, window: Window) -> Option<u32> {
    let asked = front.request_octets().zip(candidate.request_octets().filter(|_| candidate.request_end.is_some()));
    let mut penalty = asked.map_or(0, |(wanted, sent)| unlike(wanted, sent));
    let named = candidate.request.as_ref().and_then(|request| request.forwarded_for);
    if front.request.is_none() && named.is_some_and(|named| named.address != front.client.ip()) {
        penalty += ANOTHER_CLIENT;
    }
    let answered = candidate.is_answered();
    if window.next.is_some() {
        // An answer below 500 gave the gateway no reason to try again; one that cannot be read may have been above.
        let content = answered && candidate.status().is_none_or(|status| status < 500);
        return (!content).then_some(penalty);
    }
    if front.status().is_some_and(|status| status < 500) && candidate.response_start.is_none() {
        return None;
    }
    let is_own = front.status().is_some_and(|status| status >= 500) && candidate.status() != front.status();
    if answered && !is_own {
        let octets = front.response_octets().zip(candidate.response_octets());
        penalty += octets.map_or(0, |(given, got)| unlike(given, got));
    }
    Some(penalty)
}

/// Whether a gateway passed an attempt's answer on, as far as both can be read.
pub(super) fn has_passed_on(front: &Exchange, attempt: &Exchange) -> bool {
    front.veiled.is_some() || attempt.status() == front.status()
}

/// Whether an answer is about as long as what a client got inside TLS.
pub(super) fn is_alike(front: &Exchange, attempt: &Exchange) -> bool {
    let octets = front.response_octets().zip(attempt.response_octets());
    octets.is_none_or(|(given, got)| given.abs_diff(got) <= USUAL_FIELDS)
}

/// How improbable it is that messages of such lengths are one, in thousandths of a logarithm.
fn unlike(one: u64, other: u64) -> u32 {
    let octets = one.abs_diff(other).saturating_sub(USUAL_FIELDS);
    let surprise = (octets as f64 / USUAL_FIELDS as f64).ln_1p() * 500.0;
    (surprise as u32).min(MOST_UNLIKE)
}

impl Exchange {
    /// Whether its request was seen, be it from outside.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.request.is_some() || self.veiled.is_some()
    }

    /// Whether the beginning of its request was seen.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.is_asked() || self.request_start.is_some()
    }

    /// Octets of the request, as far as it was seen.
    #[must_use]
    pub fn request_octets(&self) -> Option<u64> {
        self.veiled.map(|veiled| veiled.request_octets).or_else(|| self.request_size())
    }

    /// Octets of the response so far: header section and content.
    #[must_use]
    pub fn response_octets(&self) -> Option<u64> {
        let end = self.response_end?;
        let start = self.response_start.as_ref()?;
        Some(if self.veiled.is_some() { end.content } else { end.end.saturating_sub(start.at) })
    }
}

impl Correlator {
    /// How soon after the end of an exchange an attempt was let go of, where that is what ended it: its client, inside TLS, had left
    /// without an answer, or the gateway had found fault with what it got in the handshake, and said so to its client first.
    pub(super) fn let_go_after(&self, front: &Exchange, candidate: &Exchange, window: Window) -> Option<Duration> {
        let left = front.veiled.is_some() && front.response_start.is_none();
        let conversation = self.books.conversation(candidate.key.connection).filter(|_| window.next.is_none())?;
        let in_handshake = candidate.key.number == 0 && conversation.opaque == Some(Opaque::Tls);
        let (close, closing, _) = conversation.first_close()?;
        let after = close.at.since(window.until);
        let follows = left && closing.by == Side::Client && after <= FOLLOWS || in_handshake && after <= AT_ONCE;
        (close.at >= window.until && follows).then_some(after)
    }

    /// Whether a connection that came to nothing after a TLS handshake is like those that the gateway makes on its own account.
    pub(super) fn is_handshake_probe(&self, candidate: &Exchange) -> bool {
        let conversation = self.books.conversation(candidate.key.connection).filter(|_| candidate.key.number == 0);
        let by_gateway =
            conversation.and_then(Conversation::first_close).is_some_and(|(_, closing, _)| closing.by == Side::Client);
        by_gateway && self.places.is_probed(candidate.place)
    }

    /// Whether an exchange inside TLS may still grow: nothing tells where its response ends, but that no more of it comes, and
    /// that the attempt made for it is over.
    pub(super) fn is_growing(&self, key: ExchangeKey, now: Timestamp) -> bool {
        let Some(front) = self.books.exchange(key).filter(|exchange| exchange.veiled.is_some()) else { return false };
        let open = self.books.conversation(key.connection).is_some_and(|conversation| conversation.gone.is_none());
        let unmeasured = front.response_end.is_some_and(|end| end.how == Ending::Unmeasured);
        if !open || !unmeasured {
            return false;
        }
        let is_fresh = front.last_response.is_some_and(|last| now.since(last.at) < self.settle);
        is_fresh || self.has_running_attempt(front)
    }
}

/// Octets by which the fields that a gateway adds or takes away usually change a message.
const USUAL_FIELDS: u64 = 256;
/// What counts against messages of whatever lengths: one may have been compressed on the way.
const MOST_UNLIKE: u32 = 2500;
/// What counts against an attempt that names another client: it may be one behind a proxy that the gateway trusts.
const ANOTHER_CLIENT: u32 = 1500;
/// A gateway that ends a request because its client has left does so within this span.
const FOLLOWS: Duration = Duration::from_millis(250);
