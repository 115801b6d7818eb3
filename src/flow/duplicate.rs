//! Copies of a packet: `-i any` shows what passes a bridge or a tunnel once per interface, a mirror port what comes in
//! and what goes out again. Packets come in; whether one is a copy of an earlier one comes out. Whatever counts packets
//! must not see the copies: each would look like a retransmission.
//!
//! A copy agrees with its original in everything that no hop changes: addresses, ports, sequence numbers, flags, window,
//! length, IP identification and the beginning of the payload. So does a retransmission, but for the identification,
//! which most hosts count up for every packet they send; they leave it 0 in some (RFC 6864 section 4.1 allows that), and
//! IPv6 has none. What else can tell then:
//!
//! | seen on                        | identification | a copy if                                                     |
//! |--------------------------------|----------------|---------------------------------------------------------------|
//! | the same interface, same TTL   | not 0          | within the window                                             |
//! | the same interface, same TTL   | 0 or none      | within 20 µs, the TCP options (timestamps) are the same too;  |
//! |                                |                | for bare ACKs and RSTs: and the interface doubles packets     |
//! | another interface or TTL       | not 0          | within the window, the TTLs are near                          |
//! | another interface or TTL       | 0 or none      | the same, and the TCP options are the same or it is a SYN     |
//!
//! A host that gets two segments for a connection that it does not have answers with two RSTs that nothing tells apart.
//! An interface doubles packets if it lately showed a copy that can be nothing else.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::packet::{Content, Packet, Plain, Segment};

/// The packets of late, by what a copy cannot change. 37 octets a packet.
#[derive(Debug)]
pub struct Duplicates {
    window: Duration,
    /// A power of two of sets, and what to look at first of each. Next to no packet is a copy: that tells it of nearly all, in few
    /// lines of the processor's cache.
    tags: Box<[Tags]>,
    sets: Box<[[Seen; WAYS]]>,
    /// The interfaces that showed a certain copy last, and when; by the interface's number.
    doubling: [Doubling; 16],
}

impl Duplicates {
    /// Remembers about `duplicate_memory` packets for `duplicate_window`.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let sets = limits.duplicate_memory.div_ceil(WAYS).next_power_of_two();
        Self {
            window: limits.duplicate_window,
            tags: vec![Tags::default(); sets].into_boxed_slice(),
            sets: vec![[Seen::NEVER; WAYS]; sets].into_boxed_slice(),
            doubling: [Doubling { interface: (0, 0), at: Timestamp::from_nanos(i64::MIN) }; 16],
        }
    }

    /// Whether `packet` is a copy of one that was seen before, on `interface` or another. Indices of interfaces of
    /// different inputs must differ. Packets whose content is [`Content::Other`] or
    /// [`Content::Neighbour`] are never copies.
    pub fn is_copy(&mut self, at: Timestamp, interface: u32, packet: &Packet<'_>) -> bool {
        let Some((hash, options)) = invariants(packet) else {
            return false;
        };
        self.was_seen(Seen {
            hash,
            at,
            interface: (interface, packet.interface.unwrap_or_default()),
            options,
            ttl: packet.ttl,
            is_identified: is_identified(packet),
            form: form(packet),
            is_spent: false,
        })
    }

    /// The same of a packet that is plain.
    #[inline(always)] // It is asked of nearly every packet, from one place.
    pub fn is_plain_copy(&mut self, at: Timestamp, interface: u32, plain: &Plain<'_>) -> bool {
        let addresses = address_pair(plain.source, plain.destination);
        let (hash, options) = segment_invariants(Hash::new(), addresses, plain.identification, &plain.segment);
        self.was_seen(Seen {
            hash,
            at,
            interface: (interface, plain.interface.unwrap_or_default()),
            options,
            ttl: plain.ttl,
            is_identified: plain.identification != 0,
            form: segment_form(&plain.segment),
            is_spent: false,
        })
    }

    /// Whether a packet is a copy of one that was seen, and remembers it where it is none.
    #[inline(always)] // Not inlined what is seen has to be laid down twice.
    fn was_seen(&mut self, seen: Seen) -> bool {
        let Seen { hash, .. } = seen;
        let mask = self.sets.len().wrapping_sub(1);
        let number = usize::try_from(hash >> 32).unwrap_or_default() & mask;
        let (Some(tags), Some(set)) = (self.tags.get_mut(number), self.sets.get_mut(number)) else { return false };
        // A retransmission takes the place of its original: the copies to come are its own. Anything else takes the place of what
        // was put there longest ago.
        let known = tags.find(hash as u32).filter(|way| set.get(*way).is_some_and(|earlier| earlier.hash == hash));
        if let Some(earlier) = known.and_then(|way| set.get_mut(way))
            && seen.is_copy_of(earlier, self.window, &mut self.doubling)
        {
            return true;
        }
        if let Some(earlier) = set.get_mut(known.unwrap_or_else(|| tags.replace_oldest(hash as u32))) {
            *earlier = seen;
        }
        false
    }
}

