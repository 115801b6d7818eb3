//! The rules in the order of the phases, and which attempt's verdict speaks for the case.

use std::time::Duration;

use crate::correlate::conversation::{Exchange, Hole};
use crate::correlate::{Case, Pairing};
use crate::diagnose::cause::Cause;
use crate::diagnose::compose::Judged;
use crate::diagnose::evidence::{Attempt, Given, Outside, Verdict};
use crate::diagnose::incident::{Candidate, Grade};
use crate::diagnose::{connect, http2, no_answer, request, response, tls, whole};
use crate::event::{Endpoint, Moment, Side};
use crate::time::Timestamp;

/// When the gateway gave up on an attempt, by what it did next.
pub(super) fn judged_end(view: &Attempt<'_>) -> Option<Timestamp> {
    view.given.map(|given| given.at.at)
}

/// How sure it is that an attempt belongs to its case, next to the attempts before it. A connection that carries no request
/// was found by time alone, as the next in a row: it is no surer than the row.
pub(super) fn pairing_after(own: Pairing, bare: bool, before: impl Iterator<Item = Pairing>) -> Pairing {
    if bare { before.fold(own, Pairing::min) } else { own }
}

/// How an attempt failed, by the rules in the order of the phases; graded no higher than its pairing and its packets allow.
pub(super) fn judge_attempt(view: &Attempt<'_>) -> Option<Verdict> {
    let mut verdict = connect::judge(view)
        .or_else(|| no_answer::closed_before_request(view))
        .or_else(|| tls::judge(view))
        .or_else(|| no_answer::opaque(view))
        .or_else(|| match view.conversation.multiplexed {
            Some(_) => http2::judge(view),
            None => request::judge(view).or_else(|| response::judge(view)),
        })?;
    // Who was served in full was served by this attempt: if its response is not there, the capture misses it.
    let served = view.given.is_some_and(|given| given.whole && given.status.is_some_and(|status| status < 500));
    if served && view.exchange.status() != view.given.and_then(|given| given.status) {
        return None;
    }
    // So was, most likely, who got an answer inside TLS while the upstream had sent one.
    if matches!(view.outside, Some(Outside::Answered(_)))
        && view.exchange.response_start.is_none()
        && whole::has_answered_unseen(view)
    {
        return None;
    }
    match view.pairing {
        Pairing::Certain => {}
        Pairing::Likely => verdict.lower(Grade::Consistent, "that this attempt was made for this request: no identifier stands on both legs, time and size single it out"),
        Pairing::Possible => verdict.lower(Grade::Consistent, "that this attempt was made for this request: others fit as well"),
    }
    let rests_on_time = matches!(verdict.cause, Cause::ResponseTimeout | Cause::RequestLost);
    if view.exchange.veiled.is_some() && view.exchange.key.number == 1 && !rests_on_time {
        // In TLS 1.3 the upstream judges the gateway's part of the handshake when the request is on its way already.
        verdict.lower(Grade::Consistent, "whether the upstream refused the handshake: what it says then is encrypted");
    }
    if let Some(missing) = whole::missing(view, verdict.cause).filter(|_| verdict.grade == Grade::Proven) {
        verdict.lower(Grade::Consistent, missing);
    }
    let is_snapped = view.is_snapped(Side::Client) || view.is_snapped(Side::Server);
    if is_snapped && verdict.grade == Grade::Proven && !stands_on_headers(view, &verdict) {
        verdict.lower(Grade::Consistent, "what stood in the octets of this exchange that the snaplen cut off");
    }
    Some(verdict)
}

/// Whether a verdict rests on what the snaplen leaves: TCP's own words, lengths, and a status line; and, where the server's
/// octets were cut before the exchange, on none of them having come since.
fn stands_on_headers(view: &Attempt<'_>, verdict: &Verdict) -> bool {
    let since = view.exchange.started;
    let nothing = view.exchange.response_start.is_none() && view.exchange.response_end.is_none();
    let silent = nothing && {
        let of_server = |gap: &&Hole| gap.sender == Side::Server && gap.moment >= since;
        !view.conversation.gaps.iter().any(|gap| of_server(&gap))
    };
    match verdict.cause {
        // A gateway's own page, which shows that it is no upstream's, may be what is missing.
        Cause::RelayedError => !view.is_snapped(Side::Server),
        Cause::TruncatedBody => {
            view.exchange.response.as_ref().is_some_and(|response| !response.cut && response.content_length.is_some())
        }
        Cause::KeepaliveRace
        | Cause::StaleReuse
        | Cause::ClosedWithoutResponse
        | Cause::ResetWithoutResponse
        | Cause::ConnectReset
        | Cause::RequestLost => silent,
        _ => false,
    }
}

