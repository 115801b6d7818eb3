//! Which setting of a product changes a failure. One line each, with the names under which the product's manual has
//! them; where only the upstream can be changed, there is no row.

use crate::diagnose::cause::Cause;
use crate::diagnose::product::Product;

/// The settings of the product to look at for a failure with this cause.
#[must_use]
pub fn setting(product: Product, cause: Cause) -> Option<&'static str> {
    match product {
        Product::Nginx | Product::OpenResty => nginx(cause),
        Product::Haproxy => haproxy(cause),
        Product::Envoy => envoy(cause),
        Product::Apache => apache(cause),
        Product::Caddy => caddy(cause),
        Product::Traefik => traefik(cause),
        Product::Varnish => varnish(cause),
        Product::TrafficServer => traffic_server(cause),
        Product::Squid => squid(cause),
        Product::H2o => h2o(cause),
        Product::Nghttpx => nghttpx(cause),
        Product::Lighttpd => lighttpd(cause),
        Product::AwsAlb => aws_alb(cause),
        Product::CloudFront => cloudfront(cause),
        Product::AzureApplicationGateway => azure_application_gateway(cause),
        Product::Cloudflare => cloudflare(cause),
        Product::Cloudflared => cloudflared(cause),
        Product::Gclb => gclb(cause),
        Product::Iis | Product::AzureFrontDoor | Product::Fastly => None,
    }
}

fn nginx(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => {
            "`resolver` with `valid=` and `resolver_timeout`; for names that change, `server … resolve` in an \
                upstream with a `zone`"
        }
        Cause::ConnectRefused => {
            "address and port in `upstream` or `proxy_pass`; a second `server`, and `max_fails` to skip a dead one"
        }
        Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "first the path to the upstream; a lower `proxy_connect_timeout` then fails over sooner"
        }
        Cause::AcceptQueueFull => "`max_conns` on the `server`, so that the upstream gets no more than it can accept",
        Cause::TlsVersionMismatch => "`proxy_ssl_protocols`",
        Cause::TlsCipherMismatch => "`proxy_ssl_ciphers`, and `proxy_ssl_protocols`",
        Cause::TlsNameRejected => "`proxy_ssl_server_name on` (it is off by default) and `proxy_ssl_name`",
        Cause::TlsCertificateRejected => {
            "`proxy_ssl_trusted_certificate` and `proxy_ssl_name`; they matter while `proxy_ssl_verify` is on"
        }
        Cause::TlsClientCertificateRequired => "`proxy_ssl_certificate` and `proxy_ssl_certificate_key`",
        Cause::TlsToPlaintext => "`proxy_pass http://…` instead of https, or the upstream's TLS port",
        Cause::PlaintextToTls => "`proxy_pass https://…` instead of http, or the upstream's plain port",
        Cause::TlsHandshakeTimeout => "`proxy_connect_timeout` covers the handshake as well",
        Cause::KeepaliveRace | Cause::StaleReuse => {
            "`keepalive_timeout` in `upstream`, shorter than the app's own; `proxy_next_upstream … non_idempotent` \
                only where repeating a POST does no harm"
        }
        Cause::IdleFlowDropped => "`proxy_socket_keepalive on`, or a shorter `keepalive_timeout` in `upstream`",
        Cause::RequestLost => "`proxy_read_timeout`; it cures nothing, but decides how soon nginx gives up",
        Cause::UpstreamNotReading => "`proxy_send_timeout`; it cures nothing, but decides how soon nginx gives up",
        Cause::EarlyResponse => {
            "`client_max_body_size` no larger than the app's own limit, so that nginx refuses first"
        }
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse | Cause::TruncatedHeader => {
            "`proxy_next_upstream` and a second `server` hide it; the cure is at the app"
        }
        Cause::ResponseTimeout | Cause::StalledBody => "`proxy_read_timeout`, which counts from one read to the next",
        Cause::ResponseHeaderTooLarge => {
            "`proxy_buffer_size` (and `proxy_busy_buffers_size`, which may not be smaller)"
        }
        Cause::UnexpectedUpgrade => "`proxy_http_version 1.1` with `proxy_set_header Upgrade` and `Connection`",
        Cause::H2Goaway => "`proxy_next_upstream … invalid_header`, or `grpc_next_upstream`, repeats it elsewhere",
        Cause::FcgiProtocolError => "`fastcgi_pass`, `uwsgi_pass` or `proxy_pass`: which one does the port speak?",
        Cause::NoUpstreamAttempt => {
            "`max_fails` and `fail_timeout`, `max_conns`; `worker_connections` and `worker_rlimit_nofile` if its \
                log names them"
        }
        _ => return None,
    })
}

