//! HTTP/2 on one connection (RFC 9113): the ordered octets of both directions in, exchanges out, one a stream.
//!
//! ```text
//!   octets ─► frames ─► header blocks ─► field lines, by what earlier blocks taught ─► requests, responses
//!                  `──► DATA, of which octets are counted
//! ```
//!
//! Offsets are those of the stream of TCP: a request begins with its HEADERS frame and ends behind the frame that ends its stream,
//! so what a FIN or RST acknowledges tells of it what it tells in HTTP/1.
//!
//! Holes within DATA frames are stepped over. Behind any other one no header block can be trusted (RFC 7541 section 2.2), and
//! frames cannot be told from content: the connection is not followed from there, and what is open ends as unknown.

mod frames;
mod heads;
mod streams;

use crate::event::{Ending, Excerpt, GoAway, Moment, Opaque, Side, StreamReset, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::observe::decrypted::Now;
use crate::observe::http1::Unread;
use crate::observe::http2::frames::{Content, Frames, Step, Whole};
use crate::observe::http2::streams::{Stream, Streams, Until};
use crate::wire::hpack;
use crate::wire::http2::{self, Header, Kind};

/// The observer of one connection.
#[derive(Debug)]
pub struct Http2 {
    state: State,
    directions: [Direction; 2],
    streams: Streams,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Frames are read. `[client, server]`: what a connection begins with was seen.
    Open([bool; 2]),
    /// Nothing is read any more.
    Lost,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    frames: Frames,
    table: hpack::Decoder,
    /// A header block that is not complete.
    block: Option<Block>,
    /// That a header block began was told.
    told: bool,
}

/// A header block.
#[derive(Debug)]
struct Block {
    /// The frame that began it.
    header: Header,
    octets: Vec<u8>,
    /// Offset of the frame's first octet, when it was seen, and how far both streams were then.
    start: u64,
    since: (Moment, Context),
}

impl Http2 {
    /// An observer for a connection that begins, behind so many exchanges of HTTP/1. Where it was `upgraded` for the last of them,
    /// that is stream 1, and its request complete (RFC 7540 section 3.2).
    #[must_use]
    pub fn new(exchanges: u32, upgraded: bool) -> Self {
        let streams = Streams::behind(exchanges, upgraded);
        Self { state: State::Open([false; 2]), directions: Default::default(), streams }
    }

    /// Takes the next piece of a direction.
    pub fn piece(&mut self, side: Side, piece: &Piece<'_>, now: Now<'_>, tell: &mut impl FnMut(What)) {
        if self.state == State::Lost {
            return;
        }
        match piece {
            Piece::Data { at, octets } => self.data(side, *at, octets, now, tell),
            Piece::Gap { at, length, .. } => match self.direction(side).frames.skip(*at, *length) {
                Some(content) => self.content(side, &content, tell),
                None => self.lose(tell),
            },
        }
    }

    /// Reads what was recognised as HTTP/2.
    pub fn read(&mut self, unread: &Unread, now: Now<'_>, tell: &mut impl FnMut(What)) {
        for ((at, octets), side) in unread.iter().zip([Side::Client, Side::Server]).filter(|((_, o), _)| !o.is_empty())
        {
            self.piece(side, &Piece::Data { at: *at, octets }, now, tell);
        }
    }

    /// A direction is over.
    pub fn closed(&mut self, side: Side, tell: &mut impl FnMut(What)) {
        if side == Side::Client || self.state == State::Lost {
            return;
        }
        let [_, server] = &self.directions;
        let end = server.frames.end();
        for stream in self.streams.begun() {
            tell(What::ResponseEnded {
                exchange: stream.exchange,
                end,
                content: stream.content,
                how: Ending::Truncated,
            });
        }
        self.streams.forget_responses();
    }

    /// Octets of what is incomplete, and of what must be remembered to read on.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        let held = |direction: &Direction| {
            let block = direction.block.as_ref().map_or(0, |block| block.octets.capacity());
            direction.frames.held_octets() + direction.table.held_octets() + block
        };
        self.directions.iter().map(held).sum::<usize>() + self.streams.held_octets()
    }

    /// There is no room for it.
    pub fn give_up(&mut self, tell: &mut impl FnMut(What)) {
        if self.state != State::Lost {
            self.lose(tell);
        }
    }

    fn direction(&mut self, side: Side) -> &mut Direction {
        let [client, server] = &mut self.directions;
        if side == Side::Client { client } else { server }
    }

    fn data(&mut self, side: Side, at: u64, octets: &[u8], now: Now<'_>, tell: &mut impl FnMut(What)) {
        let (mut at, mut rest) = (at, octets);
        while !rest.is_empty() {
            let State::Open(begun) = self.state else { return };
            if begun.get(side.index()).is_some_and(|begun| !begun) {
                match self.preface(side, at, rest, now, tell) {
                    Some(taken) => {
                        at += taken as u64;
                        rest = rest.get(taken..).unwrap_or_default();
                        continue;
                    }
                    None => return,
                }
            }
            let frames = &mut self.direction(side).frames;
            let (taken, step) = frames.next(at, rest, (now.moment, now.context), now.limits.head_bytes);
            at += taken as u64;
            rest = rest.get(taken..).unwrap_or_default();
            match step {
                Step::More => {}
                Step::TooLong => return self.lose(tell),
                Step::Content(content) => self.content(side, &content, tell),
                Step::Whole(whole) => self.frame(side, &whole, now, tell),
            }
        }
        self.begun(side, tell);
    }

    /// What a connection begins with. Returns how many octets were taken; `None` where the rest is of no use.
    fn preface(
        &mut self,
        side: Side,
        at: u64,
        octets: &[u8],
        now: Now<'_>,
        tell: &mut impl FnMut(What),
    ) -> Option<usize> {
        let State::Open(begun) = &mut self.state else { return None };
        let held = self.directions.get(side.index()).map_or(&[][..], |direction| direction.frames.held());
        let (before, head) = (held.len(), [held, octets].concat());
        let begins = match side {
            Side::Client if head.starts_with(http2::PREFACE) => Some(true),
            Side::Client if http2::PREFACE.starts_with(&head) => None,
            Side::Client => Some(false),
            Side::Server => http2::is_server_preface(&head),
        };
        match (begins, side) {
            (Some(true), Side::Client) => {
                let [client, _] = begun;
                *client = true;
                self.direction(side).frames.forget();
                Some(http2::PREFACE.len() - before)
            }
            (Some(true), Side::Server) => {
                let [_, server] = begun;
                *server = true;
                // What was held begins its first frame.
                let start = at.saturating_sub(before as u64);
                self.direction(side).frames.forget();
                self.data(side, start, &head, now, tell);
                None
            }
            (Some(false), Side::Server) => {
                self.foreign(at.saturating_sub(before as u64), &head, tell);
                None
            }
            (Some(false), Side::Client) => {
                self.lose(tell);
                None
            }
            (None, _) => {
                self.direction(side).frames.hold(octets);
                None
            }
        }
    }

    /// A frame that is there as a whole, and is no DATA.
    fn frame(&mut self, side: Side, whole: &Whole<'_>, now: Now<'_>, tell: &mut impl FnMut(What)) {
        let Whole { header, payload, start, end, since } = whole;
        let expects = self.direction(side).block.as_ref().map(|block| block.header.stream);
        // Section 6.10: nothing may stand between the parts of a header block.
        if expects.is_some_and(|stream| header.kind != Kind::CONTINUATION || header.stream != stream) {
            return self.lose(tell);
        }
        match header.kind {
            Kind::HEADERS | Kind::PUSH_PROMISE | Kind::CONTINUATION => {
                let direction = self.direction(side);
                let block = match header.kind {
                    Kind::CONTINUATION => direction.block.take(),
                    _ => Some(Block { header: *header, octets: Vec::new(), start: *start, since: *since }),
                };
                let (Some(mut block), Some(fragment)) = (block, header.fragment(payload)) else {
                    return self.lose(tell);
                };
                block.octets.extend_from_slice(fragment);
                if block.octets.len() > now.limits.head_bytes {
                    return self.lose(tell);
                }
                if !header.ends_headers() {
                    self.direction(side).block = Some(block);
                    return;
                }
                match self.direction(side).table.decode(&block.octets, now.limits.head_bytes) {
                    // What a server makes up answers nobody's request.
                    Ok(_) if block.header.kind == Kind::PUSH_PROMISE => {}
                    Ok(lines) => self.head(side, &block, &lines, *end, now, tell),
                    Err(_) => self.lose(tell),
                }
            }
            Kind::RST_STREAM => {
                let code = http2::reset(payload).unwrap_or(http2::ErrorCode::NO_ERROR);
                self.reset(side, header.stream, code, *end, tell);
            }
            Kind::GOAWAY => {
                if let Some((last, code)) = http2::goaway(payload) {
                    let last = self.streams.greatest_up_to(last);
                    tell(What::GoAway(GoAway { by: side, last, code }));
                }
            }
            _ => {}
        }
    }

    /// A stream was given up.
    fn reset(&mut self, side: Side, stream: u32, code: http2::ErrorCode, at: u64, tell: &mut impl FnMut(What)) {
        let Some(over) = self.streams.take(stream) else { return };
        let exchange = over.exchange;
        if over.response == Until::Over {
            // RFC 9113 section 8.1: who has answered may tell the client that the rest of the request is of no use.
            return;
        }
        tell(What::StreamReset(StreamReset { exchange, by: side, code }));
        if side == Side::Server && over.response == Until::Content {
            tell(What::ResponseEnded { exchange, end: at, content: over.content, how: Ending::Truncated });
        }
    }

    /// Octets of content came by.
    fn content(&mut self, side: Side, content: &Content<'_>, tell: &mut impl FnMut(What)) {
        if let Some(stream) = self.streams.get_mut(content.header.stream).filter(|_| side == Side::Server) {
            stream.content += content.octets;
            if stream.wants_content && content.octets > 0 {
                stream.wants_content = false;
                let content = Excerpt::of(content.first);
                tell(What::ResponseContent { exchange: stream.exchange, content });
            }
        }
        let Some(end) = content.ends else { return };
        // A frame without content that ends a request adds nothing that a server would wait for.
        let end = match self.streams.get_mut(content.header.stream).filter(|_| side == Side::Client) {
            Some(stream) if content.header.length == 0 => stream.asked,
            Some(stream) => {
                stream.asked = end;
                end
            }
            None => end,
        };
        self.ends(side, &content.header, end, tell);
    }

    /// A frame ended its side of a stream, if it says so.
    fn ends(&mut self, side: Side, header: &Header, end: u64, tell: &mut impl FnMut(What)) {
        if !header.ends_stream() {
            return;
        }
        let Some(stream) = self.streams.get_mut(header.stream) else { return };
        let exchange = stream.exchange;
        match side {
            Side::Client if stream.request_open => {
                stream.request_open = false;
                tell(What::RequestEnded { exchange, end });
            }
            Side::Server if stream.response == Until::Content => {
                stream.response = Until::Over;
                let content = stream.content;
                let how = if content < stream.declared { Ending::Truncated } else { Ending::Complete };
                tell(What::ResponseEnded { exchange, end, content, how });
            }
            _ => {}
        }
        if !stream.request_open && stream.response == Until::Over {
            self.streams.take(header.stream);
        }
    }

    /// Nothing of it can be read from here on: what is open ends as unknown.
    fn lose(&mut self, tell: &mut impl FnMut(What)) {
        let [_, server] = &self.directions;
        let end = server.frames.end();
        for stream in self.streams.unanswered() {
            let Stream { exchange, content, .. } = *stream;
            tell(What::ResponseEnded { exchange, end, content, how: Ending::Unknown });
        }
        self.stop();
        tell(What::Opaque(Opaque::Http2));
    }

    fn stop(&mut self) {
        self.state = State::Lost;
        self.directions = Default::default();
        self.streams = Streams::default();
    }
}

#[cfg(test)]
mod tests;
