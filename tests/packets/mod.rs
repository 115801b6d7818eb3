//! Captured packets as tests hold them, and the files that hold packets.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use etherparse::PacketBuilder;
use netwatch502::analysis::Analysis;
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::event::Frame;
use netwatch502::flow::steer::Captured;
use netwatch502::limits::Limits;
use netwatch502::report::Report;
use netwatch502::time::Timestamp;
use netwatch502::wire::link::LinkType;

/// A captured packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) number: u64,
    pub(crate) at_ns: i64,
    pub(crate) link: u16,
    pub(crate) interface: u32,
    pub(crate) length: u32,
    pub(crate) octets: Vec<u8>,
}

impl Packet {
    pub(crate) fn of(captured: &Captured<'_>) -> Self {
        Self {
            number: captured.frame.number(),
            at_ns: captured.at.as_nanos(),
            link: captured.link.0,
            interface: captured.interface,
            length: captured.length,
            octets: captured.octets.to_vec(),
        }
    }

    pub(crate) fn captured(&self) -> Captured<'_> {
        Captured {
            frame: Frame::new(0, self.number),
            at: Timestamp::from_nanos(self.at_ns),
            link: LinkType(self.link),
            interface: self.interface,
            length: self.length,
            focused: true,
            octets: &self.octets,
        }
    }
}

/// What the analysis finds in `packets`, whose numbers stay as they are.
pub(crate) fn analyse<'p>(packets: impl IntoIterator<Item = &'p Packet>, limits: &Limits) -> Report {
    let mut analysis = Analysis::new(limits, Gateways::told(&[]), Question::default(), None);
    for packet in packets {
        analysis.take(&packet.captured());
    }
    analysis.finish()
}

/// A pcapng file in little endian: an interface for each that the packets name, in nanoseconds.
pub(crate) fn pcapng(packets: &[Packet]) -> Vec<u8> {
    let block = |kind: u32, body: Vec<u8>| {
        let mut body = body;
        body.resize(body.len().next_multiple_of(4), 0);
        let length = (body.len() as u32 + 12).to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    };
    let section = [&0x1a2b_3c4d_u32.to_le_bytes()[..], &[1, 0, 0, 0], &[0xff; 8]].concat();
    let mut file = block(0x0a0d_0d0a, section);
    let interfaces = packets.iter().map(|packet| packet.interface + 1).max().unwrap_or(0);
    for interface in 0..interfaces {
        let link = packets.iter().find(|packet| packet.interface == interface).map_or(1, |packet| packet.link);
        // if_tsresol = 9: nanoseconds.
        let body = [&link.to_le_bytes()[..], &[0; 6], &[9, 0, 1, 0, 9, 0, 0, 0], &[0; 4]].concat();
        file.extend(block(1, body));
    }
    for packet in packets {
        let at = packet.at_ns as u64;
        let head = [packet.interface, (at >> 32) as u32, at as u32, packet.octets.len() as u32, packet.length];
        let mut body: Vec<u8> = head.iter().flat_map(|number| number.to_le_bytes()).collect();
        body.extend(&packet.octets);
        file.extend(block(6, body));
    }
    file
}

/// A pcap file with nanoseconds, in big endian. Interfaces are lost in it.
pub(crate) fn pcap(packets: &[Packet]) -> Vec<u8> {
    let link = packets.first().map_or(1, |packet| u32::from(packet.link));
    let mut file: Vec<u8> =
        [0xa1b2_3c4d, 0x0002_0004, 0, 0, 262_144, link].iter().flat_map(|n: &u32| n.to_be_bytes()).collect();
    for packet in packets {
        let (seconds, fraction) = (packet.at_ns / 1_000_000_000, packet.at_ns % 1_000_000_000);
        for number in [seconds as u32, fraction as u32, packet.octets.len() as u32, packet.length] {
            file.extend(number.to_be_bytes());
        }
        file.extend(&packet.octets);
    }
    file
}

pub(crate) fn gzip(octets: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(octets).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(octets: &[u8]) -> Vec<u8> {
    zstd::encode_all(octets, 1).unwrap()
}

/// Numbers that look random and are the same in every run (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound.max(1) as u64) as usize
    }
}

/// An address and a port of IPv4.
pub(crate) type End = ([u8; 4], u16);

/// A segment on Ethernet. `flags` are letters: S, A, F, R, P.
pub(crate) fn segment(at_ns: i64, (from, to): (End, End), flags: &str, (seq, ack): (u32, u32), data: &[u8]) -> Packet {
    let mut builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, 64).tcp(from.1, to.1, seq, 64_000);
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'A' => builder.ack(ack),
            'F' => builder.fin(),
            'R' => builder.rst(),
            _ => builder.psh(),
        };
    }
    let mut octets = Vec::with_capacity(64 + data.len());
    builder.write(&mut octets, data).unwrap();
    Packet { number: 0, at_ns, link: 1, interface: 0, length: octets.len() as u32, octets }
}

/// A conversation that grows packet by packet, a millisecond apart.
#[derive(Default)]
pub(crate) struct Talk {
    pub(crate) packets: Vec<Packet>,
    paused_ms: i64,
}

impl Talk {
    pub(crate) fn send(&mut self, way: (End, End), flags: &str, numbers: (u32, u32), data: &[u8]) {
        let number = self.packets.len() as u64 + 1;
        let at_ns = 1_795_181_638_000_000_000 + (number as i64 + self.paused_ms) * 1_000_000;
        self.packets.push(Packet { number, ..segment(at_ns, way, flags, numbers, data) });
    }

    pub(crate) fn pause(&mut self, ms: i64) {
        self.paused_ms += ms;
    }

    pub(crate) fn open(&mut self, client: End, server: End) {
        self.send((client, server), "S", (999, 0), b"");
        self.send((server, client), "SA", (1999, 1000), b"");
        self.send((client, server), "A", (1000, 2000), b"");
    }

    /// A client asks the gateway, whose upstream refuses the connection; the gateway says 502.
    pub(crate) fn refused(request: &[u8], response: &[u8]) -> Self {
        let mut talk = Self::default();
        let (client, front) = (([10, 50, 1, 2], 40_000), ([10, 50, 1, 1], 8080));
        let (back, upstream) = (([10, 50, 2, 1], 50_000), ([10, 50, 2, 2], 9000));
        talk.open(client, front);
        talk.send((client, front), "PA", (1000, 2000), request);
        talk.send((back, upstream), "S", (4999, 0), b"");
        talk.send((upstream, back), "RA", (0, 5000), b"");
        let after = 1000 + request.len() as u32;
        talk.send((front, client), "PA", (2000, after), response);
        let end = 2000 + response.len() as u32;
        talk.send((client, front), "FA", (after, end), b"");
        talk.send((front, client), "FA", (end, after + 1), b"");
        talk.send((client, front), "A", (after + 1, end + 1), b"");
        talk
    }
}
