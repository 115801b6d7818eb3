//! What lies between the gateway and its upstream: verdicts on conversations that are built packet by packet, for what no
//! laboratory makes in a minute.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::expect_used, clippy::panic, reason = "the modules of other tests use it")]

mod packets;

use etherparse::{IcmpEchoHeader, PacketBuilder};
use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Grade, Incident};
use netwatch502::limits::Limits;
use packets::{End, Packet, segment};

const CLIENT: End = ([10, 50, 1, 2], 40_000);
const FRONT: End = ([10, 50, 1, 1], 8080);
const BACK: End = ([10, 50, 2, 1], 50_000);
const APP: End = ([10, 50, 2, 2], 9000);
const ROUTER: [u8; 4] = [10, 50, 2, 254];
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GAVE_UP: &[u8] = b"HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 4\r\n\r\nlate";

/// Packets, each with the millisecond at which it was captured.
#[derive(Default)]
struct Way {
    packets: Vec<Packet>,
}

impl Way {
    fn add(&mut self, ms: i64, packet: Packet) {
        let number = self.packets.len() as u64 + 1;
        let at_ns = 1_795_181_638_000_000_000 + ms * 1_000_000 + number as i64 * 1_000;
        self.packets.push(Packet { number, at_ns, ..packet });
    }

    fn send(&mut self, ms: i64, way: (End, End), flags: &str, numbers: (u32, u32), data: &[u8]) {
        self.add(ms, segment(0, way, flags, numbers, data));
    }

    /// The same with another time to live.
    fn send_from_afar(&mut self, ms: i64, way: (End, End), flags: &str, numbers: (u32, u32), ttl: u8) {
        let mut packet = segment(0, way, flags, numbers, b"");
        packet.octets[14 + 8] = ttl;
        self.add(ms, packet);
    }

    /// An ICMP error of the router about a packet that the gateway sent at `sequence`.
    fn reject(&mut self, ms: i64, icmp_type: u8, code: u8, rest: [u8; 4], sequence: u32) {
        let quoted = segment(0, (BACK, APP), "A", (sequence, 2000), b"").octets[14..14 + 28].to_vec();
        let mut octets = Vec::new();
        let echo = IcmpEchoHeader { id: 0, seq: 0 };
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(ROUTER, BACK.0, 64);
        builder.icmpv4_echo_request(echo.id, echo.seq).write(&mut octets, &quoted).unwrap();
        octets[34] = icmp_type;
        octets[35] = code;
        octets[38..42].copy_from_slice(&rest);
        self.add(ms, Packet { number: 0, at_ns: 0, link: 1, interface: 0, length: octets.len() as u32, octets });
    }

    /// Who has the address, or who tells that it has it.
    fn arp(&mut self, ms: i64, operation: u8, sender: [u8; 4], target: [u8; 4]) {
        let head = [[0xff; 6], [2; 6]].concat();
        let fixed = [8, 6, 0, 1, 8, 0, 6, 4, 0, operation];
        let octets = [&head[..], &fixed, &[2; 6], &sender, &[0; 6], &target].concat();
        self.add(ms, Packet { number: 0, at_ns: 0, link: 1, interface: 0, length: octets.len() as u32, octets });
    }

    fn open(&mut self, ms: i64, client: End, server: End) {
        self.send(ms, (client, server), "S", (999, 0), b"");
        self.send(ms + 3, (server, client), "SA", (1999, 1000), b"");
        self.send(ms + 3, (client, server), "A", (1000, 2000), b"");
    }

    /// A request that was served on both legs, so that the gateway is known. Both connections stay.
    fn served() -> (Self, u32) {
        let mut way = Self::default();
        let asked = get("/first", 0);
        let end = 1000 + asked.len() as u32;
        let read = 2000 + OK.len() as u32;
        way.open(0, CLIENT, FRONT);
        way.send(10, (CLIENT, FRONT), "PA", (1000, 2000), &asked);
        way.open(11, BACK, APP);
        way.send(20, (BACK, APP), "PA", (1000, 2000), &asked);
        way.send(24, (APP, BACK), "PA", (2000, end), OK);
        way.send(24, (BACK, APP), "A", (end, read), b"");
        way.send(25, (FRONT, CLIENT), "PA", (2000, end), OK);
        way.send(26, (CLIENT, FRONT), "A", (end, read), b"");
        (way, end)
    }

