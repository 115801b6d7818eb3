//! One end speaks TLS, and the other does not.

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Coverage, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::response::{how, server_moved_first};
use crate::diagnose::tls::{Failing, may_expect_tls, seen};
use crate::event::tls::Spoken;

/// The ClientHello was answered by something that is no TLS.
pub(super) fn from_tls(failing: &Failing<'_>) -> Option<Verdict> {
    let (moment, not_tls) = failing.handshake.not_tls.as_ref()?;
    let server = failing.attempt.conversation.server;
    let spoken = match not_tls.what {
        Spoken::Http1(Some(status)) => format!("HTTP/1 in clear, status {status}"),
        Spoken::Http1(None) => String::from("HTTP/1 in clear"),
        Spoken::Http2 => String::from("HTTP/2 in clear"),
        Spoken::Ssh => String::from("SSH"),
        Spoken::Greeting => String::from("a greeting as SMTP and FTP have it"),
        Spoken::Text => String::from("text"),
        Spoken::Other => String::from("octets that are no TLS"),
    };
    let detail = match not_tls.what {
        Spoken::Http1(_) => "http/1",
        Spoken::Http2 => "http/2",
        Spoken::Ssh => "ssh",
        Spoken::Greeting => "greeting",
        Spoken::Text => "text",
        Spoken::Other => "other",
    };
    let quoted = not_tls.first.get(..24).unwrap_or(&not_tls.first).escape_ascii();
    let verdict = Verdict::new(
        Cause::TlsToPlaintext,
        Grade::Proven,
        format!("ClientHello answered by {spoken}"),
        format!("{server} does not speak TLS on this port: it answered the ClientHello with {spoken}"),
    )
    .detail(detail);
    let verdict = seen::steps(failing, verdict, *moment);
    Some(
        verdict
            .proof(*moment, Actor::Upstream, format!("no TLS record: {quoted}"))
            .rules_out(Cause::TlsClosed, "the upstream answered", Some(moment.frame))
            .rules_out(Cause::TlsAlert, "the answer is no TLS record", Some(moment.frame)),
    )
}

/// A request in clear was answered by a TLS alert, or closed at once on a port where TLS is spoken.
pub(super) fn to_tls(attempt: &Attempt<'_>) -> Option<Verdict> {
    let conversation = attempt.conversation;
    let exchange = attempt.exchange;
    if exchange.request.is_none() || conversation.opaque.is_some() {
        return None;
    }
    let began = conversation.handshake.as_ref().and_then(|handshake| handshake.began);
    let alert = conversation.handshake.as_ref().filter(|_| began.is_none()).and_then(|handshake| handshake.fatal());
    let server = conversation.server;
    if let Some((moment, sent, description)) = alert {
        let answers = moment >= exchange.started && sent.start == 0;
        return answers.then(|| {
            Verdict::new(
                Cause::PlaintextToTls,
                Grade::Proven,
                format!("request in clear answered by a TLS alert ({description})"),
                format!("{server} speaks TLS: it answered the request, which was sent in clear, with an alert"),
            )
            .detail("alert")
            .proof(exchange.started, Actor::Gateway, "the request, in clear")
            .proof(moment, Actor::Upstream, format!("a TLS alert record: {description}"))
            .rules_out(
                Cause::MalformedResponse,
                "the octets are a well-formed TLS record",
                Some(moment.frame),
            )
        });
    }
    closed_at_once(attempt).filter(|_| began.is_none())
}

/// A close right behind the request, without a word, on a port where others speak TLS and nobody was answered in clear; or a
/// reset there on a port of which nothing is known, on a host that speaks TLS on every other one.
fn closed_at_once(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let here = attempt.endpoint.tls;
    if !(here || attempt.among_tls) || exchange.response_start.is_some() {
        return None;
    }
    let (moment, closing, reset) = server_moved_first(attempt)?;
    // An application that fails most likely closes in order: that its host speaks TLS elsewhere says nothing of it.
    let is_told = here || reset;
    if !is_told || !may_expect_tls(attempt, moment) || attempt.coverage(&closing) == Coverage::Nothing {
        return None;
    }
    let waited = moment.at.since(attempt.request_sent().at);
    let server = attempt.conversation.server;
    let said = how(reset).to_uppercase();
    let (place, who) = if here {
        ("on a port that speaks TLS", format!("{server} speaks TLS with others"))
    } else {
        ("on a host that speaks TLS elsewhere", format!("the host of {server} speaks TLS on its other ports"))
    };
    let verdict = Verdict::new(
        Cause::PlaintextToTls,
        Grade::Consistent,
        format!("{said} {} after a request in clear, {place}", span(waited)),
        format!("{who}, and closed at once on a request in clear"),
    )
    .detail(how(reset))
    .proof(exchange.started, Actor::Gateway, "the request, in clear")
    .proof(moment, Actor::Upstream, format!("{said}, no octet of an answer"))
    .or_else(
        Some(if reset { Cause::ResetWithoutResponse } else { Cause::ClosedWithoutResponse }),
        "the port does not expect TLS, and the process behind it failed",
    );
    Some(match reset && !here {
        true => verdict.or_else(Some(Cause::ConnectReset), "the process resets whoever connects, before it reads"),
        false => verdict,
    })
}
