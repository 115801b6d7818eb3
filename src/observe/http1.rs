//! HTTP/1 on one connection (RFC 9112): the ordered octets of both directions in, exchanges out. So are uwsgi and SCGI, whose
//! requests alone are written otherwise.
//!
//! A response belongs to the oldest request without one (RFC 9112 section 9.3), if its sender had received that request:
//! octets that do not acknowledge it cannot be its answer. After a gap a direction is lost until a message begins at the
//! start of a segment; what was outstanding then ends as unknown, and is never given somebody else's response.

mod cut;
mod pairing;
mod requests;
mod responses;
mod rest;
mod sections;
mod variables;

use std::borrow::Cow;

use crate::event::{Ending, GapJudged, Moment, Opaque, Protocol, Side, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::observe::chunks::Chunks;
use crate::observe::decrypted::Now;
use crate::observe::http1::cut::Measure;
use crate::observe::http1::pairing::Queue;
pub use crate::observe::http1::rest::Rest;
use crate::observe::http1::sections::Latest;
pub use crate::observe::http1::sections::Sections;
use crate::observe::http2::Http2;

/// The observer of one connection.
#[derive(Debug)]
pub struct Http1 {
    mode: Mode,
    /// What requests are written in.
    protocol: Protocol,
    requests: Reader,
    responses: Reader,
    outstanding: Queue,
    exchanges: u32,
    /// Requests may have gone by unseen: nothing is called unsolicited.
    unsure: bool,
    /// A request that was answered before its header section was complete.
    answered_early: Option<u32>,
    /// A request began while octets of a response of unknown length were under way: what comes may be either one's.
    mingled: bool,
    answer: Answer,
    /// Offset after the server's latest octets.
    server_end: u64,
    /// The latest request asked for HTTP/2, and is answered in that.
    upgraded: bool,
    /// The latest header section of `[the client, the server]`.
    latest: [Latest; 2],
}

/// What was recognised as something else, for who reads that: of each side the offset of the first octet, and the octets.
pub type Unread = [(u64, Vec<u8>); 2];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing was recognised yet. Text of the client that is no request is kept: what answers it decides.
    Sniffing,
    Http,
    /// Not HTTP/1, or no longer, but this.
    Opaque(Opaque),
}

/// One direction.
#[derive(Debug, Default)]
struct Reader {
    state: State,
    /// Octets of an incomplete header section.
    buffer: Vec<u8>,
    /// Offset of its first octet, and when that was seen.
    start: u64,
    first: Option<Moment>,
    /// Up to which offset of the peer's stream the sender had acknowledged then.
    acknowledged: u64,
    /// The exchange whose message is being read.
    exchange: u32,
}

impl Reader {
    /// The octets so far of the header section that these belong to, and how many of them came before.
    fn gather<'a>(&mut self, octets: &'a [u8]) -> (Cow<'a, [u8]>, usize) {
        let mut head = std::mem::take(&mut self.buffer);
        let before = head.len();
        if before == 0 {
            return (Cow::Borrowed(octets), 0);
        }
        head.extend_from_slice(octets);
        (Cow::Owned(head), before)
    }
}

/// What stands next in a direction.
///
/// ```text
///           head complete              last octet
///   Head ----------------> Content … ------------> Head
///    ^  \-- gap --> Lost --- a message at the start of a segment ---^
///    ^   \- snaplen -> Cut -- the other side goes on, and a message at the start of a segment --^
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A message, or nothing.
    #[default]
    Head,
    Content {
        left: u64,
    },
    Chunked(Chunks),
    /// Until the connection closes; `broken` where the message does not say so rightly.
    UntilClose {
        broken: bool,
    },
    /// The rest of a message whose header section, or whose chunks, the snaplen cut.
    Cut,
    /// After a gap, or after something that cannot be read.
    Lost,
}

/// The response that is being read.
#[derive(Debug, Default)]
struct Answer {
    /// Its first octets, for who wants to see what is wrong with it.
    first: Box<[u8]>,
    solicited: bool,
    content: u64,
    /// Offset of the first octet after the header section.
    content_start: u64,
    /// The first octets of the content are to be reported.
    wants_content: bool,
    request_sent: u64,
    defect_told: bool,
    /// Where the snaplen cut it.
    measure: Measure,
}

