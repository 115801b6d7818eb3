//! The pcapng file format (draft-ietf-opsawg-pcapng): in comes a window of octets, out come blocks. The caller moves the
//! window; what outlives a block (octet order, interfaces, drop counters) is kept in [`Blocks`].
//!
//! Packets need their whole block in the window. Blocks that say nothing of packets are stepped over: the window may end
//! within them, so that a block of any length costs no memory.

pub mod write;

use std::ops::Range;

use thiserror::Error;

use crate::time::Timestamp;
use crate::wire::link::LinkType;
use crate::wire::pcap::{LARGEST_PACKET, Order, link_type};

/// Why a window yields nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unreadable {
    /// The block goes on behind the window; with `needed` octets, counted from the window's begin, more can be said.
    #[error("{needed} octets are needed")]
    Truncated {
        /// Octets from the window's begin; more than the window holds.
        needed: usize,
    },
    /// The octets break a rule of the format.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The rule of draft-ietf-opsawg-pcapng that the octets break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Section 3.1: a block's length covers its own fields and is a multiple of 4.
    #[error("a block of type {block:#x} declares a length of {length} octets, which it cannot have")]
    Length {
        /// The block's type.
        block: u32,
        /// Octets declared.
        length: u32,
    },
    /// Section 3.1: the length is repeated at the block's end.
    #[error("a block declares a length of {front} octets at its begin and of {back} at its end")]
    Trailer {
        /// The length at the begin.
        front: u32,
        /// The number where it must be repeated.
        back: u32,
    },
    /// Section 4.1: the Byte-Order Magic of a section.
    #[error("a section header has {0:02x?} in place of its byte-order magic")]
    ByteOrder([u8; 4]),
    /// Section 4.1: the version is 1.0.
    #[error("a section header names version {0}.{1}, and only version 1 is known")]
    Version(u16, u16),
    /// Section 4.2: an interface is described before its packets.
    #[error("a packet names interface {0}, which the section does not describe")]
    Interface(u32),
    /// Section 4.2: so many interfaces that it must be an accident.
    #[error("a section describes more than {MOST_INTERFACES} interfaces")]
    Interfaces,
    /// Section 4.3: the captured octets stand within the block.
    #[error("a packet declares {captured} captured octets in a block that holds {room}")]
    Captured {
        /// Octets declared.
        captured: u32,
        /// Octets that the block has room for.
        room: u32,
    },
}

/// A block, as far as packets go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Block {
    /// An enhanced, simple or obsolete packet block.
    Packet(Packet),
    /// A record without a packet that takes a frame number in Wireshark: a custom block, a journal entry, a system call.
    Numbered,
    /// A Decryption Secrets Block with a TLS key log: where in the window its text stands.
    KeyLog(Range<usize>),
    /// Anything else.
    Other,
}

/// A packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// When it was captured; simple packet blocks do not say.
    pub at: Option<Timestamp>,
    /// Link type of its interface.
    pub link: LinkType,
    /// Its interface: an index over all sections so far.
    pub interface: u32,
    /// Octets on the wire.
    pub length: u32,
    /// Where in the window the captured octets stand.
    pub octets: Range<usize>,
}

/// Reads a file block by block. Memory: 40 octets an interface of the current section.
#[derive(Clone, Debug)]
pub struct Blocks {
    order: Order,
    interfaces: Vec<Interface>,
    /// Interfaces of the sections before this one.
    interfaces_before: u32,
    /// The length that must stand at the window's begin: the end of a block that was stepped over.
    trailer: Option<u32>,
    drops_before: u64,
}

#[derive(Clone, Copy, Debug)]
struct Interface {
    link: LinkType,
    snaplen: u32,
    units: Units,
    offset_seconds: i64,
    drops: u64,
}

/// What a unit of an interface's time stamps is (`if_tsresol`).
#[derive(Clone, Copy, Debug)]
enum Units {
    /// So many nanoseconds.
    Multiple(u64),
    /// 10 to the power of minus so much of a second; more than 9.
    Decimal(u8),
    /// 2 to the power of minus so much of a second.
    Binary(u8),
}

