//! Verdicts on TLS handshakes that are built packet by packet: what a rule may say, and above all what it may not.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod packets;

use std::net::IpAddr;

use netwatch502::analysis::Analysis;
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident};
use netwatch502::event::Side;
use netwatch502::limits::Limits;
use netwatch502::report::Report;
use packets::{End, Packet, segment};

const FRONT: End = ([10, 50, 1, 1], 8080);
const BACK: [u8; 4] = [10, 50, 2, 1];
const APP: End = ([10, 50, 2, 2], 9000);
const TLS_1_2: u16 = 0x0303;
const TLS_1_3: u16 = 0x0304;
/// `TLS_AES_128_GCM_SHA256`: a Finished of 32 octets, and 17 more for its protection.
const SUITE: u16 = 0x1301;
const FINISHED: usize = 4 + 32 + 17;
const ALERT: usize = 2 + 17;

/// Packets, 0.1 ms apart.
#[derive(Default)]
struct Scene {
    now_ms: i64,
    packets: Vec<Packet>,
}

impl Scene {
    fn send(&mut self, way: (End, End), flags: &str, numbers: (u32, u32), data: &[u8]) {
        let number = self.packets.len() as u64 + 1;
        let at_ns = 1_795_181_638_000_000_000 + self.now_ms * 1_000_000 + number as i64 * 100_000;
        self.packets.push(Packet { number, ..segment(at_ns, way, flags, numbers, data) });
    }

    fn later(&mut self, ms: i64) -> &mut Self {
        self.now_ms += ms;
        self
    }

    fn open(&mut self, client: End, server: End) -> Line {
        self.send((client, server), "S", (999, 0), b"");
        self.send((server, client), "SA", (1999, 1000), b"");
        self.send((client, server), "A", (1000, 2000), b"");
        Line { ends: [client, server], next: [1000, 2000] }
    }

    /// A client's request, and the connection that its gateway opens for it.
    fn asked(&mut self, port: u16, app: End) -> (Line, Line) {
        let mut down = self.open(([10, 50, 1, 2], port), FRONT);
        down.says(self, Side::Client, format!("GET /{port} HTTP/1.1\r\nHost: app.lab\r\n\r\n").as_bytes());
        (down, self.open((BACK, port), app))
    }

    fn report(&self) -> Report {
        analyse(&self.packets)
    }

    fn incident(&self) -> Incident {
        let mut incidents = self.report().incidents;
        let told: Vec<_> = incidents.iter().map(told).collect();
        assert_eq!(incidents.len(), 1, "{told:?}");
        incidents.remove(0)
    }
}

/// What is found, if the gateway's two addresses are known.
fn analyse<'p>(packets: impl IntoIterator<Item = &'p Packet>) -> Report {
    let addresses = [FRONT.0, BACK].map(IpAddr::from);
    let mut analysis = Analysis::new(&Limits::default(), Gateways::told(&addresses), Question::default(), None);
    packets.into_iter().for_each(|packet| analysis.take(&packet.captured()));
    analysis.finish()
}

/// A connection, and the next sequence numbers of its ends.
struct Line {
    ends: [End; 2],
    next: [u32; 2],
}

impl Line {
    fn says(&mut self, scene: &mut Scene, side: Side, octets: &[u8]) {
        self.flags(scene, side, "PA", octets);
        let other = if side == Side::Client { Side::Server } else { Side::Client };
        self.flags(scene, other, "A", b"");
    }

    fn flags(&mut self, scene: &mut Scene, side: Side, flags: &str, octets: &[u8]) {
        let (own, other) = if side == Side::Client { (0, 1) } else { (1, 0) };
        scene.send((self.ends[own], self.ends[other]), flags, (self.next[own], self.next[other]), octets);
        self.next[own] += octets.len() as u32 + u32::from(flags.contains('F'));
    }

    /// The gateway's answer to its client.
    fn fails(&mut self, scene: &mut Scene, status: u16) {
        self.says(scene, Side::Server, format!("HTTP/1.1 {status} Bad\r\nContent-Length: 3\r\n\r\nbad").as_bytes());
    }
}

fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    let length = (fragment.len() as u16).to_be_bytes();
    [&[kind, 3, 3], &length[..], fragment].concat()
}

fn encrypted(octets: usize) -> Vec<u8> {
    record(23, &vec![0x5a; octets])
}

fn alert(level: u8, description: u8) -> Vec<u8> {
    record(21, &[level, description])
}

fn vector(octets: &[u8]) -> Vec<u8> {
    [&(octets.len() as u16).to_be_bytes()[..], octets].concat()
}

fn extension(code: u16, octets: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], &vector(octets)].concat()
}

fn hello(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    record(22, &[&[kind], &length[1..], body].concat())
}

fn client_hello(host: &str, versions: &[u16]) -> Vec<u8> {
    let mut extensions = Vec::new();
    if !host.is_empty() {
        extensions.extend(extension(0, &vector(&[&[0][..], &vector(host.as_bytes())].concat())));
    }
    let listed: Vec<u8> = versions.iter().flat_map(|version| version.to_be_bytes()).collect();
    extensions.extend(extension(43, &[&[listed.len() as u8][..], &listed].concat()));
    let suites = vector(&[0x13, 0x01, 0xc0, 0x2b]);
    hello(1, &[&[3, 3][..], &[7; 32], &[0], &suites, &[1, 0], &vector(&extensions)].concat())
}

fn server_hello(version: u16) -> Vec<u8> {
    let suite = if version == TLS_1_3 { SUITE } else { 0xc02b };
    let chosen = if version == TLS_1_3 { extension(43, &version.to_be_bytes()) } else { Vec::new() };
    hello(2, &[&[3, 3][..], &[9; 32], &[0], &suite.to_be_bytes(), &[0], &vector(&chosen)].concat())
}

/// A server's side of a TLS 1.3 handshake.
fn flight() -> Vec<u8> {
    [server_hello(TLS_1_3), encrypted(30), encrypted(600), encrypted(100), encrypted(FINISHED)].concat()
}

fn told(incident: &Incident) -> (Cause, Option<&'static str>, Grade) {
    (incident.cause, incident.detail, incident.grade)
}

fn candidates(incident: &Incident) -> Vec<Cause> {
    incident.candidates.iter().filter_map(|candidate| candidate.cause).collect()
}

/// A ClientHello that is answered by an alert. `before`: what another connection to the same port asked for, and was answered.
fn refused(description: u8, before: Option<&str>) -> Incident {
    let mut scene = Scene::default();
    if let Some(host) = before {
        let mut other = scene.open(([10, 50, 2, 9], 60_000), APP);
        other.says(&mut scene, Side::Client, &client_hello(host, &[TLS_1_3]));
        other.says(&mut scene, Side::Server, &flight());
        other.says(&mut scene, Side::Client, &encrypted(FINISHED));
    }
    let (mut down, mut up) = scene.later(1000).asked(40_000, APP);
    up.says(&mut scene, Side::Client, &client_hello("app.lab", &[TLS_1_3, TLS_1_2]));
    up.flags(&mut scene, Side::Server, "PA", &alert(2, description));
    up.flags(&mut scene, Side::Server, "FA", b"");
    up.flags(&mut scene, Side::Client, "FA", b"");
    down.fails(&mut scene, 502);
    let incidents = scene.report().incidents;
    incidents.into_iter().find(|incident| incident.status == Some(502)).unwrap()
}

#[test]
fn an_alert_that_may_mean_two_things_is_no_proof_of_one() {
    let alone = refused(40, None);
    assert_eq!(told(&alone), (Cause::TlsCipherMismatch, Some("alert"), Grade::Consistent));
    assert_eq!(candidates(&alone), [Cause::TlsNameRejected]);
    // The port has a certificate for the host: it was shown to another.
    assert_eq!(told(&refused(40, Some("APP.lab"))), (Cause::TlsCipherMismatch, Some("alert"), Grade::Proven));
    assert_eq!(told(&refused(40, Some("other.lab"))).2, Grade::Consistent);
    assert_eq!(told(&refused(71, None)).2, Grade::Proven);
}