/// Whether nothing is wrong with the attempt that a retry is said to have hidden, as far as it can be read: that there was a retry
/// at all is a guess then, unless nobody else can have made the attempt.
pub(super) fn looks_in_order(judged: &[Judged<'_>]) -> bool {
    let failing = judged.iter().filter(|judged| judged.attempt.hop == 0);
    let Some((view, verdict)) = failing.filter_map(|judged| judged.verdict.as_ref().map(|v| (&judged.view, v))).next()
    else {
        return false;
    };
    let in_order = match verdict.cause {
        Cause::Unknown => true,
        Cause::RelayedError => view.exchange.veiled.is_some(),
        // Of an upstream whose certificate was accepted before, it is a connection too many.
        Cause::TlsCertificateRejected => view.endpoint.inside && verdict.grade < Grade::Proven,
        _ => false,
    };
    in_order && view.pairing < Pairing::Certain
}

/// When an attempt had failed that explains why the gateway let go of its client.
pub(super) fn failed_before(judged: &[Judged<'_>], given: Given) -> Option<Moment> {
    // Who learns that a connection failed answers at once, or goes on trying: then it is the client that gave up.
    let goes_on = |judged: &Judged<'_>, failed: Moment| {
        let bare = judged.attempt.party.exchange.key.number == 0;
        bare && given.client_closed.is_some_and(|closed| closed.at.since(failed.at) > REACTION)
    };
    // While another attempt runs, nothing has come of those before it yet.
    let last = judged.iter().rfind(|judged| judged.attempt.hop == 0)?;
    let failed = last.verdict.as_ref()?.evidence.last()?.moment;
    (!goes_on(last, failed)).then_some(failed)
}

/// Whether an attempt's failure is no work of a client that left: it was followed by another one, or never got as far as a
/// request.
pub(super) fn failed_by_itself(judged: &Judged<'_>) -> bool {
    let bare = judged.attempt.party.exchange.key.number == 0 && judged.attempt.hop == 0;
    bare || judged.view.given.is_some_and(|given| given.retried)
}

/// With a doubt where a request that was made beside the last attempt asked for the same and failed as well.
pub(super) fn doubt_twin(case: &Case<'_>, mut verdict: Verdict) -> Verdict {
    let Some(last) = case.attempts.iter().rfind(|attempt| attempt.hop == 0) else { return verdict };
    let asks_the_same = |asked: &Exchange| match (&asked.request, &last.party.exchange.request) {
        (Some(asked), Some(last)) => asked.target() == last.target(),
        _ => true,
    };
    let mut beside = case.beside.iter().filter(|asked| asked.hop == 0).map(|asked| asked.party.exchange);
    if beside.any(|asked| !asked.is_in_order() && asks_the_same(asked)) {
        verdict.lower(
            Grade::Consistent,
            "which of two requests that the gateway made at the same time, and that both failed, its client waited for",
        );
    }
    verdict
}

/// Leaves out connections that carried no request, and that time alone places before the attempt that served this one, where
/// they led to an upstream of other requests: failures of these that fell into the same moment.
pub(super) fn leave_out_foreign(judged: &mut Vec<Judged<'_>>, is_foreign: impl Fn(Endpoint) -> bool) {
    let served = judged.iter().rfind(|judged| judged.attempt.hop == 0);
    if served.is_some_and(|served| served.verdict.is_none() && served.attempt.pairing == Pairing::Certain) {
        judged.retain(|judged| {
            let bare = judged.view.exchange.key.number == 0;
            let guessed = judged.attempt.hop == 0 && judged.attempt.pairing < Pairing::Certain;
            !(bare && guessed && is_foreign(judged.view.exchange.server))
        });
    }
}

/// The verdict that speaks for the case: the last failing attempt's (the first one's for a masked failure), and behind it
/// the one of the gateway that merely passed an error on.
pub(super) fn take_verdict(judged: &mut [Judged<'_>], last: bool) -> Option<Verdict> {
    let failing = |judged: &Judged<'_>| judged.attempt.hop == 0 && judged.verdict.is_some();
    // What the gateway let go of at once, after a failure, was an answer to that.
    let by_itself = |judged: &Judged<'_>| failing(judged) && !no_answer::was_let_go_at_once(&judged.view);
    let index = match last {
        true => judged.iter().rposition(by_itself).or_else(|| judged.iter().rposition(failing))?,
        false => judged.iter().position(by_itself).or_else(|| judged.iter().position(failing))?,
    };
    let is_last = |judged: &Judged<'_>| {
        let let_go = no_answer::was_broken_off(&judged.view) || no_answer::was_let_go_at_once(&judged.view);
        judged.attempt.hop == 0 && (judged.verdict.is_some() && by_itself(judged) || !let_go)
    };
    if last && judged.iter().rposition(is_last).is_some_and(|last| last != index) {
        // The last attempt is in order: what failed before it is not the reason.
        return None;
    }
    let mut chosen = index;
    // Deeper: the attempts behind this one follow it.
    let mut at = index;
    while let Some(hop) = judged.get(at).map(|judged| judged.attempt.hop) {
        let deeper = judged
            .iter()
            .enumerate()
            .skip(at + 1)
            .take_while(|(_, next)| next.attempt.hop > hop)
            .filter(|(_, next)| next.attempt.hop == hop + 1)
            .last()
            .map(|(deeper, _)| deeper);
        match deeper {
            Some(deeper) if judged.get(deeper).is_some_and(|judged| judged.verdict.is_some()) => {
                chosen = deeper;
                at = deeper;
            }
            _ => break,
        }
    }
    let mut verdict = judged.get(chosen)?.verdict.clone()?;
    if last && let Some(own) = judged.get(index) {
        doubt_among_several(&mut verdict, own, judged);
    }
    Some(verdict)
}

/// With a doubt where the client's answer is not the one of the attempt that is taken for its reason, and others were made.
fn doubt_among_several(verdict: &mut Verdict, own: &Judged<'_>, judged: &[Judged<'_>]) {
    let Some(given) = own.view.given else { return };
    let began = own.view.exchange.started;
    let others =
        || judged.iter().filter(|other| other.attempt.hop == 0 && other.view.exchange.key != own.view.exchange.key);
    let is_followed = others().any(|other| other.view.exchange.started > began);
    // Gateways change fields, and hardly ever the content.
    let content = |exchange: &Exchange| exchange.response_end.map(|end| end.content);
    let as_it_came = !given.own_page && given.content == content(own.view.exchange);
    if is_followed && !(own.view.was_passed_on() && as_it_came) {
        verdict.lower(
            Grade::Consistent,
            "whether this is why the client got its error: the gateway went on to another attempt",
        );
    }
    // What was asked for instead may be a page to fail with.
    let target = |judged: &Judged<'_>| judged.view.exchange.request.as_ref().map(|request| request.target().to_owned());
    let instead = others().find(|other| {
        let asks_else = target(other).zip(target(own)).is_some_and(|(one, other)| one != other);
        other.view.exchange.started < began && asks_else
    });
    if let Some((before, failed)) = instead.and_then(|before| Some((before, before.verdict.as_ref()?)))
        && !(own.view.was_passed_on() && as_it_came)
    {
        verdict.lower(
            Grade::Consistent,
            "which of the two things that the gateway asked for the client's status comes from",
        );
        let what = format!("{} had failed before: {}", before.view.conversation.server, failed.why);
        verdict.candidates.push(Candidate { cause: Some(failed.cause), what });
    }
    let status = given.status.filter(|status| *status >= 500 && !own.view.was_passed_on());
    let answered = |other: &&Judged<'_>| {
        let other = other.view.exchange;
        other.started < began && other.status() == status && content(other) == given.content
    };
    if let Some((status, before)) = status.zip(others().find(answered)) {
        verdict.lower(Grade::Consistent, "which of the attempts the client's status comes from");
        let what =
            format!("{} had answered {status} before, which is what the client got", before.view.conversation.server);
        verdict.candidates.push(Candidate { cause: Some(Cause::RelayedError), what });
    }
}

/// A gateway that has its reason answers its client within this span.
pub(super) const REACTION: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_a_request_is_no_surer_than_the_attempts_before_it() {
        let before = [Pairing::Certain, Pairing::Possible];
        assert_eq!(pairing_after(Pairing::Certain, true, before.into_iter()), Pairing::Possible);
        assert_eq!(pairing_after(Pairing::Certain, true, [].into_iter()), Pairing::Certain);
        assert_eq!(pairing_after(Pairing::Certain, false, before.into_iter()), Pairing::Certain);
    }
}