fn haproxy(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => {
            "a `resolvers` section, and `init-addr last,libc,none` on the `server`"
        }
        Cause::ConnectRefused => {
            "address and port of the `server`; `check` with `option httpchk`; `option redispatch` for the retries"
        }
        Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "first the path to the upstream; then `timeout connect`, `retries` and `option redispatch`"
        }
        Cause::AcceptQueueFull => {
            "`maxconn` on the `server`: the rest waits in HAProxy's queue, for `timeout queue` at most"
        }
        Cause::TlsVersionMismatch => "`ssl-min-ver` and `ssl-max-ver` on the `server`",
        Cause::TlsCipherMismatch => "`ciphers` and `ciphersuites` on the `server`",
        Cause::TlsNameRejected => "`sni` on the `server`, such as `sni req.hdr(host)`",
        Cause::TlsCertificateRejected => "`ca-file` and `verifyhost` on the `server`",
        Cause::TlsClientCertificateRequired => "`crt` on the `server`",
        Cause::TlsToPlaintext => "drop `ssl` from the `server`, or name its TLS port",
        Cause::PlaintextToTls => "add `ssl` to the `server`, or name its plain port",
        Cause::TlsHandshakeTimeout => "`timeout connect` covers the handshake as well",
        Cause::KeepaliveRace | Cause::StaleReuse => {
            "`pool-purge-delay` below the app's idle time-out, or `http-reuse never`; `retry-on conn-failure \
                empty-response` where repeating does no harm"
        }
        Cause::IdleFlowDropped => "`option srvtcpka`, or a shorter `pool-purge-delay`",
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse => {
            "`retry-on empty-response` hides it where repeating does no harm; the cure is at the app"
        }
        Cause::ResponseTimeout | Cause::StalledBody => "`timeout server`",
        Cause::ResponseHeaderTooLarge => {
            "`tune.bufsize`, or `tune.http.maxhdr` where there are too many fields; for all connections: mind the memory"
        }
        Cause::MalformedResponse => {
            "`option accept-unsafe-violations-in-http-response` (`accept-invalid-http-response` before 3.0), as a \
                stopgap only"
        }
        Cause::NoUpstreamAttempt => "`check` with `rise` and `fall`, a `backup` server, `maxconn` and `timeout queue`",
        _ => return None,
    })
}

fn envoy(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => {
            "the cluster's discovery type (`STRICT_DNS`, EDS) and `dns_failure_refresh_rate`"
        }
        Cause::ConnectRefused => "address and port of the endpoint; `outlier_detection` to skip a dead one",
        Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "first the path to the upstream; then the cluster's `connect_timeout`"
        }
        Cause::AcceptQueueFull => "`circuit_breakers` with `max_connections` for the cluster",
        Cause::TlsVersionMismatch | Cause::TlsCipherMismatch => "`tls_params` of the cluster's transport socket",
        Cause::TlsNameRejected => "`sni`, or `auto_sni`",
        Cause::TlsCertificateRejected => "`validation_context` with `trusted_ca` and `match_typed_subject_alt_names`",
        Cause::TlsClientCertificateRequired => "`tls_certificates` of the cluster's transport socket",
        Cause::TlsToPlaintext | Cause::PlaintextToTls => "the cluster's `transport_socket`: with TLS, or without",
        Cause::TlsAlpnMismatch => "`alpn_protocols`, and `explicit_http_config` for the cluster's HTTP version",
        Cause::KeepaliveRace | Cause::StaleReuse => {
            "the cluster's `idle_timeout` (in `common_http_protocol_options`, one hour by default) below the app's; \
                `retry_on: reset-before-request`"
        }
        Cause::IdleFlowDropped => "`upstream_connection_options` with `tcp_keepalive`",
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse => {
            "`retry_on: reset` hides it where repeating does no harm; the cure is at the app"
        }
        Cause::ResponseTimeout => "the route's `timeout` (15 s by default), and `per_try_timeout`",
        Cause::StalledBody => "`stream_idle_timeout` (five minutes by default)",
        Cause::ResponseHeaderTooLarge => {
            "`max_response_headers_kb`, or `max_headers_count` where there are too many fields"
        }
        Cause::UnexpectedUpgrade => "`upgrade_configs`",
        Cause::H2RefusedStream => "`retry_on: refused-stream`",
        Cause::NoUpstreamAttempt => "`outlier_detection`, the panic threshold, `circuit_breakers`",
        _ => return None,
    })
}

