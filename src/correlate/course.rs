//! The course of an attempt: when it began, when it was tried for the last time, and what came of it.

use std::time::Duration;

use crate::correlate::conversation::{Conversation, Exchange};
use crate::correlate::{Correlator, Party};
use crate::event::{Moment, Side};
use crate::time::Timestamp;

impl Correlator {
    /// When an attempt began: its SYN, where it opened a connection for itself.
    pub(super) fn began(&self, attempt: &Exchange) -> Timestamp {
        let conversation = self.books.conversation(attempt.key.connection);
        conversation.filter(|_| !attempt.reused).map_or(attempt.started.at, |conversation| {
            let opened = conversation.opened.at;
            if attempt.started.at.since(opened) < PRECONNECTED || attempt.key.number == 0 {
                opened
            } else {
                attempt.started.at
            }
        })
    }

    /// When an attempt was tried for the last time.
    pub(super) fn last_try(&self, attempt: &Exchange) -> Timestamp {
        self.books.conversation(attempt.key.connection).map_or(attempt.started.at, |conversation| {
            if attempt.key.number == 0 { conversation.syn().0.at } else { attempt.ready().at }
        })
    }

    /// The latest thing that happened to an attempt, up to `until`, and that a gateway may have acted on.
    pub(super) fn outcome(&self, attempt: &Exchange, until: Timestamp) -> Option<Moment> {
        let conversation = self.books.conversation(attempt.key.connection)?;
        let closes = |conversation: &Conversation, side| conversation.close(side).map(|(moment, ..)| moment);
        [
            attempt.response_start.as_ref().map(|start| start.moment),
            attempt.defect.map(|(moment, _)| moment),
            attempt.last_response,
            attempt.stream_reset().map(|(moment, _)| moment),
            conversation.refused(Side::Server, attempt.key.number),
            closes(conversation, Side::Server),
            closes(conversation, Side::Client),
        ]
        .into_iter()
        .flatten()
        // Linux goes on sending the SYN after some ICMP errors: then it is the latest one that counts.
        .chain(conversation.unreachable.iter().map(|(moment, _)| *moment))
        .chain(conversation.handshake.iter().flat_map(|handshake| handshake.ends()))
        .filter(|moment| moment.at <= until && *moment >= attempt.started)
        .max()
    }

    /// Whether a connection without a request may be a failed attempt: one that the gateway opened and closed by itself is
    /// a probe, or was opened in advance, unless it did so with TLS.
    pub(super) fn has_failed(&self, candidate: &Exchange) -> bool {
        let conversation = self.books.conversation(candidate.key.connection);
        candidate.key.number > 0
            || conversation.is_some_and(|conversation| {
                let first = conversation.first_close();
                conversation.syn_ack.is_none()
                    || first.is_some_and(|(_, closing, _)| closing.by == Side::Server)
                    || conversation.handshake.as_ref().is_some_and(|handshake| handshake.began.is_some())
            })
    }
}

impl Party<'_> {
    /// Whether it was the gateway that ended a good answer, and not for waiting: it had all that it wanted of it. So ends a health
    /// check, of which the status is enough, or a copy of a request.
    #[must_use]
    pub fn had_enough(&self) -> bool {
        let Self { exchange, conversation } = self;
        let is_last = conversation.highest == exchange.key.number;
        let let_go = conversation.first_close().filter(|(_, closing, _)| is_last && closing.by == Side::Client);
        let start = exchange.response_start.as_ref().map(|start| start.moment);
        let_go.zip(start).is_some_and(|((closed, ..), start)| {
            // What breaks off ends with the close.
            let last = exchange.last_response.filter(|last| *last < closed).unwrap_or(start);
            let waited = closed.at.since(last.at);
            start < closed && exchange.begins_in_order() && waited < SHORTEST_STALL
        })
    }

    /// Whether a client that closed had acknowledged all that had been sent to it, and that was all of the declared content: nothing
    /// but its end, which comes on its own in HTTP/2, was still to be said.
    #[must_use]
    pub fn client_has_all(&self) -> bool {
        let Self { exchange, conversation } = self;
        let declared = exchange.response.as_ref().and_then(|response| response.content_length);
        let all = declared.zip(exchange.response_end).filter(|(declared, end)| end.content >= *declared);
        all.zip(conversation.fin(Side::Client)).is_some_and(|((_, end), (_, closing))| {
            closing.acknowledged >= Some(closing.peer_sent) && closing.acknowledged >= Some(end.end)
        })
    }
}

/// A connection that waited longer than this for its first request was opened in advance.
const PRECONNECTED: Duration = Duration::from_secs(3);
/// No gateway waits less than this for the rest of an answer.
const SHORTEST_STALL: Duration = Duration::from_millis(200);
