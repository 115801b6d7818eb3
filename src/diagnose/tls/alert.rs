//! An alert in clear: its number says why, and its sender who refused. What came before it tells the rest.

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::Verdict;
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::tls::{Failing, certificate, seen};
use crate::event::tls::{AlertDescription, SentAlert, Version};
use crate::event::{Moment, Side};

/// Why the handshake ended in an alert, or would have to.
pub(super) fn judge(failing: &Failing<'_>) -> Option<Verdict> {
    let Some((moment, sent, description)) = failing.handshake.fatal().filter(|fatal| is_reason(failing, fatal)) else {
        return version_not_offered(failing);
    };
    let alert = Fatal { moment, sent, description };
    let verdict = match (sent.sender, description) {
        (_, AlertDescription::PROTOCOL_VERSION | AlertDescription::INAPPROPRIATE_FALLBACK) => version(failing, alert),
        (_, AlertDescription::UNRECOGNIZED_NAME) => name(failing, alert),
        (_, AlertDescription::NO_APPLICATION_PROTOCOL) => alpn(failing, alert),
        (Side::Client, _) if certificate::rejects(description) => certificate::rejected_by(failing, alert),
        (Side::Client, _) if is_old(failing) => too_old(failing, alert),
        (Side::Client, AlertDescription::HANDSHAKE_FAILURE | AlertDescription::INTERNAL_ERROR)
            if certificate::may_have_been_shown(failing) =>
        {
            certificate::rejected_perhaps(failing, alert)
        }
        (Side::Server, AlertDescription::CERTIFICATE_REQUIRED) => client_certificate(failing, alert, Grade::Proven),
        (Side::Server, _) if failing.handshake.requested.is_some() && is_about_certificates(description) => {
            let showed = failing.handshake.chain(Side::Client);
            // Who showed a certificate may have been refused for something else.
            let refused = certificate::rejects(description) || showed.is_some_and(|(_, chain)| chain.own().is_none());
            client_certificate(failing, alert, if refused { Grade::Proven } else { Grade::Consistent })
        }
        (Side::Server, AlertDescription::HANDSHAKE_FAILURE | AlertDescription::INSUFFICIENT_SECURITY)
            if failing.handshake.chosen.is_none() && sent.start == failing.first_answer() =>
        {
            cipher(failing, alert)
        }
        _ => other(failing, alert),
    };
    let verdict = seen::steps(failing, verdict, moment);
    let from = if sent.sender == Side::Client { Actor::Gateway } else { Actor::Upstream };
    Some(
        verdict
            .proof(moment, from, format!("alert {}: {description}", description.0))
            .rules_out(Cause::TlsClosed, "the side that ended it said why", Some(moment.frame))
            .rules_out(Cause::TlsHandshakeTimeout, "the handshake was answered", Some(moment.frame)),
    )
}

/// The alert that ended a handshake.
#[derive(Clone, Copy)]
pub(super) struct Fatal {
    pub(super) moment: Moment,
    pub(super) sent: SentAlert,
    pub(super) description: AlertDescription,
}

impl Failing<'_> {
    /// Where the server's first octets stand that are no request for another ClientHello.
    fn first_answer(&self) -> u64 {
        self.handshake.retry.map_or(0, |(_, end)| end)
    }
}

/// Whether an alert came before the other side had ended the connection: what comes later answers that.
fn is_reason(failing: &Failing<'_>, (moment, sent, _): &(Moment, SentAlert, AlertDescription)) -> bool {
    let [gateway, upstream] = failing.ends;
    let other = if sent.sender == Side::Server { gateway } else { upstream };
    failing.in_time(*moment) && other.is_none_or(|other| *moment < other)
}

/// Alerts that servers send for want of a certificate of the client, and for one that they do not take.
fn is_about_certificates(description: AlertDescription) -> bool {
    certificate::rejects(description)
        || matches!(description, AlertDescription::HANDSHAKE_FAILURE | AlertDescription::ACCESS_DENIED)
}

