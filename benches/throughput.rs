//! Packets a second over ordinary proxy traffic: reading alone, with decoding and reassembly, and the whole analysis.
//!
//! The capture is made here: 256 clients ask one gateway on kept connections, the gateway asks one upstream on kept
//! connections. Requests bear what browsers send, responses are of 200 octets to 20 KB in segments of 1448, every second
//! segment is acknowledged. One exchange in a hundred fails: refused, closed without an answer, or the upstream's own 502.
//!
//! ```text
//!   client --GET--> gateway --GET--> upstream
//!   client <--200-- gateway <--200-- upstream
//! ```

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot begin has nothing to report"
)]

use std::fs::File;
use std::hint::black_box;
use std::io::{self, BufWriter, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use etherparse::PacketBuilder;
use netwatch502::analysis::{Analysis, Below};
use netwatch502::capture::Source;
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::limits::Limits;

/// As the program has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn throughput(criterion: &mut Criterion) {
    let testing = std::env::args().any(|argument| argument == "--test");
    let exchanges = if testing { 2_000 } else { 75_000 };
    let directory = tempfile::tempdir().expect("a directory for the capture");
    let path = directory.path().join("proxy.pcap");
    let packets = write_capture(&path, exchanges).expect("a capture");
    let paths = [path.display().to_string()];
    check(&paths, packets, exchanges);

    let mut group = criterion.benchmark_group("throughput");
    group.throughput(Throughput::Elements(packets)).sample_size(10).measurement_time(Duration::from_secs(10));
    group.bench_function("read", |bencher| bencher.iter(|| read(black_box(&paths))));
    group.bench_function("read, decode, reassemble, observe", |bencher| bencher.iter(|| observe(black_box(&paths))));
    group.bench_function("whole analysis", |bencher| bencher.iter(|| analyse(black_box(&paths))));
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);

/// What is measured does what it should.
fn check(paths: &[String], packets: u64, exchanges: u32) {
    assert_eq!(read(paths), packets);
    let (responses, failures) = analyse(paths);
    assert_eq!(responses, u64::from(exchanges));
    assert_eq!(failures, u64::from(exchanges / FAILS_EVERY));
}

fn read(paths: &[String]) -> u64 {
    let mut source = Source::open(paths).expect("the capture");
    let mut packets = 0;
    while let Some(captured) = source.next() {
        packets += u64::from(black_box(captured.octets).len() > 14);
    }
    packets
}

fn observe(paths: &[String]) -> u64 {
    let mut source = Source::open(paths).expect("the capture");
    let mut below = Below::new(&Limits::default());
    while let Some(captured) = source.next() {
        below.take(&captured);
        black_box(below.events()).clear();
    }
    below.passed().counters.frames
}

/// Responses that clients got, and how many of them were errors.
fn analyse(paths: &[String]) -> (u64, u64) {
    let mut source = Source::open(paths).expect("the capture");
    let mut analysis = Analysis::new(&Limits::default(), Gateways::default(), Question::default(), None);
    while let Some(captured) = source.next() {
        analysis.take(&captured);
    }
    let report = analysis.finish();
    (report.totals.responses.values().sum(), report.totals.gateway_errors)
}

// The capture.

/// Writes the traffic of so many exchanges; returns the number of packets.
fn write_capture(path: &Path, exchanges: u32) -> io::Result<u64> {
    let mut traffic = Traffic::default();
    for number in 0..exchanges {
        traffic.exchange(number);
    }
    traffic.write(BufWriter::new(File::create(path)?))
}

/// Packets with their times in microseconds.
#[derive(Default)]
struct Traffic {
    packets: Vec<(u64, Packet)>,
    legs: Vec<Leg>,
}

/// A packet; payloads are made when it is written, so that a long capture needs little memory.
struct Packet {
    from: SocketAddrV4,
    to: SocketAddrV4,
    sequence: u32,
    acknowledgement: u32,
    flags: Flags,
    payload: Payload,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Flags {
    Syn,
    SynAck,
    Ack,
    Fin,
    RstAck,
}

enum Payload {
    None,
    Text(String),
    Filler(usize),
}

impl Payload {
    fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Text(text) => text.len(),
            Self::Filler(length) => *length,
        }
    }
}

/// A connection: both ends and what they have sent.
struct Leg {
    client: SocketAddrV4,
    server: SocketAddrV4,
    sent: [u32; 2],
    open: bool,
    ports: u16,
}

