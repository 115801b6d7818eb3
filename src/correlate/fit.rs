//! How well a candidate stands where it does.

use std::time::Duration;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::marks::shared;
use crate::correlate::pair::Window;
use crate::correlate::veiled;
use crate::event::{Request, Signs};

/// How improbable it is that a candidate stands where it does by chance: the less the better. The cost is the sum of the
/// logarithms of its slacks, in thousandths: one tight end and a loose one are worth more than two halfway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    pub(super) cost: u32,
    /// The part of the cost that the tighter end has.
    pub(super) tighter: u32,
    pub(super) key: ExchangeKey,
    /// The part of the cost that stands for what is not known, and so rules nobody out.
    pub(super) unknown: u32,
}

impl Fit {
    /// Whether at least one end fits closely.
    pub(super) fn is_tight(&self) -> bool {
        self.tighter <= TIGHT
    }

    /// Whether both fit closely, and nothing speaks against it.
    pub(super) fn is_tight_at_both_ends(&self) -> bool {
        self.cost.saturating_sub(self.tighter) <= TIGHT
    }
}

/// The logarithm of a slack, in units of what gateways need anyway; thousandths.
pub(super) fn surprise(slack: Duration) -> u32 {
    let units = slack.as_secs_f64() / USUAL_SLACK.as_secs_f64();
    (units.ln_1p() * 1000.0) as u32
}

/// Whether what follows within this slack does so closely.
pub(super) fn is_at_once(slack: Duration) -> bool {
    surprise(slack) <= TIGHT
}

/// Whether a request was made for nobody, as a health check or a copy of another one for a mirror, and not passed on as such.
pub(super) fn is_anothers_check(wanted: &Request, sent: &Request) -> bool {
    sent.signs.has(Signs::ASIDE) && !wanted.signs.has(Signs::ASIDE)
}

/// What speaks against a candidate that may have given a reason for what follows; `None` where it cannot be.
pub(super) fn mismatch(front: &Exchange, candidate: &Exchange, window: Window) -> Option<u32> {
    if front.veiled.is_some() || candidate.veiled.is_some() {
        return veiled::mismatch(front, candidate, window);
    }
    let mut penalty = 0;
    if let (Some(wanted), Some(sent)) = (&front.request, &candidate.request) {
        if wanted.method() != sent.method() || is_anothers_check(wanted, sent) {
            return None;
        }
        if wanted.content_length.zip(sent.content_length).is_some_and(|(wanted, sent)| wanted != sent) {
            return None;
        }
        penalty += if wanted.target().len() == sent.target().len() { 0 } else { 1000 };
        penalty += if shared(wanted, sent) { 0 } else { 1000 };
    }
    if window.next.is_some() {
        return Some(penalty);
    }
    let success = front.status().is_some_and(|status| status < 500);
    if candidate.status() != front.status() && success {
        // A response without a status line may have been passed on as HTTP/0.9.
        let passed_as_is = candidate.status().is_none() && candidate.defect.is_some();
        return passed_as_is.then_some(penalty + 3000);
    }
    // Who answers well, wholly and soon gives a gateway no reason to fail, nor to ask once more.
    if (!success && front.status().is_some() || success && !front.attempts.is_empty()) && is_good(candidate, window) {
        return None;
    }
    if answers_otherwise(front, candidate) {
        penalty += 4000;
    }
    if candidate.defect.is_none()
        && let (Some(one), Some(other)) = (&front.response, &candidate.response)
        && let (Some(one), Some(other)) = (one.content_length, other.content_length)
        && one != other
    {
        penalty += 2000;
    }
    Some(penalty)
}

/// Whether a candidate's answer is another one than the front's. In the place of a malformed one the gateway gives its own.
pub(super) fn answers_otherwise(front: &Exchange, candidate: &Exchange) -> bool {
    candidate.is_answered() && candidate.defect.is_none() && candidate.status() != front.status()
}

/// Whether an attempt's answer, below 500, gave the gateway no reason to try again. Inside TLS nobody can tell.
pub(super) fn gives_no_reason(front: &Exchange, candidate: &Exchange) -> bool {
    let in_clear = front.veiled.is_none() && candidate.veiled.is_none();
    let is_well = in_clear && candidate.defect.is_none() && candidate.is_answered();
    is_well && candidate.status().is_some_and(|status| status < 500)
}

/// Whether a candidate had a good answer soon, and by the end of a window.
fn is_good(candidate: &Exchange, window: Window) -> bool {
    let start = candidate.response_start.as_ref().map(|start| start.moment.at);
    let asked = candidate.request_end.map(|(end, _)| end.at);
    let soon = asked.zip(start).is_some_and(|(asked, start)| start.since(asked) < SOON && start <= window.until);
    soon && candidate.is_in_order() && candidate.status().is_some_and(|status| status < 400)
}

/// What a gateway takes to react.
const USUAL_SLACK: Duration = Duration::from_micros(100);
/// No gateway waits for less than this before it gives up on an answer.
const SOON: Duration = Duration::from_secs(1);
/// The cost of an end that fits closely: some 200 µs.
const TIGHT: u32 = 1100;
