//! One TCP connection (RFC 9293): segments in, events and the ordered octets of both directions out.

mod carried;
mod closing;
mod watched;

use std::net::IpAddr;

use crate::event::{
    ConnectionId, Endpoint, FirstSeen, GapJudged, Gone, GoneWhy, Moment, Opened, Side, Unreachable, What,
};
use crate::flow::assembler::Piece;
pub use crate::flow::connection::carried::Carried;
use crate::flow::connection::watched::Watched;
use crate::flow::half::Half;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::packet::Segment;
use crate::wire::tcp;

/// What a segment gave rise to, in the order in which it must be told.
#[derive(Debug)]
pub enum Output<'a> {
    /// Something that TCP shows.
    Event(What),
    /// The next piece of a direction's stream.
    Piece(Side, Piece<'a>, Context),
    /// A direction is over: its FIN was reached, or a RST ended both.
    Closed {
        /// Whose direction.
        side: Side,
        /// Whether a RST ended it.
        reset: bool,
    },
}

/// What an observer may want to know about the moment at which a piece was delivered.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context {
    /// Offsets up to which `[client, server]` had sent.
    pub sent: [u64; 2],
    /// Offsets up to which the peer had acknowledged `[client's, server's]` octets.
    pub acknowledged: [u64; 2],
}

/// A connection's state.
#[derive(Debug)]
pub struct Connection {
    /// Its number.
    pub id: ConnectionId,
    /// Address and port of the opening end.
    pub client: (IpAddr, u16),
    /// The other end's.
    pub server: (IpAddr, u16),
    /// When its last packet was seen.
    pub last: Timestamp,
    /// Whether a packet matched the focus.
    pub focused: bool,
    halves: [Half; 2],
    syn: Option<Moment>,
    syn_ack: Option<Moment>,
    established: bool,
    reset: bool,
    /// The host that captured the first packet of each direction first: nearer to its sender than others that did too.
    homes: [u8; 2],
    /// Nothing is missing, over or yet to be settled.
    is_quiet: bool,
    /// Ends of requests whose acknowledgement is to be reported.
    watched: Watched,
    /// Octets that `[client, server]` sent after the other side's FIN, if any.
    after_fin: Option<Box<[u64; 2]>>,
}

impl Connection {
    /// A connection whose first packet was seen at `moment`.
    #[must_use]
    pub fn new(id: ConnectionId, client: Endpoint, server: Endpoint, moment: Moment) -> Self {
        Self {
            id,
            client: (client.ip(), client.port()),
            server: (server.ip(), server.port()),
            last: moment.at,
            focused: false,
            halves: [Half::default(), Half::default()],
            syn: None,
            syn_ack: None,
            established: false,
            reset: false,
            homes: [moment.frame.host(); 2],
            is_quiet: false,
            watched: Watched::default(),
            after_fin: None,
        }
    }

    /// A connection of which nothing but a quotation of its SYN was seen.
    #[must_use]
    pub fn quoted(id: ConnectionId, client: Endpoint, server: Endpoint, sequence: u32, moment: Moment) -> Self {
        let mut connection = Self::new(id, client, server, moment);
        connection.syn = Some(moment);
        connection.half_mut(Side::Client).set_base(sequence.wrapping_add(1));
        connection
    }

    /// The event that opens it.
    #[must_use]
    pub fn opened(&self, first: FirstSeen, local: [Option<bool>; 2]) -> What {
        let [client, server] = self.ends();
        What::Opened(Box::new(Opened { client, server, first, local }))
    }

    /// The opening end, and the other one.
    #[must_use]
    pub fn ends(&self) -> [Endpoint; 2] {
        [self.client, self.server].map(Endpoint::from)
    }

    /// Whether a SYN with this sequence number begins another connection on the same ports.
    #[must_use]
    pub fn is_reused_by(&self, side: Side, sequence: u32) -> bool {
        let same = self.half(side).base() == Some(sequence.wrapping_add(1));
        // RFC 9293 section 3.5: a SYN that answers a SYN opens the same connection from the other end.
        let crosses =
            side == Side::Server && self.in_handshake() && !self.reset && self.half(Side::Server).base().is_none();
        !same && !crosses && (self.syn.is_some() || self.is_over() || self.half(side).seen)
    }

