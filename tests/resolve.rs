//! Verdicts on lookups that are built packet by packet: whose request waited for which name, and what may be said of it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;

use etherparse::PacketBuilder;
use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident};
use netwatch502::limits::Limits;
use packets::{End, Packet, segment};

const FRONT: End = ([10, 50, 1, 1], 8080);
const BACK: [u8; 4] = [10, 50, 2, 1];
const APP: End = ([10, 50, 2, 2], 9000);
const SERVER: End = ([10, 50, 2, 9], 53);

const NOERROR: u8 = 0;
const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;
const A: u16 = 1;
const AAAA: u16 = 28;

/// Packets at the milliseconds given, 10 µs apart where several are.
#[derive(Default)]
struct Scene {
    packets: Vec<Packet>,
}

/// A client's connection on which a request is open.
struct Open {
    client: End,
    answered_at: u32,
}

impl Scene {
    /// A request that is served, so that it is known which addresses are the gateway's.
    fn new() -> Self {
        let mut scene = Self::default();
        let served = scene.ask(0, "/known/1");
        let (up, request) = ((BACK, 50_000), get("/known/1"));
        scene.send(1, (up, APP), "S", (999, 0), b"");
        scene.send(1, (APP, up), "SA", (1999, 1000), b"");
        scene.send(1, (up, APP), "A", (1000, 2000), b"");
        scene.send(1, (up, APP), "PA", (1000, 2000), request.as_bytes());
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        scene.send(2, (APP, up), "PA", (2000, 1000 + request.len() as u32), ok);
        scene.send(3, (FRONT, served.client), "PA", (2000, served.answered_at), ok);
        scene
    }

    fn send(&mut self, ms: i64, way: (End, End), flags: &str, numbers: (u32, u32), data: &[u8]) {
        let (number, at_ns) = self.next(ms);
        self.packets.push(Packet { number, ..segment(at_ns, way, flags, numbers, data) });
    }

    fn next(&self, ms: i64) -> (u64, i64) {
        let number = self.packets.len() as u64 + 1;
        (number, 1_795_181_638_000_000_000 + ms * 1_000_000 + number as i64 * 10_000)
    }

    /// A client of its own asks the gateway.
    fn ask(&mut self, ms: i64, target: &str) -> Open {
        let client = ([10, 50, 1, 2], 40_000 + self.packets.len() as u16);
        let request = get(target);
        self.send(ms, (client, FRONT), "S", (999, 0), b"");
        self.send(ms, (FRONT, client), "SA", (1999, 1000), b"");
        self.send(ms, (client, FRONT), "A", (1000, 2000), b"");
        self.send(ms, (client, FRONT), "PA", (1000, 2000), request.as_bytes());
        Open { client, answered_at: 1000 + request.len() as u32 }
    }

    /// The gateway answers with an error.
    fn fail(&mut self, ms: i64, open: &Open) {
        let page = b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nContent-Length: 3\r\n\r\nbad";
        self.send(ms, (FRONT, open.client), "PA", (2000, open.answered_at), page);
    }

    fn refuse(&mut self, ms: i64, server: End) {
        let up = (BACK, 51_000 + self.packets.len() as u16);
        self.send(ms, (up, server), "S", (999, 0), b"");
        self.send(ms, (server, up), "RA", (0, 1000), b"");
    }

    /// The gateway, or another host, asks for a name.
    fn query(&mut self, ms: i64, client: End, id: u16, (name, kind): (&str, u16)) {
        self.datagram(ms, (client, SERVER), &message(id, 0, None, (name, kind)));
    }

    fn answer(&mut self, ms: i64, client: End, id: u16, asked: (&str, u16), code: u8, address: Option<[u8; 4]>) {
        self.datagram(ms, (SERVER, client), &message(id, 0x80, Some((code, address)), asked));
    }

    /// The gateway asks for the IPv4 address of a name, and is answered a millisecond later.
    fn look_up(&mut self, ms: i64, id: u16, name: &str, code: u8, address: Option<[u8; 4]>) {
        let client = (BACK, 33_000);
        self.query(ms, client, id, (name, A));
        self.answer(ms + 1, client, id, (name, A), code, address);
    }

    fn datagram(&mut self, ms: i64, (from, to): (End, End), payload: &[u8]) {
        let mut octets = Vec::new();
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, 64).udp(from.1, to.1);
        builder.write(&mut octets, payload).unwrap();
        let (number, at_ns) = self.next(ms);
        let length = octets.len() as u32;
        self.packets.push(Packet { number, at_ns, link: 1, interface: 0, length, octets });
    }

    fn incidents(&self) -> Vec<Incident> {
        packets::analyse(&self.packets, &Limits::default()).incidents
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.lab\r\nX-Request-ID: id-of-{}\r\n\r\n", target.replace('/', "-"))
}

