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

impl Product {
    /// The product's id in reports.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::OpenResty => "openresty",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
            Self::Apache => "apache",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Varnish => "varnish",
            Self::TrafficServer => "traffic_server",
            Self::Squid => "squid",
            Self::H2o => "h2o",
            Self::Nghttpx => "nghttpx",
            Self::Lighttpd => "lighttpd",
            Self::Iis => "iis",
            Self::AwsAlb => "aws_alb",
            Self::CloudFront => "cloudfront",
            Self::AzureApplicationGateway => "azure_application_gateway",
            Self::AzureFrontDoor => "azure_front_door",
            Self::Cloudflare => "cloudflare",
            Self::Cloudflared => "cloudflared",
            Self::Gclb => "gclb",
            Self::Fastly => "fastly",
        }
    }
}
