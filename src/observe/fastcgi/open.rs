//! The request that is open: its records' content in, events out.

use std::sync::Arc;

use crate::event::{Defect, DefectKind, Ending, Excerpt, FastCgiEnd, Moment, Protocol, Side, What};
use crate::flow::connection::Context;
use crate::observe::decrypted::Now;
use crate::observe::fastcgi::FIRST_OCTETS;
use crate::observe::fastcgi::records::Part;
use crate::observe::head::{self, Place};
use crate::observe::tls::alert_instead;
use crate::texts::readable;
use crate::wire::cgi::{self, Variables};
use crate::wire::fastcgi::{End, HEADER, pairs};
use crate::wire::http1::{self, Fields, Framing, ResponseHead};

/// The request that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) id: u16,
    pub(super) exchange: u32,
    /// Offset of its first octet; when that was seen, and how far both streams were then.
    pub(super) start: u64,
    pub(super) since: (Moment, Context),
    /// Whether the connection is to be kept.
    pub(super) keeps: bool,
    /// Content of BEGIN_REQUEST or PARAMS so far.
    pub(super) gathered: Vec<u8>,
    pub(super) asked: Asked,
    pub(super) is_told: bool,
    /// Whether the snaplen cut the meta-variables.
    pub(super) is_cut: bool,
    /// Whether it asks for a header section alone.
    pub(super) is_head: bool,
    pub(super) answer: Answer,
    /// A defect of the response was told.
    pub(super) has_defect: bool,
    /// Output so far that is no whole header section.
    pub(super) output: Vec<u8>,
    /// Offset at which it began.
    pub(super) output_start: Option<u64>,
    /// What was said of errors.
    pub(super) stderr: Vec<u8>,
    /// Content of END_REQUEST so far.
    pub(super) end: Vec<u8>,
}

/// What of a request stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Params,
    /// Content: octets that are to come, where that was declared.
    Content(Option<u64>),
    Nothing,
}

/// What of a response stands next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// Output.
    Nothing,
    /// The rest of the header section, which began with this octet, at that moment.
    Head(u64, (Moment, Context)),
    /// Content behind this offset: octets so far, how many there are to be, and whether the first ones are to be told.
    Content { from: u64, octets: u64, declared: Option<u64>, is_wanted: bool },
    /// Content that the snaplen cut, behind this offset, among headers of records: it ends at the second one or behind it.
    Cut { from: u64, least_end: u64 },
    /// Nothing that can be read.
    Unreadable,
}

impl Open {
    pub(super) fn new(id: u16, exchange: u32, part: &Part<'_>) -> Self {
        Self {
            id,
            exchange,
            start: part.start,
            since: part.since,
            keeps: false,
            gathered: part.content.to_vec(),
            asked: Asked::Params,
            is_told: false,
            is_cut: false,
            is_head: false,
            answer: Answer::Nothing,
            has_defect: false,
            output: Vec::new(),
            output_start: None,
            stderr: Vec::new(),
            end: Vec::new(),
        }
    }

    /// The meta-variables are complete.
    pub(super) fn tell_request(&mut self, end: u64, text_bytes: usize, tell: &mut impl FnMut(What)) {
        let gathered = std::mem::take(&mut self.gathered);
        let variables = Variables::of(pairs(&gathered));
        if self.is_cut && variables.method.is_empty() {
            // It is not known what it asks for, but what it is.
            self.tell_start(tell);
            let [_, output] = self.since.1.acknowledged;
            let stderr = Box::default();
            tell(What::FastCgi(Box::new(FastCgiEnd { exchange: self.exchange, end: None, output, stderr })));
            return self.end_request(end, tell);
        }
        let (first, context) = self.since;
        let [_, acknowledged] = context.acknowledged;
        let place = Place { exchange: self.exchange, start: self.start, first };
        let (mut request, _) =
            head::variables(&variables, Protocol::FastCgi, self.is_cut, place.length(end), text_bytes);
        request.persistent = self.keeps;
        self.asked = Asked::Content(request.content_length);
        self.is_told = true;
        self.is_head = variables.method == b"HEAD";
        tell(What::Request(place.request(acknowledged, Arc::new(request))));
        if self.asked == Asked::Content(Some(0)) {
            self.end_request(end, tell);
        }
    }

    /// The request began, and was not told of.
    pub(super) fn tell_start(&mut self, tell: &mut impl FnMut(What)) {
        if !std::mem::replace(&mut self.is_told, true) {
            let [_, acknowledged] = self.since.1.acknowledged;
            tell(What::RequestStarted { exchange: self.exchange, at: self.start, acknowledged });
        }
    }

    /// The request is complete. The record that says so may come after the answer: applications need not wait for it.
    pub(super) fn end_request(&mut self, end: u64, tell: &mut impl FnMut(What)) {
        self.asked = Asked::Nothing;
        tell(What::RequestEnded { exchange: self.exchange, end });
    }

    /// The first octets of an answer came, so many, and no whole header section.
    pub(super) fn tell_output(&self, at: u64, octets: usize, tell: &mut impl FnMut(What)) {
        if matches!(self.answer, Answer::Nothing) {
            let octets = octets.min(FIRST_OCTETS) as u8;
            tell(What::ResponseStarted { exchange: self.exchange, at, solicited: true, octets });
        }
    }

