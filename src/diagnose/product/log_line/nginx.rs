//! nginx and its kin: the error log. The action behind "while" tells the phase.

use crate::diagnose::cause::Cause;

pub(super) fn line(cause: Cause, detail: Option<&str>, status: Option<u16>) -> Option<&'static str> {
    let reset = detail == Some("rst");
    Some(match cause {
        Cause::DnsNxdomain => "… could not be resolved (3: Host not found)",
        Cause::DnsFailure => "… could not be resolved (2: Server failure)",
        Cause::DnsTimeout => "… could not be resolved (110: Operation timed out)",
        Cause::ConnectRefused => "connect() failed (111: Connection refused) while connecting to upstream",
        // With 502 the kernel gave up on its SYNs before nginx did.
        Cause::ConnectTimeout if status == Some(502) => {
            "connect() failed (110: Connection timed out) while connecting to upstream"
        }
        Cause::ConnectTimeout => "upstream timed out (110: Connection timed out) while connecting to upstream",
        // Which action was timed out depends on whether its kernel took the connection for established.
        Cause::AcceptQueueFull => "upstream timed out (110: Connection timed out) while …",
        Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "connect() failed (113: No route to host) while connecting to upstream"
        }
        Cause::TlsCertificateRejected => certificate(detail),
        Cause::TlsVersionMismatch => {
            "SSL_do_handshake() failed (SSL: …alert protocol version:SSL alert number 70) while SSL handshaking to \
                upstream"
        }
        Cause::TlsCipherMismatch => {
            "SSL_do_handshake() failed (SSL: …alert handshake failure:SSL alert number 40) while SSL handshaking to \
                upstream"
        }
        Cause::TlsNameRejected => {
            "SSL_do_handshake() failed (SSL: …SSL alert number 112) while SSL handshaking to upstream"
        }
        Cause::TlsAlpnMismatch => {
            "SSL_do_handshake() failed (SSL: …SSL alert number 120) while SSL handshaking to upstream"
        }
        Cause::TlsClientCertificateRequired => {
            "SSL_do_handshake() failed (SSL: …SSL alert number 40), or with TLS 1.3 SSL_read() failed (SSL: …SSL \
                alert number 116)"
        }
        Cause::TlsAlert => "SSL_do_handshake() failed (SSL: …SSL alert number …) while SSL handshaking to upstream",
        Cause::TlsToPlaintext => {
            "SSL_do_handshake() failed (SSL: …wrong version number) while SSL handshaking to upstream"
        }
        Cause::TlsClosed if reset => {
            "peer closed connection in SSL handshake (104: Connection reset by peer) while SSL handshaking to upstream"
        }
        Cause::TlsClosed => "peer closed connection in SSL handshake while SSL handshaking to upstream",
        Cause::TlsHandshakeTimeout => {
            "upstream timed out (110: Connection timed out) while SSL handshaking to upstream"
        }
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::TruncatedHeader if reset => HEAD_RESET,
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::TruncatedHeader | Cause::ClosedWithoutResponse => HEAD_CLOSED,
        Cause::IdleFlowDropped if reset => HEAD_RESET,
        Cause::ConnectReset | Cause::MiddleboxReset | Cause::ResetWithoutResponse => HEAD_RESET,
        // With 502 a close of the upstream came before nginx's own time-out.
        Cause::RequestLost if status == Some(502) => HEAD_CLOSED,
        Cause::ResponseTimeout | Cause::ResponseLost | Cause::RequestLost | Cause::IdleFlowDropped => {
            "upstream timed out (110: Connection timed out) while reading response header from upstream"
        }
        Cause::UpstreamNotReading => "upstream timed out (110: Connection timed out) while sending request to upstream",
        Cause::EarlyResponse => "writev() failed (104: Connection reset by peer) while sending request to upstream",
        Cause::ResponseHeaderTooLarge => "upstream sent too big header while reading response header from upstream",
        Cause::MalformedResponse => return malformed(detail),
        Cause::H2RefusedStream => "upstream rejected request with error 7",
        Cause::H2StreamError => "upstream rejected request with error …",
        Cause::H2Goaway => "upstream sent goaway with error …",
        Cause::FcgiNoOutput if reset => HEAD_RESET,
        Cause::FcgiNoOutput if detail == Some("fin") => HEAD_CLOSED,
        Cause::FcgiNoOutput => "upstream prematurely closed FastCGI stdout while reading response header from upstream",
        Cause::FcgiProtocolError => "upstream sent unsupported FastCGI protocol version: …",
        Cause::TruncatedBody if reset => "readv() failed (104: Connection reset by peer) while reading upstream",
        Cause::TruncatedBody => "upstream prematurely closed connection while reading upstream",
        Cause::StalledBody => "upstream timed out (110: Connection timed out) while reading upstream",
        Cause::ClientAbort => "client prematurely closed connection, so upstream connection is closed too",
        Cause::NoUpstreamAttempt if status == Some(502) => "no live upstreams while connecting to upstream",
        Cause::NoUpstreamAttempt if status == Some(500) => {
            "… worker_connections are not enough while connecting to upstream, or socket() failed (24: Too many \
                open files)"
        }
        Cause::RelayedError => "(no line: nginx relays it; the access log has it in $upstream_status)",
        _ => return None,
    })
}

const HEAD_CLOSED: &str = "upstream prematurely closed connection while reading response header from upstream";
const HEAD_RESET: &str = "recv() failed (104: Connection reset by peer) while reading response header from upstream";

/// OpenSSL's number of the error stands in parentheses.
fn certificate(detail: Option<&str>) -> &'static str {
    match detail {
        Some("not_yet_valid") => "upstream SSL certificate verify error: (9:certificate is not yet valid)",
        Some("expired") => "upstream SSL certificate verify error: (10:certificate has expired)",
        Some("self_signed") => "upstream SSL certificate verify error: (18:self-signed certificate)",
        Some("unknown_ca") => "upstream SSL certificate verify error: (21:unable to verify the first certificate)",
        Some("revoked") => "upstream SSL certificate verify error: (23:certificate revoked)",
        Some("name_mismatch") => "upstream SSL certificate does not match \"…\" while SSL handshaking to upstream",
        _ => "upstream SSL certificate verify error: (…), or upstream SSL certificate does not match \"…\"",
    }
}

fn malformed(detail: Option<&str>) -> Option<&'static str> {
    Some(match detail? {
        "bad_status_line" | "not_http" => {
            "upstream sent no valid HTTP/1.0 header while reading response header from upstream"
        }
        "bad_header" => "upstream sent invalid header: \"…\" while reading response header from upstream",
        "bad_content_length" => {
            "upstream sent invalid \"Content-Length\" header, or upstream sent duplicate header line"
        }
        "framing_conflict" => {
            "upstream sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time, or unknown \
                \"Transfer-Encoding\""
        }
        "bad_chunk" => "upstream sent invalid chunked response while reading upstream",
        _ => return None,
    })
}
