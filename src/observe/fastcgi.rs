//! FastCGI on one connection (specification 1.0): the records of both directions in, exchanges out.
//!
//! ```text
//!   web server   BEGIN_REQUEST  PARAMS …  PARAMS (empty)  STDIN …  STDIN (empty)
//!   application                                  STDERR …  STDOUT: header section, content …  END_REQUEST
//! ```
//!
//! A request begins with its BEGIN_REQUEST and ends behind the content that it declares, so that what a FIN or RST
//! acknowledges tells of it what it tells in HTTP/1. A response begins with the first output. Web servers have one request at a
//! time on a connection; of connections that carry several at once nothing is read.
//!
//! Holes within content are stepped over. Behind any other one records cannot be told from content, until a request begins at the
//! start of a segment.

mod cut;
mod open;
mod records;

use smallvec::SmallVec;

use crate::event::{Ending, GapJudged, Opaque, Side, What};
use crate::flow::assembler::Piece;
use crate::observe::decrypted::Now;
use crate::observe::fastcgi::open::{Answer, Asked, MOST_STDERR, Open};
use crate::observe::fastcgi::records::{Part, Records, Step};
use crate::wire::fastcgi::{Begin, End, Kind, answer_defect, begins_request};

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
    /// `[web server, application]`: whether records were cut, so that the next ones cannot be told from content.
    is_cut: [bool; 2],
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
            Piece::Data { at, octets } => {
                if !self.is_behind_cut(side, octets, at + octets.len() as u64, tell) {
                    self.data(side, *at, octets, now, tell);
                }
            }
            Piece::Gap { at, length, judged } => {
                self.gap(side, *at, *length, *judged == GapJudged::Snaplen, now, tell);
            }
        }
    }

    /// Octets that are not there; `snapped` where the snaplen cut them off, so that they reach to the end of a segment.
    fn gap(&mut self, side: Side, at: u64, length: u64, snapped: bool, now: Now<'_>, tell: &mut impl FnMut(What)) {
        let end = at + length;
        if (snapped || side == Side::Client) && self.is_behind_cut(side, &[], end, tell) {
            return;
        }
        let in_head = self.open.as_ref().is_some_and(|open| matches!(open.answer, Answer::Nothing | Answer::Head(..)));
        match self.records(side).skip(at, length) {
            Some(part) if snapped && in_head && part.is(Kind::STDOUT) && part.missing > 0 => {
                self.cut(side, (at, end), now, tell);
            }
            Some(part) if is_content(part.header.kind) || part.missing == 0 => self.part(side, &part, now, tell),
            // Where content of a request ends does not matter to its answer.
            _ if snapped || side == Side::Client && self.is_in_content() => self.cut(side, (at, end), now, tell),
            _ => self.lose(tell),
        }
    }

    /// A direction is over.
    pub fn closed(&mut self, side: Side, tell: &mut impl FnMut(What)) {
        let Some(open) = self.open.take_if(|_| side == Side::Server) else { return };
        let end = self.end;
        open.tell_end(None, end, tell);
        let content = match open.answer {
            Answer::Nothing => return,
            // Where it ends was told, as far as that is known.
            Answer::Cut { least_end, .. } if end >= least_end => return,
            Answer::Cut { from, .. } => end.saturating_sub(from),
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

    fn is_in_content(&self) -> bool {
        self.open.as_ref().is_some_and(|open| matches!(open.asked, Asked::Content(_)))
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
            open.tell_start(tell);
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
                if let Some(over) = open.take()
                    && !matches!(over.answer, Answer::Cut { .. })
                {
                    // The end of it went by unseen.
                    let (exchange, end) = (over.exchange, part.start);
                    tell(What::ResponseEnded { exchange, end, content: 0, how: Ending::Unknown });
                }
                self.exchanges += 1;
                self.server = Records::default();
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

/// Whether a hole in a record of this type can be stepped over.
const fn is_content(kind: Kind) -> bool {
    matches!(kind, Kind::STDIN | Kind::STDOUT | Kind::STDERR)
}

/// Octets of a response that are told where it is no FastCGI, or not well-formed.
const FIRST_OCTETS: usize = 64;

#[cfg(test)]
mod tests;
