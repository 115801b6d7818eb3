//! Verdicts on conversations that are built packet by packet: what a rule may say, and above all what it may not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;

use netwatch502::analysis::{Analysis, News};
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident, Kind};
use netwatch502::diagnose::product::Product;
use netwatch502::flow::share::Share;
use netwatch502::limits::Limits;
use netwatch502::report::{Style, text};
use packets::{End, Packet, segment};

const CLIENT: [u8; 4] = [10, 50, 1, 2];
const FRONT: End = ([10, 50, 1, 1], 8080);
const BACK: [u8; 4] = [10, 50, 2, 1];
const APP: End = ([10, 50, 2, 2], 9000);

/// Packets in the order in which they are added, 0.1 ms apart.
#[derive(Default)]
struct Scene {
    now_ms: i64,
    packets: Vec<Packet>,
}

impl Scene {
    fn at(&mut self, ms: i64) -> &mut Self {
        self.now_ms = ms;
        self
    }

    /// A connection, opened within 0.3 ms.
    fn connect(&mut self, client: End, server: End) -> Talk {
        let mut talk = Talk { client, server, sent: 1000, answered: 2000 };
        self.syn(client, server);
        self.send((server, client), "SA", (1999, 1000), b"");
        talk.acknowledge(self);
        talk
    }

    fn syn(&mut self, client: End, server: End) {
        self.send((client, server), "S", (999, 0), b"");
    }

    fn refuse(&mut self, client: End, server: End) {
        self.syn(client, server);
        self.send((server, client), "RA", (0, 1000), b"");
    }

    fn send(&mut self, way: (End, End), flags: &str, numbers: (u32, u32), data: &[u8]) {
        let number = self.packets.len() as u64 + 1;
        let at_ns = 1_795_181_638_000_000_000 + self.now_ms * 1_000_000 + number as i64 * 100_000;
        self.packets.push(Packet { number, ..segment(at_ns, way, flags, numbers, data) });
    }

    /// The only incident.
    fn incident(&self) -> Incident {
        let mut incidents = self.incidents();
        assert_eq!(incidents.len(), 1, "{:#?}", incidents.iter().map(summary).collect::<Vec<_>>());
        incidents.remove(0)
    }

    fn incidents(&self) -> Vec<Incident> {
        packets::analyse(&self.packets, &Limits::default()).incidents
    }
}