impl Default for Blocks {
    fn default() -> Self {
        Self { order: Order::Little, interfaces: Vec::new(), interfaces_before: 0, trailer: None, drops_before: 0 }
    }
}

impl Blocks {
    /// Reads what stands at the begin of `window`, and says how many octets to step forward: perhaps more than the window
    /// has. The steps do not depend on how large the windows are.
    ///
    /// # Errors
    ///
    /// Truncated where more octets are needed; malformed where a rule is broken, after which the file cannot be read on.
    #[inline]
    pub fn next(&mut self, window: &[u8]) -> Result<(Block, usize), Unreadable> {
        if let Some(front) = self.trailer {
            let back = self.order.u32(chunk(window, 0)?);
            if back != front {
                return Err(Malformed::Trailer { front, back }.into());
            }
            self.trailer = None;
            return Ok((Block::Other, 4));
        }
        let (block, length) = (self.order.u32(chunk(window, 0)?), self.order.u32(chunk(window, 4)?));
        match block {
            ENHANCED_PACKET | OBSOLETE_PACKET => self.packet(window, block, length),
            SIMPLE_PACKET => self.simple_packet(window, length),
            SECTION_HEADER => self.section(window),
            INTERFACE_DESCRIPTION => self.interface(window, length),
            INTERFACE_STATISTICS => self.statistics(window, length),
            DECRYPTION_SECRETS => self.secrets(window, length),
            CUSTOM | CUSTOM_NOT_COPIED | JOURNAL | SYSTEM_CALL => self.step_over(Block::Numbered, block, length),
            _ => self.step_over(Block::Other, block, length),
        }
    }

    /// The enhanced packet block at the begin of `window`, where it is whole and breaks no rule, and how many octets to step
    /// forward: most of all blocks, in little-endian files. Whatever is not found like this [`Self::next`] finds.
    #[inline]
    #[must_use]
    pub fn packet_at_hand(&self, window: &[u8]) -> Option<(Packet, usize)> {
        let (header, _) = window.first_chunk::<28>()?.as_chunks::<4>();
        let header = header.first_chunk::<7>()?.map(u32::from_le_bytes);
        let [ENHANCED_PACKET, length, number, high, low, captured, original] = header else { return None };
        let interface = self.interfaces.get(number as usize)?;
        let room = packet_room(ENHANCED_PACKET, length, 32).ok()?;
        let trailer = window.get(..length as usize)?.last_chunk()?;
        let is_whole = captured <= room && u32::from_le_bytes(*trailer) == length;
        if !is_whole || self.order != Order::Little || self.trailer.is_some() {
            return None;
        }
        Some((self.stamped(interface, number, [high, low], [captured, original]), length as usize))
    }

    /// Whether a packet block stands at the begin of `window`, as far as can be seen.
    #[must_use]
    pub fn at_packet(&self, window: &[u8]) -> bool {
        self.trailer.is_none()
            && chunk(window, 0)
                .is_ok_and(|block| matches!(self.order.u32(block), ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET))
    }

    /// Whether the last block that was read was whole: a file may end here.
    #[must_use]
    pub const fn between_blocks(&self) -> bool {
        self.trailer.is_none()
    }

    /// Link type of the interface that was described last in this section.
    #[must_use]
    pub fn newest_link(&self) -> Option<LinkType> {
        self.interfaces.last().map(|interface| interface.link)
    }

    /// Packets that did not get into the file, by the last Interface Statistics Block of each interface so far.
    #[must_use]
    pub fn drops(&self) -> u64 {
        self.interfaces.iter().fold(self.drops_before, |sum, interface| sum.saturating_add(interface.drops))
    }

