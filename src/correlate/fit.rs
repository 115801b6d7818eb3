//! How well a candidate stands where it does.

use std::time::Duration;

use crate::correlate::conversation::ExchangeKey;

/// How improbable it is that a candidate stands where it does by chance: the less the better. The cost is the sum of the
/// logarithms of its slacks, in thousandths: one tight end and a loose one are worth more than two halfway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fit {
    pub(super) cost: u32,
    /// The part of the cost that the tighter end has.
    pub(super) tighter: u32,
    pub(super) key: ExchangeKey,
}

impl Fit {
    /// Whether at least one end fits closely.
    pub(super) fn is_tight(&self) -> bool {
        self.tighter <= TIGHT
    }
}

/// The logarithm of a slack, in units of what gateways need anyway; thousandths.
pub(super) fn surprise(slack: Duration) -> u32 {
    let units = slack.as_secs_f64() / USUAL_SLACK.as_secs_f64();
    (units.ln_1p() * 1000.0) as u32
}

/// What a gateway takes to react.
const USUAL_SLACK: Duration = Duration::from_micros(100);
/// The cost of an end that fits closely: some 200 µs.
const TIGHT: u32 = 1100;
