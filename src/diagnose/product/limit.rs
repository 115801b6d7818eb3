//! Numbers that a product comes with: the status it gives to a failure, how large a header section it takes, and for
//! how long it holds a failed upstream against it.

use std::time::Duration;

use crate::diagnose::cause::{Cause, Phase};
use crate::diagnose::product::Product;

/// The status with which the product answers its client for a failure with this cause, as it is shipped. `None` where
/// that depends, where the client gets no status of the gateway's, or where it is not known.
#[must_use]
pub fn usual_status(product: Product, cause: Cause) -> Option<u16> {
    match cause {
        Cause::MalformedResponse if matches!(product, Product::Cloudflare) => return Some(520),
        Cause::MalformedResponse if matches!(product, Product::AwsAlb) => return Some(502),
        Cause::RelayedError | Cause::EarlyResponse | Cause::MalformedResponse => return None,
        // What was sent and not acknowledged is no answer that was waited for.
        Cause::RequestLost | Cause::IdleFlowDropped if matches!(product, Product::Cloudflare) => return Some(522),
        Cause::TlsCertificateRejected if matches!(product, Product::Cloudflare) => return Some(526),
        // Envoy tells what breaks the protocol from what breaks off.
        Cause::TruncatedHeader
        | Cause::ResponseHeaderTooLarge
        | Cause::UnsolicitedResponse
        | Cause::H2ProtocolError
            if matches!(product, Product::Envoy) =>
        {
            return Some(502);
        }
        Cause::NoUpstreamAttempt => return no_attempt(product),
        Cause::FcgiNoOutput | Cause::FcgiProtocolError if matches!(product, Product::Apache | Product::H2o) => {
            return Some(503);
        }
        _ => {}
    }
    match cause.phase() {
        Phase::Resolve => unresolved(product),
        Phase::Connect if unanswered(cause) => connect_timeout(product),
        Phase::Connect => connect_failure(product, cause),
        Phase::Tls if cause == Cause::TlsHandshakeTimeout => tls_timeout(product),
        Phase::Tls if cause == Cause::PlaintextToTls => None,
        Phase::Tls => tls_failure(product),
        Phase::Request | Phase::ResponseHead if unanswered(cause) => response_timeout(product),
        Phase::Request | Phase::ResponseHead => broken_response(product),
        _ => None,
    }
}

/// The default limit of a response's header section in octets, and the setting (or constant) behind it.
#[must_use]
pub const fn response_header_limit_bytes(product: Product) -> Option<(u64, &'static str)> {
    Some(match product {
        Product::Nginx | Product::OpenResty => (4096, "proxy_buffer_size (a memory page: 4 or 8 KiB)"),
        Product::Haproxy => (15_360, "tune.bufsize less tune.maxrewrite"),
        Product::Apache => (8190, "ResponseFieldSize (of one line, not of all)"),
        Product::Varnish => (32_768, "http_resp_size (and http_resp_hdr_len, 8192, of one line)"),
        Product::Envoy => (61_440, "max_response_headers_kb"),
        Product::Squid => (65_536, "reply_header_max_size"),
        Product::TrafficServer => (131_072, "proxy.config.http.response_header_max_size"),
        Product::Nghttpx => (65_536, "response-header-field-buffer"),
        Product::Lighttpd => (65_535, "a constant of its source"),
        Product::Caddy => (10 << 20, "max_response_header"),
        Product::Traefik | Product::Cloudflared => (10 << 20, "MaxResponseHeaderBytes of Go's transport"),
        Product::Cloudflare => (131_072, "a fixed limit of the service"),
        Product::AwsAlb => (32_768, "a fixed limit of the service"),
        Product::H2o
        | Product::Iis
        | Product::CloudFront
        | Product::AzureApplicationGateway
        | Product::AzureFrontDoor
        | Product::Gclb
        | Product::Fastly => return None,
    })
}

/// The default limit of the number of a response's fields, where the product has one that responses come near to, and the setting
/// behind it.
#[must_use]
pub const fn response_field_limit(product: Product) -> Option<(u16, &'static str)> {
    match product {
        Product::Envoy => Some((100, "max_headers_count")),
        Product::Haproxy => Some((101, "tune.http.maxhdr")),
        Product::Varnish => Some((64, "http_max_hdr")),
        Product::Nghttpx => Some((500, "max-response-header-fields")),
        _ => None,
    }
}

/// For how long after failures the product, as it is shipped, may answer without trying the upstream again. Where a
/// health check decides instead, a span within which such checks usually have had their say.
#[must_use]
pub const fn hold_down(product: Product) -> Duration {
    match product {
        // fail_timeout
        Product::Nginx | Product::OpenResty => Duration::from_secs(10),
        // backend_local_error_holddown; a refused connection counts for 0.25 s only
        Product::Varnish => Duration::from_secs(10),
        // errors are cached that long
        Product::CloudFront => Duration::from_secs(10),
        // base_ejection_time
        Product::Envoy => Duration::from_secs(30),
        // retry=60; the others by health checks
        _ => Duration::from_secs(60),
    }
}