    /// Whether both sides closed, or one reset.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reset || self.halves.iter().all(|half| half.fin().is_some())
    }

    /// Whether the handshake is still incomplete.
    #[must_use]
    pub fn in_handshake(&self) -> bool {
        self.syn.is_some() && !self.established
    }

    /// Octets of memory that wait behind holes, both directions.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        self.halves.iter().map(|half| half.assembler.held_octets()).sum()
    }

    /// Asks for `What::Acknowledged` once the server acknowledges `offset` of the client's stream. Says whether it has: then it is
    /// for who asks to tell that.
    #[inline]
    pub fn watch(&mut self, offset: u64) -> bool {
        let is_acknowledged = self.half(Side::Client).acknowledged >= offset;
        if !is_acknowledged {
            self.watched.add(offset);
        }
        is_acknowledged
    }

    /// The least offset that is watched and was acknowledged: each is given once.
    #[inline]
    pub fn reached(&mut self) -> Option<u64> {
        self.watched.take(self.half(Side::Client).acknowledged)
    }

    /// Takes a segment that `side` sent.
    pub fn segment(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        ttl: u8,
        moment: Moment,
        limits: &Limits,
        out: &mut impl FnMut(Output<'_>),
    ) {
        self.last = moment.at;
        if self.half(side).base().is_none()
            && let Some(home) = self.homes.get_mut(side.index())
        {
            *home = moment.frame.host();
        }
        if segment.flags.syn() {
            self.synchronize(side, segment, moment, out);
        }
        let start = self.place(side, segment);
        if segment.flags.ack() && !(segment.flags.rst() && self.in_handshake()) {
            self.acknowledge(side, segment, moment, out);
        }
        if segment.flags.rst() {
            self.take_reset(side, segment, ttl, start, out);
        } else {
            self.half_mut(side).note_ttl(ttl);
            self.note_window(side, segment, out);
            if segment.length > 0 {
                self.take_data(side, segment, start, moment, limits, out);
            } else {
                self.note_ahead(side, start, out);
            }
            if segment.flags.fin() {
                self.take_fin(side, segment, ttl, start, out);
            }
            self.close_if_reached(side, out);
        }
        self.note_quiet();
    }

    /// Takes an ICMP error about a packet that `quoted` sent.
    pub fn unreachable(&mut self, error: Unreachable, sequence: Option<u32>, out: &mut impl FnMut(Output<'_>)) {
        let base = self.half(error.quoted).base();
        let quotes_syn = self.in_handshake() && error.quoted == Side::Client;
        let quotes_syn = quotes_syn && sequence.is_none_or(|sequence| base == Some(sequence.wrapping_add(1)));
        out(Output::Event(What::Unreachable(Box::new(Unreachable { quotes_syn, ..error }))));
    }

    /// There is no room to wait any longer: the holes are declared, and what waits behind them is delivered.
    pub fn give_up_holes(&mut self, out: &mut impl FnMut(Output<'_>)) {
        for side in [Side::Client, Side::Server] {
            let context = self.context();
            let half = self.half_mut(side);
            while half.assembler.has_hole() {
                half.assembler.give_up_hole(GapJudged::Unknown, &mut |piece| relay(side, piece, context, out));
            }
            self.close_if_reached(side, out);
        }
        self.note_quiet();
    }

    /// The connection leaves the table: what still waits is delivered.
    pub fn leave(&mut self, why: GoneWhy, out: &mut impl FnMut(Output<'_>)) {
        for side in [Side::Client, Side::Server] {
            self.flush(side, out);
            self.close_if_reached(side, out);
        }
        let [client, server] = &self.halves;
        out(Output::Event(What::Gone(Gone {
            why,
            sent: [client.high, server.high],
            acknowledged: [client.acknowledged, server.acknowledged],
            after_fin: self.after_fin.as_deref().copied().unwrap_or_default(),
            retransmitted: [client.retransmitted, server.retransmitted],
            segments: [client.segments, server.segments],
        })));
    }

    fn half(&self, side: Side) -> &Half {
        let [client, server] = &self.halves;
        if side == Side::Client { client } else { server }
    }

    fn half_mut(&mut self, side: Side) -> &mut Half {
        let [client, server] = &mut self.halves;
        if side == Side::Client { client } else { server }
    }

    /// How far both directions are.
    #[must_use]
    pub fn context(&self) -> Context {
        let [client, server] = &self.halves;
        Context { sent: [client.high, server.high], acknowledged: [client.acknowledged, server.acknowledged] }
    }

    fn synchronize(&mut self, side: Side, segment: &Segment<'_>, moment: Moment, out: &mut impl FnMut(Output<'_>)) {
        let base = segment.sequence.wrapping_add(1);
        let half = self.half_mut(side);
        let repeated = half.base() == Some(base);
        if !repeated && half.high == 0 {
            half.set_base(base);
        }
        half.seen = true;
        if side == Side::Client {
            // With the ACK flag it answers the server's own SYN, and is no repetition.
            if repeated && self.syn.is_some() && !segment.flags.ack() {
                out(Output::Event(What::SynRepeated));
            }
            if !segment.flags.ack() || self.syn.is_none() {
                self.syn = Some(moment);
            }
        } else {
            let rtt = self.syn.filter(|_| !repeated).map(|syn| moment.at.since(syn.at));
            out(Output::Event(What::SynAck { rtt, repeated, after_ack: self.established }));
            self.syn_ack = Some(moment);
            if let (true, Some(client)) = (segment.flags.ack(), self.halves.first_mut())
                && client.base().is_none()
            {
                client.set_base(segment.acknowledgement);
            }
        }
    }

    /// The offset at which the segment's payload begins; `None` before the stream's beginning.
    fn place(&mut self, side: Side, segment: &Segment<'_>) -> Option<u64> {
        let first = segment.sequence.wrapping_add(u32::from(segment.flags.syn()));
        if segment.flags.rst() && self.half(side).base().is_none() {
            return Some(0);
        }
        u64::try_from(self.half_mut(side).offset(first)).ok()
    }

    fn acknowledge(&mut self, side: Side, segment: &Segment<'_>, moment: Moment, out: &mut impl FnMut(Output<'_>)) {
        if side == Side::Client && !self.established && self.syn.or(self.syn_ack).is_some() {
            self.established = true;
            let ack_rtt = self.syn_ack.map(|syn_ack| moment.at.since(syn_ack.at));
            out(Output::Event(What::Established { ack_rtt }));
        }
        let sender = side.other();
        self.note_sacked(sender, segment, out);
        let speaks = segment.length > 0 || segment.flags.fin() || segment.flags.rst();
        let half = self.half_mut(sender);
        let Ok(offset) = u64::try_from(half.offset(segment.acknowledgement)) else { return };
        if half.fin().is_some_and(|fin| offset > fin) && !half.fin_acknowledged {
            half.fin_acknowledged = true;
            out(Output::Event(What::FinAcknowledged { sender }));
        }
        let offset = half.fin().map_or(offset, |fin| offset.min(fin));
        if offset <= half.acknowledged && !half.hole_acknowledged {
            return;
        }
        half.acknowledged = half.acknowledged.max(offset);
        if sender == Side::Client {
            while let Some(offset) = self.reached() {
                out(Output::Event(What::Acknowledged { sender, offset }));
            }
        }
        let half = self.half_mut(sender);
        let missing = half.acknowledged > half.assembler.next();
        // Capture points reorder by microseconds: a bare acknowledgement may be seen before the octets that it is for.
        // Only what the peer says after it, or a second acknowledgement, makes the hole certain.
        let certain = speaks || half.hole_acknowledged;
        half.hole_acknowledged = missing && !certain;
        if missing && certain {
            self.miss(sender, out);
        }
    }

    /// The peer holds octets beyond a hole. If nobody saw them sent, the capture missed them.
    fn note_sacked(&mut self, sender: Side, segment: &Segment<'_>, out: &mut impl FnMut(Output<'_>)) {
        let half = self.half_mut(sender);
        let known = if may_sack(segment) && half.base().is_some() { tcp::sacked(segment.options) } else { return };
        let edges = known.into_iter().filter_map(|edge| u64::try_from(half.offset(edge)).ok());
        let ahead = edges.max().map_or(0, |edge| edge.saturating_sub(half.high));
        if half.fin().is_none() && (1..LARGEST_WINDOW).contains(&ahead) {
            out(Output::Event(What::Ahead { sender, offset: half.high, length: ahead }));
            half.high += ahead;
        }
    }

    /// Octets that the peer acknowledged are not in the capture.
    fn miss(&mut self, sender: Side, out: &mut impl FnMut(Output<'_>)) {
        let context = self.context();
        let half = self.half_mut(sender);
        let until = half.acknowledged;
        half.high = half.high.max(until);
        half.assembler.skip_to(until, GapJudged::Capture, &mut |piece| relay(sender, piece, context, out));
        self.close_if_reached(sender, out);
    }

    fn take_data(
        &mut self,
        side: Side,
        segment: &Segment<'_>,
        start: Option<u64>,
        moment: Moment,
        limits: &Limits,
        out: &mut impl FnMut(Output<'_>),
    ) {
        let Some(start) = start else { return };
        let length = u64::from(segment.length);
        let end = start.saturating_add(length);
        let peer_closed = self.half(side.other()).fin().is_some();
        let half = self.half_mut(side);
        half.seen = true;
        let keep_alive_probe = length == 1 && end == half.acknowledged && half.assembler.next() >= end;
        let is_repeated = half.assembler.holds(start, length);
        // A host hands down more at once than a packet holds: where it arrives it is captured in other pieces.
        let has_arrived = is_repeated && self.homes.get(side.index()).is_some_and(|home| *home != moment.frame.host());
        if keep_alive_probe || has_arrived {
            return;
        }
        let half = self.half_mut(side);
        half.segments = half.segments.saturating_add(1);
        if is_repeated {
            half.retransmitted += 1;
            out(Output::Event(What::Retransmitted { sender: side, offset: start, length }));
            return;
        }
        let fresh = end.saturating_sub(half.high);
        half.high = half.high.max(end);
        let context = self.context();
        let half = self.half_mut(side);
        let next = half.assembler.next();
        if start > next && !half.assembler.has_hole() {
            out(Output::Event(What::Skipped { sender: side, offset: next, length: start - next }));
        }
        half.assembler.push(start, segment.payload, length, &mut |piece| relay(side, piece, context, out));
        while half.assembler.held_octets() > limits.waiting_bytes_per_direction {
            half.assembler.give_up_hole(GapJudged::Unknown, &mut |piece| relay(side, piece, context, out));
        }
        if peer_closed
            && fresh > 0
            && let Some(after) = self.after_fin.get_or_insert_default().get_mut(side.index())
        {
            *after = after.saturating_add(fresh);
        }
    }

    /// A segment without payload whose sequence number is beyond everything seen: what lies between was sent before it.
    fn note_ahead(&mut self, side: Side, start: Option<u64>, out: &mut impl FnMut(Output<'_>)) {
        let half = self.half_mut(side);
        let Some(start) = start.filter(|start| half.seen && half.fin().is_none() && *start > half.high) else { return };
        let (offset, length) = (half.high, start - half.high);
        if length < LARGEST_WINDOW {
            half.high = start;
            out(Output::Event(What::Ahead { sender: side, offset, length }));
        }
    }

    fn note_window(&mut self, side: Side, segment: &Segment<'_>, out: &mut impl FnMut(Output<'_>)) {
        let closed = segment.window == 0 && !segment.flags.syn();
        let half = self.half_mut(side);
        if closed != half.window_closed && !segment.flags.syn() {
            half.window_closed = closed;
            out(Output::Event(if closed { What::WindowClosed { by: side } } else { What::WindowOpened { by: side } }));
        }
    }

    /// Delivers what waits behind holes; nothing more will come.
    fn flush(&mut self, side: Side, out: &mut impl FnMut(Output<'_>)) {
        let context = self.context();
        let half = self.half_mut(side);
        let acknowledged = half.acknowledged;
        half.assembler.skip_to(acknowledged, GapJudged::Capture, &mut |piece| relay(side, piece, context, out));
        while half.assembler.has_hole() {
            half.assembler.give_up_hole(GapJudged::Network, &mut |piece| relay(side, piece, context, out));
        }
    }

    fn close_if_reached(&mut self, side: Side, out: &mut impl FnMut(Output<'_>)) {
        let half = self.half_mut(side);
        if !half.closed && half.fin().is_some_and(|fin| half.assembler.next() >= fin) {
            half.closed = true;
            out(Output::Closed { side, reset: false });
        }
    }
}

/// No sender can be further ahead than the largest scaled window (RFC 7323 section 2.3).
const LARGEST_WINDOW: u64 = 1 << 30;

/// Whether there may be a selective acknowledgement in it. Most have timestamps and nothing else, which takes 12 octets.
#[inline]
fn may_sack(segment: &Segment<'_>) -> bool {
    segment.options.len() > 12
}

fn relay(side: Side, piece: Piece<'_>, context: Context, out: &mut impl FnMut(Output<'_>)) {
    if let Piece::Gap { at, length, judged } = piece {
        out(Output::Event(What::Gap { sender: side, offset: at, length, judged }));
    }
    out(Output::Piece(side, piece, context));
}

#[cfg(test)]
mod tests;
