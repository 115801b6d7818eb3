//! What is known of one direction of a connection.

use std::num::NonZeroU64;

use crate::flow::assembler::Assembler;

/// One direction. There are two of each connection, so it holds nothing that few of them need.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Sequence number of offset 0, once known.
    base: u32,
    is_based: bool,
    /// Offset after the last octet sent.
    pub(super) high: u64,
    /// Offset up to which the peer acknowledged.
    pub(super) acknowledged: u64,
    /// One more than the offset of the FIN.
    fin: Option<NonZeroU64>,
    pub(super) fin_acknowledged: bool,
    pub(super) assembler: Assembler,
    /// A segment of this direction was captured.
    pub(super) seen: bool,
    /// The peer acknowledged octets that are not in the capture (yet).
    pub(super) hole_acknowledged: bool,
    pub(super) window_closed: bool,
    pub(super) closed: bool,
    ttl_least: u8,
    ttl_greatest: u8,
    ttl_count: u32,
    pub(super) retransmitted: u32,
    /// Data segments, the repeated ones included.
    pub(super) segments: u32,
}

impl Half {
    /// The offset of a sequence number, next to what was sent last; negative before offset 0.
    pub(super) fn offset(&mut self, sequence: u32) -> i64 {
        if !self.is_based {
            self.set_base(sequence);
        }
        let distance = sequence.wrapping_sub(self.following()).cast_signed();
        self.high.cast_signed().saturating_add(i64::from(distance))
    }

    /// The sequence number that follows what was sent, where that of offset 0 is known.
    #[inline]
    pub(super) fn following(&self) -> u32 {
        self.base.wrapping_add(self.high as u32)
    }

    /// Whether all that was sent was seen in order, and there is nothing that the next segment could put right.
    #[inline]
    pub(super) fn flows(&self) -> bool {
        let is_troubled = self.hole_acknowledged | self.window_closed | self.closed | !self.is_based;
        !is_troubled && self.fin.is_none() && self.assembler.next() == self.high && !self.assembler.has_hole()
    }

    /// Sequence number of offset 0, once known.
    pub(super) fn base(&self) -> Option<u32> {
        self.is_based.then_some(self.base)
    }

    pub(super) fn set_base(&mut self, sequence: u32) {
        (self.base, self.is_based) = (sequence, true);
    }

    /// Offset of the FIN.
    pub(super) fn fin(&self) -> Option<u64> {
        self.fin.map(|after| after.get() - 1)
    }

    pub(super) fn set_fin(&mut self, at: u64) {
        self.fin = Some(NonZeroU64::MIN.saturating_add(at));
    }

    /// A packet came with this time to live.
    #[inline]
    pub(super) fn note_ttl(&mut self, ttl: u8) {
        if [self.ttl_least, self.ttl_greatest] != [ttl; 2] {
            self.widen_ttl(ttl);
        }
        self.ttl_count += 1;
    }

    #[cold]
    fn widen_ttl(&mut self, ttl: u8) {
        self.ttl_least = if self.ttl_count == 0 { ttl } else { ttl.min(self.ttl_least) };
        self.ttl_greatest = ttl.max(self.ttl_greatest);
    }

    /// Least and greatest time to live, and of how many packets.
    pub(super) fn ttl(&self) -> (u8, u8, u32) {
        (self.ttl_least, self.ttl_greatest, self.ttl_count)
    }
}