/// Of each packet of a set a part of its hash.
#[derive(Clone, Copy, Debug, Default)]
struct Tags {
    ways: [u32; WAYS],
    /// Where the next one is put.
    next: u8,
}

impl Tags {
    #[inline]
    fn find(&self, tag: u32) -> Option<usize> {
        self.ways.iter().position(|known| *known == tag)
    }

    /// Where a packet is put, in the place of another one.
    #[inline]
    fn replace_oldest(&mut self, tag: u32) -> usize {
        let way = usize::from(self.next) % WAYS;
        if let Some(oldest) = self.ways.get_mut(way) {
            *oldest = tag;
        }
        self.next = self.next.wrapping_add(1);
        way
    }
}

/// An interface that showed a packet twice.
#[derive(Clone, Copy, Debug)]
struct Doubling {
    interface: (u32, u32),
    at: Timestamp,
}

impl Doubling {
    fn covers(&self, seen: &Seen) -> bool {
        self.interface == seen.interface && seen.at.since(self.at) < DOUBLES_FOR
    }
}

/// What an earlier packet with the same hash is to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// Another packet, which happens to look the same.
    None,
    /// The same packet at another point of its way.
    Elsewhere,
    /// The same packet at the same point.
    Twice,
    /// The same packet, or another one that the same cause had.
    PerhapsTwice,
}

/// A packet, or what is left to compare of it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    hash: u64,
    at: Timestamp,
    /// As the input numbers it, and as the capturing host does: a capture on `any` is one interface of the input.
    interface: (u32, u32),
    options: u16,
    ttl: u8,
    is_identified: bool,
    form: Form,
    /// Whether a copy of it was found by the weakest of the rules, which finds one only.
    is_spent: bool,
}

/// How much a packet has that makes it like no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Syn,
    Payload,
    /// TCP control without payload: the same answer to two causes looks the same.
    Bare,
}

/// IPv6 identifies fragments only.
fn is_identified(packet: &Packet<'_>) -> bool {
    match &packet.content {
        Content::Fragment(fragment) => fragment.identification != 0,
        _ => packet.identification != 0,
    }
}

fn form(packet: &Packet<'_>) -> Form {
    match &packet.content {
        Content::Tcp(segment) => segment_form(segment),
        _ => Form::Payload,
    }
}

#[inline]
fn segment_form(segment: &Segment<'_>) -> Form {
    match segment.length {
        _ if segment.flags.syn() => Form::Syn,
        0 => Form::Bare,
        _ => Form::Payload,
    }
}

impl Seen {
    const NEVER: Self = Self {
        hash: 0,
        at: Timestamp::from_nanos(i64::MIN),
        interface: (0, 0),
        options: 0,
        ttl: 0,
        is_identified: false,
        form: Form::Bare,
        is_spent: false,
    };

