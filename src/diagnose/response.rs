//! Phases response_head and response_body: the upstream had the request, and what came back was nothing, too late, cut
//! short, or not acceptable.

use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Coverage, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::product;
use crate::event::{Closing, DefectKind, Ending, Moment, Side};

/// How an exchange with the upstream failed; `None` if it did not.
#[must_use]
pub fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    if answered_too_late(attempt) {
        return gave_up(attempt);
    }
    early(attempt)
        .or_else(|| unsolicited(attempt))
        .or_else(|| malformed(attempt))
        .or_else(|| truncated(attempt))
        .or_else(|| too_large(attempt))
        .or_else(|| upgrade(attempt))
        .or_else(|| relayed(attempt))
        .or_else(|| silent_close(attempt))
        .or_else(|| gave_up(attempt))
}

/// Whether the response began when the gateway had already answered its client, or had hung up: it cannot have been passed
/// on, whatever it says.
fn answered_too_late(attempt: &Attempt<'_>) -> bool {
    let Some(start) = &attempt.exchange.response_start else { return false };
    let begun = |moment: Moment| moment.frame >= attempt.exchange.started.frame && moment.frame < start.moment.frame;
    let hung_up = attempt.gateway_close().is_some_and(|(close, ..)| begun(close));
    match attempt.given {
        Some(given) => begun(given.at) && (hung_up || given.status.is_none_or(|status| status >= 500)),
        // A gateway may close its half and still read; if it does not, its kernel resets.
        None => hung_up && attempt.conversation.resets.iter().any(|(_, reset)| reset.by == Side::Client),
    }
}

/// Whether the gateway did not pass on what it got, but made an answer of its own, or none.
fn rejected(attempt: &Attempt<'_>) -> bool {
    match attempt.given {
        Some(given) if attempt.was_passed_on() => !given.whole,
        Some(given) => given.status.is_none_or(|status| status >= 500),
        // Nothing is known of the client's leg: a gateway that closes first rejects.
        None => attempt.gateway_closed_first() && attempt.exchange.response_end.is_none(),
    }
}

fn server_moved_first(attempt: &Attempt<'_>) -> Option<(Moment, Closing, bool)> {
    attempt.server_close().filter(|_| !attempt.gateway_closed_first())
}

fn how(reset: bool) -> &'static str {
    if reset { "rst" } else { "fin" }
}

/// The answer came before the request was complete, and the gateway lost it.
fn early(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let response = exchange.response.as_ref()?;
    let status = exchange.status()?;
    let unfinished = exchange.request_end_offset().is_none_or(|end| response.request_sent < end);
    let unread = attempt
        .server_close()
        .is_some_and(|(_, closing, _)| matches!(attempt.coverage(&closing), Coverage::Part | Coverage::Nothing));
    let relayed = attempt.given.is_some_and(|given| given.status == Some(status) && given.whole);
    if exchange.request_start.is_none()
        || !(unfinished || unread)
        || (relayed && status < 500)
        || attempt.given.is_none()
    {
        return None;
    }
    let (closed, _, reset) = server_moved_first(attempt).or_else(|| attempt.server_close())?;
    let fate = if relayed { "the gateway passed it on" } else { "the gateway lost the answer" };
    let start = exchange.response_start.as_ref()?.moment;
    let sent = response.request_sent.saturating_sub(exchange.request_start.unwrap_or(0));
    Some(
        Verdict::new(
            Cause::EarlyResponse,
            if unfinished { Grade::Proven } else { Grade::Consistent },
            format!("upstream answered {status} after {sent} octets of the request, then closed"),
            format!(
                "{} did answer: {status}. It answered before it had read the whole request, and closed; {fate}",
                attempt.conversation.server
            ),
        )
        .proof(exchange.started, Actor::Gateway, "the request begins")
        .proof(start, Actor::Upstream, format!("status {status} while the request was still being sent"))
        .proof(closed, Actor::Upstream, format!("{} with octets of the request unread", how(reset).to_uppercase()))
        .rules_out(
            Cause::ResetWithoutResponse,
            format!("a response, {status}, came before the close"),
            Some(start.frame),
        ),
    )
}