/// Whether the product would use any connection that it left open: it closes idle ones by a timer of its own, or has no limit
/// of their age. Others look at the age only when they are about to use one.
#[must_use]
pub const fn uses_what_is_open(product: Product) -> bool {
    matches!(
        product,
        Product::Nginx
            | Product::OpenResty
            | Product::Haproxy
            | Product::Envoy
            | Product::Caddy
            | Product::Traefik
            | Product::Varnish
            | Product::TrafficServer
            | Product::Squid
            | Product::H2o
            | Product::Nghttpx
    )
}

/// Whether the product, as it is usually set up, turns away from an upstream for such a failure: of a request, or of a
/// health probe.
#[must_use]
pub fn turns_away(product: Option<Product>, cause: Cause, probe: bool) -> bool {
    let phase = cause.phase();
    let reached = matches!(phase, Phase::Request | Phase::ResponseHead);
    let connecting = matches!(phase, Phase::Resolve | Phase::Connect | Phase::Tls);
    if probe || !(reached || connecting) {
        return probe;
    }
    match product {
        // By health checks alone.
        Some(
            Product::Haproxy | Product::Traefik | Product::AwsAlb | Product::AzureApplicationGateway | Product::Gclb,
        ) => false,
        // Failures to connect alone.
        Some(
            Product::Apache
            | Product::Varnish
            | Product::TrafficServer
            | Product::Squid
            | Product::Lighttpd
            | Product::Nghttpx
            | Product::H2o,
        ) => connecting,
        // Outlier detection counts what it relays as well.
        Some(Product::Envoy) => true,
        _ => cause != Cause::RelayedError,
    }
}

/// Whether the gateway gave up waiting, rather than being told.
const fn unanswered(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ConnectTimeout
            | Cause::AcceptQueueFull
            | Cause::ResponseTimeout
            | Cause::ResponseLost
            | Cause::RequestLost
            | Cause::IdleFlowDropped
            | Cause::UpstreamNotReading
    )
}

const fn unresolved(product: Product) -> Option<u16> {
    Some(match product {
        Product::Nginx | Product::OpenResty | Product::Caddy | Product::CloudFront => 502,
        Product::Squid => 503,
        Product::Apache => 500,
        Product::Cloudflare => 530,
        _ => return None,
    })
}

const fn no_attempt(product: Product) -> Option<u16> {
    Some(match product {
        Product::Nginx | Product::OpenResty => 502,
        Product::Haproxy
        | Product::Envoy
        | Product::Apache
        | Product::Caddy
        | Product::Traefik
        | Product::Varnish
        | Product::Lighttpd
        | Product::AwsAlb
        | Product::Fastly => 503,
        _ => return None,
    })
}

const fn connect_timeout(product: Product) -> Option<u16> {
    Some(match product {
        Product::Nginx | Product::OpenResty | Product::Nghttpx | Product::AwsAlb | Product::CloudFront => 504,
        Product::Haproxy
        | Product::Envoy
        | Product::Apache
        | Product::Varnish
        | Product::Lighttpd
        | Product::Fastly => 503,
        Product::Caddy | Product::TrafficServer | Product::H2o | Product::Cloudflared => 502,
        Product::AzureApplicationGateway => 502,
        Product::Cloudflare => 522,
        _ => return None,
    })
}

const fn connect_failure(product: Product, cause: Cause) -> Option<u16> {
    // A connection that was accepted first has failed in the response phase for most.
    if matches!(cause, Cause::ConnectReset) {
        return broken_response(product);
    }
    Some(match product {
        Product::Nginx
        | Product::OpenResty
        | Product::Caddy
        | Product::Traefik
        | Product::Cloudflared
        | Product::H2o
        | Product::Nghttpx
        | Product::TrafficServer
        | Product::AwsAlb
        | Product::AzureApplicationGateway => 502,
        Product::Haproxy | Product::Envoy | Product::Apache | Product::Varnish | Product::Fastly => 503,
        Product::Lighttpd if matches!(cause, Cause::ConnectRefused) => 503,
        Product::Cloudflare if matches!(cause, Cause::ConnectRefused) => 521,
        Product::Cloudflare if matches!(cause, Cause::ConnectUnreachable) => 523,
        _ => return None,
    })
}

const fn tls_timeout(product: Product) -> Option<u16> {
    Some(match product {
        Product::Nginx | Product::OpenResty | Product::Caddy | Product::Nghttpx | Product::Squid => 504,
        Product::Haproxy => 503,
        Product::H2o | Product::TrafficServer | Product::AwsAlb => 502,
        Product::Apache => 500,
        Product::Cloudflare => 525,
        _ => return None,
    })
}

