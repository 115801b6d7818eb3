//! The closed list of answers to "why did this request fail at the gateway?".
//!
//! The ids are stable: they stand in JSON, in tests and in documentation. Each maps to a proxy error type of RFC 9209
//! section 2.3, so that a report can name the `Proxy-Status` field that the gateway ought to have sent.

use std::fmt;

use serde::{Serialize, Serializer};

/// The phase of an attempt in which it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Finding the upstream's address.
    Resolve,
    /// Opening a connection to it.
    Connect,
    /// The TLS handshake with it.
    Tls,
    /// Sending the request.
    Request,
    /// Waiting for the response, up to the end of its header section.
    ResponseHead,
    /// The response's content.
    ResponseBody,
    /// The client's own leg.
    Client,
    /// No attempt was made, or none can be seen.
    None,
    /// Not known.
    Unknown,
}

impl Phase {
    /// The phase's name in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Request => "request",
            Self::ResponseHead => "response_head",
            Self::ResponseBody => "response_body",
            Self::Client => "client",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

/// A cause. The variants are the ids in camel case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each variant is documented by its row in the list: see `explain`")]
pub enum Cause {
    DnsNxdomain,
    DnsFailure,
    DnsTimeout,
    ConnectRefused,
    ConnectTimeout,
    ConnectUnreachable,
    ConnectProhibited,
    AcceptQueueFull,
    ConnectReset,
    TlsVersionMismatch,
    TlsCipherMismatch,
    TlsNameRejected,
    TlsAlpnMismatch,
    TlsCertificateRejected,
    TlsClientCertificateRequired,
    TlsToPlaintext,
    PlaintextToTls,
    TlsClosed,
    TlsAlert,
    TlsHandshakeTimeout,
    KeepaliveRace,
    StaleReuse,
    IdleFlowDropped,
    MiddleboxReset,
    RequestLost,
    UpstreamNotReading,
    EarlyResponse,
    ClosedWithoutResponse,
    ResetWithoutResponse,
    TruncatedHeader,
    ResponseTimeout,
    ResponseLost,
    ResponseHeaderTooLarge,
    MalformedResponse,
    UnexpectedUpgrade,
    UnsolicitedResponse,
    H2RefusedStream,
    H2Goaway,
    H2StreamError,
    H2ProtocolError,
    FcgiNoOutput,
    FcgiProtocolError,
    RelayedError,
    TruncatedBody,
    StalledBody,
    ClientAbort,
    NoUpstreamAttempt,
    GatewayCrash,
    UpstreamNotCaptured,
    Unknown,
}

impl Cause {
    /// All causes, in the order of the phases.
    pub const ALL: &'static [Self] = &[
        Self::DnsNxdomain,
        Self::DnsFailure,
        Self::DnsTimeout,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectUnreachable,
        Self::ConnectProhibited,
        Self::AcceptQueueFull,
        Self::ConnectReset,
        Self::TlsVersionMismatch,
        Self::TlsCipherMismatch,
        Self::TlsNameRejected,
        Self::TlsAlpnMismatch,
        Self::TlsCertificateRejected,
        Self::TlsClientCertificateRequired,
        Self::TlsToPlaintext,
        Self::PlaintextToTls,
        Self::TlsClosed,
        Self::TlsAlert,
        Self::TlsHandshakeTimeout,
        Self::KeepaliveRace,
        Self::StaleReuse,
        Self::IdleFlowDropped,
        Self::MiddleboxReset,
        Self::RequestLost,
        Self::UpstreamNotReading,
        Self::EarlyResponse,
        Self::ClosedWithoutResponse,
        Self::ResetWithoutResponse,
        Self::TruncatedHeader,
        Self::ResponseTimeout,
        Self::ResponseLost,
        Self::ResponseHeaderTooLarge,
        Self::MalformedResponse,
        Self::UnexpectedUpgrade,
        Self::UnsolicitedResponse,
        Self::H2RefusedStream,
        Self::H2Goaway,
        Self::H2StreamError,
        Self::H2ProtocolError,
        Self::FcgiNoOutput,
        Self::FcgiProtocolError,
        Self::RelayedError,
        Self::TruncatedBody,
        Self::StalledBody,
        Self::ClientAbort,
        Self::NoUpstreamAttempt,
        Self::GatewayCrash,
        Self::UpstreamNotCaptured,
        Self::Unknown,
    ];

