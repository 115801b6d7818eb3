//! FastCGI on one connection (specification 1.0): the records of both directions in, exchanges out.
//!
//! ```text
//!   web server   BEGIN_REQUEST  PARAMS …  PARAMS (empty)  STDIN …  STDIN (empty)
//!   application                                  STDERR …  STDOUT: header section, content …  END_REQUEST
//! ```
//!
//! A request begins with its BEGIN_REQUEST and ends behind the content that it declares, so that what a FIN or RST acknowledges
//! tells of it what it tells in HTTP/1. A response begins with the first output. Web servers have one request at a time on a connection; of
//! connections that carry several at once nothing is read.
//!
//! Holes within content are stepped over. Behind any other one records cannot be told from content, until a request begins at the
//! start of a segment.

mod records;

use smallvec::SmallVec;

use crate::event::{Defect, DefectKind, Ending, FastCgiEnd, ForwardedFor, Moment, Opaque, Side, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::observe::decrypted::Now;
use crate::observe::fastcgi::records::{Part, Records, Step};
use crate::observe::head::{self, Place};
use crate::observe::tls::alert_instead;
use crate::texts::readable;
use crate::wire::cgi::{self, Variables};
use crate::wire::fastcgi::{Begin, End, Kind, answer_defect, begins_request, pairs};
use crate::wire::http1::{self, Fields, Framing, RequestHead};

/// The observer of one connection.
#[derive(Debug, Default)]
pub struct FastCgi {
    state: State,
    client: Records,
    server: Records,
    exchanges: u32,
    open: Option<Open>,
    /// Offset after the application's latest octet.
    end: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Reading,
    /// Behind a hole, until a request begins at the start of a segment.
    Lost,
    /// Several requests at once: nothing is read any more.
    Shared,
}

/// The request that is open.
#[derive(Debug)]
struct Open {
    id: u16,
    exchange: u32,
    /// Offset of its first octet; when that was seen, and how far both streams were then.
    start: u64,
    since: (Moment, Context),
    /// Whether the connection is to be kept.
    keeps: bool,
    /// Content of BEGIN_REQUEST or PARAMS so far.
    gathered: Vec<u8>,
    asked: Asked,
    is_told: bool,
    /// Whether it asks for a header section alone.
    is_head: bool,
    answer: Answer,
    /// Output so far that is no whole header section.
    output: Vec<u8>,
    /// Offset at which it began.
    output_start: Option<u64>,
    /// What was said of errors.
    stderr: Vec<u8>,
    /// Content of END_REQUEST so far.
    end: Vec<u8>,
}

/// What of a request stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Params,
    /// Content: octets that are to come, where that was declared.
    Content(Option<u64>),
    Nothing,
}

/// What of a response stands next.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// Output.
    Nothing,
    /// The rest of the header section, which began with this octet, at that moment.
    Head(u64, (Moment, Context)),
    /// Content: octets so far, how many there are to be, and whether the first ones are to be told.
    Content { octets: u64, declared: Option<u64>, is_wanted: bool },
    /// Nothing that can be read.
    Unreadable,
}

impl FastCgi {
    /// Takes the next piece of a direction.
    pub fn piece(&mut self, side: Side, piece: &Piece<'_>, now: Now<'_>, tell: &mut impl FnMut(What)) {
        if self.state == State::Lost
            && let (Side::Client, Piece::Data { octets, .. }) = (side, piece)
            && begins_request(octets)
        {
            // Whatever the application said came before.
            *self = Self { exchanges: self.exchanges, ..Self::default() };
        }
        if self.state != State::Reading {
            return;
        }
        if side == Side::Server {
            self.end = match piece {
                Piece::Data { at, octets } => at + octets.len() as u64,
                Piece::Gap { at, length, .. } => at + length,
            };
        }
        match piece {
            Piece::Data { at, octets } => self.data(side, *at, octets, now, tell),
            Piece::Gap { at, length, .. } => match self.records(side).skip(*at, *length) {
                Some(part) if is_content(part.header.kind) || part.missing == 0 => self.part(side, &part, now, tell),
                _ => self.lose(tell),
            },
        }
    }

    /// A direction is over.
    pub fn closed(&mut self, side: Side, tell: &mut impl FnMut(What)) {
        let Some(open) = self.open.take_if(|_| side == Side::Server) else { return };
        let end = self.end;
        open.tell_end(None, end, tell);
        let content = match open.answer {
            Answer::Nothing => return,
            Answer::Head(..) | Answer::Unreadable => 0,
            Answer::Content { octets, .. } => octets,
        };
        tell(What::ResponseEnded { exchange: open.exchange, end, content, how: Ending::Truncated });
    }

