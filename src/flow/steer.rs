//! Which connection's a packet is, without following any: frames come in, packets go out, each with the key of the connection
//! that it belongs to. What has to be known of all packets is known here: copies are left out, fragments are put together, and
//! it is remembered who serves. So whoever has several processors can give the connections to several shards by their keys, and
//! each of them knows what one alone would.

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use hashbrown::{DefaultHashBuilder, HashSet};

use crate::event::{Endpoint, Frame, Moment};
use crate::flow::defrag::{Defragmenter, Reassembled};
use crate::flow::duplicate::{Duplicates, Routed, Sighting, Whose};
use crate::flow::translation::Translations;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::cgi;
use crate::wire::link::LinkType;
use crate::wire::packet::{self, Content, Datagram, Flags, IcmpError, Packet, Passage, Plain, Segment, Undecodable};

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

/// What a frame holds.
pub enum Held<'p, 'a> {
    /// A segment.
    Segment(Sent<'a>),
    /// Another packet.
    Other(&'p Packet<'a>),
    /// The last fragment of a packet.
    Reassembled(Box<Reassembled>),
    /// A copy that tells something of the connection that it was first seen on.
    Beyond(Beyond),
}

/// A packet that was seen again, behind a router.
#[derive(Clone, Copy, Debug)]
pub struct Beyond {
    /// Whether the lesser one of the two ends sent it, as they were before.
    pub from_lesser: bool,
    /// To whom it goes on.
    pub to: Endpoint,
    /// Whether the capturing host is that router.
    pub forwarded: bool,
}

/// A segment, and what its packet says of it.
#[derive(Clone, Copy, Debug)]
pub struct Sent<'a> {
    /// Who sent it, and to whom.
    pub between: [End; 2],
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Which way it passed the capturing host.
    pub passage: Passage,
    /// The segment.
    pub segment: Segment<'a>,
}

impl<'a> Sent<'a> {
    /// The segment of a packet.
    #[must_use]
    pub fn of(packet: &Packet<'_>, segment: Segment<'a>) -> Self {
        let between = [(packet.source, segment.source_port), (packet.destination, segment.destination_port)];
        Self { between, ttl: packet.ttl, passage: packet.passage, segment }
    }

    /// The one of a packet that is plain.
    #[inline(always)] // It is not laid down in memory then.
    #[must_use]
    pub fn plain(plain: &Plain<'a>) -> Self {
        let Plain { source, destination, ttl, passage, segment, .. } = *plain;
        let (source, destination) = (IpAddr::V4(source), IpAddr::V4(destination));
        Self {
            between: [(source, segment.source_port), (destination, segment.destination_port)],
            ttl,
            passage,
            segment,
        }
    }
}

