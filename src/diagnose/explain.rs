//! Every cause in plain words, for whoever is on call at three in the morning: in comes a cause, out goes what it
//! means, what proves it, what it is mistaken for, and what to do next.

mod connect;
mod local;
mod request;
mod response;
mod tls;

use crate::diagnose::cause::Cause;

/// What there is to know of a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What happened, in a sentence or two.
    pub meaning: &'static str,
    /// Which packets prove it.
    pub proof: &'static str,
    /// What looks the same, and how it is told apart.
    pub look_alikes: &'static str,
    /// What to change, or to look at next.
    pub todo: &'static str,
}

/// Explains a cause.
#[must_use]
pub const fn explain(cause: Cause) -> Explanation {
    match cause {
        Cause::DnsNxdomain => connect::DNS_NXDOMAIN,
        Cause::DnsFailure => connect::DNS_FAILURE,
        Cause::DnsTimeout => connect::DNS_TIMEOUT,
        Cause::ConnectRefused => connect::CONNECT_REFUSED,
        Cause::ConnectTimeout => connect::CONNECT_TIMEOUT,
        Cause::ConnectUnreachable => connect::CONNECT_UNREACHABLE,
        Cause::ConnectProhibited => connect::CONNECT_PROHIBITED,
        Cause::AcceptQueueFull => connect::ACCEPT_QUEUE_FULL,
        Cause::ConnectReset => connect::CONNECT_RESET,
        Cause::TlsVersionMismatch => tls::VERSION_MISMATCH,
        Cause::TlsCipherMismatch => tls::CIPHER_MISMATCH,
        Cause::TlsNameRejected => tls::NAME_REJECTED,
        Cause::TlsAlpnMismatch => tls::ALPN_MISMATCH,
        Cause::TlsCertificateRejected => tls::CERTIFICATE_REJECTED,
        Cause::TlsClientCertificateRequired => tls::CLIENT_CERTIFICATE_REQUIRED,
        Cause::TlsToPlaintext => tls::TLS_TO_PLAINTEXT,
        Cause::PlaintextToTls => tls::PLAINTEXT_TO_TLS,
        Cause::TlsClosed => tls::CLOSED,
        Cause::TlsAlert => tls::ALERT,
        Cause::TlsHandshakeTimeout => tls::HANDSHAKE_TIMEOUT,
        Cause::KeepaliveRace => request::KEEPALIVE_RACE,
        Cause::StaleReuse => request::STALE_REUSE,
        Cause::IdleFlowDropped => request::IDLE_FLOW_DROPPED,
        Cause::MiddleboxReset => request::MIDDLEBOX_RESET,
        Cause::RequestLost => request::REQUEST_LOST,
        Cause::UpstreamNotReading => request::UPSTREAM_NOT_READING,
        Cause::EarlyResponse => request::EARLY_RESPONSE,
        Cause::ClosedWithoutResponse => response::CLOSED_WITHOUT_RESPONSE,
        Cause::ResetWithoutResponse => response::RESET_WITHOUT_RESPONSE,
        Cause::TruncatedHeader => response::TRUNCATED_HEADER,
        Cause::ResponseTimeout => response::RESPONSE_TIMEOUT,
        Cause::ResponseLost => response::RESPONSE_LOST,
        Cause::ResponseHeaderTooLarge => response::RESPONSE_HEADER_TOO_LARGE,
        Cause::MalformedResponse => response::MALFORMED_RESPONSE,
        Cause::UnexpectedUpgrade => response::UNEXPECTED_UPGRADE,
        Cause::UnsolicitedResponse => response::UNSOLICITED_RESPONSE,
        Cause::H2RefusedStream => response::H2_REFUSED_STREAM,
        Cause::H2Goaway => response::H2_GOAWAY,
        Cause::H2StreamError => response::H2_STREAM_ERROR,
        Cause::H2ProtocolError => response::H2_PROTOCOL_ERROR,
        Cause::FcgiNoOutput => response::FCGI_NO_OUTPUT,
        Cause::FcgiProtocolError => response::FCGI_PROTOCOL_ERROR,
        Cause::RelayedError => response::RELAYED_ERROR,
        Cause::TruncatedBody => response::TRUNCATED_BODY,
        Cause::StalledBody => response::STALLED_BODY,
        Cause::ClientAbort => local::CLIENT_ABORT,
        Cause::NoUpstreamAttempt => local::NO_UPSTREAM_ATTEMPT,
        Cause::GatewayCrash => local::GATEWAY_CRASH,
        Cause::UpstreamNotCaptured => local::UPSTREAM_NOT_CAPTURED,
        Cause::Unknown => local::UNKNOWN,
    }
}

