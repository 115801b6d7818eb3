//! Attempts that are requests of FastCGI: what the application said of the request comes first. What TCP shows is judged as for
//! HTTP/1.

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};
use crate::diagnose::no_answer;
use crate::diagnose::response::{how, quote, rejected, server_moved_first};
use crate::event::fastcgi::End;
use crate::event::{DefectKind, Ending, Moment};

/// How the attempt failed; `None` if it did not, or where it is no request of FastCGI.
#[must_use]
pub(super) fn judge(attempt: &Attempt<'_>) -> Option<Verdict> {
    if !attempt.exchange.is_fastcgi() {
        return None;
    }
    not_spoken(attempt).or_else(|| ended(attempt)).or_else(|| closed(attempt))
}

/// With what the application said of errors.
#[must_use]
pub(super) fn with_errors(attempt: &Attempt<'_>, verdict: Verdict) -> Verdict {
    match attempt.exchange.fastcgi_end() {
        Some((moment, end)) if !end.stderr.is_empty() => verdict.proof(
            moment,
            Actor::Upstream,
            format!("the application had said on STDERR: {}", first_line(&end.stderr)),
        ),
        _ => verdict,
    }
}

/// The upstream answered with something else than FastCGI.
fn not_spoken(attempt: &Attempt<'_>) -> Option<Verdict> {
    let (moment, defect) = attempt.exchange.defect.filter(|(_, defect)| defect.kind == DefectKind::NotFastCgi)?;
    let is_late = attempt.gateway_close().is_some_and(|(close, ..)| close < moment);
    if is_late || attempt.given.is_some() && !rejected(attempt) {
        return None;
    }
    let octets = attempt.exchange.first_octets();
    let what = match octets {
        [0x15 | 0x16, 3, ..] => "TLS",
        [b'H', b'T', b'T', b'P', b'/', ..] => "HTTP/1",
        [1, _, _, _, ..] if defect.within == 2 => "FastCGI, but for another request",
        _ => "no FastCGI",
    };
    let server = attempt.conversation.server;
    let grade = if attempt.given.is_some() { Grade::Proven } else { Grade::Consistent };
    Some(
        Verdict::new(
            Cause::FcgiProtocolError,
            grade,
            format!("FastCGI request answered in {what}"),
            format!("the gateway spoke FastCGI to {server}, which answered in {what}"),
        )
        .proof(attempt.exchange.started, Actor::Gateway, "the request, in FastCGI")
        .proof(moment, Actor::Upstream, format!("the answer begins: {}", quote(octets)))
        .rules_out(Cause::FcgiNoOutput, "octets of an answer came", Some(moment.frame)),
    )
}

/// The application was done with the request before it had written a header section, or all of the content.
fn ended(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let (moment, told) = exchange.fastcgi_end()?;
    let end = told.end?;
    if attempt.gateway_close().is_some_and(|(close, ..)| close < moment) {
        return None;
    }
    let server = attempt.conversation.server;
    let worked = span(moment.at.since(attempt.request_sent().at));
    let said = said_of(end);
    if exchange.response.is_none() && exchange.response_start.is_some() {
        return unfinished(attempt, moment, end);
    }
    let Some(response) = &exchange.response else {
        let verdict = Verdict::new(
            Cause::FcgiNoOutput,
            Grade::Proven,
            format!("END_REQUEST {worked} after the request, no output"),
            format!("the application at {server} ended the request {worked} after it, without any output ({said})"),
        )
        .proof(exchange.started, Actor::Gateway, "the request begins")
        .proof(moment, Actor::Upstream, format!("END_REQUEST: {said}"));
        let verdict = verdict
            .rules_out(Cause::ResponseTimeout, "the application ended the request first", Some(moment.frame))
            .rules_out(Cause::ClosedWithoutResponse, "END_REQUEST came", Some(moment.frame));
        return Some(if told.stderr.is_empty() {
            verdict.unknown("why it had nothing to say: see the log of the application")
        } else {
            verdict
        });
    };
    let short = exchange.response_end.filter(|end| end.how == Ending::Truncated)?;
    let length = response.content_length?;
    let counted = format!("{} of {length} octets of content", short.content);
    let start = exchange.response_start.as_ref()?.moment;
    let mut verdict = Verdict::new(
        Cause::TruncatedBody,
        Grade::Proven,
        format!("{counted}, then END_REQUEST"),
        format!("the application at {server} ended its response too soon: {counted} ({said})"),
    )
    .proof(start, Actor::Upstream, format!("status {}: the response begins", response.status))
    .proof(moment, Actor::Upstream, format!("END_REQUEST: {said}"))
    .rules_out(Cause::StalledBody, "the application ended the request first", Some(moment.frame));
    if let Some((_, _, reset)) = server_moved_first(attempt) {
        verdict = verdict.detail(how(reset));
    }
    Some(verdict)
}