    /// Section 4.3, and appendix A for the obsolete block, which differs in how it numbers interfaces:
    ///
    /// ```text
    /// 0     4       8            12         16        20        24        28
    /// | type | length | interface | time high | time low | captured | original | octets … | options … | length |
    /// ```
    #[inline]
    fn packet(&self, window: &[u8], block: u32, length: u32) -> Result<(Block, usize), Unreadable> {
        let room = packet_room(block, length, 32)?;
        let number: [u8; 4] = chunk(window, 8)?;
        let number = if block == ENHANCED_PACKET {
            self.order.u32(number)
        } else {
            let [a, b, _drops @ ..] = number;
            u32::from(self.order.u16([a, b]))
        };
        let interface = self.interface_at(number)?;
        let captured = self.order.u32(chunk(window, 20)?);
        if captured > room {
            return Err(Malformed::Captured { captured, room }.into());
        }
        let original = self.order.u32(chunk(window, 24)?);
        self.whole(window, length)?;
        let (high, low) = (self.order.u32(chunk(window, 12)?), self.order.u32(chunk(window, 16)?));
        let packet = self.stamped(interface, number, [high, low], [captured, original]);
        Ok((Block::Packet(packet), length as usize))
    }

    /// The packet of a block that says when it was captured.
    #[inline(always)] // It is asked once for every packet.
    fn stamped(&self, interface: &Interface, number: u32, [high, low]: [u32; 2], lengths: [u32; 2]) -> Packet {
        let [captured, original] = lengths;
        Packet {
            at: Some(interface.instant(u64::from(high) << 32 | u64::from(low))),
            link: interface.link,
            interface: self.interfaces_before.saturating_add(number),
            length: original.max(captured),
            octets: 28..28 + captured as usize,
        }
    }

    /// Section 4.4: "The Simple Packet Block does not contain the Interface ID field. Therefore, it MUST be assumed that
    /// all the Simple Packet Blocks have been captured on the interface previously specified in the first Interface
    /// Description Block." The captured length is the least of the original length, the snaplen and the room.
    #[inline]
    fn simple_packet(&self, window: &[u8], length: u32) -> Result<(Block, usize), Unreadable> {
        let room = packet_room(SIMPLE_PACKET, length, 16)?;
        let interface = self.interface_at(0)?;
        let original = self.order.u32(chunk(window, 8)?);
        self.whole(window, length)?;
        let snaplen = if interface.snaplen == 0 { u32::MAX } else { interface.snaplen };
        let captured = original.min(snaplen).min(room);
        let packet = Packet {
            at: None,
            link: interface.link,
            interface: self.interfaces_before,
            length: original,
            octets: 12..12 + captured as usize,
        };
        Ok((Block::Packet(packet), length as usize))
    }

    /// Section 4.1. The block's type reads the same in both octet orders; the magic behind its length tells which holds
    /// from there on, the length included.
    #[cold]
    fn section(&mut self, window: &[u8]) -> Result<(Block, usize), Unreadable> {
        let order = match chunk(window, 8)? {
            [0x4d, 0x3c, 0x2b, 0x1a] => Order::Little,
            [0x1a, 0x2b, 0x3c, 0x4d] => Order::Big,
            other => return Err(Malformed::ByteOrder(other).into()),
        };
        let length = order.u32(chunk(window, 4)?);
        checked_length(SECTION_HEADER, length, 28)?;
        let (major, minor) = (order.u16(chunk(window, 12)?), order.u16(chunk(window, 14)?));
        if major != 1 {
            return Err(Malformed::Version(major, minor).into());
        }
        self.order = order;
        self.drops_before = self.drops();
        self.interfaces_before =
            self.interfaces_before.saturating_add(u32::try_from(self.interfaces.len()).unwrap_or(u32::MAX));
        self.interfaces.clear();
        self.step_over(Block::Other, SECTION_HEADER, length)
    }