/// A connection and how far its sides have come.
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

    fn acknowledge(&mut self, scene: &mut Scene) {
        scene.send((self.client, self.server), "A", (self.sent, self.answered), b"");
    }

    fn client_closes(&mut self, scene: &mut Scene, flags: &str) {
        scene.send((self.client, self.server), flags, (self.sent, self.answered), b"");
        self.sent += 1;
    }

    fn server_closes(&mut self, scene: &mut Scene, flags: &str) {
        scene.send((self.server, self.client), flags, (self.answered, self.sent), b"");
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: id-of-{}\r\n\r\n", target.replace('/', "-"))
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const BAD_GATEWAY: &str = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad";

fn summary(incident: &Incident) -> String {
    format!("{:?} {} {:?}: {}", incident.kind, incident.cause, incident.grade, incident.why)
}

fn is_candidate(incident: &Incident, cause: Cause) -> bool {
    incident.candidates.iter().any(|candidate| candidate.cause == Some(cause))
}

fn is_ruled_out(incident: &Incident, cause: Cause) -> bool {
    incident.ruled_out.iter().any(|row| row.cause == cause)
}

/// A request that the upstream resets `after_ms` with all of it acknowledged: on a connection that was used before, or not.
fn reset_after(after_ms: i64, reused: bool) -> Incident {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    let mut at = 10;
    if reused {
        down.ask(&mut scene, &get("/first"));
        up.ask(&mut scene, &get("/first"));
        up.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
        at += 5000;
    }
    scene.at(at);
    down.ask(&mut scene, &get("/second"));
    up.ask(&mut scene, &get("/second"));
    scene.at(at + after_ms);
    up.server_closes(&mut scene, "RA");
    down.answer(&mut scene, BAD_GATEWAY);
    scene.incident()
}

#[test]
fn a_reset_of_a_reused_connection_does_not_prove_that_the_request_was_read() {
    let incident = reset_after(20, true);
    assert_eq!((incident.cause, incident.grade), (Cause::ResetWithoutResponse, Grade::Consistent));
    assert!(is_candidate(&incident, Cause::KeepaliveRace) && !is_ruled_out(&incident, Cause::KeepaliveRace));
}

#[test]
fn a_reset_by_a_listener_that_answers_nobody_does_not_prove_that_the_request_was_read() {
    let incident = reset_after(20, false);
    assert_eq!((incident.cause, incident.grade), (Cause::ResetWithoutResponse, Grade::Consistent));
    assert!(is_candidate(&incident, Cause::ConnectReset));
}

#[test]
fn a_reset_long_after_the_request_proves_that_the_upstream_had_it() {
    let incident = reset_after(3000, true);
    assert_eq!((incident.cause, incident.grade), (Cause::ResetWithoutResponse, Grade::Proven));
    assert!(is_ruled_out(&incident, Cause::KeepaliveRace));
}

const NGINX_502: &str = "HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.22.1\r\nDate: Fri, 20 Nov 2026 13:42:56 GMT\r\n\
    Content-Type: text/html\r\nContent-Length: 157\r\n\r\n<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
const OTHER_APP: End = ([10, 50, 2, 3], 9000);

/// A gateway that has served `/app/…` from one upstream and `/shop/…` from another.
fn two_pools(scene: &mut Scene) -> Talk {
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    for (at, port, target, upstream) in [(10, 50_000, "/app/1", APP), (30, 50_001, "/shop/1", OTHER_APP)] {
        scene.at(at);
        down.ask(scene, &get(target));
        let mut up = scene.connect((BACK, port), upstream);
        up.ask(scene, &get(target));
        up.answer(scene, OK);
        down.answer(scene, OK);
    }
    down
}

/// Such a gateway, asked once more for `/app/…`, on both legs.
fn asked_again() -> (Scene, Talk, Talk) {
    let mut scene = Scene::default();
    let mut down = two_pools(&mut scene);
    scene.at(1000);
    down.ask(&mut scene, &get("/app/2"));
    let mut up = scene.connect((BACK, 50_002), APP);
    up.ask(&mut scene, &get("/app/2"));
    (scene, down, up)
}

/// A request to which nobody listens, and one that the gateway answers `wait_ms` later without asking anybody.
fn refused_then(target: &str, wait_ms: i64) -> Incident {
    let mut scene = Scene::default();
    let mut down = two_pools(&mut scene);
    scene.at(1000);
    down.ask(&mut scene, &get("/app/2"));
    scene.refuse((BACK, 50_002), APP);
    down.answer(&mut scene, NGINX_502);
    scene.at(3000);
    down.ask(&mut scene, &get(target));
    scene.at(3000 + wait_ms);
    down.answer(&mut scene, NGINX_502);
    scene.incidents().pop().unwrap()
}

#[test]
fn a_kept_connection_that_is_closed_as_a_request_comes_may_have_been_idle_for_too_long() {
    let mut scene = Scene::default();
    let mut down = two_pools(&mut scene);
    scene.at(5030);
    down.ask(&mut scene, &get("/app/2"));
    down.server_closes(&mut scene, "FA");
    let incident = scene.incident();
    assert_eq!((incident.cause, incident.grade), (Cause::NoUpstreamAttempt, Grade::Undetermined));
    assert_eq!(
        incident.why,
        "closed 100 µs after the request, on a connection idle for 5.000 s before; nothing was sent"
    );
    let says = |what: &str| incident.candidates.iter().any(|candidate| candidate.what.contains(what));
    assert!(says("clients send such a request again") && says("had just been closed"), "{:#?}", incident.candidates);
}

#[test]
fn no_upstream_is_left_where_the_only_one_of_the_pool_has_failed() {
    let incident = refused_then("/app/3", 0);
    assert_eq!((incident.cause, incident.detail), (Cause::NoUpstreamAttempt, Some("no_live_upstreams")));
    assert!(
        incident.summary.ends_with("In the 10 s before: 1 connection failure to 10.50.2.2:9000"),
        "{}",
        incident.summary
    );
    assert!(incident.candidates.iter().any(|candidate| candidate.what.contains("leave no TCP packet")));
}

#[test]
fn the_failure_of_another_pool_leaves_the_reason_open() {
    let incident = refused_then("/shop/2", 0);
    assert_eq!((incident.cause, incident.detail), (Cause::NoUpstreamAttempt, None));
    assert_eq!(incident.grade, Grade::Undetermined);
}

#[test]
fn a_gateway_that_answers_late_may_have_had_upstreams() {
    let incident = refused_then("/app/3", 2000);
    assert_eq!((incident.cause, incident.detail), (Cause::NoUpstreamAttempt, None));
}

#[test]
fn an_error_that_was_passed_on_takes_no_upstream_out() {
    let (mut scene, mut down, mut up) = asked_again();
    up.answer(&mut scene, BAD_GATEWAY);
    down.answer(&mut scene, BAD_GATEWAY);
    scene.at(3000);
    down.ask(&mut scene, &get("/app/3"));
    down.answer(&mut scene, NGINX_502);
    let incidents = scene.incidents();
    let causes: Vec<_> = incidents.iter().map(|incident| (incident.cause, incident.detail)).collect();
    assert_eq!(causes, [(Cause::RelayedError, None), (Cause::NoUpstreamAttempt, None)]);
}

#[test]
fn a_failed_connection_to_another_pool_is_no_failure_behind_a_success() {
    let masked = |target: &str| {
        let mut scene = Scene::default();
        let mut down = two_pools(&mut scene);
        scene.at(1000);
        down.ask(&mut scene, &get(target));
        scene.refuse((BACK, 50_002), OTHER_APP);
        let mut up = scene.connect((BACK, 50_003), APP);
        up.ask(&mut scene, &get(target));
        up.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
        scene.incidents().len()
    };
    assert_eq!((masked("/app/2"), masked("/new/1")), (0, 1));
}

#[test]
fn a_gateway_that_was_slow_to_begin_tried_again_all_the_same() {
    let masked = |others: bool| {
        let mut scene = Scene::default();
        let mut down = two_pools(&mut scene);
        let mut other = scene.connect((CLIENT, 40_001), FRONT);
        scene.at(1000);
        if others {
            other.ask(&mut scene, &get("/shop/2"));
        }
        down.ask(&mut scene, &get("/app/2"));
        scene.at(1025);
        scene.refuse((BACK, 50_002), ([10, 50, 2, 4], 9000));
        let mut up = scene.connect((BACK, 50_003), APP);
        up.ask(&mut scene, &get("/app/2"));
        up.answer(&mut scene, OK);
        down.answer(&mut scene, OK);
        scene.incidents().iter().filter(|incident| incident.kind == Kind::Masked).count()
    };
    // Where another request was open, it may have been that one's.
    assert_eq!((masked(false), masked(true)), (1, 0));
}

/// What a capture at `host` holds, on Linux's cooked link: each packet says whether it came in or went out.
fn seen_at(host: [u8; 4], packets: &[Packet]) -> Vec<Packet> {
    seen_where(|from, _| from == host, packets)
}

/// What a capture holds that says of each packet, by the addresses from and to which it goes, whether it came in or went out.
fn seen_where(goes_out: impl Fn([u8; 4], [u8; 4]) -> bool, packets: &[Packet]) -> Vec<Packet> {
    let address = |packet: &Packet, at: usize| packet.octets.get(at..at + 4).unwrap().try_into().unwrap();
    let cooked = |packet: &Packet| {
        let outgoing = goes_out(address(packet, 26), address(packet, 30));
        let mut octets = vec![0, if outgoing { 4 } else { 0 }, 0, 1, 0, 6, 2, 2, 2, 2, 2, 2, 0, 0, 8, 0];
        octets.extend(packet.octets.get(14..).unwrap());
        Packet { link: 113, length: octets.len() as u32, octets, ..packet.clone() }
    };
    packets.iter().map(cooked).collect()
}

fn one_leg(host: [u8; 4], response: &str, request: &str) -> Incident {
    let mut scene = Scene::default();
    let mut talk = scene.connect((CLIENT, 40_000), FRONT);
    talk.ask(&mut scene, request);
    talk.answer(&mut scene, response);
    scene.packets = seen_at(host, &scene.packets);
    scene.incident()
}

#[test]
fn a_gateway_that_keeps_its_clients_addresses_asks_from_them() {
    let clients: [[u8; 4]; 3] = [CLIENT, [10, 50, 1, 3], [10, 50, 1, 4]];
    let mut scene = Scene::default();
    for client in clients {
        let mut down = scene.connect((client, 40_000), FRONT);
        down.ask(&mut scene, &get("/app/1"));
        scene.refuse((client, 50_000), APP);
        down.answer(&mut scene, NGINX_502);
    }
    // What is its own is sent out; so is what goes to the upstream.
    scene.packets = seen_where(|from, to| from == FRONT.0 || to == APP.0, &scene.packets);
    let incidents = scene.incidents();
    let found: Vec<_> = incidents.iter().map(|incident| (incident.cause, incident.attempts.len())).collect();
    assert_eq!(found, [(Cause::ConnectRefused, 1); 3]);
    let clients_of = |incident: &Incident| incident.downstream.as_ref().unwrap().client.ip();
    assert!(incidents.iter().all(|incident| incident.attempts[0].gateway.ip() == clients_of(incident)));
}

#[test]
fn a_gateway_s_own_error_page_seen_at_its_client_says_nothing_of_the_upstream() {
    let incident = one_leg(CLIENT, NGINX_502, &get("/app/1"));
    assert_eq!((incident.kind, incident.cause), (Kind::GatewayError, Cause::UpstreamNotCaptured));
    assert_eq!((incident.grade, incident.product), (Grade::Undetermined, Some(Product::Nginx)));
    assert_eq!(incident.downstream.unwrap().gateway, FRONT.into());
}

#[test]
fn an_error_on_one_leg_is_proven_to_be_the_application_s_only_where_a_gateway_asked() {
    let incident = one_leg(CLIENT, BAD_GATEWAY, &get("/app/1"));
    assert_eq!((incident.cause, incident.grade), (Cause::RelayedError, Grade::Consistent));
    assert!(is_candidate(&incident, Cause::UpstreamNotCaptured));
    let forwarded = get("/app/1").replace("\r\n\r\n", "\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
    let incident = one_leg(CLIENT, BAD_GATEWAY, &forwarded);
    assert_eq!((incident.cause, incident.grade), (Cause::RelayedError, Grade::Proven));
}

const HAPROXY_502: &str = "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 107\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n\
    <html><body><h1>502 Bad Gateway</h1>\nThe server returned an invalid or incomplete response.\n</body></html>\n";

#[test]
fn of_two_gateways_on_one_host_each_has_its_own_product() {
    let inner: End = ([127, 0, 0, 1], 8081);
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut middle = scene.connect(([127, 0, 0, 1], 45_000), inner);
    let mut at = 0;
    let mut ask = |scene: &mut Scene, target: &str, port: u16| {
        at += 100;
        scene.at(at);
        down.ask(scene, &get(target));
        middle.ask(scene, &get(target));
        if port > 0 {
            let mut up = scene.connect((BACK, port), APP);
            up.ask(scene, &get(target));
            up.server_closes(scene, "RA");
            middle.answer(scene, NGINX_502);
            down.answer(scene, NGINX_502);
        } else {
            middle.server_closes(scene, "FA");
            down.answer(scene, HAPROXY_502);
        }
    };
    ask(&mut scene, "/app/1", 50_000);
    ask(&mut scene, "/app/2", 50_001);
    ask(&mut scene, "/app/3", 0);
    let found: Vec<_> = scene.incidents().iter().map(|incident| (incident.cause, incident.product)).collect();
    let reset = (Cause::ConnectReset, Some(Product::Nginx));
    assert_eq!(found, [reset, reset, (Cause::ClosedWithoutResponse, Some(Product::Haproxy))]);
}

#[test]
fn an_empty_success_after_the_client_s_fin_is_the_client_s_abort() {
    let (mut scene, mut down, mut up) = asked_again();
    scene.at(1500);
    down.client_closes(&mut scene, "FA");
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "HTTP/1.1 200 OK\r\nServer: Caddy\r\nContent-Length: 0\r\n\r\n");
    let incident = scene.incident();
    assert_eq!((incident.kind, incident.cause), (Kind::ClientAbort, Cause::ClientAbort));
}

/// The upstream's leg alone: a good exchange, then a response with a header section of `octets`, after which the gateway closes.
fn hung_up_after(octets: usize, after_ms: i64) -> Vec<Incident> {
    let mut scene = Scene::default();
    let mut up = scene.connect((BACK, 50_000), APP);
    let ask = |target: &str| get(target).replace("\r\n\r\n", "\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
    up.ask(&mut scene, &ask("/app/1"));
    up.answer(&mut scene, OK);
    up.ask(&mut scene, &ask("/app/2"));
    let field = format!("Set-Cookie: {}\r\n\r\n", "c".repeat(octets));
    up.answer(&mut scene, &OK.replace("\r\n\r\n", &format!("\r\n{field}")));
    scene.at(after_ms);
    up.client_closes(&mut scene, "FA");
    scene.packets = seen_at(BACK, &scene.packets);
    scene.incidents()
}

#[test]
fn without_the_client_s_leg_a_gateway_that_hangs_up_on_a_large_header_section_is_reported() {
    let incidents = hung_up_after(9000, 5);
    let found: Vec<_> = incidents.iter().map(|incident| (incident.cause, incident.grade)).collect();
    assert_eq!(found, [(Cause::ResponseHeaderTooLarge, Grade::Consistent)]);
    assert!(hung_up_after(9000, 5000).is_empty(), "an idle connection was closed");
    assert!(hung_up_after(500, 5).is_empty(), "a small header section");
}

/// An upstream on the gateway's own host, and another one there.
const LOOPBACK: [u8; 4] = [127, 0, 0, 1];
const OWN_APP: End = (LOOPBACK, 9000);
const OWN_OTHER: End = (LOOPBACK, 9001);

fn plain_get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: app.lab\r\n\r\n")
}

#[test]
fn clients_that_ask_for_the_same_at_once_are_no_gateway() {
    let mut scene = Scene::default();
    let mut talks: Vec<(Talk, Talk)> = Vec::new();
    // Each client's request comes while the attempt for the one before is under way, and looks like it.
    for n in 0..4_u16 {
        scene.at(i64::from(n) * 10);
        let mut client = scene.connect(([10, 50, 1, 10 + n as u8], 40_000), FRONT);
        client.ask(&mut scene, &plain_get("/the-same-page"));
        let mut attempt = scene.connect((LOOPBACK, 50_000 + n), OWN_APP);
        attempt.ask(&mut scene, &plain_get("/the-same-page"));
        if let Some((before, tried)) = talks.last_mut() {
            tried.answer(&mut scene, OK);
            before.answer(&mut scene, OK);
        }
        talks.push((client, attempt));
    }
    let report = packets::analyse(&scene.packets, &Limits::default());
    let addresses: Vec<_> = report.gateways.iter().map(|gateway| gateway.addresses.clone()).collect();
    assert_eq!(addresses, [[FRONT.0, LOOPBACK].map(std::net::IpAddr::from)]);
    assert_eq!((report.incidents.len(), report.totals.exchanges), (0, 4));
}

#[test]
fn what_a_gateway_asks_on_its_own_host_is_not_asked_by_its_upstream() {
    let mut scene = Scene::default();
    let mut failing = scene.connect((CLIENT, 40_000), FRONT);
    failing.ask(&mut scene, &plain_get("/the-one-that-fails"));
    let mut attempt = scene.connect((LOOPBACK, 50_000), OWN_OTHER);
    attempt.ask(&mut scene, &plain_get("/the-one-that-fails"));
    // Somebody else on the host asks another server there, for no client.
    let mut other = scene.connect((LOOPBACK, 50_001), OWN_APP);
    other.ask(&mut scene, &plain_get("/what-nobody-asked-for"));
    other.answer(&mut scene, OK);
    attempt.server_closes(&mut scene, "FA");
    failing.answer(&mut scene, BAD_GATEWAY);
    let incident = scene.incident();
    assert_eq!(incident.cause, Cause::ClosedWithoutResponse, "{}", summary(&incident));
    assert_eq!(incident.attempts.len(), 1, "{}", summary(&incident));
}

/// The identifiers of the incidents that have settled.
fn settled(told: &[News]) -> Vec<u32> {
    let id = |news: &News| match news {
        News::Settled { incident, .. } => Some(incident.id),
        News::Provisional(_) => None,
    };
    told.iter().filter_map(id).collect()
}

/// An upstream that served once, and refuses five connections.
fn refused_five_times() -> Scene {
    let mut scene = Scene::default();
    let mut client = scene.connect((CLIENT, 40_100), FRONT);
    client.ask(&mut scene, &get("/well"));
    let mut attempt = scene.connect((BACK, 50_100), APP);
    attempt.ask(&mut scene, &get("/well"));
    attempt.answer(&mut scene, OK);
    client.answer(&mut scene, OK);
    for n in 0..5_u16 {
        scene.at(i64::from(n + 1) * 600);
        let mut client = scene.connect((CLIENT, 40_000 + n), FRONT);
        client.ask(&mut scene, &get(&format!("/order/{n}")));
        scene.refuse((BACK, 50_000 + n), APP);
        client.answer(&mut scene, BAD_GATEWAY);
    }
    scene
}

#[test]
fn what_is_said_of_all_incidents_counts_those_beyond_the_limit() {
    let scene = refused_five_times();
    let whole = packets::analyse(&scene.packets, &Limits::default());
    let cut = packets::analyse(&scene.packets, &Limits { incidents: 3, ..Limits::default() });
    assert_eq!((cut.incidents.len(), cut.totals.unlisted_incidents), (3, 2));
    let [[whole_episode], [cut_episode]] = [&whole, &cut].map(|report| &report.episodes[..]) else {
        panic!("one episode")
    };
    assert_eq!((cut_episode.kind, cut_episode.last), (whole_episode.kind, whole_episode.last));
    assert_eq!(cut_episode.summary, whole_episode.summary);
    assert_eq!(cut.do_first, whole.do_first);
    assert!(cut.do_first[0].contains("5 times"), "{:?}", cut.do_first);
}

#[test]
fn incidents_beyond_the_limit_are_told_and_counted() {
    let scene = refused_five_times();
    let limits = Limits { incidents: 2, ..Limits::default() };
    let mut analysis = Analysis::new(&limits, Gateways::told(&[]), Question::default(), None).live();
    let mut told = Vec::new();
    for packet in &scene.packets {
        analysis.take(&packet.captured());
        told.extend(analysis.news());
    }
    let meanwhile = settled(&told).len();
    analysis.end();
    told.extend(analysis.news());
    assert!((2..5).contains(&meanwhile), "{meanwhile} before the end");
    assert_eq!(settled(&told), [1, 2, 3, 4, 5]);
    let report = analysis.finish();
    let totals = &report.totals;
    assert_eq!((report.incidents.len(), totals.gateway_errors, totals.unlisted_incidents), (2, 5, 3));
    let mut text = Vec::new();
    text::summary(&report, &Style::default(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let row = text.lines().find(|line| line.starts_with("connect_refused  ")).unwrap();
    assert!(row.split_whitespace().skip(1).take(4).eq(["5", "0", "5", "proven"]), "{text}");
}

/// What is found where only a share of the connections is followed from the second request on. The upstream's connection is
/// held by the share, or it is not.
fn followed_in_part(holds: bool) -> Incident {
    let share = Share::of(32);
    let (client, front) =
        (40_000..41_000).map(|port| (port, share.holds(port, FRONT.1))).find(|(_, held)| *held).unwrap();
    assert!(front);
    let back = (50_000..51_000).find(|port| share.holds(*port, APP.1) == holds).unwrap();
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, client), FRONT);
    let mut up = scene.connect((BACK, back), APP);
    for (at, answer) in [(100, OK), (1000, "")] {
        scene.at(at);
        down.ask(&mut scene, &get("/app/1"));
        up.ask(&mut scene, &get("/app/1"));
        if answer.is_empty() {
            up.server_closes(&mut scene, "FA");
            down.answer(&mut scene, NGINX_502);
        } else {
            up.answer(&mut scene, answer);
            down.answer(&mut scene, answer);
        }
    }
    let start = scene.packets.first().unwrap().at_ns;
    let mut analysis = Analysis::new(&Limits::default(), Gateways::told(&[]), Question::default(), None);
    let mut all = true;
    for packet in &scene.packets {
        if all && packet.at_ns - start > 500_000_000 {
            analysis.follow(share);
            all = false;
        }
        analysis.take(&packet.captured());
    }
    analysis.end();
    let mut report = analysis.finish();
    assert_eq!(report.incidents.len(), 1);
    report.incidents.remove(0)
}

#[test]
fn nothing_is_proven_where_not_all_connections_are_followed() {
    let seen = followed_in_part(true);
    assert_eq!((seen.cause, seen.grade), (Cause::ClosedWithoutResponse, Grade::Consistent));
    let unseen = followed_in_part(false);
    assert_eq!((unseen.cause, unseen.grade), (Cause::Unknown, Grade::Undetermined));
    assert!(unseen.not_known.iter().any(|what| what.contains("--max-cpu")), "{:?}", unseen.not_known);
}

/// What the gateway makes of a chunk that is none, having passed the header section on.
#[test]
fn a_chunk_that_made_the_gateway_hang_up_is_the_cause_even_where_the_client_s_answer_looks_whole() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    scene.at(10);
    down.ask(&mut scene, &get("/chunks"));
    up.ask(&mut scene, &get("/chunks"));
    up.answer(&mut scene, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n");
    up.acknowledge(&mut scene);
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let incident = scene.incident();
    assert_eq!(
        (incident.kind, incident.cause),
        (Kind::BrokenSuccess, Cause::MalformedResponse),
        "{}",
        summary(&incident)
    );
}

/// A header section beyond what is read of one, which the gateway passes on, and whose client leaves afterwards.
#[test]
fn a_header_section_too_long_to_be_read_makes_nobody_fail() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    scene.at(10);
    down.ask(&mut scene, &get("/long"));
    up.ask(&mut scene, &get("/long"));
    for way in [&mut up, &mut down] {
        way.answer(&mut scene, "HTTP/1.1 200 OK\r\n");
        for field in 0..300 {
            way.answer(&mut scene, &format!("X-Field-{field}: {}\r\n", "v".repeat(1000)));
            way.acknowledge(&mut scene);
        }
        way.answer(&mut scene, "Content-Length: 2\r\n\r\nok");
        way.acknowledge(&mut scene);
    }
    scene.at(200);
    up.server_closes(&mut scene, "FA");
    down.client_closes(&mut scene, "FA");
    let told: Vec<String> = scene.incidents().iter().map(summary).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn a_response_that_ends_with_its_connection_is_not_stalled_where_the_upstream_s_close_is_missing() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    scene.at(10);
    down.ask(&mut scene, &get("/ends"));
    up.ask(&mut scene, &get("/ends"));
    up.answer(&mut scene, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok");
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, OK);
    let told: Vec<String> = scene.incidents().iter().map(summary).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn a_response_with_a_hole_in_it_may_have_been_passed_on_whole() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    let (begins, ends) = ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "\r\n0\r\n\r\n");
    scene.at(10);
    down.ask(&mut scene, &get("/hole"));
    up.ask(&mut scene, &get("/hole"));
    up.answer(&mut scene, &format!("{begins}64\r\n{}{ends}", "x".repeat(100)));
    down.answer(&mut scene, begins);
    // Not captured: the chunk's size line and its content.
    down.answered += 104;
    down.acknowledge(&mut scene);
    down.answer(&mut scene, ends);
    down.server_closes(&mut scene, "FA");
    let told: Vec<String> = scene.incidents().iter().map(summary).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn a_reset_behind_an_answer_that_was_not_captured_is_no_refusal_to_read() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    scene.at(10);
    down.ask(&mut scene, &get("/unseen"));
    up.ask(&mut scene, &get("/unseen"));
    up.answered += 40;
    up.server_closes(&mut scene, "RA");
    down.answer(&mut scene, BAD_GATEWAY);
    let incident = scene.incident();
    assert_ne!(incident.cause, Cause::ConnectReset, "{}", summary(&incident));
    assert_ne!(incident.grade, Grade::Proven, "{}", summary(&incident));
}

