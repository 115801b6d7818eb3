//! Phases response_head and response_body: the upstream had the request, and nothing came back, or too late, or no more.

mod hasty;

use std::time::Duration;

use crate::correlate::SHORTEST_PATIENCE;
use crate::correlate::conversation::ResponseEnd;
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Coverage, Verdict, span};
use crate::diagnose::incident::{Actor, Grade, Leg};
use crate::diagnose::no_answer::hasty::{dropped_on_interim, let_go, too_soon};
pub(super) use crate::diagnose::no_answer::hasty::{was_broken_off, was_let_go_at_once};
use crate::diagnose::request;
use crate::diagnose::response::{how, server_moved_first};
use crate::diagnose::tls;
use crate::event::{Ending, Moment, Opaque, Response, Side};

/// The upstream closed without a word.
pub(super) fn silent_close(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    if exchange.response_start.is_some() {
        return None;
    }
    let (moment, closing, reset) = server_moved_first(attempt)?;
    if reset && closing.refuses_syn {
        return None;
    }
    // Its sequence number says that it had sent something, to a request of which the capture holds nothing either.
    if exchange.key.number == 0 && closing.acknowledged.is_some() && closing.at > closing.received {
        return None;
    }
    if let Some(lost) = lost_before_close(attempt, moment).filter(|_| !reset) {
        return Some(lost);
    }
    let coverage = attempt.coverage(&closing);
    let server = attempt.conversation.server;
    let worked = moment.at.since(attempt.request_sent().at);
    let acks = closing.acknowledged.map_or(String::from("no ACK flag"), |ack| format!("ack {ack}"));
    let whole = coverage == Coverage::Whole || (coverage == Coverage::Unknown && exchange.acknowledged.is_some());
    let cause = if reset { Cause::ResetWithoutResponse } else { Cause::ClosedWithoutResponse };
    let said = how(reset).to_uppercase();
    let unread = reset && whole && maybe_unread(attempt, worked);
    let perhaps_tls = tls::may_expect_tls(attempt, moment);
    let grade = match coverage {
        // Its sequence number says that it had sent something: the capture does not hold it.
        _ if closing.acknowledged.is_some() && closing.at > closing.received => Grade::Consistent,
        _ if unread || perhaps_tls => Grade::Consistent,
        Coverage::Whole => Grade::Proven,
        Coverage::Unknown if whole => Grade::Proven,
        Coverage::Nothing | Coverage::Part | Coverage::Unknown => Grade::Consistent,
    };
    let extent = match coverage {
        Coverage::Nothing => "acknowledges nothing of the request",
        Coverage::Part => "acknowledges a part of the request",
        Coverage::Whole if exchange.request_end.is_none() => "acknowledges all that was sent of the request",
        Coverage::Whole => "acknowledges the whole request",
        Coverage::Unknown => "says nothing about the request",
    };
    let had = match exchange.request_end {
        None if coverage == Coverage::Whole => "the upstream's kernel had all that was sent of the request",
        _ => "the upstream's kernel had the whole request",
    };
    let verb = if reset { "reset the connection" } else { "closed the connection" };
    let mut verdict = Verdict::new(
        cause,
        grade,
        format!("{said} ({acks}) {} after the request, no response", span(worked)),
        format!("{server} {verb} {} after the request, without sending a single octet of a response", span(worked)),
    )
    .proof(exchange.started, Actor::Gateway, "the request begins");
    if let Some(acknowledged) = exchange.acknowledged {
        verdict = verdict.proof(acknowledged, Actor::Upstream, "acknowledges the whole request");
    }
    verdict = verdict.proof(moment, Actor::Upstream, format!("{said}, {acks}: {extent}"));
    verdict = if unread {
        let (cause, looks) = if exchange.reused {
            (
                Cause::KeepaliveRace,
                "the process closed the connection as idle while the request lay unread in its socket: the kernel answers for it, with a reset",
            )
        } else {
            (
                Cause::ConnectReset,
                "the process closed the connection without reading from it: the kernel answers for it, with a reset",
            )
        };
        verdict
            .rules_out(Cause::ResponseTimeout, "the upstream closed first", Some(moment.frame))
            .or_else(Some(cause), looks)
            .unknown("whether the process had read the request: its kernel acknowledged it")
    } else if whole {
        verdict.rules_out(Cause::KeepaliveRace, had, Some(moment.frame)).rules_out(
            Cause::ResponseTimeout,
            "the upstream closed first",
            Some(moment.frame),
        )
    } else if exchange.reused {
        verdict.or_else(Some(Cause::KeepaliveRace), "the close was on its way before the request arrived")
    } else {
        verdict.rules_out(
            Cause::KeepaliveRace,
            "nothing was exchanged on this connection before",
            Some(exchange.started.frame),
        )
    };
    if perhaps_tls {
        verdict = verdict.or_else(Some(Cause::PlaintextToTls), tls::PERHAPS_TLS);
    }
    Some(verdict.unknown(if reset {
        "why: a process that died with unread octets, an abortive close, or a queue that was thrown away look the same"
    } else {
        "why the process closed: a crash, a time limit of its own, and a deliberate close look the same"
    }))
}

