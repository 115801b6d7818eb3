//! The handshake ended, and nobody said why: the upstream closed, or nothing came until the gateway gave up.

use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::response::how;
use crate::diagnose::tls::{Failing, seen};
use crate::diagnose::{no_answer, request};
use crate::event::{Closing, Moment, Side};

/// How it ended.
pub(super) fn judge(failing: &Failing<'_>) -> Option<Verdict> {
    failing.handshake.began?;
    match failing.upstream_left() {
        Some((moment, closing, reset)) => closed(failing, moment, &closing, reset),
        None => gave_up(failing),
    }
}

/// The upstream closed.
fn closed(failing: &Failing<'_>, moment: Moment, closing: &Closing, reset: bool) -> Option<Verdict> {
    let attempt = failing.attempt;
    let handshake = failing.handshake;
    let server = attempt.conversation.server;
    let hello = handshake.hello.as_ref()?;
    if attempt.exchange.key.number > 0 || closing.refuses_syn {
        return None;
    }
    if let Some(verdict) = request::forged(attempt, moment, closing, reset) {
        return Some(verdict);
    }
    let read = handshake.acknowledged.is_some() || closing.acknowledged.is_some_and(|ack| ack >= hello.1.end);
    if !read && reset {
        let mut verdict = request::reset_verdict(attempt, moment, closing);
        if closing.acknowledged.is_none() {
            verdict.lower(Grade::Consistent, request::GONE);
        }
        return Some(verdict);
    }
    let said = how(reset).to_uppercase();
    if failing.may_have_asked(closing.peer_sent) {
        return None;
    }
    let (alert, _) = handshake.hidden_alert(Side::Server).unzip();
    if handshake.is_done() || alert.is_some() {
        return Some(closed_after(failing, moment, reset, alert));
    }
    let waited = span(moment.at.since(hello.0.at));
    let stage = match (&handshake.chosen, read) {
        (Some(_), _) => "after its ServerHello",
        (None, true) => "on the ClientHello",
        (None, false) => "before it had the ClientHello",
    };
    let plain = attempt.endpoint.clear && !attempt.endpoint.tls;
    let cause = if plain { Cause::TlsToPlaintext } else { Cause::TlsClosed };
    let summary = if plain {
        format!("{server} speaks HTTP in clear with others, and closed {stage}, without an alert")
    } else {
        format!("{server} closed {stage}, {waited} later, without an alert")
    };
    // By its numbers the upstream had said nothing else before, and heard nothing else.
    let silent = handshake.chosen.is_some() || closing.at == 0;
    let whole = closing.acknowledged == Some(hello.1.end) && silent;
    let grade = if whole && !plain { Grade::Proven } else { Grade::Consistent };
    let verdict = Verdict::new(cause, grade, format!("{said} {stage}, no alert"), summary).detail(how(reset));
    let mut verdict = seen::steps(failing, verdict, moment);
    if let Some(acknowledged) = handshake.acknowledged.filter(|acknowledged| *acknowledged < moment) {
        verdict = verdict.proof(acknowledged, Actor::Upstream, "acknowledges the ClientHello");
    }
    verdict = verdict
        .proof(moment, Actor::Upstream, format!("{said} {stage}"))
        .rules_out(Cause::TlsHandshakeTimeout, "the upstream closed first", Some(moment.frame))
        .rules_out(Cause::TlsAlert, "no alert came before the close", Some(moment.frame));
    if plain {
        verdict = verdict.or_else(Some(Cause::TlsClosed), "the port speaks both, and what serves TLS there failed");
    } else if !read {
        verdict =
            verdict.or_else(Some(Cause::ClosedWithoutResponse), "the upstream closes whatever it is sent, or nothing");
    }
    Some(verdict.unknown(
        "why: a crash, a limit, a filter by name, or a plain-text service that does not like what it is sent look the same",
    ))
}

/// The upstream closed once the handshake was done, before it was asked anything.
fn closed_after(failing: &Failing<'_>, moment: Moment, reset: bool, alert: Option<Moment>) -> Verdict {
    let server = failing.attempt.conversation.server;
    let said = how(reset).to_uppercase();
    let refuses = alert.filter(|_| failing.handshake.is_1_3());
    let (cause, why) = match refuses {
        Some(_) => (Cause::TlsAlert, String::from("upstream sent an encrypted alert after the gateway's Finished")),
        None => (Cause::ClosedWithoutResponse, format!("{said} after the handshake, before any request")),
    };
    let verdict = Verdict::new(
        cause,
        Grade::Consistent,
        why,
        format!("{server} closed as soon as the handshake was done, before it had a request"),
    )
    .detail(if refuses.is_some() { "encrypted" } else { "before_request" });
    let mut verdict = seen::steps(failing, verdict, moment);
    if let Some(alert) = alert.filter(|alert| alert.frame != moment.frame) {
        verdict = verdict.proof(alert, Actor::Upstream, "a record as long as an encrypted alert");
    }
    verdict = verdict.proof(moment, Actor::Upstream, format!("{said}; no request was sent yet"));
    if failing.handshake.is_1_3() {
        verdict = verdict.or_else(
            Some(Cause::TlsClientCertificateRequired),
            "the upstream wants a certificate of the gateway, or another one: TLS 1.3 encrypts what it asked for",
        );
    }
    if refuses.is_some() {
        verdict = verdict.or_else(Some(Cause::ClosedWithoutResponse), "the record says close_notify: a plain close");
    }
    verdict
}