/// How a gateway fails that took an answer with an unreadable length for one that ends with its connection.
#[test]
fn a_length_that_nobody_can_read_does_not_make_a_response_that_was_served_too_short() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    scene.at(10);
    down.ask(&mut scene, &get("/length"));
    up.ask(&mut scene, &get("/length"));
    up.answer(&mut scene, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nok");
    up.server_closes(&mut scene, "FA");
    down.answer(&mut scene, OK);
    let told: Vec<String> = scene.incidents().iter().map(summary).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[test]
fn an_answer_that_comes_as_the_gateway_s_time_runs_out_came_too_late() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    scene.at(10);
    down.ask(&mut scene, &get("/late"));
    up.ask(&mut scene, &get("/late"));
    scene.at(3200);
    up.answer(&mut scene, OK);
    down.answer(&mut scene, "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 3\r\n\r\nbad");
    let incident = scene.incident();
    assert_eq!((incident.cause, incident.grade), (Cause::ResponseTimeout, Grade::Consistent), "{}", summary(&incident));
}

/// The last packet's receive window becomes 0.
fn shut(scene: &mut Scene) {
    let window = scene.packets.last_mut().and_then(|packet| packet.octets.get_mut(48..50)).unwrap();
    window.fill(0);
}

#[test]
fn an_upstream_that_resets_with_its_window_shut_had_stopped_reading() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    let head = "POST /upload HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: upload-1\r\nContent-Length: 3000\r\n\r\n";
    scene.at(10);
    for way in [&mut down, &mut up] {
        way.ask(&mut scene, head);
        way.ask(&mut scene, &"p".repeat(1000));
    }
    scene.send((APP, (BACK, 50_000)), "A", (up.answered, up.sent), b"");
    shut(&mut scene);
    scene.at(8000);
    up.server_closes(&mut scene, "RA");
    down.answer(&mut scene, BAD_GATEWAY);
    let incident = scene.incident();
    let said = (incident.cause, incident.grade);
    assert_eq!(said, (Cause::UpstreamNotReading, Grade::Consistent), "{}", summary(&incident));
    assert!(is_candidate(&incident, Cause::ResetWithoutResponse));
}