/// Whether a RST that acknowledges the request may come from a process that never read it. A socket that is closed with
/// octets unread sends such a RST: that of a connection taken for idle, or of a listener that serves nobody. No busy process
/// leaves a socket unread for long.
fn maybe_unread(attempt: &Attempt<'_>, worked: Duration) -> bool {
    worked <= LONGEST_UNREAD && (attempt.exchange.reused || !attempt.endpoint_responds())
}

/// The gateway gave up waiting.
pub(super) fn gave_up(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    exchange.request_start?;
    if was_broken_off(attempt) && attempt.given.is_some_and(|given| given.status.is_some()) {
        return None;
    }
    if attempt.given.is_some_and(|given| given.whole && given.status.is_some_and(|status| status < 500))
        && exchange.is_answered()
    {
        return None;
    }
    let in_time = attempt.answered_in_time();
    let closed = attempt.gateway_close().filter(|_| attempt.gateway_closed_first());
    // A header section that was completed only behind the gateway's close was none to it.
    let complete = |response: &Response| closed.is_none_or(|(_, closing, _)| response.head_end() <= closing.peer_sent);
    let in_body = in_time && exchange.response.as_ref().is_some_and(complete);
    if in_body && exchange.response_end.is_some_and(|end| end.how != Ending::Truncated && !ended_late(attempt, end)) {
        return None;
    }
    let answered = attempt.given.filter(|given| given.status.is_none_or(|status| status >= 500));
    let until = closed.map(|(moment, ..)| moment).into_iter().chain(answered.map(|given| given.at)).min()?;
    let sent = attempt.request_sent();
    let last = exchange.last_response.filter(|last| *last < until);
    let since = last.unwrap_or(sent);
    let waited = until.at.since(since.at);
    // What ends with the connection had most likely ended when the gateway closed at once: the upstream's close is what the capture
    // lacks.
    let by_close = |response: &Response| response.content_length.is_none() && !response.chunked;
    let ends_with_it = exchange.response.as_ref().is_some_and(by_close);
    if in_body && ends_with_it && waited < SHORTEST_WAIT && attempt.given.is_none_or(|given| given.whole) {
        return None;
    }
    // What the snaplen cut off may have been all of it.
    if in_time && !in_body && waited < SHORTEST_WAIT && attempt.is_snapped(Side::Server) {
        return None;
    }
    let server = attempt.conversation.server;
    let detail = (in_time && !in_body).then_some("head_incomplete");
    let cause = if in_body { Cause::StalledBody } else { Cause::ResponseTimeout };
    let acknowledged = exchange.acknowledged.is_some() || exchange.response_start.is_some();
    // A gateway that waited too long says so to its client. One that closes on both may have ended for its own reasons.
    let visible = attempt.given.is_some_and(|given| given.status.is_some() || given.retried);
    let ended = closed.is_some();
    let grade =
        if visible && ended && acknowledged && waited >= SHORTEST_WAIT { Grade::Proven } else { Grade::Consistent };
    let late = late_answer(attempt, until);
    let mut why = format!("gateway gave up at {}", span(waited));
    if let Some((moment, octets)) = late {
        why.push_str(&format!("; upstream answered at {} ({octets} octets)", span(moment.at.since(sent.at))));
    }
    if let Some(lost) = lost_answer(attempt, &why) {
        return Some(lost);
    }
    if let Some(interim) = last.filter(|_| !in_time && waited < SHORTEST_WAIT) {
        return Some(dropped_on_interim(attempt, interim, until));
    }
    let hardly_waited = waited < SHORTEST_WAIT;
    // Who lets go of its client alone has not given up on the upstream; and nothing was missing to who was served.
    let served = attempt.given.is_some_and(|given| given.whole && given.status.is_some_and(|status| status < 500));
    if hardly_waited && (served || !ended && !visible && attempt.given.is_some()) {
        return None;
    }
    let has_nothing = !in_time || in_body;
    if let Some((closed, ..)) = closed.filter(|_| hardly_waited && attempt.given.is_none() && has_nothing) {
        return Some(let_go(attempt, closed, waited, in_body));
    }
    if waited < SHORTEST_PATIENCE && visible {
        return Some(too_soon(attempt, until, waited, in_body));
    }
    let summary = if in_body {
        format!("{server} stopped sending in the middle of its response; the gateway gave up after {}", span(waited))
    } else {
        format!("{server} had the request and did not answer within {}; the gateway gave up", span(waited))
    };
    let mut verdict =
        Verdict::new(cause, grade, why, summary).proof(exchange.started, Actor::Gateway, "the request begins");
    verdict.detail = detail;
    if let Some(acknowledged) = exchange.acknowledged {
        verdict = verdict.proof(acknowledged, Actor::Upstream, "acknowledges the whole request");
    }
    if let Some(last) = last {
        verdict = verdict.proof(last, Actor::Upstream, "the last octets of the response");
    }
    if let Some((moment, _, reset)) = closed {
        verdict = verdict.proof(
            moment,
            Actor::Gateway,
            format!("{} after {}: the gateway closes first", how(reset).to_uppercase(), span(waited)),
        );
    }
    if let Some((moment, octets)) = late {
        verdict = verdict.proof(moment, Actor::Upstream, format!("{octets} octets of an answer, too late"));
    }
    verdict = verdict
        .rules_out(
            Cause::ClosedWithoutResponse,
            "the upstream did not close first",
            closed.map(|(moment, ..)| moment.frame),
        )
        .unknown("what the upstream was doing: see its log and its dependencies");
    verdict = or_ended(attempt, verdict);
    if grade == Grade::Consistent && waited < SHORTEST_WAIT {
        verdict = verdict.or_else(
            None,
            "the gateway closed so soon that a time-out is unlikely: a reload, a limit, or its client leaving",
        );
    }
    Some(verdict)
}

