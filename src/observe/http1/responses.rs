//! The responses of a connection: octets of the server in, responses out, each with the request that it answers.

use std::sync::Arc;

use crate::event::{Defect, DefectKind, Ending, Excerpt, Opaque, Protocol, Response, Side, What};
use crate::limits::Limits;
use crate::observe::chunks::{Chunks, Fed};
use crate::observe::decrypted::Now;
use crate::observe::head::{self, Place};
use crate::observe::http1::pairing::{Method, Outstanding};
use crate::observe::http1::sections::{Answered, Repeated, Sections};
use crate::observe::http1::variables::{self, is_bare};
use crate::observe::http1::{Answer, FIRST_OCTETS, Http1, Mode, Reader, State};
use crate::observe::tls::alert_instead;
use crate::wire::cgi;
use crate::wire::http1::{self, Field, FieldName, Fields, Framing, ResponseHead, offset_within};
use crate::wire::http2;

impl Http1 {
    pub(super) fn server_data(
        &mut self,
        mut at: u64,
        mut octets: &[u8],
        now: &Now<'_>,
        sections: &mut Sections,
        tell: &mut impl FnMut(What),
    ) {
        if self.mode == Mode::Sniffing && !self.server_speaks_first(at, octets, now.limits, tell) {
            return;
        }
        if self.may_begin_anew(at) && octets.starts_with(b"HTTP/1.") {
            self.begin_anew(at, tell);
        }
        while !octets.is_empty() && !self.is_opaque() {
            let taken = match self.responses.state {
                State::Head => match self.server_head(at, octets, now, sections, tell) {
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
                State::Cut => {
                    self.follow_response(octets.len() as u64, octets, tell);
                    return;
                }
                State::Lost => {
                    self.give_up_mingled(at, tell);
                    return;
                }
            };
            at += taken as u64;
            octets = octets.get(taken..).unwrap_or_default();
        }
        if self.carried() == Some(Opaque::Http2) {
            self.responses = Reader { start: at, buffer: octets.to_vec(), ..Reader::default() };
        }
    }

    /// The server's octets came before any of the client's, or before those could be made out. Returns whether to read them.
    fn server_speaks_first(&mut self, at: u64, octets: &[u8], limits: &Limits, tell: &mut impl FnMut(What)) -> bool {
        if octets.starts_with(b"HTTP/1.") && !is_binary(&self.requests.buffer) {
            self.mode = Mode::Http;
            if !self.requests.buffer.is_empty() {
                self.adopt(at, limits, tell);
            }
        } else if self.unsure {
            self.responses.state = State::Lost;
            return false;
        } else if http2::is_server_preface(octets) == Some(true) {
            let Reader { start, buffer, .. } = std::mem::take(&mut self.requests);
            self.opaque(Opaque::Http2, tell);
            self.requests = Reader { start, buffer, ..Reader::default() };
            self.responses = Reader { start: at, buffer: octets.to_vec(), ..Reader::default() };
            return false;
        } else {
            self.opaque(Opaque::Other, tell);
            return false;
        }
        true
    }

    /// Whether a status line at the start of a segment is a new message, wherever the direction stands.
    fn may_begin_anew(&self, at: u64) -> bool {
        match self.responses.state {
            State::Lost => self.outstanding.is_pipelined() || self.outstanding.may_answer_latest(at),
            State::UntilClose { broken: true } | State::Cut => self.outstanding.len() > 1,
            _ => false,
        }
    }

    fn begin_anew(&mut self, at: u64, tell: &mut impl FnMut(What)) {
        if self.responses.state == State::Cut {
            self.leave_cut_response();
        } else if self.responses.state != State::Lost {
            self.end_response(at, Ending::Unknown, tell);
        }
        // A client that waits for its answers asked again because it had them: what began before the latest request is over.
        while self.outstanding.len() > 1 && !self.outstanding.is_pipelined() {
            if let Some(lost) = self.outstanding.pop() {
                tell(What::ResponseEnded { exchange: lost.exchange, end: at, content: 0, how: Ending::Unknown });
            }
        }
        self.responses = Reader::default();
    }

    fn server_head(
        &mut self,
        at: u64,
        octets: &[u8],
        now: &Now<'_>,
        sections: &mut Sections,
        tell: &mut impl FnMut(What),
    ) -> Option<usize> {
        let begins = self.responses.first.is_none();
        if begins {
            let empty = octets.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
            if empty > 0 {
                return Some(empty);
            }
            let request = self.begin_response(at, now, tell);
            if self.protocol != Protocol::Http {
                self.tell_beginning(octets, request, false, tell);
            } else if let Some(taken) = self.server_head_at_once(octets, request, sections, tell) {
                return Some(taken);
            }
        }
        let (head, searched) = self.responses.gather(octets);
        let end = http1::head_end(&head, searched);
        let is_of_cgi = self.is_of_cgi(&head);
        let defect = match is_of_cgi {
            true => variables::defect(head.get(..end.unwrap_or(head.len())).unwrap_or_default()),
            false => http1::status_line_prefix_defect(&head).map(|within| match head.starts_with(b"HTTP") {
                true => (DefectKind::BadStatusLine, within),
                false => (DefectKind::NotHttp, within),
            }),
        };
        if !self.answer.defect_told
            && let Some((kind, within)) = defect
        {
            self.defect(kind, self.responses.start + within as u64, tell);
            if let Ok(alert) = alert_instead(self.responses.start, &head) {
                tell(alert);
            }
        }
        let Some(end) = end else {
            if head.len() > now.limits.head_bytes {
                self.answer.content_start = at;
                self.responses.state = State::UntilClose { broken: true };
            } else {
                self.responses.buffer = head.into_owned();
            }
            return None;
        };
        let section = head.get(..end).unwrap_or_default();
        let mut room = Fields::new();
        let parsed = if is_of_cgi { cgi::response(section, &mut room) } else { http1::response(section, &mut room) };
        self.take_parsed_head(&parsed, section, None, tell);
        Some(end.saturating_sub(searched))
    }

    /// Takes a header section of HTTP that is there at once, and in order, as it nearly always is. Returns how many octets were
    /// taken; `None` where it is neither.
    fn server_head_at_once(
        &mut self,
        octets: &[u8],
        request: Option<Outstanding>,
        sections: &mut Sections,
        tell: &mut impl FnMut(What),
    ) -> Option<usize> {
        let [_, latest] = &mut self.latest;
        let before = if self.responses.exchange == 1 { &mut sections.first_responses } else { &mut sections.responses };
        let known = before.find(octets, latest);
        let mut room = Fields::new();
        let parsed = if known.is_none() { http1::whole_response(octets, &mut room) } else { None };
        self.tell_beginning(octets, request, known.is_some() || parsed.is_some(), tell);
        if self.responses.state != State::Head {
            return Some(0);
        }
        if let Some(answered) = known {
            if answered.framing == Framing::Chunked {
                self.answer.keep_first(octets);
            }
            let length = answered.section.length as usize;
            return Some(length + self.respond(answered, octets.len().saturating_sub(length), tell));
        }
        let (parsed, end) = parsed?;
        let section = octets.get(..end).unwrap_or_default();
        Some(end + self.take_parsed_head(&parsed, section, Some((octets, before)), tell))
    }

    /// A response begins. Returns the request that it answers.
    fn begin_response(&mut self, at: u64, now: &Now<'_>, tell: &mut impl FnMut(What)) -> Option<Outstanding> {
        let [received, _] = now.context.acknowledged;
        let [request_sent, _] = now.context.sent;
        // A request that is still arriving can be answered as well; it is not in the queue until its head is complete.
        let front = self.outstanding.answer(received, |exchange| {
            tell(What::ResponseEnded { exchange, end: at, content: 0, how: Ending::Unknown });
        });
        let exchange = front.map(|front| front.exchange);
        let is_next = self.outstanding.front().is_none()
            && received > self.requests.start
            && self.outstanding.is_certain(self.requests.acknowledged);
        let is_arriving = self.requests.state == State::Head && self.requests.exchange > 0 && is_next;
        let arriving = is_arriving.then_some(self.requests.exchange);
        let solicited = exchange.is_some() || arriving.is_some() || self.unsure;
        self.answered_early = arriving.or(self.answered_early);
        self.responses.exchange = exchange.or(arriving).unwrap_or_else(|| {
            self.exchanges += 1;
            self.exchanges
        });
        self.responses.start = at;
        self.responses.first = Some(now.moment);
        self.answer = Answer { solicited, request_sent, content_start: at, ..Answer::default() };
        front
    }

    /// Tells that a response began in answer to `request`, with these octets, in which its header section is whole or not.
    fn tell_beginning(
        &mut self,
        octets: &[u8],
        request: Option<Outstanding>,
        is_whole: bool,
        tell: &mut impl FnMut(What),
    ) {
        let first = octets.get(..FIRST_OCTETS).unwrap_or(octets);
        if !is_whole {
            self.answer.keep_first(octets);
        }
        // Of a header section that is there at once, and answers a request, nothing is told before.
        let is_plain = first.len() == FIRST_OCTETS && first.starts_with(b"HTTP/1.");
        if !(is_whole && is_plain && request.is_some()) {
            let (exchange, at, solicited) = (self.responses.exchange, self.responses.start, self.answer.solicited);
            tell(What::ResponseStarted { exchange, at, solicited, octets: first.len() as u8 });
        }
        if request.is_some_and(|request| request.simple) && is_bare(octets) {
            // RFC 1945 section 6: a simple request is answered by content alone, and its end is the connection's.
            self.responses.state = State::UntilClose { broken: false };
        }
    }

    /// Takes a header section. `at_once` has the octets that the response began with, where they were not kept before, and where
    /// to note what the section says. Returns how many octets behind it were taken too.
    pub(super) fn take_parsed_head(
        &mut self,
        parsed: &ResponseHead<'_, '_>,
        section: &[u8],
        at_once: Option<(&[u8], &mut Repeated<Answered>)>,
        tell: &mut impl FnMut(What),
    ) -> usize {
        let start = self.responses.start;
        let (framing, conflict) = http1::framing(parsed.fields);
        let conflict = conflict.map(|(kind, line)| {
            let value = parsed.fields.get(line).map_or(0, |field| offset_within(section, field.value));
            (kind, value)
        });
        // Of what is well-formed so far, only chunks may turn out not to be.
        let defect = parsed.defect.or(conflict);
        if let Some((octets, _)) = at_once
            && (defect.is_some() || framing == Framing::Chunked)
        {
            self.answer.keep_first(octets);
        }
        if let Some((kind, within)) = defect
            && !self.answer.defect_told
        {
            self.defect(kind, start + within as u64, tell);
        }
        let exchange = self.responses.exchange;
        if parsed.status == Some(101) && self.outstanding.answered(exchange).is_some_and(|request| request.upgrade) {
            let is_http2 =
                |field: &Field<'_>| field.known == FieldName::Upgrade && field.value.eq_ignore_ascii_case(b"h2c");
            if self.exchanges == exchange && parsed.fields.iter().any(is_http2) {
                // RFC 7540 section 3.2: the answer proper follows, in HTTP/2.
                self.upgraded = true;
                self.opaque(Opaque::Http2, tell);
                return 0;
            }
        }
        let mut said = head::response(parsed, framing, section.len(), exchange == 1);
        said.persistent &= self.protocol == Protocol::Http;
        let framing = if parsed.has_bad_status_line() { Framing::Unreadable } else { framing };
        let answered = Answered { section: Arc::new(said), framing };
        let behind = at_once.as_ref().map_or(0, |(octets, _)| octets.len().saturating_sub(section.len()));
        if let Some((_, before)) = at_once
            && defect.is_none()
            && answered.section.status >= 200
        {
            before.note(section, &answered);
        }
        self.respond(answered, behind, tell)
    }

    /// A response's header section is complete, and so many octets came with it. Returns how many of them were taken too.
    fn respond(&mut self, answered: Answered, behind: usize, tell: &mut impl FnMut(What)) -> usize {
        let Answered { section, framing } = answered;
        let (exchange, start) = (self.responses.exchange, self.responses.start);
        let Some(first) = self.responses.first else { return 0 };
        let (status, end) = (section.status, start + u64::from(section.length));
        self.answer.content_start = end;
        self.answer.wants_content = status >= 400;
        let request = self.outstanding.answered(exchange);
        let method = request.map_or(Method::Other, |request| request.method);
        let is_interim = (100..200).contains(&status) && status != 101;
        let upgraded = status == 101 && request.is_none_or(|request| request.upgrade);
        let is_switched = upgraded || (method == Method::Connect && (200..300).contains(&status));
        let state = match framing {
            _ if section.cut => State::Cut,
            _ if method == Method::Head || is_bodiless(status) => State::Content { left: 0 },
            Framing::Length(left) => State::Content { left },
            Framing::Chunked => State::Chunked(Chunks::default()),
            Framing::Undeclared | Framing::Coded => State::UntilClose { broken: false },
            Framing::Unreadable => State::UntilClose { broken: true },
        };
        // Of an error's content the beginning is told first.
        let most = if self.answer.wants_content { 0 } else { behind as u64 };
        let whole = match state {
            State::Content { left } if left <= most && !is_interim && !is_switched => u32::try_from(left).ok(),
            _ => None,
        };
        let place = Place { exchange, start, first };
        let response = place.response(self.answer.request_sent, self.answer.solicited, section);
        tell(What::Response(Response { whole, ..response }));
        if let Some(content) = whole {
            self.await_response();
            return content as usize;
        }
        if is_interim {
            self.responses = Reader::default();
        } else if is_switched {
            self.end_response(end, Ending::Switched, tell);
            self.opaque(Opaque::Switched, tell);
        } else {
            self.responses.state = state;
        }
        0
    }

    /// Whether the response has no content whatever its fields say (RFC 9112 section 6.3).
    pub(super) fn is_bodiless(&self, status: u16) -> bool {
        let request = self.outstanding.answered(self.responses.exchange);
        request.is_some_and(|request| request.method == Method::Head) || is_bodiless(status)
    }

    fn take_content(&mut self, octets: &[u8], content: u64, tell: &mut impl FnMut(What)) {
        self.answer.content += content;
        if self.answer.wants_content && !octets.is_empty() {
            self.answer.wants_content = false;
            let content = Excerpt::of(octets);
            tell(What::ResponseContent { exchange: self.responses.exchange, content });
        }
    }

    fn defect(&mut self, kind: DefectKind, offset: u64, tell: &mut impl FnMut(What)) {
        self.answer.defect_told = true;
        let within = offset.saturating_sub(self.responses.start);
        let exchange = self.responses.exchange;
        let defect = Defect { exchange, sender: Side::Server, offset, within, kind };
        tell(What::Defect(defect, self.answer.first.clone()));
    }

    pub(super) fn end_response(&mut self, end: u64, how: Ending, tell: &mut impl FnMut(What)) {
        let exchange = self.responses.exchange;
        tell(What::ResponseEnded { exchange, end, content: self.answer.content, how });
        self.await_response();
    }

    /// A response is over, and another one may follow.
    fn await_response(&mut self) {
        self.answer.first = Box::default();
        if self.outstanding.answered(self.responses.exchange).is_some() {
            self.outstanding.pop();
        }
        self.responses = Reader::default();
    }

    /// Octets that are not there; `snapped` where the snaplen cut them off, so that they reach to the end of a segment.
    pub(super) fn server_gap(&mut self, at: u64, length: u64, snapped: bool, tell: &mut impl FnMut(What)) {
        if let State::Chunked(chunks) = &mut self.responses.state
            && let Some(content) = chunks.skip(length)
        {
            self.answer.content += content;
            self.answer.wants_content = false;
            return;
        }
        let in_head = self.responses.state == State::Head && self.responses.first.is_some();
        if in_head && snapped && self.cut_response(at, at + length, tell) {
            return;
        }
        match &mut self.responses.state {
            State::Content { left } if length <= *left => {
                self.answer.content += length;
                self.answer.wants_content = false;
                *left -= length;
                if *left == 0 {
                    self.end_response(at + length, Ending::Complete, tell);
                }
            }
            State::UntilClose { .. } => self.answer.content += length,
            State::Cut if snapped => self.follow_response(length, &[], tell),
            State::Chunked(_) if snapped => self.cut_chunks(length, tell),
            State::Cut => {
                self.leave_cut_response();
                self.miss_responses();
                self.responses.state = State::Lost;
            }
            State::Lost => self.miss_responses(),
            State::Head if self.responses.first.is_none() => {
                self.miss_responses();
                if let Some(front) = self.outstanding.pop() {
                    let exchange = front.exchange;
                    tell(What::ResponseEnded { exchange, end: at, content: 0, how: Ending::Unknown });
                }
                self.responses.state = State::Lost;
            }
            State::Head | State::Content { .. } | State::Chunked(_) => {
                self.end_response(at, Ending::Unknown, tell);
                self.miss_responses();
                self.responses.state = State::Lost;
            }
        }
    }

    fn miss_responses(&mut self) {
        self.outstanding.miss_responses();
        self.unsure |= self.outstanding.is_pipelined();
    }

    /// A request began: octets that came before it, and that nobody asked for, are not its answer.
    pub(super) fn forget_unsolicited(&mut self) {
        if self.responses.first.is_some() && !self.answer.solicited {
            self.responses = Reader { state: State::Lost, ..Reader::default() };
        }
    }
}

/// Whether octets are no text: a request in some protocol other than HTTP may be answered in HTTP.
fn is_binary(octets: &[u8]) -> bool {
    octets.iter().any(|octet| matches!(octet, 0..=8 | 14..=31))
}

/// Whether responses with a status have no content, whatever was asked.
fn is_bodiless(status: u16) -> bool {
    matches!(status, 101 | 204 | 304)
}
