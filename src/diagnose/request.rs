//! Phase request: the connection was open, but the upstream did not take the request.

use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Coverage, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::{path, tls};
use crate::event::{Closing, FirstSeen, Moment, Side};

/// Why the request was not taken, if no octet of a response came.
#[must_use]
pub fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    // An answer that came when the gateway had given up tells nothing of why it did.
    if attempt.exchange.response_start.is_some() && (attempt.answered_in_time() || !attempt.gateway_closed_first()) {
        return None;
    }
    let closed = attempt.server_close().filter(|_| !attempt.gateway_closed_first());
    match closed {
        Some((moment, closing, reset)) => lost_before(attempt, moment)
            .or_else(|| forged(attempt, moment, &closing, reset))
            .or_else(|| race(attempt, moment, &closing, reset))
            .or_else(|| stopped_reading(attempt, moment, reset))
            .or_else(|| reset_at_once(attempt, moment, &closing, reset)),
        None => {
            let until = attempt.gateway_close().map(|(moment, ..)| moment).or(attempt.given.map(|given| given.at))?;
            not_reading(attempt, until).or_else(|| lost_before(attempt, until))
        }
    }
}

/// The request's place on its connection, as evidence.
fn sent(attempt: &Attempt<'_>, verdict: Verdict) -> Verdict {
    let exchange = attempt.exchange;
    let method = exchange.request.as_ref().map_or("request", |request| request.method());
    let (Some(start), end) = (exchange.request_start, exchange.request_end_offset()) else { return verdict };
    let place = end.map_or_else(|| format!("from {start} on"), |end| format!("{start}..{end}"));
    let idle = exchange.idle.map_or(String::new(), |idle| format!(" on a connection idle for {}", span(idle)));
    verdict.proof(exchange.started, Actor::Gateway, format!("{method} is {place}{idle}"))
}

