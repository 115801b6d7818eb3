//! The servers that one runs oneself, but for nginx, HAProxy, Envoy and those on Go.

use crate::diagnose::cause::Cause;

/// Apache httpd: the error log.
pub(super) fn apache(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => "AH00898: DNS lookup failure for: …",
        Cause::ConnectRefused
        | Cause::ConnectTimeout
        | Cause::ConnectUnreachable
        | Cause::ConnectProhibited
        | Cause::AcceptQueueFull => "AH01114: HTTP: failed to make connection to backend: …",
        Cause::TlsCertificateRejected => match detail {
            Some("expired") => "AH02276: Certificate Verification: Error (10): certificate has expired",
            Some("self_signed") => "AH02276: Certificate Verification: Error (18): self-signed certificate",
            Some("unknown_ca") => {
                "AH02276: Certificate Verification: Error (20): unable to get local issuer certificate"
            }
            Some("name_mismatch") => "AH02411: SSL Proxy: Peer certificate does not match for hostname …",
            _ => TLS,
        },
        Cause::TlsVersionMismatch
        | Cause::TlsCipherMismatch
        | Cause::TlsNameRejected
        | Cause::TlsAlpnMismatch
        | Cause::TlsClientCertificateRequired
        | Cause::TlsToPlaintext
        | Cause::TlsClosed
        | Cause::TlsAlert
        | Cause::TlsHandshakeTimeout => TLS,
        Cause::ConnectReset
        | Cause::PlaintextToTls
        | Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::MiddleboxReset
        | Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse => "AH01102: error reading status line from remote server …",
        Cause::ResponseTimeout | Cause::ResponseLost | Cause::IdleFlowDropped | Cause::RequestLost => {
            "(70007)The timeout specified has expired: … AH01102: error reading status line from remote server …"
        }
        Cause::EarlyResponse | Cause::UpstreamNotReading => "AH01084: pass request body failed to …",
        Cause::TruncatedHeader | Cause::ResponseHeaderTooLarge => "AH01106: bad HTTP/1.1 header returned by …",
        Cause::MalformedResponse => match detail? {
            "bad_header" => {
                "AH01106: bad HTTP/1.1 header returned by …, or AH02429: Response header name … contains invalid \
                    characters"
            }
            "bad_content_length" | "bad_chunk" => "AH01110: error reading response",
            _ => return None,
        },
        Cause::TruncatedBody | Cause::StalledBody => "AH01110: error reading response",
        Cause::FcgiNoOutput => "AH01067: Failed to read FastCGI header, and AH01075: Error dispatching request to …",
        Cause::FcgiProtocolError => "AH01075: Error dispatching request to …",
        Cause::NoUpstreamAttempt => {
            "AH00940: HTTP: disabled connection for (…), or AH01170: balancer://…: All workers are in error state"
        }
        _ => return None,
    })
}

const TLS: &str = "AH00898: Error during SSL Handshake with remote server returned by …";

/// Varnish: the `FetchError` record of `varnishlog`.
pub(super) fn varnish(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused => "FetchError backend …: fail errno 111 (Connection refused)",
        Cause::ConnectTimeout | Cause::AcceptQueueFull => "FetchError backend …: fail errno 110 (Connection timed out)",
        Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "FetchError backend …: fail errno 113 (No route to host)"
        }
        Cause::ConnectReset
        | Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::MiddleboxReset
        | Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse
        | Cause::TruncatedHeader => "FetchError HTC eof (-1)",
        Cause::IdleFlowDropped => "FetchError first byte timeout (reused connection)",
        Cause::ResponseTimeout | Cause::ResponseLost | Cause::RequestLost => "FetchError first byte timeout",
        Cause::ResponseHeaderTooLarge => "FetchError overflow",
        Cause::EarlyResponse => "FetchError backend write error: 104 (Connection reset by peer)",
        Cause::MalformedResponse => match detail? {
            "bad_status_line" | "bad_header" | "not_http" => "FetchError http format error",
            "bad_content_length" | "framing_conflict" => "FetchError Body cannot be fetched",
            "bad_chunk" => "FetchError chunked …",
            _ => return None,
        },
        Cause::TruncatedBody => "FetchError straight insufficient bytes, or chunked insufficient bytes",
        Cause::StalledBody => "FetchError Resource temporarily unavailable, then straight insufficient bytes",
        Cause::NoUpstreamAttempt => "FetchError backend …: unhealthy, busy, or helddown",
        _ => return None,
    })
}

