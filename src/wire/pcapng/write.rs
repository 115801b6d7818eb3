//! Writes pcapng (draft-ietf-opsawg-pcapng), little endian: in come values, and the blocks that say them are appended to
//! the caller's buffer. A file is a section, its interfaces, then packets and statistics of interfaces that stand before
//! them.
//!
//! ```text
//! | type | length | body …, padded to 4 octets | options … | length |
//! ```

use crate::time::Timestamp;
use crate::wire::link::LinkType;
use crate::wire::pcapng::{
    END_OF_OPTIONS, ENHANCED_PACKET, IF_TSRESOL, INTERFACE_DESCRIPTION, INTERFACE_STATISTICS, ISB_IFDROP, ISB_OSDROP,
    SECTION_HEADER,
};

/// An interface. The first one of a section has number 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Its name; empty where it has none.
    pub name: String,
    /// The link type of its packets.
    pub link: LinkType,
    /// Octets that are captured of a packet at most; 0 for no bound.
    pub snaplen: u32,
}

/// A packet.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// Number of its interface in the section.
    pub interface: u32,
    /// When it was captured. The format knows no time before 1970: such a packet is written as of then.
    pub at: Timestamp,
    /// Octets on the wire.
    pub length: u32,
    /// The captured octets, 256 KiB at most: Wireshark reads no longer ones.
    pub octets: &'a [u8],
    /// A remark for the reader, 64 KiB at most.
    pub comment: Option<&'a str>,
}

/// What an interface counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Packets that the interface received, by the kernel's count.
    pub received: u64,
    /// Packets that the kernel dropped for want of room in the capture's buffer.
    pub dropped_by_kernel: u64,
    /// Packets that the interface or its driver dropped.
    pub dropped_by_interface: u64,
}

/// Section 4.1: a section of unknown length, and which program writes it.
pub fn section(program: &str, out: &mut Vec<u8>) {
    block(SECTION_HEADER, out, |out| {
        out.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        out.extend([1, 0, 0, 0]); // version 1.0
        out.extend(u64::MAX.to_le_bytes());
        option(SHB_USERAPPL, program.as_bytes(), out);
        option(END_OF_OPTIONS, &[], out);
    });
}

/// Section 4.2: an interface, its time stamps in nanoseconds.
pub fn interface(interface: &Interface, out: &mut Vec<u8>) {
    block(INTERFACE_DESCRIPTION, out, |out| {
        out.extend(interface.link.0.to_le_bytes());
        out.extend([0, 0]);
        out.extend(interface.snaplen.to_le_bytes());
        if !interface.name.is_empty() {
            option(IF_NAME, interface.name.as_bytes(), out);
        }
        option(IF_TSRESOL, &[9], out);
        option(END_OF_OPTIONS, &[], out);
    });
}

/// Section 4.3: a packet.
pub fn packet(packet: &Packet<'_>, out: &mut Vec<u8>) {
    block(ENHANCED_PACKET, out, |out| {
        let captured = u32::try_from(packet.octets.len()).unwrap_or(u32::MAX);
        out.extend(packet.interface.to_le_bytes());
        stamp(packet.at, out);
        out.extend(captured.to_le_bytes());
        out.extend(packet.length.max(captured).to_le_bytes());
        padded(packet.octets, out);
        if let Some(comment) = packet.comment {
            option(OPT_COMMENT, comment.as_bytes(), out);
            option(END_OF_OPTIONS, &[], out);
        }
    });
}

/// Section 4.6: what an interface counted up to `at`.
pub fn statistics(interface: u32, at: Timestamp, counted: Counted, out: &mut Vec<u8>) {
    block(INTERFACE_STATISTICS, out, |out| {
        out.extend(interface.to_le_bytes());
        stamp(at, out);
        for (code, count) in [
            (ISB_IFRECV, counted.received),
            (ISB_IFDROP, counted.dropped_by_interface),
            (ISB_OSDROP, counted.dropped_by_kernel),
        ] {
            option(code, &count.to_le_bytes(), out);
        }
        option(END_OF_OPTIONS, &[], out);
    });
}

/// Octets of the packet block for `captured` octets without a comment.
#[must_use]
pub const fn packet_octets(captured: usize) -> usize {
    32 + captured.next_multiple_of(4)
}

/// Section 3.1: the length, of all, stands at both ends.
fn block(kind: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let length = u32::try_from(out.len() - begin + 4).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(front) = out.get_mut(begin + 4..begin + 8) {
        front.copy_from_slice(&length);
    }
    out.extend(length);
}

/// Section 3.5: code, length, value padded to 4 octets. Longer text is cut where a character ends.
fn option(code: u16, value: &[u8], out: &mut Vec<u8>) {
    let longest = usize::from(u16::MAX) - 3;
    let cut = value.get(..longest).map_or(value, |cut| {
        let next = value.get(longest).copied().unwrap_or(0);
        let within = |octet: u8| octet & 0xc0 == 0x80;
        let last = cut.iter().rposition(|octet| !within(*octet)).filter(|_| within(next));
        last.and_then(|last| cut.get(..last)).unwrap_or(cut)
    });
    out.extend(code.to_le_bytes());
    out.extend(u16::try_from(cut.len()).unwrap_or(0).to_le_bytes());
    padded(cut, out);
}

fn padded(octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(octets);
    let padding = octets.len().next_multiple_of(4) - octets.len();
    out.extend([0; 3].iter().take(padding));
}

/// The upper half of a time stamp stands before the lower one.
fn stamp(at: Timestamp, out: &mut Vec<u8>) {
    let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(0);
    out.extend(((nanoseconds >> 32) as u32).to_le_bytes());
    out.extend((nanoseconds as u32).to_le_bytes());
}

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPT_COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const SHB_USERAPPL: u16 = 4;
const ISB_IFRECV: u16 = 4;

#[cfg(test)]
mod tests;