/// The upstream closed an idle connection while the request was on its way, or before.
fn race(attempt: &Attempt<'_>, moment: Moment, closing: &Closing, reset: bool) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let conversation = attempt.conversation;
    let (round_trip, measured) = attempt.round_trip();
    // A connection that was opened in advance, and has waited since, is as idle as one that was used before.
    let in_advance = !exchange.reused
        && conversation
            .syn_ack
            .is_some_and(|(accepted, ..)| exchange.started.at.since(accepted.at) > round_trip + IN_ADVANCE);
    if !(exchange.reused || in_advance) || !closed_unread(attempt, closing) {
        return None;
    }
    let server = conversation.server;
    let how = if reset { "RST" } else { "FIN" };
    let acks = closing.acknowledged.map_or(String::from("no ACK flag"), |ack| format!("ack {ack}"));
    let idle = exchange.idle.map_or(String::new(), |idle| format!("reused after {} idle; ", span(idle)));
    let known = conversation.fins_acknowledged.get(Side::Server.index()).copied().flatten();
    if let Some(known) = known.filter(|known| *known < exchange.started) {
        let late = exchange.started.at.since(known.at);
        let mut verdict = Verdict::new(
            Cause::StaleReuse,
            Grade::Proven,
            format!("{idle}the gateway had acknowledged the {how} {} before", span(late)),
            format!("the gateway sent a request on a connection that {server} had closed, and whose close it had acknowledged"),
        )
        .proof(moment, Actor::Upstream, format!("{how}, {acks}"))
        .proof(known, Actor::Gateway, "acknowledges it");
        verdict = sent(attempt, verdict)
            .rules_out(Cause::KeepaliveRace, "the close was known to the gateway's kernel", Some(known.frame))
            .unknown("whether the gateway's process had looked at the socket in between");
        return Some(verdict);
    }
    // A RST that does not know the connection any more answers the request: the socket was gone when it arrived. The
    // clock decides only where there is none.
    let answered = conversation
        .resets
        .iter()
        .any(|(answer, reset)| reset.by == Side::Server && reset.acknowledged.is_none() && *answer > moment);
    let crossed = moment.at.since(exchange.started.at);
    if crossed > if answered { round_trip.max(FIRST_REPEAT) } else { round_trip } {
        return None;
    }
    let end = attempt.request_span(closing).map_or(0, |(_, end)| end);
    let crossing = closing
        .acknowledged
        .map_or_else(|| format!("{how} crossed it"), |ack| format!("{how} crossed it (ack {ack}<{end})"));
    let older = conversation.completed == 0 && conversation.first_seen != FirstSeen::Syn;
    let grade = if measured && !older && !in_advance { Grade::Proven } else { Grade::Consistent };
    let mut verdict = sent(
        attempt,
        Verdict::new(
            Cause::KeepaliveRace,
            grade,
            format!("{idle}{crossing}"),
            format!("{server} closed the idle connection while the request was on its way; it never saw the request"),
        ),
    )
    .proof(moment, Actor::Upstream, format!("{how}, {acks}: does not cover the request"));
    verdict.detail = Some(if reset { "rst" } else { "fin" });
    let answers = conversation.resets.iter().filter(|(answer, reset)| reset.by == Side::Server && *answer > moment);
    for (answer, _) in answers {
        verdict = verdict.proof(*answer, Actor::Upstream, "RST: the closed socket's answer to what arrived after that");
    }
    verdict = verdict
        .rules_out(
            Cause::ClosedWithoutResponse,
            format!("the {how} does not acknowledge the request"),
            Some(moment.frame),
        )
        .rules_out(
            Cause::StaleReuse,
            "the gateway had not acknowledged the close when it sent the request",
            Some(exchange.started.frame),
        )
        .rules_out(Cause::RequestLost, "the request was not repeated before the close", None)
        .unknown("the configured idle time-outs; observed ones are in the report");
    if !measured {
        verdict = verdict.unknown("the round trip: the handshake is not in the capture");
    }
    if let Some(idle) = exchange.idle.filter(|idle| reset && path::may_be_forgotten(*idle)) {
        verdict.lower(
            Grade::Consistent,
            "whether the upstream sent the reset, or a device that had forgotten the connection",
        );
        verdict = path::forgotten_by(idle, verdict);
    }
    if older || in_advance {
        verdict = verdict.or_else(None, "a connection that was opened in advance and never used before");
    }
    Some(verdict)
}

/// Whether a close leaves the whole request unacknowledged.
fn closed_unread(attempt: &Attempt<'_>, closing: &Closing) -> bool {
    match attempt.coverage(closing) {
        Coverage::Nothing => true,
        // A RST without the ACK flag comes from a socket that is gone: nobody read what it answers.
        Coverage::Unknown => closing.acknowledged.is_none() && attempt.exchange.acknowledged.is_none(),
        Coverage::Part | Coverage::Whole => false,
    }
}

