//! Which product sent this request to an upstream, by the fields that it adds. What passes a request on keeps fields that
//! others have added, so that a field tells of one hop, and only where nothing shows a later one is it the nearest.
//! An address alone tells nothing: anybody may rent one next to a load balancer.

use crate::diagnose::product::Product;
use crate::event::{RequestSection, Signs};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The product.
    pub product: Product,
    /// Which of its generations, where they answer differently.
    pub generation: Option<Generation>,
    /// What it was recognised by.
    pub evidence: &'static str,
}

/// A generation of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// Application Gateway v1.
    First,
    /// Application Gateway v2.
    Second,
}

impl Asker {
    /// The product for people, with its generation.
    #[must_use]
    pub fn name(&self) -> String {
        let generation = match self.generation {
            Some(Generation::First) => " v1",
            Some(Generation::Second) => " v2",
            None => "",
        };
        format!("{}{generation}", self.product.name())
    }
}

/// The product that sent a request. `local` where it came from the upstream's own host: the edges of the world do not, but
/// their tunnels do.
#[must_use]
pub fn asker(request: &RequestSection, local: bool) -> Option<Asker> {
    let RequestSection { signs, minor_version, .. } = *request;
    if minor_version == 0 || signs.has(Signs::OTHER_HOP) {
        return None;
    }
    let port_named = request.forwarded_for.is_some_and(|client| client.port.is_some());
    let go = signs.has(Signs::CF_IN_GO) && !signs.has(Signs::FORWARDED_HOST);
    let balancers = [
        (signs.has(Signs::CF_WARP_TAG), Product::Cloudflared, None, "Cf-Warp-Tag-ID in its requests"),
        (local && go, Product::Cloudflared, None, "Cf-Ray, written as Go does, in requests from the same host"),
        (
            signs.has(Signs::APPGW_TRACE),
            Product::AzureApplicationGateway,
            Some(Generation::Second),
            "X-AppGW-Trace-Id in its requests",
        ),
        (
            signs.has(Signs::ORIGINAL_HOST) && port_named,
            Product::AzureApplicationGateway,
            Some(Generation::First),
            "X-Original-Host, and X-Forwarded-For with a port, in its requests",
        ),
        // Who traces for itself forwards for nobody.
        (
            signs.has(Signs::AMZN_TRACE) && request.forwarded,
            Product::AwsAlb,
            None,
            "X-Amzn-Trace-Id with a root, and forwarding fields, in its requests",
        ),
        (signs.has(Signs::VIA_GOOGLE), Product::Gclb, None, "Via: 1.1 google in its requests"),
    ];
    // What stands nearer to a target comes first: balancers keep what the edges added.
    let edges = [
        (signs.has(Signs::AMZ_CF_ID), Product::CloudFront, "X-Amz-Cf-Id in its requests"),
        (signs.has(Signs::AZURE_FDID), Product::AzureFrontDoor, "X-Azure-FDID in its requests"),
        (signs.has(Signs::FASTLY), Product::Fastly, "Fastly-Client-IP or Fastly-FF in its requests"),
        (
            signs.has(Signs::CF_RAY.with(Signs::CF_LAST)) && !signs.has(Signs::CF_IN_GO),
            Product::Cloudflare,
            "CF-Ray, and CF-Connecting-IP as the last client of X-Forwarded-For, in its requests",
        ),
    ];
    let edges = edges.into_iter().filter(|_| !local).map(|(is, product, evidence)| (is, product, None, evidence));
    let found = balancers.into_iter().chain(edges).find(|(is, ..)| *is);
    found.map(|(_, product, generation, evidence)| Asker { product, generation, evidence })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::event::ForwardedFor;
    use crate::observe::head::request;
    use crate::wire::http1;

    fn asked(fields: &str) -> RequestSection {
        versioned("HTTP/1.1", fields)
    }

    fn versioned(version: &str, fields: &str) -> RequestSection {
        let text = format!("GET / {version}\r\nHost: app\r\n{fields}\r\n\r\n");
        let mut room = http1::Fields::new();
        let head = http1::request(text.as_bytes(), &mut room).expect("a request");
        let (framing, _) = http1::framing(head.fields);
        request(&head, framing, text.len(), 256)
    }

    #[track_caller]
    fn check(fields: &str, local: bool, product: Option<Product>) {
        assert_eq!(asker(&asked(fields), local).map(|asker| asker.product), product, "{fields}");
    }

    #[test]
    fn managed_gateways_are_known_by_what_they_add() {
        let cloudflare = "CF-Ray: 8a-FRA\r\nCF-Connecting-IP: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7";
        check(cloudflare, false, Some(Product::Cloudflare));
        check("X-Forwarded-For: 192.0.2.7\r\nX-Amzn-Trace-Id: Root=1-67-abc", false, Some(Product::AwsAlb));
        check("Via: 1.1 google\r\nX-Forwarded-For: 192.0.2.7, 192.0.2.9", false, Some(Product::Gclb));
        check("X-Azure-FDID: 8\r\nVia: 2.0 Azure", false, Some(Product::AzureFrontDoor));
        check("User-Agent: Amazon CloudFront\r\nX-Amz-Cf-Id: q", false, Some(Product::CloudFront));
        check("Fastly-FF: x\r\nVia: 1.1 varnish", false, Some(Product::Fastly));
    }

    #[test]
    fn the_generations_of_an_application_gateway_add_different_fields() {
        let second = asker(&asked("X-AppGW-Trace-Id: 9\r\nX-Original-Host: app"), false);
        assert_eq!(second.and_then(|asker| asker.generation), Some(Generation::Second));
        let first = asker(&asked("X-ORIGINAL-HOST: app\r\nX-Forwarded-For: 192.0.2.7:5000"), false);
        assert_eq!(first.and_then(|asker| asker.generation), Some(Generation::First));
        check("X-Original-Host: app\r\nX-Forwarded-For: 192.0.2.7", false, None);
    }

    #[test]
    fn the_balancer_stands_nearer_than_the_edge_before_it() {
        let both = "CF-Ray: 8a-FRA\r\nCF-Connecting-IP: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7, 198.51.100.1\r\n\
                    X-Amzn-Trace-Id: Root=1-67-abc";
        check(both, false, Some(Product::AwsAlb));
    }

    #[test]
    fn what_a_later_hop_passes_on_tells_nothing_of_the_nearest_one() {
        let appended = "CF-Ray: 8a-FRA\r\nCF-Connecting-IP: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7, 198.51.100.1";
        check(appended, false, None);
        check("X-Amzn-Trace-Id: Root=1-67-abc\r\nX-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 10.0.0.1", false, None);
        check("X-Amzn-Trace-Id: Root=1-67-abc", false, None);
        let old = versioned("HTTP/1.0", "X-Amzn-Trace-Id: Root=1-67-abc\r\nX-Forwarded-For: 192.0.2.7");
        assert_eq!(asker(&old, false), None);
        assert_eq!(old.forwarded_for, Some(ForwardedFor { address: IpAddr::from([192, 0, 2, 7]), port: None }));
    }

    #[test]
    fn a_tunnel_is_a_local_client_that_writes_as_go_does() {
        let tunnel = "Cf-Ray: 8a-FRA\r\nCf-Connecting-Ip: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7";
        check(tunnel, true, Some(Product::Cloudflared));
        check(tunnel, false, None);
        check(&format!("{tunnel}\r\nX-Forwarded-Host: app"), true, None);
        check("CF-Ray: 8a-FRA\r\nCF-Connecting-IP: 192.0.2.7\r\nX-Forwarded-For: 192.0.2.7", true, None);
    }
}
