//! Verdicts on one failure among many exchanges: whose attempt it was, and above all whose it was not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;

use netwatch502::correlate::Pairing;
use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Incident, Kind};
use netwatch502::limits::Limits;
use packets::{End, Packet, segment};

const CLIENT: [u8; 4] = [10, 50, 1, 2];
const FRONT: End = ([10, 50, 1, 1], 8080);
const HOST: [u8; 4] = [127, 0, 0, 1];
const FAST: End = (HOST, 9000);
const SLOW: End = (HOST, 9001);
const NOBODY: End = (HOST, 9009);

/// Packets 10 µs apart.
#[derive(Default)]
struct Scene {
    packets: Vec<Packet>,
    pauses_us: i64,
}

impl Scene {
    fn pause(&mut self, us: i64) {
        self.pauses_us += us;
    }

    fn send(&mut self, way: (End, End), flags: &str, numbers: (u32, u32), data: &[u8]) {
        let number = self.packets.len() as u64 + 1;
        let at_ns = 1_795_181_638_000_000_000 + (number as i64 * 10 + self.pauses_us) * 1000;
        self.packets.push(Packet { number, ..segment(at_ns, way, flags, numbers, data) });
    }

    fn connect(&mut self, client: End, server: End) -> Talk {
        self.send((client, server), "S", (999, 0), b"");
        self.send((server, client), "SA", (1999, 1000), b"");
        self.send((client, server), "A", (1000, 2000), b"");
        Talk { client, server, sent: 1000, answered: 2000 }
    }

    fn refuse(&mut self, port: u16) {
        self.send(((HOST, port), NOBODY), "S", (999, 0), b"");
        self.send((NOBODY, (HOST, port)), "RA", (0, 1000), b"");
    }

    /// A request that `upstream` answers at once.
    fn serve(&mut self, nth: u16, upstream: End) {
        let request = format!("GET /number-{nth}-of-them HTTP/1.1\r\nHost: app.lab\r\n\r\n");
        let mut down = self.connect((CLIENT, 20_000 + nth), FRONT);
        down.ask(self, &request);
        let mut up = self.connect((HOST, 30_000 + nth), upstream);
        up.ask(self, &request);
        up.answer(self, OK);
        down.answer(self, OK);
    }

    fn incidents(&self) -> Vec<Incident> {
        packets::analyse(&self.packets, &Limits::default()).incidents
    }
}

struct Talk {
    client: End,
    server: End,
    sent: u32,
    answered: u32,
}

impl Talk {
    fn ask(&mut self, scene: &mut Scene, request: &str) {
        scene.send((self.client, self.server), "PA", (self.sent, self.answered), request.as_bytes());
        self.sent += request.len() as u32;
    }

    fn answer(&mut self, scene: &mut Scene, response: &str) {
        scene.send((self.server, self.client), "PA", (self.answered, self.sent), response.as_bytes());
        self.answered += response.len() as u32;
    }

    fn let_go(&mut self, scene: &mut Scene) {
        scene.send((self.client, self.server), "FA", (self.sent, self.answered), b"");
    }

