//! The shorter way of segments that only carry on, which nearly all are.

use crate::event::Side;
use crate::flow::connection::{Connection, may_sack};
use crate::flow::half::Half;
use crate::time::Timestamp;
use crate::wire::packet::{Flags, Segment};

/// What a segment that only carried on brought.
#[derive(Clone, Copy, Debug)]
pub struct Carried {
    /// At which offset its octets stand.
    pub at: u64,
    /// Whether it acknowledges what was watched; [`Connection::reached`] says what.
    pub reaches: bool,
}

impl Connection {
    /// Takes a segment as most are: where its direction stands, whole, acknowledging what was seen, on a connection on which nothing
    /// is missing or over. What it acknowledges is to be told next, then its octets, if any. `None` where it is any other: then
    /// nothing of it is taken. What this does [`Self::segment`] does too.
    #[inline(always)] // It is asked of nearly every packet.
    pub fn carry_on(&mut self, side: Side, segment: &Segment<'_>, ttl: u8, now: Timestamp) -> Option<Carried> {
        let [client, server] = &mut self.halves;
        let (half, peer) = if side == Side::Client { (client, server) } else { (server, client) };
        let length = segment.payload.len();
        let at = half.high;
        let is_next = half.following() == segment.sequence && length == segment.length as usize;
        if !self.is_quiet || !is_next || !is_plain(segment) {
            return None;
        }
        let behind = peer.following().wrapping_sub(segment.acknowledgement);
        if behind.cast_signed() < 0 {
            return None;
        }
        self.last = now;
        half.note_ttl(ttl);
        if length > 0 {
            half.seen = true;
            half.segments = half.segments.saturating_add(1);
            half.assembler.pass(length as u64);
            half.high = half.assembler.next();
        }
        // What lies before offset 0 was acknowledged before.
        let acknowledged = peer.high.saturating_sub(u64::from(behind));
        let is_more = acknowledged > peer.acknowledged;
        if is_more {
            peer.acknowledged = acknowledged;
        }
        Some(Carried { at, reaches: is_more && side == Side::Server && self.watched.are_reached(acknowledged) })
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
