//! The pcap file format (draft-ietf-opsawg-pcap), all its common dialects: in comes a window of octets, out come the file
//! header and the packet records. The caller moves the window.

use std::ops::Range;

use thiserror::Error;

use crate::time::Timestamp;
use crate::wire::link::LinkType;

/// The order of a file's multi-octet numbers: that of the machine that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Least significant octet first.
    Little,
    /// Most significant octet first.
    Big,
}

impl Order {
    /// Two octets as a number.
    #[inline]
    #[must_use]
    pub const fn u16(self, octets: [u8; 2]) -> u16 {
        match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        }
    }

    /// Four octets as a number.
    #[inline]
    #[must_use]
    pub const fn u32(self, octets: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        }
    }

    /// Numbers of four octets each, which stand together.
    #[inline]
    #[must_use]
    pub fn numbers<const COUNT: usize>(self, octets: [[u8; 4]; COUNT]) -> [u32; COUNT] {
        let numbers = octets.map(u32::from_le_bytes);
        match self {
            Self::Little => numbers,
            Self::Big => swapped(numbers),
        }
    }

    /// Eight octets as a number.
    #[inline]
    #[must_use]
    pub const fn u64(self, octets: [u8; 8]) -> u64 {
        match self {
            Self::Little => u64::from_le_bytes(octets),
            Self::Big => u64::from_be_bytes(octets),
        }
    }
}

/// Kept apart: it is rare, and would be done each time to be chosen from.
#[cold]
fn swapped<const COUNT: usize>(numbers: [u32; COUNT]) -> [u32; COUNT] {
    numbers.map(u32::swap_bytes)
}

/// Why a window yields nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// The item goes on behind the window; with `needed` octets, counted from the window's begin, more can be said.
    #[error("{needed} octets are needed")]
    Truncated {
        /// Octets from the window's begin; more than the window holds.
        needed: usize,
    },
    /// The octets break a rule of the format.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The rule of the pcap format that the octets break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// The first four octets are none of the magic numbers.
    #[error("the file does not begin with a magic number of pcap")]
    Magic,
    /// Only major version 2 (and 543, which one vendor wrote) was ever in use.
    #[error("the file header names version {0}.{1}, and only version 2 is known")]
    Version(u16, u16),
    /// A record declares more captured octets than a packet can have.
    #[error("a packet record declares {captured} captured octets, and no packet may have more than {limit} here")]
    Length {
        /// Captured octets declared.
        captured: u32,
        /// Octets allowed.
        limit: u32,
    },
    /// A record header of zeros: nobody captures no octets of an empty packet in 1970. It is what a file system leaves
    /// behind where a tail was allocated and not written.
    #[error("a packet record's header is all zeros, as in a tail that was never written")]
    Zeros,
}

/// The file header: how to read the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Octet order of all headers.
    pub order: Order,
    /// Link type of all packets, without the FCS bits that stand above it.
    pub link: LinkType,
    /// Most octets captured of a packet, as declared; 0 and lies are frequent.
    pub snaplen: u32,
    nanoseconds_per_fraction: i64,
    record_header: usize,
    swapped: Swapped,
    limit: u32,
}

/// Before version 2.4 some writers put the original length before the captured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swapped {
    No,
    Perhaps,
    Yes,
}

/// One packet record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it was captured.
    pub at: Timestamp,
    /// Octets on the wire.
    pub length: u32,
    /// Where in the window the captured octets stand; their end is the record's end.
    pub octets: Range<usize>,
}

impl Header {
    /// Octets of the file header.
    pub const OCTETS: usize = 24;

    /// Reads the file header at the begin of `window`; [`Self::OCTETS`] octets long.
    ///
    /// # Errors
    ///
    /// Truncated before 24 octets; malformed where magic number or version are unknown.
    pub fn read(window: &[u8]) -> Result<Self, Unreadable> {
        let Some(header) = window.first_chunk::<{ Self::OCTETS }>() else {
            return Err(Unreadable::Truncated { needed: Self::OCTETS });
        };
        let ([magic, version, _zone, _accuracy, snaplen, link], _) = header.as_chunks::<4>() else {
            return Err(Unreadable::Truncated { needed: Self::OCTETS });
        };
        let (order, dialect) = magic_number(*magic).ok_or(Malformed::Magic)?;
        let [a, b, c, d] = *version;
        let (major, minor) = (order.u16([a, b]), order.u16([c, d]));
        let swapped = match (major, minor) {
            (2, 0..=2) | (543, _) => Swapped::Yes,
            (2, 3) => Swapped::Perhaps,
            (2, _) => Swapped::No,
            _ => return Err(Malformed::Version(major, minor).into()),
        };
        let snaplen = order.u32(*snaplen);
        Ok(Self {
            order,
            link: link_type((order.u32(*link) & 0xffff) as u16),
            snaplen,
            nanoseconds_per_fraction: if dialect == Dialect::Nanoseconds { 1 } else { 1000 },
            record_header: if dialect == Dialect::Modified { 24 } else { 16 },
            swapped,
            limit: match snaplen {
                0 => LARGEST_PACKET,
                _ => snaplen.clamp(LARGEST_BEYOND_SNAPLEN, LARGEST_PACKET),
            },
        })
    }

