//! Gateways on Go's HTTP transport: its errors stand in their logs as they are.

use crate::diagnose::cause::Cause;
use crate::diagnose::product::Product;

pub(super) fn line(product: Product, cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    match (product, cause) {
        (Product::Caddy, Cause::NoUpstreamAttempt) => Some("no upstreams available"),
        (Product::Traefik, Cause::NoUpstreamAttempt) => Some("no available server"),
        (Product::Cloudflared, Cause::ConnectRefused) => Some(
            "Unable to reach the origin service. The service may be down or it may not be responding to traffic from \
             cloudflared: dial tcp …: connect: connection refused",
        ),
        _ => transport(cause, detail),
    }
}

fn transport(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    let reset = detail == Some("rst");
    Some(match cause {
        Cause::DnsNxdomain => "dial tcp: lookup … on …:53: no such host",
        Cause::DnsFailure => "dial tcp: lookup … on …:53: server misbehaving",
        Cause::DnsTimeout => "dial tcp: lookup …: read udp …:53: i/o timeout",
        Cause::ConnectRefused => "dial tcp …: connect: connection refused",
        Cause::ConnectTimeout | Cause::AcceptQueueFull => "dial tcp …: i/o timeout",
        Cause::ConnectUnreachable | Cause::ConnectProhibited => "dial tcp …: connect: no route to host",
        Cause::ConnectReset | Cause::MiddleboxReset | Cause::ResetWithoutResponse => READ_RESET,
        Cause::TlsVersionMismatch => "remote error: tls: protocol version not supported",
        Cause::TlsCipherMismatch => "remote error: tls: handshake failure",
        Cause::TlsClientCertificateRequired => {
            "remote error: tls: certificate required, or with TLS 1.2 remote error: tls: handshake failure"
        }
        Cause::TlsCertificateRejected => match detail {
            Some("expired" | "not_yet_valid") => "x509: certificate has expired or is not yet valid: …",
            Some("self_signed" | "unknown_ca") => "x509: certificate signed by unknown authority",
            Some("name_mismatch") => "x509: certificate is valid for …, not …",
            _ => "x509: …",
        },
        Cause::TlsToPlaintext => "tls: first record does not look like a TLS handshake",
        Cause::TlsHandshakeTimeout => "net/http: TLS handshake timeout",
        Cause::TlsClosed | Cause::KeepaliveRace | Cause::StaleReuse if reset => READ_RESET,
        Cause::TlsClosed | Cause::KeepaliveRace | Cause::StaleReuse | Cause::ClosedWithoutResponse => "EOF",
        Cause::ResponseTimeout | Cause::ResponseLost | Cause::RequestLost | Cause::IdleFlowDropped => {
            "net/http: timeout awaiting response headers"
        }
        Cause::TruncatedHeader => {
            "net/http: HTTP/1.x transport connection broken: unexpected EOF, or within a field: malformed MIME header: missing colon: …"
        }
        Cause::ResponseHeaderTooLarge => "net/http: server response headers exceeded … bytes; aborted",
        Cause::H2RefusedStream => "stream error: stream ID …; REFUSED_STREAM; received from peer",
        Cause::H2Goaway => "http2: server sent GOAWAY and closed the connection; LastStreamID=…, ErrCode=…",
        Cause::EarlyResponse => "write tcp …: write: connection reset by peer",
        Cause::MalformedResponse => match detail? {
            "bad_status_line" => "net/http: HTTP/1.x transport connection broken: malformed HTTP …",
            "not_http" => "net/http: HTTP/1.x transport connection broken: malformed HTTP response \"…\"",
            "bad_header" => "net/http: HTTP/1.x transport connection broken: malformed MIME header: …",
            "bad_content_length" => "net/http: HTTP/1.x transport connection broken: … Content-Length …",
            _ => return None,
        },
        Cause::ClientAbort => "context canceled",
        _ => return None,
    })
}

const READ_RESET: &str = "read tcp …: read: connection reset by peer";
