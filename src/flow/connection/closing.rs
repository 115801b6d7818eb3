//! The end of a connection: what a FIN or a RST says of who had sent and received what (RFC 9293 sections 3.6 and 3.5.2).

use crate::event::{Closing, Side, What};
use crate::flow::connection::{Connection, Output};
use crate::wire::packet::Segment;

impl Connection {
    pub(super) fn take_fin(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        ttl: u8,
        start: Option<u64>,
        out: &mut impl FnMut(Output<'_>),
    ) {
        let at = start.unwrap_or(0).saturating_add(u64::from(segment.length));
        if self.half(side).fin().is_some() {
            self.half_mut(side).retransmitted += 1;
            return;
        }
        let closing = self.closing(side, segment, ttl, at);
        let half = self.half_mut(side);
        half.set_fin(at);
        half.high = half.high.max(at);
        half.seen = true;
        out(Output::Event(What::Fin(closing)));
    }

    pub(super) fn take_reset(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        ttl: u8,
        start: Option<u64>,
        out: &mut impl FnMut(Output<'_>),
    ) {
        let closing = self.closing(side, segment, ttl, start.unwrap_or(0));
        // Octets that wait behind a hole were sent before the reset: they are told first.
        let first = !self.reset;
        self.reset = true;
        if first {
            self.flush(side, out);
        }
        out(Output::Event(What::Reset(closing)));
        if first {
            for direction in [Side::Client, Side::Server] {
                let half = self.half_mut(direction);
                if !half.closed {
                    half.closed = true;
                    out(Output::Closed { side: direction, reset: true });
                }
            }
        }
    }

    fn closing(&mut self, side: Side, segment: &Segment<'_>, ttl: u8, at: u64) -> Closing {
        let in_handshake = self.in_handshake();
        let peer = self.half_mut(side.other());
        let with_ack = segment.flags.ack();
        let acknowledged = if with_ack && peer.base().is_some() {
            u64::try_from(peer.offset(segment.acknowledgement))
                .ok()
                .map(|ack| peer.fin().map_or(ack, |fin| ack.min(fin)))
        } else {
            None
        };
        let refuses_syn = in_handshake
            && side == Side::Server
            && with_ack
            && self.syn_ack.is_none()
            && self.half(Side::Client).base() == Some(segment.acknowledgement);
        let half = self.half(side);
        Closing {
            by: side,
            at,
            acknowledged,
            peer_sent: self.half(side.other()).high,
            received: half.acknowledged,
            ttl,
            ttl_before: half.ttl(),
            after_fin: half.fin().is_some(),
            in_handshake,
            refuses_syn,
        }
    }
}
