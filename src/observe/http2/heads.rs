//! Header blocks that were decoded: requests, responses, trailers.

use std::sync::Arc;

use crate::event::{Defect, DefectKind, Side, What};
use crate::observe::decrypted::Now;
use crate::observe::head::{self, Place};
use crate::observe::http2::streams::Until;
use crate::observe::http2::{Block, Http2};
use crate::observe::tls::alert_instead;
use crate::wire::hpack::Lines;
use crate::wire::http1::{self, Field, FieldName, Fields, Framing, RequestHead, ResponseHead};
use crate::wire::http2::Kind;

/// What stands in a header block for a request line or a status line (RFC 9113 section 8.3), and the fields.
#[derive(Default)]
struct Parts<'a> {
    method: &'a [u8],
    path: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    status: Option<u16>,
    fields: Fields<'a>,
}

impl<'a> Parts<'a> {
    /// `cookies` is room for cookies that came apart (section 8.2.3).
    fn of(lines: &'a Lines, cookies: &'a mut Vec<u8>) -> Self {
        let mut parts = Self::default();
        let crumbs = lines.iter().filter(|(name, _)| *name == b"cookie").count();
        for (name, value) in lines.iter() {
            match name {
                b":method" => parts.method = value,
                b":path" => parts.path = Some(value),
                b":authority" => parts.authority = Some(value),
                b":status" => parts.status = status(value),
                [b':', ..] => {}
                b"cookie" if crumbs > 1 => {
                    if !cookies.is_empty() {
                        cookies.extend_from_slice(b"; ");
                    }
                    cookies.extend_from_slice(value);
                }
                _ => parts.fields.push(Field::new(name, value.trim_ascii())),
            }
        }
        if let Some(value) = parts.authority
            && !parts.fields.iter().any(|field| field.known == FieldName::Host)
        {
            parts.fields.push(Field::new(b"host", value));
        }
        if crumbs > 1 {
            parts.fields.push(Field::new(b"cookie", cookies));
        }
        parts
    }

    /// How the content is delimited, in the words of HTTP/1: what is not declared ends with the stream.
    fn framing(&self, ends_stream: bool) -> Framing {
        match http1::framing(&self.fields).0 {
            Framing::Length(length) => Framing::Length(length),
            _ if ends_stream => Framing::Undeclared,
            _ => Framing::Chunked,
        }
    }
}

impl Http2 {
    /// A header block is complete.
    pub(super) fn head(
        &mut self,
        side: Side,
        block: &Block,
        lines: &Lines,
        end: u64,
        now: Now<'_>,
        tell: &mut impl FnMut(What),
    ) {
        self.direction(side).told = false;
        match side {
            Side::Client => self.client_head(block, lines, end, now, tell),
            Side::Server => self.server_head(block, lines, end, tell),
        }
    }

    fn client_head(&mut self, block: &Block, lines: &Lines, end: u64, now: Now<'_>, tell: &mut impl FnMut(What)) {
        let id = block.header.stream;
        if self.streams.is_known(id) {
            return self.ends(Side::Client, &block.header, end, tell);
        }
        let Some(stream) = self.streams.begin(id, MOST_STREAMS) else { return self.lose(tell) };
        stream.asked = end;
        let exchange = stream.exchange;
        let mut cookies = Vec::new();
        let parts = Parts::of(lines, &mut cookies);
        stream.is_bodiless = parts.method == b"HEAD";
        let framing = parts.framing(block.header.ends_stream());
        let (moment, context) = block.since;
        let [_, acknowledged] = context.acknowledged;
        let head = RequestHead {
            method: parts.method,
            target: parts.path.or(parts.authority).unwrap_or_default(),
            minor_version: 1,
            is_simple: false,
            is_cut: lines.cut,
            target_is_whole: parts.path.or(parts.authority).is_some() || !lines.cut,
            fields: &parts.fields,
        };
        let place = Place { exchange, start: block.start, first: moment };
        let section = head::request(&head, framing, place.length(end), now.limits.text_bytes);
        tell(What::Request(place.request(acknowledged, Arc::new(section))));
        self.ends(Side::Client, &block.header, end, tell);
    }