    fn incident(&self) -> Incident {
        let mut incidents = packets::analyse(&self.packets, &Limits::default()).incidents;
        let told: Vec<String> =
            incidents.iter().map(|one| format!("{} {:?}: {}", one.cause, one.grade, one.why)).collect();
        assert_eq!(incidents.len(), 1, "{told:#?}");
        incidents.remove(0)
    }
}

fn get(target: &str, content: usize) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: app\r\nX-Request-ID: id-of-{target}\r\nContent-Length: {content}\r\n\r\n"
    );
    [head.as_bytes(), &vec![b'x'; content]].concat()
}

/// A request after `idle_ms`, of so much content, which the upstream never acknowledges; what else happens is `meanwhile`'s.
fn unacknowledged(idle_ms: i64, content: usize, meanwhile: impl FnOnce(&mut Way, i64, u32)) -> Incident {
    let (mut way, start) = Way::served();
    let (at, read) = (25 + idle_ms, 2000 + OK.len() as u32);
    let asked = get("/second", content);
    let mut sent = start;
    way.send(at, (CLIENT, FRONT), "PA", (start, read), &asked);
    for piece in asked.chunks(1448) {
        way.send(at + 1, (BACK, APP), "PA", (sent, read), piece);
        sent += piece.len() as u32;
    }
    meanwhile(&mut way, at + 2, start);
    let first = &asked[..asked.len().min(1448)];
    for repeat_ms in [210, 630, 1470] {
        way.send(at + repeat_ms, (BACK, APP), "PA", (start, read), first);
    }
    way.send(at + 3000, (BACK, APP), "FA", (sent, read), b"");
    way.send(at + 3001, (FRONT, CLIENT), "PA", (read, start + asked.len() as u32), GAVE_UP);
    way.incident()
}

fn is_told(incident: &Incident, text: &str) -> bool {
    incident.evidence.iter().any(|one| one.what.contains(text))
}

#[test]
fn a_router_that_wants_smaller_packets_is_named_with_its_mtu() {
    let incident = unacknowledged(100, 3000, |way, at, start| way.reject(at, 3, 4, [0, 0, 5, 120], start));
    assert_eq!((incident.cause, incident.detail), (Cause::RequestLost, Some("mtu")));
    assert!(is_told(&incident, "ICMP from 10.50.2.254: packet too big, MTU 1400"), "{:?}", incident.evidence);
}

#[test]
fn what_icmp_says_of_an_established_connection_is_told_in_words() {
    let incident = unacknowledged(100, 20, |way, at, start| way.reject(at, 3, 1, [0; 4], start));
    assert_eq!((incident.cause, incident.detail), (Cause::RequestLost, Some("icmp")));
    assert!(is_told(&incident, "ICMP from 10.50.2.254: host unreachable"), "{:?}", incident.evidence);
}

#[test]
fn only_large_segments_that_are_lost_hint_at_the_mtu() {
    let incident = unacknowledged(100, 3000, |_, _, _| {});
    assert_eq!((incident.cause, incident.detail), (Cause::RequestLost, Some("large_segments")));
    assert_eq!(unacknowledged(100, 20, |_, _, _| {}).detail, None);
}

#[test]
fn a_connection_that_had_been_idle_for_longer_than_a_device_remembers_was_dropped_there() {
    let incident = unacknowledged(361_000, 20, |_, _, _| {});
    assert_eq!((incident.cause, incident.grade), (Cause::IdleFlowDropped, Grade::Consistent));
    let named = |name: &str| incident.candidates.iter().any(|candidate| candidate.what.starts_with(name));
    assert!(named("AWS's network load balancer") && !named("IPVS"), "{:?}", incident.candidates);
}

