//! The requests of a connection: octets of the client in, requests out.

use std::sync::Arc;

use crate::event::{Ending, Opaque, Protocol, Request, What};
use crate::flow::connection::Context;
use crate::flow::steer::looks_like_request;
use crate::limits::Limits;
use crate::observe::chunks::{Chunks, Fed};
use crate::observe::decrypted::Now;
use crate::observe::head::{self, Place};
use crate::observe::http1::pairing::{Method, Outstanding};
use crate::observe::http1::sections::{Asked, Sections};
use crate::observe::http1::{Http1, Mode, Reader, State, variables};
use crate::observe::sniff::{self, Guess};
use crate::wire::http1::{self, Framing};
use crate::wire::http2;

impl Http1 {
    pub(super) fn client_data(
        &mut self,
        mut at: u64,
        mut octets: &[u8],
        now: &Now<'_>,
        sections: &mut Sections,
        tell: &mut impl FnMut(What),
    ) {
        let context = now.context;
        if self.requests.state == State::Lost {
            if !looks_like_request(octets) {
                return;
            }
            self.requests = Reader::default();
        }
        if self.requests.state == State::Cut {
            if !self.asks_again(octets, context) {
                self.follow_request(at + octets.len() as u64, tell);
                return;
            }
            self.requests = Reader::default();
        }
        while !octets.is_empty() && !self.is_opaque() {
            let taken = match self.requests.state {
                State::Head => match self.client_head(at, octets, now, sections, tell) {
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
                            self.lose_requests(context);
                            return;
                        }
                    }
                }
                State::UntilClose { .. } | State::Cut | State::Lost => return,
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
        now: &Now<'_>,
        sections: &mut Sections,
        tell: &mut impl FnMut(What),
    ) -> Option<usize> {
        let Now { moment, context, limits } = *now;
        if self.requests.first.is_none() {
            // RFC 9112 section 2.2: empty lines before a request line are ignored.
            let empty = octets.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
            if empty > 0 && self.mode == Mode::Http {
                return Some(empty);
            }
            self.requests.start = at;
            self.requests.first = Some(moment);
            let [_, acknowledged] = context.acknowledged;
            self.requests.acknowledged = acknowledged;
            self.requests.exchange = 0;
        }
        let (head, searched) = self.requests.gather(octets);
        let taken = self.client_head_octets(&head, searched, now, sections, tell);
        match taken {
            Taken::Some(taken) => {
                self.requests.buffer.clear();
                Some(taken.saturating_sub(searched))
            }
            Taken::More if !self.is_opaque() && self.requests.state == State::Head => {
                self.requests.buffer = head.into_owned();
                if self.requests.buffer.len() > limits.head_bytes {
                    self.lose_requests(context);
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
        now: &Now<'_>,
        sections: &mut Sections,
        tell: &mut impl FnMut(What),
    ) -> Taken {
        let Now { context, limits, .. } = *now;
        let begins = self.mode == Mode::Sniffing || self.requests.exchange == 0;
        let [latest, _] = &mut self.latest;
        let known = if begins && searched == 0 { sections.requests.find(head, latest) } else { None };
        if begins {
            let guess = if known.is_some() { Guess::Http1 } else { self.guess(head) };
            match guess {
                Guess::Undecided => return Taken::More,
                Guess::Proxy(length, client) if self.mode == Mode::Sniffing => {
                    if let Some(client) = client {
                        tell(What::SpeaksFor(client));
                    }
                    self.requests.first = None;
                    return Taken::Some(length);
                }
                Guess::Http1 => (self.mode, self.protocol) = (Mode::Http, Protocol::Http),
                Guess::Variables(protocol) => (self.mode, self.protocol) = (Mode::Http, protocol),
                Guess::Opaque(Opaque::Other) if self.mode == Mode::Sniffing && !self.unsure => {
                    if head.len() > LONGEST_RIDDLE {
                        self.opaque(Opaque::Other, tell);
                    }
                    return Taken::More;
                }
                Guess::Opaque(what)
                    if self.mode == Mode::Sniffing
                        && (!self.unsure || matches!(what, Opaque::Tls | Opaque::Http2 | Opaque::FastCgi)) =>
                {
                    let start = self.requests.start;
                    self.opaque(what, tell);
                    self.requests = Reader { start, buffer: head.to_vec(), ..Reader::default() };
                    return Taken::More;
                }
                Guess::Opaque(_) | Guess::Proxy(..) => {
                    self.lose_requests(context);
                    return Taken::More;
                }
            }
            self.end_cut_response(context);
            self.exchanges += 1;
            self.requests.exchange = self.exchanges;
        }
        let (end, read) = match self.protocol {
            Protocol::Http => read(head, searched, known, limits, sections),
            protocol => variables::read(protocol, head, limits),
        };
        // Of a header section that is there at once nothing is told before, unless it tells the end of others.
        if begins && (read.is_none() || self.responses.state == State::Lost) {
            let (at, acknowledged) = (self.requests.start, self.requests.acknowledged);
            tell(What::RequestStarted { exchange: self.exchanges, at, acknowledged });
        }
        match (end, read) {
            (None, _) => Taken::More,
            (Some(_), None) => {
                self.lose_requests(context);
                Taken::More
            }
            (Some(end), Some(asked)) => {
                self.requests_begin(asked, limits, tell);
                Taken::Some(end)
            }
        }
    }

    /// What octets are that stand where a request must.
    fn guess(&self, head: &[u8]) -> Guess {
        match sniff::client(head) {
            // From the middle of a connection on there is no preface.
            Guess::Opaque(Opaque::Other) if self.unsure && self.mode == Mode::Sniffing && http2::is_chain(head) => {
                Guess::Opaque(Opaque::Http2)
            }
            guess => guess,
        }
    }

    /// A request's header section is complete.
    pub(super) fn requests_begin(&mut self, asked: Asked, limits: &Limits, tell: &mut impl FnMut(What)) {
        let Asked { section, framing, method } = asked;
        let (exchange, start) = (self.requests.exchange, self.requests.start);
        let Some(first) = self.requests.first.take() else { return };
        if self.answered_early != Some(exchange) {
            let acknowledged = self.requests.acknowledged;
            let (upgrade, simple) = (section.upgrade, section.simple);
            self.ask(Outstanding { exchange, start, acknowledged, method, upgrade, simple }, limits, tell);
        }
        self.forget_unsolicited();
        self.requests.state = match framing {
            _ if section.cut => State::Cut,
            Framing::Length(left) if left > 0 => State::Content { left },
            Framing::Chunked => State::Chunked(Chunks::default()),
            // Where the next request begins is anybody's guess.
            Framing::Coded | Framing::Unreadable => State::Lost,
            Framing::Length(_) | Framing::Undeclared => State::Head,
        };
        let whole = self.requests.state == State::Head;
        let place = Place { exchange, start, first };
        tell(What::Request(Request { whole, ..place.request(self.requests.acknowledged, section) }));
        if whole {
            self.await_request();
        }
    }

    fn end_request(&mut self, end: u64, tell: &mut impl FnMut(What)) {
        tell(What::RequestEnded { exchange: self.requests.exchange, end });
        self.await_request();
    }

    /// A request is complete, and another one may follow.
    fn await_request(&mut self) {
        self.requests.state = State::Head;
        self.requests.first = None;
        self.requests.exchange = 0;
    }

    /// Octets that are not there; `snapped` where the snaplen cut them off, so that they reach to the end of a segment.
    pub(super) fn client_gap(
        &mut self,
        at: u64,
        length: u64,
        snapped: bool,
        now: &Now<'_>,
        tell: &mut impl FnMut(What),
    ) {
        let Now { context, limits, .. } = *now;
        if let State::Chunked(chunks) = &mut self.requests.state
            && chunks.skip(length).is_some()
        {
            return;
        }
        match &mut self.requests.state {
            State::Content { left } if length <= *left => {
                *left -= length;
                if *left == 0 {
                    self.end_request(at + length, tell);
                }
            }
            State::Chunked(_) | State::Cut if snapped => self.follow_request(at + length, tell),
            State::Head if snapped && self.requests.first.is_some() => {
                if !self.cut_request(at + length, limits, tell) {
                    self.lose_requests(context);
                }
            }
            _ => self.lose_requests(context),
        }
    }

    pub(super) fn ask(&mut self, request: Outstanding, limits: &Limits, tell: &mut impl FnMut(What)) {
        if self.responses.state == State::Lost && self.outstanding.are_over(request.acknowledged) {
            while let Some(over) = self.outstanding.pop() {
                let (exchange, end) = (over.exchange, request.acknowledged);
                tell(What::ResponseEnded { exchange, end, content: 0, how: Ending::Unknown });
            }
        }
        let server_read =
            !matches!(self.responses.state, State::Lost | State::Cut | State::UntilClose { broken: true });
        self.outstanding.push(request, server_read, limits.outstanding_requests);
    }

    /// The server answered octets that are no request as if they were one.
    pub(super) fn adopt(&mut self, answer_start: u64, limits: &Limits, tell: &mut impl FnMut(What)) {
        let head = std::mem::take(&mut self.requests.buffer);
        self.exchanges += 1;
        let exchange = self.exchanges;
        self.requests.exchange = exchange;
        let (at, acknowledged) = (self.requests.start, self.requests.acknowledged);
        tell(What::RequestStarted { exchange, at, acknowledged });
        let end = http1::head_end(&head, 0).unwrap_or(head.len());
        let mut room = http1::Fields::new();
        let lines = head.get(..end).filter(|head| head.ends_with(b"\n"));
        let parsed = lines.and_then(|lines| http1::request(lines, &mut room));
        match parsed {
            Some(parsed) => self.requests_begin(Asked::of(&parsed, end, limits), limits, tell),
            None => {
                let (start, acknowledged) = (self.requests.start, self.requests.acknowledged);
                let method = Method::Other;
                self.ask(
                    Outstanding { exchange, start, acknowledged, method, upgrade: false, simple: false },
                    limits,
                    tell,
                );
                self.lose_requests_since(answer_start);
            }
        }
    }

    pub(super) fn lose_requests(&mut self, context: Context) {
        let [_, server_sent] = context.sent;
        self.lose_requests_since(server_sent);
    }

    /// What the client sends cannot be followed, since the server had sent so much.
    fn lose_requests_since(&mut self, server_sent: u64) {
        self.outstanding.miss_requests(server_sent);
        self.requests = Reader { state: State::Lost, ..Reader::default() };
        self.unsure = true;
    }
}

impl Asked {
    /// What a header section of so many octets says.
    pub(super) fn of(parsed: &http1::RequestHead<'_, '_>, length: usize, limits: &Limits) -> Self {
        let (framing, _) = http1::framing(parsed.fields);
        let method = match parsed.method {
            b"HEAD" => Method::Head,
            b"CONNECT" => Method::Connect,
            _ => Method::Other,
        };
        let section = head::request(parsed, framing, length, limits.text_bytes);
        Self { section: Arc::new(section), framing, method }
    }
}

/// Where the header section that octets begin with ends, and what it says, or is known to.
fn read(
    head: &[u8],
    searched: usize,
    known: Option<Asked>,
    limits: &Limits,
    sections: &mut Sections,
) -> (Option<usize>, Option<Asked>) {
    if let Some(asked) = known.or_else(|| read_at_once(head, searched, limits, sections)) {
        return (Some(asked.section.length as usize), Some(asked));
    }
    let end = http1::head_end(head, searched);
    let end = end.or_else(|| http1::is_simple_request(head).then_some(head.len()));
    (end, end.and_then(|end| read_gathered(head.get(..end)?, limits)))
}

/// What a request's header section says that is there at once, and in order. Nearly all are.
fn read_at_once(head: &[u8], searched: usize, limits: &Limits, sections: &mut Sections) -> Option<Asked> {
    if searched > 0 {
        return None;
    }
    let mut room = http1::Fields::new();
    let (parsed, end) = http1::whole_request(head, &mut room)?;
    let asked = Asked::of(&parsed, end, limits);
    sections.requests.note(head.get(..end)?, &asked);
    Some(asked)
}

/// The same of one that came in parts, or is not in order. `None` where it is none.
fn read_gathered(head: &[u8], limits: &Limits) -> Option<Asked> {
    Some(Asked::of(&http1::request(head, &mut http1::Fields::new())?, head.len(), limits))
}

/// How many octets of a header section were taken.
enum Taken {
    Some(usize),
    /// More are needed, or the direction is not read any more.
    More,
}

/// Octets that are no request, kept until something answers them.
const LONGEST_RIDDLE: usize = 4096;