    /// Section 4.2: link type, reserved, snaplen, options.
    #[cold]
    fn interface(&mut self, window: &[u8], length: u32) -> Result<(Block, usize), Unreadable> {
        metadata_length(INTERFACE_DESCRIPTION, length, 20)?;
        let block = self.whole(window, length)?;
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(Malformed::Interfaces.into());
        }
        let mut interface = Interface {
            link: link_type(self.order.u16(chunk(block, 8)?)),
            snaplen: self.order.u32(chunk(block, 12)?),
            units: Units::Multiple(1000),
            offset_seconds: 0,
            drops: 0,
        };
        for (code, value) in self.options(block, 16) {
            match (code, value) {
                (IF_TSRESOL, &[resolution]) => interface.units = Units::from_resolution(resolution),
                (IF_TSOFFSET, value) => {
                    if let Ok(value) = value.try_into() {
                        interface.offset_seconds = self.order.u64(value).cast_signed();
                    }
                }
                _ => {}
            }
        }
        self.interfaces.push(interface);
        Ok((Block::Other, length as usize))
    }

    /// Section 4.6: interface, time stamp, options. The counters run from the capture's begin, so that the last block has
    /// the sum.
    #[cold]
    fn statistics(&mut self, window: &[u8], length: u32) -> Result<(Block, usize), Unreadable> {
        metadata_length(INTERFACE_STATISTICS, length, 24)?;
        let block = self.whole(window, length)?;
        let number = self.order.u32(chunk(block, 8)?);
        let drops = self
            .options(block, 20)
            .filter(|(code, _)| matches!(*code, ISB_IFDROP | ISB_OSDROP))
            .filter_map(|(_, value)| value.try_into().ok())
            .fold(0, |sum: u64, value| sum.saturating_add(self.order.u64(value)));
        if let Some(interface) = self.interfaces.get_mut(number as usize) {
            interface.drops = drops;
        }
        Ok((Block::Other, length as usize))
    }

    /// Section 4.7: the kind of the secrets, how many octets they have, the secrets, padding. One too large to be held is
    /// stepped over.
    #[cold]
    fn secrets(&mut self, window: &[u8], length: u32) -> Result<(Block, usize), Unreadable> {
        if !(20..=MOST_SECRETS).contains(&length) || self.order.u32(chunk(window, 8)?) != TLS_KEY_LOG {
            return self.step_over(Block::Other, DECRYPTION_SECRETS, length);
        }
        checked_length(DECRYPTION_SECRETS, length, 20)?;
        self.whole(window, length)?;
        let room = length as usize - 20;
        let octets = (self.order.u32(chunk(window, 12)?) as usize).min(room);
        Ok((Block::KeyLog(16..16 + octets), length as usize))
    }

    fn step_over(&mut self, kind: Block, block: u32, length: u32) -> Result<(Block, usize), Unreadable> {
        checked_length(block, length, 12)?;
        self.trailer = Some(length);
        Ok((kind, length as usize - 4))
    }

    /// The whole block without its trailer, once the window has it and its two lengths agree.
    #[inline]
    fn whole<'a>(&self, window: &'a [u8], length: u32) -> Result<&'a [u8], Unreadable> {
        let needed = length as usize;
        let Some((block, trailer)) = window.get(..needed).and_then(|block| block.split_last_chunk::<4>()) else {
            return Err(Unreadable::Truncated { needed });
        };
        let back = self.order.u32(*trailer);
        if back != length {
            return Err(Malformed::Trailer { front: length, back }.into());
        }
        Ok(block)
    }

    #[inline]
    fn interface_at(&self, number: u32) -> Result<&Interface, Malformed> {
        self.interfaces.get(number as usize).ok_or(Malformed::Interface(number))
    }

    /// Section 3.5: code, length, value padded to 4 octets. A list that breaks off just ends: what it would have said is
    /// not worth the packets behind it.
    fn options<'a>(&self, block: &'a [u8], at: usize) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let order = self.order;
        let mut rest = block.get(at..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (code, length) = (order.u16(chunk(rest, 0).ok()?), order.u16(chunk(rest, 2).ok()?) as usize);
            let value = rest.get(4..4 + length)?;
            rest = rest.get(4 + length.next_multiple_of(4)..).unwrap_or_default();
            (code != END_OF_OPTIONS).then_some((code, value))
        })
    }
}