/// The answer was whole, and the gateway said all the same that it had waited too long: its time had run out before it looked.
pub(super) fn came_too_late(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let start = exchange.response_start.as_ref()?.moment;
    let given = attempt.given.filter(|given| given.status == Some(GATEWAY_TIMEOUT))?;
    let waited = start.at.since(attempt.request_sent().at);
    if exchange.status().is_none_or(|status| status >= 500)
        || waited < SHORTEST_WAIT
        || given.at < start
        || given.at.at.since(start.at) > AT_ONCE
    {
        return None;
    }
    let server = attempt.conversation.server;
    let verdict = Verdict::new(
        Cause::ResponseTimeout,
        Grade::Consistent,
        format!("answered after {}; the gateway had given up", span(waited)),
        format!(
            "{server} answered after {}, when the gateway's time had run out: it answered 504 all the same",
            span(waited)
        ),
    )
    .proof(exchange.started, Actor::Gateway, "the request begins")
    .proof(start, Actor::Upstream, format!("the response begins, {} after the request", span(waited)))
    .proof_on(Leg::Downstream, given.at, Actor::Gateway, "answers 504")
    .rules_out(Cause::ClosedWithoutResponse, "a response came", Some(start.frame))
    .or_else(None, "a rule of the gateway's own: its error log tells")
    .unknown("what the upstream was doing: see its log and its dependencies");
    Some(verdict)
}

/// With what fits as well where the gateway's answer to its client does not show that it gave up.
pub(super) fn or_ended(attempt: &Attempt<'_>, verdict: Verdict) -> Verdict {
    match attempt.given {
        None => verdict.or_else(Some(Cause::ClientAbort), "its client left: the client's leg would show it"),
        Some(given) if given.status.is_none() && !given.retried => {
            verdict.or_else(Some(Cause::GatewayCrash), "the gateway's process ended: it closed on its client too")
        }
        Some(_) => verdict,
    }
}