/// The application was done with the request within its header section. One with a violation is judged by that.
fn unfinished(attempt: &Attempt<'_>, moment: Moment, end: End) -> Option<Verdict> {
    let exchange = attempt.exchange;
    if exchange.defect.is_some() {
        return None;
    }
    let start = exchange.response_start.as_ref()?.moment;
    let server = attempt.conversation.server;
    let said = said_of(end);
    Some(
        Verdict::new(
            Cause::TruncatedHeader,
            Grade::Proven,
            "a part of a header section, then END_REQUEST",
            format!("the application at {server} ended the request within the response's header section ({said})"),
        )
        .proof(start, Actor::Upstream, "the response begins; its header section never ends")
        .proof(moment, Actor::Upstream, format!("END_REQUEST: {said}"))
        .rules_out(Cause::FcgiNoOutput, "octets of a response came", Some(start.frame))
        .rules_out(Cause::ResponseTimeout, "the application ended the request first", Some(moment.frame)),
    )
}

/// The connection ended before a header section was written.
fn closed(attempt: &Attempt<'_>) -> Option<Verdict> {
    let mut verdict = no_answer::silent_close(attempt)?;
    let spoke = attempt.exchange.fastcgi_end().is_some_and(|(_, said)| !said.stderr.is_empty());
    match verdict.cause {
        Cause::ClosedWithoutResponse => verdict.detail = Some("fin"),
        // Who had spoken had begun to work.
        Cause::ResetWithoutResponse if spoke => verdict.detail = Some("rst"),
        Cause::ResetWithoutResponse => return Some(verdict.unknown(UNREAD)),
        _ => return Some(verdict),
    }
    if !spoke && attempt.exchange.reused {
        verdict = verdict.or_else(Some(Cause::KeepaliveRace), LAST_REQUEST);
        verdict.grade = verdict.grade.min(Grade::Consistent);
    }
    verdict.cause = Cause::FcgiNoOutput;
    Some(verdict.unknown("why the application ended: see its log, and that of its process manager"))
}

fn said_of(end: End) -> String {
    match end.protocol_status_name() {
        Some(name) => format!("appStatus {}, {name}", end.app_status),
        None => format!("appStatus {}, protocolStatus {}", end.app_status, end.protocol_status),
    }
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.char_indices().nth(MOST_CHARACTERS).map_or(line, |(at, _)| line.get(..at).unwrap_or(line))
}

/// What a reset does not tell of an application.
const UNREAD: &str = "whether a worker of the application had taken the request: one that dies before it has read all records resets the \
                      connection, and so does a queue that goes away";
/// What else ends a connection that was kept. Workers of PHP-FPM send a FIN and then read on to the end, so that a FIN behind the
/// request does not tell that it was taken.
const LAST_REQUEST: &str = "the worker had served its last request (`pm.max_requests`), or was stopped, and closed the connection that was \
                            kept: what came at that moment it never took";
/// What is quoted of errors.
const MOST_CHARACTERS: usize = 160;