/// The upstream had sent something that nobody had asked for; the gateway took it for the answer.
fn unsolicited(attempt: &Attempt<'_>) -> Option<Verdict> {
    let notice = attempt.conversation.unsolicited?;
    let before = notice.frame < attempt.exchange.started.frame;
    let since_last = attempt.exchange.idle.is_none_or(|idle| attempt.exchange.started.at.since(notice.at) <= idle);
    if !before || !since_last || !rejected(attempt) {
        return None;
    }
    Some(
        Verdict::new(
            Cause::UnsolicitedResponse,
            Grade::Consistent,
            "octets came that nobody had asked for",
            format!("{} sent octets on the idle connection before this request; the gateway may have taken them for the answer", attempt.conversation.server),
        )
        .proof(notice, Actor::Upstream, "octets while no request was outstanding")
        .proof(attempt.exchange.started, Actor::Gateway, "the request begins")
        .unknown("whether the previous response declared too short a length"),
    )
}

fn malformed(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (moment, defect) = attempt.exchange.defect?;
    let in_head =
        matches!(defect.kind, DefectKind::BadHeader | DefectKind::BadStatusLine | DefectKind::FramingConflict);
    let accepted = in_head && attempt.was_passed_on();
    let after_close = attempt.gateway_close().is_some_and(|(close, ..)| close.frame < moment.frame);
    let given_broken = attempt.given.is_some_and(|given| given.status.is_none());
    let seen_rejected = rejected(attempt) || given_broken || closed_on_it(attempt, moment);
    if accepted || after_close || !(seen_rejected || unmeasurable(attempt)) {
        return None;
    }
    let (detail, said) = describe(defect.kind);
    let server = attempt.conversation.server;
    let fate = if seen_rejected { "the gateway would not have it" } else { "closed; what became of it is not visible" };
    let mut verdict = Verdict::new(
        Cause::MalformedResponse,
        if seen_rejected { Grade::Proven } else { Grade::Consistent },
        format!("{said} at offset {} of the response", defect.within),
        format!("{server} sent something that HTTP does not allow ({said}), and {fate}"),
    )
    .detail(detail);
    if !seen_rejected {
        verdict = verdict.or_else(None, "the gateway let it pass: the client's leg would show it");
    }
    if let Some(start) = &attempt.exchange.response_start {
        verdict = verdict.proof(start.moment, Actor::Upstream, format!("the response begins: {}", quote(&start.first)));
    }
    verdict = verdict.proof(moment, Actor::Upstream, format!("{said}, {} octets into the response", defect.within));
    if let Some((close, ..)) = attempt.gateway_close().filter(|_| attempt.gateway_closed_first()) {
        verdict = verdict.proof(close, Actor::Gateway, "the gateway closes first").rules_out(
            Cause::ResetWithoutResponse,
            "the gateway closed, not the upstream",
            Some(close.frame),
        );
    }
    Some(verdict.unknown("how strictly this version of the gateway judges; the defect and the rejection are facts"))
}

/// Without the client's leg: the gateway hung up on the defect at once.
fn closed_on_it(attempt: &Attempt<'_>, moment: Moment) -> bool {
    attempt.given.is_none()
        && attempt.gateway_closed_first()
        && attempt.gateway_close().is_some_and(|(close, ..)| close.at.since(moment.at) < AT_ONCE)
}

/// Without the client's leg: whether a defect leaves open where the response ends, so that nobody can call it cut short.
fn unmeasurable(attempt: &Attempt<'_>) -> bool {
    attempt.given.is_none()
        && attempt.exchange.defect.is_some_and(|(_, defect)| {
            defect.kind != DefectKind::BadHeader
                && attempt.server_close().is_some_and(|(close, ..)| close.at.since(defect_end(attempt).at) < HANGS_UP)
        })
}

