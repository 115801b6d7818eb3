//! Who sent this response: in comes its header section and the beginning of its content, out goes a product, how sure,
//! and whether the product wrote the answer itself.
//!
//! Three kinds of sign are weighed against each other: the template of an error page, fields that a gateway adds to
//! what it relays, and the Server field. The last one lies: HAProxy, Apache httpd, Varnish, Squid and the cloud's load
//! balancers pass on the upstream's, so an error page counts as the sender's own only where nothing else contradicts.

use crate::diagnose::product::Product;
use crate::diagnose::product::page::{self, Page};
use crate::event::{Request, Response};

/// The response fields that recognition needs, in lower case: `Signature::fields` ought to hold them.
pub const KEPT_FIELDS: &[&str] = &[
    "cf-cloudflared-response-meta",
    "cf-ray",
    "via",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-azure-ref",
    "x-cache",
    "x-envoy-overloaded",
    "x-envoy-upstream-service-time",
    "x-powered-by",
    "x-served-by",
    "x-squid-error",
    "x-varnish",
];

/// A product that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognition {
    /// The product that sent the response.
    pub product: Product,
    /// Its version, where it tells.
    pub version: Option<String>,
    /// What it was recognised by, for people: `Server: nginx/1.22.1 and its own 502 page`.
    pub evidence: String,
    /// Whether it made the response itself, as far as the response alone can tell. A gateway that leaves no trace in
    /// what it relays (Apache httpd, a load balancer) looks like its upstream: where the upstream's leg shows the same
    /// status, the response is relayed whatever stands here.
    pub own_page: bool,
    /// How strong the sign is: from 1, a habit that others share, to 4, its own page under its own name.
    pub strength: u8,
}

/// A habit that others share, or a Server field that any gateway passes on.
const HINT: u8 = 1;
/// A name that the product writes over the upstream's, or a short text that others may write as well.
const LIKELY: u8 = 2;
/// A field that only this product writes.
const STRONG: u8 = 3;
/// The product's own answer.
const CERTAIN: u8 = 4;

/// Recognises the product that sent a response.
#[must_use]
pub fn recognise(response: &Response) -> Option<Recognition> {
    recognise_beyond(response, 0)
}

/// Recognises the product that sent a response by a sign that is stronger than `beyond`. Cheap where there is none.
#[must_use]
pub fn recognise_beyond(response: &Response, beyond: u8) -> Option<Recognition> {
    if beyond >= CERTAIN {
        return None;
    }
    strongest(response, beyond).filter(|found| found.strength > beyond)
}

/// Whether the product that sent a response made it itself, as far as the response alone can tell.
#[must_use]
pub fn is_own_page(response: &Response) -> bool {
    // What is no more than likely by the Server field alone is none.
    strongest(response, LIKELY).is_some_and(|found| found.own_page)
}

fn strongest(response: &Response, beyond: u8) -> Option<Recognition> {
    let server = response.server().and_then(named);
    let relay = relay(response);
    if let Some(page) = page::recognise(response) {
        if is_own(&page, response, server.as_ref(), relay.as_ref()) {
            return Some(own(page, response, server.as_ref()));
        }
        if let Some(recognition) = relayed(&page, response, server.as_ref(), relay.as_ref()) {
            return Some(recognition);
        }
    }
    if let Some((product, evidence)) = relay {
        // Server may be the upstream's, or of a gateway in front that adds no field: then the field is the upstream's.
        let contradicted = server.as_ref().is_some_and(|name| name.product != product && renames(name.product));
        let strength = if contradicted { LIKELY } else { STRONG };
        let version = server.filter(|name| name.product == product).and_then(|name| name.version).map(str::to_owned);
        return Some(Recognition { product, version, evidence, own_page: false, strength });
    }
    by_server(response, &server?, beyond)
}

/// Recognises the gateway by a request that it sent upstream: only the few that leave a trace in what is kept of it.
#[must_use]
pub fn recognise_request(request: &Request) -> Option<(Product, String)> {
    let agent = request.user_agent()?;
    if agent.eq_ignore_ascii_case("Amazon CloudFront") {
        return Some((Product::CloudFront, format!("User-Agent: {agent}")));
    }
    // Browsers have spoken HTTP/1.1 for a quarter of a century: somebody in between speaks 1.0.
    let downgraded = request.minor_version == 0 && !request.persistent && agent.starts_with("Mozilla/5.0");
    downgraded.then(|| {
        let why = "a browser's request in HTTP/1.0 with a close, as nginx before 1.29.7 sends it by default";
        (Product::Nginx, why.to_owned())
    })
}