/// What became of a frame, if its packet is plain.
pub enum Taken<'a> {
    /// It is this segment, and is to go there.
    Segment(Sent<'a>, Course),
    /// It is a copy, and this of it is to go there.
    Beyond(Beyond, Course),
    /// It is a copy.
    Copy,
    /// Its packet is not plain.
    Nothing,
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

/// Whether the first one of two ends is the lesser one.
#[inline]
#[must_use]
pub fn is_lesser([one, other]: [End; 2]) -> bool {
    (one.1, one.0) < (other.1, other.0)
}

/// What steers.
#[derive(Debug)]
pub struct Steer {
    keys: Keys,
    duplicates: Duplicates,
    translations: Translations,
    defragmenter: Defragmenter,
    servers: Servers,
    counters: Counters,
    /// The span, from its begin up to its end, in which it is not time to look again.
    rests: [Timestamp; 2],
}

impl Steer {
    /// Nothing was seen so far.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            keys: Keys::default(),
            duplicates: Duplicates::new(limits),
            translations: Translations::new(limits),
            defragmenter: Defragmenter::new(limits),
            servers: Servers::new(limits.connections),
            counters: Counters::default(),
            rests: [Timestamp::from_nanos(i64::MAX); 2],
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
        let [from, until] = self.rests;
        let is_time = at < from || at >= until;
        if is_time {
            self.rests = [at, at + LOOK];
        }
        is_time
    }

    /// Takes a frame, and gives its packet where it has one that is no copy and no part.
    #[inline]
    pub fn take(&mut self, captured: &Captured<'_>, give: impl FnOnce(Held<'_, '_>, Course)) {
        match self.take_plain(captured) {
            Taken::Segment(sent, course) => give(Held::Segment(sent), course),
            Taken::Beyond(beyond, course) => give(Held::Beyond(beyond), course),
            Taken::Copy => {}
            Taken::Nothing => self.take_other(captured, give),
        }
    }

    /// Takes a frame whose packet is plain; of any other nothing is taken, and it is for [`Self::take_other`].
    #[inline(always)] // Nearly all is decided by what is at hand here.
    pub fn take_plain<'a>(&mut self, captured: &Captured<'a>) -> Taken<'a> {
        let Some(plain) = packet::plain(captured.link, captured.octets) else { return Taken::Nothing };
        self.count(captured);
        let sent = Sent::plain(&plain);
        let whose = self.whose(sent.between);
        let sighting = match self.translations.is_known(whose.key, captured.at, sent.segment.flags) {
            true => Sighting::Copy,
            false => self.duplicates.see_plain(captured.at, point(captured), &plain, whose),
        };
        if sighting == Sighting::First {
            return Taken::Segment(sent, self.course_of(whose.key, sent.between, &sent.segment));
        }
        match self.copy(sighting, sent.between, whose.key, captured.at) {
            Some((beyond, course)) => Taken::Beyond(beyond, course),
            None => Taken::Copy,
        }
    }

    #[inline]
    fn whose(&self, between: [End; 2]) -> Whose {
        Whose { key: self.keys.of(between), from_lesser: is_lesser(between) }
    }

    /// Counts a copy. What it tells is given back.
    #[cold]
    fn copy(&mut self, sighting: Sighting, between: [End; 2], key: u64, at: Timestamp) -> Option<(Beyond, Course)> {
        self.counters.duplicates += 1;
        let Sighting::Routed(Routed { first, translated, forwarded }) = sighting else { return None };
        let is_news = match translated {
            true => self.translations.learn(key, at),
            false => forwarded && self.translations.note_forwarded(key),
        };
        let [_, to] = between;
        is_news.then(|| {
            let beyond = Beyond { from_lesser: first.from_lesser, to: to.into(), forwarded };
            (beyond, Course { key: first.key, serves: None })
        })
    }

    /// Takes a frame whose packet is not plain.
    #[inline(never)]
    pub fn take_other(&mut self, captured: &Captured<'_>, give: impl FnOnce(Held<'_, '_>, Course)) {
        self.count(captured);
        let decoded = packet::decode_other(captured.link, captured.octets, captured.length);
        let packet = match &decoded {
            Ok(packet) => packet,
            Err(Undecodable::NotIp) => return,
            Err(_) => {
                self.counters.undecodable += 1;
                return;
            }
        };
        let (between, key) = (ends(packet), self.key(packet));
        let whose = between.map_or(Whose::NOBODY, |between| Whose { key, from_lesser: is_lesser(between) });
        let sighting = match self.is_translated(packet, key, captured.at) {
            true => Sighting::Copy,
            false => self.duplicates.see(captured.at, point(captured), packet, whose),
        };
        if sighting != Sighting::First {
            let told = between.and_then(|between| self.copy(sighting, between, key, captured.at));
            if let Some((beyond, course)) = told {
                give(Held::Beyond(beyond), course);
            }
            return;
        }
        let course = self.course(packet, key);
        match &packet.content {
            Content::Tcp(segment) => give(Held::Segment(Sent::of(packet, *segment)), course),
            Content::Fragment(fragment) => {
                let Some(whole) = self.defragmenter.push(captured.at, packet, fragment) else { return };
                let course = match whole.packet() {
                    Ok(Packet { content: Content::Fragment(_), .. }) | Err(_) => return,
                    Ok(packet) => {
                        let key = self.key(&packet);
                        if self.is_translated(&packet, key, captured.at) {
                            self.counters.duplicates += 1;
                            return;
                        }
                        self.course(&packet, key)
                    }
                };
                give(Held::Reassembled(Box::new(whole)), course);
            }
            _ => give(Held::Other(packet), course),
        }
    }

    /// The key of what a packet belongs to: of its connection, or of the one whose packet it quotes.
    fn key(&self, packet: &Packet<'_>) -> u64 {
        let quoted = |error: &IcmpError| [(error.source, error.ports.0), (error.destination, error.ports.1)];
        match &packet.content {
            Content::IcmpError(error) => self.keys.of(quoted(error)),
            _ => ends(packet).map_or(0, |between| self.keys.of(between)),
        }
    }

    /// Whether a packet is of a connection that was another one before a router, or an error that quotes such a packet.
    fn is_translated(&mut self, packet: &Packet<'_>, key: u64, at: Timestamp) -> bool {
        let flags = match &packet.content {
            Content::Tcp(segment) => segment.flags,
            // The host will have told it of the connection as it was before, too.
            Content::IcmpError(_) => Flags(0),
            _ => return false,
        };
        self.translations.is_known(key, at, flags)
    }

    #[inline]
    fn count(&mut self, captured: &Captured<'_>) {
        self.counters.frames += 1;
        if (captured.octets.len() as u64) < u64::from(captured.length) {
            self.counters.truncated += 1;
        }
    }

    #[inline(always)] // It is asked of nearly every packet.
    fn course_of(&mut self, key: u64, between: [End; 2], segment: &Segment<'_>) -> Course {
        Course { key, serves: self.servers.told_by(between, segment) }
    }

    #[inline(never)]
    fn course(&mut self, packet: &Packet<'_>, key: u64) -> Course {
        match &packet.content {
            Content::Tcp(segment) => self.course_of(key, Sent::of(packet, *segment).between, segment),
            Content::IcmpError(_) => Course { key, serves: None },
            _ => Course { key: 0, serves: None },
        }
    }
}

