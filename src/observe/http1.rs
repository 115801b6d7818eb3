//! HTTP/1 on one connection (RFC 9112): the ordered octets of both directions in, exchanges out.
//!
//! A response belongs to the oldest request without one (RFC 9112 section 9.3), if its sender had received that request:
//! octets that do not acknowledge it cannot be its answer. After a gap a direction is lost until a message begins at the
//! start of a segment; what was outstanding then ends as unknown, and is never given somebody else's response.

use std::collections::VecDeque;

use crate::event::{Defect, DefectKind, Ending, Moment, Opaque, Side, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::flow::table::looks_like_request;
use crate::limits::Limits;
use crate::observe::chunks::{Chunks, Fed};
use crate::observe::head::{self, Place};
use crate::observe::sniff::{self, Guess};
use crate::wire::http1::{self, Framing};

/// The observer of one connection.
#[derive(Debug)]
pub struct Http1 {
    mode: Mode,
    requests: Reader,
    responses: Reader,
    outstanding: VecDeque<Outstanding>,
    exchanges: u32,
    /// Requests may have gone by unseen: nothing is called unsolicited.
    unsure: bool,
    /// A request that was answered before its header section was complete.
    answered_early: Option<u32>,
    answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Nothing was recognised yet.
    Sniffing,
    Http,
    /// Not HTTP/1, or no longer.
    Opaque,
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
    /// The exchange whose message is being read.
    exchange: u32,
}

/// What stands next in a direction.
///
/// ```text
///           head complete              last octet
///   Head ----------------> Content … ------------> Head
///    ^  \-- gap --> Lost --- a message at the start of a segment ---^
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
    /// After a gap, or after something that cannot be read.
    Lost,
}

/// A request without a (complete) response.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    exchange: u32,
    start: u64,
    method: Method,
    upgrade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Head,
    Connect,
    Other,
}

/// The response that is being read.
#[derive(Clone, Copy, Debug, Default)]
struct Answer {
    solicited: bool,
    content: u64,
    /// Offset of the first octet after the header section.
    content_start: u64,
    /// The first octets of the content are to be reported.
    wants_content: bool,
    request_sent: u64,
    defect_told: bool,
}

impl Http1 {
    /// An observer for a connection; `from_start` where its beginning is in the capture.
    #[must_use]
    pub fn new(from_start: bool) -> Self {
        Self {
            mode: Mode::Sniffing,
            requests: Reader::default(),
            responses: Reader::default(),
            outstanding: VecDeque::new(),
            exchanges: 0,
            unsure: !from_start,
            answered_early: None,
            answer: Answer::default(),
        }
    }

    /// Takes the next piece of a direction.
    pub fn piece(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        moment: Moment,
        context: Context,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        if self.mode == Mode::Opaque {
            return;
        }
        match (side, piece) {
            (Side::Client, Piece::Data { at, octets }) => self.client_data(*at, octets, moment, limits, tell),
            (Side::Server, Piece::Data { at, octets }) => {
                self.server_data(*at, octets, moment, context, limits, tell);
            }
            (Side::Client, Piece::Gap { at, length, .. }) => self.client_gap(*at, *length, tell),
            (Side::Server, Piece::Gap { at, length, .. }) => self.server_gap(*at, *length, tell),
        }
    }

    /// A direction is over.
    pub fn closed(&mut self, side: Side, reset: bool, tell: &mut impl FnMut(What)) {
        if self.mode != Mode::Http || side == Side::Client {
            return;
        }
        let reader = &self.responses;
        let how = match reader.state {
            State::Head if reader.first.is_none() => return,
            State::UntilClose { broken: false } if !reset => Ending::Closed,
            State::Lost => return,
            _ => Ending::Truncated,
        };
        let end = self.answer.content_start.max(reader.start + reader.buffer.len() as u64) + self.answer.content;
        self.end_response(end, how, tell);
        self.responses.state = State::Lost;
    }