/// Whether the page was made by its sender: it stands under the product's own name, and nobody else signed.
fn is_own(page: &Page, response: &Response, server: Option<&Named<'_>>, relay: Option<&(Product, String)>) -> bool {
    if relay.is_some_and(|(product, _)| *product != page.product) {
        return false;
    }
    let signature = &response.signature;
    let unnamed = response.server().is_none();
    let signed = server.is_some_and(|name| name.product == page.product);
    match page.product {
        // ingress controllers remove the Server field, but nothing makes nginx write a name in lower case.
        Product::Nginx | Product::OpenResty => (signed || unnamed) && !signature.lower_case,
        Product::Haproxy => unnamed && !signature.date,
        Product::Envoy => (signed || unnamed) && field(response, "x-envoy-upstream-service-time").is_none(),
        Product::Traefik => unnamed && signature.date && !signature.lower_case,
        Product::Varnish | Product::Fastly => response.server().is_some_and(|name| name == "Varnish") || unnamed,
        Product::AzureFrontDoor => field(response, "x-azure-ref").is_some(),
        Product::Gclb => unnamed || response.server().is_some_and(|name| name.starts_with("Google")),
        Product::Squid => signed || unnamed,
        Product::CloudFront | Product::Cloudflare => signed || relay.is_some(),
        Product::Apache | Product::Lighttpd => signed && !signature.lower_case,
        _ => signed,
    }
}

fn own(page: Page, response: &Response, server: Option<&Named<'_>>) -> Recognition {
    let evidence = match response.server() {
        Some(name) => format!("Server: {name} and {}", page.what),
        None if page.product == Product::Haproxy => format!("{}, without Server and Date", page.what),
        None => format!("{}, without Server", page.what),
    };
    let strength = match page.product {
        Product::Traefik => LIKELY,
        Product::Caddy => STRONG,
        _ if response.server().is_none() && page.product != Product::Haproxy => STRONG,
        _ => CERTAIN,
    };
    let version = server.and_then(|name| name.version).map(str::to_owned).or(page.version);
    Recognition { product: page.product, version, evidence, own_page: true, strength }
}

/// Who passed on a page that somebody else made; `None` where the page does not help to tell.
fn relayed(
    page: &Page,
    response: &Response,
    server: Option<&Named<'_>>,
    relay: Option<&(Product, String)>,
) -> Option<Recognition> {
    // Two words of plain text prove nothing about who wrote them.
    if page.product == Product::Traefik {
        return None;
    }
    let maker = page.product.name();
    if let Some((product, sign)) = relay.filter(|(product, _)| *product != page.product) {
        let evidence = format!("{sign}, on an error page of {maker}");
        return Some(Recognition { product: *product, version: None, evidence, own_page: false, strength: STRONG });
    }
    if let Some(name) = server.filter(|name| name.product != page.product && renames(name.product)) {
        let evidence = format!("Server: {} on an error page of {maker}", name.text);
        let version = name.version.map(str::to_owned);
        return Some(Recognition { product: name.product, version, evidence, own_page: false, strength: LIKELY });
    }
    let foreign_case = response.signature.lower_case && capitalises(page.product);
    foreign_case.then(|| lower_cased(&format!("an error page of {maker}")))
}

fn by_server(response: &Response, server: &Named<'_>, beyond: u8) -> Option<Recognition> {
    let Named { product, version, text } = *server;
    if response.signature.lower_case && capitalises(product) {
        return Some(lower_cased(&format!("Server: {text}")));
    }
    let (own_page, strength) = match product {
        // These pass on the upstream's Server field: their own name stands in their own answers alone.
        Product::AwsAlb | Product::CloudFront => (true, CERTAIN),
        Product::Varnish => (true, STRONG),
        _ if renames(product) => (false, LIKELY),
        _ => (false, HINT),
    };
    let describe = || Recognition {
        product,
        version: version.map(str::to_owned),
        evidence: format!("Server: {text}"),
        own_page,
        strength,
    };
    (strength > beyond).then(describe)
}

/// Field names in lower case around the work of a product that capitalises them.
fn lower_cased(what: &str) -> Recognition {
    let evidence = format!("{what}, with field names in lower case, as HAProxy relays them");
    Recognition { product: Product::Haproxy, version: None, evidence, own_page: false, strength: HINT }
}

/// Whether the product writes its own name over the upstream's in what it relays.
const fn renames(product: Product) -> bool {
    matches!(
        product,
        Product::Nginx
            | Product::OpenResty
            | Product::Envoy
            | Product::Caddy
            | Product::TrafficServer
            | Product::H2o
            | Product::Nghttpx
            | Product::Cloudflare
            | Product::AzureApplicationGateway
    )
}

/// Whether the product writes its own field names in capitals, over HTTP/1.
const fn capitalises(product: Product) -> bool {
    matches!(
        product,
        Product::Nginx | Product::OpenResty | Product::Apache | Product::Lighttpd | Product::Iis | Product::Caddy
    )
}