fn version(failing: &Failing<'_>, alert: Fatal) -> Verdict {
    let server = failing.attempt.conversation.server;
    let offered = offered_versions(failing);
    let (why, summary) = match alert.sent.sender {
        Side::Server => (
            format!("upstream takes none of {offered}"),
            format!("{server} takes none of the versions that the gateway offers ({offered})"),
        ),
        Side::Client => {
            let chosen = chosen(failing);
            (
                format!("gateway does not take {chosen}"),
                format!("the gateway does not take {chosen}, which {server} chose (it offers {offered})"),
            )
        }
    };
    Verdict::new(Cause::TlsVersionMismatch, Grade::Proven, why, summary)
        .detail("alert")
        .rules_out(Cause::TlsCipherMismatch, "the alert is about the version", Some(alert.moment.frame))
        .unknown(match alert.sent.sender {
            Side::Server => "which versions the upstream takes: it does not say",
            Side::Client => "which versions the upstream could have chosen instead",
        })
}

/// The server chose a version that was not offered. It may be that the gateway did not say so.
fn version_not_offered(failing: &Failing<'_>) -> Option<Verdict> {
    let (moment, chosen) = failing.handshake.chosen.as_ref()?;
    if chosen.version_offered != Some(false) || failing.handshake.is_done() {
        return None;
    }
    let server = failing.attempt.conversation.server;
    let offered = offered_versions(failing);
    let verdict = Verdict::new(
        Cause::TlsVersionMismatch,
        Grade::Proven,
        format!("upstream chose {}, offered was {offered}", chosen.version),
        format!("{server} chose {}, which the gateway does not offer ({offered})", chosen.version),
    )
    .detail("not_offered");
    Some(seen::steps(failing, verdict, *moment))
}

/// Whether the server chose a version that most no longer take (RFC 8996).
fn is_old(failing: &Failing<'_>) -> bool {
    failing.handshake.version().is_some_and(|version| version < Version::TLS_1_2)
}

/// The gateway broke off because of what a version of before TLS 1.2 brings with it: signatures with MD5 and SHA-1.
fn too_old(failing: &Failing<'_>, alert: Fatal) -> Verdict {
    let server = failing.attempt.conversation.server;
    let chosen = chosen(failing);
    Verdict::new(
        Cause::TlsVersionMismatch,
        Grade::Consistent,
        format!("upstream chose {chosen}; gateway broke off ({})", alert.description),
        format!("{server} speaks {chosen} at most; the gateway offers that, but broke off ({})", alert.description),
    )
    .detail("too_old")
    .or_else(
        Some(Cause::TlsAlert),
        "the gateway broke off for another reason than the version: its log has OpenSSL's words",
    )
    .unknown("what the gateway did not like: signatures of that age are weaker than most now allow")
}

fn cipher(failing: &Failing<'_>, alert: Fatal) -> Verdict {
    let server = failing.attempt.conversation.server;
    let hello = failing.handshake.hello.as_ref().map(|(_, hello)| &**hello);
    let offered = hello.map_or_else(|| String::from("unseen suites"), seen::suite_names);
    let asked = hello.map_or_else(|| String::from("for an unseen host"), seen::asks_for);
    // The alert is also that of some servers that have nothing for the host.
    let certain = failing.attempt.serves_host || alert.description == AlertDescription::INSUFFICIENT_SECURITY;
    let verdict = Verdict::new(
        Cause::TlsCipherMismatch,
        if certain && hello.is_some() { Grade::Proven } else { Grade::Consistent },
        format!("upstream takes nothing that the gateway offers ({})", alert.description),
        format!("{server} found no suite, curve or signature that it can use among what the gateway offers: {offered}"),
    )
    .detail("alert")
    .rules_out(Cause::TlsVersionMismatch, "that has an alert of its own", Some(alert.moment.frame))
    .rules_out(Cause::TlsClientCertificateRequired, "no certificate had been asked for", Some(alert.moment.frame))
    .unknown("which suites and curves the upstream takes: it does not say");
    if certain {
        return verdict;
    }
    verdict.or_else(
        Some(Cause::TlsNameRejected),
        format!("the upstream has no certificate {asked}: some servers say it with this alert"),
    )
}