#[test]
fn an_alert_with_one_meaning_is_proof() {
    assert_eq!(told(&refused(70, None)), (Cause::TlsVersionMismatch, Some("alert"), Grade::Proven));
    assert_eq!(told(&refused(86, None)), (Cause::TlsVersionMismatch, Some("alert"), Grade::Proven));
    assert_eq!(told(&refused(112, None)), (Cause::TlsNameRejected, Some("unknown_name"), Grade::Proven));
    assert_eq!(told(&refused(120, None)), (Cause::TlsAlpnMismatch, None, Grade::Proven));
    assert_eq!(told(&refused(80, None)), (Cause::TlsAlert, Some("internal_error"), Grade::Proven));
}

/// A ClientHello that is acknowledged, and what happens then, up to the gateway's answer.
fn after_hello(status: u16, story: impl FnOnce(&mut Scene, &mut Line)) -> Scene {
    let mut scene = Scene::default();
    let (mut down, mut up) = scene.asked(40_000, APP);
    up.says(&mut scene, Side::Client, &client_hello("app.lab", &[TLS_1_3, TLS_1_2]));
    story(&mut scene, &mut up);
    down.fails(&mut scene, status);
    scene
}

#[test]
fn an_alert_to_who_has_closed_is_not_the_reason() {
    let scene = after_hello(500, |scene, up| {
        up.flags(scene, Side::Server, "FA", b"");
        up.flags(scene, Side::Client, "PA", &alert(2, 50));
        up.flags(scene, Side::Client, "FA", b"");
    });
    assert_eq!(told(&scene.incident()), (Cause::TlsClosed, Some("fin"), Grade::Proven));
}

#[test]
fn an_alert_to_who_has_given_up_is_not_the_reason() {
    let scene = after_hello(504, |scene, up| {
        up.flags(scene.later(2000), Side::Client, "FA", b"");
        up.flags(scene, Side::Server, "PA", &alert(2, 40));
        up.flags(scene, Side::Server, "FA", b"");
    });
    assert_eq!(told(&scene.incident()), (Cause::TlsHandshakeTimeout, None, Grade::Proven));
}

#[test]
fn a_warning_ends_nothing() {
    let scene = after_hello(502, |scene, up| {
        up.says(scene, Side::Server, &[alert(1, 112), server_hello(TLS_1_2)].concat());
        up.flags(scene, Side::Client, "PA", &alert(2, 48));
        up.flags(scene, Side::Client, "FA", b"");
    });
    assert_eq!(told(&scene.incident()), (Cause::TlsCertificateRejected, Some("unknown_ca"), Grade::Proven));
}

#[test]
fn what_tls_1_3_hides_is_no_proof() {
    // As Go does: an encrypted alert in place of Finished.
    let go = after_hello(502, |scene, up| {
        up.says(scene, Side::Server, &flight());
        up.flags(scene, Side::Client, "PA", &encrypted(ALERT));
        up.flags(scene, Side::Client, "FA", b"");
    });
    let go = go.incident();
    assert_eq!(told(&go), (Cause::TlsCertificateRejected, Some("unknown"), Grade::Consistent));
    assert_eq!(candidates(&go), [Cause::TlsAlert]);
    // As nginx does: Finished, close_notify, FIN.
    let nginx = after_hello(502, |scene, up| {
        up.says(scene, Side::Server, &flight());
        up.says(scene, Side::Client, &encrypted(FINISHED));
        up.flags(scene, Side::Client, "FPA", &encrypted(ALERT));
    });
    assert_eq!(told(&nginx.incident()), (Cause::TlsCertificateRejected, Some("unknown"), Grade::Consistent));
}

