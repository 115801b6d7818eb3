//! A stretch of packets: those that stand whole, one behind the other, in what was read of an input. They are looked at without
//! the input, which learns afterwards how many were taken: most packets cost no more than reading their headers.

use std::ops::Range;
use std::sync::Arc;

use super::buffer::Buffer;
use crate::event::Frame;
use crate::flow::steer::Captured;
use crate::time::Timestamp;
use crate::wire::link::LinkType;
use crate::wire::{pcap, pcapng};

/// Packets, of which one is at hand.
pub struct Stretch<'a> {
    pub(super) input: u16,
    /// The host that captured it, as [`Frame::host`] numbers them.
    pub(super) host: u8,
    /// The buffer that all of them stand in.
    pub(super) buffer: &'a Arc<Buffer>,
    pub(super) packets: Packets<'a>,
    pub(super) current: Current<'a>,
    /// The octets behind the packet at hand.
    pub(super) rest: &'a [u8],
    /// Where they end in the buffer.
    pub(super) end: usize,
    /// The number of the packet that it began with, and the octets behind that one.
    pub(super) begin: (u64, usize),
}

/// What reads packets that are whole and as most are; others may be packets all the same.
#[derive(Clone, Copy)]
pub(super) enum Packets<'a> {
    /// Of a pcapng file.
    Pcapng(&'a pcapng::Blocks),
    /// Of a pcap file.
    Pcap(pcap::Header),
    /// They are not to be read here.
    None,
}

impl Packets<'_> {
    /// The packet at the begin of a window.
    #[inline(always)] // It is asked once for every packet.
    pub(super) fn first(&self, window: &[u8]) -> Option<Located> {
        match self {
            Self::Pcapng(blocks) => {
                let (pcapng::Packet { at, link, interface, length, octets }, end) = blocks.packet_at_hand(window)?;
                Some(Located { at, link, interface, length, octets, end })
            }
            Self::Pcap(header) => {
                let pcap::Record { at, length, octets } = header.record(window).ok()?;
                let end = octets.end;
                Some(Located { at: Some(at), link: header.link, interface: 0, length, octets, end })
            }
            Self::None => None,
        }
    }
}

/// The packet at hand.
#[derive(Clone, Copy)]
pub(super) struct Current<'a> {
    pub(super) number: u64,
    pub(super) at: Timestamp,
    pub(super) link: LinkType,
    pub(super) interface: u32,
    pub(super) length: u32,
    pub(super) octets: &'a [u8],
    /// How many octets there are in the buffer from its begin on.
    pub(super) left: usize,
}

/// A packet that stands in a window, and at which octet the next one begins.
pub(super) struct Located {
    /// `None` where nothing says so.
    pub(super) at: Option<Timestamp>,
    pub(super) link: LinkType,
    pub(super) interface: u32,
    pub(super) length: u32,
    pub(super) octets: Range<usize>,
    pub(super) end: usize,
}

/// How far a stretch was taken behind the packet that it began with.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub(super) packets: u64,
    pub(super) octets: usize,
    /// The time of the last packet.
    pub(super) at: Timestamp,
}

impl<'a> Stretch<'a> {
    /// The frame at hand, `focused`.
    #[inline]
    #[must_use]
    pub fn frame(&self) -> Captured<'a> {
        let Current { number, at, link, interface, length, octets, .. } = self.current;
        Captured {
            frame: Frame::new(self.input, number).of_host(self.host),
            at,
            link,
            interface,
            length,
            focused: true,
            octets,
        }
    }

    /// Where its octets are kept, for who wants to keep them longer without copying them: a buffer, and which part of it they are.
    #[inline]
    #[must_use]
    pub fn kept(&self) -> (&'a Arc<Buffer>, Range<usize>) {
        let Current { octets, left, .. } = self.current;
        let from = self.end - left;
        (self.buffer, from..from + octets.len())
    }

    /// Moves to the next packet. False where there is none, or something else has to be read first.
    #[inline(always)] // It is asked once for every packet.
    pub fn advance(&mut self) -> bool {
        self.step().is_some()
    }

    #[inline(always)]
    fn step(&mut self) -> Option<()> {
        let Located { at, link, interface, length, octets, end } = self.packets.first(self.rest)?;
        let left = self.rest.len() - octets.start;
        let octets = self.rest.get(octets)?;
        self.rest = self.rest.get(end..)?;
        // Of packets that have about the same size the one behind the next begins there.
        [0, end].into_iter().for_each(|at| prefetch(self.rest, at));
        let (number, at) = (self.current.number + 1, at.unwrap_or(self.current.at));
        self.current = Current { number, at, link, interface, length, octets, left };
        Some(())
    }

    /// How far it was taken.
    #[must_use]
    pub fn taken(&self) -> Taken {
        let (number, octets) = self.begin;
        let Current { number: last, at, .. } = self.current;
        Taken { packets: last - number, octets: octets - self.rest.len(), at }
    }
}

/// The headers that begin at a place will be looked at soon: they are fetched meanwhile, where they are not at hand.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the standard library has no safe name for it yet")]
fn prefetch(octets: &[u8], at: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    for line in [0, 64] {
        let address = octets.as_ptr().wrapping_add(at + line);
        // SAFETY: all processors of this kind have the instruction, which reads nothing, and takes any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
}

/// Where processors have other names for it, they find out themselves.
#[inline(always)]
#[cfg(not(target_arch = "x86_64"))]
const fn prefetch(_: &[u8], _: usize) {}