/// A RST that the upstream cannot have sent.
pub(super) fn forged(attempt: &Attempt<'_>, moment: Moment, closing: &Closing, reset: bool) -> Option<Verdict> {
    if !reset {
        return None;
    }
    let (least, greatest, packets) = closing.ttl_before;
    let foreign = packets >= 3 && (closing.ttl.saturating_add(1) < least || closing.ttl > greatest.saturating_add(1));
    let delay = moment.at.since(attempt.exchange.started.at);
    let rtt = attempt.conversation.rtt().filter(|rtt| *rtt >= LONG_WAY);
    // A RST that knows of the request, sooner than the request can have been there and back.
    let provoked = closing.acknowledged.is_none() || attempt.coverage(closing) != Coverage::Nothing;
    // Where the upstream's own acknowledgement was back before, the handshake was slow, and the way is not as long as that.
    let there = attempt.exchange.acknowledged.is_some_and(|acknowledged| acknowledged < moment);
    let too_soon = provoked && !there && !closing.after_fin && rtt.is_some_and(|rtt| delay < rtt / 2);
    if !foreign && !too_soon {
        return None;
    }
    let server = attempt.conversation.server;
    // Who forgot an idle connection answers for it in the name of the other end.
    let idle = attempt.exchange.idle.filter(|idle| *idle >= LONG_IDLE);
    let grade = if foreign && too_soon { Grade::Proven } else { Grade::Consistent };
    let why = match (too_soon, rtt) {
        (true, Some(rtt)) => format!("RST {} after the request, round trip {}", span(delay), span(rtt)),
        _ => format!("RST with TTL {}, the upstream's packets have {least}..{greatest}", closing.ttl),
    };
    let mut verdict = sent(
        attempt,
        Verdict::new(
            if idle.is_some() { Cause::IdleFlowDropped } else { Cause::MiddleboxReset },
            grade,
            why,
            format!(
                "a reset in the name of {server} that did not come from it: something on the way killed the connection"
            ),
        ),
    )
    .proof(
        moment,
        Actor::Network,
        format!("RST, TTL {} (upstream: {least}..{greatest} in {packets} packets)", closing.ttl),
    );
    if foreign && too_soon {
        verdict =
            verdict.rules_out(Cause::ResetWithoutResponse, "sooner than the round trip allows", Some(moment.frame));
    } else {
        let slow =
            "the upstream's own, if its host was slow to answer the SYN, or its packets come by another way since";
        verdict = verdict.or_else(Some(Cause::ResetWithoutResponse), slow);
    }
    if let Some(idle) = idle {
        verdict.lower(Grade::Consistent, "whether the idle time has to do with the reset");
        verdict = path::forgotten_by(
            idle,
            verdict.or_else(Some(Cause::MiddleboxReset), "a device that resets for a reason of its own"),
        );
    }
    Some(verdict.unknown("which device; a capture at the upstream would show that it sent no reset"))
}

/// The request went out again and again, and nothing of it was acknowledged.
fn lost_before(attempt: &Attempt<'_>, until: Moment) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let (count, first) = attempt.repeats_before(until.at);
    let first = first?;
    // What a close acknowledges arrived; the rest of the request may be lost for all that.
    let closed = attempt.server_close().filter(|(closed, ..)| *closed <= until);
    let covered = closed.is_some_and(|(_, closing, _)| match attempt.coverage(&closing) {
        Coverage::Whole => true,
        Coverage::Part => closing.acknowledged.is_none_or(|ack| !attempt.repeats_from(ack, until.at)),
        Coverage::Nothing | Coverage::Unknown => false,
    });
    let late = exchange.acknowledged.is_some_and(|acknowledged| acknowledged < until);
    if covered || late || attempt.conversation.syn_ack_repeated.is_some() {
        return None;
    }
    // Who keeps the connection has not given up for one repetition that was hardly on its way.
    let kept = closed.is_none() && attempt.gateway_close().is_none();
    if kept && until.at.since(first.at) < FIRST_REPEAT {
        return None;
    }
    let server = attempt.conversation.server;
    let idle = exchange.idle.filter(|idle| *idle >= LONG_IDLE);
    let (cause, grade, story) = match idle {
        Some(idle) => (
            Cause::IdleFlowDropped,
            Grade::Consistent,
            format!(
                "after {} idle, nothing that the gateway sent to {server} on this connection was acknowledged",
                span(idle)
            ),
        ),
        None => {
            (Cause::RequestLost, Grade::Proven, format!("the request to {server} was repeated and never acknowledged"))
        }
    };
    let mut verdict =
        sent(attempt, Verdict::new(cause, grade, format!("request repeated {count} ×, never acknowledged"), story))
            .proof(first, Actor::Gateway, "the request again");
    // Of several repetitions the capture hardly lacks every acknowledgement.
    let in_the_end = exchange.acknowledged.filter(|_| count == 1);
    if in_the_end.is_none() {
        verdict = verdict.rules_out(Cause::ResponseTimeout, "the request was never acknowledged", Some(first.frame));
    }
    if let Some((moment, closing, reset)) = closed {
        let how = if reset { "RST" } else { "FIN" };
        let acks = closing.acknowledged.map_or(String::new(), |ack| format!(", ack {ack}"));
        verdict = verdict
            .proof(moment, Actor::Upstream, format!("{how}{acks}: the upstream still has not seen the request"))
            .rules_out(Cause::KeepaliveRace, "the request was repeated before the upstream closed", Some(first.frame));
    }
    if let Some(late) = in_the_end {
        verdict = verdict
            .proof(late, Actor::Upstream, "acknowledges the request, when the gateway had given up")
            .or_else(Some(Cause::ResponseTimeout), "an earlier acknowledgement that the capture lacks");
        verdict.lower(Grade::Consistent, "when the upstream got the request: it had it in the end");
    }
    if let Some(idle) = idle {
        verdict =
            verdict.or_else(Some(Cause::RequestLost), "loss on the path that has nothing to do with the idle time");
        return Some(path::forgotten_by(idle, verdict));
    }
    if let Some(full) = was_full(attempt, first) {
        verdict.lower(Grade::Consistent, "whether the repeated octets were lost, or had no room at the upstream");
        verdict = verdict
            .proof(full, Actor::Upstream, "receive window 0")
            .or_else(Some(Cause::UpstreamNotReading), "the upstream took what had room, and no more");
    }
    Some(path::too_large(attempt, until, path::rejected(attempt, until, verdict)))
}

