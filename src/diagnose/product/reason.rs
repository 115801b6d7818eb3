//! What a gateway's own page says of why it answers so, where a product's page says it.

use crate::diagnose::cause::Cause;
use crate::diagnose::product::page::is_silent_envoy;
use crate::event::Response;

/// What a page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// An attempt failed, in one of these ways.
    OneOf(&'static [Cause]),
    /// There is no upstream that the gateway takes for alive, or knows an address of.
    NoneAlive,
    /// The gateway decided by itself, for this.
    ByItself(&'static str),
}

/// What a gateway's page says of its reason, and in which words.
#[must_use]
pub fn reason(response: &Response) -> Option<(&'static str, Said)> {
    if response.status < 500 {
        return None;
    }
    // Envoy writes down what failed. It says nothing where it was not asked to send anything anywhere.
    if is_silent_envoy(response) {
        return Some(("", Said::ByItself("it has no such cluster, or is set to answer so")));
    }
    let text = String::from_utf8_lossy(response.content());
    let text = text.trim_end();
    if let Some((_, rest)) = text.split_once(ENVOY_RESET) {
        let reason = rest.split(',').next().unwrap_or_default().trim();
        return ENVOY.iter().find(|(name, _)| *name == reason).copied();
    }
    WHOLE.iter().find(|(page, _)| *page == text).copied()
}

/// What stands in Envoy's page before the reason; the beginning differs where it tried several times.
const ENVOY_RESET: &str = "reset reason: ";

/// Envoy's reasons why a stream to an upstream ended (its `StreamResetReason` in words).
const ENVOY: &[(&str, Said)] = &[
    (
        "overflow",
        Said::ByItself("a limit of its circuit breaker was reached: connections, waiting requests, or retries"),
    ),
    ("connection termination", Said::OneOf(TERMINATED)),
    ("connection failure", Said::OneOf(CONNECT)),
    ("local connection failure", Said::OneOf(CONNECT)),
    ("remote connection failure", Said::OneOf(CONNECT)),
    ("connection timeout", Said::OneOf(CONNECT)),
    ("protocol error", Said::OneOf(PROTOCOL)),
    (
        "remote reset",
        Said::OneOf(&[Cause::H2StreamError, Cause::H2ProtocolError, Cause::H2RefusedStream, Cause::H2Goaway]),
    ),
    ("remote refused stream reset", Said::OneOf(&[Cause::H2RefusedStream, Cause::H2Goaway, Cause::H2StreamError])),
];

/// Pages that are a reason as a whole.
const WHOLE: &[(&str, Said)] = &[
    // Envoy's.
    ("no healthy upstream", Said::NoneAlive),
    ("fault filter abort", Said::ByItself("it is set to inject faults")),
    ("local_rate_limited", Said::ByItself("its own limit of requests was reached")),
    // Traefik's.
    ("no available server", Said::NoneAlive),
];

/// How a connection may fail to open.
const CONNECT: &[Cause] = &[
    Cause::ConnectRefused,
    Cause::ConnectTimeout,
    Cause::ConnectUnreachable,
    Cause::ConnectProhibited,
    Cause::AcceptQueueFull,
    Cause::ConnectReset,
    Cause::TlsVersionMismatch,
    Cause::TlsCipherMismatch,
    Cause::TlsNameRejected,
    Cause::TlsAlpnMismatch,
    Cause::TlsCertificateRejected,
    Cause::TlsClientCertificateRequired,
    Cause::TlsToPlaintext,
    Cause::PlaintextToTls,
    Cause::TlsClosed,
    Cause::TlsAlert,
    Cause::TlsHandshakeTimeout,
    Cause::NoUpstreamAttempt,
];

/// How a connection may end under a request.
const TERMINATED: &[Cause] = &[
    Cause::ConnectReset,
    Cause::TlsClientCertificateRequired,
    Cause::TlsToPlaintext,
    Cause::PlaintextToTls,
    Cause::TlsClosed,
    Cause::TlsAlert,
    Cause::KeepaliveRace,
    Cause::StaleReuse,
    Cause::IdleFlowDropped,
    Cause::MiddleboxReset,
    Cause::RequestLost,
    Cause::UpstreamNotReading,
    Cause::EarlyResponse,
    Cause::ClosedWithoutResponse,
    Cause::ResetWithoutResponse,
    Cause::TruncatedHeader,
    Cause::TruncatedBody,
    Cause::MalformedResponse,
    Cause::UnsolicitedResponse,
    Cause::H2Goaway,
    Cause::H2ProtocolError,
    Cause::H2StreamError,
];

/// What breaks the rules of HTTP.
const PROTOCOL: &[Cause] = &[
    Cause::TlsToPlaintext,
    Cause::PlaintextToTls,
    Cause::EarlyResponse,
    Cause::TruncatedHeader,
    Cause::TruncatedBody,
    Cause::ResponseHeaderTooLarge,
    Cause::MalformedResponse,
    Cause::UnexpectedUpgrade,
    Cause::UnsolicitedResponse,
    Cause::H2ProtocolError,
    Cause::H2StreamError,
];