impl Answer {
    fn keep_first(&mut self, octets: &[u8]) {
        self.first = octets.get(..FIRST_OCTETS).unwrap_or(octets).into();
    }
}

impl Http1 {
    /// Takes the next piece of a direction. `sections` are those that came before, on whatever connection.
    #[inline]
    pub fn piece(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        now: &Now<'_>,
        sections: &mut Sections,
        tell: &mut impl FnMut(What),
    ) {
        if self.is_opaque() {
            return;
        }
        match (side, piece) {
            (Side::Client, Piece::Data { at, octets }) => self.client_data(*at, octets, now, sections, tell),
            (Side::Server, Piece::Data { at, octets }) => {
                self.server_end = at + octets.len() as u64;
                self.server_data(*at, octets, now, sections, tell);
            }
            (Side::Client, Piece::Gap { at, length, judged }) => {
                self.client_gap(*at, *length, *judged == GapJudged::Snaplen, now, tell);
            }
            (Side::Server, Piece::Gap { at, length, judged }) => {
                self.server_end = at + length;
                self.server_gap(*at, *length, *judged == GapJudged::Snaplen, tell);
            }
        }
    }

    /// A direction is over.
    pub fn closed(&mut self, side: Side, reset: bool, tell: &mut impl FnMut(What)) {
        if self.mode == Mode::Sniffing && !self.requests.buffer.is_empty() {
            self.opaque(Opaque::Other, tell);
        }
        if self.mode != Mode::Http || side == Side::Client {
            return;
        }
        let reader = &self.responses;
        let how = match reader.state {
            State::Head if reader.first.is_none() => return,
            State::UntilClose { broken: false } if !reset => Ending::Closed,
            State::Lost => return,
            State::Cut => match self.cut_ending() {
                Ending::Unmeasured => return,
                known => known,
            },
            _ => Ending::Truncated,
        };
        self.end_response(self.server_end, how, tell);
        self.responses.state = State::Lost;
    }

    /// Octets of incomplete header sections.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        self.requests.buffer.capacity() + self.responses.buffer.capacity()
    }

    /// There is no room for incomplete header sections: they are given up like ones that are too long.
    pub fn give_up_heads(&mut self, context: Context) {
        if self.requests.buffer.capacity() > 0 {
            self.lose_requests(context);
        }
        let read = std::mem::take(&mut self.responses.buffer).len() as u64;
        if read > 0 {
            self.answer.content_start = self.responses.start + read;
            self.responses.state = State::UntilClose { broken: true };
        }
    }

    /// Whether nothing of it is read any more.
    #[inline]
    #[must_use]
    pub fn is_opaque(&self) -> bool {
        matches!(self.mode, Mode::Opaque(_))
    }

    /// What is there that is not HTTP/1.
    #[must_use]
    pub fn carried(&self) -> Option<Opaque> {
        match self.mode {
            Mode::Opaque(carried) => Some(carried),
            Mode::Sniffing | Mode::Http => None,
        }
    }

    /// Whether the connection's beginning is in the capture, and all of it was seen.
    #[must_use]
    pub fn is_from_start(&self) -> bool {
        !self.unsure
    }

    /// The client's octets that were recognised as something else, and the offset of the first one.
    #[must_use]
    pub fn unread(&self) -> (u64, &[u8]) {
        (self.requests.start, &self.requests.buffer)
    }

    /// The observer of the HTTP/2 that this turned out to be, and what it has to read first.
    #[must_use]
    pub fn to_http2(&mut self) -> Option<(Box<Http2>, Unread)> {
        let Mode::Opaque(Opaque::Http2) = self.mode else { return None };
        let unread =
            [&mut self.requests, &mut self.responses].map(|reader| (reader.start, std::mem::take(&mut reader.buffer)));
        Some((Box::new(Http2::new(self.exchanges, self.upgraded)), unread))
    }

    /// Exchanges so far.
    #[must_use]
    pub const fn exchanges(&self) -> u32 {
        self.exchanges
    }

    fn opaque(&mut self, what: Opaque, tell: &mut impl FnMut(What)) {
        self.mode = Mode::Opaque(what);
        self.requests = Reader::default();
        self.responses = Reader::default();
        self.outstanding = Queue::default();
        tell(What::Opaque(what));
    }
}

/// Octets of a response that are told where it has a defect.
const FIRST_OCTETS: usize = 64;

#[cfg(test)]
mod tests;