impl Traffic {
    fn exchange(&mut self, number: u32) {
        if self.legs.is_empty() {
            self.legs = (0..CLIENTS).flat_map(|client| [downstream(client), upstream(client)]).collect();
        }
        let at = u64::from(number) * 100;
        let client = (number % CLIENTS) as usize * 2;
        let fate = if number % FAILS_EVERY == FAILS_EVERY - 1 { 1 + number / FAILS_EVERY % 3 } else { 0 };
        let size = [200, 200, 2_000, 200, 8_000, 200, 2_000, 20_000][number as usize / 3 % 8];
        let post = number.is_multiple_of(7);
        let host = "shop.example.org";
        let (front, back) = (client, client + 1);
        self.ensure_open(front, at);
        self.send(front, at + 200, 0, Payload::Text(request(number, post, host, None)));
        self.acknowledge(front, at + 210, 1);
        let forwarded = Some(*self.legs[front].client.ip());
        match fate {
            1 => {
                self.refuse(back, at + 300);
                self.answer(front, at + 500, "502 Bad Gateway", 150);
            }
            2 => {
                self.ensure_open(back, at + 300);
                self.send(back, at + 450, 0, Payload::Text(request(number, post, host, forwarded)));
                self.close(back, at + 900);
                self.answer(front, at + 1000, "502 Bad Gateway", 150);
            }
            _ => {
                let status = if fate == 3 { "502 Bad Gateway" } else { "200 OK" };
                let size = if fate == 3 { 150 } else { size };
                self.ensure_open(back, at + 300);
                self.send(back, at + 450, 0, Payload::Text(request(number, post, host, forwarded)));
                self.acknowledge(back, at + 460, 1);
                self.answer(back, at + 1500, status, size);
                self.answer(front, at + 1700, status, size);
            }
        }
    }

    fn ensure_open(&mut self, leg: usize, at: u64) {
        if !self.legs[leg].open {
            self.legs[leg].begin();
            self.segment(leg, at, 0, Flags::Syn, Payload::None);
            self.segment(leg, at + 40, 1, Flags::SynAck, Payload::None);
            self.segment(leg, at + 80, 0, Flags::Ack, Payload::None);
        }
    }

    fn refuse(&mut self, leg: usize, at: u64) {
        if self.legs[leg].open {
            self.segment(leg, at, 0, Flags::Fin, Payload::None);
            self.segment(leg, at + 10, 1, Flags::Fin, Payload::None);
            self.segment(leg, at + 20, 0, Flags::Ack, Payload::None);
        }
        self.legs[leg].begin();
        self.segment(leg, at + 50, 0, Flags::Syn, Payload::None);
        self.segment(leg, at + 90, 1, Flags::RstAck, Payload::None);
        self.legs[leg].open = false;
    }

    fn close(&mut self, leg: usize, at: u64) {
        self.segment(leg, at, 1, Flags::Fin, Payload::None);
        self.segment(leg, at + 50, 0, Flags::Fin, Payload::None);
        self.segment(leg, at + 90, 1, Flags::Ack, Payload::None);
        self.legs[leg].open = false;
    }

    fn answer(&mut self, leg: usize, at: u64, status: &str, size: usize) {
        let mut head = format!(
            "HTTP/1.1 {status}\r\nServer: nginx/1.27.0\r\nDate: Mon, 02 Mar 2026 10:00:00 GMT\r\n\
             Content-Type: text/html\r\nContent-Length: {size}\r\nConnection: keep-alive\r\n\r\n"
        );
        let first = size.min(SEGMENT - head.len());
        head.extend(std::iter::repeat_n('x', first));
        let mut at = at;
        let mut left = size - first;
        self.send(leg, at, 1, Payload::Text(head));
        let mut segments = 1;
        while left > 0 {
            let length = left.min(SEGMENT);
            left -= length;
            segments += 1;
            at += 2;
            self.send(leg, at, 1, Payload::Filler(length));
            if segments % 2 == 0 {
                self.acknowledge(leg, at + 1, 0);
            }
        }
        if segments % 2 == 1 {
            self.acknowledge(leg, at + 40, 0);
        }
    }

    fn send(&mut self, leg: usize, at: u64, side: usize, payload: Payload) {
        self.segment(leg, at, side, Flags::Ack, payload);
    }

    fn acknowledge(&mut self, leg: usize, at: u64, side: usize) {
        self.segment(leg, at, side, Flags::Ack, Payload::None);
    }