/// When the upstream said that it has no room, after the request was repeated for the first time.
fn was_full(attempt: &Attempt<'_>, first: Moment) -> Option<Moment> {
    let shut = attempt.conversation.window_closed.get(Side::Server.index()).copied().flatten();
    shut.filter(|shut| *shut > first)
}

/// The upstream's receive window stayed shut.
fn not_reading(attempt: &Attempt<'_>, until: Moment) -> Option<Verdict> {
    let since = shut_since(attempt, until)?;
    let server = attempt.conversation.server;
    let shut = until.at.since(since.at);
    Some(
        sent(
            attempt,
            Verdict::new(
                Cause::UpstreamNotReading,
                Grade::Proven,
                format!("receive window shut for {}", span(shut)),
                format!("{server} stopped reading the request; the gateway gave up"),
            ),
        )
        .proof(since, Actor::Upstream, "receive window 0")
        .rules_out(Cause::RequestLost, "the upstream acknowledges, with its window shut", Some(since.frame)),
    )
}

/// The upstream's receive window stayed shut until the upstream itself closed: the gateway waited longer than that.
fn stopped_reading(attempt: &Attempt<'_>, closed: Moment, reset: bool) -> Option<Verdict> {
    let since = shut_since(attempt, closed)?;
    let shut = closed.at.since(since.at);
    if shut < SHORTEST_STALL {
        return None;
    }
    let server = attempt.conversation.server;
    let how = if reset { "RST" } else { "FIN" };
    let other = if reset { Cause::ResetWithoutResponse } else { Cause::ClosedWithoutResponse };
    Some(
        sent(
            attempt,
            Verdict::new(
                Cause::UpstreamNotReading,
                Grade::Consistent,
                format!("receive window shut for {}, then {how}", span(shut)),
                format!(
                    "{server} stopped reading the request, and closed after {} with its window still shut",
                    span(shut)
                ),
            ),
        )
        .detail(if reset { "rst" } else { "fin" })
        .proof(since, Actor::Upstream, "receive window 0")
        .proof(closed, Actor::Upstream, format!("{how}, the request incomplete"))
        .rules_out(Cause::RequestLost, "the upstream acknowledges, with its window shut", Some(since.frame))
        .or_else(Some(other), "the process ended for a reason that has nothing to do with its not reading"),
    )
}