    /// Reads the packet record at the begin of `window`.
    ///
    /// # Errors
    ///
    /// Truncated where the record goes on behind the window; malformed where its length cannot be true.
    #[inline]
    pub fn record(&self, window: &[u8]) -> Result<Record, Unreadable> {
        let Some(header) = window.first_chunk::<16>() else {
            return Err(Unreadable::Truncated { needed: self.record_header });
        };
        let ([seconds, fraction, captured, length], _) = header.as_chunks::<4>() else {
            return Err(Unreadable::Truncated { needed: self.record_header });
        };
        let [seconds, fraction, mut captured, mut length] =
            self.order.numbers([*seconds, *fraction, *captured, *length]);
        if self.swapped != Swapped::No && (self.swapped == Swapped::Yes || captured > length) {
            (captured, length) = (length, captured);
        }
        if captured > self.limit {
            return Err(Malformed::Length { captured, limit: self.limit }.into());
        }
        if captured == 0 && *header == [0; 16] {
            return Err(Malformed::Zeros.into());
        }
        let end = self.record_header + captured as usize;
        if window.len() < end {
            return Err(Unreadable::Truncated { needed: end });
        }
        // 2^32 seconds and 2^32 microseconds stay below 2^63 nanoseconds.
        let nanoseconds = i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * self.nanoseconds_per_fraction;
        let at = Timestamp::from_nanos(nanoseconds);
        Ok(Record { at, length: length.max(captured), octets: self.record_header..end })
    }
}

/// Whether a pcap file may begin with `octets`; of fewer than four, as far as they reach.
#[must_use]
pub fn may_begin(octets: &[u8]) -> bool {
    let octets = octets.get(..4).unwrap_or(octets);
    MAGIC_NUMBERS
        .iter()
        .any(|(magic, _)| magic.to_le_bytes().starts_with(octets) || magic.to_be_bytes().starts_with(octets))
}

/// The link type that a file's number stands for. The values that raw IP has inside BSD and Linux kernels got into files
/// before `LINKTYPE_RAW` was assigned.
#[must_use]
pub const fn link_type(number: u16) -> LinkType {
    match number {
        12 | 14 => LinkType::RAW,
        _ => LinkType(number),
    }
}