/// The gateway closes on its client alone, right behind the repetition of a segment that the upstream had no room for.
#[test]
fn a_segment_that_is_sent_twice_is_no_lost_request() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    let head = "POST /upload HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: upload-1\r\nContent-Length: 1000\r\n\r\n";
    scene.at(10);
    for way in [&mut down, &mut up] {
        way.ask(&mut scene, head);
        way.ask(&mut scene, &"p".repeat(1000));
    }
    let again = ((BACK, 50_000), APP);
    scene.send(again, "PA", (up.sent - 1000, up.answered), "p".repeat(1000).as_bytes());
    down.server_closes(&mut scene, "FA");
    scene.send((APP, (BACK, 50_000)), "A", (up.answered, up.sent), b"");
    let incident = scene.incident();
    assert_ne!(incident.cause, Cause::RequestLost, "{}", summary(&incident));
}

#[test]
fn a_client_that_leaves_while_the_gateway_tries_on_left() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 49_000), APP);
    down.ask(&mut scene, &get("/before"));
    up.ask(&mut scene, &get("/before"));
    up.answer(&mut scene, OK);
    down.answer(&mut scene, OK);
    scene.at(10);
    down.ask(&mut scene, &get("/wait"));
    scene.refuse((BACK, 50_000), APP);
    scene.at(500);
    down.client_closes(&mut scene, "FA");
    scene.at(501);
    down.server_closes(&mut scene, "FA");
    let incident = scene.incident();
    let said = (incident.kind, incident.cause, incident.grade);
    assert_eq!(said, (Kind::ClientAbort, Cause::ClientAbort, Grade::Consistent), "{}", summary(&incident));
    assert!(is_candidate(&incident, Cause::ConnectRefused));
}

