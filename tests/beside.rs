//! What a gateway asks of others beside the upstream that its client waits for: who may have an answer, copies of requests, and
//! whether upstreams are well. None of it is a retry.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident, Kind};
use netwatch502::limits::Limits;
use packets::{End, Packet, segment};

const CLIENT: End = ([10, 50, 1, 2], 40_000);
const FRONT: End = ([10, 50, 1, 1], 8080);
const APP: End = ([10, 50, 2, 2], 9000);
const AUTHORISATION: End = ([10, 50, 2, 3], 9000);
const MIRROR: End = ([10, 50, 2, 4], 9000);

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const ALLOWED: &str = "HTTP/1.1 204 No Content\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nbad";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 3\r\n\r\nbad";

/// Packets 0.1 ms apart.
#[derive(Default)]
struct Scene {
    packets: Vec<Packet>,
    pauses_us: i64,
}

impl Scene {
    fn pause(&mut self, ms: i64) {
        self.pauses_us += ms * 1000;
    }

    fn send(&mut self, (from, to): (End, End), flags: &str, numbers: (u32, u32), data: &str) {
        let number = self.packets.len() as u64 + 1;
        let at_ns = 1_795_181_638_000_000_000 + (number as i64 * 100 + self.pauses_us) * 1000;
        self.packets.push(Packet { number, ..segment(at_ns, (from, to), flags, numbers, data.as_bytes()) });
    }

    fn ask(&mut self, client: End, server: End, target: &str) -> Exchange {
        self.send((client, server), "S", (999, 0), "");
        self.send((server, client), "SA", (1999, 1000), "");
        self.send((client, server), "A", (1000, 2000), "");
        let request = format!("GET {target} HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: of-this-one-alone\r\n\r\n");
        self.send((client, server), "PA", (1000, 2000), &request);
        Exchange { client, server, sent: 1000 + request.len() as u32, answered: 2000 }
    }

    /// A request of the gateway's.
    fn attempt(&mut self, port: u16, server: End, target: &str) -> Exchange {
        self.ask(([10, 50, 2, 1], port), server, target)
    }

    fn incidents(&self) -> Vec<Incident> {
        packets::analyse(&self.packets, &Limits::default()).incidents
    }

    fn told(&self) -> Vec<(Kind, Cause, Grade, Option<End>)> {
        let last = |incident: &Incident| {
            let upstream = incident.attempts.last()?.upstream?;
            let std::net::IpAddr::V4(address) = upstream.ip() else { return None };
            Some((address.octets(), upstream.port()))
        };
        self.incidents().iter().map(|told| (told.kind, told.cause, told.grade, last(told))).collect()
    }
}

struct Exchange {
    client: End,
    server: End,
    sent: u32,
    answered: u32,
}

impl Exchange {
    fn answer(&mut self, scene: &mut Scene, response: &str) {
        scene.send((self.server, self.client), "PA", (self.answered, self.sent), response);
        self.answered += response.len() as u32;
    }

    fn close(&mut self, scene: &mut Scene) {
        scene.send((self.server, self.client), "FA", (self.answered, self.sent), "");
    }

    fn let_go(&mut self, scene: &mut Scene) {
        scene.send((self.client, self.server), "FA", (self.sent, self.answered), "");
    }
}

#[test]
fn an_authorisation_that_is_given_is_no_attempt_that_a_retry_hid() {
    let mut scene = Scene::default();
    let mut down = scene.ask(CLIENT, FRONT, "/page");
    scene.attempt(50_000, AUTHORISATION, "/may-i").answer(&mut scene, ALLOWED);
    scene.attempt(50_001, APP, "/page").answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    assert_eq!(scene.told(), []);
}

#[test]
fn an_authorisation_that_fails_explains_what_the_client_got() {
    let mut scene = Scene::default();
    let mut down = scene.ask(CLIENT, FRONT, "/page");
    scene.attempt(50_000, AUTHORISATION, "/may-i").close(&mut scene);
    down.answer(&mut scene, BROKEN);
    assert_eq!(
        scene.told(),
        [(Kind::GatewayError, Cause::ClosedWithoutResponse, Grade::Consistent, Some(AUTHORISATION))]
    );
}

#[test]
fn an_upstream_that_fails_behind_a_given_authorisation_is_to_blame() {
    let mut scene = Scene::default();
    let mut down = scene.ask(CLIENT, FRONT, "/page");
    scene.attempt(50_000, AUTHORISATION, "/may-i").answer(&mut scene, ALLOWED);
    let mut up = scene.attempt(50_001, APP, "/page");
    scene.pause(2000);
    up.let_go(&mut scene);
    down.answer(&mut scene, "HTTP/1.1 504 Gateway Time-out\r\nServer: nginx\r\nContent-Length: 3\r\n\r\nbad");
    let told = scene.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((told[0].1, told[0].3), (Cause::ResponseTimeout, Some(APP)));
}

