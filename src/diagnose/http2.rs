//! Attempts that are streams of HTTP/2: what the two sides said of the stream and of the connection (RFC 9113 sections 6.4, 6.8
//! and 7) comes first. What TCP shows is judged as for HTTP/1; but where a rule rests on a connection having one request
//! at a time, its verdict is no surer than `consistent`.

use std::time::Duration;

use crate::correlate::{Case, Party};
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::{request, response};
use crate::event::{DefectKind, Ending, ErrorCode, Moment, Side};

/// How the stream failed; `None` if it did not.
#[must_use]
pub fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    not_spoken(attempt)
        .or_else(|| reset_by_upstream(attempt))
        .or_else(|| went_away(attempt))
        .or_else(|| cut_short(attempt))
        .or_else(|| complaint(attempt))
        .or_else(|| given_up(attempt))
        .or_else(|| lost(attempt))
        .or_else(|| over_tcp(attempt))
}

/// Whether a gateway left the client of a stream without an answer; `None` where TCP tells, or it is no stream.
#[must_use]
pub fn left_without_answer(case: &Case<'_>) -> Option<bool> {
    let Party { exchange, conversation } = case.root;
    let multiplexed = conversation.multiplexed.as_deref()?;
    // What was not worked on clients repeat by themselves. A gateway that had tried is not believed.
    let worked_on = !case.attempts.is_empty();
    let refused = multiplexed.refused(Side::Server, exchange.key.number).is_some();
    match exchange.reset_by(Side::Server) {
        Some((_, reset)) => Some(worked_on || !refused && reset.code != ErrorCode::REFUSED_STREAM),
        None if refused => Some(worked_on),
        // What cannot be followed may have been answered.
        None => (multiplexed.lost.is_some() || exchange.stream_reset().is_some()).then_some(false),
    }
}

/// The upstream answered with something else than HTTP/2.
fn not_spoken(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (moment, defect) = attempt.exchange.defect?;
    let rejected = attempt.given.is_none_or(|given| given.status.is_none_or(|status| status >= 500));
    if defect.kind != DefectKind::NotHttp || !rejected || is_late(attempt, moment) {
        return None;
    }
    let server = attempt.conversation.server;
    let octets = attempt.exchange.first_octets();
    let (what, is_tls) = match octets {
        [0x15 | 0x16, 3, ..] => ("TLS", true),
        [b'H', b'T', b'T', b'P', b'/', ..] => ("HTTP/1", false),
        _ => ("no HTTP/2", false),
    };
    let cause = if is_tls { Cause::PlaintextToTls } else { Cause::H2ProtocolError };
    let grade = if attempt.given.is_some() { Grade::Proven } else { Grade::Consistent };
    let begins = octets.get(..24).unwrap_or(octets).escape_ascii();
    let verdict = Verdict::new(
        cause,
        grade,
        format!("HTTP/2 request answered in {what}"),
        format!("the gateway spoke HTTP/2 to {server}, which answered in {what}"),
    )
    .proof(attempt.exchange.started, Actor::Gateway, "the request, in HTTP/2")
    .proof(moment, Actor::Upstream, format!("the answer begins: {begins}"))
    .rules_out(Cause::ClosedWithoutResponse, "octets of an answer came", Some(moment.frame));
    Some(if is_tls { verdict } else { verdict.detail("not_http2") })
}

/// The upstream gave up the stream.
fn reset_by_upstream(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (moment, reset) = attempt.exchange.reset_by(Side::Server)?;
    if attempt.exchange.response.is_none() && is_late(attempt, moment) {
        return None;
    }
    let server = attempt.conversation.server;
    let code = reset.code;
    let worked = span(moment.at.since(attempt.request_sent().at));
    let refused = code == ErrorCode::REFUSED_STREAM;
    let (cause, summary) = if refused {
        (Cause::H2RefusedStream, format!("{server} refused the stream before it did anything for the request"))
    } else if attempt.exchange.response.is_some() {
        (Cause::H2StreamError, format!("{server} gave up the stream ({code}) in the middle of its response"))
    } else {
        (
            Cause::H2StreamError,
            format!("{server} gave up the stream ({code}) {worked} after the request, without a response"),
        )
    };
    let mut verdict =
        Verdict::new(cause, Grade::Proven, format!("RST_STREAM ({code}) {worked} after the request"), summary)
            .proof(attempt.exchange.started, Actor::Gateway, "the request begins")
            .proof(moment, Actor::Upstream, format!("RST_STREAM, {code}"))
            .rules_out(Cause::ResponseTimeout, "the upstream gave up first", Some(moment.frame))
            .rules_out(Cause::ClosedWithoutResponse, "the connection was open", Some(moment.frame));
    if !refused {
        verdict.detail = code.name();
        verdict = verdict
            .rules_out(Cause::H2RefusedStream, format!("the code is {code}"), Some(moment.frame))
            .unknown("why the upstream gave it up: see its log");
    }
    Some(verdict)
}