/// Two exchanges at once; the gateway closes on one client in silence, and goes on with its attempt.
#[test]
fn an_answer_to_a_gateway_that_was_gone_had_not_come() {
    let mut scene = Scene::default();
    let mut pairs: Vec<[Talk; 2]> = Vec::new();
    for port in 0..4 {
        let asked = get(&format!("/lost-{port}"));
        let mut down = scene.connect((CLIENT, 41_000 + port), FRONT);
        down.ask(&mut scene, &asked);
        let mut up = scene.connect((BACK, 51_000 + port), APP);
        up.ask(&mut scene, &asked);
        pairs.push([down, up]);
    }
    scene.at(600);
    for [down, up] in &mut pairs {
        down.server_closes(&mut scene, "FA");
        up.client_closes(&mut scene, "FA");
    }
    scene.at(900);
    for [_, up] in &mut pairs {
        up.answer(&mut scene, OK);
    }
    let incidents = scene.incidents();
    assert_eq!(incidents.len(), 4);
    for incident in &incidents {
        assert_eq!(incident.cause, Cause::GatewayCrash, "{}", summary(incident));
    }
}

/// Three clients of one server, whose requests it closes on in silence at one moment, and so `times` in two seconds.
fn closed_in_silence(times: u16) -> Vec<Incident> {
    let mut scene = Scene::default();
    for time in 0..times {
        scene.at(i64::from(time) * 2000 / i64::from(times));
        let mut clients: Vec<Talk> = Vec::new();
        for port in 0..3 {
            let mut client = scene.connect((CLIENT, 41_000 + 3 * time + port), FRONT);
            client.ask(&mut scene, &get(&format!("/lost-{time}-{port}")));
            clients.push(client);
        }
        for client in &mut clients {
            client.server_closes(&mut scene, "FA");
        }
    }
    scene.incidents()
}