fn apache(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => {
            "an address in place of the name in `ProxyPass`, or `addressttl=`"
        }
        Cause::ConnectRefused => {
            "the port in `ProxyPass`; `retry=` says for how long (60 s) it then does not try again"
        }
        Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "first the path to the upstream; then `connectiontimeout=` and `retry=` in `ProxyPass`"
        }
        Cause::AcceptQueueFull => "`max=` with `acquire=` in `ProxyPass`",
        Cause::TlsVersionMismatch => "`SSLProxyProtocol`",
        Cause::TlsCipherMismatch => "`SSLProxyCipherSuite`",
        Cause::TlsNameRejected => "`ProxyPreserveHost`, which decides on the name that is sent",
        Cause::TlsCertificateRejected => {
            "`SSLProxyCACertificateFile`; `SSLProxyCheckPeerName` and `SSLProxyCheckPeerExpire` for name and date"
        }
        Cause::TlsClientCertificateRequired => "`SSLProxyMachineCertificateFile`",
        Cause::TlsToPlaintext => "`http://` in `ProxyPass`, or the upstream's TLS port",
        Cause::PlaintextToTls => "`https://` in `ProxyPass` and `SSLProxyEngine on`",
        Cause::KeepaliveRace | Cause::StaleReuse => "`ttl=` below the app's idle time-out, or `disablereuse=on`",
        Cause::IdleFlowDropped => "`keepalive=On` in `ProxyPass`, or `ttl=`",
        Cause::EarlyResponse => "`LimitRequestBody` no larger than the app's own limit, so that Apache refuses first",
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse => {
            "`ping=` finds dead connections before the request is sent; the cure is at the app"
        }
        Cause::ResponseTimeout | Cause::StalledBody => "`ProxyTimeout`, or `timeout=` in `ProxyPass`",
        Cause::ResponseHeaderTooLarge => "`responsefieldsize=` in `ProxyPass`",
        Cause::MalformedResponse => "`ProxyBadHeader`, as a stopgap only",
        Cause::UnexpectedUpgrade => "`upgrade=` in `ProxyPass`, or mod_proxy_wstunnel",
        Cause::FcgiProtocolError => "`fcgi://`, `uwsgi://` or `http://` in `ProxyPass`: which one does the port speak?",
        Cause::NoUpstreamAttempt => {
            "`retry=` (60 s after one failure), `hcmethod=` for health checks, `acquire=` with `max=`"
        }
        _ => return None,
    })
}

fn caddy(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused | Cause::NoUpstreamAttempt => {
            "the addresses of `reverse_proxy`; `lb_try_duration`, `fail_duration`, `health_uri`"
        }
        Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "first the path to the upstream; then `dial_timeout` and `lb_try_duration`"
        }
        Cause::TlsNameRejected => "`tls_server_name` of `transport http`",
        Cause::TlsCertificateRejected => "`tls_trust_pool` and `tls_server_name` of `transport http`",
        Cause::TlsClientCertificateRequired => "`tls_client_auth` of `transport http`",
        Cause::TlsToPlaintext => "`http://` before the upstream's address",
        Cause::PlaintextToTls => "`https://` before the upstream's address, or `tls` in `transport http`",
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::IdleFlowDropped => {
            "`keepalive` of `transport http` (two minutes by default), below the app's"
        }
        Cause::ResponseTimeout => "`response_header_timeout` and `read_timeout` of `transport http`",
        Cause::ResponseHeaderTooLarge => "`max_response_header` of `transport http`",
        _ => return None,
    })
}

