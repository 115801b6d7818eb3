//! What is known of one direction of a connection.

use smallvec::SmallVec;

use crate::flow::assembler::Assembler;

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// Sequence number of offset 0, once known.
    pub(super) base: Option<u32>,
    /// Offset after the last octet sent.
    pub(super) high: u64,
    /// Offset up to which the peer acknowledged.
    pub(super) acknowledged: u64,
    /// Offset of the FIN.
    pub(super) fin: Option<u64>,
    pub(super) fin_acknowledged: bool,
    pub(super) assembler: Assembler,
    /// Ends of messages whose acknowledgement is to be reported.
    pub(super) watched: SmallVec<[u64; 2]>,
    /// A segment of this direction was captured.
    pub(super) seen: bool,
    /// The peer acknowledged octets that are not in the capture (yet).
    pub(super) hole_acknowledged: bool,
    pub(super) window_closed: bool,
    pub(super) closed: bool,
    pub(super) ttl: (u8, u8, u32),
    pub(super) retransmitted: u32,
    /// Data segments, the repeated ones included.
    pub(super) segments: u32,
}

impl Half {
    /// The offset of a sequence number, next to what was sent last; negative before offset 0.
    pub(super) fn offset(&mut self, sequence: u32) -> i64 {
        let base = *self.base.get_or_insert(sequence);
        let expected = base.wrapping_add(self.high as u32);
        let distance = sequence.wrapping_sub(expected).cast_signed();
        self.high.cast_signed().saturating_add(i64::from(distance))
    }
}
