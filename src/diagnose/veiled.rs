//! Exchanges of clients inside TLS without keys: what was answered is hidden, and what became of the attempts is not. A
//! failed attempt is told as such, with what the gateway most likely made of it.

use std::time::Duration;

use crate::correlate::{Case, Party};
use crate::diagnose::Diagnoser;
use crate::diagnose::cause::{Cause, Phase};
use crate::diagnose::compose::Judged;
use crate::diagnose::evidence::{Verdict, span};
use crate::diagnose::incident::{Actor, Grade, Incident, Kind, Leg};
use crate::diagnose::local;
use crate::diagnose::verdicts::{looks_in_order, take_verdict};
use crate::event::{Moment, Side};
use crate::stats::Stats;

impl Diagnoser {
    /// Judges a case whose client's leg is inside TLS. Without `stats` nothing is learned.
    pub(super) fn judge_veiled(&mut self, case: &Case<'_>, stats: Option<&mut Stats>) -> Option<Incident> {
        let mut judged = self.judge_attempts(case, None);
        // Without an attempt there is nothing that a gateway had to do with it: not even that it was a request.
        if let Some(left) = left_at(case).filter(|_| !judged.is_empty())
            && failed_before(&judged, left).is_none()
        {
            // What the gateway ended because its client had left is no failure of the upstream.
            judged.iter_mut().filter(|judged| judged.view.given.is_none()).for_each(|judged| judged.verdict = None);
            if let Some(stats) = stats {
                self.note_attempts(case, &judged, stats);
            }
            let verdict = local::left(case, left);
            return Some(self.incident(Kind::ClientAbort, case, judged, verdict));
        }
        if let Some(stats) = stats {
            self.note_attempts(case, &judged, stats);
            if let Some(wait) = case.root.exchange.wait() {
                stats.client_wait.note(wait);
            }
        }
        let last = judged.iter().rev().find(|judged| judged.attempt.hop == 0)?;
        let kind = match last.verdict {
            Some(_) => Kind::UpstreamFailure,
            None => Kind::Masked,
        };
        if kind == Kind::Masked && looks_in_order(&judged) {
            return None;
        }
        // Nor can it be told whether an attempt failed that cannot be read.
        let mut verdict = take_verdict(&mut judged, kind == Kind::UpstreamFailure)?;
        if verdict.cause == Cause::Unknown || self.is_beside_the_question(&judged, &verdict) {
            return None;
        }
        if kind == Kind::UpstreamFailure {
            verdict = with_answer(case, verdict);
        } else {
            verdict.lower(
                Grade::Consistent,
                "what the client got: its leg is inside TLS, and the length of the answer fits the other attempt's",
            );
        }
        Some(self.incident(kind, case, judged, verdict))
    }