#[test]
fn who_closes_long_after_the_handshake_does_not_do_so_for_its_sake() {
    let scene = after_hello(502, |scene, up| {
        up.says(scene, Side::Server, &flight());
        up.says(scene, Side::Client, &encrypted(FINISHED));
        up.flags(scene.later(1000), Side::Client, "FA", b"");
    });
    assert!(scene.report().incidents.iter().all(|incident| incident.cause != Cause::TlsCertificateRejected));
}

#[test]
fn an_empty_list_of_certificates_and_an_alert_after_the_request_are_no_proof() {
    let scene = after_hello(502, |scene, up| {
        up.says(scene, Side::Server, &flight());
        up.says(scene, Side::Client, &[encrypted(8 + 17), encrypted(FINISHED), encrypted(200)].concat());
        up.flags(scene, Side::Server, "PA", &encrypted(ALERT));
        up.flags(scene, Side::Server, "FA", b"");
    });
    let incident = scene.incident();
    assert_eq!(told(&incident), (Cause::TlsClientCertificateRequired, Some("missing"), Grade::Consistent));
    assert_eq!(candidates(&incident), [Cause::ClosedWithoutResponse]);
}

#[test]
fn a_reset_of_who_has_read_nothing_is_none_of_the_handshake() {
    let mut scene = Scene::default();
    let (mut down, mut up) = scene.asked(40_000, APP);
    let unread = [up.next[1], up.next[0]];
    up.flags(&mut scene, Side::Client, "PA", &client_hello("app.lab", &[TLS_1_3]));
    scene.send((APP, up.ends[0]), "RA", (unread[0], unread[1]), b"");
    down.fails(&mut scene, 502);
    assert_eq!(told(&scene.incident()).0, Cause::ConnectReset);
}