    fn segment(&mut self, leg: usize, at: u64, side: usize, flags: Flags, payload: Payload) {
        let leg = &mut self.legs[leg];
        let (from, to) = if side == 0 { (leg.client, leg.server) } else { (leg.server, leg.client) };
        let (sequence, acknowledgement) = (leg.sent[side], leg.sent[1 - side]);
        let takes = u32::from(matches!(flags, Flags::Syn | Flags::SynAck | Flags::Fin));
        leg.sent[side] = sequence.wrapping_add(payload.len() as u32 + takes);
        self.packets.push((at, Packet { from, to, sequence, acknowledgement, flags, payload }));
    }

    fn write(mut self, mut out: impl Write) -> io::Result<u64> {
        self.packets.sort_by_key(|(at, _)| *at);
        // A little-endian pcap of microseconds, Ethernet.
        for word in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, 1] {
            out.write_all(&word.to_le_bytes())?;
        }
        let mut octets = Vec::new();
        for (number, (at, packet)) in self.packets.iter().enumerate() {
            octets.clear();
            packet.write(number as u16, &mut octets);
            let length = octets.len() as u32;
            let at = at + 1_772_000_000_000_000;
            for word in [(at / 1_000_000) as u32, (at % 1_000_000) as u32, length, length] {
                out.write_all(&word.to_le_bytes())?;
            }
            out.write_all(&octets)?;
        }
        out.flush()?;
        Ok(self.packets.len() as u64)
    }
}

impl Leg {
    fn new(client: SocketAddrV4, server: SocketAddrV4) -> Self {
        Self { client, server, sent: [0; 2], open: false, ports: 0 }
    }

    /// A new connection between the same hosts.
    fn begin(&mut self) {
        self.ports += 1;
        let base = u32::from(self.client.port()) << 16 | u32::from(self.ports);
        self.sent = [base.wrapping_mul(0x9e37_79b9), base.wrapping_mul(0x85eb_ca6b)];
        self.open = true;
    }
}

impl Packet {
    fn write(&self, identification: u16, out: &mut Vec<u8>) {
        let mut ip = etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, [0; 4], [0; 4])
            .expect("a header without payload");
        ip.source = self.from.ip().octets();
        ip.destination = self.to.ip().octets();
        ip.identification = identification;
        let tcp = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ip(etherparse::IpHeaders::Ipv4(ip, etherparse::Ipv4Extensions::default()))
            .tcp(self.from.port(), self.to.port(), self.sequence, 64_240);
        let tcp = match self.flags {
            Flags::Syn => tcp.syn(),
            Flags::SynAck => tcp.syn().ack(self.acknowledgement),
            Flags::Ack => tcp.ack(self.acknowledgement),
            Flags::Fin => tcp.fin().ack(self.acknowledgement),
            Flags::RstAck => tcp.rst().ack(self.acknowledgement),
        };
        let filler = [b'x'; SEGMENT];
        let payload = match &self.payload {
            Payload::None => &[][..],
            Payload::Text(text) => text.as_bytes(),
            Payload::Filler(length) => &filler[..*length],
        };
        tcp.write(out, payload).expect("a packet");
    }
}

fn downstream(client: u32) -> Leg {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 51, 100, 0)) + client);
    Leg::new(SocketAddrV4::new(address, 40_000 + client as u16), SocketAddrV4::new(GATEWAY, 80))
}

fn upstream(client: u32) -> Leg {
    Leg::new(SocketAddrV4::new(GATEWAY, 50_000 + client as u16), SocketAddrV4::new(UPSTREAM, 8080))
}

/// A request as a browser sends it, or as the gateway passes it on for `forwarded`.
fn request(number: u32, post: bool, host: &str, forwarded: Option<Ipv4Addr>) -> String {
    let (method, content) = if post { ("POST", "name=value&".repeat(30)) } else { ("GET", String::new()) };
    let forwarded = forwarded.map_or(String::new(), |client| format!("X-Forwarded-For: {client}\r\n"));
    let length = if post { format!("Content-Length: {}\r\n", content.len()) } else { String::new() };
    format!(
        "{method} /shop/items/{number}?view=full HTTP/1.1\r\nHost: {host}\r\n{forwarded}\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br\r\nCookie: session={:016x}; theme=dark\r\n{length}\r\n{content}",
        u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    )
}

const CLIENTS: u32 = 256;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const UPSTREAM: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
const SEGMENT: usize = 1448;
const FAILS_EVERY: u32 = 100;
