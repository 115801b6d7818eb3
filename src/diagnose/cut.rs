//! What a response was whose header section or length the snaplen cut off: never proven, since the octets that would tell
//! are not there. What the packets show all the same is who closed, when, and how much had been sent by then.

use std::time::Duration;

use crate::correlate::conversation::{Exchange, SMALLEST_HEAD_LIMIT};
use crate::correlate::{Case, Pairing};
use crate::diagnose::cause::Cause;
use crate::diagnose::compose::Judged;
use crate::diagnose::evidence::{Attempt, Verdict, span};
use crate::diagnose::incident::{Actor, Grade, Leg};
use crate::diagnose::product;
use crate::diagnose::response::{how, rejected, server_moved_first};
use crate::event::{Ending, Moment, Response};

/// How an attempt failed whose response goes on behind a hole; `None` if nothing shows that it did.
pub(super) fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    let response = attempt.exchange.response.as_ref()?;
    attempt.exchange.response_end.filter(|end| end.how == Ending::Unmeasured)?;
    let given = attempt.given?;
    if given.status == Some(response.status) || given.retried {
        return broken_off(attempt, response);
    }
    if !rejected(attempt) {
        return None;
    }
    let until = attempt.gateway_close().map_or(given.at, |(moment, ..)| earlier(moment, given.at));
    let closed = server_moved_first(attempt).filter(|(moment, ..)| *moment < until);
    let last = attempt.exchange.last_response.filter(|last| *last < until);
    let waited = until.at.since(last.unwrap_or(until).at);
    let verdict = match closed {
        // One that is too large is refused whether its sender closes behind it or not.
        Some((_, _, reset)) if response.cut && is_over_limit(attempt, response) => refused(attempt, response, until)
            .or_else(Some(Cause::TruncatedHeader), format!("the upstream's {} cut it off", how(reset).to_uppercase())),
        Some((moment, _, reset)) => ended(attempt, response, moment, reset),
        None if waited >= SHORTEST_WAIT => given_up(attempt, response, until, waited),
        None => refused(attempt, response, until),
    };
    Some(not_there(verdict))
}

/// Whether the snaplen cut a request's target: then time alone tells whose attempt one is that has no other mark.
pub(super) fn has_cut_target(exchange: &Exchange) -> bool {
    target(exchange).is_some_and(is_cut)
}

/// The same of a target.
pub(super) fn is_cut(target: &str) -> bool {
    target.ends_with('…')
}

/// Whether a failure that the client did not see is given to its exchange by time alone: what is left of the target does not
/// stand on the attempt.
pub(super) fn is_guess(case: &Case<'_>, judged: &[Judged<'_>]) -> bool {
    let wanted = target(case.root.exchange);
    let mut failed = judged.iter().filter(|judged| judged.attempt.hop == 0 && judged.verdict.is_some());
    failed.next().is_some_and(|first| {
        first.attempt.pairing < Pairing::Certain && (wanted.is_none() || target(first.view.exchange) != wanted)
    })
}

fn target(exchange: &Exchange) -> Option<&str> {
    exchange.request.as_ref().map(|request| request.target())
}

/// The upstream closed before the gateway answered with an error of its own.
fn ended(attempt: &Attempt<'_>, response: &Response, moment: Moment, reset: bool) -> Verdict {
    let server = attempt.conversation.server;
    let said = how(reset).to_uppercase();
    let request_cut = attempt.exchange.request.as_ref().is_some_and(|request| request.cut);
    if request_cut && reset && (400..500).contains(&response.status) {
        return unread(attempt, response, moment);
    }
    let (cause, part) = if response.cut {
        (Cause::TruncatedHeader, "the header section")
    } else {
        (Cause::TruncatedBody, "the content")
    };
    begun(
        Verdict::new(
            cause,
            Grade::Consistent,
            format!("status {}, then {said}; the gateway would not have it", response.status),
            format!("{server} closed after it had begun to answer, and the gateway did not pass the answer on: {part} was hardly whole"),
        )
        .detail(how(reset)),
        response,
    )
    .proof(moment, Actor::Upstream, format!("{said}: the upstream closes first"))
    .or_else(Some(Cause::MalformedResponse), "something in the cut octets that HTTP does not allow")
}

/// An answer that blames the request, and a reset behind it: whether all of the request had been sent is not known.
fn unread(attempt: &Attempt<'_>, response: &Response, moment: Moment) -> Verdict {
    let (server, status) = (attempt.conversation.server, response.status);
    let verdict = Verdict::new(
        Cause::EarlyResponse,
        Grade::Consistent,
        format!("upstream answered {status}, then RST"),
        format!(
            "{server} did answer: {status}. It reset the connection behind it, as servers do that have not read the whole request; the gateway lost the answer"
        ),
    );
    begun(verdict, response)
        .proof(moment, Actor::Upstream, "RST: the upstream closes first")
        .or_else(Some(Cause::TruncatedHeader), "the header section was not whole")
        .or_else(Some(Cause::MalformedResponse), "something in the cut octets that HTTP does not allow")
}

