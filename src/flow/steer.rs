//! Which connection's a packet is, without following any: frames come in, packets go out, each with the key of the connection
//! that it belongs to. What has to be known of all packets is known here: copies are left out, fragments are put together, and
//! it is remembered who serves. So whoever has several processors can give the connections to several shards by their keys, and
//! each of them knows what one alone would.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashSet};

use crate::event::{Endpoint, Frame, Moment};
use crate::flow::defrag::{Defragmenter, Reassembled};
use crate::flow::duplicate::Duplicates;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::fastcgi;
use crate::wire::link::LinkType;
use crate::wire::packet::{self, Content, Packet, Segment, Undecodable};

/// A captured frame, as the rim hands it down.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// Which frame.
    pub frame: Frame,
    /// When it was captured.
    pub at: Timestamp,
    /// Its link type.
    pub link: LinkType,
    /// The interface it was captured on: its index within the input.
    pub interface: u32,
    /// Octets on the wire; `octets` may hold fewer.
    pub length: u32,
    /// Whether it matches the focus expression.
    pub focused: bool,
    /// The captured octets.
    pub octets: &'a [u8],
}

impl Captured<'_> {
    /// When, and in which frame.
    #[inline]
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment { at: self.at, frame: self.frame }
    }
}

/// The packet of a frame.
pub enum Held<'p, 'a> {
    /// As it stands there.
    Whole(&'p Packet<'a>),
    /// Its last fragment stands there.
    Reassembled(Box<Reassembled>),
}

/// Where a packet is to go.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// The key of its connection: the same for both directions, and for the ICMP errors that quote it.
    pub key: u64,
    /// An endpoint that was not known to serve, and does by this packet: all that are steered to have to know.
    pub serves: Option<Endpoint>,
}

/// What went through.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Frames taken.
    pub frames: u64,
    /// Copies removed.
    pub duplicates: u64,
    /// Frames of which only a part was captured.
    pub truncated: u64,
    /// Frames that should have held an IP packet and could not be decoded.
    pub undecodable: u64,
}

/// Address and port of one end.
pub type End = (IpAddr, u16);

/// The keys of connections. Keys of different makers differ, so that nobody can make up connections whose keys are alike.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    hasher: DefaultHashBuilder,
}

impl Keys {
    /// The key of the connection between two ends, whichever of them sends.
    #[inline]
    #[must_use]
    pub fn of(&self, [one, other]: [End; 2]) -> u64 {
        let ((IpAddr::V4(address), port), (IpAddr::V4(other_address), other_port)) = (one, other) else {
            return self.of_v6(one, other);
        };
        let number = |address: Ipv4Addr, port| u64::from(address.to_bits()) << 16 | u64::from(port);
        let (one, other) = (number(address, port), number(other_address, other_port));
        self.hasher.hash_one((one.min(other), one.max(other)))
    }

    #[inline(never)]
    fn of_v6(&self, one: End, other: End) -> u64 {
        self.hasher.hash_one((one.min(other), one.max(other)))
    }
}

/// What steers.
#[derive(Debug)]
pub struct Steer {
    keys: Keys,
    duplicates: Duplicates,
    defragmenter: Defragmenter,
    servers: Servers,
    counters: Counters,
    looked: Option<Timestamp>,
}

impl Steer {
    /// Nothing was seen so far.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            keys: Keys::default(),
            duplicates: Duplicates::new(limits),
            defragmenter: Defragmenter::new(limits),
            servers: Servers::new(limits.connections),
            counters: Counters::default(),
            looked: None,
        }
    }

    /// What makes the keys.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// What went through so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Whether it is time, by the time of a frame, for all that are steered to to look at what waits and what is over, before
    /// they take it.
    #[inline]
    pub fn is_time(&mut self, at: Timestamp) -> bool {
        let is_time = self.looked.is_none_or(|looked| at < looked || at.since(looked) >= LOOK);
        if is_time {
            self.looked = Some(at);
        }
        is_time
    }

    /// Takes a frame, and gives its packet where it has one that is no copy and no part.
    #[inline]
    pub fn take(&mut self, captured: &Captured<'_>, give: impl FnOnce(Held<'_, '_>, Course)) {
        self.counters.frames += 1;
        if (captured.octets.len() as u64) < u64::from(captured.length) {
            self.counters.truncated += 1;
        }
        // Interfaces are numbered within an input; copies are told apart by where they were captured.
        let interface = captured.interface | u32::from(captured.frame.input()) << 20;
        // It is not moved any more: copying costs more than decoding.
        let decoded = packet::decode(captured.link, captured.octets, captured.length);
        let packet = match &decoded {
            Ok(packet) => packet,
            Err(Undecodable::NotIp) => return,
            Err(_) => {
                self.counters.undecodable += 1;
                return;
            }
        };
        if self.duplicates.is_copy(captured.at, interface, packet) {
            self.counters.duplicates += 1;
            return;
        }
        match &packet.content {
            Content::Tcp(segment) => give(Held::Whole(packet), self.course_of(packet, segment)),
            _ => self.take_other(captured.at, packet, give),
        }
    }

    /// Takes a packet that is no segment.
    #[cold]
    fn take_other(&mut self, at: Timestamp, packet: &Packet<'_>, give: impl FnOnce(Held<'_, '_>, Course)) {
        let Content::Fragment(fragment) = &packet.content else {
            let course = self.course(packet);
            return give(Held::Whole(packet), course);
        };
        let Some(whole) = self.defragmenter.push(at, packet, fragment) else { return };
        let course = match whole.packet() {
            Ok(Packet { content: Content::Fragment(_), .. }) | Err(_) => return,
            Ok(packet) => self.course(&packet),
        };
        give(Held::Reassembled(Box::new(whole)), course);
    }

    #[inline(always)] // It is asked of nearly every packet.
    fn course_of(&mut self, packet: &Packet<'_>, segment: &Segment<'_>) -> Course {
        let ends @ [source, destination] =
            [(packet.source, segment.source_port), (packet.destination, segment.destination_port)];
        let server = serving(segment).map(|is_source| if is_source { source } else { destination });
        let serves = server.filter(|server| self.servers.is_new(*server)).map(SocketAddr::from);
        Course { key: self.keys.of(ends), serves }
    }

    #[inline(never)]
    fn course(&mut self, packet: &Packet<'_>) -> Course {
        match &packet.content {
            Content::Tcp(segment) => self.course_of(packet, segment),
            Content::IcmpError(error) => {
                let ends = [(error.source, error.ports.0), (error.destination, error.ports.1)];
                Course { key: self.keys.of(ends), serves: None }
            }
            _ => Course { key: 0, serves: None },
        }
    }
}

