//! What a product's client got for a failure, where the client's leg is not visible; and the product's own timers, which
//! cannot be seen on the upstream's side but by what they end.

use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::product::{Asker, Generation, Product, usual_status};

/// The status that the client of each product most likely got, if it was that one: of whoever was recognised, or else of
/// all. `relayed` is what the upstream itself answered.
#[must_use]
pub fn likely_statuses(asker: Option<&Asker>, cause: Cause, relayed: Option<u16>) -> Vec<(Product, u16)> {
    let likely = |product, generation| match (cause, generation, usual_status(product, cause)) {
        (Cause::RelayedError, ..) => relayed,
        // It does not ask a second member, as v2 does before it answers 504.
        (_, Some(Generation::First), Some(504)) => Some(502),
        (_, _, status) => status,
    };
    match asker {
        Some(asker) => {
            likely(asker.product, asker.generation).map(|status| (asker.product, status)).into_iter().collect()
        }
        None => Product::ALL.iter().filter_map(|product| Some((*product, likely(*product, None)?))).collect(),
    }
}

/// The same in words: `Cloudflare will have answered 521`.
#[must_use]
pub fn likely_answer(asker: Option<&Asker>, cause: Cause, relayed: Option<u16>) -> Option<String> {
    let name = asker.map_or_else(|| "the gateway".to_owned(), Asker::name);
    if cause == Cause::RelayedError {
        return Some(format!("{name} will have passed the {} on", relayed?));
    }
    let Some(asker) = asker else { return among_common(cause) };
    if asker.product == Product::Gclb {
        return Some(format!("{name} will have answered {}", gclb(cause)?));
    }
    let statuses = likely_statuses(Some(asker), cause, relayed);
    statuses.first().map(|(_, status)| format!("{name} will have answered {status}"))
}

/// Google's: classic and newer load balancers look the same from behind.
const fn gclb(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::ConnectRefused
        | Cause::ConnectTimeout
        | Cause::ConnectUnreachable
        | Cause::ConnectProhibited
        | Cause::AcceptQueueFull
        | Cause::ConnectReset
        | Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse
        | Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::TruncatedHeader => Some("502 (a classic load balancer) or 503 (a newer one)"),
        _ => None,
    }
}

/// What the gateways that are met most often answer, where none is recognised.
fn among_common(cause: Cause) -> Option<String> {
    let common = [Product::Nginx, Product::Haproxy, Product::Apache, Product::Envoy];
    let known = common.map(|product| (product, usual_status(product, cause)));
    let mut statuses: Vec<u16> = known.iter().filter_map(|(_, status)| *status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    let one = |status: &u16| {
        let names = known.iter().filter(|(_, own)| *own == Some(*status)).map(|(product, _)| product.name());
        format!("{status} ({})", names.collect::<Vec<_>>().join(", "))
    };
    match statuses.as_slice() {
        [] => None,
        [status] => Some(format!("the gateway will have answered {status}")),
        [before @ .., last] => {
            let before = before.iter().map(one).collect::<Vec<_>>().join(", ");
            Some(format!("the gateway will have answered {before} or {}", one(last)))
        }
    }
}

/// For how long the product, as it is shipped, waits before it gives up on an upstream with such a failure, and what it
/// calls that.
#[must_use]
pub const fn patience(product: Product, cause: Cause) -> Option<(Duration, &'static str)> {
    let (seconds, name) = match (product, cause) {
        (Product::Cloudflare, Cause::ConnectTimeout | Cause::AcceptQueueFull) => (19, "its wait for a SYN-ACK"),
        (Product::Cloudflare, Cause::RequestLost | Cause::IdleFlowDropped) => (90, "its wait for an acknowledgement"),
        (Product::Cloudflare, Cause::ResponseTimeout) => (100, "its proxy read timeout"),
        (Product::AwsAlb, Cause::ConnectTimeout | Cause::AcceptQueueFull) => (10, "its connection timeout"),
        (Product::AwsAlb, Cause::TlsHandshakeTimeout) => (10, "its handshake timeout"),
        (Product::AwsAlb, Cause::ResponseTimeout | Cause::StalledBody) => (60, "its idle timeout"),
        (Product::AzureApplicationGateway, Cause::ResponseTimeout | Cause::StalledBody) => (20, "its request timeout"),
        (Product::AzureFrontDoor, Cause::ResponseTimeout) => (30, "its origin response timeout"),
        (Product::Gclb, Cause::ResponseTimeout) => (30, "the backend service's timeout"),
        (Product::CloudFront, Cause::ResponseTimeout) => (30, "its origin response timeout"),
        _ => return None,
    };
    Some((Duration::from_secs(seconds), name))
}

/// For how long the product, as it is shipped, keeps an idle connection to an upstream.
#[must_use]
pub const fn keeps_idle(product: Product) -> Option<Duration> {
    let seconds = match product {
        Product::Cloudflare => 900,
        Product::Gclb => 600,
        Product::Cloudflared | Product::AzureFrontDoor => 90,
        Product::AwsAlb => 60,
        Product::CloudFront => 5,
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn asker(product: Product, generation: Option<Generation>) -> Asker {
        Asker { product, generation, evidence: "" }
    }

    #[track_caller]
    fn check(product: Product, generation: Option<Generation>, cause: Cause, said: Option<&str>) {
        let asker = asker(product, generation);
        assert_eq!(likely_answer(Some(&asker), cause, Some(503)).as_deref(), said);
    }

    #[test]
    fn each_managed_gateway_answers_in_its_own_way() {
        check(Product::Cloudflare, None, Cause::ConnectRefused, Some("Cloudflare will have answered 521"));
        let alb = "AWS Application Load Balancer will have answered 502";
        check(Product::AwsAlb, None, Cause::KeepaliveRace, Some(alb));
        let second = "Azure Application Gateway v2 will have answered 504";
        check(Product::AzureApplicationGateway, Some(Generation::Second), Cause::ResponseTimeout, Some(second));
        let first = "Azure Application Gateway v1 will have answered 502";
        check(Product::AzureApplicationGateway, Some(Generation::First), Cause::ResponseTimeout, Some(first));
        check(Product::Cloudflare, None, Cause::RelayedError, Some("Cloudflare will have passed the 503 on"));
        check(Product::Cloudflare, None, Cause::TruncatedBody, None);
    }

    #[test]
    fn who_is_not_recognised_may_be_one_of_several() {
        let refused = "the gateway will have answered 502 (nginx) or 503 (HAProxy, Apache httpd, Envoy)";
        assert_eq!(likely_answer(None, Cause::ConnectRefused, None).as_deref(), Some(refused));
        assert_eq!(likely_answer(None, Cause::StalledBody, None), None);
    }
}