/// Whether the rest of a response came only after the gateway had closed, which wanted none of it.
fn ended_late(attempt: &Attempt<'_>, end: ResponseEnd) -> bool {
    let closed = attempt.gateway_close().filter(|_| attempt.gateway_closed_first());
    let unwanted =
        attempt.conversation.reset(Side::Client).is_some() || attempt.given.is_some_and(|given| !given.whole);
    unwanted && closed.is_some_and(|(_, closing, _)| closing.peer_sent < end.end)
}

/// Octets of a response that came after the gateway had given up.
fn late_answer(attempt: &Attempt<'_>, until: Moment) -> Option<(Moment, u64)> {
    let start = attempt.exchange.response_start.as_ref().filter(|start| start.moment > until)?;
    let octets = attempt.exchange.response_end.map_or(0, |end| end.end.saturating_sub(start.at));
    Some((start.moment, octets.max(u64::from(start.octets))))
}

/// The upstream did answer: its sequence numbers moved, and the octets never came by.
fn lost_answer(attempt: &Attempt<'_>, why: &str) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let missing = missing_answer(attempt)?;
    // What came after the gateway had given up came too late.
    let began = attempt.answered_in_time();
    let Missing { moment, from, octets } = missing;
    let server = attempt.conversation.server;
    // The receiver alone tells whether it was the way or the capture that lost them: what it says later, when it closes.
    let close = attempt.gateway_close().filter(|(close, ..)| *close > moment);
    let acknowledged = close.and_then(|(close, closing, _)| Some((close, closing.acknowledged?)));
    if acknowledged.is_some_and(|(_, ack)| ack > from) {
        return None;
    }
    let what = if began { "of the rest of its answer" } else { "of answer" };
    let mut verdict = Verdict::new(
        Cause::ResponseLost,
        if acknowledged.is_some() { Grade::Proven } else { Grade::Consistent },
        format!("{octets} octets sent and never received; {why}"),
        format!("{server} sent {octets} octets {what} that never reached the gateway: what was sent later did"),
    )
    .proof(exchange.started, Actor::Gateway, "the request begins")
    .proof(moment, Actor::Upstream, format!("sequence number {octets} octets ahead of everything received"));
    if let Some((close, ack)) = acknowledged {
        verdict = verdict.proof(
            close,
            Actor::Gateway,
            format!("still acknowledges no more than {ack}: it was not the capture that missed them"),
        );
    }
    let cause = if began { Cause::StalledBody } else { Cause::ResponseTimeout };
    verdict = verdict.rules_out(cause, "the upstream had gone on", Some(moment.frame)).or_else(
        None,
        "a path MTU black hole, where large packets alone are lost: try `ping -M do -s 1472` towards the gateway from the upstream",
    );
    if octets < SMALLEST_FULL {
        verdict = verdict.unknown("why so little was lost: no packet of it was as large as a link takes");
    }
    Some(verdict.or_else(None, "loss on the way that did not end before the gateway gave up"))
}

/// Octets of an answer that are known to have been sent, and that nobody saw.
struct Missing {
    /// The packet that tells.
    moment: Moment,
    /// Offset of the first one.
    from: u64,
    octets: u64,
}

fn missing_answer(attempt: &Attempt<'_>) -> Option<Missing> {
    let exchange = attempt.exchange;
    let (read, since) = (exchange.read?, exchange.started);
    let conversation = attempt.conversation;
    let skipped = conversation.server_skipped.map(|(moment, from, octets)| Missing { moment, from, octets });
    let gave_up = attempt.gateway_close().map(|(moment, ..)| moment);
    let in_time = |missing: &Missing| missing.moment > since && gave_up.is_none_or(|gave_up| missing.moment < gave_up);
    if let Some(skipped) = skipped.filter(|skipped| in_time(skipped) && skipped.from >= read) {
        // Where the gateway says nothing later, what came since may have filled the hole.
        let silent = attempt.gateway_close().is_none_or(|(_, closing, _)| closing.acknowledged.is_none());
        let is_filled = silent && exchange.last_response.is_some_and(|last| last > skipped.moment);
        return (!is_filled).then_some(skipped);
    }
    if attempt.answered_in_time() {
        return None;
    }
    let ahead = conversation.server_ahead.map(|(moment, octets)| Missing { moment, from: read, octets });
    let closed = conversation.fin(Side::Server).filter(|(_, closing)| closing.at > read && closing.received <= read);
    let closed = closed.map(|(moment, closing)| Missing { moment, from: read, octets: closing.at - read });
    let late = exchange.response_start.is_some();
    let all = ahead.filter(|ahead| !late || in_time(ahead)).into_iter().chain(closed.filter(in_time));
    all.filter(|missing| missing.moment > since && missing.octets > 1).min_by_key(|missing| missing.moment)
}