fn traefik(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectTimeout => "`forwardingTimeouts.dialTimeout` of the `serversTransport`",
        Cause::TlsNameRejected => "`serverName` of the `serversTransport`",
        Cause::TlsCertificateRejected => "`rootCAs` and `serverName` of the `serversTransport`",
        Cause::TlsClientCertificateRequired => "`certificates` of the `serversTransport`",
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::IdleFlowDropped => {
            "`forwardingTimeouts.idleConnTimeout` of the `serversTransport` (90 s by default), below the app's"
        }
        Cause::ResponseTimeout => "`forwardingTimeouts.responseHeaderTimeout` of the `serversTransport`",
        Cause::NoUpstreamAttempt => "`healthCheck` of the service",
        _ => return None,
    })
}

fn varnish(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused => "`.host` and `.port` of the backend",
        Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "first the path to the upstream; then `connect_timeout`"
        }
        Cause::AcceptQueueFull => "`.max_connections` of the backend",
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::IdleFlowDropped => {
            "the parameter `backend_idle_timeout` (60 s), below the app's"
        }
        Cause::ResponseTimeout => "`first_byte_timeout`",
        Cause::StalledBody => "`between_bytes_timeout`",
        Cause::ResponseHeaderTooLarge => "the parameters `http_resp_size`, `http_resp_hdr_len` and `http_max_hdr`",
        Cause::NoUpstreamAttempt => "`.probe` and `.max_connections` of the backend",
        _ => return None,
    })
}

fn traffic_server(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectTimeout => "`proxy.config.http.connect_attempts_timeout` and `…connect_attempts_max_retries`",
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::IdleFlowDropped => {
            "`proxy.config.http.keep_alive_no_activity_timeout_out` (120 s), below the app's"
        }
        Cause::ResponseTimeout | Cause::StalledBody => "`proxy.config.http.transaction_no_activity_timeout_out` (30 s)",
        Cause::ResponseHeaderTooLarge => "`proxy.config.http.response_header_max_size`",
        _ => return None,
    })
}

fn squid(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectTimeout => "`connect_timeout`",
        Cause::KeepaliveRace | Cause::StaleReuse | Cause::IdleFlowDropped => {
            "`server_idle_pconn_timeout` (one minute), below the app's"
        }
        Cause::ResponseTimeout | Cause::StalledBody => "`read_timeout` (15 minutes)",
        Cause::ResponseHeaderTooLarge => "`reply_header_max_size`",
        _ => return None,
    })
}

fn h2o(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::KeepaliveRace | Cause::StaleReuse => {
            "`proxy.timeout.keepalive`, below the app's idle time-out: H2O does not repeat the request"
        }
        Cause::ResponseTimeout | Cause::StalledBody => "`proxy.timeout.io`",
        Cause::TlsCertificateRejected => "`proxy.ssl.cafile` and `proxy.ssl.verify-peer`",
        _ => return None,
    })
}

fn nghttpx(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectTimeout => "`backend-connect-timeout`",
        Cause::KeepaliveRace | Cause::StaleReuse => "`backend-keep-alive-timeout` (2 s), below the app's",
        Cause::ResponseTimeout | Cause::StalledBody => "`backend-read-timeout`",
        Cause::ResponseHeaderTooLarge => "`response-header-field-buffer`",
        _ => return None,
    })
}

fn lighttpd(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused | Cause::NoUpstreamAttempt => {
            "the address in `proxy.server` or `fastcgi.server`, and its `disable-time`"
        }
        Cause::ConnectTimeout => "`connect-timeout` of the host in `proxy.server`",
        Cause::ResponseTimeout | Cause::StalledBody => "`read-timeout` of the host in `proxy.server`",
        _ => return None,
    })
}

fn aws_alb(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused => "the target group's port, and its health check",
        Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "the target's security group must admit the balancer's; the network ACL must let the ephemeral ports back"
        }
        Cause::KeepaliveRace | Cause::StaleReuse => {
            "the balancer's idle timeout (60 s), below the keep-alive of the target"
        }
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse => {
            "the target group's deregistration delay, where targets were being replaced"
        }
        Cause::ResponseTimeout => "the balancer's idle timeout",
        Cause::TlsToPlaintext | Cause::PlaintextToTls => "the target group's protocol",
        Cause::NoUpstreamAttempt => "register healthy targets in the target group",
        _ => return None,
    })
}

