//! The shorter way of segments that only carry on, which nearly all are.

use crate::event::{Moment, Side};
use crate::flow::assembler::Piece;
use crate::flow::connection::{Connection, Output, may_sack};
use crate::flow::half::Half;
use crate::wire::packet::{Flags, Segment};

impl Connection {
    /// Takes a segment as most are: where its direction stands, whole, acknowledging what was seen, on a connection on which nothing
    /// is missing or over. Says whether it is one; of any other nothing is taken. What this does [`Self::segment`] does too.
    #[inline]
    pub fn carry_on(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        ttl: u8,
        moment: Moment,
        out: &mut impl FnMut(Output<'_>),
    ) -> bool {
        let [client, server] = &mut self.halves;
        let (half, peer) = if side == Side::Client { (client, server) } else { (server, client) };
        let length = segment.payload.len();
        let at = half.high;
        let is_next = half.following() == segment.sequence && length == segment.length as usize;
        if !self.is_quiet || !is_next || !is_plain(segment) {
            return false;
        }
        let behind = peer.following().wrapping_sub(segment.acknowledgement);
        if behind.cast_signed() < 0 {
            return false;
        }
        self.last = moment.at;
        half.note_ttl(ttl);
        if length > 0 {
            half.seen = true;
            half.segments = half.segments.saturating_add(1);
            half.assembler.pass(length as u64);
            half.high = half.assembler.next();
        }
        // What lies before offset 0 was acknowledged before.
        let acknowledged = peer.high.saturating_sub(u64::from(behind));
        if acknowledged > peer.acknowledged {
            peer.acknowledged = acknowledged;
            if side == Side::Server && !self.watched.is_empty() {
                self.reach(Side::Client, acknowledged, out);
            }
        }
        if length > 0 {
            out(Output::Piece(side, Piece::Data { at, octets: segment.payload }, self.context()));
        }
        true
    }

    /// Something was taken that may be other than that: whether the next segment may carry on.
    pub(super) fn note_quiet(&mut self) {
        let is_settled = self.established || self.syn.or(self.syn_ack).is_none();
        self.is_quiet = is_settled && self.halves.iter().all(Half::flows);
    }
}

/// Whether a segment neither opens nor closes, and holds no more than acknowledgement and octets.
#[inline]
fn is_plain(segment: &Segment<'_>) -> bool {
    const TELLING: u8 = Flags::SYN | Flags::FIN | Flags::RST | Flags::ACK;
    segment.flags.0 & TELLING == Flags::ACK && segment.window > 0 && !may_sack(segment)
}