/// The upstream had said that it does not take the stream.
fn went_away(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let multiplexed = attempt.conversation.multiplexed.as_deref()?;
    let (moment, goaway) = multiplexed.refused(Side::Server, exchange.key.number)?;
    if exchange.response_start.is_some() || is_late(attempt, moment) {
        return None;
    }
    let server = attempt.conversation.server;
    let code = goaway.code;
    let before = moment < exchange.started;
    let when = if before { "before" } else { "after" };
    let between = if before { exchange.started.at.since(moment.at) } else { moment.at.since(exchange.started.at) };
    let mut verdict = Verdict::new(
        Cause::H2Goaway,
        Grade::Proven,
        format!("GOAWAY ({code}) {} {when} the request, which it does not take", span(between)),
        format!("{server} was ending the connection (GOAWAY, {code}) and did not take this request"),
    )
    .proof(exchange.started, Actor::Gateway, "the request begins")
    .proof(moment, Actor::Upstream, format!("GOAWAY, {code}: its last stream is below this one"))
    .rules_out(Cause::ClosedWithoutResponse, "the upstream said that it did not work on it", Some(moment.frame));
    if code.is_violation() {
        verdict.lower(Grade::Consistent, "which rule the gateway broke, if it did");
        verdict =
            verdict.or_else(Some(Cause::H2ProtocolError), format!("the upstream complains of the gateway: {code}"));
    }
    verdict.detail = code.name();
    Some(verdict)
}

/// The upstream ended the stream before it had sent all of the content that it had declared (RFC 9113 section 8.1.1).
fn cut_short(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let declared = exchange.response.as_ref()?.content_length?;
    let end = exchange.response_end.filter(|end| end.how == Ending::Truncated && end.content < declared)?;
    let before = |moment: Moment| moment <= end.moment;
    // A connection that is reset ends what is on it, too.
    let closes = [attempt.server_close(), attempt.gateway_close()];
    let is_closed = closes.into_iter().flatten().any(|(close, ..)| before(close));
    let served = attempt.given.is_some_and(|given| given.whole && given.status.is_some_and(|status| status < 500));
    if is_closed || exchange.stream_reset().is_some_and(|(moment, _)| before(moment)) || served {
        return None;
    }
    let server = attempt.conversation.server;
    let sent = format!("{} of {declared} octets of content", end.content);
    Some(
        Verdict::new(
            Cause::TruncatedBody,
            Grade::Proven,
            format!("END_STREAM after {sent}"),
            format!("{server} ended its response in the middle of the content: {sent}"),
        )
        .detail("end_stream")
        .proof(exchange.started, Actor::Gateway, "the request begins")
        .proof(end.moment, Actor::Upstream, format!("END_STREAM after {sent}: malformed (RFC 9113 section 8.1.1)"))
        .rules_out(Cause::StalledBody, "the upstream ended the stream", Some(end.moment.frame)),
    )
}

/// A side complained that the other one broke a rule.
fn complaint(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let multiplexed = attempt.conversation.multiplexed.as_deref()?;
    if exchange.is_answered() && attempt.was_passed_on() {
        return None;
    }
    let ended = exchange.over.unwrap_or(attempt.conversation.last);
    let of_stream =
        exchange.reset_by(Side::Client).map(|(moment, reset)| (moment, Side::Client, reset.code, "RST_STREAM"));
    let of_connection =
        multiplexed.goaways.iter().flatten().map(|(moment, goaway)| (*moment, goaway.by, goaway.code, "GOAWAY"));
    let all = of_stream.into_iter().chain(of_connection);
    let (moment, by, code, frame) = all
        .filter(|(moment, _, code, _)| code.is_violation() && exchange.started < *moment && *moment <= ended)
        .min_by_key(|(moment, ..)| *moment)?;
    let server = attempt.conversation.server;
    let (actor, story) = match by {
        Side::Client => {
            (Actor::Gateway, format!("the gateway ended it because {server} had broken a rule of HTTP/2 ({code})"))
        }
        Side::Server => (
            Actor::Upstream,
            format!("{server} ended the connection because the gateway had broken a rule of HTTP/2 ({code})"),
        ),
    };
    let verdict = Verdict::new(Cause::H2ProtocolError, Grade::Consistent, format!("{frame} ({code})"), story)
        .proof(exchange.started, Actor::Gateway, "the request begins")
        .proof(moment, actor, format!("{frame}, {code}: it complains of the other side"))
        .or_else(Some(Cause::MalformedResponse), "header fields that HTTP does not allow are a PROTOCOL_ERROR as well")
        .unknown("which rule was broken: the side that complains knows");
    Some(match code.name() {
        Some(name) => verdict.detail(name),
        None => verdict,
    })
}