/// The gateway closed, or answered with an error of its own, when nothing more had come for a while.
fn given_up(attempt: &Attempt<'_>, response: &Response, until: Moment, waited: Duration) -> Verdict {
    let server = attempt.conversation.server;
    let verdict = Verdict::new(
        Cause::ResponseTimeout,
        Grade::Consistent,
        format!("status {}, then nothing for {}", response.status, span(waited)),
        format!("{server} began to answer and stopped; the gateway gave up after {}", span(waited)),
    );
    begun(verdict.detail("head_incomplete"), response)
        .proof(until, Actor::Gateway, format!("gives up after {}", span(waited)))
        .or_else(Some(Cause::StalledBody), "the header section was whole, and the content stopped")
}

/// The gateway would not have the response as soon as it came.
fn refused(attempt: &Attempt<'_>, response: &Response, until: Moment) -> Verdict {
    let server = attempt.conversation.server;
    let sent = sent(attempt, response);
    let (cause, other, what) = if response.cut && is_over_limit(attempt, response) {
        let what = "something in the cut octets that HTTP does not allow";
        (Cause::ResponseHeaderTooLarge, Cause::MalformedResponse, what)
    } else {
        let what = "a header section larger than the gateway is set to take";
        (Cause::MalformedResponse, Cause::ResponseHeaderTooLarge, what)
    };
    begun(
        Verdict::new(
            cause,
            Grade::Consistent,
            format!("status {}, {sent} octets, and the gateway would not have it", response.status),
            format!("{server} answered {}, and the gateway rejected the answer at once; what it did not like is not in the capture", response.status),
        ),
        response,
    )
    .proof(until, Actor::Gateway, "the gateway has done with it")
    .or_else(Some(other), what)
    .or_else(None, "a rule of the gateway's own about responses: its error log tells")
}

/// Octets of the response up to what the gateway did about it.
fn sent(attempt: &Attempt<'_>, response: &Response) -> u64 {
    let sent = attempt.gateway_close().map(|(_, closing, _)| closing.peer_sent);
    sent.or(attempt.exchange.response_end.map(|end| end.end)).unwrap_or(0).saturating_sub(response.start)
}

/// Whether these are more than the gateway takes of a header section, by the default of its product.
fn is_over_limit(attempt: &Attempt<'_>, response: &Response) -> bool {
    let limit = attempt.product.and_then(product::response_header_limit_bytes);
    sent(attempt, response) > limit.map_or(SMALLEST_HEAD_LIMIT, |(limit, _)| limit)
}

/// The gateway passed the response on, and both of its ends were cut off together: by a reset, or although both sides had
/// said that they keep the connection.
fn broken_off(attempt: &Attempt<'_>, response: &Response) -> Option<Verdict> {
    let given = attempt.given?;
    let is_last = attempt.conversation.highest == attempt.exchange.key.number;
    let (moment, _, reset) = server_moved_first(attempt).filter(|_| is_last)?;
    let broken = given.broken_off.filter(|(broken, promised)| {
        (reset || *promised) && *broken > moment && broken.at.since(moment.at) <= TOGETHER
    });
    let (broken, _) = broken?;
    let said = how(reset).to_uppercase();
    let server = attempt.conversation.server;
    let verdict = Verdict::new(
        Cause::TruncatedBody,
        Grade::Consistent,
        format!("{said} after the response began, and the gateway closed on its client"),
        format!(
            "{server} closed after it had begun to answer, and the gateway closed on its client at once: the content was hardly whole"
        ),
    );
    let verdict = begun(verdict.detail(how(reset)), response)
        .proof(moment, Actor::Upstream, format!("{said}: the upstream closes first"))
        .proof_on(Leg::Downstream, broken, Actor::Gateway, "closes on its client")
        .or_else(None, "the content was whole, and both connections had come to their end");
    Some(not_there(verdict))
}

fn begun(verdict: Verdict, response: &Response) -> Verdict {
    verdict.proof(response.first, Actor::Upstream, format!("status {}: the response begins", response.status))
}

fn not_there(verdict: Verdict) -> Verdict {
    verdict.unknown("what stood in the octets that the snaplen cut off: capture whole packets (`-s 0`)")
}

fn earlier(one: Moment, other: Moment) -> Moment {
    if one < other { one } else { other }
}

/// What happens within this span of something happens because of it.
const TOGETHER: Duration = Duration::from_millis(50);
/// A gateway that gives up sooner than this hardly does so for waiting.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
