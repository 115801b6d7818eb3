//! Which request a response answers: the oldest one without a response (RFC 9112 section 9.3), as long as none went by
//! unseen. After octets were missed the order is all there is to go by, and it may be short of a request:
//!
//! ```text
//!   client   [ 1 | 2 missing ] [ 3 ]           whose is the response? 2's, if 1 was answered: 3 must wait
//!   server                            [ ? ]
//! ```
//!
//! A client that waits for its answers has acknowledged new octets of the server before it asks again: such a request is
//! certain to be the next one answered. A client that was seen to pipeline (RFC 9112 section 9.3.2) gives no such
//! certainty, and nothing is paired any more once octets of its connection were missed.

use smallvec::SmallVec;

use crate::event::Side;

/// A request without a (complete) response.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outstanding {
    pub(super) exchange: u32,
    /// Offset of its first octet.
    pub(super) start: u64,
    /// Up to which offset of the server's stream the client had acknowledged when it began.
    pub(super) acknowledged: u64,
    pub(super) method: Method,
    pub(super) upgrade: bool,
    /// Without a version (HTTP/0.9): content alone answers it.
    pub(super) simple: bool,
}

/// What of a method decides about the response's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Head,
    Connect,
    Other,
}

/// The requests that wait for a response, in the order in which they were sent.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// One, unless the client pipelines.
    waiting: SmallVec<[Waiting; 1]>,
    /// Requests were sent before earlier ones were answered.
    pipelined: bool,
    /// Octets were missed: a request is certain only if the client had acknowledged more of the server's stream than this.
    doubt: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    request: Outstanding,
    /// The next response is its own, if all before it were answered.
    certain: bool,
    /// Since then octets of `[the client, the server]` were missed.
    missed: [bool; 2],
}

impl Waiting {
    /// With octets of both sides missed, its response may be among them, and the next one that of a request among them.
    fn miss(&mut self, side: Side) {
        let [client, server] = &mut self.missed;
        *(if side == Side::Client { client } else { server }) = true;
        self.certain &= self.missed != [true, true];
    }
}

impl Queue {
    /// One in which nothing waits, and nothing was missed.
    pub(super) fn at_rest(pipelined: bool) -> Self {
        Self { pipelined, ..Self::default() }
    }

    /// Whether [`Queue::at_rest`] is the same.
    pub(super) fn may_rest(&self) -> bool {
        self.waiting.is_empty() && self.doubt.is_none()
    }

    /// Adds a request. `server_read` tells whether the server's stream is followed, so that what waits is unanswered for sure.
    pub(super) fn push(&mut self, request: Outstanding, server_read: bool, most: usize) {
        let latest = self.waiting.last().map(|latest| latest.request.acknowledged);
        // Without a new octet from the server the latest one cannot have been answered in between.
        if latest.is_some_and(|latest| server_read || request.acknowledged <= latest) {
            self.pipelined = true;
        }
        if self.waiting.len() >= most {
            self.waiting.remove(0);
            self.doubt = Some(u64::MAX);
        }
        let certain = self.is_certain(request.acknowledged);
        if certain {
            self.doubt = None;
        }
        self.waiting.push(Waiting { request, certain, missed: [false; 2] });
    }

    /// Whether all that wait were answered unseen, since the client asked again when it had acknowledged this much.
    pub(super) fn are_over(&self, acknowledged: u64) -> bool {
        !self.pipelined && self.waiting.last().is_some_and(|latest| acknowledged > latest.request.acknowledged)
    }

    /// Whether a request that began when the client had acknowledged this much is the next one to be answered.
    pub(super) fn is_certain(&self, acknowledged: u64) -> bool {
        self.doubt.is_none_or(|missed| !self.pipelined && acknowledged > missed)
    }

    /// Octets of the client were missed, when the server had sent up to `server_sent`: requests may have been among them.
    pub(super) fn miss_requests(&mut self, server_sent: u64) {
        self.doubt = self.doubt.max(Some(server_sent));
        self.waiting.iter_mut().for_each(|waiting| waiting.miss(Side::Client));
    }

    /// Octets of the server were missed, the ends of responses perhaps among them.
    pub(super) fn miss_responses(&mut self) {
        self.waiting.iter_mut().for_each(|waiting| waiting.miss(Side::Server));
        if self.pipelined {
            self.doubt = Some(u64::MAX);
            self.waiting.iter_mut().for_each(|waiting| waiting.certain = false);
        }
    }

    /// The request that waits for longest.
    pub(super) fn front(&self) -> Option<&Outstanding> {
        self.waiting.first().map(|front| &front.request)
    }

    /// The request of an exchange, if it is the one that waits for longest.
    pub(super) fn answered(&self, exchange: u32) -> Option<Outstanding> {
        self.front().filter(|front| front.exchange == exchange).copied()
    }

    /// The request that a response answers whose sender has received up to `received`; requests that it may answer as well
    /// are given up to `unknown`.
    pub(super) fn answer(&mut self, received: u64, mut unknown: impl FnMut(u32)) -> Option<Outstanding> {
        while let Some(Waiting { request: front, certain, .. }) = self.waiting.first().copied() {
            if received <= front.start {
                return None;
            }
            if certain {
                return Some(front);
            }
            unknown(front.exchange);
            self.waiting.remove(0);
        }
        None
    }

    /// Takes the request that waits for longest.
    pub(super) fn pop(&mut self) -> Option<Outstanding> {
        (!self.waiting.is_empty()).then(|| self.waiting.remove(0).request)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether a response that begins at offset `at`, after missed ones, may answer the latest request: it began when the
    /// client had acknowledged no more of the server's stream.
    pub(super) fn may_answer_latest(&self, at: u64) -> bool {
        self.waiting.last().is_none_or(|latest| latest.request.acknowledged <= at)
    }

    /// Whether requests were sent before earlier ones were answered.
    pub(super) fn is_pipelined(&self) -> bool {
        self.pipelined
    }
}