/// Whether the sender of a segment serves, or the receiver does; `None` where it does not tell.
#[inline]
fn serving(segment: &Segment<'_>) -> Option<bool> {
    if segment.flags.syn() {
        return Some(segment.flags.ack());
    }
    match segment.payload {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', ..] => Some(true),
        payload => looks_like_request(payload).then_some(false),
    }
}

/// Whether octets begin like a request: of HTTP with a method that is in common use, or of FastCGI.
#[inline]
#[must_use]
pub fn looks_like_request(octets: &[u8]) -> bool {
    // By the first octet most that is no request is told apart, and each method is compared once.
    match octets.first() {
        Some(b'G') => octets.starts_with(b"GET "),
        Some(b'P') => octets.starts_with(b"POST ") || octets.starts_with(b"PUT ") || octets.starts_with(b"PATCH "),
        Some(b'H') => octets.starts_with(b"HEAD "),
        Some(b'D') => octets.starts_with(b"DELETE "),
        Some(b'O') => octets.starts_with(b"OPTIONS "),
        Some(b'C') => octets.starts_with(b"CONNECT "),
        Some(b'T') => octets.starts_with(b"TRACE "),
        Some(&fastcgi::VERSION) => fastcgi::begins_request(octets),
        _ => false,
    }
}

/// Endpoints that were seen to serve, so that a connection that began before the capture gets its roles.
#[derive(Debug)]
struct Servers {
    known: HashSet<End>,
    most: usize,
    /// Of those with a port of the same remainder the one that was seen last.
    recent: [Option<End>; RECENT],
}

impl Servers {
    fn new(most: usize) -> Self {
        Self { known: HashSet::new(), most, recent: [None; RECENT] }
    }

    /// Whether it is the first time that this one is seen to serve.
    #[inline]
    fn is_new(&mut self, server: End) -> bool {
        match self.recent.get_mut(usize::from(server.1) % RECENT) {
            Some(Some(recent)) if *recent == server => false,
            Some(recent) => {
                *recent = Some(server);
                self.add(server)
            }
            None => self.add(server),
        }
    }

    #[cold]
    fn add(&mut self, server: End) -> bool {
        self.known.len() < self.most && self.known.insert(server)
    }
}

/// How often all that are steered to look at what waits and what is over.
const LOOK: Duration = Duration::from_millis(100);
/// Endpoints that are found without hashing.
const RECENT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_one_key_whoever_sends() {
        let keys = Keys::default();
        let end = |text: &str| {
            let end: SocketAddr = text.parse().unwrap();
            (end.ip(), end.port())
        };
        let [client, server, other] = ["10.0.0.1:40000", "10.0.0.2:80", "[2001:db8::1]:80"].map(end);
        assert_eq!(keys.of([client, server]), keys.of([server, client]));
        assert_ne!(keys.of([client, server]), keys.of([client, other]));
    }

    #[test]
    fn a_server_is_new_once() {
        let mut servers = Servers::new(3);
        let server = |last: u8, port: u16| (IpAddr::from([10, 0, 0, last]), port);
        let seen = [server(1, 80), server(1, 80), server(2, 80), server(1, 80), server(1, 144), server(3, 80)];
        assert_eq!(seen.map(|server| servers.is_new(server)), [true, false, true, false, true, false]);
    }

    #[test]
    fn time_comes_by_the_frames_and_begins_anew_where_the_clock_steps_back() {
        let mut steer = Steer::new(&Limits::default());
        let times =
            [5_000, 5_099, 5_100, 5_150, 1_000, 1_050, 1_100].map(|ms: i64| Timestamp::from_nanos(ms * 1_000_000));
        assert_eq!(times.map(|at| steer.is_time(at)), [true, false, true, false, true, false, true]);
    }
}