/// The product that a field of the response betrays as a relay. The edges of the world come first: they are outermost.
fn relay(response: &Response) -> Option<(Product, String)> {
    if response.signature.fields.is_empty() {
        return None;
    }
    let exact = |name: &str, product: Product| {
        field(response, name).map(|value| (product, format!("{}: {value}", display_name(name))))
    };
    exact("cf-cloudflared-response-meta", Product::Cloudflared)
        .or_else(|| exact("cf-ray", Product::Cloudflare))
        .or_else(|| exact("x-azure-ref", Product::AzureFrontDoor))
        .or_else(|| exact("x-amz-cf-id", Product::CloudFront))
        .or_else(|| exact("x-cache", Product::CloudFront).filter(|(_, line)| line.ends_with("from cloudfront")))
        .or_else(|| exact("x-served-by", Product::Fastly).filter(|(_, line)| line.contains(": cache-")))
        .or_else(|| via(response))
        .or_else(|| exact("x-varnish", Product::Varnish))
        .or_else(|| exact("x-envoy-upstream-service-time", Product::Envoy))
        .or_else(|| exact("x-envoy-overloaded", Product::Envoy))
        .or_else(|| exact("x-powered-by", Product::Iis).filter(|(_, line)| line.contains("ARR/")))
}

/// The product behind the last element of Via: the nearest hop that adds one (RFC 9110 section 7.6.3).
fn via(response: &Response) -> Option<(Product, String)> {
    let fields = response.signature.fields.iter().rev();
    let last = fields.filter(|(name, _)| &**name == "via").find_map(|(_, value)| value.rsplit(',').next())?.trim();
    let text = last.to_ascii_lowercase();
    let product = VIA.iter().find(|(mark, _)| text.contains(mark)).map(|(_, product)| *product)?;
    Some((product, format!("Via: {last}")))
}

/// Marks in an element of Via. `apachetrafficserver` stands before `apache/`, which is Apache httpd's comment.
const VIA: &[(&str, Product)] = &[
    ("cloudfront", Product::CloudFront),
    ("apachetrafficserver", Product::TrafficServer),
    ("apache/", Product::Apache),
    ("varnish", Product::Varnish),
    ("(squid", Product::Squid),
    ("1.1 google", Product::Gclb),
    ("caddy", Product::Caddy),
    ("nghttpx", Product::Nghttpx),
    ("h2o", Product::H2o),
];

/// A Server field that names a product.
#[derive(Clone, Copy, Debug)]
struct Named<'a> {
    product: Product,
    version: Option<&'a str>,
    text: &'a str,
}

/// The product that a Server field names: its first token, `name/version`.
fn named(server: &str) -> Option<Named<'_>> {
    let token = server.trim_ascii_start();
    let end = token.bytes().position(|octet| octet.is_ascii_whitespace()).unwrap_or(token.len());
    let token = token.get(..end).filter(|token| !token.is_empty())?;
    let slash = token.bytes().position(|octet| octet == b'/');
    let (name, version) = slash.map_or((token, None), |slash| {
        let (name, rest) = token.split_at(slash);
        (name, rest.get(1..))
    });
    let product = SERVERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, product)| *product)?;
    Some(Named { product, version, text: server })
}

/// Names in the Server field. Forks of nginx count as nginx: they share its pages and its log.
const SERVERS: &[(&str, Product)] = &[
    ("nginx", Product::Nginx),
    ("tengine", Product::Nginx),
    ("angie", Product::Nginx),
    ("freenginx", Product::Nginx),
    ("openresty", Product::OpenResty),
    ("envoy", Product::Envoy),
    ("istio-envoy", Product::Envoy),
    ("apache", Product::Apache),
    ("caddy", Product::Caddy),
    ("varnish", Product::Varnish),
    ("ats", Product::TrafficServer),
    ("apachetrafficserver", Product::TrafficServer),
    ("squid", Product::Squid),
    ("h2o", Product::H2o),
    ("nghttpx", Product::Nghttpx),
    ("lighttpd", Product::Lighttpd),
    ("microsoft-iis", Product::Iis),
    ("awselb", Product::AwsAlb),
    ("cloudfront", Product::CloudFront),
    ("microsoft-azure-application-gateway", Product::AzureApplicationGateway),
    ("cloudflare", Product::Cloudflare),
];

/// The value of a kept field.
pub(super) fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.signature.fields.iter().find(|(kept, _)| &**kept == name).map(|(_, value)| &**value)
}

/// A field name as people write it.
fn display_name(name: &str) -> String {
    let capital = |part: &str| match part.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests;