/// Nothing came, or not enough, until the gateway gave up.
fn gave_up(failing: &Failing<'_>) -> Option<Verdict> {
    let attempt = failing.attempt;
    let handshake = failing.handshake;
    let until = failing.until()?;
    let (hello, told) = handshake.hello.as_ref()?;
    if handshake.is_done() || attempt.exchange.key.number > 0 {
        return None;
    }
    let chosen = handshake.chosen.as_ref().map(|(moment, _)| *moment);
    let since = chosen.or(handshake.retry.map(|(moment, _)| moment)).unwrap_or(*hello);
    let waited = until.at.since(since.at);
    let server = attempt.conversation.server;
    if waited < SHORTEST_WAIT {
        return None;
    }
    if let Some(verdict) = lost(failing, until).or_else(|| unread(failing, until, told.end)) {
        return Some(verdict);
    }
    let stage = if chosen.is_some() { "after its ServerHello" } else { "after the ClientHello" };
    let plain = attempt.endpoint.clear && !attempt.endpoint.tls && chosen.is_none();
    // A gateway that waited too long says so to its client. One that closes on both may have ended for its own reasons.
    let visible = attempt.given.is_some_and(|given| given.status.is_some() || given.retried);
    let acknowledged = handshake.acknowledged.filter(|acknowledged| *acknowledged < until);
    let known = acknowledged.is_some() || chosen.is_some();
    // And it closes on the upstream, of which by its acknowledgement it has nothing that was not seen.
    let left = failing.gateway_left().is_some_and(|(_, closing, _)| {
        chosen.is_some() && closing.acknowledged.is_some() || closing.acknowledged == Some(0)
    });
    let grade = if visible && known && left && !plain { Grade::Proven } else { Grade::Consistent };
    let (cause, summary) = if plain {
        (
            Cause::TlsToPlaintext,
            format!(
                "{server} speaks HTTP in clear with others, and left the ClientHello unanswered for {}",
                span(waited)
            ),
        )
    } else {
        (
            Cause::TlsHandshakeTimeout,
            format!(
                "{server} took the connection, and did not go on {stage}; the gateway gave up after {}",
                span(waited)
            ),
        )
    };
    let verdict = Verdict::new(cause, grade, format!("nothing {stage} for {}", span(waited)), summary);
    let mut verdict = seen::steps(failing, verdict, until);
    if let Some(acknowledged) = acknowledged {
        verdict = verdict.proof(acknowledged, Actor::Upstream, "acknowledges the ClientHello");
    }
    if let Some((close, _, reset)) = attempt.gateway_close() {
        let said = how(reset).to_uppercase();
        verdict =
            verdict.proof(close, Actor::Gateway, format!("{said} after {}: the gateway closes first", span(waited)));
    }
    verdict = verdict.rules_out(Cause::TlsClosed, "the upstream did not close first", Some(until.frame));
    if plain {
        verdict = verdict.or_else(Some(Cause::TlsHandshakeTimeout), "the port speaks both, and what serves TLS hung");
    } else if !attempt.endpoint.tls && chosen.is_none() {
        verdict =
            verdict.unknown("whether the port speaks TLS at all: nobody in this capture was answered in TLS there");
    }
    Some(no_answer::or_ended(attempt, verdict))
}

/// The upstream did answer: its sequence numbers moved, and the octets never came by.
fn lost(failing: &Failing<'_>, until: Moment) -> Option<Verdict> {
    let attempt = failing.attempt;
    let (moment, octets) =
        attempt.conversation.server_ahead.filter(|(moment, octets)| *octets > 1 && *moment < until)?;
    let server = attempt.conversation.server;
    let verdict = Verdict::new(
        Cause::ResponseLost,
        Grade::Consistent,
        format!("{octets} octets of the handshake sent and never received"),
        format!("{server} sent {octets} octets of its handshake that never reached the gateway: small packets pass, these did not"),
    )
    .detail("handshake");
    let verdict = seen::steps(failing, verdict, until);
    Some(
        verdict
            .proof(moment, Actor::Upstream, format!("sequence number {octets} octets ahead of everything received"))
            .rules_out(Cause::TlsHandshakeTimeout, "the upstream had answered", Some(moment.frame))
            .or_else(None, "a path MTU black hole: certificates fill whole packets. Try `ping -M do -s 1472` towards the gateway from the upstream"),
    )
}

/// The ClientHello went out again and again, and was never acknowledged.
fn unread(failing: &Failing<'_>, until: Moment, end: u64) -> Option<Verdict> {
    let conversation = failing.attempt.conversation;
    if failing.handshake.acknowledged.is_some() || failing.handshake.chosen.is_some() {
        return None;
    }
    let of_hello = conversation
        .repeats
        .iter()
        .filter(|repeat| repeat.sender == Side::Client && repeat.offset < end && repeat.moment <= until);
    let count = of_hello.clone().count();
    let first = of_hello.clone().next()?.moment;
    let server = conversation.server;
    let verdict = Verdict::new(
        Cause::RequestLost,
        Grade::Consistent,
        format!("ClientHello repeated {count} ×, never acknowledged"),
        format!("the ClientHello to {server} ({end} octets) was repeated and never acknowledged: it did not get there"),
    )
    .detail("client_hello");
    Some(
        seen::steps(failing, verdict, first)
            .proof(first, Actor::Gateway, "octets of the ClientHello again")
            .rules_out(Cause::TlsHandshakeTimeout, "the upstream's kernel never acknowledged it", Some(first.frame))
            .or_else(
                None,
                "a device on the way drops it: one that filters by name, or chokes on a ClientHello of two segments",
            )
            .or_else(None, "a path MTU black hole: try `ping -M do -s 1472` towards the upstream"),
    )
}

/// A gateway that gives up sooner than this hardly does so for waiting.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
