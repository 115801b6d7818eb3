//! Who was first, the client that left or the gateway that gave up: time limits of hops in a row are often equal, and then both
//! close at nearly the same moment. The order of the frames decides, as far as the capture can be trusted with it.

use std::time::Duration;

use crate::correlate::{CLOCK_SLACK, Case};
use crate::diagnose::cause::Cause;
use crate::diagnose::compose::Judged;
use crate::diagnose::evidence::{Attempt, Given, Verdict, span};
use crate::diagnose::incident::Grade;
use crate::diagnose::{local, verdicts};
use crate::event::{Moment, Side};
use crate::stats::Stats;
use crate::stats::clusters::Cluster;

/// The verdict that the client left before it had its answer, if it did. A failure that nobody made good before that is why it
/// did not get one.
pub(super) fn judge(case: &Case<'_>, judged: &[Judged<'_>], given: Given, stats: Option<&Stats>) -> Option<Verdict> {
    if said_so_itself(case, given) {
        return None;
    }
    // What was made good is no reason to leave.
    let made_good = given.whole && case.root.exchange.status().is_some_and(|status| status < 400);
    let failed = verdicts::failed_before(judged, given).filter(|_| !made_good && !ended_by_gateway(judged, given));
    // Who has said nothing yet may be about to try again.
    let was_told = case.root.exchange.response_start.is_some();
    let mut verdict = local::client_abort(case, given, failed.filter(|_| was_told))?;
    let before = |reason: &&Verdict| {
        let seen = reason.evidence.last().map(|proof| proof.moment);
        seen.zip(given.client_closed).is_some_and(|(seen, closed)| seen < closed)
    };
    let reason = judged.last().and_then(|last| last.verdict.as_ref()).filter(before);
    if let Some(reason) = reason.filter(|_| failed.is_some()) {
        verdict.lower(Grade::Consistent, "whether the gateway would have tried again");
        verdict = verdict.or_else(Some(reason.cause), format!("the attempt had failed by then: {}", reason.why));
    }
    if let Some(limit) = stats.and_then(|stats| limit_reached(case, given, stats)) {
        verdict.lower(Grade::Consistent, "whether the gateway had given up by then");
        let what = format!("the gateway gave up at the same moment: it did so after {} before", span(limit));
        let has_begun = case.attempts.last().is_some_and(|last| last.party.exchange.response_start.is_some());
        let cause = if has_begun { Cause::StalledBody } else { Cause::ResponseTimeout };
        verdict = verdict.or_else(Some(cause), what);
    }
    Some(verdict)
}

/// With a doubt where the client closed at nearly the moment at which the gateway gave up.
pub(super) fn doubt(given: Given, judged: &[Judged<'_>], mut verdict: Verdict) -> Verdict {
    if !matches!(verdict.cause, Cause::ResponseTimeout | Cause::StalledBody) {
        return verdict;
    }
    let gave_up = judged.last().and_then(|last| let_go(&last.view));
    let Some((left, gave_up)) = given.client_closed.zip(gave_up) else { return verdict };
    let apart = gave_up.at.since(left.at).max(left.at.since(gave_up.at));
    if apart <= AT_ONCE {
        verdict.lower(Grade::Consistent, "which came first for the gateway, its own time limit or the client's close");
        let order = if left < gave_up { "before" } else { "after" };
        verdict = verdict.or_else(
            Some(Cause::ClientAbort),
            format!("the client closed {} {order} the gateway closed the upstream leg", span(apart)),
        );
    }
    verdict
}

/// Whether the gateway says in an answer of its own that its patience ended: it does not say so to a client that it saw leave.
fn said_so_itself(case: &Case<'_>, given: Given) -> bool {
    let relayed = case.attempts.last().is_some_and(|last| last.party.exchange.status() == given.status);
    // One that goes on waiting for nobody says so in the end, too.
    let at_once = given.client_closed.is_none_or(|closed| given.at.at.since(closed.at) <= verdicts::REACTION);
    given.status == Some(504) && !relayed && at_once && !case.attempts.is_empty()
}

/// Whether the last attempt was ended by the gateway, and not before the client closed.
fn ended_by_gateway(judged: &[Judged<'_>], given: Given) -> bool {
    let Some(closed) = given.client_closed else { return false };
    judged.iter().rfind(|judged| judged.attempt.hop == 0).is_none_or(|last| {
        let view = &last.view;
        if last.verdict.as_ref().is_some_and(|verdict| is_upstreams(verdict.cause)) {
            return false;
        }
        let before = let_go(view).is_some_and(|moment| is_before(moment, closed));
        !before
            && match view.server_close() {
                Some((moment, ..)) => view.gateway_closed_first() || moment > closed,
                None => true,
            }
    })
}

/// Whether it was something that the upstream sent: then it stands before whatever came of it.
const fn is_upstreams(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::TruncatedBody
            | Cause::MalformedResponse
            | Cause::ResponseHeaderTooLarge
            | Cause::H2RefusedStream
            | Cause::H2Goaway
            | Cause::H2StreamError
    )
}

/// When the gateway let go of an attempt: of its stream, or of its connection.
fn let_go(view: &Attempt<'_>) -> Option<Moment> {
    let stream = view.exchange.reset_by(Side::Client).map(|(moment, _)| moment);
    stream.or(view.gateway_close().map(|(moment, ..)| moment))
}

fn is_before(one: Moment, other: Moment) -> bool {
    one < other && other.at.since(one.at) > CLOCK_SLACK
}

/// The time limit that the gateway was seen to keep to, where the client left as it was reached.
fn limit_reached(case: &Case<'_>, given: Given, stats: &Stats) -> Option<Duration> {
    let closed = given.client_closed?;
    let last = case.attempts.last()?.party.exchange;
    let waited = closed.at.since(last.request_end.map_or(last.started, |(end, _)| end).at);
    let waited_us = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
    // Timers go off late, and hardly ever early.
    let reached = |cluster: &&Cluster| {
        cluster.min_us.saturating_sub(EARLY_US) <= waited_us && waited_us <= cluster.max_us + cluster.max_us / NEAR
    };
    let limits = stats.habits_of(last.client.ip())?.read_timeout.all();
    limits.iter().find(reached).map(|cluster| Duration::from_micros(cluster.median_us()))
}

/// Within this span either may be the reason for the other.
const AT_ONCE: Duration = Duration::from_millis(1);
/// A time limit is met no sooner than this before those that were seen, and no later than this part of it.
const EARLY_US: u64 = 2000;
const NEAR: u64 = 50;