/// When the last octet of a defective response came.
fn defect_end(attempt: &Attempt<'_>) -> Moment {
    let defect = attempt.exchange.defect.map(|(moment, _)| moment);
    attempt
        .exchange
        .last_response
        .into_iter()
        .chain(defect)
        .max_by_key(|moment| moment.frame)
        .unwrap_or(attempt.exchange.started)
}

/// A defect's stable name, and what to say of it.
#[must_use]
pub fn describe(kind: DefectKind) -> (&'static str, &'static str) {
    match kind {
        DefectKind::BadStatusLine => ("bad_status_line", "a status line that is none"),
        DefectKind::BadHeader => ("bad_header", "an invalid field line"),
        DefectKind::BadContentLength => ("bad_content_length", "an invalid Content-Length"),
        DefectKind::FramingConflict => ("framing_conflict", "contradictory framing"),
        DefectKind::BadChunk => ("bad_chunk", "an invalid chunk"),
        DefectKind::NotHttp => ("not_http", "no HTTP at all"),
    }
}

/// The first octets of a response, fit to be printed.
fn quote(octets: &[u8]) -> String {
    octets.get(..24).unwrap_or(octets).escape_ascii().to_string()
}

/// The upstream stopped in the middle of its response.
fn truncated(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let start = exchange.response_start.as_ref()?.moment;
    let (moment, closing, reset) = server_moved_first(attempt)?;
    let server = attempt.conversation.server;
    let close = format!("{}, ack {}", how(reset).to_uppercase(), closing.acknowledged.unwrap_or(0));
    let Some(response) = &exchange.response else {
        let octets = attempt.response_octets();
        return Some(
            Verdict::new(
                Cause::TruncatedHeader,
                Grade::Proven,
                format!("{octets} octets of a header section, then {}", how(reset).to_uppercase()),
                format!("{server} closed in the middle of the response's header section"),
            )
            .detail(how(reset))
            .proof(
                start,
                Actor::Upstream,
                format!("the response begins; its header section never ends ({octets} octets)"),
            )
            .proof(moment, Actor::Upstream, close)
            .rules_out(Cause::ClosedWithoutResponse, "octets of a response came", Some(start.frame))
            .rules_out(Cause::ResponseTimeout, "the upstream closed first", Some(moment.frame)),
        );
    };
    let end = exchange.response_end.filter(|end| end.how == Ending::Truncated)?;
    let declared = response.content_length.map_or_else(
        || format!("{} octets of chunks without the last one", end.content),
        |length| format!("{} of {length} octets of content", end.content),
    );
    Some(
        Verdict::new(
            Cause::TruncatedBody,
            Grade::Proven,
            format!("{declared}, then {}", how(reset).to_uppercase()),
            format!("{server} closed in the middle of the response's content: {declared}"),
        )
        .detail(how(reset))
        .proof(start, Actor::Upstream, format!("status {}: the response begins", response.status))
        .proof(moment, Actor::Upstream, format!("{close}: {declared}"))
        .rules_out(Cause::StalledBody, "the upstream closed first", Some(moment.frame)),
    )
}

/// The gateway closed on a header section that is larger than it takes.
fn too_large(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let start = exchange.response_start.as_ref()?.moment;
    let complete = attempt.head_octets();
    let octets = complete.unwrap_or_else(|| attempt.response_octets());
    if octets < SMALLEST_LIMIT || attempt.was_passed_on() || !rejected(attempt) {
        return None;
    }
    let last = exchange.last_response.unwrap_or(start);
    let close = attempt.gateway_close().filter(|_| attempt.gateway_closed_first());
    let at_once = close.is_some_and(|(moment, ..)| moment.at.since(last.at.min(moment.at)) < AT_ONCE)
        || attempt.given.is_some_and(|given| given.at.at.since(start.at) < AT_ONCE);
    if !at_once {
        return None;
    }
    let server = attempt.conversation.server;
    let limit = attempt.product.and_then(|product| Some((product, product::response_header_limit_bytes(product)?)));
    let over = limit.is_none_or(|(_, (limit, _))| octets > limit);
    let at_least = if complete.is_some() { "" } else { "at least " };
    let mut verdict = Verdict::new(
        Cause::ResponseHeaderTooLarge,
        if over { Grade::Proven } else { Grade::Consistent },
        format!("header section of {at_least}{octets} octets"),
        format!("{server} sent a header section of {at_least}{octets} octets, and the gateway would not have it"),
    )
    .proof(start, Actor::Upstream, format!("the response begins; header section {at_least}{octets} octets"));
    if let Some((moment, _, reset)) = close {
        verdict = verdict.proof(moment, Actor::Gateway, format!("{}: the gateway hangs up", how(reset).to_uppercase()));
    }
    if let Some((product, (limit, setting))) = limit {
        verdict = verdict
            .unknown(format!("the configured limit; {}'s default is {limit} octets ({setting})", product.name()));
    }
    Some(verdict.rules_out(Cause::MalformedResponse, "no octet of it breaks a rule of HTTP", None))
}