/// Apache Traffic Server: the result code of the transaction log, and the line of `diags.log` where there is one.
pub(super) fn traffic_server(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused => {
            "ERR_CONNECT_FAIL, and CONNECT: attempt fail [CONNECTION_ERROR] … connection_result=Connection refused \
                [111]"
        }
        Cause::ConnectTimeout | Cause::AcceptQueueFull | Cause::TlsHandshakeTimeout => {
            "ERR_CONNECT_FAIL, and CONNECT: attempt fail [CONNECTION_ERROR] … connection_result=Connection timed \
                out [110]"
        }
        Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "ERR_CONNECT_FAIL, and CONNECT: attempt fail [CONNECTION_ERROR] … connection_result=No route to host [113]"
        }
        Cause::TlsVersionMismatch
        | Cause::TlsCipherMismatch
        | Cause::TlsCertificateRejected
        | Cause::TlsClientCertificateRequired
        | Cause::TlsToPlaintext => "ERR_CONNECT_FAIL, with connection_result=ENET_SSL_CONNECT_FAILED [-20104]",
        Cause::ConnectReset
        | Cause::TlsClosed
        | Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::MiddleboxReset
        | Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse => "ERR_CONNECT_FAIL",
        Cause::TruncatedHeader => "ERR_CONNECT_FAIL, and CONNECT: attempt fail [CONNECTION_CLOSED]",
        Cause::MalformedResponse => "ERR_CONNECT_FAIL, and CONNECT: attempt fail [PARSE_ERROR]",
        Cause::ResponseTimeout | Cause::ResponseLost | Cause::RequestLost | Cause::IdleFlowDropped => {
            "ERR_READ_TIMEOUT, and CONNECT: attempt fail [INACTIVE_TIMEOUT]"
        }
        Cause::TruncatedBody => "ERR_READ_ERROR",
        Cause::StalledBody => "ERR_READ_TIMEOUT",
        Cause::ClientAbort => "ERR_CLIENT_READ_ERROR",
        _ => return None,
    })
}

/// Squid: the error code of the access log, which X-Squid-Error carries to the client as well.
pub(super) fn squid(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    let reset = detail == Some("rst");
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => "ERR_DNS_FAIL",
        Cause::TlsVersionMismatch
        | Cause::TlsCipherMismatch
        | Cause::TlsClientCertificateRequired
        | Cause::TlsToPlaintext
        | Cause::TlsClosed => "ERR_SECURE_CONNECT_FAIL",
        Cause::TlsHandshakeTimeout => "ERR_SECURE_CONNECT_FAIL/TLS_CONNECT_TIMEOUT",
        Cause::ConnectReset | Cause::ResetWithoutResponse | Cause::MiddleboxReset => "ERR_READ_ERROR",
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::TruncatedHeader if reset => "ERR_READ_ERROR",
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::ClosedWithoutResponse => "ERR_ZERO_SIZE_OBJECT",
        Cause::TruncatedHeader | Cause::MalformedResponse => "ERR_INVALID_RESP",
        Cause::ResponseHeaderTooLarge => "ERR_TOO_BIG",
        Cause::ResponseTimeout
        | Cause::ResponseLost
        | Cause::RequestLost
        | Cause::IdleFlowDropped
        | Cause::StalledBody => "ERR_READ_TIMEOUT",
        Cause::TruncatedBody => "ERR_READ_ERROR",
        Cause::ClientAbort => "TCP_MISS_ABORTED … ERR_CLIENT_GONE",
        _ => return None,
    })
}