    /// Octets of incomplete header sections.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        self.requests.buffer.capacity() + self.responses.buffer.capacity()
    }

    /// There is no room for incomplete header sections: they are given up like ones that are too long.
    pub fn give_up_heads(&mut self) {
        if self.requests.buffer.capacity() > 0 {
            self.lose_requests();
        }
        let read = std::mem::take(&mut self.responses.buffer).len() as u64;
        if read > 0 {
            self.answer.content_start = self.responses.start + read;
            self.responses.state = State::UntilClose { broken: true };
        }
    }

    fn opaque(&mut self, what: Opaque, tell: &mut impl FnMut(What)) {
        self.mode = Mode::Opaque;
        self.requests = Reader::default();
        self.responses = Reader::default();
        self.outstanding = VecDeque::new();
        tell(What::Opaque(what));
    }

    // Requests.

    fn client_data(&mut self, at: u64, octets: &[u8], moment: Moment, limits: &Limits, tell: &mut impl FnMut(What)) {
        let mut at = at;
        let mut octets = octets;
        if self.requests.state == State::Lost {
            if !looks_like_request(octets) {
                return;
            }
            self.requests = Reader::default();
        }
        while !octets.is_empty() && self.mode != Mode::Opaque {
            let taken = match self.requests.state {
                State::Head => match self.client_head(at, octets, moment, limits, tell) {
                    Some(taken) => taken,
                    None => return,
                },
                State::Content { left } => {
                    let taken = left.min(octets.len() as u64);
                    self.requests.state = State::Content { left: left - taken };
                    if taken == left {
                        self.end_request(at + taken, tell);
                    }
                    usize::try_from(taken).unwrap_or(usize::MAX)
                }
                State::Chunked(mut chunks) => {
                    let fed = chunks.feed(octets);
                    self.requests.state = State::Chunked(chunks);
                    match fed {
                        Fed::All { .. } => return,
                        Fed::Ended { taken, .. } => {
                            self.end_request(at + taken as u64, tell);
                            taken
                        }
                        Fed::Defect { .. } => {
                            self.requests.state = State::Lost;
                            return;
                        }
                    }
                }
                State::UntilClose { .. } | State::Lost => return,
            };
            at += taken as u64;
            octets = octets.get(taken..).unwrap_or_default();
        }
    }

    /// Octets where a request must stand. Returns how many were taken; `None` for all.
    fn client_head(
        &mut self,
        at: u64,
        octets: &[u8],
        moment: Moment,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) -> Option<usize> {
        if self.requests.first.is_none() {
            // RFC 9112 section 2.2: empty lines before a request line are ignored.
            let empty = octets.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
            if empty > 0 && self.mode == Mode::Http {
                return Some(empty);
            }
            self.requests.start = at;
            self.requests.first = Some(moment);
            self.requests.exchange = 0;
        }
        let searched = self.requests.buffer.len();
        let mut joined = std::mem::take(&mut self.requests.buffer);
        let head = if searched == 0 {
            octets
        } else {
            joined.extend_from_slice(octets);
            &joined
        };
        let taken = self.client_head_octets(head, searched, limits, tell);
        match taken {
            Taken::Some(taken) => {
                self.requests.buffer.clear();
                Some(taken.saturating_sub(searched))
            }
            Taken::More if self.mode != Mode::Opaque && self.requests.state == State::Head => {
                self.requests.buffer = if searched == 0 { octets.to_vec() } else { joined };
                if self.requests.buffer.len() > limits.head_bytes {
                    self.lose_requests();
                }
                None
            }
            Taken::More => None,
        }
    }

    fn client_head_octets(
        &mut self,
        head: &[u8],
        searched: usize,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) -> Taken {
        if self.mode == Mode::Sniffing || self.requests.exchange == 0 {
            match sniff::client(head) {
                Guess::Undecided => return Taken::More,
                Guess::Proxy(length, client) if self.mode == Mode::Sniffing => {
                    if let Some(client) = client {
                        tell(What::SpeaksFor(client));
                    }
                    self.requests.first = None;
                    return Taken::Some(length);
                }
                Guess::Http1 => self.mode = Mode::Http,
                Guess::Opaque(what) if self.mode == Mode::Sniffing && !self.unsure => {
                    self.opaque(what, tell);
                    return Taken::More;
                }
                Guess::Opaque(Opaque::Tls) if self.mode == Mode::Sniffing => {
                    self.opaque(Opaque::Tls, tell);
                    return Taken::More;
                }
                Guess::Opaque(_) | Guess::Proxy(..) => {
                    self.lose_requests();
                    return Taken::More;
                }
            }
            self.exchanges += 1;
            self.requests.exchange = self.exchanges;
            tell(What::RequestStarted { exchange: self.exchanges, at: self.requests.start });
        }
        let Some(end) = http1::head_end(head, searched) else { return Taken::More };
        let Some(section) = head.get(..end) else { return Taken::More };
        let Some(parsed) = http1::request(section) else {
            self.lose_requests();
            return Taken::More;
        };
        self.requests_begin(&parsed, end, limits, tell);
        Taken::Some(end)
    }

    fn requests_begin(
        &mut self,
        parsed: &http1::RequestHead<'_>,
        length: usize,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        let (framing, _) = http1::framing(&parsed.fields);
        let exchange = self.requests.exchange;
        let end = self.requests.start + length as u64;
        let Some(first) = self.requests.first.take() else { return };
        let place = Place { exchange, start: self.requests.start, end, first };
        let request = head::request(parsed, framing, place, limits.text_bytes);
        let method = match parsed.method {
            b"HEAD" => Method::Head,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        };
        if self.outstanding.len() >= limits.outstanding_requests {
            self.outstanding.pop_front();
        }
        let upgrade = request.upgrade;
        if self.answered_early != Some(exchange) {
            self.outstanding.push_back(Outstanding { exchange, start: self.requests.start, method, upgrade });
        }
        self.forget_unsolicited();
        tell(What::Request(Box::new(request)));
        self.requests.state = match framing {
            Framing::Length(left) if left > 0 => State::Content { left },
            Framing::Chunked => State::Chunked(Chunks::default()),
            Framing::Unreadable => State::Lost,
            Framing::Length(_) | Framing::Undeclared => State::Head,
        };
        if self.requests.state == State::Head {
            self.end_request(end, tell);
        }
    }

    fn end_request(&mut self, end: u64, tell: &mut impl FnMut(What)) {
        tell(What::RequestEnded { exchange: self.requests.exchange, end });
        self.requests.state = State::Head;
        self.requests.first = None;
        self.requests.exchange = 0;
    }

    fn client_gap(&mut self, at: u64, length: u64, tell: &mut impl FnMut(What)) {
        match self.requests.state {
            State::Content { left } if length <= left => {
                self.requests.state = State::Content { left: left - length };
                if length == left {
                    self.end_request(at + length, tell);
                }
            }
            _ => self.lose_requests(),
        }
    }

    fn lose_requests(&mut self) {
        self.requests = Reader { state: State::Lost, ..Reader::default() };
        self.unsure = true;
    }

    // Responses.

    fn server_data(
        &mut self,
        at: u64,
        octets: &[u8],
        moment: Moment,
        context: Context,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        let mut at = at;
        let mut octets = octets;
        if self.mode == Mode::Sniffing && !self.server_speaks_first(octets, tell) {
            return;
        }
        if self.may_begin_anew() && octets.starts_with(b"HTTP/1.") {
            self.begin_anew(at, tell);
        }
        while !octets.is_empty() && self.mode != Mode::Opaque {
            let taken = match self.responses.state {
                State::Head => match self.server_head(at, octets, moment, context, limits, tell) {
                    Some(taken) => taken,
                    None => return,
                },
                State::Content { left } => {
                    let taken = left.min(octets.len() as u64);
                    let here = usize::try_from(taken).unwrap_or(usize::MAX);
                    self.take_content(octets.get(..here).unwrap_or(octets), taken, tell);
                    self.responses.state = State::Content { left: left - taken };
                    if taken == left {
                        self.end_response(at + taken, Ending::Complete, tell);
                    }
                    here
                }
                State::Chunked(mut chunks) => {
                    let fed = chunks.feed(octets);
                    self.responses.state = State::Chunked(chunks);
                    match fed {
                        Fed::All { content } => {
                            self.take_content(octets, content, tell);
                            return;
                        }
                        Fed::Ended { taken, content } => {
                            self.take_content(octets, content, tell);
                            self.end_response(at + taken as u64, Ending::Complete, tell);
                            taken
                        }
                        Fed::Defect { at: within, content } => {
                            self.take_content(octets, content, tell);
                            self.defect(DefectKind::BadChunk, at + within as u64, tell);
                            self.responses.state = State::UntilClose { broken: true };
                            return;
                        }
                    }
                }
                State::UntilClose { .. } => {
                    self.take_content(octets, octets.len() as u64, tell);
                    return;
                }
                State::Lost => return,
            };
            at += taken as u64;
            octets = octets.get(taken..).unwrap_or_default();
        }
    }

    /// The server's octets came before any of the client's. Returns whether to read them.
    fn server_speaks_first(&mut self, octets: &[u8], tell: &mut impl FnMut(What)) -> bool {
        if octets.starts_with(b"HTTP/1.") {
            self.mode = Mode::Http;
        } else if !self.requests.buffer.is_empty() {
            // The client's first octets are not decided yet: what answers them decides.
            self.mode = Mode::Http;
        } else if self.unsure {
            self.responses.state = State::Lost;
            return false;
        } else {
            self.opaque(Opaque::Other, tell);
            return false;
        }
        true
    }

    /// Whether a status line at the start of a segment is a new message, wherever the direction stands.
    fn may_begin_anew(&self) -> bool {
        match self.responses.state {
            State::Lost => true,
            State::UntilClose { broken: true } => self.outstanding.len() > 1,
            _ => false,
        }
    }

    fn begin_anew(&mut self, at: u64, tell: &mut impl FnMut(What)) {
        if self.responses.state != State::Lost {
            self.end_response(at, Ending::Unknown, tell);
        }
        // With several outstanding nobody can say whose answer was lost.
        while self.outstanding.len() > 1 {
            if let Some(lost) = self.outstanding.pop_front() {
                tell(What::ResponseEnded { exchange: lost.exchange, end: at, content: 0, how: Ending::Unknown });
            }
        }
        self.responses = Reader::default();
    }

    fn server_head(
        &mut self,
        at: u64,
        octets: &[u8],
        moment: Moment,
        context: Context,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) -> Option<usize> {
        if self.responses.first.is_none() {
            let empty = octets.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
            if empty > 0 {
                return Some(empty);
            }
            self.begin_response(at, octets, moment, context, tell);
        }
        let searched = self.responses.buffer.len();
        let mut joined = std::mem::take(&mut self.responses.buffer);
        let head = if searched == 0 {
            octets
        } else {
            joined.extend_from_slice(octets);
            &joined
        };
        if !self.answer.defect_told
            && let Some(within) = http1::status_line_prefix_defect(head)
        {
            let kind = if head.starts_with(b"HTTP") { DefectKind::BadStatusLine } else { DefectKind::NotHttp };
            self.defect(kind, self.responses.start + within as u64, tell);
        }
        let Some(end) = http1::head_end(head, searched) else {
            if head.len() > limits.head_bytes {
                self.answer.content_start = at;
                self.responses.state = State::UntilClose { broken: true };
            } else {
                self.responses.buffer = if searched == 0 { octets.to_vec() } else { joined };
            }
            return None;
        };
        let section = head.get(..end).unwrap_or_default();
        self.take_head(section, tell);
        Some(end.saturating_sub(searched))
    }

    fn begin_response(
        &mut self,
        at: u64,
        octets: &[u8],
        moment: Moment,
        context: Context,
        tell: &mut impl FnMut(What),
    ) {
        let [received, _] = context.acknowledged;
        let [request_sent, _] = context.sent;
        // A request that is still arriving can be answered as well; it is not in the queue until its head is complete.
        let front = self.outstanding.front().filter(|front| received > front.start);
        let exchange = front.map(|front| front.exchange);
        let arriving = (self.requests.exchange > 0 && exchange.is_none()).then_some(self.requests.exchange);
        let solicited = exchange.is_some() || arriving.is_some() || self.unsure;
        self.answered_early = arriving.or(self.answered_early);
        self.responses.exchange = exchange.or(arriving).unwrap_or_else(|| {
            self.exchanges += 1;
            self.exchanges
        });
        self.responses.start = at;
        self.responses.first = Some(moment);
        self.answer = Answer { solicited, request_sent, content_start: at, ..Answer::default() };
        tell(What::ResponseStarted {
            exchange: self.responses.exchange,
            at,
            solicited,
            first: octets.get(..64).unwrap_or(octets).into(),
        });
    }

    fn take_head(&mut self, section: &[u8], tell: &mut impl FnMut(What)) {
        let parsed = http1::response(section);
        let start = self.responses.start;
        let end = start + section.len() as u64;
        let (framing, conflict) = http1::framing(&parsed.fields);
        let conflict = conflict.map(|(kind, line)| {
            let value = parsed.fields.get(line).map_or(0, |field| offset_within(section, field.value));
            (kind, value)
        });
        if let Some((kind, within)) = parsed.defect.or(conflict)
            && !self.answer.defect_told
        {
            self.defect(kind, start + within as u64, tell);
        }
        let exchange = self.responses.exchange;
        let Some(first) = self.responses.first else { return };
        let place = Place { exchange, start, end, first };
        let response = head::response(&parsed, framing, place, self.answer.request_sent, self.answer.solicited);
        let status = response.status;
        self.answer.content_start = end;
        self.answer.wants_content = status >= 400;
        tell(What::Response(Box::new(response)));
        if (100..200).contains(&status) && status != 101 {
            self.responses = Reader::default();
            return;
        }
        let request = self.outstanding.front().filter(|front| front.exchange == exchange).copied();
        let method = request.map_or(Method::Other, |request| request.method);
        let upgraded = status == 101 && request.is_none_or(|request| request.upgrade);
        if upgraded || (method == Method::Connect && (200..300).contains(&status)) {
            self.end_response(end, Ending::Switched, tell);
            self.opaque(Opaque::Switched, tell);
            return;
        }
        let bodiless = method == Method::Head || matches!(status, 101 | 204 | 304);
        self.responses.state = match framing {
            _ if bodiless => State::Content { left: 0 },
            _ if parsed.status.is_none() => State::UntilClose { broken: true },
            Framing::Length(left) => State::Content { left },
            Framing::Chunked => State::Chunked(Chunks::default()),
            Framing::Undeclared => State::UntilClose { broken: false },
            Framing::Unreadable => State::UntilClose { broken: true },
        };
        if self.responses.state == (State::Content { left: 0 }) {
            self.end_response(end, Ending::Complete, tell);
        }
    }

    fn take_content(&mut self, octets: &[u8], content: u64, tell: &mut impl FnMut(What)) {
        self.answer.content += content;
        if self.answer.wants_content && !octets.is_empty() {
            self.answer.wants_content = false;
            let octets = octets.get(..512).unwrap_or(octets).into();
            tell(What::ResponseContent { exchange: self.responses.exchange, octets });
        }
    }

    fn defect(&mut self, kind: DefectKind, offset: u64, tell: &mut impl FnMut(What)) {
        self.answer.defect_told = true;
        let within = offset.saturating_sub(self.responses.start);
        let exchange = self.responses.exchange;
        tell(What::Defect(Defect { exchange, sender: Side::Server, offset, within, kind }));
    }

    fn end_response(&mut self, end: u64, how: Ending, tell: &mut impl FnMut(What)) {
        let exchange = self.responses.exchange;
        tell(What::ResponseEnded { exchange, end, content: self.answer.content, how });
        if self.outstanding.front().is_some_and(|front| front.exchange == exchange) {
            self.outstanding.pop_front();
        }
        self.responses = Reader::default();
    }

    fn server_gap(&mut self, at: u64, length: u64, tell: &mut impl FnMut(What)) {
        match self.responses.state {
            State::Content { left } if length <= left => {
                self.answer.content += length;
                self.answer.wants_content = false;
                self.responses.state = State::Content { left: left - length };
                if length == left {
                    self.end_response(at + length, Ending::Complete, tell);
                }
            }
            State::UntilClose { .. } => self.answer.content += length,
            State::Lost => {}
            State::Head if self.responses.first.is_none() => {
                if let Some(front) = self.outstanding.pop_front() {
                    let exchange = front.exchange;
                    tell(What::ResponseEnded { exchange, end: at, content: 0, how: Ending::Unknown });
                }
                self.responses.state = State::Lost;
            }
            State::Head | State::Content { .. } | State::Chunked(_) => {
                self.end_response(at, Ending::Unknown, tell);
                self.responses.state = State::Lost;
            }
        }
    }

    /// A request began: octets that came before it, and that nobody asked for, are not its answer.
    fn forget_unsolicited(&mut self) {
        if self.responses.first.is_some() && !self.answer.solicited {
            self.responses = Reader { state: State::Lost, ..Reader::default() };
        }
    }
}

/// How many octets of a header section were taken.
enum Taken {
    Some(usize),
    /// More are needed, or the direction is not read any more.
    More,
}

/// Where a part of a section begins in it.
fn offset_within(section: &[u8], part: &[u8]) -> usize {
    (part.as_ptr() as usize).saturating_sub(section.as_ptr() as usize).min(section.len())
}

#[cfg(test)]
mod tests;