/// The same request is reset by a packet with another time to live than the upstream's, after a wait.
fn reset_from_elsewhere(idle_ms: i64) -> Incident {
    let (mut way, start) = Way::served();
    let (at, read) = (25 + idle_ms, 2000 + OK.len() as u32);
    let asked = get("/second", 20);
    let end = start + asked.len() as u32;
    way.send(at - 20, (APP, BACK), "A", (read, start), b"");
    way.send(at, (CLIENT, FRONT), "PA", (start, read), &asked);
    way.send(at + 1, (BACK, APP), "PA", (start, read), &asked);
    way.send_from_afar(at + 40, (APP, BACK), "RA", (read, end), 250);
    way.send(at + 41, (FRONT, CLIENT), "PA", (read, end), b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad");
    way.incident()
}

#[test]
fn a_reset_with_a_foreign_ttl_is_a_middlebox_and_after_a_long_idle_time_one_that_forgot() {
    let soon = reset_from_elsewhere(1000);
    assert_eq!((soon.cause, soon.grade), (Cause::MiddleboxReset, Grade::Consistent));
    let late = reset_from_elsewhere(905_000);
    assert_eq!((late.cause, late.grade), (Cause::IdleFlowDropped, Grade::Consistent));
    assert!(late.candidates.iter().any(|candidate| candidate.what.starts_with("IPVS")), "{:?}", late.candidates);
}

/// A request for which nothing is sent while the gateway asks its link for 10.50.2.9, which is answered or not.
fn asked_for_a_neighbour(answered: bool) -> Incident {
    let (mut way, start) = Way::served();
    let read = 2000 + OK.len() as u32;
    let gone = [10, 50, 2, 9];
    let asked = get("/second", 0);
    way.send(1000, (CLIENT, FRONT), "PA", (start, read), &asked);
    for ms in [1002, 2002, 3002] {
        way.arp(ms, 1, BACK.0, gone);
        if answered {
            way.arp(ms + 1, 2, gone, BACK.0);
        }
    }
    way.send(3500, (FRONT, CLIENT), "PA", (read, start + asked.len() as u32), GAVE_UP);
    way.incident()
}

#[test]
fn a_neighbour_that_does_not_answer_is_why_no_syn_left() {
    let incident = asked_for_a_neighbour(false);
    assert_eq!((incident.cause, incident.grade), (Cause::ConnectUnreachable, Grade::Consistent));
    assert_eq!(incident.attempts[0].destination().as_deref(), Some("10.50.2.9"));
    assert_eq!(asked_for_a_neighbour(true).cause, Cause::NoUpstreamAttempt);
}

#[test]
fn who_is_answered_at_once_did_not_wait_for_a_neighbour() {
    let (mut way, start) = Way::served();
    let read = 2000 + OK.len() as u32;
    let gone = [10, 50, 2, 9];
    way.arp(1000, 1, BACK.0, gone);
    way.arp(2000, 1, BACK.0, gone);
    let asked = get("/second", 0);
    way.send(2400, (CLIENT, FRONT), "PA", (start, read), &asked);
    way.send(2401, (FRONT, CLIENT), "PA", (read, start + asked.len() as u32), GAVE_UP);
    way.arp(3000, 1, BACK.0, gone);
    assert_eq!(way.incident().cause, Cause::NoUpstreamAttempt);
}

/// The answer's first octets do not come, and its last ones do; then the first ones may come after all.
fn answer_with_a_hole(filled: bool) -> Incident {
    let (mut way, start) = Way::served();
    let (read, asked) = (2000 + OK.len() as u32, get("/second", 0));
    let end = start + asked.len() as u32;
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n";
    way.send(1000, (CLIENT, FRONT), "PA", (start, read), &asked);
    way.send(1001, (BACK, APP), "PA", (start, read), &asked);
    way.send(1004, (APP, BACK), "A", (read, end), b"");
    way.send(1010, (APP, BACK), "PA", (read + head.len() as u32 + 1000, end), &[b'x'; 500]);
    way.send(1010, (BACK, APP), "A", (end, read), b"");
    let mut acknowledged = read;
    if filled {
        way.send(1020, (APP, BACK), "PA", (read, end), &[&head[..], &[b'x'; 1000]].concat());
        acknowledged += head.len() as u32 + 1500;
        way.send(1020, (BACK, APP), "A", (end, acknowledged), b"");
    }
    way.send(4001, (BACK, APP), "FA", (end, acknowledged), b"");
    way.send(4001, (FRONT, CLIENT), "PA", (read, end), GAVE_UP);
    way.incident()
}

#[test]
fn octets_that_the_receiver_never_acknowledged_were_lost_on_the_way() {
    let incident = answer_with_a_hole(false);
    assert_eq!((incident.cause, incident.grade), (Cause::ResponseLost, Grade::Proven), "{:?}", incident.not_known);
    assert_eq!(answer_with_a_hole(true).cause, Cause::StalledBody);
}
