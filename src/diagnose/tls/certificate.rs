//! The gateway did not accept the upstream's certificate, or the upstream wanted one of the gateway: where an alert says so,
//! and where only lengths and the order of closes do.

use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::response::how;
use crate::diagnose::tls::alert::Fatal;
use crate::diagnose::tls::{Failing, seen};
use crate::event::tls::{AlertDescription, Certificate};
use crate::event::{Moment, Side};

/// Whether an alert is about a certificate of the other side.
pub(super) fn rejects(description: AlertDescription) -> bool {
    matches!(
        description,
        AlertDescription::BAD_CERTIFICATE
            | AlertDescription::UNSUPPORTED_CERTIFICATE
            | AlertDescription::CERTIFICATE_REVOKED
            | AlertDescription::CERTIFICATE_EXPIRED
            | AlertDescription::CERTIFICATE_UNKNOWN
            | AlertDescription::UNKNOWN_CA
    )
}

/// The gateway rejects the certificate with an alert.
pub(super) fn rejected_by(failing: &Failing<'_>, alert: Fatal) -> Verdict {
    let description = alert.description;
    let reason = match description {
        AlertDescription::CERTIFICATE_REVOKED => Reason::plain("revoked"),
        AlertDescription::CERTIFICATE_EXPIRED => visible(failing, alert.moment)
            .filter(|reason| reason.detail == "expired")
            .unwrap_or(Reason::plain("expired")),
        AlertDescription::UNKNOWN_CA => authority(failing).unwrap_or(Reason::plain("unknown_ca")),
        _ => visible(failing, alert.moment).unwrap_or(Reason::plain(UNKNOWN)),
    };
    let why = format!("gateway's alert {}: {description}{}", description.0, reason.behind());
    let verdict = rejected(failing, Grade::Proven, why, &reason);
    if failing.handshake.is_1_3() && reason.detail == "unknown_ca" {
        return verdict.unknown("whether the certificate is self-signed, or its issuer unknown: TLS 1.3 encrypts it");
    }
    verdict
}

/// Whether the gateway had the upstream's certificate before it, and nothing else to object to that has an alert of its own.
pub(super) fn may_have_been_shown(failing: &Failing<'_>) -> bool {
    let shown = failing.handshake.chain(Side::Server).is_some();
    (shown || failing.handshake.is_1_3()) && failing.handshake.done(Side::Client).is_none()
}

/// The gateway broke off with an alert that says nothing, right behind the certificate: that is how a check fails which is not
/// the TLS library's own, as HAProxy's of the name.
pub(super) fn rejected_perhaps(failing: &Failing<'_>, alert: Fatal) -> Verdict {
    let reason = visible(failing, alert.moment).unwrap_or(Reason::plain(UNKNOWN));
    let description = alert.description;
    let why = format!("gateway's alert {}: {description}, on the certificate{}", description.0, reason.behind());
    rejected(failing, Grade::Consistent, why, &reason)
        .or_else(Some(Cause::TlsAlert), "the gateway broke off for another reason than the certificate: its log tells")
}

/// What tells by lengths and closes alone.
pub(super) fn judge(failing: &Failing<'_>) -> Option<Verdict> {
    hidden_alert(failing)
        .or_else(|| client_certificate(failing))
        .or_else(|| after_handshake(failing))
        .or_else(|| before_finished(failing))
}

/// In place of its Finished the gateway sent what is as long as an encrypted alert.
fn hidden_alert(failing: &Failing<'_>) -> Option<Verdict> {
    let (moment, _) = failing.handshake.hidden_alert(Side::Client).filter(|(_, sent)| !sent.after_handshake)?;
    if failing.handshake.done(Side::Client).is_some() || !failing.handshake.is_1_3() {
        return None;
    }
    let why = String::from("gateway sent an alert in place of its Finished, encrypted");
    let verdict = rejected(failing, Grade::Consistent, why, &Reason::plain(UNKNOWN));
    Some(
        seen::steps(failing, verdict, moment)
            .proof(moment, Actor::Gateway, "a record as long as an encrypted alert, where Finished must stand")
            .or_else(Some(Cause::TlsAlert), "an alert about something else than the certificate: TLS 1.3 encrypts it"),
    )
}

