//! `--max-cpu`: how many of the connections can be followed with the processor time that is allowed.

use std::time::Duration;

use crate::flow::share::Share;

/// The budget, and what is made of it.
#[derive(Debug)]
pub(super) struct Budget {
    /// Seconds of one core a second.
    allowed: f64,
    share: Share,
    /// Processor time used up to the latest look.
    used: Duration,
    /// Looks since the last one that found much in use.
    calm: u32,
}

impl Budget {
    /// A budget in per cent of one core, of which `used` went before it began.
    pub(super) fn new(percent: u32, used: Duration) -> Self {
        Self { allowed: f64::from(percent) / 100.0, share: Share::ALL, used, calm: 0 }
    }

    /// Looks at the processor time used so far, `span` after the look before. Returns another share where there must, or can,
    /// be one.
    pub(super) fn look(&mut self, used: Duration, span: Duration) -> Option<Share> {
        let rate = used.saturating_sub(self.used).as_secs_f64() / span.as_secs_f64().max(0.1);
        self.used = used;
        self.calm = if rate > self.allowed * CALM { 0 } else { self.calm + 1 };
        let parts = f64::from(self.share.parts());
        let parts = if rate > self.allowed {
            // What is left over pays for what does not depend on the number of connections.
            parts * (self.allowed / rate) * MARGIN
        } else if self.calm >= LOOKS {
            self.calm = 0;
            parts * 2.0
        } else {
            return None;
        };
        let share = Share::of(parts.clamp(1.0, f64::from(Share::PARTS)) as u8);
        (share != self.share).then(|| {
            self.share = share;
            share
        })
    }
}

/// Below this part of the budget there is time for more.
const CALM: f64 = 0.4;
/// Looks in a row that must find so.
const LOOKS: u32 = 10;
/// The part of the budget that is aimed at.
const MARGIN: f64 = 0.8;

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second, while all connections together would take `cost` of a core.
    fn looks(budget: &mut Budget, cost: f64, seconds: usize) -> Vec<u8> {
        let second = Duration::from_secs(1);
        let mut used = budget.used;
        let mut shares = Vec::new();
        for _ in 0..seconds {
            used += Duration::from_secs_f64(cost * f64::from(budget.share.parts()) / f64::from(Share::PARTS));
            shares.extend(budget.look(used, second).map(Share::parts));
        }
        shares
    }

    #[test]
    fn what_is_too_much_is_cut_at_once_and_comes_back_slowly() {
        let mut budget = Budget::new(25, Duration::ZERO);
        assert!(looks(&mut budget, 0.2, 30).is_empty());
        assert_eq!(looks(&mut budget, 1.0, 30), [12]);
        assert_eq!(looks(&mut budget, 0.2, 25), [24, 48]);
        assert_eq!(looks(&mut budget, 0.1, 15), [64]);
    }

    #[test]
    fn at_least_one_part_stays() {
        let mut budget = Budget::new(1, Duration::ZERO);
        let shares = looks(&mut budget, 50.0, 5);
        assert_eq!(shares.last(), Some(&1));
    }
}
