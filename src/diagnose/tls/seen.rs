//! What of a handshake was seen, as evidence.

use crate::correlate::handshake::{Chain, Handshake};
use crate::diagnose::evidence::Verdict;
use crate::diagnose::incident::Actor;
use crate::diagnose::tls::Failing;
use crate::event::tls::{Certificate, ClientHello, ServerHello, Suite, Version};
use crate::event::{Moment, Side};
use crate::time::Timestamp;

/// The steps of the handshake before `end`, as evidence.
pub(super) fn steps(failing: &Failing<'_>, mut verdict: Verdict, end: Moment) -> Verdict {
    for (moment, side, what) in rows(failing.handshake) {
        if moment <= end {
            let from = if side == Side::Client { Actor::Gateway } else { Actor::Upstream };
            verdict = verdict.proof(moment, from, what);
        }
    }
    verdict
}

/// The steps of a handshake in the order of the frames: when, whose, and what.
pub(in crate::diagnose) fn rows(handshake: &Handshake) -> Vec<(Moment, Side, String)> {
    let mut rows = Vec::new();
    if let Some((moment, hello)) = &handshake.hello {
        rows.push((*moment, Side::Client, client_hello(hello)));
    }
    if let Some((moment, _)) = handshake.retry {
        rows.push((moment, Side::Server, String::from("HelloRetryRequest")));
    }
    if let Some((moment, hello)) = &handshake.chosen {
        rows.push((*moment, Side::Server, server_hello(hello)));
    }
    if let Some((moment, chain)) = handshake.chain(Side::Server) {
        rows.push((moment, Side::Server, certificates(chain)));
    }
    if let Some(moment) = handshake.requested {
        rows.push((moment, Side::Server, String::from("CertificateRequest")));
    }
    if let Some((moment, chain)) = handshake.chain(Side::Client) {
        rows.push((moment, Side::Client, certificates(chain)));
    }
    if let Some(moment) = handshake.none_shown {
        rows.push((moment, Side::Client, String::from("a record as long as an empty list of certificates")));
    }
    for side in [Side::Server, Side::Client] {
        // In TLS 1.3 the server's is made out by the client's, in whose frame it is not.
        let own = handshake.done(side).filter(|own| side == Side::Client || Some(*own) != handshake.done(Side::Client));
        if let Some(moment) = own {
            rows.push((moment, side, String::from("Finished")));
        }
    }
    rows.sort_by_key(|(moment, ..)| *moment);
    rows
}

/// The rows of a handshake that failed, with its alerts and what was no TLS.
pub(in crate::diagnose) fn ladder(handshake: &Handshake) -> Vec<(Moment, Side, String)> {
    let mut rows = rows(handshake);
    for (moment, sent) in &handshake.alerts {
        let what = match sent.alert {
            Some(alert) => format!("alert: {}", alert.description),
            None if sent.certain => String::from("alert, encrypted"),
            None => String::from("a record as long as an alert"),
        };
        rows.push((*moment, sent.sender, what));
    }
    if let Some((moment, not_tls)) = &handshake.not_tls {
        let quoted = not_tls.first.get(..16).unwrap_or(&not_tls.first).escape_ascii();
        rows.push((*moment, not_tls.sender, format!("no TLS: {quoted}")));
    }
    rows
}

fn client_hello(hello: &ClientHello) -> String {
    let form = if hello.ssl_2 { " in SSL 2.0's form" } else { "" };
    format!("ClientHello{form} {}: {}, {} suites", asks_for(hello), versions(&hello.versions), suites(hello).count())
}

fn server_hello(hello: &ServerHello) -> String {
    format!("ServerHello: {}, {}", hello.version, hello.suite)
}

/// A chain of certificates: whose, and until when.
fn certificates(chain: &Chain) -> String {
    let Some(own) = chain.own() else { return String::from("Certificate: none") };
    let order = if chain.in_order { "" } else { ", not in order" };
    let plural = if chain.sent == 1 { "" } else { "s" };
    format!(
        "Certificate for {} by {}, valid until {} ({} certificate{plural}{order})",
        names(own),
        own.issuer,
        day(own.not_after),
        chain.sent
    )
}

/// The host that a ClientHello asks for.
pub(super) fn asks_for(hello: &ClientHello) -> String {
    hello.server_name.as_ref().map_or_else(|| String::from("for no host (no SNI)"), |host| format!("for {host}"))
}

/// Versions, the greatest first.
pub(super) fn versions(versions: &[Version]) -> String {
    let mut sorted: Vec<Version> = versions.to_vec();
    sorted.sort_by_key(|version| std::cmp::Reverse(version.0));
    let named: Vec<String> = sorted.iter().map(ToString::to_string).collect();
    if named.is_empty() { String::from("no version") } else { named.join(", ") }
}

/// The suites that a ClientHello offers, without what is none.
pub(super) fn suites(hello: &ClientHello) -> impl Iterator<Item = Suite> {
    let none = [Suite::EMPTY_RENEGOTIATION_INFO, Suite::FALLBACK];
    hello.suites.iter().copied().filter(move |suite| !none.contains(suite))
}

/// The names of suites, the first few.
pub(super) fn suite_names(hello: &ClientHello) -> String {
    let all: Vec<String> = suites(hello).map(|suite| suite.to_string()).collect();
    let (first, rest) = all.split_at(all.len().min(FEW_SUITES));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!("{}{more}", first.join(", "))
}

/// The names that a certificate is for.
pub(super) fn names(certificate: &Certificate) -> String {
    let listed = if certificate.names.is_empty() { &certificate.common_names } else { &certificate.names };
    if listed.is_empty() {
        return String::from(&*certificate.subject);
    }
    let more = certificate.names_count.saturating_sub(certificate.names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", listed.join(", "))
}

/// The day of an instant in seconds since 1970.
pub(super) fn day(seconds: i64) -> String {
    let text = Timestamp::from_nanos(seconds.saturating_mul(1_000_000_000)).to_string();
    text.get(..10).unwrap_or(&text).to_owned()
}

const FEW_SUITES: usize = 4;