    /// Whether it is a copy of an earlier packet with the same hash.
    #[cold]
    fn is_copy_of(self, earlier: &mut Self, window: Duration, doubling: &mut [Doubling; 16]) -> bool {
        let number = self.interface.0.wrapping_add(self.interface.1) & 15;
        let doubling = doubling.get_mut(number as usize);
        match self.likeness(earlier, window) {
            Likeness::None => false,
            Likeness::Elsewhere => true,
            Likeness::Twice => {
                if let Some(doubling) = doubling {
                    *doubling = Doubling { interface: self.interface, at: self.at };
                }
                true
            }
            Likeness::PerhapsTwice => {
                let is_copy = doubling.is_some_and(|doubling| doubling.covers(&self)) && !earlier.is_spent;
                earlier.is_spent |= is_copy;
                is_copy
            }
        }
    }

    fn likeness(&self, earlier: &Self, window: Duration) -> Likeness {
        // One of the two spans is zero. Captures of several interfaces are not always in the order of time.
        let apart = self.at.since(earlier.at).max(earlier.at.since(self.at));
        if apart > window || self.ttl.abs_diff(earlier.ttl) > HOPS {
            return Likeness::None;
        }
        let is_here = self.interface == earlier.interface && self.ttl == earlier.ttl;
        let has_same_options = self.options == earlier.options;
        match (is_here, self.is_identified) {
            (true, true) => Likeness::Twice,
            (true, false) if apart >= TWICE_AT_ONCE || !has_same_options => Likeness::None,
            (true, false) if self.form == Form::Bare => Likeness::PerhapsTwice,
            (true, false) => Likeness::Twice,
            // Routers may lower the segment size that a SYN offers.
            (false, _) if self.is_identified || has_same_options || self.form == Form::Syn => Likeness::Elsewhere,
            (false, _) => Likeness::None,
        }
    }
}

/// Hashes of what a copy never changes, and of the TCP options.
fn invariants(packet: &Packet<'_>) -> Option<(u64, u16)> {
    let hash = Hash::new();
    let addresses = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => address_pair(source, destination),
        (source, destination) => hash.addresses(source, destination),
    };
    match &packet.content {
        Content::Tcp(segment) => Some(segment_invariants(hash, addresses, packet.identification, segment)),
        _ => Some((other_invariants(hash, addresses, packet)?, 0)),
    }
}

#[inline]
fn address_pair(source: Ipv4Addr, destination: Ipv4Addr) -> u64 {
    u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits())
}

#[inline(always)] // It is asked of nearly every packet.
fn segment_invariants(mut hash: Hash, addresses: u64, identification: u16, segment: &Segment<'_>) -> (u64, u16) {
    hash.add(
        addresses,
        u64::from(segment.source_port) << 48
            | u64::from(segment.destination_port) << 32
            | u64::from(identification) << 16
            | u64::from(segment.flags.0) << 8
            | KIND_TCP,
    );
    hash.add(
        u64::from(segment.sequence) << 32 | u64::from(segment.acknowledgement),
        u64::from(segment.window) << 32 | u64::from(segment.length),
    );
    // What stands at one place of a stream is the same each time: its beginning suffices.
    hash.add_octets(segment.payload.get(..16).unwrap_or(segment.payload));
    (hash.0, options_mark(segment.options))
}

/// A hash of TCP options.
#[inline]
fn options_mark(options: &[u8]) -> u16 {
    // Mostly there are timestamps and nothing else.
    let hash = match (options.len(), options.first_chunk::<4>(), options.last_chunk::<8>()) {
        (12, Some(kinds), Some(stamps)) => {
            (u64::from_le_bytes(*stamps) ^ u64::from(u32::from_le_bytes(*kinds))).wrapping_mul(Hash::KEY)
        }
        _ => {
            let mut hash = Hash::new();
            hash.add_many(options.get(..40).unwrap_or(options));
            hash.0
        }
    };
    (hash >> 48) as u16
}