/// The cause in half a line, for the list of causes.
#[must_use]
pub const fn summary(cause: Cause) -> &'static str {
    match cause {
        Cause::DnsNxdomain => "the upstream's name does not exist, or has no address",
        Cause::DnsFailure => "the name server answered with an error",
        Cause::DnsTimeout => "the name server did not answer in time",
        Cause::ConnectRefused => "nothing listens on the upstream's address and port",
        Cause::ConnectTimeout => "the upstream did not answer the attempt to connect",
        Cause::ConnectUnreachable => "there is no route to the upstream's host or network",
        Cause::ConnectProhibited => "a firewall rejected the connection and said so by ICMP",
        Cause::AcceptQueueFull => "the upstream's queue of new connections overflowed",
        Cause::ConnectReset => "the upstream accepted the connection and reset it at once",
        Cause::TlsVersionMismatch => "gateway and upstream share no version of TLS",
        Cause::TlsCipherMismatch => "gateway and upstream share no cipher suite or curve",
        Cause::TlsNameRejected => "the upstream does not serve the name asked for (SNI)",
        Cause::TlsAlpnMismatch => "gateway and upstream share no protocol in ALPN",
        Cause::TlsCertificateRejected => "the gateway does not trust the upstream's certificate",
        Cause::TlsClientCertificateRequired => "the upstream demands a client certificate that it did not get",
        Cause::TlsToPlaintext => "the gateway speaks TLS to a port that does not",
        Cause::PlaintextToTls => "the gateway speaks plain HTTP to a TLS port",
        Cause::TlsClosed => "the upstream closed during the TLS handshake, without an alert",
        Cause::TlsAlert => "a fatal TLS alert ended the handshake with the upstream",
        Cause::TlsHandshakeTimeout => "the upstream accepted the connection, but never answered the handshake",
        Cause::KeepaliveRace => "the upstream closed an idle connection just as it was reused",
        Cause::StaleReuse => "the gateway reused a connection that it knew was closed",
        Cause::IdleFlowDropped => "something in between forgot the idle connection",
        Cause::MiddleboxReset => "the reset came from a device in between, not the upstream",
        Cause::RequestLost => "the request was repeated, but never reached the upstream",
        Cause::UpstreamNotReading => "the upstream stopped reading before the request was complete",
        Cause::EarlyResponse => "the upstream answered before it had read the request, then closed",
        Cause::ClosedWithoutResponse => "the upstream got the request and closed without answering",
        Cause::ResetWithoutResponse => "the upstream got the request and reset the connection",
        Cause::TruncatedHeader => "the upstream's answer broke off within its header section",
        Cause::ResponseTimeout => "the upstream did not answer before the gateway gave up",
        Cause::ResponseLost => "the upstream's answer was sent, but never arrived",
        Cause::ResponseHeaderTooLarge => "the response's header section exceeds the gateway's limit",
        Cause::MalformedResponse => "the upstream's answer is not valid HTTP",
        Cause::UnexpectedUpgrade => "the upstream switched protocols without being asked to",
        Cause::UnsolicitedResponse => "the upstream sent bytes that no request had asked for",
        Cause::H2RefusedStream => "the upstream refused the HTTP/2 stream before working on it",
        Cause::H2Goaway => "the upstream was closing its HTTP/2 connection (GOAWAY)",
        Cause::H2StreamError => "the upstream cancelled the HTTP/2 stream with an error",
        Cause::H2ProtocolError => "one side broke the rules of HTTP/2",
        Cause::FcgiNoOutput => "the FastCGI application ended without any output",
        Cause::FcgiProtocolError => "what answers on the FastCGI port is not FastCGI",
        Cause::RelayedError => "the upstream itself answered with this error: look there",
        Cause::TruncatedBody => "the response's body broke off after a valid header section",
        Cause::StalledBody => "the response's body stopped until the gateway gave up",
        Cause::ClientAbort => "the client gave up before the answer was complete",
        Cause::NoUpstreamAttempt => "the gateway answered by itself, without asking any upstream",
        Cause::GatewayCrash => "the gateway died, restarted or reloaded with requests in flight",
        Cause::UpstreamNotCaptured => "the gateway's upstream leg is not in this capture",
        Cause::Unknown => "none of the known causes fits; the frames are listed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_explained() {
        for cause in Cause::ALL {
            let Explanation { meaning, proof, look_alikes, todo } = explain(*cause);
            for text in [meaning, proof, look_alikes, todo] {
                assert!(text.len() > 40 && text.ends_with(['.', '?']), "{cause}: {text:?}");
                assert!(!text.contains("  ") && !text.contains('\n'), "{cause}: {text:?}");
            }
        }
    }

    #[test]
    fn every_cause_has_a_summary_of_half_a_line() {
        for cause in Cause::ALL {
            let words = summary(*cause).split(' ').count();
            assert!((6..=12).contains(&words), "{cause}: {words} words");
            assert!(summary(*cause).len() <= 72, "{cause}");
        }
    }

    #[test]
    fn no_two_causes_read_alike() {
        for (n, cause) in Cause::ALL.iter().enumerate() {
            for other in Cause::ALL.iter().skip(n + 1) {
                assert_ne!(summary(*cause), summary(*other));
                assert_ne!(explain(*cause).meaning, explain(*other).meaning, "{cause} {other}");
            }
        }
    }
}