/// The ends of what has ports.
pub(super) fn ends(packet: &Packet<'_>) -> Option<[End; 2]> {
    match &packet.content {
        Content::Tcp(segment) => Some(Sent::of(packet, *segment).between),
        Content::Udp(Datagram { source_port, destination_port, .. }) => {
            Some([(packet.source, *source_port), (packet.destination, *destination_port)])
        }
        _ => None,
    }
}

/// Where a frame was captured: by which host, in which input, and on which of its interfaces.
#[inline]
fn point(captured: &Captured<'_>) -> u32 {
    let [host, input] = [captured.frame.host(), captured.frame.input() as u8].map(u32::from);
    host << 28 | input << 20 | captured.interface & 0xf_ffff
}

/// Whether octets begin like a request: of HTTP with a method that is in common use, of FastCGI, uwsgi or SCGI.
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
        Some(0..b' ' | b'0'..=b'9') => cgi::begins_request(octets),
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

    /// The one that is seen to serve by a segment, where that is the first time.
    #[inline(always)] // It is asked of nearly every packet.
    fn told_by(&mut self, [source, destination]: [End; 2], segment: &Segment<'_>) -> Option<Endpoint> {
        let server = match segment.flags.syn() {
            true if segment.flags.ack() => source,
            true => destination,
            false if segment.payload.starts_with(b"HTTP/1.") => source,
            // What is known need not be proved.
            false if self.is_recent(destination) || !looks_like_request(segment.payload) => return None,
            false => destination,
        };
        self.is_new(server).then(|| server.into())
    }

    /// Whether it is known to serve, as far as can be seen at once.
    #[inline]
    fn is_recent(&self, server: End) -> bool {
        self.recent.get(usize::from(server.1) % RECENT).is_some_and(|recent| *recent == Some(server))
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
    use std::net::SocketAddr;

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
