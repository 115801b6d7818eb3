//! One direction's octets to the content of records.

use crate::event::Moment;
use crate::flow::connection::Context;
use crate::wire::fastcgi::{HEADER, Header, Kind};

/// Where a direction stands.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Octets of a header that is not complete.
    held: Vec<u8>,
    /// When the first of them was seen, and how far both streams were then.
    since: Option<(Moment, Context)>,
    current: Option<Current>,
}

/// The record whose content or padding is being read.
#[derive(Clone, Copy, Debug)]
struct Current {
    header: Header,
    start: u64,
    since: (Moment, Context),
    /// Octets of content, and of padding, that are to come.
    content: usize,
    padding: usize,
}

/// A part of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) header: Header,
    /// Offset of the record's first octet; when that was seen, and how far both streams were then.
    pub(super) start: u64,
    pub(super) since: (Moment, Context),
    /// Octets of its content, and the offset of the first of them.
    pub(super) content: &'a [u8],
    pub(super) at: u64,
    /// Octets of its content that are missing behind these.
    pub(super) missing: u64,
    /// Whether the record ends here, and the offset after it.
    pub(super) ends: Option<u64>,
}

/// What the next octets are.
#[derive(Debug)]
pub(super) enum Step<'a> {
    /// A part of a header.
    More,
    /// No record of this version.
    NoRecord,
    Part(Part<'a>),
}

impl Records {
    /// Takes octets up to the end of a record at most. Returns how many.
    pub(super) fn next<'a>(&mut self, at: u64, octets: &'a [u8], now: (Moment, Context)) -> (usize, Step<'a>) {
        let (mut taken, mut rest) = (0, octets);
        if self.current.is_none() {
            let before = self.held.len();
            let since = *self.since.get_or_insert(now);
            let (head, behind) = octets.split_at_checked(HEADER.saturating_sub(before)).unwrap_or((octets, &[]));
            self.held.extend_from_slice(head);
            (taken, rest) = (head.len(), behind);
            let Some(header) = self.held.first_chunk() else { return (taken, Step::More) };
            let Some(header) = Header::read(header) else { return (taken, Step::NoRecord) };
            self.held.clear();
            self.since = None;
            let start = at.saturating_sub(before as u64);
            let (content, padding) = (usize::from(header.content), usize::from(header.padding));
            self.current = Some(Current { header, start, since, content, padding });
        }
        let Some(mut current) = self.current.take() else { return (taken, Step::More) };
        let at = at + taken as u64;
        let (content, behind) = rest.split_at_checked(current.content).unwrap_or((rest, &[]));
        let padding = behind.len().min(current.padding);
        current.content -= content.len();
        current.padding -= padding;
        let here = content.len() + padding;
        (taken + here, Step::Part(self.part(current, content, 0, at, at + here as u64)))
    }

    /// Octets are missing. `None` where they are not all of one record's content and padding.
    pub(super) fn skip(&mut self, at: u64, length: u64) -> Option<Part<'static>> {
        let mut current = self.current?;
        let whole = usize::try_from(length).ok().filter(|length| *length <= current.content + current.padding)?;
        let content = whole.min(current.content);
        current.content -= content;
        current.padding -= whole - content;
        Some(self.part(current, &[], content as u64, at, at + length))
    }

    fn part<'a>(&mut self, current: Current, content: &'a [u8], missing: u64, at: u64, end: u64) -> Part<'a> {
        let Current { header, start, since, .. } = current;
        let is_over = current.content + current.padding == 0;
        self.current = (!is_over).then_some(current);
        Part { header, start, since, content, at, missing, ends: is_over.then_some(end) }
    }

    /// Octets that are held and are no header yet, and the offset of the first one, where `end` is the one after them.
    pub(super) fn held(&self, end: u64) -> (u64, &[u8]) {
        (end.saturating_sub(self.held.len() as u64), &self.held)
    }

    /// Whether a header stands next, or the rest of one.
    pub(super) fn is_between(&self) -> bool {
        self.current.is_none()
    }

    pub(super) fn held_octets(&self) -> usize {
        self.held.capacity()
    }
}

impl Part<'_> {
    /// Whether it is of this type.
    pub(super) fn is(&self, kind: Kind) -> bool {
        self.header.kind == kind
    }

    /// Whether it is the record without content that ends a stream; the offset after it.
    pub(super) fn ends_stream(&self) -> Option<u64> {
        self.ends.filter(|_| self.header.content == 0)
    }
}