fn magic_number(octets: [u8; 4]) -> Option<(Order, Dialect)> {
    MAGIC_NUMBERS.iter().find_map(|&(magic, dialect)| {
        if octets == magic.to_le_bytes() {
            Some((Order::Little, dialect))
        } else if octets == magic.to_be_bytes() {
            Some((Order::Big, dialect))
        } else {
            None
        }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Microseconds,
    Nanoseconds,
    /// Eight more octets in each record header: interface, protocol, packet type.
    Modified,
}

const MAGIC_NUMBERS: [(u32, Dialect); 3] =
    [(0xa1b2_c3d4, Dialect::Microseconds), (0xa1b2_3c4d, Dialect::Nanoseconds), (0xa1b2_cd34, Dialect::Modified)];

/// No packet is larger: the greatest snaplen of any link type (USB and D-Bus messages) is half of it.
pub const LARGEST_PACKET: u32 = 256 << 20;

/// Packets larger than the declared snaplen occur in valid files (segmentation offload, merged files), up to this.
const LARGEST_BEYOND_SNAPLEN: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(order: Order, magic: u32, version: (u16, u16), snaplen: u32, link: u32) -> Vec<u8> {
        let numbers = |numbers: &[u32]| record(order, numbers, b"");
        let version = match order {
            Order::Little => [version.0.to_le_bytes(), version.1.to_le_bytes()].concat(),
            Order::Big => [version.0.to_be_bytes(), version.1.to_be_bytes()].concat(),
        };
        [numbers(&[magic]), version, numbers(&[0, 0, snaplen, link])].concat()
    }

    fn record(order: Order, fields: &[u32], octets: &[u8]) -> Vec<u8> {
        let mut record: Vec<u8> = fields
            .iter()
            .flat_map(|&field| match order {
                Order::Little => field.to_le_bytes(),
                Order::Big => field.to_be_bytes(),
            })
            .collect();
        record.extend(octets);
        record
    }

    fn check(file_header: &[u8], octets: &[u8], expected: Result<(i64, u32, Range<usize>), Unreadable>) {
        let header = Header::read(file_header).unwrap();
        let read = header.record(octets).map(|record| (record.at.as_nanos(), record.length, record.octets));
        assert_eq!(read, expected);
    }

    const NANOS: i64 = 1_700_000_000_000_000_000;
    const SECONDS: u32 = 1_700_000_000;

    #[test]
    fn every_magic_number_is_read_in_both_octet_orders() {
        for order in [Order::Little, Order::Big] {
            let plain = record(order, &[SECONDS, 7, 3, 60], b"abc");
            check(&header(order, 0xa1b2_c3d4, (2, 4), 65535, 1), &plain, Ok((NANOS + 7000, 60, 16..19)));
            check(&header(order, 0xa1b2_3c4d, (2, 4), 65535, 1), &plain, Ok((NANOS + 7, 60, 16..19)));
            let long = record(order, &[SECONDS, 7, 3, 60, 2, 0x0800_0000], b"abc");
            check(&header(order, 0xa1b2_cd34, (2, 4), 65535, 1), &long, Ok((NANOS + 7000, 60, 24..27)));
        }
    }

    #[test]
    fn the_link_type_is_read_without_the_fcs_bits_above_it() {
        let read = |link| Header::read(&header(Order::Little, 0xa1b2_c3d4, (2, 4), 0, link)).unwrap().link;
        assert_eq!(read(0x2400_0001), LinkType::ETHERNET);
        assert_eq!(read(276), LinkType::LINUX_SLL2);
        assert_eq!(read(12), LinkType::RAW);
    }

    #[test]
    fn old_versions_put_the_original_length_first() {
        let octets = record(Order::Little, &[SECONDS, 0, 60, 3], b"abc");
        check(&header(Order::Little, 0xa1b2_c3d4, (2, 2), 0, 1), &octets, Ok((NANOS, 60, 16..19)));
        check(&header(Order::Little, 0xa1b2_c3d4, (2, 3), 0, 1), &octets, Ok((NANOS, 60, 16..19)));
        let octets = record(Order::Little, &[SECONDS, 0, 3, 60], b"abc");
        check(&header(Order::Little, 0xa1b2_c3d4, (2, 3), 0, 1), &octets, Ok((NANOS, 60, 16..19)));
    }

    #[test]
    fn a_packet_may_exceed_the_snaplen_up_to_a_mebibyte() {
        let octets = record(Order::Little, &[SECONDS, 0, 5, 5], b"abcde");
        check(&header(Order::Little, 0xa1b2_c3d4, (2, 4), 2, 1), &octets, Ok((NANOS, 5, 16..21)));
        let file = header(Order::Little, 0xa1b2_c3d4, (2, 4), 2, 1);
        let limit = 1 << 20;
        let at_limit = record(Order::Little, &[SECONDS, 0, limit, limit], b"");
        check(&file, &at_limit, Err(Unreadable::Truncated { needed: 16 + (1 << 20) }));
        let beyond = record(Order::Little, &[SECONDS, 0, limit + 1, limit + 1], b"");
        check(&file, &beyond, Err(Malformed::Length { captured: limit + 1, limit }.into()));
    }

    #[test]
    fn a_snaplen_of_zero_bounds_nothing_but_the_impossible() {
        let file = header(Order::Big, 0xa1b2_c3d4, (2, 4), 0, 1);
        let large = 200 << 20;
        let octets = record(Order::Big, &[SECONDS, 0, large, large], b"");
        check(&file, &octets, Err(Unreadable::Truncated { needed: 16 + (200 << 20) }));
        let octets = record(Order::Big, &[SECONDS, 0, u32::MAX, 60], b"");
        check(&file, &octets, Err(Malformed::Length { captured: u32::MAX, limit: LARGEST_PACKET }.into()));
    }

    #[test]
    fn a_record_header_of_zeros_is_no_packet() {
        let file = header(Order::Little, 0xa1b2_c3d4, (2, 4), 0, 1);
        check(&file, &[0; 64], Err(Malformed::Zeros.into()));
        let empty = record(Order::Little, &[0, 1, 0, 0], b"");
        check(&file, &empty, Ok((1000, 0, 16..16)));
    }

    #[test]
    fn a_cut_record_says_how_many_octets_are_needed() {
        let file = header(Order::Little, 0xa1b2_c3d4, (2, 4), 0, 1);
        check(&file, b"", Err(Unreadable::Truncated { needed: 16 }));
        let octets = record(Order::Little, &[SECONDS, 0, 4, 4], b"abc");
        check(&file, &octets, Err(Unreadable::Truncated { needed: 20 }));
    }

    #[test]
    fn an_unknown_magic_number_or_version_is_malformed() {
        assert_eq!(Header::read(&[b'x'; 24]), Err(Malformed::Magic.into()));
        assert_eq!(Header::read(&header(Order::Big, 0xa1b2_c3d4, (3, 1), 0, 1)), Err(Malformed::Version(3, 1).into()));
        assert_eq!(Header::read(&[0xd4, 0xc3]), Err(Unreadable::Truncated { needed: 24 }));
    }

    #[test]
    fn a_magic_number_is_recognised_from_its_first_octets() {
        assert!(may_begin(b""));
        assert!(may_begin(&[0xd4]));
        assert!(may_begin(&[0xa1, 0xb2, 0x3c]));
        assert!(may_begin(&[0xa1, 0xb2, 0xcd, 0x34, 0]));
        assert!(!may_begin(&[0xa1, 0xb3]));
        assert!(!may_begin(b"PK\x03\x04"));
    }
}
