//! Responses that HTTP allows, or that the gateway began to pass on, and that it would not have for all that.

use crate::correlate::conversation::SMALLEST_FIELD_LIMIT;
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Verdict};
use crate::diagnose::incident::{Actor, Grade, Leg};
use crate::diagnose::product;
use crate::diagnose::response::{AT_ONCE, describe, quote, rejected};
use crate::event::{DefectKind, Ending, Moment};

/// The upstream sent more than its response, and the gateway would have neither.
pub(super) fn surplus(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let given = attempt.given?;
    let end = exchange.response_end.filter(|end| end.how == Ending::Complete)?;
    let behind = |notice: &Moment| *notice >= end.moment && *notice <= given.at;
    let notice = attempt.conversation.unsolicited.filter(behind)?;
    if !rejected(attempt) {
        return None;
    }
    let (server, status) = (attempt.conversation.server, exchange.status()?);
    let start = exchange.response_start.as_ref()?.moment;
    Some(
        Verdict::new(
            Cause::UnsolicitedResponse,
            Grade::Consistent,
            format!("octets behind the end of the response, {status}"),
            format!(
                "{server} sent more than its response: octets follow where {status} ends; the gateway dropped both"
            ),
        )
        .proof(start, Actor::Upstream, format!("status {status}: the response begins"))
        .proof(notice, Actor::Upstream, "octets behind its end")
        .rules_out(Cause::TruncatedBody, "the response is complete", Some(end.moment.frame))
        .unknown(
            "whether the response declared too short a length, or has content where HTTP allows none (HEAD, 204, 304)",
        ),
    )
}

/// What stands where a status line must was passed on as content (HTTP/0.9), which ends with the connection alone; the gateway cut
/// it off.
pub(super) fn taken_for_content(attempt: &Attempt<'_>, moment: Moment, kind: DefectKind) -> Option<Verdict> {
    let given = attempt.given.filter(|given| !given.whole && given.status.is_some_and(|status| status < 500))?;
    if !matches!(kind, DefectKind::BadStatusLine | DefectKind::NotHttp) || attempt.exchange.status().is_some() {
        return None;
    }
    let (detail, said) = describe(kind);
    let server = attempt.conversation.server;
    let mut verdict = Verdict::new(
        Cause::MalformedResponse,
        Grade::Consistent,
        format!("{said}, passed on as content"),
        format!("{server} sent {said}; the gateway took all of it for content, of which it does not know the end"),
    )
    .detail(detail)
    .proof(moment, Actor::Upstream, format!("{said}: {}", quote(attempt.exchange.first_octets())))
    .proof_on(Leg::Downstream, given.at, Actor::Gateway, "the client's response is over, and incomplete");
    verdict = match attempt.gateway_close().filter(|_| attempt.gateway_closed_first()) {
        Some((close, ..)) => verdict
            .proof(close, Actor::Gateway, "the gateway closes first")
            .or_else(Some(Cause::StalledBody), "this is content, and more of it was to come"),
        None => verdict.or_else(Some(Cause::TruncatedBody), "this is content, and it was cut off"),
    };
    Some(verdict)
}

/// The gateway would not have a response of more fields than it keeps room for, however short they are.
pub(super) fn too_many_fields(attempt: &Attempt<'_>) -> Option<Verdict> {
    let exchange = attempt.exchange;
    let given = attempt.given?;
    let response = exchange.response.as_ref().filter(|response| !response.cut)?;
    let start = exchange.response_start.as_ref()?.moment;
    let limit = attempt.product.and_then(|product| Some((product, product::response_field_limit(product)?)));
    let most = limit.map_or(SMALLEST_FIELD_LIMIT, |(_, (most, _))| most);
    let at_once = given.at.at.since(start.at) < AT_ONCE;
    if response.fields <= most || !at_once || attempt.was_passed_on() || !rejected(attempt) {
        return None;
    }
    let (server, fields) = (attempt.conversation.server, response.fields);
    let mut verdict = Verdict::new(
        Cause::ResponseHeaderTooLarge,
        Grade::Consistent,
        format!("header section of {fields} fields"),
        format!("{server} sent a header section of {fields} fields, and the gateway rejected it"),
    )
    .detail("fields")
    .proof(start, Actor::Upstream, format!("the response begins; {fields} fields"))
    .proof_on(Leg::Downstream, given.at, Actor::Gateway, "the gateway's answer")
    .rules_out(Cause::MalformedResponse, "nothing in it violates HTTP", None)
    .or_else(None, "the gateway did not like something else in the response: its error log says what");
    if let Some((product, (most, setting))) = limit {
        verdict =
            verdict.unknown(format!("the configured limit; {}'s default is {most} fields: {setting}", product.name()));
    }
    Some(verdict)
}
