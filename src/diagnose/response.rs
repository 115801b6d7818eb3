//! Phases response_head and response_body: what came back was cut short, or not acceptable.

use std::time::Duration;

use crate::correlate::conversation::SMALLEST_HEAD_LIMIT;
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{self, Attempt, Coverage, Outside, Verdict};
use crate::diagnose::incident::{Actor, Grade, Leg};
use crate::diagnose::{cut, fastcgi, inside, no_answer, product, refused};
use crate::event::{Closing, DefectKind, Ending, Moment, Side};

/// How an exchange with the upstream failed; `None` if it did not.
#[must_use]
pub fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    let verdict = fastcgi::judge(attempt).or_else(|| judge_answer(attempt));
    verdict.map(|verdict| fastcgi::with_errors(attempt, verdict))
}

fn judge_answer(attempt: &Attempt<'_>) -> Option<Verdict> {
    if attempt.exchange.veiled.is_some() && attempt.answered_in_time() {
        return inside::judge(attempt);
    }
    // RFC 1945 section 6: content alone, up to the close, answers a request without a version.
    if attempt.exchange.response.is_none() && attempt.exchange.is_answered() {
        return None;
    }
    if attempt.answered_in_time() {
        return early(attempt)
            .or_else(|| unsolicited(attempt))
            .or_else(|| refused::surplus(attempt))
            .or_else(|| malformed(attempt))
            .or_else(|| truncated(attempt))
            .or_else(|| too_large(attempt))
            .or_else(|| refused::too_many_fields(attempt))
            .or_else(|| upgrade(attempt))
            .or_else(|| relayed(attempt))
            .or_else(|| cut::judge(attempt))
            .or_else(|| no_answer::gave_up(attempt))
            .or_else(|| no_answer::came_too_late(attempt));
    }
    no_answer::silent_close(attempt).or_else(|| no_answer::gave_up(attempt))
}

/// Whether the gateway did not pass on what it got, but made an answer of its own, or none.
pub(super) fn rejected(attempt: &Attempt<'_>) -> bool {
    match attempt.given {
        Some(given) if attempt.was_passed_on() => !given.whole,
        Some(given) => given.status.is_none_or(|status| status >= 500),
        // Nothing is known of the client's leg: a gateway that closes in the middle of a response rejects it.
        None => attempt.gateway_closed_first() && (is_unfinished(attempt) || hung_up(attempt)),
    }
}

fn is_unfinished(attempt: &Attempt<'_>) -> bool {
    attempt.exchange.response_end.is_none_or(|end| end.how == Ending::Truncated)
}

/// Whether the gateway closed at once after a complete response, on a connection that both sides had agreed to keep. It may
/// have rejected the response; or it just had no use for the connection.
fn hung_up(attempt: &Attempt<'_>) -> bool {
    let exchange = attempt.exchange;
    let (Some(request), Some(response)) = (&exchange.request, &exchange.response) else { return false };
    let last = exchange.last_response.unwrap_or(exchange.started);
    request.persistent
        && response.persistent
        && attempt.conversation.highest == exchange.key.number
        && attempt.gateway_close().is_some_and(|(close, ..)| close.at.since(last.at) < AT_ONCE)
}

pub(super) fn server_moved_first(attempt: &Attempt<'_>) -> Option<(Moment, Closing, bool)> {
    attempt.server_close().filter(|_| !attempt.gateway_closed_first())
}

pub(super) fn how(reset: bool) -> &'static str {
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
    // Where the client's leg is not visible, an error may have been passed on or lost.
    let unseen = attempt.given.is_none() && status < 500;
    if exchange.request_start.is_none()
        || !(unfinished || unread)
        || (relayed && status < 500)
        || unseen && !(attempt.outside.is_some() && attempt.was_lost_inside())
    {
        return None;
    }
    let closed = attempt.server_close();
    if closed.is_none() && !unfinished {
        return None;
    }
    // An error that was passed on was not lost: early as it came, that the upstream answered it explains the status as well.
    let hidden = attempt.given.is_none() && !matches!(attempt.outside, Some(Outside::Closed));
    let fate = match hidden {
        true => "whether the gateway passed it on is hidden",
        false if relayed => "the gateway passed it on",
        false => "the gateway lost the answer",
    };
    let grade = if unfinished && !relayed && !hidden { Grade::Proven } else { Grade::Consistent };
    let start = exchange.response_start.as_ref()?.moment;
    let sent = response.request_sent.saturating_sub(exchange.request_start.unwrap_or(0));
    let mut verdict = Verdict::new(
        Cause::EarlyResponse,
        grade,
        format!("upstream answered {status} after {sent} octets of the request"),
        format!(
            "{} answered {status} before it had read the whole request, and stopped reading; {fate}",
            attempt.conversation.server
        ),
    )
    .proof(exchange.started, Actor::Gateway, "the request begins")
    .proof(start, Actor::Upstream, format!("status {status} while the request was still being sent"));
    if let Some((closed, _, reset)) = closed {
        verdict = verdict.proof(
            closed,
            Actor::Upstream,
            format!("{} with octets of the request unread", how(reset).to_uppercase()),
        );
    }
    if relayed || hidden {
        verdict = verdict
            .or_else(Some(Cause::RelayedError), format!("the upstream answered {status} for a reason of its own"));
    }
    Some(verdict.rules_out(
        Cause::ResetWithoutResponse,
        format!("a response, {status}, came before the close"),
        Some(start.frame),
    ))
}