#[test]
fn a_copy_of_a_request_whose_answer_nobody_waits_for_fails_nobody() {
    for copied_first in [true, false] {
        let mut scene = Scene::default();
        let mut down = scene.ask(CLIENT, FRONT, "/page");
        let order = if copied_first { [MIRROR, APP] } else { [APP, MIRROR] };
        let mut asked = [scene.attempt(50_000, order[0], "/page"), scene.attempt(50_001, order[1], "/page")];
        asked.sort_by_key(|asked| asked.server);
        let [app, mirror] = &mut asked;
        app.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
        mirror.close(&mut scene);
        assert_eq!(scene.told(), [], "copied first: {copied_first}");
    }
}

#[test]
fn an_upstream_that_fails_beside_a_copy_that_is_served_is_to_blame() {
    let mut scene = Scene::default();
    let mut down = scene.ask(CLIENT, FRONT, "/page");
    let mut app = scene.attempt(50_000, APP, "/page");
    let mut mirror = scene.attempt(50_001, MIRROR, "/page");
    mirror.answer(&mut scene, OK);
    app.close(&mut scene);
    down.answer(&mut scene, BAD_GATEWAY);
    let told = scene.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!((told[0].1, told[0].3), (Cause::ClosedWithoutResponse, Some(APP)));
}

#[test]
fn of_two_requests_that_fail_side_by_side_neither_is_surely_the_one_that_was_waited_for() {
    let mut scene = Scene::default();
    let mut down = scene.ask(CLIENT, FRONT, "/page");
    let mut app = scene.attempt(50_000, APP, "/page");
    let mut mirror = scene.attempt(50_001, MIRROR, "/page");
    app.close(&mut scene);
    mirror.close(&mut scene);
    down.answer(&mut scene, BAD_GATEWAY);
    let told = scene.told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].2 < Grade::Proven, "{told:#?}");
}

#[test]
fn an_upstream_that_is_given_up_for_another_one_was_an_attempt() {
    let mut scene = Scene::default();
    let mut down = scene.ask(CLIENT, FRONT, "/page");
    let mut first = scene.attempt(50_000, APP, "/page");
    scene.pause(2000);
    first.let_go(&mut scene);
    let mut second = scene.attempt(50_001, MIRROR, "/page");
    // Too late: the gateway has turned to the other one.
    first.answer(&mut scene, OK);
    second.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    let told: Vec<_> = scene.incidents().iter().map(|told| (told.kind, told.cause)).collect();
    assert_eq!(told, [(Kind::Masked, Cause::ResponseTimeout)]);
}

#[test]
fn a_page_from_a_fallback_hides_a_failure() {
    let mut scene = Scene::default();
    let mut down = scene.ask(CLIENT, FRONT, "/page");
    scene.attempt(50_000, APP, "/page").close(&mut scene);
    scene.attempt(50_001, MIRROR, "/fallback/page").answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    let told: Vec<_> = scene.incidents().iter().map(|told| (told.kind, told.cause)).collect();
    assert_eq!(told, [(Kind::Masked, Cause::ClosedWithoutResponse)]);
}

/// A client inside of TLS is answered by its gateway alone, after 27 ms. Meanwhile the gateway looks twice whether the upstream is
/// well: once the status is enough for it, and once it waits for the end.
#[test]
fn health_checks_are_no_attempts_for_who_is_inside_of_tls() {
    let mut packets = story::packets("nginx-tls-front-healthy");
    let (asked, attempted, answered) = (118, 119, 122);
    let starts_ns = packets.iter().find(|packet| packet.number == asked).unwrap().at_ns + 1_000_000;
    let goes_unused = 51_636_u16.to_be_bytes();
    packets.retain(|packet| packet.number < attempted || !packet.octets.windows(2).any(|two| two == goes_unused));
    let upstream = ([10, 50, 2, 2], 9000);
    let ask = b"GET /health HTTP/1.0\r\n\r\n";
    let fine = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfine\n";
    let (asked, told) = (1000 + ask.len() as u32, 2000 + fine.len() as u32);
    let mut checks = Vec::new();
    for (port, is_enough) in [(60_000, true), (60_001, false)] {
        let gateway = ([10, 50, 2, 1], port);
        let (there, back) = ((gateway, upstream), (upstream, gateway));
        let mut send = |way, flags, numbers, data: &[u8]| {
            let at_ns = starts_ns + checks.len() as i64 * 2_000_000;
            checks.push(segment(at_ns, way, flags, numbers, data));
        };
        send(there, "S", (999, 0), b"");
        send(back, "SA", (1999, 1000), b"");
        send(there, "PA", (1000, 2000), ask);
        send(back, "PA", (2000, asked), fine);
        if is_enough {
            send(there, "RA", (asked, told), b"");
        } else {
            send(back, "FA", (told, asked), b"");
            send(there, "FA", (asked, told + 1), b"");
        }
    }
    let at = packets.iter().position(|packet| packet.number == answered).unwrap();
    assert!(checks.last().unwrap().at_ns < packets[at].at_ns);
    packets.splice(at..at, checks);
    for (number, packet) in (1..).zip(&mut packets) {
        packet.number = number;
    }
    let incidents = packets::analyse(&packets, &Limits::default()).incidents;
    assert!(incidents.is_empty(), "{incidents:#?}");
}
