//! Messages that the snaplen cut. What stands before the hole is read; where such a message ends nothing on its own side
//! tells any more, and the other side does: a client that asks again has had its answer.
//!
//! ```text
//!   client  [ GET /a HTTP/1.1 Host: h | hole ]                                [ GET /b HTTP/1.1 H | hole ]
//!   server                                    [ HTTP/1.1 200 OK | hole ] [ hole ]
//!                                             ^ request over             ^ response over, unless more comes
//! ```
//!
//! Each segment may be the last one, so the end is told with each, and the latest word stands.

use crate::event::{Ending, Protocol, What};
use crate::flow::connection::Context;
use crate::limits::Limits;
use crate::observe::http1::pairing::{Method, Outstanding};
use crate::observe::http1::sections::Asked;
use crate::observe::http1::{Http1, Mode, Reader, State, variables};
use crate::observe::sniff::{self, Guess};
use crate::wire::http1::{self, Framing};

/// What is known of the end of a response that was cut.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measure {
    /// It ends at this offset or behind it: what was seen of the header section, and the length that it declares.
    least_end: u64,
    chunked: bool,
    /// The last octets that came are the capture's, and no chunked content ends in them.
    ends_in_chunk: bool,
}

impl Http1 {
    /// A hole up to `end` in a request's header section. Returns whether what stands before it is a request.
    pub(super) fn cut_request(&mut self, end: u64, limits: &Limits, tell: &mut impl FnMut(What)) -> bool {
        let head = std::mem::take(&mut self.requests.buffer);
        if self.requests.exchange == 0 {
            return false;
        }
        let asked = match self.protocol {
            Protocol::Http => {
                let mut room = http1::Fields::new();
                http1::cut_request(&head, &mut room).map(|parsed| Asked::of(&parsed, head.len(), limits))
            }
            protocol => variables::read_cut(protocol, &head, limits),
        };
        match asked {
            Some(asked) => self.requests_begin(asked, limits, tell),
            None if self.protocol == Protocol::Http => return false,
            // It is not known what it asks for, but that it is a request: what answers it is its answer.
            None => {
                let Reader { exchange, start, acknowledged, .. } = self.requests;
                let method = Method::Other;
                let request = Outstanding { exchange, start, acknowledged, method, upgrade: false, simple: false };
                self.ask(request, limits, tell);
                self.requests.first = None;
            }
        }
        self.follow_request(end, tell);
        true
    }

    /// The request goes on, at least up to `end`.
    pub(super) fn follow_request(&mut self, end: u64, tell: &mut impl FnMut(What)) {
        // More requests may stand behind the hole.
        self.unsure = true;
        self.requests.state = State::Cut;
        tell(What::RequestEnded { exchange: self.requests.exchange, end });
    }

    /// Whether octets behind a request that was cut begin the next one: the client has had something of the answer, and a
    /// request stands at the start of a segment.
    pub(super) fn asks_again(&self, octets: &[u8], context: Context) -> bool {
        let [_, acknowledged] = context.acknowledged;
        acknowledged > self.requests.acknowledged && matches!(sniff::client(octets), Guess::Http1 | Guess::Variables(_))
    }

    /// The client asks again when it has acknowledged octets of a response that was cut: that one is over.
    pub(super) fn end_cut_response(&mut self, context: Context) {
        let [_, sent] = context.sent;
        let acknowledged = self.requests.acknowledged;
        if self.responses.state != State::Cut || acknowledged <= self.responses.start {
            return;
        }
        self.leave_cut_response();
        // What was under way then may still be the rest of it.
        self.mingled = acknowledged < sent;
        self.responses.state = if self.mingled { State::Lost } else { State::Head };
    }

    /// Octets that are no status line came where either the rest of a response of unknown length or the next one may stand:
    /// the request that waits may have been answered in them.
    pub(super) fn give_up_mingled(&mut self, at: u64, tell: &mut impl FnMut(What)) {
        if std::mem::take(&mut self.mingled)
            && let Some(front) = self.outstanding.pop()
        {
            tell(What::ResponseEnded { exchange: front.exchange, end: at, content: 0, how: Ending::Unknown });
        }
    }

    pub(super) fn leave_cut_response(&mut self) {
        if self.outstanding.answered(self.responses.exchange).is_some() {
            self.outstanding.pop();
        }
        self.responses = Reader::default();
    }

    /// A hole up to `end` in a response's header section. Returns whether its status stands before it.
    pub(super) fn cut_response(&mut self, at: u64, end: u64, tell: &mut impl FnMut(What)) -> bool {
        let head = std::mem::take(&mut self.responses.buffer);
        let mut room = http1::Fields::new();
        let parsed = match self.is_of_cgi(&head) {
            true => variables::cut_response(&head, &mut room),
            false => http1::cut_response(&head, &mut room),
        };
        let Some(parsed) = parsed else { return false };
        let (framing, _) = http1::framing(parsed.fields);
        self.answer.measure = Measure {
            least_end: match framing {
                Framing::Length(length) if !self.is_bodiless(parsed.status.unwrap_or(0)) => at.saturating_add(length),
                _ => at,
            },
            chunked: framing == Framing::Chunked,
            ends_in_chunk: false,
        };
        self.take_parsed_head(&parsed, &head, None, tell);
        match self.responses.state {
            State::Cut => {
                self.answer.wants_content = false;
                self.answer.content_start = at;
                self.follow_response(end - at, &[], tell);
            }
            // The final response may begin behind an interim one in the hole.
            State::Head if self.mode == Mode::Http => self.responses.state = State::Lost,
            _ => {}
        }
        true
    }

    /// A hole in chunked content that leaves it open where the next chunk begins.
    pub(super) fn cut_chunks(&mut self, length: u64, tell: &mut impl FnMut(What)) {
        self.answer.measure = Measure { least_end: 0, chunked: true, ends_in_chunk: false };
        self.responses.state = State::Cut;
        self.follow_response(length, &[], tell);
    }

    /// The response goes on: `length` octets, of which `octets` are there.
    pub(super) fn follow_response(&mut self, length: u64, octets: &[u8], tell: &mut impl FnMut(What)) {
        self.outstanding.miss_responses();
        self.answer.content += length;
        // RFC 9112 section 7.1: chunked content ends in an empty line.
        let ends = octets.len() < 4 || octets.ends_with(b"\n\r\n") || octets.ends_with(b"\n\n");
        self.answer.measure.ends_in_chunk = !ends;
        let (exchange, content) = (self.responses.exchange, self.answer.content);
        tell(What::ResponseEnded { exchange, end: self.cut_end(), content, how: Ending::Unmeasured });
    }

    /// How a response that was cut ended, when its sender closed.
    pub(super) fn cut_ending(&self) -> Ending {
        let Measure { least_end, chunked, ends_in_chunk } = self.answer.measure;
        if self.cut_end() < least_end || chunked && ends_in_chunk { Ending::Truncated } else { Ending::Unmeasured }
    }

    fn cut_end(&self) -> u64 {
        self.answer.content_start + self.answer.content
    }
}