/// The gateway gave up the stream, for want of an answer.
fn given_up(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let (moment, reset) = exchange.reset_by(Side::Client)?;
    let given = attempt.given;
    let in_body = exchange.response.is_some();
    let relayed = exchange.status().is_some_and(|status| status >= 500);
    if in_body && (relayed || given.is_some_and(|given| given.whole)) {
        return None;
    }
    let sent = attempt.request_sent();
    let last = exchange.last_response.filter(|last| *last < moment);
    let waited = moment.at.since(last.unwrap_or(sent).at);
    let server = attempt.conversation.server;
    let acknowledged = exchange.acknowledged.filter(|acknowledged| *acknowledged < moment);
    let visible = given.is_some_and(|given| given.status.is_some_and(|status| status >= 500) || given.retried);
    let long = waited >= SHORTEST_WAIT;
    let conversation = attempt.conversation;
    let nothing_lost = conversation.server_ahead.is_none() && conversation.server_skipped.is_none();
    let silent = !in_body && exchange.response_start.is_none() && nothing_lost;
    let proven = visible && long && silent && acknowledged.is_some();
    let cause = if in_body { Cause::StalledBody } else { Cause::ResponseTimeout };
    let what =
        if in_body { "stopped sending in the middle of its response" } else { "had the request and did not answer" };
    let mut verdict = Verdict::new(
        cause,
        if proven { Grade::Proven } else { Grade::Consistent },
        format!("gateway gave up the stream at {}", span(waited)),
        format!("{server} {what} within {}; the gateway gave up the stream ({})", span(waited), reset.code),
    )
    .proof(exchange.started, Actor::Gateway, "the request begins");
    if let Some(acknowledged) = acknowledged {
        verdict = verdict.proof(acknowledged, Actor::Upstream, "acknowledges the whole request");
    }
    verdict = verdict
        .proof(
            moment,
            Actor::Gateway,
            format!("RST_STREAM, {}, after {}: the gateway gives up first", reset.code, span(waited)),
        )
        .rules_out(Cause::H2StreamError, "the gateway gave up, not the upstream", Some(moment.frame))
        .unknown("what the upstream was doing: see its log and its dependencies");
    if !long {
        verdict =
            verdict.or_else(None, "so soon that a time-out is unlikely: a reload, a limit, or its client leaving");
    }
    Some(match given {
        None => verdict.or_else(Some(Cause::ClientAbort), "its client left: the client's leg would show it"),
        Some(_) => verdict,
    })
}

/// Octets that are missing hide what became of it.
fn lost(attempt: &Attempt<'_>) -> Option<Verdict> {
    let lost = attempt.conversation.multiplexed.as_deref()?.lost?;
    let open = attempt.exchange.over.is_none_or(|over| over >= lost);
    (open && !attempt.exchange.is_answered()).then(|| {
        let server = attempt.conversation.server;
        Verdict::new(
            Cause::Unknown,
            Grade::Undetermined,
            "the HTTP/2 connection cannot be followed to the answer",
            format!("octets of the HTTP/2 connection to {server} are missing or cannot be read: what came behind them cannot be told"),
        )
        .proof(lost, Actor::Network, "from here on the connection cannot be followed")
        .unknown("what the upstream answered, if it did")
    })
}

/// What TCP shows, and the answer itself.
fn over_tcp(attempt: &Attempt<'_>) -> Option<Verdict> {
    let mut verdict = request::judge(attempt).or_else(|| response::judge(attempt))?;
    let alone = matches!(
        verdict.cause,
        Cause::ClosedWithoutResponse
            | Cause::ResetWithoutResponse
            | Cause::ConnectReset
            | Cause::RelayedError
            | Cause::TruncatedBody
            | Cause::KeepaliveRace
            | Cause::StaleReuse
    );
    if !alone && verdict.grade == Grade::Proven {
        verdict.lower(Grade::Consistent, "what other streams of the HTTP/2 connection have to do with it");
    }
    if verdict.cause == Cause::KeepaliveRace && attempt.exchange.idle.is_none() && verdict.grade == Grade::Proven {
        verdict.lower(Grade::Consistent, "why the upstream closed: other streams of the connection were open");
    }
    if let Some((moment, by)) = other_word(attempt)
        && verdict.grade == Grade::Proven
        && verdict.cause != Cause::RelayedError
    {
        verdict.lower(Grade::Consistent, "whether the GOAWAY before has to do with it");
        verdict = verdict.proof(moment, by, "GOAWAY, which covers this stream");
    }
    Some(verdict)
}

/// Whether something came when the gateway had given up already.
fn is_late(attempt: &Attempt<'_>, moment: Moment) -> bool {
    let given = attempt.given.map(|given| given.at);
    let left = attempt.exchange.reset_by(Side::Client).map(|(moment, _)| moment);
    let closed = attempt.gateway_close().map(|(moment, ..)| moment);
    given.into_iter().chain(left).chain(closed).any(|end| end < moment)
}

/// A GOAWAY that takes the stream all the same.
fn other_word(attempt: &Attempt<'_>) -> Option<(Moment, Actor)> {
    let goaways = &attempt.conversation.multiplexed.as_deref()?.goaways;
    let (since, over) = (attempt.exchange.started, attempt.exchange.over);
    let word =
        goaways.iter().flatten().find(|(moment, _)| *moment > since && over.is_none_or(|over| *moment <= over))?;
    Some((word.0, if word.1.by == Side::Server { Actor::Upstream } else { Actor::Gateway }))
}

/// A gateway that gives up sooner than this hardly does so for waiting.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
