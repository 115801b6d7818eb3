//! Phase tls: the connection was open, and its two ends did not agree on how to speak, or one of them did not trust the other.
//!
//! ```text
//!   gateway   ClientHello                                  {Finished} [request]
//!   upstream               ServerHello Certificate …                              [response]
//!            ^ nothing, or no TLS: plain                  ^ and then a close: certificate
//!             ^ an alert, whose number says why: alert     ^ an alert-sized record: certificate
//!              ^ a close, or silence: ended
//! ```
//!
//! Only what came before the gateway gave up counts: an upstream answers late, and to nobody.

mod alert;
mod certificate;
mod ended;
mod plain;
pub(super) mod seen;

use std::time::Duration;

use crate::correlate::conversation::Conversation;
use crate::correlate::handshake::Handshake;
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Verdict};
use crate::diagnose::incident::Grade;
use crate::event::{Closing, Moment, Side};

/// Why the TLS handshake with the upstream failed, if it did.
#[must_use]
pub fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    if let Some(verdict) = plain::to_tls(attempt) {
        return Some(verdict);
    }
    let handshake = attempt.conversation.handshake.as_deref()?;
    // What was answered in clear has led to a tunnel, in which others speak.
    let answered = handshake.answered.is_some() || attempt.exchange.response_start.is_some();
    if answered || attempt.exchange.key.number > 1 {
        return None;
    }
    let failing = Failing { attempt, handshake, ends: [Side::Client, Side::Server].map(|side| end(attempt, side)) };
    plain::from_tls(&failing)
        .or_else(|| alert::judge(&failing))
        .or_else(|| certificate::judge(&failing))
        .or_else(|| ended::judge(&failing))
}

/// Whether a verdict on a connection that nobody is known to have waited for says no more than that the gateway completed the
/// handshake and closed: as health checks do.
#[must_use]
pub fn may_be_check(verdict: &Verdict) -> bool {
    verdict.cause == Cause::TlsCertificateRejected
        && verdict.detail == Some(certificate::UNKNOWN)
        && verdict.grade < Grade::Proven
}

/// Whether a port where nobody was ever answered in clear, and that closed at once on the first request in clear, may expect TLS.
#[must_use]
pub fn may_expect_tls(attempt: &Attempt<'_>, closed: Moment) -> bool {
    let early = closed.at.since(attempt.request_sent().at) <= DISLIKES;
    early && !attempt.conversation.is_veiled() && !attempt.exchange.reused && !attempt.endpoint.clear
}

/// What [`may_expect_tls`] says as a candidate.
pub const PERHAPS_TLS: &str = "the port expects TLS: nobody in this capture was answered in clear there, and it closed at once. `openssl s_client` tells";

/// What to say of a client's handshake that failed: no request was sent, so that there is no failure of the gateway.
#[must_use]
pub fn remark(conversation: &Conversation) -> Option<String> {
    let handshake = conversation.handshake.as_deref().filter(|_| conversation.has_failed_handshake())?;
    let server = conversation.server;
    let why = match (handshake.fatal(), conversation.first_close()?) {
        (Some((_, sent, description)), _) => {
            let whose = if sent.sender == Side::Client { "the client's" } else { "its own" };
            format!("{whose} alert {}, {description}", description.0)
        }
        (None, (_, closing, _)) if closing.by == Side::Client => String::from("the client closed"),
        (None, _) => String::from("it closed"),
    };
    Some(format!("TLS handshake of a client with {server} failed: {why}"))
}

/// A handshake that may have failed.
#[derive(Clone, Copy)]
struct Failing<'a> {
    attempt: &'a Attempt<'a>,
    handshake: &'a Handshake,
    /// When `[gateway, upstream]` closed, or said farewell before.
    ends: [Option<Moment>; 2],
}

impl Failing<'_> {
    /// When the gateway gave up: it ended the connection, or answered its client with an error.
    fn until(&self) -> Option<Moment> {
        let [gateway, _] = self.ends;
        let given = self.attempt.given;
        let answered = given.filter(|given| given.retried || given.status.is_none_or(|status| status >= 500));
        gateway.into_iter().chain(answered.map(|given| given.at)).min()
    }

    /// Whether something came before the gateway had given up.
    fn in_time(&self, moment: Moment) -> bool {
        self.until().is_none_or(|until| moment <= until)
    }

    /// Whether the gateway may have sent more than an alert since its Finished, by the time that it had sent up to `sent`: where no
    /// exchanges are told apart, this alone shows that there were some.
    fn may_have_asked(&self, sent: u64) -> bool {
        let [Some((_, own)), _] = &self.handshake.done else { return false };
        !own.seen
            || match self.handshake.alerted(Side::Client, own.end) {
                Some((_, alert)) => alert.start > own.end || sent > alert.end,
                None => sent > own.end,
            }
    }

    /// The gateway's FIN or RST, where it was the first to end the connection.
    fn gateway_left(&self) -> Option<(Moment, Closing, bool)> {
        let [gateway, upstream] = self.ends;
        let gateway = gateway?;
        let first = upstream.is_none_or(|upstream| gateway < upstream);
        self.attempt.gateway_close().filter(|_| first)
    }

    /// The upstream's FIN or RST, where the gateway had not ended the connection before it.
    fn upstream_left(&self) -> Option<(Moment, Closing, bool)> {
        let [gateway, _] = self.ends;
        let first = |close: &Moment| gateway.is_none_or(|end| *close <= end);
        self.attempt.server_close().filter(|(close, ..)| first(close))
    }
}

/// When a side closed, or sent an alert after its Finished, which is a farewell most of the time.
fn end(attempt: &Attempt<'_>, side: Side) -> Option<Moment> {
    let farewell = attempt.conversation.handshake.as_ref().and_then(|handshake| handshake.farewell(side));
    attempt.conversation.ended(side).into_iter().chain(farewell).min()
}

/// Who expects TLS and gets a request in clear closes within this span.
const DISLIKES: Duration = Duration::from_millis(250);