/// The upstream had sent something that nobody had asked for; the gateway took it for the answer.
fn unsolicited(attempt: &Attempt<'_>) -> Option<Verdict> {
    let notice = attempt.conversation.unsolicited?;
    let before = notice < attempt.exchange.started;
    let since_last = attempt.exchange.idle.is_none_or(|idle| attempt.exchange.started.at.since(notice.at) <= idle);
    if !before || !since_last || !rejected(attempt) {
        return None;
    }
    Some(
        Verdict::new(
            Cause::UnsolicitedResponse,
            Grade::Consistent,
            "unsolicited octets before the request",
            format!("{} sent octets on the idle connection before this request; the gateway may have taken them for the answer", attempt.conversation.server),
        )
        .proof(notice, Actor::Upstream, "octets while no request was outstanding")
        .proof(attempt.exchange.started, Actor::Gateway, "the request begins")
        .unknown("whether the previous response declared too short a length"),
    )
}

fn malformed(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (moment, defect) = attempt.exchange.defect?;
    if let Some(verdict) = refused::taken_for_content(attempt, moment, defect.kind) {
        return Some(verdict);
    }
    let in_head =
        matches!(defect.kind, DefectKind::BadHeader | DefectKind::BadStatusLine | DefectKind::FramingConflict);
    // Of several lengths, or one that is none, a gateway may have taken what it liked.
    let whole = || attempt.given.is_some_and(|given| given.whole);
    let accepted = attempt.was_passed_on() && (in_head || defect.kind == DefectKind::BadContentLength && whole());
    let after_close = attempt.gateway_close().is_some_and(|(close, ..)| close < moment);
    let given_broken = attempt.given.is_some_and(|given| given.status.is_none());
    let unseen = attempt.given.is_none() && (defect.kind != DefectKind::BadHeader || rejected(attempt));
    let hung_up_on = closed_on_it(attempt, moment);
    // A gateway that rejects the content may end its own response in order, as if there were no more of it.
    let in_content = defect.kind == DefectKind::BadChunk && is_unfinished(attempt);
    let hidden = attempt.was_passed_on() && (hung_up_on || in_content);
    if accepted || after_close || !(rejected(attempt) || given_broken || unseen || hidden) {
        return None;
    }
    let is_seen = hung_up_on || rejected(attempt) || given_broken;
    let grade = if unseen && !hung_up_on || !is_seen { Grade::Consistent } else { Grade::Proven };
    if let Some(verdict) = tls_alert(attempt, moment) {
        return Some(verdict);
    }
    let (detail, said) = describe(defect.kind);
    let server = attempt.conversation.server;
    let mut verdict = Verdict::new(
        Cause::MalformedResponse,
        grade,
        format!("{said} at offset {} of the response", defect.within),
        if !is_seen && attempt.given.is_some() {
            format!("{server} sent {said}; the gateway passed on what came before it")
        } else if attempt.given.is_some() || grade == Grade::Proven {
            format!("{server} sent {said}, and the gateway rejected the response")
        } else {
            format!("{server} sent {said}; how the gateway handled it is not visible")
        },
    )
    .detail(detail);
    if let Some(start) = &attempt.exchange.response_start {
        verdict = verdict.proof(
            start.moment,
            Actor::Upstream,
            format!("the response begins: {}", quote(attempt.exchange.first_octets())),
        );
    }
    verdict = verdict.proof(moment, Actor::Upstream, format!("{said}, {} octets into the response", defect.within));
    if let Some((close, ..)) = attempt.gateway_close().filter(|_| attempt.gateway_closed_first()) {
        verdict = verdict.proof(close, Actor::Gateway, "the gateway closes first").rules_out(
            Cause::ResetWithoutResponse,
            "the gateway closed, not the upstream",
            Some(close.frame),
        );
    }
    if attempt.given.is_none() && hung_up_on && in_head {
        // Some gateways take what others reject, and close since no connection can be kept behind it.
        verdict.lower(Grade::Consistent, "what the client got: its leg is not in the capture");
    }
    if attempt.given.is_none() && hung_up(attempt) {
        verdict = verdict.or_else(None, NO_USE);
    }
    if in_content && !is_seen && attempt.server_close().is_some() {
        verdict = verdict.or_else(
            Some(Cause::TruncatedBody),
            "the upstream closed behind it, and the gateway may have missed that alone",
        );
    }
    Some(verdict.unknown("how strict this version of the gateway is; the defect and the rejection are facts"))
}

