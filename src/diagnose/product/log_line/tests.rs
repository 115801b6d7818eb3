use super::*;

#[track_caller]
fn check(product: Product, cause: Cause, detail: Option<&str>, status: Option<u16>, line: &str) {
    assert_eq!(log_line(product, cause, detail, status), Some(line), "{product:?} {cause:?} {detail:?} {status:?}");
}

#[test]
fn nginx_tells_a_fin_from_a_rst() {
    let closed = "upstream prematurely closed connection while reading response header from upstream";
    let reset = "recv() failed (104: Connection reset by peer) while reading response header from upstream";
    check(Product::Nginx, Cause::KeepaliveRace, None, Some(502), closed);
    check(Product::OpenResty, Cause::KeepaliveRace, Some("rst"), Some(502), reset);
    check(Product::Nginx, Cause::ResetWithoutResponse, None, Some(502), reset);
    let refused = "connect() failed (111: Connection refused) while connecting to upstream";
    check(Product::Nginx, Cause::ConnectRefused, None, Some(502), refused);
    let expired = "upstream SSL certificate verify error: (10:certificate has expired)";
    check(Product::Nginx, Cause::TlsCertificateRejected, Some("expired"), Some(502), expired);
}

#[test]
fn haproxy_tells_who_ended_the_session_and_when() {
    check(Product::Haproxy, Cause::ConnectRefused, None, Some(503), "SC--");
    check(Product::Haproxy, Cause::ConnectTimeout, None, Some(503), "sC--");
    check(Product::Haproxy, Cause::ResponseTimeout, None, Some(504), "sH--");
    check(Product::Haproxy, Cause::MalformedResponse, Some("bad_header"), Some(502), "PH--");
    check(Product::Haproxy, Cause::TruncatedBody, Some("fin"), Some(200), "SD--");
    check(Product::Haproxy, Cause::StalledBody, None, Some(200), "sD--");
    check(Product::Haproxy, Cause::KeepaliveRace, None, Some(502), "SH--");
}

#[test]
fn haproxy_is_silent_about_a_race_that_it_hands_to_the_client() {
    let line = log_line(Product::Haproxy, Cause::KeepaliveRace, None, None);
    assert!(line.is_some_and(|line| line.starts_with("(no line")));
}

#[test]
fn the_others_speak_their_own_languages() {
    check(
        Product::Apache,
        Cause::ClosedWithoutResponse,
        None,
        None,
        "AH01102: error reading status line from remote server …",
    );
    check(Product::Caddy, Cause::ClosedWithoutResponse, None, Some(502), "EOF");
    check(Product::Varnish, Cause::KeepaliveRace, None, Some(503), "FetchError HTC eof (-1)");
    check(Product::H2o, Cause::ResponseTimeout, None, Some(502), "[lib/core/proxy.c] I/O timeout");
    check(Product::Squid, Cause::ClosedWithoutResponse, None, Some(502), "ERR_ZERO_SIZE_OBJECT");
    check(Product::Cloudflare, Cause::ConnectRefused, None, Some(521), "521 Web server is down");
    check(Product::Gclb, Cause::NoUpstreamAttempt, None, Some(502), "failed_to_pick_backend");
    let closed = "UC upstream_reset_before_response_started{connection_termination}";
    check(Product::Envoy, Cause::KeepaliveRace, None, Some(503), closed);
    let broken = "UPE upstream_reset_before_response_started{protocol_error}";
    check(Product::Envoy, Cause::TruncatedHeader, None, Some(502), broken);
    check(Product::Traefik, Cause::TlsHandshakeTimeout, None, Some(500), "net/http: TLS handshake timeout");
}

#[test]
fn what_is_not_known_is_not_said() {
    assert_eq!(log_line(Product::Nginx, Cause::Unknown, None, Some(502)), None);
    assert_eq!(log_line(Product::CloudFront, Cause::KeepaliveRace, None, Some(502)), None);
    assert_eq!(log_line(Product::Fastly, Cause::TlsCertificateRejected, Some("revoked"), Some(503)), None);
}
