use super::*;
use crate::event::Frame;
use crate::flow::connection::Output;

const CLIENT: &str = "192.0.2.1:40000";
const SERVER: &str = "192.0.2.2:80";

fn end(text: &str) -> Endpoint {
    text.parse().unwrap()
}

fn segment(flags: u8, sequence: u32, payload: &'static [u8]) -> Segment<'static> {
    Segment {
        source_port: 0,
        destination_port: 0,
        sequence,
        acknowledgement: 0,
        flags: Flags(flags),
        window: 100,
        options: &[],
        length: u32::try_from(payload.len()).unwrap(),
        payload,
    }
}

/// How a connection began, and which ends are local; of its first packet only.
type Beginning = Option<(FirstSeen, [Option<bool>; 2])>;

/// A table, and the farewells of its connections: number and reason.
struct Ladder {
    table: Table<()>,
    keys: Keys,
    limits: Limits,
    passage: Passage,
    farewells: Vec<(u64, GoneWhy)>,
}

impl Ladder {
    fn new(limits: Limits) -> Self {
        let keys = Keys::default();
        Self {
            table: Table::new(&limits, keys.clone()),
            keys,
            limits,
            passage: Passage::Unknown,
            farewells: Vec::new(),
        }
    }

    /// A segment goes by; returns the number of its connection, who sent it, and how the connection began.
    fn take(&mut self, second: u32, (from, to): (&str, &str), segment: Segment<'static>) -> (u64, Side, Beginning) {
        let (from, to) = (end(from), end(to));
        let segment = Segment { source_port: from.port(), destination_port: to.port(), ..segment };
        let between = [from, to].map(|end| (end.ip(), end.port()));
        let sent = Sent { between, ttl: 64, passage: self.passage, segment };
        let farewells = &mut self.farewells;
        let mut farewell = |place: &mut Place<()>, why: GoneWhy| farewells.push((place.connection.id.0, why));
        let moment = at(second);
        let key = self.keys.of(between);
        let (slot, side, opened) = self.table.find(&sent, key, moment, &mut farewell);
        let known = self.table.known(between, segment.flags, key);
        assert!(known == Some((slot, side)) || segment.flags.syn());
        let connection = &mut self.table.place(slot).unwrap().connection;
        connection.segment(side, &segment, 64, moment, &self.limits, &mut |_: Output<'_>| {});
        (connection.id.0, side, opened)
    }

    fn expire(&mut self, second: u32) -> Vec<(u64, GoneWhy)> {
        let farewells = &mut self.farewells;
        let mut farewell = |place: &mut Place<()>, why| farewells.push((place.connection.id.0, why));
        self.table.expire(at(second).at, &mut farewell, &mut |()| {});
        std::mem::take(&mut self.farewells)
    }

    fn quoted(&self, error: &IcmpError) -> Option<(Slot, Side)> {
        self.table.quoted(error, self.key_of(error))
    }

    fn key_of(&self, error: &IcmpError) -> u64 {
        self.keys.of([(error.source, error.ports.0), (error.destination, error.ports.1)])
    }

    fn icmp(&mut self, error: &IcmpError) -> Option<u64> {
        let slot = match self.quoted(error) {
            Some((slot, _)) => slot,
            None => self.table.open_quoted(error, self.key_of(error), at(0), &mut |_, _| {})?.0,
        };
        self.table.place(slot).map(|place| place.connection.id.0)
    }
}

fn at(second: u32) -> Moment {
    Moment { at: Timestamp::from_nanos(i64::from(second) * 1_000_000_000), frame: Frame::new(0, 1) }
}

const SYN: u8 = Flags::SYN;
const SYN_ACK: u8 = Flags::SYN | Flags::ACK;
const ACK: u8 = Flags::ACK;
const FIN: u8 = Flags::FIN | Flags::ACK;
const RST: u8 = Flags::RST;
const FORTH: (&str, &str) = (CLIENT, SERVER);
const BACK: (&str, &str) = (SERVER, CLIENT);

fn quotation(from: &str, to: &str, syn: Option<bool>) -> IcmpError {
    IcmpError {
        v6: false,
        icmp_type: 3,
        code: 1,
        mtu: None,
        source: end(from).ip(),
        destination: end(to).ip(),
        protocol: 6,
        ports: (end(from).port(), end(to).port()),
        sequence: Some(1000),
        syn,
        query: None,
    }
}

#[test]
fn both_directions_are_one_connection() {
    let mut ladder = Ladder::new(Limits::default());
    let first = Some((FirstSeen::Syn, [None, None]));
    assert_eq!(ladder.take(0, FORTH, segment(SYN, 1000, b"")), (0, Side::Client, first));
    assert_eq!(ladder.take(0, BACK, segment(SYN_ACK, 2000, b"")), (0, Side::Server, None));
    assert_eq!(ladder.take(0, ("192.0.2.1:40001", SERVER), segment(SYN, 1, b"")).0, 1, "another port");
    assert_eq!(ladder.take(0, ("[2001:db8::1]:40000", "[2001:db8::2]:80"), segment(SYN, 1, b"")).0, 2);
}

#[test]
fn roles_are_what_the_first_packet_shows() {
    let check = |segment: Segment<'static>, (from, to): (&str, &str), expected: (FirstSeen, Side)| {
        let (_, side, opened) = Ladder::new(Limits::default()).take(0, (from, to), segment);
        assert_eq!((opened.unwrap().0, side), expected, "{segment:?}");
    };
    check(segment(SYN_ACK, 1, b""), BACK, (FirstSeen::SynAck, Side::Server));
    check(segment(ACK, 1, b"HTTP/1.1 200 OK\r\n"), FORTH, (FirstSeen::Middle, Side::Server));
    check(segment(ACK, 1, b"GET / HTTP/1.1\r\n"), BACK, (FirstSeen::Middle, Side::Client));
    check(segment(ACK, 1, b""), FORTH, (FirstSeen::Middle, Side::Client));
    check(segment(ACK, 1, b""), BACK, (FirstSeen::Middle, Side::Server));
}

#[test]
fn an_endpoint_that_was_seen_to_serve_serves() {
    let (high, low) = ("192.0.2.1:50000", "192.0.2.2:2000");
    let mut ladder = Ladder::new(Limits::default());
    ladder.table.note_server(end(high));
    assert_eq!(ladder.take(0, (high, low), segment(ACK, 1, b"")).1, Side::Server);
    let mut ladder = Ladder::new(Limits::default());
    assert_eq!(ladder.take(0, (high, low), segment(ACK, 1, b"")).1, Side::Client, "the lower port, for want of better");
}

#[test]
fn the_link_layer_says_which_end_is_local() {
    for (passage, local) in [
        (Passage::Outgoing, [Some(true), None]),
        (Passage::Incoming, [None, Some(true)]),
        (Passage::Other, [Some(false), Some(false)]),
    ] {
        let mut ladder = Ladder::new(Limits::default());
        ladder.passage = passage;
        assert_eq!(ladder.take(0, FORTH, segment(SYN, 1, b"")).2, Some((FirstSeen::Syn, local)));
    }
    let mut ladder = Ladder::new(Limits::default());
    ladder.passage = Passage::Outgoing;
    assert_eq!(ladder.take(0, BACK, segment(SYN_ACK, 1, b"")).2, Some((FirstSeen::SynAck, [None, Some(true)])));
}

#[test]
fn ports_may_be_used_again() {
    let mut ladder = Ladder::new(Limits::default());
    ladder.take(0, FORTH, segment(SYN, 1000, b""));
    assert_eq!(ladder.take(1, FORTH, segment(SYN, 1000, b"")).0, 0, "a repetition");
    assert_eq!(ladder.take(2, FORTH, segment(SYN, 9000, b"")).0, 1);
    assert_eq!(ladder.farewells, [(0, GoneWhy::Reused)]);
    // The other end opens, once the first connection is over.
    ladder.take(3, BACK, segment(RST, 1, b""));
    let (number, side, _) = ladder.take(4, BACK, segment(SYN, 5, b""));
    assert_eq!((number, side), (2, Side::Client));
}

#[test]
fn a_reused_pair_after_a_connection_that_was_seen_from_its_middle() {
    let mut ladder = Ladder::new(Limits::default());
    ladder.take(0, FORTH, segment(ACK, 1, b"GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(ladder.take(1, FORTH, segment(SYN, 9000, b"")).0, 1);
}

#[test]
fn a_closed_connection_lingers_for_late_segments() {
    let mut ladder = Ladder::new(Limits::default());
    ladder.take(0, FORTH, segment(SYN, 1000, b""));
    ladder.take(10, BACK, segment(RST, 1, b""));
    assert_eq!(ladder.take(12, FORTH, segment(ACK, 1001, b"")).0, 0);
    assert_eq!(ladder.expire(16), []);
    assert_eq!(ladder.expire(18), [(0, GoneWhy::Closed)]);
    ladder.take(20, FORTH, segment(FIN, 1, b""));
    ladder.take(20, BACK, segment(FIN, 1, b""));
    assert_eq!(ladder.expire(26), [(1, GoneWhy::Closed)]);
}

#[test]
fn what_is_silent_for_long_is_forgotten() {
    let limits = Limits::default();
    let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap();
    let (handshake, idle) = (seconds(limits.handshake), seconds(limits.idle));
    let mut ladder = Ladder::new(limits);
    ladder.take(0, FORTH, segment(SYN, 1000, b""));
    ladder.take(0, ("192.0.2.1:40001", SERVER), segment(ACK, 1, b"GET / HTTP/1.1\r\n\r\n"));
    assert_eq!(ladder.expire(handshake - 1), []);
    assert_eq!(ladder.expire(handshake), [(0, GoneWhy::Idle)]);
    assert_eq!(ladder.expire(idle - 1), []);
    assert_eq!(ladder.expire(idle), [(1, GoneWhy::Idle)]);
}

#[test]
fn a_clock_that_steps_back_expires_nothing_early() {
    let mut ladder = Ladder::new(Limits::default());
    ladder.take(1000, FORTH, segment(SYN, 1000, b""));
    assert_eq!(ladder.expire(1000), []);
    assert_eq!(ladder.expire(10), []);
    assert_eq!(ladder.take(10, BACK, segment(SYN_ACK, 1, b"")).0, 0);
}

#[test]
fn a_full_table_gives_up_what_is_over_first_then_what_was_silent_longest() {
    let mut ladder = Ladder::new(Limits { connections: 4, ..Limits::default() });
    let ports = ["192.0.2.1:1025", "192.0.2.1:1026", "192.0.2.1:1027", "192.0.2.1:1028"];
    for (second, port) in (0..).zip(ports) {
        ladder.take(second, (port, SERVER), segment(ACK, 1, b"GET / HTTP/1.1\r\n\r\n"));
    }
    ladder.take(10, (ports[0], SERVER), segment(ACK, 19, b"GET / HTTP/1.1\r\n\r\n"));
    ladder.take(11, (SERVER, ports[3]), segment(RST, 1, b""));
    assert_eq!(ladder.take(12, ("192.0.2.1:1029", SERVER), segment(SYN, 1, b"")).0, 4);
    assert_eq!(std::mem::take(&mut ladder.farewells), [(3, GoneWhy::Closed)]);
    assert_eq!(ladder.table.evicted(), 0, "nothing was lost");
    ladder.take(12, ("192.0.2.1:1029", SERVER), segment(ACK, 2, b"GET / HTTP/1.1\r\n\r\n"));
    ladder.take(12, (SERVER, "192.0.2.1:1029"), segment(SYN_ACK, 1, b""));
    ladder.take(13, ("192.0.2.1:1029", SERVER), segment(ACK, 20, b""));
    assert_eq!(ladder.take(14, ("192.0.2.1:1030", SERVER), segment(SYN, 1, b"")).0, 5);
    assert_eq!(ladder.farewells, [(1, GoneWhy::Evicted)]);
    assert_eq!(ladder.table.evicted(), 1);
}

#[test]
fn at_the_end_all_leave_in_the_order_in_which_they_came() {
    let mut ladder = Ladder::new(Limits::default());
    ladder.take(0, FORTH, segment(SYN, 1000, b""));
    ladder.take(0, ("192.0.2.1:40001", SERVER), segment(SYN, 1, b""));
    ladder.take(1, FORTH, segment(SYN, 2000, b""));
    ladder.farewells.clear();
    let Ladder { table, farewells, .. } = &mut ladder;
    let mut part = || table.finish(1, &mut |place, why| farewells.push((place.connection.id.0, why)));
    assert_eq!([part(), part()], [true, false]);
    assert_eq!(ladder.farewells, [(1, GoneWhy::EndOfCapture), (2, GoneWhy::EndOfCapture)]);
    assert_eq!(ladder.take(2, FORTH, segment(ACK, 1, b"")).0, 3, "nothing is left of them");
}

#[test]
fn an_icmp_error_finds_the_connection_that_it_quotes() {
    let mut ladder = Ladder::new(Limits::default());
    ladder.take(0, FORTH, segment(SYN, 1000, b""));
    assert_eq!(ladder.quoted(&quotation(CLIENT, SERVER, None)), Some((Slot(0), Side::Client)));
    assert_eq!(ladder.quoted(&quotation(SERVER, CLIENT, None)), Some((Slot(0), Side::Server)));
    assert_eq!(ladder.quoted(&quotation("192.0.2.1:40001", SERVER, None)), None);
}

#[test]
fn a_syn_that_was_on_no_wire_opens_a_connection_once() {
    let mut ladder = Ladder::new(Limits::default());
    assert_eq!(ladder.icmp(&quotation(CLIENT, SERVER, Some(true))), Some(0));
    assert_eq!(ladder.icmp(&quotation(CLIENT, SERVER, Some(true))), Some(0), "the kernel rejects every repetition");
    assert_eq!(ladder.take(0, FORTH, segment(SYN, 1000, b"")), (0, Side::Client, None), "it did come by");
    assert_eq!(ladder.take(0, FORTH, segment(SYN, 7000, b"")).0, 1, "another attempt");
    let mut ladder = Ladder::new(Limits::default());
    assert_eq!(ladder.icmp(&quotation(CLIENT, SERVER, Some(false))), None, "a connection that is long gone");
    assert_eq!(ladder.icmp(&quotation(CLIENT, SERVER, None)), None, "too little is quoted to tell");
    let too_big = IcmpError { code: 4, ..quotation(CLIENT, SERVER, Some(true)) };
    assert_eq!(ladder.icmp(&too_big), None);
    let expired = IcmpError { icmp_type: 11, ..quotation(CLIENT, SERVER, Some(true)) };
    assert_eq!(ladder.icmp(&expired), None);
    let v6 =
        IcmpError { v6: true, icmp_type: 1, code: 3, ..quotation("[2001:db8::1]:9", "[2001:db8::2]:80", Some(true)) };
    assert_eq!(ladder.icmp(&v6), Some(0));
}