/// The handshake was complete, and the gateway closed without asking anything: nginx looks at the certificate then, and
/// Apache at the names in it.
fn after_handshake(failing: &Failing<'_>) -> Option<Verdict> {
    let attempt = failing.attempt;
    let handshake = failing.handshake;
    if attempt.exchange.key.number > 0 {
        return None;
    }
    let [Some((client, own)), Some((server, _))] = &handshake.done else { return None };
    let (close, closing, reset) = failing.gateway_left()?;
    let alert = handshake.alerted(Side::Client, own.end);
    let done = if client > server { *client } else { *server };
    if failing.may_have_asked(closing.at) || close.at.since(done.at) > AT_ONCE || close < done {
        return None;
    }
    let reason = if handshake.is_1_3() { None } else { visible(failing, close) };
    let visible_reason = reason.as_ref().is_some_and(|reason| reason.detail != UNKNOWN);
    let seen_by_client = attempt.given.is_some_and(|given| given.retried || given.status.is_some());
    // Who was served there accepts the certificate, or did: then it is no reason by itself.
    let proven = visible_reason && seen_by_client && !attempt.endpoint.inside;
    let grade = if proven { Grade::Proven } else { Grade::Consistent };
    let reason = reason.unwrap_or(Reason::plain(UNKNOWN));
    let why = format!("gateway closed after the handshake, no request{}", reason.behind());
    let verdict = rejected(failing, grade, why, &reason);
    let mut verdict = seen::steps(failing, verdict, close);
    if let Some((moment, _)) = alert.filter(|(moment, _)| moment.frame != close.frame) {
        verdict = verdict.proof(moment, Actor::Gateway, "a record as long as an alert: close_notify, most likely");
    }
    verdict = verdict.proof(
        close,
        Actor::Gateway,
        format!("{}: closes, and has sent no octet of a request", how(reset).to_uppercase()),
    );
    if grade < Grade::Proven {
        verdict = verdict.or_else(
            None,
            "the gateway had no use for the connection: a reload, a limit of its own, or one opened in advance",
        );
        if !seen_by_client {
            verdict = verdict.or_else(Some(Cause::ClientAbort), "its client had left: the client's leg would show it");
        }
    }
    Some(verdict.rules_out(Cause::TlsClosed, "the gateway closed first", Some(close.frame)))
}

/// The gateway closed where its Finished must stand, and said nothing.
fn before_finished(failing: &Failing<'_>) -> Option<Verdict> {
    let attempt = failing.attempt;
    let (chosen, _) = failing.handshake.chosen.as_ref()?;
    if failing.handshake.done(Side::Client).is_some() || attempt.exchange.key.number > 0 {
        return None;
    }
    let (close, _, reset) = failing.gateway_left()?;
    if close.at.since(chosen.at) > AT_ONCE {
        return None;
    }
    let reason = visible(failing, close).unwrap_or(Reason::plain(UNKNOWN));
    let why = format!("gateway closed in place of its Finished{}", reason.behind());
    let verdict = rejected(failing, Grade::Consistent, why, &reason);
    Some(
        seen::steps(failing, verdict, close)
            .proof(close, Actor::Gateway, format!("{}, where Finished must stand", how(reset).to_uppercase()))
            .or_else(None, "the gateway broke off for a reason of its own: its log tells"),
    )
}

/// The upstream asked for a certificate, got none, and ended it: by what is as long as an alert, or without a word.
fn client_certificate(failing: &Failing<'_>) -> Option<Verdict> {
    let attempt = failing.attempt;
    let handshake = failing.handshake;
    let refused = handshake.hidden_alert(Side::Server).filter(|(moment, _)| failing.in_time(*moment));
    let closed = failing.upstream_left();
    let shown = handshake.chain(Side::Client);
    let none = handshake.none_shown.or(shown.filter(|(_, chain)| chain.own().is_none()).map(|(moment, _)| moment))?;
    let (moment, what) = match (refused, closed) {
        (Some((moment, _)), _) => (moment, String::from("a record as long as an encrypted alert")),
        (None, Some((moment, _, reset))) => (moment, format!("{}, no alert", how(reset).to_uppercase())),
        (None, None) => return None,
    };
    if moment < none || moment.at.since(none.at) > attempt.round_trip().0 * 2 + REFUSES {
        return None;
    }
    let server = attempt.conversation.server;
    let verdict = Verdict::new(
        Cause::TlsClientCertificateRequired,
        Grade::Consistent,
        "upstream asked for a certificate, got none, and broke off",
        format!("{server} asked for a certificate of the gateway, which showed none, and then broke off"),
    )
    .detail("missing");
    let mut verdict = seen::steps(failing, verdict, moment);
    if attempt.exchange.request_start.is_some() && attempt.exchange.started < moment {
        verdict = verdict.proof(attempt.exchange.started, Actor::Gateway, "the request, behind its Finished");
    }
    verdict = verdict.proof(moment, Actor::Upstream, what);
    if let Some((close, _, reset)) = closed.filter(|(close, ..)| *close > moment) {
        verdict = verdict.proof(close, Actor::Upstream, how(reset).to_uppercase());
    }
    Some(
        verdict
            .or_else(
                Some(if attempt.exchange.request_start.is_some() {
                    Cause::ClosedWithoutResponse
                } else {
                    Cause::TlsClosed
                }),
                "the upstream does without a certificate, and closed for another reason",
            )
            .unknown("what the alert says: it is encrypted"),
    )
}