/// The upstream closed behind an answer of which nothing came, and the gateway waited on for it until it gave up.
fn lost_before_close(attempt: &Attempt<'_>, closed: Moment) -> Option<Verdict> {
    let (gave_up, closing, _) = attempt.gateway_close()?;
    let waited = gave_up.at.since(closed.at);
    let unread = closing.acknowledged.zip(attempt.exchange.read).is_some_and(|(ack, read)| ack <= read);
    if !unread || waited < SHORTEST_WAIT || gave_up < closed {
        return None;
    }
    lost_answer(attempt, &format!("gateway gave up {} after the upstream had closed", span(waited)))
}

/// Whether the server closed an established connection before the gateway had sent anything.
#[must_use]
pub fn closed_before_request(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (moment, closing, reset) = server_moved_first(attempt)?;
    let sent = closing.peer_sent > 0 || closing.acknowledged.is_some_and(|ack| ack > 0);
    if attempt.exchange.key.number > 0 || attempt.conversation.syn_ack.is_none() || sent {
        return None;
    }
    if reset {
        let mut verdict = request::reset_verdict(attempt, moment, &closing);
        if closing.acknowledged.is_none() {
            verdict.lower(Grade::Consistent, request::GONE);
        }
        return Some(verdict);
    }
    let server = attempt.conversation.server;
    Some(
        Verdict::new(
            Cause::ClosedWithoutResponse,
            Grade::Consistent,
            "FIN before any request was sent",
            format!("{server} accepted the connection and closed it before it received a request"),
        )
        .detail("before_request")
        .proof(attempt.conversation.opened, Actor::Gateway, "SYN")
        .proof(moment, Actor::Upstream, "FIN; nothing was sent yet"),
    )
}

/// An attempt whose octets are not HTTP/1 in clear cannot be judged beyond its handshake.
#[must_use]
pub fn opaque(attempt: &Attempt<'_>) -> Option<Verdict> {
    // Of what stands inside TLS, requests and answers are told apart all the same.
    let carried = attempt.conversation.opaque.filter(|_| attempt.exchange.veiled.is_none())?;
    // What switched protocols had spoken HTTP before, and each of these exchanges can be judged: the switch is an answer too.
    if carried == Opaque::Switched && attempt.exchange.response_end.is_some() {
        return None;
    }
    let server = attempt.conversation.server;
    let what = match carried {
        Opaque::Tls => "TLS",
        Opaque::Http2 => "HTTP/2",
        Opaque::FastCgi => "FastCGI",
        Opaque::Switched | Opaque::Other => "something that is not HTTP",
    };
    let mut verdict = Verdict::new(
        Cause::Unknown,
        Grade::Undetermined,
        format!("the upstream leg carries {what}"),
        format!("the connection to {server} carries {what}, which is not read: how the attempt failed cannot be seen"),
    )
    .proof(attempt.conversation.opened, Actor::Gateway, format!("SYN to {server}"));
    if let Some((moment, closing, reset)) = attempt.conversation.first_close() {
        let from = if closing.by == Side::Server { Actor::Upstream } else { Actor::Gateway };
        verdict = verdict.proof(moment, from, format!("{}: closes first", how(reset).to_uppercase()));
    }
    Some(verdict)
}

/// Fewer octets than this are in no packet that a link refuses.
const SMALLEST_FULL: u64 = 1000;
/// A request lies unread in the socket of a process that lives for no longer than this.
const LONGEST_UNREAD: Duration = Duration::from_secs(1);
/// A gateway that gives up sooner than this hardly does so for waiting.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
/// The status of a gateway that waited for too long.
const GATEWAY_TIMEOUT: u16 = 504;
/// Who answers within this span had not waited for the answer that came.
const AT_ONCE: Duration = Duration::from_millis(150);