impl Interface {
    #[inline(always)] // What is unusual is done elsewhere.
    fn instant(&self, stamp: u64) -> Timestamp {
        if let (Units::Multiple(nanoseconds), 0) = (self.units, self.offset_seconds)
            && let Some(instant) = stamp.checked_mul(nanoseconds).and_then(|instant| i64::try_from(instant).ok())
        {
            return Timestamp::from_nanos(instant);
        }
        self.unusual_instant(stamp)
    }

    #[cold]
    fn unusual_instant(&self, stamp: u64) -> Timestamp {
        let stamp = i128::from(stamp);
        let since_offset = match self.units {
            Units::Multiple(nanoseconds) => stamp * i128::from(nanoseconds),
            Units::Decimal(power) => 10_i128.checked_pow(u32::from(power) - 9).map_or(0, |divisor| stamp / divisor),
            // 2^64 units times 10^9 stay below 2^94, and the shift is below 128.
            Units::Binary(power) => (stamp * 1_000_000_000) >> power,
        };
        let nanoseconds = since_offset + i128::from(self.offset_seconds) * 1_000_000_000;
        Timestamp::from_nanos(nanoseconds.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

impl Units {
    /// Section 4.2: "If the Most Significant Bit is equal to zero, the remaining bits indicates the resolution of the
    /// timestamp as a negative power of 10 […]. If the Most Significant Bit is equal to one, the remaining bits indicates
    /// the resolution as negative power of 2".
    fn from_resolution(resolution: u8) -> Self {
        let power = resolution & 0x7f;
        match power {
            _ if resolution & 0x80 != 0 => Self::Binary(power),
            0..=9 => Self::Multiple(10_u64.pow(9 - u32::from(power))),
            _ => Self::Decimal(power),
        }
    }
}

/// Whether a pcapng file may begin with `octets`; of fewer than four, as far as they reach.
#[must_use]
pub fn may_begin(octets: &[u8]) -> bool {
    SECTION_HEADER.to_le_bytes().starts_with(octets.get(..4).unwrap_or(octets))
}

#[inline]
fn chunk<const N: usize>(window: &[u8], at: usize) -> Result<[u8; N], Unreadable> {
    window.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().ok_or(Unreadable::Truncated { needed: at + N })
}

/// Octets that a packet block of `length` has for the packet and its options.
#[inline]
const fn packet_room(block: u32, length: u32, least: u32) -> Result<u32, Malformed> {
    match checked_length(block, length, least) {
        Ok(()) if length - least <= LARGEST_PACKET + MOST_OPTIONS => Ok(length - least),
        Ok(()) => Err(Malformed::Length { block, length }),
        Err(malformed) => Err(malformed),
    }
}

/// A block that must stand in the window whole has a bound.
const fn metadata_length(block: u32, length: u32, least: u32) -> Result<(), Malformed> {
    if length > MOST_OPTIONS { Err(Malformed::Length { block, length }) } else { checked_length(block, length, least) }
}

#[inline]
const fn checked_length(block: u32, length: u32, least: u32) -> Result<(), Malformed> {
    if length < least || !length.is_multiple_of(4) { Err(Malformed::Length { block, length }) } else { Ok(()) }
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
const JOURNAL: u32 = 9;
const DECRYPTION_SECRETS: u32 = 10;
const SYSTEM_CALL: u32 = 0x204;
const CUSTOM: u32 = 0xbad;
const CUSTOM_NOT_COPIED: u32 = 0x4000_0bad;

const END_OF_OPTIONS: u16 = 0;
const ISB_IFDROP: u16 = 5;
const ISB_OSDROP: u16 = 7;
const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// "TLSK", the kind of secrets that are the text of an NSS key log.
const TLS_KEY_LOG: u32 = 0x544c_534b;

/// Interfaces of one section. Hosts with thousands of containers have thousands.
const MOST_INTERFACES: usize = 1 << 16;

/// Octets of options in a block: 256 of the longest.
const MOST_OPTIONS: u32 = 16 << 20;

/// Octets of a Decryption Secrets Block: the secrets of some 100,000 connections.
const MOST_SECRETS: u32 = 64 << 20;

#[cfg(test)]
mod tests;