    /// The stable id.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::DnsNxdomain => "dns_nxdomain",
            Self::DnsFailure => "dns_failure",
            Self::DnsTimeout => "dns_timeout",
            Self::ConnectRefused => "connect_refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectUnreachable => "connect_unreachable",
            Self::ConnectProhibited => "connect_prohibited",
            Self::AcceptQueueFull => "accept_queue_full",
            Self::ConnectReset => "connect_reset",
            Self::TlsVersionMismatch => "tls_version_mismatch",
            Self::TlsCipherMismatch => "tls_cipher_mismatch",
            Self::TlsNameRejected => "tls_name_rejected",
            Self::TlsAlpnMismatch => "tls_alpn_mismatch",
            Self::TlsCertificateRejected => "tls_certificate_rejected",
            Self::TlsClientCertificateRequired => "tls_client_certificate_required",
            Self::TlsToPlaintext => "tls_to_plaintext",
            Self::PlaintextToTls => "plaintext_to_tls",
            Self::TlsClosed => "tls_closed",
            Self::TlsAlert => "tls_alert",
            Self::TlsHandshakeTimeout => "tls_handshake_timeout",
            Self::KeepaliveRace => "keepalive_race",
            Self::StaleReuse => "stale_reuse",
            Self::IdleFlowDropped => "idle_flow_dropped",
            Self::MiddleboxReset => "middlebox_reset",
            Self::RequestLost => "request_lost",
            Self::UpstreamNotReading => "upstream_not_reading",
            Self::EarlyResponse => "early_response",
            Self::ClosedWithoutResponse => "closed_without_response",
            Self::ResetWithoutResponse => "reset_without_response",
            Self::TruncatedHeader => "truncated_header",
            Self::ResponseTimeout => "response_timeout",
            Self::ResponseLost => "response_lost",
            Self::ResponseHeaderTooLarge => "response_header_too_large",
            Self::MalformedResponse => "malformed_response",
            Self::UnexpectedUpgrade => "unexpected_upgrade",
            Self::UnsolicitedResponse => "unsolicited_response",
            Self::H2RefusedStream => "h2_refused_stream",
            Self::H2Goaway => "h2_goaway",
            Self::H2StreamError => "h2_stream_error",
            Self::H2ProtocolError => "h2_protocol_error",
            Self::FcgiNoOutput => "fcgi_no_output",
            Self::FcgiProtocolError => "fcgi_protocol_error",
            Self::RelayedError => "relayed_error",
            Self::TruncatedBody => "truncated_body",
            Self::StalledBody => "stalled_body",
            Self::ClientAbort => "client_abort",
            Self::NoUpstreamAttempt => "no_upstream_attempt",
            Self::GatewayCrash => "gateway_crash",
            Self::UpstreamNotCaptured => "upstream_not_captured",
            Self::Unknown => "unknown",
        }
    }

    /// The phase in which it strikes.
    #[must_use]
    pub const fn phase(self) -> Phase {
        match self {
            Self::DnsNxdomain | Self::DnsFailure | Self::DnsTimeout => Phase::Resolve,
            Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectUnreachable
            | Self::ConnectProhibited
            | Self::AcceptQueueFull
            | Self::ConnectReset => Phase::Connect,
            Self::TlsVersionMismatch
            | Self::TlsCipherMismatch
            | Self::TlsNameRejected
            | Self::TlsAlpnMismatch
            | Self::TlsCertificateRejected
            | Self::TlsClientCertificateRequired
            | Self::TlsToPlaintext
            | Self::PlaintextToTls
            | Self::TlsClosed
            | Self::TlsAlert
            | Self::TlsHandshakeTimeout => Phase::Tls,
            Self::KeepaliveRace
            | Self::StaleReuse
            | Self::IdleFlowDropped
            | Self::MiddleboxReset
            | Self::RequestLost
            | Self::UpstreamNotReading
            | Self::EarlyResponse => Phase::Request,
            Self::ClosedWithoutResponse
            | Self::ResetWithoutResponse
            | Self::TruncatedHeader
            | Self::ResponseTimeout
            | Self::ResponseLost
            | Self::ResponseHeaderTooLarge
            | Self::MalformedResponse
            | Self::UnexpectedUpgrade
            | Self::UnsolicitedResponse
            | Self::H2RefusedStream
            | Self::H2Goaway
            | Self::H2StreamError
            | Self::H2ProtocolError
            | Self::FcgiNoOutput
            | Self::FcgiProtocolError
            | Self::RelayedError => Phase::ResponseHead,
            Self::TruncatedBody | Self::StalledBody => Phase::ResponseBody,
            Self::ClientAbort => Phase::Client,
            Self::NoUpstreamAttempt | Self::GatewayCrash | Self::UpstreamNotCaptured => Phase::None,
            Self::Unknown => Phase::Unknown,
        }
    }

    /// The proxy error type of RFC 9209 section 2.3, where one fits.
    #[must_use]
    pub const fn proxy_status(self) -> Option<&'static str> {
        match self {
            Self::DnsNxdomain | Self::DnsFailure => Some("dns_error"),
            Self::DnsTimeout => Some("dns_timeout"),
            Self::ConnectRefused => Some("connection_refused"),
            Self::ConnectTimeout | Self::AcceptQueueFull | Self::TlsHandshakeTimeout => Some("connection_timeout"),
            Self::ConnectUnreachable | Self::ConnectProhibited => Some("destination_ip_unroutable"),
            Self::ConnectReset
            | Self::TlsClosed
            | Self::KeepaliveRace
            | Self::StaleReuse
            | Self::IdleFlowDropped
            | Self::MiddleboxReset
            | Self::EarlyResponse
            | Self::ClosedWithoutResponse
            | Self::ResetWithoutResponse => Some("connection_terminated"),
            Self::TlsVersionMismatch | Self::TlsCipherMismatch | Self::TlsToPlaintext => Some("tls_protocol_error"),
            Self::TlsNameRejected | Self::TlsAlpnMismatch | Self::TlsClientCertificateRequired | Self::TlsAlert => {
                Some("tls_alert_received")
            }
            Self::TlsCertificateRejected => Some("tls_certificate_error"),
            Self::PlaintextToTls
            | Self::MalformedResponse
            | Self::UnsolicitedResponse
            | Self::H2ProtocolError
            | Self::FcgiProtocolError => Some("http_protocol_error"),
            Self::RequestLost | Self::UpstreamNotReading => Some("connection_write_timeout"),
            Self::TruncatedHeader
            | Self::H2RefusedStream
            | Self::H2Goaway
            | Self::H2StreamError
            | Self::FcgiNoOutput
            | Self::TruncatedBody => Some("http_response_incomplete"),
            Self::ResponseTimeout | Self::ResponseLost => Some("http_response_timeout"),
            Self::ResponseHeaderTooLarge => Some("http_response_header_section_size"),
            Self::UnexpectedUpgrade => Some("http_upgrade_failed"),
            Self::RelayedError | Self::ClientAbort | Self::UpstreamNotCaptured | Self::Unknown => None,
            Self::StalledBody => Some("connection_read_timeout"),
            Self::NoUpstreamAttempt => Some("destination_unavailable"),
            Self::GatewayCrash => Some("proxy_internal_error"),
        }
    }

    /// The cause with this id.
    #[must_use]
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.id() == id)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

impl Serialize for Cause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_leads_back_to_its_cause() {
        for cause in Cause::ALL {
            assert_eq!(Cause::from_id(cause.id()), Some(*cause));
        }
        assert_eq!(Cause::from_id("server_on_fire"), None);
    }
}