/// The port answers others in clear.
fn plain_port(scene: &mut Scene) {
    let (mut down, mut up) = scene.asked(30_000, APP);
    up.says(scene, Side::Client, b"GET /30000 HTTP/1.1\r\nHost: app.lab\r\n\r\n");
    up.says(scene, Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    down.says(scene, Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    scene.later(1000);
}

#[test]
fn a_plain_port_that_ignores_a_client_hello_is_taken_for_one() {
    for plain in [false, true] {
        let mut scene = Scene::default();
        if plain {
            plain_port(&mut scene);
        }
        let (mut down, mut up) = scene.asked(40_000, APP);
        up.says(&mut scene, Side::Client, &client_hello("app.lab", &[TLS_1_3]));
        up.flags(scene.later(2000), Side::Client, "FA", b"");
        down.fails(&mut scene, 504);
        let expected = match plain {
            true => (Cause::TlsToPlaintext, Grade::Consistent),
            false => (Cause::TlsHandshakeTimeout, Grade::Proven),
        };
        let incident = scene.incident();
        assert_eq!((incident.cause, incident.grade), expected);
    }
}

#[test]
fn a_client_hello_that_gets_lost_is_not_ignored() {
    let mut scene = Scene::default();
    let (mut down, mut up) = scene.asked(40_000, APP);
    let hello = client_hello("app.lab", &[TLS_1_3]);
    let first = up.next[0];
    up.flags(&mut scene, Side::Client, "PA", &hello);
    for _ in 0..3 {
        scene.later(500).send((up.ends[0], APP), "PA", (first, up.next[1]), &hello);
    }
    up.flags(scene.later(500), Side::Client, "FA", b"");
    down.fails(&mut scene, 504);
    assert_eq!(told(&scene.incident()), (Cause::RequestLost, Some("client_hello"), Grade::Consistent));
}

/// A request in clear, and how a port ends the connection.
fn in_clear(answer: &[u8], flags: &str) -> Incident {
    let mut scene = Scene::default();
    let (mut down, mut up) = scene.asked(40_000, APP);
    up.says(&mut scene, Side::Client, b"GET /40000 HTTP/1.1\r\nHost: app.lab\r\n\r\n");
    up.flags(&mut scene, Side::Server, flags, answer);
    up.flags(&mut scene, Side::Client, "FA", b"");
    down.fails(&mut scene, 502);
    scene.incident()
}

#[test]
fn a_request_in_clear_is_answered_by_an_alert() {
    let incident = in_clear(&alert(2, 10), "FPA");
    assert_eq!(told(&incident), (Cause::PlaintextToTls, Some("alert"), Grade::Proven));
}

#[test]
fn a_port_that_closes_on_the_first_request_may_want_tls() {
    let incident = in_clear(b"", "FA");
    assert_eq!(told(&incident), (Cause::ClosedWithoutResponse, None, Grade::Consistent));
    assert!(candidates(&incident).contains(&Cause::PlaintextToTls));
}

#[test]
fn a_client_that_rejects_the_gateway_is_counted_and_remarked_upon() {
    let mut scene = Scene::default();
    let (mut down, mut up) = scene.asked(30_000, APP);
    up.says(&mut scene, Side::Client, b"GET /30000 HTTP/1.1\r\nHost: app.lab\r\n\r\n");
    up.says(&mut scene, Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    down.says(&mut scene, Side::Server, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let mut other = scene.later(100).open(([10, 50, 1, 7], 50_000), ([10, 50, 1, 1], 8443));
    other.says(&mut scene, Side::Client, &client_hello("www.lab", &[TLS_1_3]));
    other.says(&mut scene, Side::Server, &flight());
    other.flags(&mut scene, Side::Client, "PA", &alert(2, 48));
    other.flags(&mut scene, Side::Client, "FA", b"");
    let report = scene.report();
    assert_eq!((report.incidents.len(), report.totals.tls_handshake_failures), (0, 1));
    let remark = "TLS handshake of a client with 10.50.1.1:8443 failed: the client's alert 48, unknown_ca";
    assert!(report.coverage.notes.iter().any(|note| note.contains(remark)), "{:?}", report.coverage.notes);
}

/// Whatever packet the capture lacks, what is proven is what was.
#[test]
fn a_missing_packet_proves_nothing_else() {
    let mut scenes = vec![
        after_hello(502, |scene, up| {
            up.says(scene, Side::Server, &alert(2, 70));
            up.flags(scene, Side::Server, "FA", b"");
            up.flags(scene, Side::Client, "FA", b"");
        }),
        after_hello(502, |scene, up| {
            up.says(scene, Side::Server, &[server_hello(TLS_1_2), alert(2, 80)].concat());
            up.flags(scene, Side::Server, "RA", b"");
        }),
        after_hello(502, |scene, up| {
            up.says(scene, Side::Server, &flight());
            up.says(scene, Side::Client, &alert(2, 48));
            up.flags(scene, Side::Client, "RA", b"");
        }),
        after_hello(502, |scene, up| {
            up.says(scene, Side::Server, b"HTTP/1.1 400 Bad Request\r\n\r\n");
            up.flags(scene, Side::Client, "FA", b"");
        }),
        after_hello(502, |scene, up| {
            up.flags(scene, Side::Server, "FA", b"");
            up.flags(scene, Side::Client, "FA", b"");
        }),
    ];
    for scene in &mut scenes {
        let whole = scene.incident();
        for missing in 0..scene.packets.len() {
            let left: Vec<&Packet> =
                scene.packets.iter().enumerate().filter(|(index, _)| *index != missing).map(|(_, p)| p).collect();
            for incident in analyse(left).incidents {
                let same = incident.cause == whole.cause;
                assert!(same || incident.grade < Grade::Proven, "{whole:?}\nwithout {missing}: {:?}", told(&incident));
            }
        }
    }
}

/// PROXY protocol headers, version 1 and 2, that name 192.0.2.1:56324.
fn proxy_headers() -> [Vec<u8>; 2] {
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    second.extend([192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 0x04, 0x01, 0xbb]);
    [b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(), second]
}

#[test]
fn a_proxy_protocol_header_before_the_handshake_is_seen_through() {
    for header in proxy_headers() {
        for at_once in [true, false] {
            let mut scene = Scene::default();
            let (mut down, mut up) = scene.asked(40_000, APP);
            let hello = client_hello("app.lab", &[TLS_1_2]);
            if at_once {
                up.says(&mut scene, Side::Client, &[&header[..], &hello].concat());
            } else {
                up.says(&mut scene, Side::Client, &header);
                up.says(&mut scene, Side::Client, &hello);
            }
            up.flags(&mut scene, Side::Server, "PA", &alert(2, 70));
            up.flags(&mut scene, Side::Server, "FA", b"");
            up.flags(&mut scene, Side::Client, "FA", b"");
            down.fails(&mut scene, 502);
            let incident = scene.incident();
            assert_eq!(told(&incident), (Cause::TlsVersionMismatch, Some("alert"), Grade::Proven));
            assert!(incident.summary.contains("TLS 1.2"), "{}", incident.summary);
        }
    }
}

#[test]
fn a_proxy_protocol_header_before_a_request_is_seen_through_on_either_leg() {
    for header in proxy_headers() {
        for legs in [[true, false], [false, true], [true, true]] {
            let prefix = |leg: bool| if leg { &header[..] } else { b"" };
            let [before_down, before_up] = legs.map(prefix);
            let request = b"GET /proxied HTTP/1.1\r\nHost: app.lab\r\n\r\n";
            let mut scene = Scene::default();
            let mut down = scene.open(([10, 50, 1, 2], 40_000), FRONT);
            down.says(&mut scene, Side::Client, &[before_down, request].concat());
            let mut up = scene.open((BACK, 40_000), APP);
            up.says(&mut scene, Side::Client, &[before_up, request].concat());
            up.flags(scene.later(500), Side::Server, "FA", b"");
            up.flags(&mut scene, Side::Client, "FA", b"");
            down.fails(&mut scene, 502);
            let incident = scene.incident();
            assert_eq!(told(&incident), (Cause::ClosedWithoutResponse, None, Grade::Proven), "{legs:?}");
            assert_eq!(incident.downstream.unwrap().target.as_deref(), Some("/proxied"));
        }
    }
}

/// A ClientHello as long as post-quantum key shares make it, in two segments; and one in two records.
#[test]
fn a_client_hello_in_pieces_is_read() {
    let long = client_hello(&"a".repeat(1800), &[TLS_1_3]);
    let (_, message) = long.split_at(5);
    let (first, second) = message.split_at(40);
    for pieces in [[&long[..1400], &long[1400..]], [&record(22, first)[..], &record(22, second)]] {
        let mut scene = Scene::default();
        let (mut down, mut up) = scene.asked(40_000, APP);
        pieces.iter().for_each(|piece| up.says(&mut scene, Side::Client, piece));
        up.flags(&mut scene, Side::Server, "FA", b"");
        up.flags(&mut scene, Side::Client, "FA", b"");
        down.fails(&mut scene, 502);
        assert_eq!(told(&scene.incident()), (Cause::TlsClosed, Some("fin"), Grade::Proven));
    }
}

#[test]
fn a_refused_curve_after_a_hello_retry_request_is_a_cipher_mismatch() {
    // RFC 8446 section 4.1.3: the random of a HelloRetryRequest.
    let random = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let chosen = [extension(43, &TLS_1_3.to_be_bytes()), extension(51, &[0, 23])].concat();
    let retry = hello(2, &[&[3, 3][..], &random, &[0], &SUITE.to_be_bytes(), &[0], &vector(&chosen)].concat());
    let scene = after_hello(502, |scene, up| {
        up.says(scene, Side::Server, &retry);
        up.says(scene, Side::Client, &client_hello("app.lab", &[TLS_1_3]));
        up.flags(scene, Side::Server, "PA", &alert(2, 40));
        up.flags(scene, Side::Server, "FA", b"");
        up.flags(scene, Side::Client, "FA", b"");
    });
    assert_eq!(told(&scene.incident()), (Cause::TlsCipherMismatch, Some("alert"), Grade::Consistent));
}
