//! What the gateway says itself of its reason, in its own page, weighed against what the packets show.

use crate::correlate::Case;
use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::Verdict;
use crate::diagnose::incident::{Actor, Grade, Leg};
use crate::diagnose::product::{self, Said};

/// A verdict, unless the gateway's own page says something else.
pub(super) fn weigh(case: &Case<'_>, mut verdict: Verdict) -> Verdict {
    let Some((words, said)) = said(case) else { return verdict };
    let says_nothing =
        matches!(verdict.cause, Cause::UpstreamNotCaptured | Cause::GatewayCrash | Cause::ClientAbort | Cause::Unknown);
    let identified = case.attempts.iter().any(|attempt| attempt.party.exchange.identified);
    match said {
        Said::OneOf(causes) => {
            let sent_nothing = verdict.cause == Cause::NoUpstreamAttempt && verdict.grade > Grade::Undetermined;
            let fits = causes.contains(&verdict.cause) && !sent_nothing;
            if fits || says_nothing { verdict } else { otherwise(case, words, &verdict) }
        }
        // What failed before may be why there is none, or why it went no further.
        Said::NoneAlive | Said::ByItself(_) if identified => {
            if !says_nothing {
                verdict.lower(Grade::Consistent, "whether another attempt would have been made");
                verdict = verdict.or_else(Some(Cause::NoUpstreamAttempt), quoted(words));
            }
            verdict
        }
        Said::NoneAlive => none_alive(case, words, verdict),
        Said::ByItself(what) if !says_nothing || verdict.cause == Cause::Unknown => by_itself(case, words, what),
        Said::ByItself(_) => verdict,
    }
}

/// What the page says. One that an attempt was answered with is none of the gateway's; nor may it be where attempts cannot be seen.
fn said(case: &Case<'_>) -> Option<(&'static str, Said)> {
    let response = case.root.exchange.response.as_ref().filter(|_| case.upstream_visible)?;
    let relayed = case
        .attempts
        .iter()
        .filter_map(|attempt| attempt.party.exchange.response.as_ref())
        .any(|got| got.status == response.status && got.content() == response.content());
    product::reason(response).filter(|_| !relayed)
}

fn quoted(words: &str) -> String {
    if words.is_empty() { String::from("its page is empty") } else { format!("its page says {words:?}") }
}

fn by_itself(case: &Case<'_>, words: &str, what: &str) -> Verdict {
    let verdict = Verdict::new(
        Cause::NoUpstreamAttempt,
        Grade::Consistent,
        quoted(words),
        format!("the gateway answered by itself ({}): {what}", quoted(words)),
    )
    .rules_out(Cause::UpstreamNotCaptured, "the gateway names a reason of its own", None);
    answered(case, verdict)
}

fn none_alive(case: &Case<'_>, words: &str, found: Verdict) -> Verdict {
    match found.cause {
        // Whose name leads nowhere has none either.
        Cause::DnsNxdomain | Cause::DnsFailure | Cause::DnsTimeout => return found,
        Cause::RelayedError | Cause::UpstreamNotCaptured | Cause::GatewayCrash | Cause::ClientAbort => return found,
        // What had failed before is told.
        Cause::NoUpstreamAttempt if found.grade > Grade::Undetermined => {
            return Verdict { candidates: Vec::new(), ..found };
        }
        _ => {}
    }
    let verdict = Verdict::new(
        Cause::NoUpstreamAttempt,
        Grade::Consistent,
        quoted(words),
        format!(
            "the gateway answered by itself: it has no upstream that it takes for alive, as its page says ({words:?})"
        ),
    )
    .detail("no_live_upstreams")
    .unknown("since when, and why: what failed is not in the capture, or cannot be told to be of its upstreams");
    answered(case, verdict)
}

fn otherwise(case: &Case<'_>, words: &str, found: &Verdict) -> Verdict {
    let verdict = Verdict::new(
        Cause::Unknown,
        Grade::Undetermined,
        format!("its page says {words:?}; nothing that can be told to be of this request fits that"),
        format!("the gateway's page says {words:?}, and no attempt can be told that failed so"),
    )
    .or_else(Some(found.cause), format!("{}, although its page says otherwise", found.why))
    .unknown("which attempt it made: its access log tells");
    answered(case, verdict)
}

fn answered(case: &Case<'_>, verdict: Verdict) -> Verdict {
    match &case.root.exchange.response_start {
        Some(start) => verdict.proof_on(Leg::Downstream, start.moment, Actor::Gateway, "the gateway's own page"),
        None => verdict,
    }
}
