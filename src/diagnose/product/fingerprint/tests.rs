use std::sync::Arc;

use super::*;
use crate::event::{Excerpt, Frame, Moment, ResponseSection, Signature};
use crate::texts::Texts;
use crate::time::Timestamp;

const NGINX_PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const HAPROXY_PAGE: &str = "<html><body><h1>502 Bad Gateway</h1>\n\
    The server returned an invalid or incomplete response.\n</body></html>\n";
const APACHE_PAGE: &str = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\" \"http://www.w3.org/TR/html4/strict.dtd\">\n\
    <html><head>\n<title>502 Proxy Error</title>\n</head><body>\n<h1>Proxy Error</h1>\n<p>The proxy server received an invalid\r\n";
const VARNISH_PAGE: &str = "<!DOCTYPE html>\n<html>\n  <head>\n    <title>503 Backend fetch failed</title>\n  </head>\n  <body>\n\
    <h1>Error 503 Backend fetch failed</h1>\n    <p>Backend fetch failed</p>\n    <h3>Guru Meditation:</h3>\n    <p>XID: 32771</p>\n";

/// A response with a Date, field names in capitals, and its content's true length.
fn response(status: u16, server: Option<&str>, content: &str) -> Response {
    Response {
        exchange: 1,
        start: 0,
        first: Moment { at: Timestamp::default(), frame: Frame::new(0, 1) },
        solicited: true,
        request_sent: 0,
        acknowledges: false,
        whole: None,
        content: Some(Box::new(Excerpt(content.as_bytes().into()))),
        section: Arc::new(ResponseSection {
            length: 0,
            status,
            minor_version: 1,
            texts: Texts::new([Some("Bad Gateway"), server].map(|text| text.map(str::as_bytes))),
            fields: 0,
            content_length: Some(content.len() as u64),
            chunked: false,
            persistent: true,
            keep_alive_timeout: None,
            signature: Signature { fields: Box::default(), lower_case: false, date: true },
            cut: false,
        }),
    }
}

fn section(response: &mut Response) -> &mut ResponseSection {
    Arc::get_mut(&mut response.section).expect("nobody else has it")
}

fn with_fields(mut response: Response, fields: &[(&str, &str)]) -> Response {
    for (name, _) in fields {
        assert!(KEPT_FIELDS.contains(name), "{name} is not kept");
    }
    let kept = &mut section(&mut response).signature.fields;
    let added = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    *kept = kept.iter().cloned().chain(added).collect();
    response
}

fn lower_case(mut response: Response) -> Response {
    section(&mut response).signature.lower_case = true;
    response
}

fn without_date(mut response: Response) -> Response {
    section(&mut response).signature.date = false;
    response
}

#[track_caller]
fn check(response: &Response, product: Product, own_page: bool, evidence: &str) -> Recognition {
    let seen = recognise(response).expect("recognised");
    assert_eq!((seen.product, seen.own_page, &*seen.evidence), (product, own_page, evidence));
    seen
}

#[test]
fn nginx_is_known_by_its_page_and_its_name() {
    let seen = check(
        &response(502, Some("nginx/1.22.1"), NGINX_PAGE),
        Product::Nginx,
        true,
        "Server: nginx/1.22.1 and its own 502 page",
    );
    assert_eq!((seen.version.as_deref(), seen.strength), (Some("1.22.1"), CERTAIN));
}

#[test]
fn an_ingress_controller_hides_its_name_but_not_its_page() {
    let page = NGINX_PAGE.replace("nginx/1.22.1", "nginx");
    let seen = check(&response(502, None, &page), Product::Nginx, true, "its own 502 page, without Server");
    assert_eq!(seen.strength, STRONG);
}

#[test]
fn nginxs_kin_are_told_apart_by_the_foot_of_the_page() {
    let page = |name: &str| NGINX_PAGE.replace("nginx/1.22.1", name);
    let (openresty, azure) = ("openresty/1.21.4.1", "Microsoft-Azure-Application-Gateway/v2");
    check(
        &response(502, Some(openresty), &page(openresty)),
        Product::OpenResty,
        true,
        "Server: openresty/1.21.4.1 and its own 502 page",
    );
    check(
        &response(502, Some(azure), &page(azure)),
        Product::AzureApplicationGateway,
        true,
        "Server: Microsoft-Azure-Application-Gateway/v2 and its own 502 page",
    );
    let alb = NGINX_PAGE.replace("<hr><center>nginx/1.22.1</center>\r\n", "");
    assert_eq!(alb.len(), 122);
    check(&response(502, Some("awselb/2.0"), &alb), Product::AwsAlb, true, "Server: awselb/2.0 and its own 502 page");
}

#[test]
fn haproxy_is_known_by_its_page_without_server_and_date() {
    assert_eq!(HAPROXY_PAGE.len(), 107);
    let own = lower_case(without_date(response(502, None, HAPROXY_PAGE)));
    let seen = check(&own, Product::Haproxy, true, "its own 502 page, without Server and Date");
    assert_eq!(seen.strength, CERTAIN);
}