/// H2O: the error log, whose text the client gets as the content.
pub(super) fn h2o(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused => "[lib/core/proxy.c] connection failed (newer: connection refused)",
        Cause::ConnectProhibited => "[lib/core/proxy.c] connection failed",
        Cause::ConnectUnreachable => "[lib/core/proxy.c] connection failed, or failed to connect to host",
        Cause::ConnectTimeout | Cause::AcceptQueueFull | Cause::TlsHandshakeTimeout => {
            "[lib/core/proxy.c] connection timeout"
        }
        Cause::TlsCertificateRejected => match detail {
            Some("expired") => "[lib/core/proxy.c] certificate has expired",
            Some("self_signed") => "[lib/core/proxy.c] self-signed certificate",
            Some("unknown_ca") => "[lib/core/proxy.c] unable to get local issuer certificate",
            Some("name_mismatch") => "[lib/core/proxy.c] certificate name mismatch",
            _ => return None,
        },
        Cause::TlsVersionMismatch | Cause::TlsCipherMismatch | Cause::TlsToPlaintext => {
            "[lib/core/proxy.c] ssl handshake failure"
        }
        Cause::TlsClientCertificateRequired => {
            "[lib/core/proxy.c] ssl handshake failure, or with TLS 1.3 I/O error (…)"
        }
        Cause::TlsClosed if detail == Some("rst") => "[lib/core/proxy.c] I/O error",
        Cause::TlsClosed => "[lib/core/proxy.c] socket closed by peer",
        Cause::ConnectReset
        | Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::MiddleboxReset
        | Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse
        | Cause::TruncatedHeader => "[lib/core/proxy.c] I/O error (head)",
        Cause::ResponseTimeout
        | Cause::ResponseLost
        | Cause::RequestLost
        | Cause::IdleFlowDropped
        | Cause::StalledBody => "[lib/core/proxy.c] I/O timeout",
        Cause::EarlyResponse => "[lib/core/proxy.c] I/O error (send request)",
        Cause::MalformedResponse => match detail? {
            "bad_status_line" | "bad_header" | "not_http" => "[lib/core/proxy.c] failed to parse the response",
            "bad_content_length" => "[lib/core/proxy.c] invalid response from upstream (malformed content-length)",
            "bad_chunk" => "[lib/core/proxy.c] failed to parse the response (chunked)",
            _ => return None,
        },
        Cause::TruncatedBody => "[lib/core/proxy.c] I/O error (body; …)",
        _ => return None,
    })
}

/// nghttpx: the error log at level INFO.
pub(super) fn nghttpx(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    let reset = detail == Some("rst");
    Some(match cause {
        Cause::ConnectRefused => "Backend connect failed; addr=…: errno=111",
        Cause::ConnectUnreachable | Cause::ConnectProhibited => "Backend connect failed; addr=…: errno=113",
        Cause::ConnectTimeout | Cause::AcceptQueueFull | Cause::TlsHandshakeTimeout => "Connect time out; addr=…",
        Cause::KeepaliveRace | Cause::StaleReuse if !reset => "EOF, then Return error reply",
        Cause::ClosedWithoutResponse => "EOF, then Return error reply",
        Cause::TruncatedHeader | Cause::TruncatedBody if !reset => {
            "HTTP response ended prematurely: HPE_INVALID_EOF_STATE"
        }
        Cause::TlsVersionMismatch
        | Cause::TlsCipherMismatch
        | Cause::TlsCertificateRejected
        | Cause::TlsClientCertificateRequired
        | Cause::TlsToPlaintext
        | Cause::TlsClosed
        | Cause::ConnectReset
        | Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::MiddleboxReset
        | Cause::ResetWithoutResponse
        | Cause::TruncatedHeader
        | Cause::TruncatedBody => "Network error/general error",
        Cause::ResponseTimeout
        | Cause::ResponseLost
        | Cause::RequestLost
        | Cause::IdleFlowDropped
        | Cause::StalledBody => "Time out, then Timeout",
        Cause::MalformedResponse => "HTTP parser failure: (HPE_…) …",
        _ => return None,
    })
}

/// lighttpd: the error log, which leaves out most closes and time-outs.
pub(super) fn lighttpd(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused => {
            "establishing connection failed: socket: tcp:…: Connection refused, and all handlers for … are down."
        }
        Cause::ConnectTimeout | Cause::AcceptQueueFull => {
            "establishing connection failed: socket: tcp:…: Connection timed out, and all handlers for … are down."
        }
        Cause::ConnectUnreachable => {
            "establishing connection failed: socket: tcp:…: No route to host, and all handlers for … are down."
        }
        Cause::ResetWithoutResponse | Cause::ConnectReset => {
            "response not received, request sent: … on socket: tcp:… for … closing connection"
        }
        Cause::TruncatedHeader if detail == Some("rst") => {
            "response not received, request sent: … on socket: tcp:… for … closing connection"
        }
        Cause::ResponseHeaderTooLarge => "response headers too large for …",
        Cause::TruncatedBody if detail == Some("rst") => {
            "response already sent out, but backend returned error on socket: tcp:… for … terminating connection"
        }
        Cause::NoUpstreamAttempt => "all handlers for … are down.",
        _ => return None,
    })
}