    fn close(&mut self, scene: &mut Scene) {
        scene.send((self.server, self.client), "FA", (self.answered, self.sent), b"");
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad";
/// Nothing of it identifies it.
const ASK: &str = "GET /s HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn a_slow_upstream_beside_a_fast_one_is_not_taken_for_the_gateway_in_front_of_it() {
    let mut scene = Scene::default();
    let mut slow = Vec::new();
    for nth in 0..40 {
        let mut down = scene.connect((CLIENT, 40_000 + nth), FRONT);
        down.ask(&mut scene, ASK);
        let mut up = scene.connect((HOST, 50_000 + nth), SLOW);
        up.ask(&mut scene, ASK);
        slow.push((down, up));
        scene.serve(nth, FAST);
        scene.pause(20_000);
    }
    for (down, up) in &mut slow {
        up.close(&mut scene);
        down.answer(&mut scene, BAD_GATEWAY);
        scene.pause(20_000);
    }
    let causes: Vec<_> = scene.incidents().iter().map(|incident| incident.cause).collect();
    assert_eq!(causes, [Cause::ClosedWithoutResponse; 40]);
}

#[test]
fn a_refusal_that_explains_a_failure_is_not_told_of_what_was_served_meanwhile() {
    let mut scene = Scene::default();
    for nth in 0..3 {
        scene.serve(nth, FAST);
    }
    scene.pause(1000);
    let request = "GET /number-9-of-them HTTP/1.1\r\nHost: app.lab\r\n\r\n";
    let mut failing = scene.connect((CLIENT, 40_000), FRONT);
    failing.ask(&mut scene, ASK);
    scene.pause(400);
    let mut served = scene.connect((CLIENT, 40_001), FRONT);
    served.ask(&mut scene, request);
    scene.refuse(50_000);
    let mut up = scene.connect((HOST, 50_001), FAST);
    up.ask(&mut scene, request);
    up.answer(&mut scene, OK);
    served.answer(&mut scene, OK);
    scene.pause(400);
    failing.answer(&mut scene, BAD_GATEWAY);
    let incidents = scene.incidents();
    let told: Vec<_> = incidents.iter().map(|incident| (incident.kind, incident.cause)).collect();
    assert_eq!(told, [(Kind::GatewayError, Cause::ConnectRefused)]);
}

/// Requests that come in clear, while the gateway asks its upstream for the same on account of somebody inside of TLS, who is
/// answered first or last.
fn beside_what_nobody_sees(answered_first: bool, closes: bool) -> Vec<Incident> {
    let mut scene = Scene::default();
    for nth in 0..3 {
        scene.serve(nth, FAST);
    }
    let request = "GET /number-9-of-them HTTP/1.1\r\nHost: app.lab\r\n\r\n";
    for nth in 0..20 {
        let mut down = scene.connect((CLIENT, 40_000 + nth), FRONT);
        down.ask(&mut scene, request);
        let mut attempts =
            [true, false].map(|own| (own, scene.connect((HOST, 50_000 + 2 * nth + u16::from(own)), FAST)));
        for (_, attempt) in &mut attempts {
            attempt.ask(&mut scene, request);
            scene.pause(300);
        }
        if answered_first {
            attempts.reverse();
        }
        for (own, attempt) in &mut attempts {
            scene.pause(2000);
            attempt.answer(&mut scene, OK);
            if *own {
                down.answer(&mut scene, OK);
            }
            if closes {
                attempt.let_go(&mut scene);
            }
        }
        scene.pause(500_000);
    }
    scene.incidents()
}

#[test]
fn what_a_gateway_asks_for_somebody_else_meanwhile_is_no_second_attempt() {
    for (answered_first, closes) in [(false, false), (false, true), (true, false), (true, true)] {
        let incidents = beside_what_nobody_sees(answered_first, closes);
        assert!(incidents.is_empty(), "{answered_first}, {closes}: {incidents:?}");
    }
}

/// Fifty identical requests at a time, ten times: nobody listens.
fn storm() -> Vec<Incident> {
    let mut scene = Scene::default();
    for turn in 0..10 {
        let clients = (0..50).map(|nth| (CLIENT, 20_000 + turn * 50 + nth));
        let mut down: Vec<_> = clients.map(|client| scene.connect(client, FRONT)).collect();
        down.iter_mut().for_each(|talk| talk.ask(&mut scene, ASK));
        for nth in 0..50 {
            scene.refuse(30_000 + turn * 50 + nth);
        }
        down.iter_mut().for_each(|talk| talk.answer(&mut scene, BAD_GATEWAY));
        scene.pause(1000);
    }
    scene.serve(9000, FAST);
    // What settles now knows that the gateway's upstreams can be seen.
    scene.pause(2_000_000);
    scene.serve(9001, FAST);
    scene.incidents()
}

#[test]
fn failures_that_are_all_alike_are_dealt_out_and_no_pairing_is_called_sure() {
    let incidents = storm();
    let refused = incidents.iter().filter(|incident| incident.cause == Cause::ConnectRefused).count();
    assert_eq!((incidents.len(), refused), (500, 500));
    assert!(
        incidents.iter().all(|incident| incident.attempts.iter().all(|attempt| attempt.pairing < Pairing::Certain))
    );
}

const BACK: [u8; 4] = [10, 50, 2, 1];
const APP: End = ([10, 50, 2, 2], 9000);
const DOWN: End = ([10, 50, 2, 2], 9009);

impl Scene {
    /// A request that `APP` serves after `us`, and right before, if so wanted, `DOWN` refuses.
    fn served_by_app(&mut self, nth: u16, refused: bool, us: i64) {
        // The first one tells whose attempts these are.
        let request = if nth == 0 { "GET /number-0-of-them HTTP/1.1\r\nHost: app.lab\r\n\r\n" } else { ASK };
        let mut down = self.connect((CLIENT, 20_000 + nth), FRONT);
        down.ask(self, request);
        if refused {
            self.refused_by(nth);
        }
        let mut up = self.connect((BACK, 40_000 + nth), APP);
        up.ask(self, request);
        self.pause(us);
        up.answer(self, OK);
        down.answer(self, OK);
        self.pause(300_000);
    }

    fn refused_by(&mut self, nth: u16) {
        let gateway = (BACK, 50_000 + nth);
        self.send((gateway, DOWN), "S", (999, 0), b"");
        self.send((DOWN, gateway), "RA", (0, 1000), b"");
    }