fn cloudfront(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::KeepaliveRace | Cause::StaleReuse => "the origin's keep-alive timeout (5 s), below the origin's own",
        Cause::ResponseTimeout => "the origin's response timeout",
        Cause::TlsVersionMismatch => "the origin's SSL protocols",
        Cause::TlsToPlaintext | Cause::PlaintextToTls => "the origin's protocol policy and ports",
        _ => return None,
    })
}

fn azure_application_gateway(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => {
            "the virtual network's DNS servers; restart the gateway after changing them"
        }
        Cause::ConnectRefused => "the port in the backend settings; the network security group",
        Cause::ConnectTimeout | Cause::ConnectUnreachable | Cause::ConnectProhibited => {
            "network security group and user-defined routes between the gateway's subnet and the backend"
        }
        Cause::TlsCertificateRejected => "the trusted root certificate and the host name in the backend settings",
        Cause::TlsToPlaintext | Cause::PlaintextToTls => "the protocol in the backend settings",
        Cause::ResponseTimeout => "the request timeout in the backend settings (20 s)",
        Cause::ClosedWithoutResponse | Cause::ResetWithoutResponse => {
            "connection draining, where backends were being replaced"
        }
        Cause::NoUpstreamAttempt => "the probe's path, host and accepted statuses",
        _ => return None,
    })
}

fn cloudflare(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => "the DNS record of the origin",
        Cause::ConnectTimeout | Cause::ConnectProhibited | Cause::ConnectRefused => {
            "the origin's firewall must admit Cloudflare's address ranges on the proxied port"
        }
        Cause::ConnectUnreachable => "the origin's address in the DNS record",
        Cause::TlsVersionMismatch | Cause::TlsCipherMismatch | Cause::TlsCertificateRejected => {
            "the SSL/TLS mode (Full or Full strict), and the origin's certificate"
        }
        Cause::TlsClientCertificateRequired => "Authenticated Origin Pulls",
        Cause::TlsToPlaintext | Cause::PlaintextToTls => "the SSL/TLS mode, or the origin's port",
        Cause::KeepaliveRace | Cause::StaleReuse => {
            "Cloudflare keeps idle connections for 900 s: the origin's keep-alive must be longer"
        }
        Cause::ResponseTimeout => {
            "the proxy read timeout (100 s; a matter of the plan), or answer at once and work later"
        }
        _ => return None,
    })
}

fn cloudflared(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectRefused => "`service` of the ingress rule: scheme, address and port",
        Cause::ConnectTimeout => "`connectTimeout` in `originRequest`",
        Cause::TlsHandshakeTimeout => "`tlsTimeout` in `originRequest`",
        Cause::TlsCertificateRejected => "`caPool` and `originServerName` in `originRequest`",
        Cause::TlsNameRejected => "`originServerName` in `originRequest`",
        Cause::TlsToPlaintext | Cause::PlaintextToTls => "the scheme in `service` of the ingress rule",
        Cause::KeepaliveRace | Cause::StaleReuse => "`keepAliveTimeout` in `originRequest` (90 s), below the app's",
        _ => return None,
    })
}

fn gclb(cause: Cause) -> Option<&'static str> {
    Some(match cause {
        Cause::ConnectTimeout | Cause::ConnectProhibited | Cause::NoUpstreamAttempt => {
            "the firewall rule for the balancer's and the health check's address ranges, and the health check itself"
        }
        Cause::KeepaliveRace | Cause::StaleReuse => {
            "it keeps idle connections for 600 s, which is fixed: the app's keep-alive must be longer"
        }
        Cause::ResponseTimeout => "the backend service's timeout (30 s)",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_race_is_a_matter_of_idle_timeouts_everywhere() {
        assert!(setting(Product::Nginx, Cause::KeepaliveRace).is_some_and(|text| text.contains("keepalive_timeout")));
        assert!(setting(Product::Haproxy, Cause::KeepaliveRace).is_some_and(|text| text.contains("pool-purge-delay")));
        assert!(setting(Product::Apache, Cause::KeepaliveRace).is_some_and(|text| text.contains("ttl=")));
        // lighttpd asks its upstreams to close after each response.
        assert_eq!(setting(Product::Lighttpd, Cause::KeepaliveRace), None);
    }
}