/// Why a certificate is not accepted.
struct Reason {
    detail: &'static str,
    /// Half a line.
    said: String,
}

impl Reason {
    fn plain(detail: &'static str) -> Self {
        Self { detail, said: String::new() }
    }

    /// What it adds to a line.
    fn behind(&self) -> String {
        if self.said.is_empty() { String::new() } else { format!("; {}", self.said) }
    }
}

fn rejected(failing: &Failing<'_>, grade: Grade, why: String, reason: &Reason) -> Verdict {
    let server = failing.attempt.conversation.server;
    let asked = failing.handshake.hello.as_ref().map(|(_, hello)| seen::asks_for(hello)).unwrap_or_default();
    let summary = if reason.said.is_empty() {
        format!("the gateway did not accept the certificate of {server} (asked {asked})")
    } else {
        format!("the gateway did not accept the certificate of {server}: {}", reason.said)
    };
    let verdict = Verdict::new(Cause::TlsCertificateRejected, grade, why, summary).detail(reason.detail);
    let chain = failing.handshake.chain(Side::Server);
    match chain {
        Some((moment, chain)) => {
            let mut verdict = verdict.rules_out(
                Cause::TlsCipherMismatch,
                "version and suite had been agreed upon",
                Some(moment.frame),
            );
            if chain.sent == 1 && matches!(reason.detail, "unknown_ca" | UNKNOWN) {
                verdict = verdict.or_else(
                    None,
                    "the upstream does not send the certificate of its issuer: the chain is one certificate long",
                );
            }
            if !chain.in_order {
                verdict = verdict.or_else(None, "the upstream sends its chain in the wrong order");
            }
            if reason.detail == UNKNOWN && failing.handshake.host().is_none() {
                let names = chain.own().map(seen::names).unwrap_or_default();
                verdict = verdict.unknown(format!(
                    "for which name the gateway checks it: it asked for none, and the certificate is for {names}"
                ));
            }
            verdict
        }
        None if failing.handshake.is_1_3() && reason.said.is_empty() => {
            verdict.unknown("what the certificate says: TLS 1.3 encrypts it. `openssl s_client -showcerts` shows it")
        }
        None if failing.handshake.is_resumed() => {
            verdict.unknown("what the certificate says: the session was resumed, and it was not shown again")
        }
        None => verdict,
    }
}

/// What is wrong with the certificate by what stands in it.
fn visible(failing: &Failing<'_>, at: Moment) -> Option<Reason> {
    let (_, chain) = failing.handshake.chain(Side::Server)?;
    let own = chain.own()?;
    let now = at.at.as_nanos().div_euclid(1_000_000_000);
    let dated = chain.certificates.iter().find_map(|certificate| outdated(certificate, now));
    let foreign = || {
        let host = failing.handshake.host().filter(|_| chain.names_host == Some(false))?;
        let names = seen::names(own);
        Some(Reason { detail: "name_mismatch", said: format!("asked for {host}, the certificate is for {names}") })
    };
    dated.or_else(|| self_signed(own)).or_else(foreign)
}

/// What is wrong with who signed the certificate.
fn authority(failing: &Failing<'_>) -> Option<Reason> {
    let (_, chain) = failing.handshake.chain(Side::Server)?;
    let own = chain.own()?;
    let unknown = Reason { detail: "unknown_ca", said: format!("issued by {}", own.issuer) };
    Some(self_signed(own).unwrap_or(unknown))
}

fn outdated(certificate: &Certificate, now: i64) -> Option<Reason> {
    let whose = || seen::names(certificate);
    if certificate.not_after < now {
        let since = Duration::from_secs(now.saturating_sub(certificate.not_after).unsigned_abs());
        let (day, ago) = (seen::day(certificate.not_after), ago(since));
        return Some(Reason { detail: "expired", said: format!("{} expired on {day}, {ago} ago", whose()) });
    }
    (certificate.not_before > now).then(|| {
        let day = seen::day(certificate.not_before);
        Reason { detail: "not_yet_valid", said: format!("{} is not valid before {day}", whose()) }
    })
}

fn self_signed(own: &Certificate) -> Option<Reason> {
    own.self_signed.then(|| Reason { detail: "self_signed", said: format!("{} is self-signed", seen::names(own)) })
}

/// A long span in days, a short one in what people say.
fn ago(span_of: Duration) -> String {
    match span_of.as_secs() / 86_400 {
        0 => span(span_of),
        1 => String::from("1 day"),
        days => format!("{days} days"),
    }
}

/// The detail of a rejection for which nothing visible is the reason.
pub(super) const UNKNOWN: &str = "unknown";

/// Who refuses a client that has shown no certificate does so within this span.
const REFUSES: Duration = Duration::from_secs(1);
/// Who closes this soon after the handshake does so because of it.
const AT_ONCE: Duration = Duration::from_millis(250);
