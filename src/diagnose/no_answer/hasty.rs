//! A gateway that let go of an attempt which it had hardly waited for: no time limit ended it.

use std::time::Duration;

use crate::correlate::SHORTEST_PATIENCE;
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::no_answer::SHORTEST_WAIT;
use crate::event::{Moment, Side};

/// Whether the gateway itself broke its request off, soon after it had begun it, and had heard nothing: as one does that cannot send
/// a content once more.
pub(in crate::diagnose) fn was_broken_off(attempt: &Attempt<'_>) -> bool {
    let exchange = attempt.exchange;
    let closed = attempt.gateway_close().filter(|_| attempt.gateway_closed_first());
    exchange.request_start.is_some()
        && exchange.request_end.is_none()
        && exchange.response_start.is_none()
        && closed.is_some_and(|(closed, ..)| closed.at.since(exchange.started.at) < SHORTEST_WAIT)
}

/// Whether the gateway let go of an attempt, or answered its client, when it had hardly waited and heard nothing.
pub(in crate::diagnose) fn was_let_go_at_once(attempt: &Attempt<'_>) -> bool {
    let closed = attempt.gateway_close().map(|(closed, ..)| closed);
    let answered = attempt.given.filter(|given| given.status.is_some_and(|status| status >= 500));
    let let_go = closed.into_iter().chain(answered.map(|given| given.at)).min();
    let_go.is_some_and(|let_go| {
        let before = |moment: Moment| moment < let_go;
        let heard = attempt.conversation.ended(Side::Server).is_some_and(before)
            || attempt.exchange.stream_reset().is_some_and(|(moment, _)| before(moment));
        attempt.exchange.key.number > 0
            && !attempt.answered_in_time()
            && !heard
            && let_go.at.since(attempt.request_sent().at) < SHORTEST_PATIENCE
    })
}

/// The gateway gave an error without having waited: that was no time limit.
pub(super) fn too_soon(attempt: &Attempt<'_>, until: Moment, waited: Duration, in_body: bool) -> Verdict {
    let server = attempt.conversation.server;
    let doing = if in_body { "was sending its response" } else { "had the request" };
    Verdict::new(
        Cause::Unknown,
        Grade::Undetermined,
        format!("the gateway let go after {}: too soon for a time limit", span(waited)),
        format!("{server} {doing}, and the gateway let go of it after {}, which no time limit explains", span(waited)),
    )
    .proof(attempt.exchange.started, Actor::Gateway, "the request begins")
    .proof(until, Actor::Gateway, "the gateway lets go")
    .rules_out(Cause::ResponseTimeout, format!("no gateway waits for no more than {}", span(waited)), Some(until.frame))
    .or_else(None, "something that came on this connection and that is not understood here")
    .or_else(None, "another request that it had made for its client failed: then this one was of no use any more")
    .unknown("the gateway's own reason: see its error log")
}

/// The gateway closed although it had hardly waited, and its client's leg is not visible: most likely the client left.
pub(super) fn let_go(attempt: &Attempt<'_>, closed: Moment, waited: Duration, in_body: bool) -> Verdict {
    let server = attempt.conversation.server;
    let (other, doing) = match in_body {
        true => (Cause::StalledBody, "was sending its response"),
        false => (Cause::ResponseTimeout, "had the request"),
    };
    let verdict = Verdict::new(
        Cause::ClientAbort,
        Grade::Consistent,
        format!("the gateway closed after no more than {}", span(waited)),
        format!(
            "{server} {doing}, and the gateway closed after no more than {}: most likely its client had left",
            span(waited)
        ),
    )
    .proof(attempt.exchange.started, Actor::Gateway, "the request begins")
    .proof(closed, Actor::Gateway, "closes first")
    .rules_out(Cause::ClosedWithoutResponse, "the upstream did not close first", Some(closed.frame))
    .or_else(Some(other), "a time-out, if the gateway's is as short as that")
    .or_else(None, "the gateway had no use for the rest of the answer: a copy of a request, a limit, a reload");
    verdict.unknown("what the client did: its leg is not visible")
}

/// All that came was an interim response (RFC 9110 section 15.2), and the gateway gave up right behind it.
pub(super) fn dropped_on_interim(attempt: &Attempt<'_>, interim: Moment, until: Moment) -> Verdict {
    let server = attempt.conversation.server;
    let waited = span(until.at.since(interim.at));
    Verdict::new(
        Cause::Unknown,
        Grade::Undetermined,
        format!("an interim response (1xx), and the gateway gave up {waited} later"),
        format!(
            "{server} sent an interim response (1xx), and the gateway gave up {waited} later, before the final one came"
        ),
    )
    .proof(attempt.exchange.started, Actor::Gateway, "the request begins")
    .proof(interim, Actor::Upstream, "an interim response")
    .or_else(None, "the gateway does not understand interim responses such as 103 (Early Hints)")
    .or_else(None, "a reload or a limit of the gateway's: its error log tells")
}
