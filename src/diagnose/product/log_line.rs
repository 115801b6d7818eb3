//! What a product's own log says of a failure: the text to search for, or the flags.
//!
//! A line is given where it was read in the product's source or documentation, or seen in its log. An ellipsis stands
//! for what varies. Some products answer by silence, which is worth knowing too: that is said in parentheses.

mod cloud;
mod go;
mod nginx;
mod servers;

use crate::diagnose::cause::Cause;
use crate::diagnose::product::Product;

/// What the product's log says of a failure with this cause. `detail` is the diagnosis's (`fin`, `rst`, `expired`, …),
/// `status` what the client saw; `None` where it is not known what the product logs.
#[must_use]
pub fn log_line(product: Product, cause: Cause, detail: Option<&str>, status: Option<u16>) -> Option<&'static str> {
    match product {
        Product::Nginx | Product::OpenResty => nginx::line(cause, detail, status),
        Product::Haproxy => haproxy(cause, detail, status),
        Product::Envoy => envoy(cause),
        Product::Apache => servers::apache(cause, detail),
        Product::Caddy | Product::Traefik | Product::Cloudflared => go::line(product, cause, detail),
        Product::Varnish => servers::varnish(cause, detail),
        Product::TrafficServer => servers::traffic_server(cause),
        Product::Squid => servers::squid(cause, detail),
        Product::H2o => servers::h2o(cause, detail),
        Product::Nghttpx => servers::nghttpx(cause, detail),
        Product::Lighttpd => servers::lighttpd(cause, detail),
        Product::Iis => cloud::iis(cause),
        Product::AwsAlb => cloud::aws_alb(cause, status),
        Product::CloudFront => cloud::cloudfront(cause),
        Product::AzureApplicationGateway => cloud::azure_application_gateway(cause, detail),
        Product::AzureFrontDoor => cloud::azure_front_door(cause, detail),
        Product::Cloudflare => cloud::cloudflare(cause),
        Product::Gclb => cloud::gclb(cause),
        Product::Fastly => cloud::fastly(cause, detail),
    }
}

/// HAProxy: the termination state, and `%[bc_err_str]` where it says more.
fn haproxy(cause: Cause, detail: Option<&str>, status: Option<u16>) -> Option<&'static str> {
    let broken_off = matches!(
        cause,
        Cause::KeepaliveRace
            | Cause::StaleReuse
            | Cause::MiddleboxReset
            | Cause::ConnectReset
            | Cause::ClosedWithoutResponse
            | Cause::ResetWithoutResponse
            | Cause::TruncatedHeader
    );
    // What fails on a reused connection is closed without an answer, so that the client repeats the request.
    let late = matches!(cause, Cause::PlaintextToTls | Cause::TlsClientCertificateRequired);
    if status.is_none() && (broken_off || late) {
        return Some("(no line: the connection was reused, so it is closed without an answer and without a log entry)");
    }
    Some(match cause {
        _ if broken_off => "SH--",
        Cause::ConnectRefused | Cause::ConnectUnreachable | Cause::ConnectProhibited => "SC--",
        Cause::ConnectTimeout | Cause::AcceptQueueFull | Cause::TlsHandshakeTimeout => "sC--",
        Cause::TlsCertificateRejected if detail == Some("name_mismatch") => {
            "SC-- Server presented an SSL certificate different from the expected one"
        }
        Cause::TlsClientCertificateRequired if status == Some(502) => "SH--",
        Cause::TlsVersionMismatch
        | Cause::TlsCipherMismatch
        | Cause::TlsNameRejected
        | Cause::TlsAlpnMismatch
        | Cause::TlsCertificateRejected
        | Cause::TlsClientCertificateRequired
        | Cause::TlsToPlaintext
        | Cause::TlsClosed
        | Cause::TlsAlert => "SC-- SSL handshake failure",
        Cause::ResponseTimeout | Cause::ResponseLost | Cause::IdleFlowDropped | Cause::RequestLost => "sH--",
        Cause::ResponseHeaderTooLarge => "PH--",
        Cause::MalformedResponse if detail == Some("bad_chunk") && status != Some(502) => "SD--",
        Cause::MalformedResponse => "PH--",
        Cause::TruncatedBody | Cause::EarlyResponse => "SD--",
        Cause::StalledBody => "sD--",
        Cause::ClientAbort => "CH-- before the response, CD-- within it",
        Cause::NoUpstreamAttempt if status == Some(503) => "SC-- with <NOSRV> in place of the server",
        Cause::DnsNxdomain => "SC-- with <NOSRV>; before it: Server … is going DOWN for maintenance (DNS NX status)",
        Cause::DnsFailure | Cause::DnsTimeout => "SC-- with <NOSRV>; before it: Server … is going DOWN for maintenance",
        _ => return None,
    })
}

/// Envoy: the response flag and the response code details, as 1.40 writes them. Where it tried several times `URX` stands before.
fn envoy(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => "UH no_healthy_upstream, or DF",
        Cause::ConnectRefused => {
            "UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}"
        }
        Cause::ConnectReset => {
            "UF upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_reset_by_peer}"
        }
        Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "UF upstream_reset_before_response_started{remote_connection_failure|…}"
        }
        Cause::ConnectTimeout | Cause::AcceptQueueFull | Cause::TlsHandshakeTimeout => {
            "UF upstream_reset_before_response_started{connection_timeout}, or UT response_timeout"
        }
        Cause::TlsCertificateRejected => {
            "UF upstream_reset_before_response_started{remote_connection_failure|TLS_error:…CERTIFICATE_VERIFY_FAILED…}"
        }
        Cause::TlsVersionMismatch
        | Cause::TlsCipherMismatch
        | Cause::TlsNameRejected
        | Cause::TlsAlpnMismatch
        | Cause::TlsToPlaintext
        | Cause::TlsAlert => "UF upstream_reset_before_response_started{remote_connection_failure|TLS_error:…}",
        Cause::TlsClosed | Cause::TlsClientCertificateRequired => {
            "UF upstream_reset_before_response_started{remote_connection_failure…}"
        }
        Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::MiddleboxReset
        | Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse => "UC upstream_reset_before_response_started{connection_termination}",
        Cause::ResponseTimeout
        | Cause::ResponseLost
        | Cause::IdleFlowDropped
        | Cause::RequestLost
        | Cause::UpstreamNotReading => "UT response_timeout",
        Cause::StalledBody => "UT response_timeout, or SI stream_idle_timeout",
        Cause::ResponseHeaderTooLarge
        | Cause::MalformedResponse
        | Cause::TruncatedHeader
        | Cause::UnsolicitedResponse
        | Cause::H2ProtocolError => "UPE upstream_reset_before_response_started{protocol_error}",
        Cause::H2RefusedStream | Cause::H2Goaway => {
            "UR upstream_reset_before_response_started{remote_refused_stream_reset}"
        }
        Cause::H2StreamError => "UR upstream_reset_before_response_started{remote_reset}",
        Cause::TruncatedBody => {
            "UPE upstream_reset_after_response_started{protocol_error}, or UC …{connection_termination} with HTTP/2"
        }
        Cause::ClientAbort => "DC downstream_remote_disconnect",
        Cause::NoUpstreamAttempt => "UH no_healthy_upstream, UO …{overflow}, NC cluster_not_found, RL or FI",
        Cause::RelayedError | Cause::EarlyResponse => "via_upstream",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