    /// Whether an upstream's own answer is none that is asked for.
    fn is_beside_the_question(&self, judged: &[Judged<'_>], verdict: &Verdict) -> bool {
        let own = judged.iter().filter(|judged| judged.attempt.hop == 0);
        let mut errors =
            own.filter_map(|judged| judged.view.exchange.status()).filter(|status| *status >= 500).peekable();
        verdict.cause == Cause::RelayedError && errors.peek().is_some() && !errors.any(|status| self.is_asked(status))
    }
}

/// Says what the gateway most likely answered, and what tells so.
fn with_answer(case: &Case<'_>, mut verdict: Verdict) -> Verdict {
    let Party { exchange, conversation } = case.root;
    let client = exchange.client;
    let closed = conversation.close(Side::Server).map(|(close, ..)| close);
    let (what, proof) = match (&exchange.response_start, closed) {
        (Some(start), _) => {
            let octets = exchange.response_octets().unwrap_or(start.octets.into());
            let asked = exchange.request_end.map_or(exchange.started, |(end, _)| end);
            let (waited, likely) = (span(start.moment.at.since(asked.at)), likely_answer(verdict.cause));
            (
                format!("{client} got {octets} octets inside TLS {waited} after its request: most likely {likely}"),
                Some((start.moment, format!("{octets} octets of an answer, inside TLS"))),
            )
        }
        (None, Some(close)) => (
            format!("the gateway closed on {client}, inside TLS, without an answer"),
            Some((close, String::from("closes without an answer"))),
        ),
        (None, None) => (format!("{client} had got no answer inside TLS by the end of the capture"), None),
    };
    verdict.summary = format!("{}; {what}", verdict.summary);
    if let Some((moment, proof)) = proof {
        verdict = verdict.proof_on(Leg::Downstream, moment, Actor::Gateway, proof);
    }
    verdict.unknown("the status that the client got: its leg is inside TLS, and there are no keys")
}

/// What gateways answer to a failure of this kind.
pub(super) fn likely_answer(cause: Cause) -> &'static str {
    match (cause, cause.phase()) {
        (Cause::RelayedError, _) => "that error, passed on",
        (Cause::TruncatedBody | Cause::StalledBody, _) => "the answer as far as it had come",
        (Cause::ResponseTimeout | Cause::ConnectTimeout | Cause::AcceptQueueFull, _) => {
            "a 504 (HAProxy answers 503 where it could not connect, Apache and H2O 502)"
        }
        (_, Phase::Connect | Phase::Resolve) => "a 502 (HAProxy, Apache and Envoy answer 503)",
        _ => "a 502",
    }
}

/// When the client left, if it did before it had its answer.
fn left_at(case: &Case<'_>) -> Option<Moment> {
    let Party { exchange, conversation } = case.root;
    let left = conversation.ended(Side::Client).filter(|left| *left > exchange.started)?;
    let is_last = conversation.highest == exchange.key.number;
    if !is_last || conversation.ended(Side::Server).is_some_and(|ended| ended < left) {
        return None;
    }
    let Some(start) = &exchange.response_start else { return Some(left) };
    let last = exchange.response_end.map_or(start.moment, |end| end.moment);
    let went_away = conversation.reset(Side::Client).is_some();
    // Who merely stops sending may read on; who says that he closes does not, and who is gone answers what still comes with a
    // reset.
    let unread = conversation.notified(Side::Client) == Some(left) && left < start.moment;
    (unread || went_away && left < last || is_dropped(case, left)).then_some(left)
}

/// Whether the gateway let go of an attempt that had not been answered, or was just being passed on, after its client had left.
fn is_dropped(case: &Case<'_>, left: Moment) -> bool {
    let front = case.root.exchange;
    let Some(last) = case.attempts.iter().rfind(|attempt| attempt.hop == 0) else { return false };
    let Party { exchange, conversation } = last.party;
    let let_go = conversation.first_close().filter(|(close, closing, _)| {
        closing.by == Side::Client && *close > left && close.at.since(left.at) <= FOLLOWS
    });
    let is_late = front.response_start.as_ref().is_none_or(|start| start.moment > left);
    let passed_on = exchange.response.is_some() && exchange.defect.is_none() && {
        let octets = front.response_octets().zip(exchange.response_octets());
        octets.is_some_and(|(given, got)| given + FIELDS >= got)
    };
    let_go.is_some() && !exchange.is_answered() && (is_late || passed_on)
}

/// When an attempt had failed by the time the client left.
fn failed_before(judged: &[Judged<'_>], left: Moment) -> Option<Moment> {
    judged
        .iter()
        .filter(|judged| judged.attempt.hop == 0 && judged.verdict.is_some())
        .filter_map(|judged| {
            judged.view.server_close().filter(|_| !judged.view.gateway_closed_first()).map(|(at, ..)| at)
        })
        .find(|failed| *failed < left)
}

/// A gateway that ends a request because its client has left does so within this span.
const FOLLOWS: Duration = Duration::from_millis(250);
/// Octets that a gateway may take away from a header section.
const FIELDS: u64 = 512;
