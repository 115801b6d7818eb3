//! Which product answered, what its log says of a failure, and which of its settings changes it.
//!
//! In come a response or a cause, out go words of one product. All of it is tables: a product that is not known to do
//! or say something has no row, for a made-up log line costs an operator an hour.

mod answer;
mod asker;
mod fingerprint;
mod limit;
mod log_line;
mod page;
mod probe;
mod reason;
mod setting;

pub use answer::{keeps_idle, likely_answer, likely_statuses, patience};
pub use asker::{Asker, Generation, asker};
pub use fingerprint::{KEPT_FIELDS, Recognition, is_own_page, recognise, recognise_beyond, recognise_request};
pub use limit::{
    hold_down, response_field_limit, response_header_limit_bytes, turns_away, uses_what_is_open, usual_status,
};
pub use log_line::log_line;
pub use probe::probe;
pub use reason::{Said, reason};
pub use setting::setting;

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
    /// All products.
    pub const ALL: &'static [Self] = &[
        Self::Nginx,
        Self::OpenResty,
        Self::Haproxy,
        Self::Envoy,
        Self::Apache,
        Self::Caddy,
        Self::Traefik,
        Self::Varnish,
        Self::TrafficServer,
        Self::Squid,
        Self::H2o,
        Self::Nghttpx,
        Self::Lighttpd,
        Self::Iis,
        Self::AwsAlb,
        Self::CloudFront,
        Self::AzureApplicationGateway,
        Self::AzureFrontDoor,
        Self::Cloudflare,
        Self::Cloudflared,
        Self::Gclb,
        Self::Fastly,
    ];

    /// The stable id: a key in JSON reports.
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

    /// The name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::OpenResty => "OpenResty",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Apache => "Apache httpd",
            Self::Caddy => "Caddy",
            Self::Traefik => "Traefik",
            Self::Varnish => "Varnish",
            Self::TrafficServer => "Apache Traffic Server",
            Self::Squid => "Squid",
            Self::H2o => "H2O",
            Self::Nghttpx => "nghttpx",
            Self::Lighttpd => "lighttpd",
            Self::Iis => "IIS with ARR",
            Self::AwsAlb => "AWS Application Load Balancer",
            Self::CloudFront => "Amazon CloudFront",
            Self::AzureApplicationGateway => "Azure Application Gateway",
            Self::AzureFrontDoor => "Azure Front Door",
            Self::Cloudflare => "Cloudflare",
            Self::Cloudflared => "cloudflared",
            Self::Gclb => "Google Cloud Load Balancer",
            Self::Fastly => "Fastly",
        }
    }

    /// The product with this id, upper or lower case.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|product| product.id().eq_ignore_ascii_case(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::cause::Cause;

    #[test]
    fn every_id_leads_back_to_its_product() {
        for product in Product::ALL {
            assert_eq!(Product::parse(product.id()), Some(*product));
            assert!(!product.name().is_empty());
        }
        assert_eq!(Product::parse("NGINX"), Some(Product::Nginx));
        assert_eq!(Product::parse("abacus"), None);
    }

    #[test]
    fn no_table_has_an_empty_row() {
        let details = [None, Some("fin"), Some("rst"), Some("expired"), Some("bad_chunk"), Some("not_http")];
        for (product, cause) in Product::ALL.iter().flat_map(|p| Cause::ALL.iter().map(move |c| (*p, *c))) {
            let lines = details.iter().flat_map(|detail| {
                [None, Some(502), Some(503), Some(504)].map(|status| log_line(product, cause, *detail, status))
            });
            for text in lines.chain([setting(product, cause)]).flatten() {
                assert!(
                    text.len() > 2 && text.trim() == text && !text.contains('\n'),
                    "{product:?} {cause:?}: {text:?}"
                );
            }
        }
    }
}
