//! Which product answered, what its log says of a failure, and which of its settings changes it.

/// A gateway product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names speak for themselves")]
pub enum Product {
    Nginx,
    OpenResty,
    Haproxy,
    Envoy,
    Apache,
    Caddy,
    Traefik,
    Varnish,
    TrafficServer,
    Squid,
    H2o,
    Nghttpx,
    Lighttpd,
    Iis,
    AwsAlb,
    CloudFront,
    AzureApplicationGateway,
    AzureFrontDoor,
    Cloudflare,
    Cloudflared,
    Gclb,
    Fastly,
}
