//! The gateways that one rents, and IIS: access log fields, error codes and reason phrases from their documentation.

use crate::diagnose::cause::Cause;

/// IIS with ARR: WinHTTP's error number stands in `sc-win32-status`.
pub(super) fn iis(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ResponseTimeout | Cause::ResponseLost => "502.3 with sc-win32-status 12002 (timeout)",
        Cause::ConnectRefused | Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "502.3 with sc-win32-status 12029 (cannot connect)"
        }
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse | Cause::KeepaliveRace | Cause::StaleReuse => {
            "502.3 with sc-win32-status 12030 (connection aborted)"
        }
        Cause::MalformedResponse => "502.3 with sc-win32-status 12152 (invalid server response)",
        Cause::TlsVersionMismatch | Cause::TlsCipherMismatch | Cause::TlsCertificateRejected => {
            "502.3 with sc-win32-status 12175 (security failure)"
        }
        _ => return None,
    })
}

/// AWS ALB: a dash in `target_status_code` says that the balancer made the answer itself.
pub(super) fn aws_alb(cause: Cause, status: Option<u16>) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused
        | Cause::ConnectUnreachable
        | Cause::ConnectReset
        | Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse
        | Cause::MalformedResponse
        | Cause::TlsVersionMismatch
        | Cause::TlsCipherMismatch
        | Cause::TlsAlert
        | Cause::TlsClosed
        | Cause::TlsHandshakeTimeout => "elb_status_code 502, target_status_code -",
        Cause::ConnectTimeout | Cause::AcceptQueueFull | Cause::ResponseTimeout | Cause::ResponseLost => {
            "elb_status_code 504, target_status_code -"
        }
        Cause::ClientAbort => "elb_status_code 460",
        Cause::RelayedError => "target_status_code the same as elb_status_code",
        Cause::NoUpstreamAttempt if status == Some(503) => {
            "elb_status_code 503, target_status_code - (no registered target)"
        }
        _ => return None,
    })
}

/// CloudFront names the reason only in the details of its access log.
pub(super) const fn cloudfront(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => Some("NonS3OriginDnsError"),
        _ => None,
    }
}

/// Azure Application Gateway v2 is built on nginx: of its texts only this one is documented.
pub(super) fn azure_application_gateway(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    let mismatch = cause == Cause::TlsCertificateRejected && detail == Some("name_mismatch");
    mismatch.then_some("Upstream SSL certificate does not match")
}

/// Azure Front Door: `errorInfo` of its access log.
pub(super) fn azure_front_door(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => "DNSFailure",
        Cause::ConnectRefused => "OriginConnectionRefused",
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse | Cause::KeepaliveRace | Cause::StaleReuse => {
            "OriginConnectionAborted"
        }
        Cause::ResponseTimeout | Cause::ResponseLost => "OriginTimeout",
        Cause::MalformedResponse => "OriginInvalidResponse",
        Cause::TlsCertificateRejected if detail == Some("name_mismatch") => "CertificateNameCheckFailed",
        _ => return None,
    })
}

/// Cloudflare: the status is the log.
pub(super) fn cloudflare(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => "530 with error 1016",
        Cause::ConnectRefused => "521 Web server is down",
        Cause::ConnectTimeout | Cause::AcceptQueueFull | Cause::RequestLost | Cause::IdleFlowDropped => {
            "522 Connection timed out"
        }
        Cause::ConnectUnreachable => "523 Origin is unreachable",
        Cause::ResponseTimeout => "524 A timeout occurred",
        Cause::TlsVersionMismatch | Cause::TlsCipherMismatch | Cause::TlsAlert | Cause::TlsClosed => {
            "525 SSL handshake failed"
        }
        Cause::TlsCertificateRejected => "526 Invalid SSL certificate",
        Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse
        | Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::TruncatedHeader
        | Cause::MalformedResponse
        | Cause::ResponseHeaderTooLarge => "520 Web server is returning an unknown error",
        _ => return None,
    })
}

/// Google Cloud's load balancer: `statusDetails` of its log.
pub(super) fn gclb(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused
        | Cause::ConnectTimeout
        | Cause::ConnectUnreachable
        | Cause::ConnectProhibited
        | Cause::AcceptQueueFull => "failed_to_connect_to_backend",
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse | Cause::KeepaliveRace | Cause::StaleReuse => {
            "backend_connection_closed_before_data_sent_to_client"
        }
        Cause::TruncatedBody => "backend_connection_closed_after_partial_response_sent",
        Cause::ResponseTimeout | Cause::ResponseLost => "backend_timeout",
        Cause::ClientAbort => "client_disconnected_before_any_response",
        Cause::NoUpstreamAttempt => "failed_to_pick_backend",
        Cause::RelayedError => "response_sent_by_backend",
        _ => return None,
    })
}

/// Fastly: the reason phrase of its 503, which HTTP/2 does not carry.
pub(super) fn fastly(cause: Cause, detail: Option<&str>) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused => "connection refused",
        Cause::ConnectTimeout | Cause::AcceptQueueFull => "connection timed out",
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse | Cause::KeepaliveRace | Cause::StaleReuse => {
            "backend read error"
        }
        Cause::ResponseTimeout | Cause::ResponseLost => "first byte timeout",
        Cause::StalledBody => "between bytes timeout",
        Cause::TlsCertificateRejected => match detail? {
            "expired" => "certificate has expired",
            "name_mismatch" => "hostname doesn't match against certificate",
            "unknown_ca" => "unable to get local issuer certificate",
            _ => return None,
        },
        Cause::TlsVersionMismatch | Cause::TlsCipherMismatch | Cause::TlsAlert | Cause::TlsClosed => {
            "SSL handshake error"
        }
        Cause::NoUpstreamAttempt => "backend unhealthy, all backends failed or unhealthy, or Backend.max_conn reached",
        _ => return None,
    })
}
