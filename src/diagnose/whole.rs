//! Whether the capture holds all of an attempt: absence proves nothing unless the capture could have shown it.
//!
//! What a side sent stands in the sequence numbers of all that it sent later, and in what its peer acknowledges, long after
//! the packet itself was missed:
//!
//! ```text
//!   gateway    [ request, ack 100 ]                               [ ack 287 ]
//!   upstream                         ( 100..286, not captured )                [ FIN, sequence number 286 ]
//! ```

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::Attempt;
use crate::diagnose::response;
use crate::event::{Ending, GapJudged, Side};

/// What of an attempt the capture shows to have missed, and a verdict may rest upon; `None` if nothing.
pub(super) fn missing(attempt: &Attempt<'_>, cause: Cause) -> Option<&'static str> {
    let exchange = attempt.exchange;
    if is_incomplete(attempt) {
        return Some("what stood in the packets of this exchange that the capture does not hold");
    }
    if cause != Cause::ResponseLost && exchange.response_end.is_some_and(|end| end.how == Ending::Unknown) {
        return Some("what was answered: the request is not known to be the one that waited for what came");
    }
    if cause != Cause::ResponseLost && has_answered_unseen(attempt) {
        return Some(
            "what the upstream answered: by the sequence numbers it did, in packets that the capture does not hold",
        );
    }
    if is_cut_short_unseen(attempt) {
        return Some(
            "how the response went on: by the sequence numbers it did, in packets that the capture does not hold",
        );
    }
    has_closed_unseen(attempt)
        .then_some("who closed first: by the reset that answers for it a close is not in the capture")
}

/// Whether octets of this exchange are missing. A message behind a hole is read when the hole is given up, so that a hole
/// before it counts as well: what is said of the message's time is not what happened.
fn is_incomplete(attempt: &Attempt<'_>) -> bool {
    let counts = |judged| matches!(judged, GapJudged::Capture | GapJudged::Unknown);
    let started = attempt.exchange.started;
    attempt.has_gap(Side::Client, counts)
        || attempt.has_gap(Side::Server, counts)
        || attempt.conversation.gaps.iter().any(|gap| counts(gap.judged) && gap.moment >= started)
}

/// Whether the server sent octets after the request began of which none was seen, or the first one of what was seen is not
/// where the response begins.
pub(super) fn has_answered_unseen(attempt: &Attempt<'_>) -> bool {
    let exchange = attempt.exchange;
    let Some(read) = exchange.read else { return false };
    let ahead = attempt.conversation.server_ahead.is_some_and(|(moment, _)| moment >= exchange.started);
    if attempt.conversation.multiplexed.is_some() {
        return ahead && !attempt.answered_in_time() || has_frames_unseen(attempt);
    }
    if let Some(start) = &exchange.response_start {
        return start.at > read || ahead && !attempt.answered_in_time();
    }
    let sent = attempt.server_close().is_some_and(|(_, closing, _)| closing.at > read);
    let received =
        attempt.gateway_close().and_then(|(_, closing, _)| closing.acknowledged).is_some_and(|ack| ack > read);
    sent || received || ahead
}

/// Whether the server of a connection of HTTP/2 sent octets after the request began that were not seen: what comes by may be any
/// stream's, so that it is of no use to know where the response begins.
fn has_frames_unseen(attempt: &Attempt<'_>) -> bool {
    let skipped = attempt.conversation.server_skipped;
    skipped.is_some_and(|(moment, ..)| moment >= attempt.exchange.started)
        || attempt.gateway_close().is_some_and(|(_, closing, _)| closing.acknowledged > Some(closing.peer_sent))
}

/// Whether the server closed first, behind octets of its response that were not seen.
fn is_cut_short_unseen(attempt: &Attempt<'_>) -> bool {
    let exchange = attempt.exchange;
    let is_last = attempt.conversation.highest == exchange.key.number;
    let began = is_last && exchange.response_start.is_some() && attempt.conversation.multiplexed.is_none();
    let Some((_, closing, _)) = response::server_moved_first(attempt).filter(|_| began) else { return false };
    exchange.response_end.is_none_or(|end| end.how != Ending::Unmeasured && closing.at > end.end)
}

/// Whether a side's first close that was seen is the reset of a socket that is gone: it does not know what it acknowledges.
fn has_closed_unseen(attempt: &Attempt<'_>) -> bool {
    attempt.gateway_closed_first()
        && attempt.gateway_close().is_some_and(|(_, closing, reset)| reset && closing.acknowledged.is_none())
}