fn name(failing: &Failing<'_>, alert: Fatal) -> Verdict {
    let server = failing.attempt.conversation.server;
    let host = failing.handshake.host();
    let (why, summary) = match (failing.handshake.hello.is_some(), host) {
        (true, Some(host)) => (format!("upstream does not serve {host}"), format!("{server} does not serve {host}")),
        (true, None) => (
            String::from("gateway asked for no host (no SNI)"),
            format!("{server} serves by name, and the gateway asked for none (no SNI)"),
        ),
        (false, _) => (
            String::from("upstream does not serve the host asked for"),
            format!("{server} does not serve the host that the gateway asked for"),
        ),
    };
    let detail = if host.is_none() && failing.handshake.hello.is_some() { "no_name" } else { "unknown_name" };
    Verdict::new(Cause::TlsNameRejected, Grade::Proven, why, summary)
        .detail(detail)
        .rules_out(Cause::TlsCertificateRejected, "it was not the gateway that ended it", Some(alert.moment.frame))
        .unknown("which hosts the upstream serves")
}

fn alpn(failing: &Failing<'_>, alert: Fatal) -> Verdict {
    let server = failing.attempt.conversation.server;
    let offered = failing.handshake.hello.as_ref().map(|(_, hello)| hello.alpn.join(", "));
    let offered = offered.filter(|offered| !offered.is_empty()).unwrap_or_else(|| String::from("none"));
    Verdict::new(
        Cause::TlsAlpnMismatch,
        Grade::Proven,
        format!("upstream takes no protocol of: {offered}"),
        format!("{server} takes none of the protocols that the gateway offers (ALPN: {offered})"),
    )
    .rules_out(Cause::TlsCipherMismatch, "the alert is about the protocol inside", Some(alert.moment.frame))
    .unknown("which protocols the upstream takes")
}

fn client_certificate(failing: &Failing<'_>, alert: Fatal, grade: Grade) -> Verdict {
    let server = failing.attempt.conversation.server;
    let chain = failing.handshake.chain(Side::Client);
    let description = alert.description;
    let required = description == AlertDescription::CERTIFICATE_REQUIRED;
    let (detail, why, summary) = match chain.map(|(_, chain)| chain.own()) {
        Some(Some(own)) => (
            Some("rejected"),
            format!("upstream rejects the gateway's certificate ({description})"),
            format!("{server} does not accept the gateway's certificate ({}): {description}", own.subject),
        ),
        None if !required => (
            None,
            format!("upstream asked for a certificate ({description})"),
            format!("{server} asked the gateway for a certificate, and did not get one that it takes: {description}"),
        ),
        Some(None) | None => (
            Some("missing"),
            format!("gateway showed no certificate ({description})"),
            format!("{server} demands a certificate of the gateway, which showed none: {description}"),
        ),
    };
    let mut verdict = Verdict::new(Cause::TlsClientCertificateRequired, grade, why, summary);
    verdict.detail = detail;
    if let Some(requested) = failing.handshake.requested {
        let because = "the upstream asked for a certificate before it refused";
        verdict = verdict.rules_out(Cause::TlsCipherMismatch, because, Some(requested.frame));
    }
    if grade < Grade::Proven {
        verdict = verdict.or_else(Some(Cause::TlsAlert), "the upstream refused something else: its log tells");
    }
    verdict
}

fn other(failing: &Failing<'_>, alert: Fatal) -> Verdict {
    let server = failing.attempt.conversation.server;
    let description = alert.description;
    let (who, whom) = match alert.sent.sender {
        Side::Server => (server.to_string(), String::from("the gateway")),
        Side::Client => (String::from("the gateway"), server.to_string()),
    };
    let side = if alert.sent.sender == Side::Server { "upstream" } else { "gateway" };
    Verdict::new(
        Cause::TlsAlert,
        Grade::Proven,
        format!("{side}'s alert {}: {description}", description.0),
        format!("{who} broke the handshake with {whom} off by alert {}, {description}", description.0),
    )
    .detail(description.name().unwrap_or("unassigned"))
    .unknown("what led to it: the side that sent the alert knows")
}

fn offered_versions(failing: &Failing<'_>) -> String {
    let hello = failing.handshake.hello.as_ref();
    hello.map_or_else(|| String::from("unseen versions"), |(_, hello)| seen::versions(&hello.versions))
}

fn chosen(failing: &Failing<'_>) -> String {
    failing.handshake.version().map_or_else(|| String::from("what was chosen"), |version| version.to_string())
}