    /// Octets that can be no answer.
    pub(super) fn refuse(&mut self, at: u64, within: usize, octets: &[u8], tell: &mut impl FnMut(What)) {
        let first = octets.get(..FIRST_OCTETS).unwrap_or(octets);
        let exchange = self.exchange;
        self.tell_output(at, first.len(), tell);
        let (within, offset) = (within as u64, at + within as u64);
        let kind = DefectKind::NotFastCgi;
        tell(What::Defect(Defect { exchange, sender: Side::Server, offset, within, kind }, first.into()));
        if let Ok(alert) = alert_instead(at, octets) {
            tell(alert);
        }
        self.answer = Answer::Unreadable;
    }

    pub(super) fn take_output(&mut self, part: &Part<'_>, now: Now<'_>, tell: &mut impl FnMut(What)) {
        let came = part.content.len() as u64 + part.missing;
        if let Answer::Content { octets, .. } = &mut self.answer {
            *octets += came;
            return self.tell_content(part.content, tell);
        }
        if came == 0 || matches!(self.answer, Answer::Cut { .. } | Answer::Unreadable) {
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
        if end.is_none() {
            self.tell_output(start, part.content.len(), tell);
        }
        self.answer = match end {
            Some(_) => self.answer,
            None if self.output.len() > now.limits.head_bytes || part.missing > 0 => Answer::Unreadable,
            None => Answer::Head(start, since),
        };
        let Some(end) = end else {
            // A gateway does not wait for the rest of what it does not take. Lines that were whole before were looked at.
            let read = self.output.get(..before).and_then(|lines| memchr::memrchr(b'\n', lines)).map_or(0, |at| at + 1);
            if let Some((kind, within)) = self.output.get(read..).and_then(cgi::defect_in_lines) {
                let output = std::mem::take(&mut self.output);
                self.tell_defect((kind, read + within), start, &output, tell);
                self.output = output;
            }
            return;
        };
        let output = std::mem::take(&mut self.output);
        let (section, content) = output.split_at_checked(end).unwrap_or((&output, &[]));
        let head_end = part.at + (end - before) as u64;
        self.tell_response(
            section,
            false,
            Place { exchange: self.exchange, start, first: since.0 },
            (head_end, since.1),
            tell,
        );
        if let Answer::Content { octets, .. } = &mut self.answer {
            *octets = content.len() as u64;
        }
        self.tell_content(content, tell);
    }

    /// Takes a header section that ends at `end` and began when both streams were as far as `context` says.
    pub(super) fn tell_response(
        &mut self,
        section: &[u8],
        is_cut: bool,
        place: Place,
        (end, context): (u64, Context),
        tell: &mut impl FnMut(What),
    ) {
        let mut room = Fields::new();
        let head = ResponseHead { is_cut, ..cgi::response(section, &mut room) };
        let framing = match http1::framing(head.fields).0 {
            Framing::Length(length) => Framing::Length(length),
            _ => Framing::Undeclared,
        };
        let [request_sent, _] = context.sent;
        let mut response = head::response(&head, framing, place.length(end), place.exchange == 1);
        response.persistent = self.keeps;
        if let Some(defect) = head.defect {
            self.tell_defect(defect, place.start, section, tell);
        }
        let bodiless = self.is_head || matches!(response.status, 204 | 304);
        self.answer = Answer::Content {
            from: end,
            octets: 0,
            declared: response.content_length.filter(|_| !bodiless),
            is_wanted: response.status >= 400,
        };
        tell(What::Response(place.response(request_sent, true, Arc::new(response))));
    }

    fn tell_content(&mut self, octets: &[u8], tell: &mut impl FnMut(What)) {
        if let Answer::Content { is_wanted: is_wanted @ true, .. } = &mut self.answer
            && !octets.is_empty()
        {
            *is_wanted = false;
            let content = Excerpt::of(octets);
            tell(What::ResponseContent { exchange: self.exchange, content });
        }
    }

    fn tell_defect(
        &mut self,
        (kind, within): (DefectKind, usize),
        start: u64,
        section: &[u8],
        tell: &mut impl FnMut(What),
    ) {
        if std::mem::replace(&mut self.has_defect, true) {
            return;
        }
        // A header of a record stands before it.
        let (offset, within) = (start + (HEADER + within) as u64, within as u64);
        let first = section.get(..FIRST_OCTETS).unwrap_or(section).into();
        tell(What::Defect(Defect { exchange: self.exchange, sender: Side::Server, offset, within, kind }, first));
    }

    /// Tells how the application was done with it by the offset `until`, where there is something to tell.
    pub(super) fn tell_end(&self, end: Option<End>, until: u64, tell: &mut impl FnMut(What)) {
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
    pub(super) fn ending(&self) -> (u64, Ending) {
        match self.answer {
            Answer::Content { octets, declared, .. } if declared.is_none_or(|declared| octets >= declared) => {
                (octets, Ending::Complete)
            }
            Answer::Content { octets, .. } => (octets, Ending::Truncated),
            Answer::Nothing | Answer::Head(..) | Answer::Cut { .. } | Answer::Unreadable => (0, Ending::Truncated),
        }
    }
}

/// Octets of what is said of errors that are told.
pub(super) const MOST_STDERR: usize = 512;
