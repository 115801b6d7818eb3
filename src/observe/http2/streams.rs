//! The streams of a connection that are open, each with its exchange.

use smallvec::SmallVec;

/// What of a response stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// Its header section.
    Head,
    /// Content, trailers, the end.
    Content,
    /// Nothing.
    Over,
}

/// A stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    pub(super) exchange: u32,
    /// The request is not complete.
    pub(super) request_open: bool,
    /// The offset after the last of its octets that is more than an end.
    pub(super) asked: u64,
    pub(super) response: Until,
    /// Whether its answer has no content, whatever its fields say: that to HEAD.
    pub(super) is_bodiless: bool,
    /// Octets of the response's content.
    pub(super) content: u64,
    /// How many there must be, where that is declared (RFC 9113 section 8.1.1).
    pub(super) declared: u64,
    /// The first of them are to be told.
    pub(super) wants_content: bool,
}

/// Those that are open, in the order in which they began; and which exchange was the last one.
#[derive(Debug, Default)]
pub(super) struct Streams {
    open: SmallVec<[Stream; 2]>,
    /// Exchanges so far.
    exchanges: u32,
    /// The greatest stream of a client so far.
    greatest: u32,
    /// Exchanges that are no stream: those of HTTP/1 before the upgrade.
    before: u32,
}

impl Streams {
    /// Streams behind so many exchanges of HTTP/1, the last of which may be the first stream.
    pub(super) fn behind(exchanges: u32, upgraded: bool) -> Self {
        let mut streams = Self { exchanges, before: exchanges, ..Self::default() };
        if upgraded {
            (streams.greatest, streams.before) = (1, exchanges.saturating_sub(1));
            streams.open.push(Stream { id: 1, exchange: exchanges, request_open: false, ..Self::NEW });
        }
        streams
    }

    /// The number that the next exchange gets.
    pub(super) const fn next(&self) -> u32 {
        self.exchanges.saturating_add(1)
    }

    /// A client begins a stream; `None` where it may not (RFC 9113 section 5.1.1), or where there are too many.
    pub(super) fn begin(&mut self, id: u32, most: usize) -> Option<&mut Stream> {
        let is_next = id > self.greatest && id % 2 == 1;
        if !is_next || self.open.len() >= most {
            return None;
        }
        self.greatest = id;
        self.exchanges += 1;
        self.open.push(Stream { id, exchange: self.exchanges, ..Self::NEW });
        self.open.last_mut()
    }

    const NEW: Stream = Stream {
        id: 0,
        exchange: 0,
        request_open: true,
        asked: 0,
        response: Until::Head,
        is_bodiless: false,
        content: 0,
        declared: 0,
        wants_content: false,
    };

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Stream> {
        // Nearly always the latest one.
        self.open.iter_mut().rev().find(|stream| stream.id == id)
    }

    pub(super) fn take(&mut self, id: u32) -> Option<Stream> {
        let at = self.open.iter().rposition(|stream| stream.id == id)?;
        Some(self.open.remove(at))
    }

    /// Whether a client began it, now or earlier.
    pub(super) fn is_known(&self, id: u32) -> bool {
        id <= self.greatest
    }

    /// The greatest exchange whose stream is not above an id. A stream that was skipped is over, and a client skips none.
    pub(super) fn greatest_up_to(&self, id: u32) -> u32 {
        if id >= self.greatest {
            return if id > self.greatest { u32::MAX } else { self.exchanges };
        }
        let above = self.open.iter().filter(|stream| stream.id > id).map(|stream| stream.exchange).min();
        // What is over is not asked for any more: the number is right for all that are open.
        above.map_or(self.exchanges, |first| first - 1).max(self.before)
    }

    /// Those whose response is not complete.
    pub(super) fn unanswered(&self) -> impl Iterator<Item = &Stream> {
        self.open.iter().filter(|stream| stream.response != Until::Over)
    }

    /// Those whose response began and is not complete.
    pub(super) fn begun(&self) -> impl Iterator<Item = &Stream> {
        self.open.iter().filter(|stream| stream.response == Until::Content)
    }

    /// No response goes on.
    pub(super) fn forget_responses(&mut self) {
        self.open.retain(|stream| stream.response != Until::Content);
    }

    pub(super) fn held_octets(&self) -> usize {
        if self.open.spilled() { self.open.capacity() * size_of::<Stream>() } else { 0 }
    }
}