    /// Octets of what is incomplete.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        let open = self.open.as_ref().map_or(0, |open| {
            open.gathered.capacity() + open.output.capacity() + open.stderr.capacity() + open.end.capacity()
        });
        self.client.held_octets() + self.server.held_octets() + open
    }

    /// There is no room for it.
    pub fn give_up(&mut self, tell: &mut impl FnMut(What)) {
        self.lose(tell);
    }

    fn records(&mut self, side: Side) -> &mut Records {
        if side == Side::Client { &mut self.client } else { &mut self.server }
    }

    fn data(&mut self, side: Side, at: u64, octets: &[u8], now: Now<'_>, tell: &mut impl FnMut(What)) {
        let (mut at, mut rest) = (at, octets);
        while !rest.is_empty() && self.state == State::Reading {
            if side == Side::Server && !self.is_answer(at, rest, tell) {
                return;
            }
            let (taken, step) = self.records(side).next(at, rest, (now.moment, now.context));
            match step {
                Step::More => {}
                Step::NoRecord => self.lose(tell),
                Step::Part(part) => self.part(side, &part, now, tell),
            }
            at += taken as u64;
            rest = rest.get(taken..).unwrap_or_default();
        }
        if let Some(open) = self.open.as_mut().filter(|open| side == Side::Client && !open.is_told) {
            open.is_told = true;
            let [_, acknowledged] = open.since.1.acknowledged;
            tell(What::RequestStarted { exchange: open.exchange, at: open.start, acknowledged });
        }
    }

    /// Whether octets of the application go on with a record; if not, it is told what they are.
    fn is_answer(&mut self, at: u64, octets: &[u8], tell: &mut impl FnMut(What)) -> bool {
        let Some(open) = &mut self.open else { return true };
        if matches!(open.answer, Answer::Unreadable) {
            return false;
        }
        if !self.server.is_between() {
            return true;
        }
        let (start, held) = self.server.held(at);
        let head: SmallVec<[u8; FIRST_OCTETS]> = held.iter().chain(octets).copied().take(FIRST_OCTETS).collect();
        let Some(within) = answer_defect(&head) else { return true };
        open.refuse(start, within, &head, tell);
        false
    }

    fn part(&mut self, side: Side, part: &Part<'_>, now: Now<'_>, tell: &mut impl FnMut(What)) {
        match side {
            Side::Client => self.ask(part, now, tell),
            Side::Server => self.answer(part, now, tell),
        }
    }

    /// A part of a record of the web server.
    fn ask(&mut self, part: &Part<'_>, now: Now<'_>, tell: &mut impl FnMut(What)) {
        if part.is(Kind::BEGIN_REQUEST) {
            return self.begin(part, tell);
        }
        let Some(open) = self.open.as_mut().filter(|open| open.id == part.header.request) else { return };
        match open.asked {
            Asked::Params if part.is(Kind::PARAMS) => {
                open.gathered.extend_from_slice(part.content);
                if let Some(end) = part.ends_stream() {
                    open.tell_request(end, now.limits.text_bytes, tell);
                } else if open.gathered.len() > now.limits.head_bytes {
                    self.lose(tell);
                }
            }
            Asked::Content(left) if part.is(Kind::STDIN) => {
                let came = part.content.len() as u64 + part.missing;
                let left = left.map(|left| left.saturating_sub(came));
                open.asked = Asked::Content(left);
                let declared = (left == Some(0)).then_some(part.at + came);
                if let Some(end) = declared.or_else(|| part.ends_stream()) {
                    open.end_request(end, tell);
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, part: &Part<'_>, tell: &mut impl FnMut(What)) {
        let id = part.header.request;
        match &mut self.open {
            Some(open) if open.id == id && open.asked == Asked::Params => {
                open.gathered.extend_from_slice(part.content);
            }
            Some(open) if open.id != id => {
                self.lose(tell);
                self.state = State::Shared;
                return tell(What::Opaque(Opaque::FastCgi));
            }
            open => {
                if let Some(over) = open.take() {
                    // The end of it went by unseen.
                    let (exchange, end) = (over.exchange, part.start);
                    tell(What::ResponseEnded { exchange, end, content: 0, how: Ending::Unknown });
                }
                self.exchanges += 1;
                *open = Some(Open::new(id, self.exchanges, part));
            }
        }
        if part.ends.is_some()
            && let Some(open) = &mut self.open
        {
            open.keeps = Begin::read(&open.gathered).is_some_and(|begin| begin.keeps);
            open.gathered.clear();
        }
    }

    /// A part of a record of the application.
    fn answer(&mut self, part: &Part<'_>, now: Now<'_>, tell: &mut impl FnMut(What)) {
        let id = part.header.request;
        let Some(open) = self.open.as_mut().filter(|_| id > 0) else { return };
        if id != open.id {
            return open.refuse(part.start, 2, part.content, tell);
        }
        match part.header.kind {
            Kind::STDOUT => open.take_output(part, now, tell),
            Kind::STDERR => {
                let room = MOST_STDERR.saturating_sub(open.stderr.len());
                open.stderr.extend_from_slice(part.content.get(..room).unwrap_or(part.content));
            }
            Kind::END_REQUEST => {
                open.end.extend_from_slice(part.content);
                if let Some(end) = part.ends
                    && let Some(open) = self.open.take()
                {
                    open.tell_end(End::read(&open.end), end, tell);
                    let (content, how) = open.ending();
                    tell(What::ResponseEnded { exchange: open.exchange, end, content, how });
                }
            }
            _ => {}
        }
    }

    /// Records cannot be told from content any more: what is open ends as unknown.
    fn lose(&mut self, tell: &mut impl FnMut(What)) {
        if let Some(Open { exchange, .. }) = self.open.take() {
            tell(What::ResponseEnded { exchange, end: self.end, content: 0, how: Ending::Unknown });
        }
        if self.state == State::Reading {
            *self = Self { state: State::Lost, exchanges: self.exchanges, ..Self::default() };
        }
    }
}

impl Open {
    fn new(id: u16, exchange: u32, part: &Part<'_>) -> Self {
        Self {
            id,
            exchange,
            start: part.start,
            since: part.since,
            keeps: false,
            gathered: part.content.to_vec(),
            asked: Asked::Params,
            is_told: false,
            is_head: false,
            answer: Answer::Nothing,
            output: Vec::new(),
            output_start: None,
            stderr: Vec::new(),
            end: Vec::new(),
        }
    }

    /// The meta-variables are complete.
    fn tell_request(&mut self, end: u64, text_bytes: usize, tell: &mut impl FnMut(What)) {
        let gathered = std::mem::take(&mut self.gathered);
        let variables = Variables::of(pairs(&gathered));
        let target = variables.target();
        let head = RequestHead {
            method: variables.method,
            target: &target,
            minor_version: 1,
            is_simple: false,
            is_cut: false,
            target_is_whole: true,
            fields: &variables.fields(),
        };
        let framing = match variables.content_length {
            Some(length) => Framing::Length(length),
            None if variables.is_chunked() => Framing::Chunked,
            None => Framing::Undeclared,
        };
        let (first, context) = self.since;
        let [_, acknowledged] = context.acknowledged;
        let place = Place { exchange: self.exchange, start: self.start, end, first };
        let mut request = head::request(&head, framing, place, (acknowledged, text_bytes));
        request.is_fastcgi = true;
        request.persistent = self.keeps;
        // Who asks in this way asks for others.
        request.forwarded = true;
        let client = variables.client().map(|(address, port)| ForwardedFor { address, port });
        request.forwarded_for = client.or(request.forwarded_for);
        self.asked = Asked::Content(request.content_length);
        self.is_told = true;
        self.is_head = variables.method == b"HEAD";
        tell(What::Request(Box::new(request)));
        if self.asked == Asked::Content(Some(0)) {
            self.end_request(end, tell);
        }
    }

    /// The request is complete. The record that says so may come after the answer: applications need not wait for it.
    fn end_request(&mut self, end: u64, tell: &mut impl FnMut(What)) {
        self.asked = Asked::Nothing;
        tell(What::RequestEnded { exchange: self.exchange, end });
    }

    /// Octets that can be no answer.
    fn refuse(&mut self, at: u64, within: usize, octets: &[u8], tell: &mut impl FnMut(What)) {
        let first = octets.get(..FIRST_OCTETS).unwrap_or(octets);
        let exchange = self.exchange;
        if matches!(self.answer, Answer::Nothing) {
            tell(What::ResponseStarted { exchange, at, solicited: true, octets: first.len() as u8 });
        }
        let (within, offset) = (within as u64, at + within as u64);
        let kind = DefectKind::NotFastCgi;
        tell(What::Defect(Defect { exchange, sender: Side::Server, offset, within, kind }, first.into()));
        if let Ok(alert) = alert_instead(at, octets) {
            tell(alert);
        }
        self.answer = Answer::Unreadable;
    }

    fn take_output(&mut self, part: &Part<'_>, now: Now<'_>, tell: &mut impl FnMut(What)) {
        let came = part.content.len() as u64 + part.missing;
        if let Answer::Content { octets, .. } = &mut self.answer {
            *octets += came;
            return self.tell_content(part.content, tell);
        }
        if came == 0 || matches!(self.answer, Answer::Unreadable) {
            return;
        }
        self.output_start.get_or_insert(part.start);
        let (start, since) = match self.answer {
            Answer::Head(start, since) => (start, since),
            _ => (part.start, part.since),
        };
        let before = self.output.len();
        self.output.extend_from_slice(part.content);
        let end = http1::head_end(&self.output, before).filter(|_| part.missing == 0);
        if end.is_none() && matches!(self.answer, Answer::Nothing) {
            let octets = part.content.len().min(FIRST_OCTETS) as u8;
            tell(What::ResponseStarted { exchange: self.exchange, at: start, solicited: true, octets });
        }
        self.answer = match end {
            Some(_) => self.answer,
            None if self.output.len() > now.limits.head_bytes || part.missing > 0 => Answer::Unreadable,
            None => Answer::Head(start, since),
        };
        let Some(end) = end else { return };
        let output = std::mem::take(&mut self.output);
        let (section, content) = output.split_at_checked(end).unwrap_or((&output, &[]));
        let head_end = part.at + (end - before) as u64;
        self.tell_response(
            section,
            Place { exchange: self.exchange, start, end: head_end, first: since.0 },
            since.1,
            tell,
        );
        if let Answer::Content { octets, .. } = &mut self.answer {
            *octets = content.len() as u64;
        }
        self.tell_content(content, tell);
    }

    fn tell_response(&mut self, section: &[u8], place: Place, context: Context, tell: &mut impl FnMut(What)) {
        let mut room = Fields::new();
        let head = cgi::response(section, &mut room);
        let framing = match http1::framing(head.fields).0 {
            Framing::Length(length) => Framing::Length(length),
            _ => Framing::Undeclared,
        };
        let [request_sent, _] = context.sent;
        let mut response = head::response(&head, framing, place, request_sent, true);
        response.persistent = self.keeps;
        if let Some((kind, within)) = head.defect {
            let (offset, within) = (place.start + within as u64, within as u64);
            let first = section.get(..FIRST_OCTETS).unwrap_or(section).into();
            let exchange = place.exchange;
            tell(What::Defect(Defect { exchange, sender: Side::Server, offset, within, kind }, first));
        }
        let bodiless = self.is_head || matches!(response.status, 204 | 304);
        self.answer = Answer::Content {
            octets: 0,
            declared: response.content_length.filter(|_| !bodiless),
            is_wanted: response.status >= 400,
        };
        tell(What::Response(Box::new(response)));
    }

    fn tell_content(&mut self, octets: &[u8], tell: &mut impl FnMut(What)) {
        if let Answer::Content { is_wanted: is_wanted @ true, .. } = &mut self.answer
            && !octets.is_empty()
        {
            *is_wanted = false;
            let octets = octets.get(..MOST_CONTENT).unwrap_or(octets).into();
            tell(What::ResponseContent { exchange: self.exchange, octets });
        }
    }

    /// Tells how the application was done with it by the offset `until`, where there is something to tell.
    fn tell_end(&self, end: Option<End>, until: u64, tell: &mut impl FnMut(What)) {
        let went_well = end == Some(End { app_status: 0, protocol_status: 0 }) && self.ending().1 == Ending::Complete;
        let is_plain = end.is_none() || went_well;
        if self.stderr.is_empty() && is_plain {
            return;
        }
        let stderr = readable(self.stderr.trim_ascii()).into();
        let output = self.output_start.unwrap_or(until);
        tell(What::FastCgi(Box::new(FastCgiEnd { exchange: self.exchange, end, output, stderr })));
    }

    /// Octets of content, and how the response ended, once the application is done with it.
    fn ending(&self) -> (u64, Ending) {
        match self.answer {
            Answer::Content { octets, declared, .. } if declared.is_none_or(|declared| octets >= declared) => {
                (octets, Ending::Complete)
            }
            Answer::Content { octets, .. } => (octets, Ending::Truncated),
            Answer::Nothing | Answer::Head(..) | Answer::Unreadable => (0, Ending::Truncated),
        }
    }
}

/// Whether a hole in a record of this type can be stepped over.
const fn is_content(kind: Kind) -> bool {
    matches!(kind, Kind::STDIN | Kind::STDOUT | Kind::STDERR)
}

/// Octets of a response that are told where it is no FastCGI, or not well-formed.
const FIRST_OCTETS: usize = 64;
/// Octets of what is said of errors that are told, and of content.
const MOST_STDERR: usize = 512;
const MOST_CONTENT: usize = 512;

#[cfg(test)]
mod tests;