/// A query, or an answer with at most one address.
fn message(id: u16, flags: u8, answer: Option<(u8, Option<[u8; 4]>)>, (name, kind): (&str, u16)) -> Vec<u8> {
    let (code, address) = answer.unwrap_or((NOERROR, None));
    let mut octets = id.to_be_bytes().to_vec();
    octets.extend([flags | 1, code, 0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
    for label in name.split('.') {
        octets.push(label.len() as u8);
        octets.extend(label.as_bytes());
    }
    octets.push(0);
    octets.extend(kind.to_be_bytes());
    octets.extend([0, 1]);
    if let Some(address) = address {
        octets.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        octets.extend(address);
    }
    octets
}

/// Each incident as its target, its cause, its grade and the name that it is about.
fn check(scene: &Scene, expected: &[(&str, Cause, Grade, Option<&str>)]) {
    let incidents = scene.incidents();
    let told: Vec<_> = incidents
        .iter()
        .map(|incident| {
            let target = incident.downstream.as_ref().and_then(|leg| leg.target.as_deref()).unwrap_or("-");
            let name = incident.attempts.iter().rev().find_map(|attempt| attempt.name.as_deref());
            (target, incident.cause, incident.grade, name)
        })
        .collect();
    assert_eq!(told, expected, "{:#?}", incidents.iter().map(|one| &one.not_known).collect::<Vec<_>>());
}

#[test]
fn a_request_that_fails_right_after_the_lookup_that_it_began_waited_for_it() {
    let mut scene = Scene::new();
    let open = scene.ask(100, "/shop/1");
    scene.look_up(101, 1, "gone.lab", NXDOMAIN, None);
    scene.fail(103, &open);
    check(&scene, &[("/shop/1", Cause::DnsNxdomain, Grade::Proven, Some("gone.lab"))]);
}

#[test]
fn a_lookup_between_two_requests_explains_neither() {
    let mut scene = Scene::new();
    let first = scene.ask(100, "/shop/1");
    scene.fail(103, &first);
    scene.look_up(300, 1, "gone.lab", NXDOMAIN, None);
    let second = scene.ask(500, "/shop/2");
    scene.fail(503, &second);
    let nothing = |target| (target, Cause::NoUpstreamAttempt, Grade::Undetermined, None);
    check(&scene, &[nothing("/shop/1"), nothing("/shop/2")]);
}

#[test]
fn another_host_s_lookup_explains_nothing() {
    let mut scene = Scene::new();
    let open = scene.ask(100, "/shop/1");
    let stranger = ([10, 50, 2, 7], 4000);
    scene.query(101, stranger, 1, ("gone.lab", A));
    scene.answer(102, stranger, 1, ("gone.lab", A), NXDOMAIN, None);
    scene.fail(103, &open);
    check(&scene, &[("/shop/1", Cause::NoUpstreamAttempt, Grade::Undetermined, None)]);
}

#[test]
fn of_two_names_that_fail_at_once_none_is_certain() {
    let mut scene = Scene::new();
    let open = scene.ask(100, "/shop/1");
    scene.query(101, (BACK, 33_000), 1, ("gone.lab", A));
    scene.query(101, (BACK, 33_001), 2, ("metrics.example", A));
    scene.answer(102, (BACK, 33_000), 1, ("gone.lab", A), NXDOMAIN, None);
    scene.answer(102, (BACK, 33_001), 2, ("metrics.example", A), SERVFAIL, None);
    scene.fail(103, &open);
    let incidents = scene.incidents();
    let [incident] = incidents.as_slice() else { panic!("{incidents:#?}") };
    assert_eq!(incident.grade, Grade::Consistent);
    let rival = incident
        .candidates
        .iter()
        .any(|candidate| candidate.what.contains("gone.lab") || candidate.what.contains("metrics.example"));
    assert!(rival, "{:#?}", incident.candidates);
}

#[test]
fn the_name_that_the_request_bears_outweighs_another() {
    let mut scene = Scene::new();
    let open = scene.ask(100, "/shop/1");
    scene.query(101, (BACK, 33_000), 1, ("shop.lab", A));
    scene.query(101, (BACK, 33_001), 2, ("metrics.example", A));
    scene.answer(101, (BACK, 33_000), 1, ("shop.lab", A), NXDOMAIN, None);
    scene.answer(102, (BACK, 33_001), 2, ("metrics.example", A), SERVFAIL, None);
    scene.fail(103, &open);
    check(&scene, &[("/shop/1", Cause::DnsNxdomain, Grade::Proven, Some("shop.lab"))]);
}

#[test]
fn several_requests_wait_for_one_lookup() {
    let mut scene = Scene::new();
    let opened = [scene.ask(100, "/shop/1"), scene.ask(104, "/shop/2")];
    scene.query(101, (BACK, 33_000), 1, ("app.lab", A));
    scene.query(5101, (BACK, 33_000), 1, ("app.lab", A));
    scene.fail(10_100, &opened[0]);
    scene.fail(10_104, &opened[1]);
    scene.packets.sort_by_key(|packet| packet.at_ns);
    for (number, packet) in (1..).zip(&mut scene.packets) {
        packet.number = number;
    }
    let incidents = scene.incidents();
    let told: Vec<_> = incidents.iter().map(|incident| (incident.cause, incident.attempts.len())).collect();
    assert_eq!(told, [(Cause::DnsTimeout, 1), (Cause::DnsTimeout, 1)], "{incidents:#?}");
}

#[test]
fn a_query_that_was_put_once_proves_no_timeout() {
    let mut scene = Scene::new();
    let open = scene.ask(100, "/shop/1");
    scene.query(101, (BACK, 33_000), 1, ("app.lab", A));
    scene.fail(2101, &open);
    check(&scene, &[("/shop/1", Cause::DnsTimeout, Grade::Consistent, Some("app.lab"))]);
    let mut scene = Scene::new();
    let open = scene.ask(100, "/shop/1");
    scene.query(101, (BACK, 33_000), 1, ("app.lab", A));
    scene.query(1101, (BACK, 33_000), 1, ("app.lab", A));
    scene.fail(2101, &open);
    check(&scene, &[("/shop/1", Cause::DnsTimeout, Grade::Proven, Some("app.lab"))]);
}

#[test]
fn an_address_of_the_other_family_leaves_it_open_what_failed() {
    let mut scene = Scene::new();
    let open = scene.ask(100, "/shop/1");
    scene.query(101, (BACK, 33_000), 1, ("app.lab", A));
    scene.query(101, (BACK, 33_000), 2, ("app.lab", AAAA));
    scene.answer(102, (BACK, 33_000), 1, ("app.lab", A), NOERROR, Some(APP.0));
    scene.answer(103, (BACK, 33_000), 2, ("app.lab", AAAA), SERVFAIL, None);
    scene.fail(104, &open);
    check(&scene, &[("/shop/1", Cause::DnsFailure, Grade::Consistent, Some("app.lab"))]);
}

#[test]
fn a_request_like_one_whose_name_led_nowhere_may_fail_by_the_same_answer() {
    let mut scene = Scene::new();
    let first = scene.ask(100, "/shop/1");
    scene.look_up(101, 1, "gone.lab", NXDOMAIN, None);
    scene.fail(103, &first);
    let second = scene.ask(3000, "/shop/2");
    scene.fail(3001, &second);
    let late = scene.ask(60_000, "/shop/3");
    scene.fail(60_001, &late);
    check(
        &scene,
        &[
            ("/shop/1", Cause::DnsNxdomain, Grade::Proven, Some("gone.lab")),
            ("/shop/2", Cause::DnsNxdomain, Grade::Consistent, None),
            ("/shop/3", Cause::NoUpstreamAttempt, Grade::Undetermined, None),
        ],
    );
}

#[test]
fn an_address_that_the_name_has_lost_is_called_stale() {
    let old = ([10, 50, 2, 3], 9000);
    let mut scene = Scene::new();
    scene.look_up(10, 1, "app.lab", NOERROR, Some(old.0));
    scene.look_up(2000, 2, "app.lab", NOERROR, Some(APP.0));
    let open = scene.ask(3000, "/shop/1");
    scene.refuse(3001, old);
    scene.fail(3002, &open);
    let incidents = scene.incidents();
    let [incident] = incidents.as_slice() else { panic!("{incidents:#?}") };
    assert_eq!((incident.cause, incident.detail), (Cause::ConnectRefused, Some("stale_address")));
    assert!(incident.candidates.iter().any(|candidate| candidate.what.contains("app.lab had 10.50.2.3")));
}

#[test]
fn an_address_that_the_name_still_has_is_not() {
    let mut scene = Scene::new();
    scene.look_up(10, 1, "app.lab", NOERROR, Some(APP.0));
    scene.look_up(2000, 2, "app.lab", NOERROR, Some(APP.0));
    let open = scene.ask(3000, "/shop/1");
    scene.refuse(3001, APP);
    scene.fail(3002, &open);
    let incidents = scene.incidents();
    assert_eq!(
        incidents.iter().map(|one| (one.cause, one.detail)).collect::<Vec<_>>(),
        [(Cause::ConnectRefused, None)]
    );
}

#[test]
fn a_refusal_while_a_name_is_looked_up_in_vain_is_not_proven_to_be_the_reason() {
    let refused = |code: u8, address: Option<[u8; 4]>| {
        let mut scene = Scene::new();
        // Somebody else's request may have been it.
        let other = scene.ask(1990, "/other");
        let open = scene.ask(2000, "/a");
        scene.query(2001, (BACK, 33_000), 7, ("shop.lab", A));
        scene.refuse(2001, APP);
        scene.answer(2002, (BACK, 33_000), 7, ("shop.lab", A), code, address);
        scene.fail(2003, &open);
        let ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        scene.send(2300, (FRONT, other.client), "PA", (2000, other.answered_at), ok);
        scene.send(6000, (([10, 50, 1, 2], 39_999), FRONT), "S", (999, 0), b"");
        let incidents = scene.incidents();
        incidents.iter().map(|incident| (incident.cause, incident.grade)).next().unwrap()
    };
    assert_eq!(refused(NOERROR, Some(APP.0)), (Cause::ConnectRefused, Grade::Proven));
    assert_ne!(refused(SERVFAIL, None), (Cause::ConnectRefused, Grade::Proven));
}