const fn tls_failure(product: Product) -> Option<u16> {
    Some(match product {
        Product::Nginx
        | Product::OpenResty
        | Product::Caddy
        | Product::H2o
        | Product::Nghttpx
        | Product::TrafficServer
        | Product::AwsAlb
        | Product::CloudFront
        | Product::AzureApplicationGateway
        | Product::Cloudflared => 502,
        Product::Haproxy | Product::Envoy | Product::Squid | Product::Fastly => 503,
        Product::Apache => 500,
        Product::Cloudflare => 525,
        _ => return None,
    })
}

const fn response_timeout(product: Product) -> Option<u16> {
    Some(match product {
        Product::Apache | Product::H2o => 502,
        Product::Varnish | Product::Fastly => 503,
        Product::Nginx
        | Product::OpenResty
        | Product::Haproxy
        | Product::Envoy
        | Product::Caddy
        | Product::Traefik
        | Product::TrafficServer
        | Product::Squid
        | Product::Nghttpx
        | Product::Lighttpd
        | Product::AwsAlb
        | Product::CloudFront
        | Product::AzureApplicationGateway => 504,
        Product::Cloudflare => 524,
        _ => return None,
    })
}

const fn broken_response(product: Product) -> Option<u16> {
    Some(match product {
        Product::Envoy | Product::Varnish | Product::Fastly => 503,
        Product::Lighttpd => 500,
        Product::Cloudflare => 520,
        Product::Nginx
        | Product::OpenResty
        | Product::Haproxy
        | Product::Apache
        | Product::Caddy
        | Product::Traefik
        | Product::TrafficServer
        | Product::Squid
        | Product::H2o
        | Product::Nghttpx
        | Product::AwsAlb
        | Product::AzureApplicationGateway
        | Product::Cloudflared => 502,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(product: Product, cause: Cause, status: Option<u16>) {
        assert_eq!(usual_status(product, cause), status, "{product:?} {cause:?}");
    }

    #[test]
    fn one_cause_has_many_statuses() {
        check(Product::Nginx, Cause::ConnectRefused, Some(502));
        check(Product::Haproxy, Cause::ConnectRefused, Some(503));
        check(Product::Apache, Cause::TlsCertificateRejected, Some(500));
        check(Product::Apache, Cause::ResponseTimeout, Some(502));
        check(Product::Nginx, Cause::ResponseTimeout, Some(504));
        check(Product::H2o, Cause::ResponseTimeout, Some(502));
        check(Product::Lighttpd, Cause::ClosedWithoutResponse, Some(500));
        check(Product::Varnish, Cause::KeepaliveRace, Some(503));
        check(Product::Cloudflare, Cause::ConnectRefused, Some(521));
        check(Product::Cloudflare, Cause::ConnectTimeout, Some(522));
        check(Product::Cloudflare, Cause::RequestLost, Some(522));
        check(Product::Cloudflare, Cause::ResponseTimeout, Some(524));
        check(Product::Cloudflare, Cause::TlsClosed, Some(525));
        check(Product::Cloudflare, Cause::TlsCertificateRejected, Some(526));
        check(Product::Cloudflare, Cause::ResetWithoutResponse, Some(520));
        check(Product::AwsAlb, Cause::ConnectTimeout, Some(504));
        check(Product::AzureApplicationGateway, Cause::ResponseTimeout, Some(504));
        check(Product::Nginx, Cause::TruncatedBody, None);
        check(Product::Nginx, Cause::RelayedError, None);
    }

    #[test]
    fn an_error_that_was_passed_on_takes_a_server_out_only_where_it_is_counted() {
        assert!(!turns_away(Some(Product::Nginx), Cause::RelayedError, false));
        assert!(!turns_away(None, Cause::RelayedError, false));
        assert!(turns_away(Some(Product::Envoy), Cause::RelayedError, false));
        assert!(turns_away(Some(Product::Haproxy), Cause::RelayedError, true));
        assert!(!turns_away(Some(Product::Haproxy), Cause::ConnectRefused, false));
        assert!(turns_away(Some(Product::Apache), Cause::ConnectRefused, false));
        assert!(!turns_away(Some(Product::Apache), Cause::ResponseTimeout, false));
        assert!(turns_away(Some(Product::Nginx), Cause::ResponseTimeout, false));
        assert!(!turns_away(Some(Product::Nginx), Cause::ClientAbort, false));
    }

    #[test]
    fn an_apache_that_failed_once_does_not_try_for_a_minute() {
        assert_eq!(hold_down(Product::Apache), Duration::from_secs(60));
        assert_eq!(hold_down(Product::Nginx), Duration::from_secs(10));
    }
}