fn upgrade(attempt: &Attempt<'_>) -> Option<Verdict> {
    let start = attempt.exchange.response_start.as_ref()?.moment;
    let asked = attempt.exchange.request.as_ref().is_some_and(|request| request.upgrade);
    if attempt.exchange.status() != Some(101) || asked || !rejected(attempt) {
        return None;
    }
    Some(
        Verdict::new(
            Cause::UnexpectedUpgrade,
            Grade::Proven,
            "101 that nobody had asked for",
            format!("{} switched protocols although the request did not ask for it", attempt.conversation.server),
        )
        .proof(start, Actor::Upstream, "status 101"),
    )
}

/// The upstream itself answered with an error.
fn relayed(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let status = exchange.status().filter(|status| *status >= 500)?;
    let start = exchange.response_start.as_ref()?.moment;
    let response = exchange.response.as_ref()?;
    let server = attempt.conversation.server;
    let by = response.server.as_ref().map_or(String::new(), |name| format!(" (Server: {name})"));
    let changed = attempt.given.and_then(|given| given.status).filter(|given| *given != status);
    let passed_on = attempt.given.is_some_and(|given| given.status == Some(status));
    let fate = match attempt.given {
        Some(_) if passed_on => "; the gateway passed it on",
        Some(given) if given.status.is_none() => "; its client got nothing",
        _ => "",
    };
    let mut verdict = Verdict::new(
        Cause::RelayedError,
        if passed_on || attempt.given.is_none() { Grade::Proven } else { Grade::Consistent },
        format!("upstream itself answered {status}{by}"),
        format!("{server} itself answered {status}{fate}. Look one hop deeper"),
    )
    .proof(start, Actor::Upstream, format!("status {status}{by}"))
    .rules_out(Cause::ClosedWithoutResponse, format!("a response, {status}, came"), Some(start.frame))
    .unknown(format!("why {server} answers {status}: its own log tells, or a capture there"));
    if let Some(given) = changed {
        verdict = verdict.unknown(format!("why the gateway made {given} of it"));
    }
    Some(verdict)
}