/// The same of what is no TCP.
fn other_invariants(mut hash: Hash, addresses: u64, packet: &Packet<'_>) -> Option<u64> {
    let identification = u64::from(packet.identification) << 16;
    let ports = |(source, destination): (u16, u16)| u64::from(source) << 48 | u64::from(destination) << 32;
    match &packet.content {
        Content::Udp(datagram) => {
            let ports = ports((datagram.source_port, datagram.destination_port));
            hash.add(addresses, ports | identification | KIND_UDP);
            hash.add(u64::from(datagram.length), 0);
            hash.add_octets(datagram.payload);
        }
        Content::IcmpError(error) => {
            hash.add(addresses, ports(error.ports) | identification | u64::from(error.protocol) << 8 | KIND_ICMP);
            hash.add(
                u64::from(error.sequence.unwrap_or_default()) << 32
                    | u64::from(error.icmp_type) << 8
                    | u64::from(error.code),
                hash.addresses(error.source, error.destination),
            );
        }
        Content::Fragment(fragment) => {
            hash.add(
                addresses,
                u64::from(fragment.identification) << 32
                    | u64::from(fragment.protocol) << 16
                    | u64::from(fragment.more) << 8
                    | KIND_FRAGMENT,
            );
            hash.add(u64::from(fragment.offset), 0);
            hash.add_octets(fragment.octets);
        }
        Content::Tcp(_) | Content::Neighbour(_) | Content::Other(_) => return None,
    }
    Some(hash.0)
}

/// Multiply and fold, two words at a time. The keys are fixed, so that the same capture gives the same report; somebody who makes
/// two of his own packets collide hides one of them, which he could as well not have sent.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const KEY: u64 = 0x9e37_79b9_7f4a_7c15;

    #[inline]
    const fn new() -> Self {
        Self(0x243f_6a88_85a3_08d3)
    }

    #[inline]
    fn add(&mut self, one: u64, other: u64) {
        let product = u128::from(self.0 ^ one).wrapping_mul(u128::from(Self::KEY ^ other));
        self.0 = (product as u64) ^ ((product >> 64) as u64).rotate_left(23);
    }

    /// Two addresses as one word.
    #[cold]
    fn addresses(mut self, source: IpAddr, destination: IpAddr) -> u64 {
        for address in [source, destination] {
            let bits = match address {
                IpAddr::V4(address) => u128::from(address.to_bits()),
                IpAddr::V6(address) => address.to_bits(),
            };
            self.add((bits >> 64) as u64, bits as u64);
        }
        self.0
    }

    /// The first 40 octets at most.
    #[inline]
    fn add_octets(&mut self, octets: &[u8]) {
        if let (8..=16, Some(first), Some(last)) = (octets.len(), octets.first_chunk(), octets.last_chunk()) {
            return self.add(u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        }
        self.add_many(octets.get(..40).unwrap_or(octets));
    }

    fn add_many(&mut self, octets: &[u8]) {
        let (pairs, rest) = octets.as_chunks::<16>();
        for pair in pairs {
            let (one, other) = (word(pair.first_chunk()), word(pair.last_chunk()));
            self.add(one, other);
        }
        // What is left over is read from both of its ends.
        let (one, other) = match rest {
            [] => return,
            [_, _, _, _, _, _, _, _, ..] => (word(rest.first_chunk()), word(rest.last_chunk())),
            _ => (rest.iter().fold(1, |word, octet| word << 8 | u64::from(*octet)), 0),
        };
        self.add(one, other);
    }
}

#[inline]
fn word(octets: Option<&[u8; 8]>) -> u64 {
    octets.map_or(0, |octets| u64::from_le_bytes(*octets))
}

const KIND_TCP: u64 = 1;
const KIND_UDP: u64 = 2;
const KIND_ICMP: u64 = 3;
const KIND_FRAGMENT: u64 = 4;

/// Two slots share a cache line.
const WAYS: usize = 4;
/// Routers that a packet may pass between two points of one capture. A reset that somebody on the way forged is further
/// away than that from the one that it anticipates.
const HOPS: u8 = 4;
/// What shows every packet twice does so at once; no sender repeats itself so fast.
const TWICE_AT_ONCE: Duration = Duration::from_micros(20);
/// A doubled connection shows a certain copy with every segment that carries data.
const DOUBLES_FOR: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