/// The request in clear was answered by a TLS alert record: the port speaks TLS.
fn tls_alert(attempt: &Attempt<'_>, moment: Moment) -> Option<Verdict> {
    let [0x15, 0x03, _, 0, 2, level, description, ..] = *attempt.exchange.first_octets() else { return None };
    let server = attempt.conversation.server;
    Some(
        Verdict::new(
            Cause::PlaintextToTls,
            Grade::Proven,
            format!("request in clear answered by a TLS alert ({level}, {description})"),
            format!("{server} speaks TLS: it answered the request, which was sent in clear, with an alert"),
        )
        .proof(attempt.exchange.started, Actor::Gateway, "the request, in clear")
        .proof(moment, Actor::Upstream, format!("a TLS alert record: level {level}, description {description}"))
        .rules_out(Cause::MalformedResponse, "the octets are a well-formed TLS record", Some(moment.frame)),
    )
}

/// Whether the gateway hung up on the defect at once.
fn closed_on_it(attempt: &Attempt<'_>, moment: Moment) -> bool {
    is_unfinished(attempt)
        && attempt.gateway_closed_first()
        && attempt.gateway_close().is_some_and(|(close, ..)| close.at.since(moment.at) < AT_ONCE)
}

/// A defect's stable name, and what to say of it.
#[must_use]
pub fn describe(kind: DefectKind) -> (&'static str, &'static str) {
    match kind {
        DefectKind::BadStatusLine => ("bad_status_line", "an invalid status line"),
        DefectKind::BadHeader => ("bad_header", "an invalid field line"),
        DefectKind::BadContentLength => ("bad_content_length", "an invalid Content-Length"),
        DefectKind::FramingConflict => ("framing_conflict", "contradictory or unknown framing"),
        DefectKind::BadChunk => ("bad_chunk", "an invalid chunk"),
        DefectKind::NotHttp => ("not_http", "data that is not HTTP"),
        DefectKind::NotFastCgi => ("not_fastcgi", "data that is not FastCGI"),
    }
}

/// The first octets of a response, fit to be printed.
pub(super) fn quote(octets: &[u8]) -> String {
    octets.get(..24).unwrap_or(octets).escape_ascii().to_string()
}