/// The upstream closed without a word.
fn silent_close(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    if exchange.response_start.is_some() {
        return None;
    }
    let (moment, closing, reset) = server_moved_first(attempt)?;
    if reset && closing.refuses_syn {
        return None;
    }
    let coverage = attempt.coverage(&closing);
    let server = attempt.conversation.server;
    let worked = moment.at.since(attempt.request_sent().at);
    let acks = closing.acknowledged.map_or(String::from("no ACK flag"), |ack| format!("ack {ack}"));
    let whole = coverage == Coverage::Whole || (coverage == Coverage::Unknown && exchange.acknowledged.is_some());
    let cause = if reset { Cause::ResetWithoutResponse } else { Cause::ClosedWithoutResponse };
    let said = how(reset).to_uppercase();
    let grade = match coverage {
        Coverage::Whole => Grade::Proven,
        Coverage::Unknown if whole => Grade::Proven,
        Coverage::Nothing | Coverage::Part | Coverage::Unknown => Grade::Consistent,
    };
    let extent = match coverage {
        Coverage::Nothing => "acknowledges nothing of the request",
        Coverage::Part => "acknowledges a part of the request",
        Coverage::Whole => "acknowledges the whole request",
        Coverage::Unknown => "tells nothing of the request",
    };
    let verb = if reset { "reset the connection" } else { "closed the connection" };
    let mut verdict = Verdict::new(
        cause,
        grade,
        format!("{said} ({acks}) {} after the request, no response", span(worked)),
        format!("{server} {verb} {} after the request, without an octet of response", span(worked)),
    )
    .proof(exchange.started, Actor::Gateway, "the request begins");
    if let Some(acknowledged) = exchange.acknowledged {
        verdict = verdict.proof(acknowledged, Actor::Upstream, "acknowledges the whole request");
    }
    verdict = verdict.proof(moment, Actor::Upstream, format!("{said}, {acks}: {extent}"));
    verdict = if whole {
        verdict
            .rules_out(Cause::KeepaliveRace, "the upstream's kernel had the whole request", Some(moment.frame))
            .rules_out(Cause::ResponseTimeout, "the upstream closed first", Some(moment.frame))
    } else if exchange.reused {
        verdict.or_else(Some(Cause::KeepaliveRace), "the close was on its way before the request arrived")
    } else {
        verdict.rules_out(
            Cause::KeepaliveRace,
            "nothing was exchanged on this connection before",
            Some(exchange.started.frame),
        )
    };
    Some(verdict.unknown(if reset {
        "why: a process that died with unread octets, an abortive close, or a queue that was thrown away look the same"
    } else {
        "why the process closed: a crash, a time limit of its own, and a deliberate close look the same"
    }))
}

/// The gateway gave up waiting.
fn gave_up(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    exchange.request_start?;
    let too_late = answered_too_late(attempt);
    if attempt.given.is_some_and(|given| given.whole && given.status.is_some_and(|status| status < 500))
        && exchange.is_answered()
        && !too_late
    {
        return None;
    }
    let in_body = exchange.response.is_some() && !too_late;
    if in_body && exchange.response_end.is_some_and(|end| end.how != Ending::Truncated) {
        return None;
    }
    let closed = attempt.gateway_close().filter(|_| attempt.gateway_closed_first());
    let answered = attempt.given.filter(|given| given.status.is_none_or(|status| status >= 500));
    let until =
        closed.map(|(moment, ..)| moment).into_iter().chain(answered.map(|given| given.at)).min_by_key(|m| m.frame)?;
    let sent = attempt.request_sent();
    let last = exchange.last_response.filter(|last| last.frame < until.frame);
    let since = last.unwrap_or(sent);
    let waited = until.at.since(since.at);
    let server = attempt.conversation.server;
    let partial = exchange.response_start.is_some() && !too_late;
    let detail = in_body.then_some("body").or(partial.then_some("head_incomplete"));
    let cause = if in_body { Cause::StalledBody } else { Cause::ResponseTimeout };
    let acknowledged = exchange.acknowledged.is_some() || exchange.response_start.is_some();
    // A gateway that waited too long says so to its client. One that closes on both may have ended for its own reasons.
    let visible = attempt.given.is_some_and(|given| given.status.is_some());
    let grade = if visible && acknowledged && waited >= SHORTEST_WAIT { Grade::Proven } else { Grade::Consistent };
    let late = late_answer(attempt, until);
    let mut why = format!("gateway gave up at {}", span(waited));
    if let Some((moment, octets)) = late {
        why.push_str(&format!("; upstream answered at {} ({octets} octets)", span(moment.at.since(sent.at))));
    }
    if let Some(lost) = lost_answer(attempt, &why) {
        return Some(lost);
    }
    let summary = if in_body {
        format!("{server} stopped sending in the middle of the response; the gateway gave up after {}", span(waited))
    } else {
        format!("{server} had the request and did not answer within {}; the gateway gave up", span(waited))
    };
    let mut verdict =
        Verdict::new(cause, grade, why, summary).proof(exchange.started, Actor::Gateway, "the request begins");
    verdict.detail = detail.filter(|detail| *detail != "body");
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
        .unknown("what the upstream was doing; its log and its own dependencies tell");
    match attempt.given {
        None => verdict = verdict.or_else(Some(Cause::ClientAbort), "its client left: the client's leg would show it"),
        Some(given) if given.status.is_none() => {
            verdict =
                verdict.or_else(Some(Cause::GatewayCrash), "the gateway's process ended: it closed on its client too");
        }
        Some(_) => {}
    }
    if grade == Grade::Consistent && waited < SHORTEST_WAIT {
        verdict = verdict.or_else(
            None,
            "the gateway closed so soon that it may not have been for waiting: a reload, a limit, its client",
        );
    }
    Some(verdict)
}