#[test]
fn who_closes_in_silence_again_and_again_does_not_die_each_time() {
    let crashes = |times| {
        let incidents = closed_in_silence(times);
        assert_eq!(incidents.len(), 3 * usize::from(times));
        incidents.iter().filter(|incident| incident.cause == Cause::GatewayCrash).count()
    };
    assert_eq!([crashes(1), crashes(4), crashes(40)], [3, 12, 0]);
}

#[test]
fn a_gateway_that_goes_on_with_its_attempts_did_not_die() {
    let mut scene = Scene::default();
    let mut others: Vec<Talk> = Vec::new();
    for port in 0..3 {
        let mut other = scene.connect((CLIENT, 41_000 + port), FRONT);
        other.ask(&mut scene, &get(&format!("/other-{port}")));
        let mut up = scene.connect((BACK, 51_000 + port), APP);
        up.ask(&mut scene, &get(&format!("/other-{port}")));
        others.push(other);
    }
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    scene.at(10);
    down.ask(&mut scene, &get("/dropped"));
    up.ask(&mut scene, &get("/dropped"));
    scene.at(700);
    down.server_closes(&mut scene, "FA");
    for other in &mut others {
        other.server_closes(&mut scene, "FA");
    }
    scene.at(2000);
    up.answer(&mut scene, OK);
    let incidents = scene.incidents();
    let dropped = incidents
        .iter()
        .find(|incident| incident.downstream.as_ref().is_some_and(|leg| leg.target.as_deref() == Some("/dropped")));
    assert_ne!(dropped.unwrap().cause, Cause::GatewayCrash, "{}", summary(dropped.unwrap()));
}

#[test]
fn a_header_section_that_is_completed_after_the_gateway_gave_up_was_incomplete() {
    let mut scene = Scene::default();
    let mut down = scene.connect((CLIENT, 40_000), FRONT);
    let mut up = scene.connect((BACK, 50_000), APP);
    scene.at(10);
    down.ask(&mut scene, &get("/slow-head"));
    up.ask(&mut scene, &get("/slow-head"));
    up.answer(&mut scene, "HTTP/1.1 200 OK\r\nContent-");
    up.acknowledge(&mut scene);
    scene.at(2010);
    up.client_closes(&mut scene, "FA");
    down.answer(&mut scene, BAD_GATEWAY);
    scene.at(8000);
    up.answer(&mut scene, "Length: 20\r\n\r\n");
    let incident = scene.incident();
    let said = (incident.cause, incident.detail);
    assert_eq!(said, (Cause::ResponseTimeout, Some("head_incomplete")), "{}", summary(&incident));
}