    fn server_head(&mut self, block: &Block, lines: &Lines, end: u64, tell: &mut impl FnMut(What)) {
        let Some(stream) = self.streams.get_mut(block.header.stream) else { return };
        if stream.response != Until::Head {
            return self.ends(Side::Server, &block.header, end, tell);
        }
        let mut cookies = Vec::new();
        let parts = Parts::of(lines, &mut cookies);
        let exchange = stream.exchange;
        let (moment, context) = block.since;
        let framing = parts.framing(block.header.ends_stream());
        let defect = parts.status.is_none().then_some((DefectKind::BadStatusLine, 0));
        let head = ResponseHead {
            status: parts.status,
            minor_version: 1,
            reason: b"",
            fields: &parts.fields,
            defect,
            is_cut: lines.cut,
        };
        let [request_sent, _] = context.sent;
        let place = Place { exchange, start: block.start, first: moment };
        let mut section = head::response(&head, framing, place.length(end), exchange == 1);
        // RFC 9113 section 8.2: they all are, and that tells nothing.
        section.signature.lower_case = false;
        if let Some((kind, within)) = defect {
            let defect = Defect { exchange, sender: Side::Server, offset: block.start, within: within as u64, kind };
            tell(What::Defect(defect, Box::default()));
        }
        let (status, length) = (section.status, section.content_length);
        tell(What::Response(place.response(request_sent, true, Arc::new(section))));
        if !(100..200).contains(&status) {
            stream.response = Until::Content;
            stream.wants_content = status >= 400;
            let has_content = !stream.is_bodiless && !matches!(status, 204 | 304);
            stream.declared = length.filter(|_| has_content).unwrap_or(0);
            self.ends(Side::Server, &block.header, end, tell);
        }
    }

    /// A header block began that did not come at once.
    pub(super) fn begun(&mut self, side: Side, tell: &mut impl FnMut(What)) {
        let direction = self.direction(side);
        let of_block = direction
            .block
            .as_ref()
            .filter(|block| block.header.kind == Kind::HEADERS)
            .map(|block| (block.header.stream, block.start, block.since.1));
        let Some((id, at, context)) = of_block.or(direction.frames.begun()).filter(|_| !direction.told) else { return };
        direction.told = true;
        let stream = self.streams.get_mut(id).map(|stream| (stream.exchange, stream.response));
        match (side, stream) {
            (Side::Client, None) if !self.streams.is_known(id) => {
                let [_, acknowledged] = context.acknowledged;
                tell(What::RequestStarted { exchange: self.streams.next(), at, acknowledged });
            }
            (Side::Server, Some((exchange, Until::Head))) => {
                tell(What::ResponseStarted { exchange, at, solicited: true, octets: FEW_OCTETS });
            }
            _ => {}
        }
    }

    /// The server's octets are not HTTP/2: whatever they are, they answer all that was asked.
    pub(super) fn foreign(&mut self, at: u64, octets: &[u8], tell: &mut impl FnMut(What)) {
        let first = octets.get(..FIRST_OCTETS).unwrap_or(octets);
        let asked: Vec<u32> = self.streams.unanswered().map(|stream| stream.exchange).collect();
        if asked.is_empty() {
            return self.lose(tell);
        }
        for exchange in asked {
            tell(What::ResponseStarted { exchange, at, solicited: true, octets: first.len() as u8 });
            let defect = Defect { exchange, sender: Side::Server, offset: at, within: 0, kind: DefectKind::NotHttp };
            tell(What::Defect(defect, first.into()));
        }
        if let Ok(alert) = alert_instead(at, octets) {
            tell(alert);
        }
        self.stop();
    }
}

fn status(value: &[u8]) -> Option<u16> {
    let [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] = value else { return None };
    http1::decimal(value).and_then(|status| u16::try_from(status).ok())
}

/// Streams of a connection that may be open. Servers allow some hundred.
const MOST_STREAMS: usize = 1024;

/// Octets of a response that are told where it is no HTTP/2.
const FIRST_OCTETS: usize = 64;

/// Octets of a header block that is not complete: at least those of its frame's header.
const FEW_OCTETS: u8 = 9;