/// Octets of a response that came after the gateway had given up.
fn late_answer(attempt: &Attempt<'_>, until: Moment) -> Option<(Moment, u64)> {
    let start = attempt.exchange.response_start.as_ref().filter(|start| start.moment.frame > until.frame)?;
    let octets = attempt.exchange.response_end.map_or(0, |end| end.end.saturating_sub(start.at));
    Some((start.moment, octets.max(start.first.len() as u64)))
}

/// The upstream did answer: its sequence numbers moved, and the octets never came by.
fn lost_answer(attempt: &Attempt<'_>, why: &str) -> Option<Verdict> {
    let (moment, octets) = attempt.conversation.server_ahead?;
    if attempt.exchange.response_start.is_some() || moment.frame < attempt.exchange.started.frame || octets <= 1 {
        return None;
    }
    let server = attempt.conversation.server;
    Some(
        Verdict::new(
            Cause::ResponseLost,
            Grade::Proven,
            format!("{octets} octets sent and never received; {why}"),
            format!("{server} sent {octets} octets of answer that never reached the gateway: small packets pass, these did not"),
        )
        .proof(attempt.exchange.started, Actor::Gateway, "the request begins")
        .proof(moment, Actor::Upstream, format!("sequence number {octets} octets ahead of everything received"))
        .rules_out(Cause::ResponseTimeout, "the upstream had answered", Some(moment.frame))
        .or_else(None, "a path MTU black hole: try `ping -M do -s 1472` towards the gateway from the upstream"),
    )
}

/// Whether the server closed an established connection before the gateway had sent anything.
#[must_use]
pub fn closed_before_request(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (moment, closing, reset) = server_moved_first(attempt)?;
    if attempt.exchange.key.number > 0 || attempt.conversation.syn_ack.is_none() {
        return None;
    }
    if reset {
        return Some(super::request::reset_verdict(attempt, moment, &closing));
    }
    let server = attempt.conversation.server;
    Some(
        Verdict::new(
            Cause::ClosedWithoutResponse,
            Grade::Consistent,
            "FIN before any request was sent",
            format!("{server} accepted the connection and closed it before it got a request"),
        )
        .detail("before_request")
        .proof(attempt.conversation.opened, Actor::Gateway, "SYN")
        .proof(moment, Actor::Upstream, "FIN; nothing was sent yet"),
    )
}

/// Sides of a defect that is only worth a remark, because the gateway let it pass.
#[must_use]
pub fn remark(attempt: &Attempt<'_>) -> Option<String> {
    let (_, defect) = attempt.exchange.defect?;
    (defect.sender == Side::Server).then(|| {
        format!("{} sent {} and the gateway let it pass", attempt.conversation.server, describe(defect.kind).1)
    })
}

/// An upstream that closes this soon after what it sent has no more to send.
const HANGS_UP: Duration = Duration::from_secs(5);
/// The gateway acts on what it does not like within this span.
const AT_ONCE: Duration = Duration::from_millis(150);
/// No product has a smaller default limit for a response's header section.
const SMALLEST_LIMIT: u64 = 4000;
/// A gateway that gives up sooner than this hardly does so for waiting.
const SHORTEST_WAIT: Duration = Duration::from_millis(200);
