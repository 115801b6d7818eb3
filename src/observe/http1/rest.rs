//! A connection on which no message is under way: what has to be known of it when the next one begins, and no more.

use crate::event::Protocol;
use crate::observe::http1::pairing::Queue;
use crate::observe::http1::{Answer, Http1, Mode, Reader, State};

/// The observer of a connection at rest.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    exchanges: u32,
    /// HTTP/1 was recognised.
    recognised: bool,
    unsure: bool,
    pipelined: bool,
    protocol: Protocol,
}

impl Rest {
    /// That of a connection that begins; `from_start` where its beginning is in the capture.
    #[must_use]
    pub fn new(from_start: bool) -> Self {
        Self { exchanges: 0, recognised: false, unsure: !from_start, pipelined: false, protocol: Protocol::Http }
    }
}

impl Http1 {
    /// An observer for a connection; `from_start` where its beginning is in the capture.
    #[must_use]
    pub fn new(from_start: bool) -> Self {
        Self::wake(Rest::new(from_start))
    }

    /// The observer as it was before the rest.
    #[must_use]
    pub fn wake(rest: Rest) -> Self {
        let Rest { exchanges, recognised, unsure, pipelined, protocol } = rest;
        Self {
            protocol,
            mode: if recognised { Mode::Http } else { Mode::Sniffing },
            requests: Reader::default(),
            responses: Reader::default(),
            outstanding: Queue::at_rest(pipelined),
            exchanges,
            unsure,
            answered_early: None,
            mingled: false,
            answer: Answer::default(),
            server_end: 0,
            upgraded: false,
            latest: Default::default(),
        }
    }

    /// What to keep of it while it rests; `None` where a message is under way, or has left a doubt. Of messages that are over
    /// nothing is needed: where they stood is noted anew with the next ones.
    #[must_use]
    pub fn rest(&self) -> Option<Rest> {
        let recognised = match self.mode {
            Mode::Http => true,
            Mode::Sniffing => false,
            Mode::Opaque(_) => return None,
        };
        let may_rest = self.requests.may_rest()
            && self.responses.may_rest()
            && self.outstanding.may_rest()
            && self.answered_early.is_none()
            && !self.mingled;
        let (exchanges, unsure, pipelined) = (self.exchanges, self.unsure, self.outstanding.is_pipelined());
        may_rest.then_some(Rest { exchanges, recognised, unsure, pipelined, protocol: self.protocol })
    }
}

impl Reader {
    /// Whether nothing of a message has come.
    fn may_rest(&self) -> bool {
        self.state == State::Head && self.first.is_none() && self.buffer.is_empty() && self.exchange == 0
    }
}
