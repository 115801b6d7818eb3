//! One direction's octets to frames. What is of no use is stepped over; of DATA frames octets are counted.

use std::borrow::Cow;

use crate::event::Moment;
use crate::flow::connection::Context;
use crate::wire::http2::{Header, Kind};

/// Where a direction stands.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Octets of a frame's header that is not complete.
    held: Vec<u8>,
    /// When the first of them was seen, and how far both streams were then.
    since: Option<(Moment, Context)>,
    current: Option<Current>,
    /// Offset after the latest octet.
    end: u64,
}

/// The frame whose payload is being read.
#[derive(Debug)]
struct Current {
    header: Header,
    start: u64,
    since: (Moment, Context),
    /// Octets of the payload that are to come.
    left: u32,
    /// Of these, octets of content; `None` until the length of what fills the frame up was read.
    content: Option<u32>,
    payload: Vec<u8>,
}

/// A frame that is complete.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    pub(super) header: Header,
    pub(super) payload: Cow<'a, [u8]>,
    /// Offsets of its first octet, and after its last one.
    pub(super) start: u64,
    pub(super) end: u64,
    /// When its first octet was seen, and how far both streams were then.
    pub(super) since: (Moment, Context),
}

/// Content of a DATA frame.
#[derive(Debug)]
pub(super) struct Content<'a> {
    pub(super) header: Header,
    /// Octets of content.
    pub(super) octets: u64,
    /// These, where they are there.
    pub(super) first: &'a [u8],
    /// Whether the frame ends with them, and the offset after it.
    pub(super) ends: Option<u64>,
}

/// What the next octets are.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// Nothing as yet.
    More,
    Content(Content<'a>),
    Whole(Whole<'a>),
    /// A frame that must be read, and is longer than there is room for.
    TooLong,
}

impl Frames {
    /// Takes octets up to the end of a frame at most. Returns how many.
    pub(super) fn next<'a>(
        &mut self,
        at: u64,
        octets: &'a [u8],
        now: (Moment, Context),
        most_octets: usize,
    ) -> (usize, Step<'a>) {
        let (mut taken, mut rest) = (0, octets);
        if self.current.is_none() {
            let before = self.held.len();
            let since = *self.since.get_or_insert(now);
            let missing = Header::OCTETS.saturating_sub(before).min(octets.len());
            let (head, behind) = octets.split_at_checked(missing).unwrap_or((octets, &[]));
            self.held.extend_from_slice(head);
            self.end = at + missing as u64;
            let Some(header) = Header::parse(&self.held) else { return (missing, Step::More) };
            (taken, rest) = (missing, behind);
            self.held.clear();
            self.since = None;
            if is_read(header.kind) && header.length as usize > most_octets {
                return (taken, Step::TooLong);
            }
            let content = (!header.is_padded()).then_some(header.length);
            let (left, start) = (header.length, at.saturating_sub(before as u64));
            self.current = Some(Current { header, start, since, left, content, payload: Vec::new() });
        }
        let (more, step) = self.payload(at + taken as u64, rest);
        (taken + more, step)
    }

    fn payload<'a>(&mut self, at: u64, octets: &'a [u8]) -> (usize, Step<'a>) {
        let Some(current) = &mut self.current else { return (0, Step::More) };
        let here = octets.len().min(current.left as usize);
        let now = octets.get(..here).unwrap_or(octets);
        current.left -= here as u32;
        let end = at + here as u64;
        self.end = end;
        let ended = current.left == 0;
        match current.header.kind {
            Kind::DATA => {
                let mut content = now;
                if current.content.is_none()
                    && let Some((first, behind)) = now.split_first()
                {
                    current.content = Some(current.header.content(*first));
                    content = behind;
                }
                let octets = current.count(content.len());
                let first = content.get(..octets as usize).unwrap_or(content);
                let content = Content { header: current.header, octets, first, ends: ended.then_some(end) };
                if ended {
                    self.current = None;
                }
                (here, Step::Content(content))
            }
            kind if is_read(kind) => {
                if !ended {
                    current.payload.extend_from_slice(now);
                    return (here, Step::More);
                }
                let Some(Current { header, start, since, mut payload, .. }) = self.current.take() else {
                    return (here, Step::More);
                };
                let payload = if payload.is_empty() {
                    Cow::Borrowed(now)
                } else {
                    payload.extend_from_slice(now);
                    Cow::Owned(payload)
                };
                (here, Step::Whole(Whole { header, payload, start, end, since }))
            }
            _ => {
                if ended {
                    self.current = None;
                }
                (here, Step::More)
            }
        }
    }

    /// Octets are missing. `None` where that cannot be stepped over; else what they hold of content.
    pub(super) fn skip(&mut self, at: u64, length: u64) -> Option<Content<'static>> {
        let current = self.current.as_mut().filter(|current| !is_read(current.header.kind))?;
        let length = u32::try_from(length).ok().filter(|length| *length <= current.left)?;
        current.left -= length;
        self.end = at + u64::from(length);
        let octets = current.count(length as usize);
        let ends = (current.left == 0).then_some(self.end);
        let content = Content { header: current.header, octets, first: &[], ends };
        if ends.is_some() {
            self.current = None;
        }
        Some(content)
    }

    /// The frame of a header block that began and is not complete: its stream.
    pub(super) fn begun(&self) -> Option<(u32, u64, Context)> {
        let current = self.current.as_ref().filter(|current| current.header.kind == Kind::HEADERS)?;
        Some((current.header.stream, current.start, current.since.1))
    }

    /// Offset after the latest octet.
    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    /// Octets that are held and are no frame.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    pub(super) fn hold(&mut self, octets: &[u8]) {
        self.held.extend_from_slice(octets);
    }

    pub(super) fn forget(&mut self) {
        self.held.clear();
    }

    pub(super) fn held_octets(&self) -> usize {
        self.held.capacity() + self.current.as_ref().map_or(0, |current| current.payload.capacity())
    }
}

impl Current {
    /// Counts octets of the payload. Returns how many of them are content.
    fn count(&mut self, octets: usize) -> u64 {
        let content = self.content.get_or_insert(self.left);
        let counted = octets.min(*content as usize);
        *content -= counted as u32;
        counted as u64
    }
}

/// Whether what a frame holds is read.
const fn is_read(kind: Kind) -> bool {
    matches!(kind, Kind::HEADERS | Kind::PUSH_PROMISE | Kind::CONTINUATION | Kind::RST_STREAM | Kind::GOAWAY)
}