/// Since when the upstream's window was shut at `until`, with the request incomplete.
fn shut_since(attempt: &Attempt<'_>, until: Moment) -> Option<Moment> {
    let since = attempt.conversation.window_closed.get(Side::Server.index()).copied().flatten()?;
    let exchange = attempt.exchange;
    let before = exchange.request_end.is_some() && since < exchange.started;
    (exchange.acknowledged.is_none() && since.at <= until.at && !before).then_some(since)
}

/// A fresh connection was reset before anything of the request was acknowledged.
fn reset_at_once(attempt: &Attempt<'_>, moment: Moment, closing: &Closing, reset: bool) -> Option<Verdict> {
    // Who has answered since has read the request, whether or not that was captured.
    let answered = closing.at > attempt.exchange.read.unwrap_or(0);
    if !reset || attempt.exchange.reused || closing.refuses_syn || answered {
        return None;
    }
    if closed_unread(attempt, closing) {
        return Some(reset_verdict(attempt, moment, closing));
    }
    // The kernel's acknowledgement does not say that anybody read: a listener that never answered anyone and resets at
    // once is more likely to reset everyone.
    let (round_trip, _) = attempt.round_trip();
    let at_once = moment.at.since(attempt.request_sent().at) <= round_trip * 2;
    if attempt.endpoint_responds() || !at_once {
        return None;
    }
    let mut verdict = reset_verdict(attempt, moment, closing);
    verdict.lower(Grade::Consistent, "whether the process had read the request: its kernel acknowledged it");
    let verdict = verdict.detail("unread").or_else(
        Some(Cause::ResetWithoutResponse),
        "a process that reads the request and resets at once looks the same",
    );
    let perhaps_tls = tls::may_expect_tls(attempt, moment);
    Some(if perhaps_tls { verdict.or_else(Some(Cause::PlaintextToTls), tls::PERHAPS_TLS) } else { verdict })
}

/// The verdict that a fresh connection was reset.
pub(super) fn reset_verdict(attempt: &Attempt<'_>, moment: Moment, closing: &Closing) -> Verdict {
    let conversation = attempt.conversation;
    let server = conversation.server;
    let open = conversation.syn_ack.map_or(moment, |(syn_ack, _)| syn_ack);
    let acks = closing.acknowledged.map_or(String::from("no ACK flag"), |ack| format!("ack {ack}"));
    let mut verdict = Verdict::new(
        Cause::ConnectReset,
        if attempt.has_beginning() { Grade::Proven } else { Grade::Consistent },
        format!("reset {} after the SYN-ACK", span(moment.at.since(open.at))),
        format!("{server} accepted the connection and reset it at once, before it read any of the request"),
    )
    .proof(open, Actor::Upstream, "SYN-ACK");
    if attempt.exchange.key.number > 0 {
        verdict = sent(attempt, verdict);
    }
    verdict
        .proof(moment, Actor::Upstream, format!("RST, {acks}"))
        .rules_out(Cause::ConnectRefused, "the handshake was completed", Some(open.frame))
        .rules_out(Cause::KeepaliveRace, "a fresh connection: nothing was exchanged on it before", None)
        .unknown("whether the server itself or something in front of it (a load balancer without targets, a firewall) sent the reset")
}

/// What a reset without an acknowledgement leaves open.
pub(super) const GONE: &str =
    "what came before: a reset without an acknowledgement is that of a socket that is gone, and answers something";
/// A handshake that took longer than this was hardly slow for want of the processor alone.
const LONG_WAY: Duration = Duration::from_millis(20);
/// An idle time after which devices on the way may have forgotten a connection.
const LONG_IDLE: Duration = Duration::from_secs(60);
/// TCP repeats what is not acknowledged after this span at the earliest.
const FIRST_REPEAT: Duration = Duration::from_millis(200);
/// A window that is shut for less than this is that of a process which reads in turns.
const SHORTEST_STALL: Duration = Duration::from_secs(1);
/// A connection that waited this long for its first request was opened in advance.
const IN_ADVANCE: Duration = Duration::from_millis(20);