    /// Whose failures were hidden by a retry, by the client's port.
    fn masked(&self) -> Vec<u16> {
        let incidents = self.incidents();
        assert!(incidents.iter().all(|told| told.kind == Kind::Masked), "{incidents:?}");
        let client = |told: &Incident| told.downstream.as_ref().unwrap().client.port();
        incidents.iter().map(client).collect()
    }
}

/// Whether nobody needed a connection is seldom certain where nothing tells whose it was.
#[test]
fn a_connection_that_nobody_needed_makes_no_probes_of_those_that_retries_explain() {
    let mut scene = Scene::default();
    scene.served_by_app(0, false, 1000);
    scene.refused_by(1000);
    scene.pause(2_000_000);
    for nth in 1..20 {
        scene.served_by_app(nth, true, 1000);
    }
    let told = scene.masked();
    assert!(told.len() >= 12 && told.contains(&20_019), "{told:?}");
}

/// Somebody looks every 50 ms whether the endpoint accepts; it happens now and then that a request has just come.
#[test]
fn what_looks_like_a_retry_now_and_then_is_none_where_endpoints_are_probed() {
    let mut scene = Scene::default();
    scene.served_by_app(0, false, 1000);
    for nth in 0..60 {
        scene.refused_by(1000 + nth);
        scene.pause(50_000);
        if nth % 20 == 19 {
            scene.served_by_app(nth, true, 1000);
        }
    }
    assert!(scene.masked().is_empty());
}

#[test]
fn of_two_requests_that_a_refusal_would_fit_it_is_the_first_ones() {
    let mut scene = Scene::default();
    scene.served_by_app(0, false, 1000);
    let mut down = [1, 2].map(|nth| scene.connect((CLIENT, 20_000 + nth), FRONT));
    down.iter_mut().for_each(|talk| talk.ask(&mut scene, ASK));
    scene.refused_by(1);
    let mut up = [1, 2].map(|nth| scene.connect((BACK, 40_000 + nth), APP));
    up.iter_mut().for_each(|talk| talk.ask(&mut scene, ASK));
    for (up, down) in up.iter_mut().zip(&mut down) {
        scene.pause(3000);
        up.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
    }
    assert_eq!(scene.masked(), [20_001]);
}

/// Two requests at once, each to an upstream of its own that nobody answers for.
#[test]
fn connections_that_nobody_answers_are_told_in_the_order_of_the_requests() {
    let mut scene = Scene::default();
    scene.served_by_app(0, false, 1000);
    let mut down = [1, 2].map(|nth| scene.connect((CLIENT, 20_000 + nth), FRONT));
    for (talk, target) in down.iter_mut().zip(["/one", "/two"]) {
        talk.ask(&mut scene, &format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    scene.pause(40);
    for _ in 0..2 {
        for nth in [1, 2] {
            scene.send(((BACK, 50_000 + nth), ([10, 50, 2, 2], 9000 + nth)), "S", (999, 0), b"");
            scene.pause(60);
        }
        scene.pause(1_000_000);
    }
    for talk in &mut down {
        talk.answer(&mut scene, "HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 3\r\n\r\nbad");
    }
    scene.pause(9_000_000);
    scene.served_by_app(3, false, 1000);
    let incidents = scene.incidents();
    let mut told: Vec<_> = incidents
        .iter()
        .map(|told| {
            assert!(told.cause == Cause::ConnectTimeout && told.attempts[0].pairing < Pairing::Certain, "{told:?}");
            (told.downstream.as_ref().unwrap().client.port(), told.attempts[0].upstream.unwrap().port())
        })
        .collect();
    told.sort_unstable();
    assert_eq!(told, [(20_001, 9001), (20_002, 9002)]);
}

/// Which attempt served the other one is known by time alone; but it has nothing to do with this.
#[test]
fn a_failure_that_fits_one_exchange_closely_and_no_other_is_told_though_others_are_open() {
    let mut scene = Scene::default();
    scene.served_by_app(0, false, 1000);
    let mut slow = scene.connect((CLIENT, 20_001), FRONT);
    slow.ask(&mut scene, ASK);
    let mut behind_it = scene.connect((BACK, 40_001), APP);
    behind_it.ask(&mut scene, ASK);
    scene.pause(10_000);
    let other = "GET /t HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut down = scene.connect((CLIENT, 20_002), FRONT);
    down.ask(&mut scene, other);
    let mut failing = scene.connect((BACK, 40_002), DOWN);
    failing.ask(&mut scene, other);
    scene.pause(3000);
    failing.close(&mut scene);
    let mut up = scene.connect((BACK, 40_003), APP);
    up.ask(&mut scene, other);
    scene.pause(3000);
    up.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    scene.pause(10_000);
    behind_it.answer(&mut scene, OK);
    slow.answer(&mut scene, OK);
    assert_eq!(scene.masked(), [20_002]);
}