#[test]
fn an_nginx_page_through_haproxy_is_relayed() {
    let seen = check(
        &lower_case(response(502, Some("nginx/1.22.1"), NGINX_PAGE)),
        Product::Haproxy,
        false,
        "an error page of nginx, with field names in lower case, as HAProxy relays them",
    );
    assert_eq!(seen.strength, HINT);
}

#[test]
fn an_apache_application_through_haproxy_is_relayed() {
    let page = "<html><body><h1>502 Bad Gateway</h1></body></html>\n";
    check(
        &lower_case(response(502, Some("Apache"), page)),
        Product::Haproxy,
        false,
        "Server: Apache, with field names in lower case, as HAProxy relays them",
    );
    check(
        &lower_case(response(502, Some("Apache/2.4.71"), APACHE_PAGE)),
        Product::Haproxy,
        false,
        "an error page of Apache httpd, with field names in lower case, as HAProxy relays them",
    );
}

#[test]
fn a_haproxy_page_through_nginx_is_relayed() {
    check(
        &response(502, Some("nginx/1.22.1"), HAPROXY_PAGE),
        Product::Nginx,
        false,
        "Server: nginx/1.22.1 on an error page of HAProxy",
    );
}

#[test]
fn an_applications_error_behind_nginx_is_not_its_own_page() {
    let page = "<html><body><h1>502 Bad Gateway</h1></body></html>\n";
    let seen = check(&response(502, Some("nginx/1.22.1"), page), Product::Nginx, false, "Server: nginx/1.22.1");
    assert_eq!(seen.strength, LIKELY);
}

#[test]
fn a_page_about_another_status_is_a_document() {
    check(&response(404, Some("nginx/1.22.1"), NGINX_PAGE), Product::Nginx, false, "Server: nginx/1.22.1");
    check(&response(200, Some("nginx/1.22.1"), ""), Product::Nginx, false, "Server: nginx/1.22.1");
}

#[test]
fn apache_is_known_by_its_page_and_its_name() {
    let own = response(502, Some("Apache/2.4.71 (Debian) OpenSSL/3.0.22"), APACHE_PAGE);
    let evidence = "Server: Apache/2.4.71 (Debian) OpenSSL/3.0.22 and its own 502 page";
    assert_eq!(check(&own, Product::Apache, true, evidence).version.as_deref(), Some("2.4.71"));
}

#[test]
fn envoys_own_answer_has_no_service_time() {
    let text = "upstream connect error or disconnect/reset before headers. reset reason: connection termination";
    let own = lower_case(response(503, Some("envoy"), text));
    check(&own, Product::Envoy, true, "Server: envoy and its own 503 page");
    let relayed = with_fields(own, &[("x-envoy-upstream-service-time", "12")]);
    check(&relayed, Product::Envoy, false, "X-Envoy-Upstream-Service-Time: 12");
    let idle = lower_case(response(503, Some("istio-envoy"), "no healthy upstream"));
    check(&idle, Product::Envoy, true, "Server: istio-envoy and its text \"no healthy upstream\"");
}

#[test]
fn caddy_answers_with_nothing() {
    check(&response(502, Some("Caddy"), ""), Product::Caddy, true, "Server: Caddy and an empty 502, as its own are");
    let relayed = with_fields(response(502, Some("gunicorn"), "oops"), &[("via", "1.1 Caddy")]);
    check(&relayed, Product::Caddy, false, "Via: 1.1 Caddy");
}

#[test]
fn traefik_says_it_in_two_words() {
    let seen =
        check(&response(502, None, "Bad Gateway"), Product::Traefik, true, "its text \"Bad Gateway\", without Server");
    assert_eq!(seen.strength, LIKELY);
    assert_eq!(recognise(&response(502, None, "Bad Gateway\n")), None);
    assert_eq!(recognise(&response(502, Some("gunicorn"), "Bad Gateway")), None);
    check(&response(502, Some("nginx/1.22.1"), "Bad Gateway"), Product::Nginx, false, "Server: nginx/1.22.1");
    let idle = response(503, None, "no available server\n");
    check(&idle, Product::Traefik, true, "its text \"no available server\", without Server");
}

#[test]
fn varnish_and_fastly_differ_by_a_letter() {
    let own = with_fields(
        response(503, Some("Varnish"), VARNISH_PAGE),
        &[("via", "1.1 cache (Varnish/7.1)"), ("x-varnish", "32770")],
    );
    check(&own, Product::Varnish, true, "Server: Varnish and its own 503 page");
    let relayed = with_fields(response(500, Some("nginx/1.22.1"), "oops"), &[("via", "1.1 cache (Varnish/7.1)")]);
    assert_eq!(check(&relayed, Product::Varnish, false, "Via: 1.1 cache (Varnish/7.1)").strength, LIKELY);
    let page =
        "<title>503 connection refused</title>\n<h1>Error 503 connection refused</h1>\n<h3>Guru Mediation:</h3>\n";
    let fastly = with_fields(
        response(503, Some("Varnish"), page),
        &[("via", "1.1 varnish"), ("x-served-by", "cache-fra-eddf8230063-FRA")],
    );
    check(&fastly, Product::Fastly, true, "Server: Varnish and its own 503 page");
}