/// The upstream stopped in the middle of its response.
fn truncated(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let start = exchange.response_start.as_ref()?.moment;
    let (moment, closing, reset) = server_moved_first(attempt)?;
    // A response without a status line that was passed on as HTTP/0.9 ends with the connection.
    let no_status_line = exchange
        .defect
        .is_some_and(|(_, defect)| matches!(defect.kind, DefectKind::NotHttp | DefectKind::BadStatusLine));
    // Nor does a length that nobody can read tell where a response ends.
    let no_length = exchange.defect.is_some_and(|(_, defect)| defect.kind == DefectKind::BadContentLength);
    if (no_status_line || no_length) && !rejected(attempt) {
        return None;
    }
    // What stands behind an invalid chunk is not read: it may be complete.
    if exchange.defect.is_some_and(|(_, defect)| defect.kind == DefectKind::BadChunk) {
        return None;
    }
    let server = attempt.conversation.server;
    let close = format!("{}, ack {}", how(reset).to_uppercase(), closing.acknowledged.unwrap_or(0));
    let Some(response) = &exchange.response else {
        if attempt.is_snapped(Side::Server) || evidence::is_unread(attempt.party()) {
            // It may well end behind the hole, or behind what was read of it.
            return None;
        }
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
        |length| {
            // Where the header section was cut, what remained of it is counted as well.
            let most = if response.cut { "at most " } else { "" };
            format!("{most}{} of {length} octets of content", end.content)
        },
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
    if octets < SMALLEST_HEAD_LIMIT || attempt.was_passed_on() || !rejected(attempt) {
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
    let seen = attempt.given.is_some() || is_unfinished(attempt);
    let over = seen && limit.is_none_or(|(_, (limit, _))| octets > limit);
    let at_least = if complete.is_some() { "" } else { "at least " };
    let mut verdict = Verdict::new(
        Cause::ResponseHeaderTooLarge,
        if over { Grade::Proven } else { Grade::Consistent },
        format!("header section of {at_least}{octets} octets"),
        format!("{server} sent a header section of {at_least}{octets} octets, and the gateway rejected it"),
    )
    .proof(start, Actor::Upstream, format!("the response begins; header section {at_least}{octets} octets"));
    if let Some((moment, _, reset)) = close {
        verdict = verdict.proof(moment, Actor::Gateway, format!("{}: the gateway hangs up", how(reset).to_uppercase()));
    }
    if !seen {
        verdict = verdict.or_else(None, NO_USE);
    }
    if let Some((product, (limit, setting))) = limit {
        verdict =
            verdict.unknown(format!("the configured limit; {}'s default is {limit} octets: {setting}", product.name()));
    }
    Some(verdict.rules_out(Cause::MalformedResponse, "nothing in it violates HTTP", None))
}

fn upgrade(attempt: &Attempt<'_>) -> Option<Verdict> {
    let start = attempt.exchange.response_start.as_ref()?.moment;
    let asked = attempt.exchange.request.as_ref().is_some_and(|request| request.upgrade);
    if attempt.exchange.status() != Some(101) || !rejected(attempt) {
        return None;
    }
    let server = attempt.conversation.server;
    if asked {
        // What was asked for is not kept, and so not compared.
        let given = attempt.given.filter(|given| given.at.at.since(start.at) < AT_ONCE)?;
        return Some(
            Verdict::new(
                Cause::UnexpectedUpgrade,
                Grade::Consistent,
                "101, and the gateway would not switch",
                format!("{server} switched protocols, as the request had asked, and the gateway would not have it: most likely it names another protocol"),
            )
            .proof(start, Actor::Upstream, "status 101")
            .proof_on(Leg::Downstream, given.at, Actor::Gateway, "the gateway's answer")
            .or_else(None, "the gateway is not set to pass upgrades on"),
        );
    }
    Some(
        Verdict::new(
            Cause::UnexpectedUpgrade,
            Grade::Proven,
            "101 although the request asked for no upgrade",
            format!("{server} switched protocols although the request did not ask for that"),
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
    let by = response.server().map_or(String::new(), |name| format!(" (Server: {name})"));
    let changed = attempt.given.and_then(|given| given.status).filter(|given| *given != status);
    // A page of the gateway's own is not what the upstream sent, though the status is the same.
    let replaced = attempt.given.is_some_and(|given| given.own_page) && !product::is_own_page(response);
    let passed_on = attempt.given.is_none_or(|given| given.status == Some(status)) && !replaced;
    let fate = match attempt.given {
        Some(given) if given.retried => "; the gateway tried again",
        Some(given) if given.status.is_none() => "; its client got no response",
        Some(_) if passed_on => "; the gateway passed it on",
        Some(_) if replaced => "; the gateway answered with a page of its own",
        Some(_) | None => "",
    };
    // On one leg alone, who asked may be a client, and who answered a gateway: unless the request says that it was sent for
    // somebody else.
    let forwarded = exchange.request.as_ref().is_some_and(|request| request.forwarded);
    let lone = attempt.given.is_none() && attempt.outside.is_none() && (!forwarded || product::is_own_page(response));
    let answered = passed_on || attempt.given.is_some_and(|given| given.retried);
    let mut verdict = Verdict::new(
        Cause::RelayedError,
        if answered && !lone && attempt.outside.is_none() { Grade::Proven } else { Grade::Consistent },
        format!("upstream itself answered {status}{by}"),
        format!("{server} itself answered {status}{fate}. Look one hop deeper"),
    )
    .proof(start, Actor::Upstream, format!("status {status}{by}"))
    .rules_out(Cause::ClosedWithoutResponse, format!("a response, {status}, came"), Some(start.frame))
    .unknown(format!("why {server} answers {status}: see its own log, or capture there"));
    if lone {
        verdict = verdict.or_else(
            Some(Cause::UpstreamNotCaptured),
            format!("{server} is a gateway itself: then its own upstream leg, which is not in this capture, tells"),
        );
    }
    if let Some(given) = changed {
        verdict = verdict.unknown(format!("why the gateway turned it into {given}"));
    }
    Some(verdict)
}

/// Whether the answer is a page that gateways write when they fail at what is behind them.
pub(super) fn is_page_of_gateway(attempt: &Attempt<'_>) -> bool {
    let response = attempt.exchange.response.as_ref().filter(|response| matches!(response.status, 502..=504));
    response.is_some_and(product::is_own_page)
}

/// What a defect is worth that the gateway let pass: a remark.
#[must_use]
pub fn remark(attempt: &Attempt<'_>) -> Option<String> {
    let (_, defect) = attempt.exchange.defect?;
    (defect.sender == Side::Server).then(|| {
        format!("{} sent {} and the gateway let it pass", attempt.conversation.server, describe(defect.kind).1)
    })
}

/// The gateway acts on what it does not like within this span.
pub(super) const AT_ONCE: Duration = Duration::from_millis(150);
/// Why a gateway may close after a good response.
const NO_USE: &str = "the gateway accepted the response and closed for a reason of its own: a full pool, a limit of requests per connection";
