//! Requests that wait for a connection which the gateway opens for another one: where it fails, some gateways (Envoy) fail all
//! that wait for one to the same pool, whether or not others are under way for them.
//!
//! ```text
//!   downstream   A |-------------------| 503
//!                B      |--------------| 503
//!   upstream       SYN ------------- RST
//! ```

use std::time::Duration;

use crate::correlate::Case;
use crate::diagnose::cause::{Cause, Phase};
use crate::diagnose::evidence::{Verdict, span};
use crate::diagnose::incident::{Actor, Grade, Leg};
use crate::diagnose::pools::Outage;

/// What is to be said of a request that was answered by an error right behind the failure of a connection attempt that had been
/// under way when the request came, and for which no attempt was made.
pub(super) fn judge(case: &Case<'_>, outage: &Outage) -> Option<Verdict> {
    let asked = case.root.exchange;
    let status = asked.status().filter(|status| *status >= 500)?;
    let answer = asked.response_start.as_ref()?.moment;
    let failed = outage.failures.iter().rev().find(|failure| {
        let definite = failure.cause.phase() == Phase::Connect && failure.cause != Cause::ConnectTimeout;
        let between = failure.moment > asked.started && failure.moment < answer;
        definite && between && answer.at.since(failure.moment.at) <= AT_ONCE
    })?;
    let (upstream, cause) = (failed.upstream, failed.cause);
    Some(
        Verdict::new(
            cause,
            Grade::Consistent,
            format!("{status} {} after another attempt at {upstream} had failed", span(answer.at.since(failed.moment.at))),
            format!(
                "a connection attempt at {upstream} that was under way when the request came failed ({cause}), and the gateway \
                 answered {status} at once: the request had waited for it"
            ),
        )
        .detail("shared")
        .proof_on(Leg::Downstream, asked.started, Actor::Client, "the request begins")
        .proof(failed.moment, Actor::Upstream, format!("the attempt fails: {cause}"))
        .proof_on(Leg::Downstream, answer, Actor::Gateway, format!("status {status}"))
        .rules_out(Cause::UpstreamNotCaptured, "this gateway's other requests are in the capture with their attempts", None)
        .or_else(
            Some(Cause::NoUpstreamAttempt),
            "the gateway answered by itself for another reason: no live upstream, a limit, a full queue",
        )
        .unknown("whether the request had waited for this attempt: nothing on it tells for whom it was made"),
    )
}

/// A gateway passes such a failure on within this span.
const AT_ONCE: Duration = Duration::from_millis(2);
