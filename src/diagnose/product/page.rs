//! Whose error page is this: in comes a response's content, out goes the product whose template it is. Who *sent* the
//! page is another question; see `fingerprint`.

use crate::diagnose::product::Product;
use crate::diagnose::product::fingerprint::field;
use crate::event::Response;

/// A page whose template is known.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Whose template it is.
    pub(super) product: Product,
    /// The version that stands in it.
    pub(super) version: Option<String>,
    /// The page in words: `its own 502 page`.
    pub(super) what: String,
}

/// Recognises an error page by its template. A page about another status than the response's is somebody's document.
pub(super) fn recognise(response: &Response) -> Option<Page> {
    let status = response.status;
    if status < 400 {
        return None;
    }
    let text = String::from_utf8_lossy(response.content());
    let page = |product: Product| Page { product, version: None, what: format!("its own {status} page") };
    squid(response)
        .or_else(|| nginx(status, &text, response.server()))
        .or_else(|| haproxy(status, &text).then(|| page(Product::Haproxy)))
        .or_else(|| by_mark(status, &text).map(page))
        .or_else(|| short(response, &text))
}

/// nginx's template ends in a line with its name: forks, Cloudflare and Azure's gateway put theirs; AWS has none.
fn nginx(status: u16, text: &str, server: Option<&str>) -> Option<Page> {
    let (_, rest) = text.split_once(&format!("<center><h1>{status} "))?;
    let name = rest.split_once("<hr><center>").and_then(|(_, foot)| foot.split_once("</center>")).map(|(name, _)| name);
    let product = match name {
        None => server.is_some_and(|name| name.starts_with("awselb")).then_some(Product::AwsAlb)?,
        Some(name) if name.starts_with("openresty") => Product::OpenResty,
        Some(name) if name.starts_with("Microsoft-Azure-Application-Gateway") => Product::AzureApplicationGateway,
        Some("cloudflare") => Product::Cloudflare,
        Some(name)
            if ["nginx", "Angie", "freenginx", "Tengine", "tengine"].iter().any(|known| name.starts_with(known)) =>
        {
            Product::Nginx
        }
        Some(_) => return None,
    };
    let version = name.and_then(|name| name.split_once('/')).map(|(_, version)| version.to_owned());
    Some(Page { product, version, what: format!("its own {status} page") })
}

/// HAProxy's built-in pages: a heading and one sentence for the status.
fn haproxy(status: u16, text: &str) -> bool {
    let sentence = match status {
        400 => "Your browser sent an invalid request.",
        403 => "Request forbidden by administrative rules.",
        408 => "Your browser didn't send a complete request in time.",
        500 => "An internal server error occurred.",
        502 => "The server returned an invalid or incomplete response.",
        503 => "No server is available to handle this request.",
        504 => "The server didn't respond in time.",
        _ => return false,
    };
    text.starts_with(&format!("<html><body><h1>{status} ")) && text.contains(sentence)
}

/// Pages that a fixed text gives away.
fn by_mark(status: u16, text: &str) -> Option<Product> {
    let titled = text.contains(&format!("<title>{status} ")) || text.contains(&format!("<TITLE>{status} "));
    MARKS.iter().find(|mark| text.contains(mark.text) && (titled || !mark.titled)).map(|mark| mark.product)
}

struct Mark {
    text: &'static str,
    /// Whether the page's title must begin with the status.
    titled: bool,
    product: Product,
}

const MARKS: &[Mark] = &[
    Mark { text: "upstream connect error or disconnect/reset before headers", titled: false, product: Product::Envoy },
    Mark { text: "<footer>nghttpx", titled: true, product: Product::Nghttpx },
    // Fastly's page has a slip of the pen that Varnish's has not.
    Mark { text: "Guru Mediation:", titled: true, product: Product::Fastly },
    Mark { text: "Guru Meditation:", titled: true, product: Product::Varnish },
    Mark { text: "ERROR: The request could not be satisfied", titled: false, product: Product::CloudFront },
    Mark { text: "Our services aren't available right now", titled: false, product: Product::AzureFrontDoor },
    Mark { text: "cf-error-details", titled: false, product: Product::Cloudflare },
    Mark { text: "cf-wrapper", titled: false, product: Product::Cloudflare },
    Mark { text: "<h1>Error: Server Error</h1>", titled: true, product: Product::Gclb },
    Mark { text: "while acting as a gateway or proxy server.", titled: false, product: Product::Iis },
    Mark { text: "FGCOLOR=\"black\"", titled: false, product: Product::TrafficServer },
    Mark { text: "-//IETF//DTD HTML 2.0//EN\"", titled: true, product: Product::Apache },
    Mark {
        text: "-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\"",
        titled: true,
        product: Product::Apache,
    },
    Mark { text: "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>", titled: true, product: Product::Lighttpd },
];

/// Answers that are a line of plain text, or nothing at all.
fn short(response: &Response, text: &str) -> Option<Page> {
    let status = response.status;
    let served_by = |name: &str| response.server().is_some_and(|server| server.starts_with(name));
    let text = text.trim_end();
    let said = |product: Product| Page { product, version: None, what: format!("its text {text:?}") };
    match (status, text) {
        (503, "no healthy upstream") | (504, "upstream request timeout") => Some(said(Product::Envoy)),
        // Go's own helper ends such a line with a line feed: this one is Traefik's.
        (502, "Bad Gateway") | (504, "Gateway Timeout") if response.content_length == Some(text.len() as u64) => {
            Some(said(Product::Traefik))
        }
        (503, "no available server") => Some(said(Product::Traefik)),
        _ if text == format!("error code: {status}") => Some(said(Product::Cloudflare)),
        _ if response.reason() == "Gateway Error" && served_by("h2o") => Some(said(Product::H2o)),
        // On what it passes on Envoy says how long the upstream took.
        (500.., "") if is_silent_envoy(response) => {
            let what = format!("an empty {status} without x-envoy-upstream-service-time");
            Some(Page { product: Product::Envoy, version: None, what })
        }
        (500.., "") if response.content_length == Some(0) && served_by("Caddy") => {
            let what = format!("an empty {status}, as its own are");
            Some(Page { product: Product::Caddy, version: None, what })
        }
        _ => None,
    }
}

/// Whether Envoy answered by itself, and with nothing.
pub(super) fn is_silent_envoy(response: &Response) -> bool {
    let is_envoy = response.server().is_some_and(|server| server.starts_with("envoy"));
    is_envoy && response.content_length == Some(0) && field(response, "x-envoy-upstream-service-time").is_none()
}

/// Squid names the reason in a field of its own.
fn squid(response: &Response) -> Option<Page> {
    let error = field(response, "x-squid-error")?;
    Some(Page { product: Product::Squid, version: None, what: format!("X-Squid-Error: {error}") })
}
