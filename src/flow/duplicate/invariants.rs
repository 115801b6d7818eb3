//! What no hop changes of a packet, as a hash.

use std::net::{IpAddr, Ipv4Addr};

use crate::wire::packet::{Content, Packet, Segment};

/// Hashes of what a copy never changes, and of the TCP options.
pub(super) fn invariants(packet: &Packet<'_>) -> Option<(u64, u16)> {
    match &packet.content {
        Content::Tcp(segment) => Some(segment_invariants(packet.identification, segment)),
        _ => Some((other_invariants(packet)?, NO_OPTIONS)),
    }
}

fn address_pair(source: Ipv4Addr, destination: Ipv4Addr) -> u64 {
    u64::from(source.to_bits()) << 32 | u64::from(destination.to_bits())
}

#[inline(always)] // It is asked of nearly every packet.
pub(super) fn segment_invariants(identification: u16, segment: &Segment<'_>) -> (u64, u16) {
    let mut hash = Hash::new();
    hash.add(
        u64::from(segment.sequence) << 32 | u64::from(segment.acknowledgement),
        u64::from(segment.window) << 48
            | u64::from(segment.length & 0xff_ffff) << 24
            | u64::from(identification) << 8
            | u64::from(segment.flags.0),
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
        (0, ..) => return NO_OPTIONS,
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
fn other_invariants(packet: &Packet<'_>) -> Option<u64> {
    let mut hash = Hash::new();
    let addresses = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => address_pair(source, destination),
        (source, destination) => hash.addresses(source, destination),
    };
    let identification = u64::from(packet.identification) << 16;
    let ports = |(source, destination): (u16, u16)| u64::from(source) << 48 | u64::from(destination) << 32;
    match &packet.content {
        Content::Udp(datagram) => {
            hash.add(u64::from(datagram.length), identification | KIND_UDP);
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

const KIND_UDP: u64 = 2;
const KIND_ICMP: u64 = 3;
const KIND_FRAGMENT: u64 = 4;

/// The mark of no options at all.
pub(super) const NO_OPTIONS: u16 = 0;