#[test]
fn an_nginx_page_through_varnish_is_relayed() {
    let relayed = with_fields(response(502, Some("nginx/1.22.1"), NGINX_PAGE), &[("via", "1.1 cache (Varnish/7.1)")]);
    check(&relayed, Product::Varnish, false, "Via: 1.1 cache (Varnish/7.1), on an error page of nginx");
}

#[test]
fn squid_names_its_error() {
    let own = with_fields(
        response(502, Some("squid/5.7"), "<!DOCTYPE html"),
        &[("x-squid-error", "ERR_ZERO_SIZE_OBJECT 0"), ("via", "1.1 host (squid/5.7)")],
    );
    check(&own, Product::Squid, true, "Server: squid/5.7 and X-Squid-Error: ERR_ZERO_SIZE_OBJECT 0");
    let relayed = with_fields(response(502, Some("Apache"), APACHE_PAGE), &[("via", "1.0 app, 1.1 host (squid/5.7)")]);
    check(&relayed, Product::Squid, false, "Via: 1.1 host (squid/5.7), on an error page of Apache httpd");
}

#[test]
fn the_smaller_servers_are_known_by_page_and_name() {
    let mut h2o = response(502, Some("h2o/2.2.5"), "I/O error (head)");
    section(&mut h2o).texts = Texts::new([Some(b"Gateway Error"), Some(b"h2o/2.2.5")]);
    check(&h2o, Product::H2o, true, "Server: h2o/2.2.5 and its text \"I/O error (head)\"");
    let page = "<!DOCTYPE html><html lang=\"en\"><title>502 Bad Gateway</title><body><h1>502 Bad Gateway</h1><footer>nghttpx</footer></body></html>";
    check(&response(502, Some("nghttpx"), page), Product::Nghttpx, true, "Server: nghttpx and its own 502 page");
    let page = "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n<head>\n  <title>500 Internal Server Error</title>";
    check(
        &response(500, Some("lighttpd/1.4.69"), page),
        Product::Lighttpd,
        true,
        "Server: lighttpd/1.4.69 and its own 500 page",
    );
    let page = "<HTML>\n<HEAD>\n<TITLE>Server Hangup</TITLE>\n</HEAD>\n\n<BODY BGCOLOR=\"white\" FGCOLOR=\"black\">";
    check(
        &response(502, Some("ATS/9.2.9"), page),
        Product::TrafficServer,
        true,
        "Server: ATS/9.2.9 and its own 502 page",
    );
    let page =
        "<title>502 - Web server received an invalid response while acting as a gateway or proxy server.</title>";
    check(
        &response(502, Some("Microsoft-IIS/10.0"), page),
        Product::Iis,
        true,
        "Server: Microsoft-IIS/10.0 and its own 502 page",
    );
}

#[test]
fn the_edges_are_known_by_their_fields() {
    let ray = ("cf-ray", "8f1c0ffee-FRA");
    let own = with_fields(response(502, Some("cloudflare"), "error code: 502"), &[ray]);
    check(&own, Product::Cloudflare, true, "Server: cloudflare and its text \"error code: 502\"");
    let relayed = with_fields(response(500, Some("cloudflare"), "oops"), &[ray]);
    check(&relayed, Product::Cloudflare, false, "Cf-Ray: 8f1c0ffee-FRA");
    let page = "<H1>502 ERROR</H1><TITLE>ERROR: The request could not be satisfied</TITLE>";
    let own = with_fields(response(502, Some("CloudFront"), page), &[("x-cache", "Error from cloudfront")]);
    check(&own, Product::CloudFront, true, "Server: CloudFront and its own 502 page");
    let page = "<h2>Our services aren't available right now</h2>";
    let own = with_fields(response(503, None, page), &[("x-azure-ref", "20260101T000000Z-abc")]);
    check(&own, Product::AzureFrontDoor, true, "its own 503 page, without Server");
    let page =
        "<title>502 Server Error</title>\n</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: Server Error</h1>";
    let own = with_fields(response(502, None, page), &[("via", "1.1 google")]);
    check(&own, Product::Gclb, true, "its own 502 page, without Server");
}

#[test]
fn an_application_is_no_gateway() {
    for server in ["gunicorn", "uvicorn", "Werkzeug/3.0", "labapp/1.0"] {
        assert_eq!(recognise(&response(502, Some(server), "oops")), None);
        assert_eq!(recognise(&lower_case(response(502, Some(server), "oops"))), None);
    }
    assert_eq!(recognise(&response(502, None, "")), None);
}
