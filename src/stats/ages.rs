//! How old things were, coarsely: a histogram of sixteen steps an octave in 1.5 KB, for as many endpoints as there are.

use std::time::Duration;

use crate::stats::micros;

/// Spans from a millisecond to an hour, each within a sixteenth of what it was.
#[derive(Clone, Debug, Default)]
pub struct Ages {
    slots: Vec<u32>,
    count: u64,
    longest: Duration,
}

impl Ages {
    /// Notes a span.
    pub fn note(&mut self, span: Duration) {
        let slot = slot(span);
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, 0);
        }
        if let Some(count) = self.slots.get_mut(slot) {
            *count = count.saturating_add(1);
        }
        self.count += 1;
        self.longest = self.longest.max(span);
    }

    /// How many were noted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The longest one.
    #[must_use]
    pub const fn longest(&self) -> Duration {
        self.longest
    }

    /// How many lie between two spans, the first one included, as far as the steps tell them apart.
    #[must_use]
    pub fn between(&self, from: Duration, to: Duration) -> u64 {
        let slots = self.slots.iter().enumerate().skip(slot(from)).take(slot(to).saturating_sub(slot(from)));
        slots.map(|(_, count)| u64::from(*count)).sum()
    }

    /// Notes what others noted.
    pub fn merge(&mut self, other: &Self) {
        if self.slots.len() < other.slots.len() {
            self.slots.resize(other.slots.len(), 0);
        }
        for (own, others) in self.slots.iter_mut().zip(&other.slots) {
            *own = own.saturating_add(*others);
        }
        self.count += other.count;
        self.longest = self.longest.max(other.longest);
    }
}

fn slot(span: Duration) -> usize {
    // In units of a sixteenth of a millisecond the first octave has a slot a unit.
    let units = micros(span).min(LONGEST * 1000) * 16 / 1000;
    let units = units.min(LONGEST);
    if units < 16 {
        return 0;
    }
    let octave = units.ilog2() - 4;
    let step = (units >> octave) - 16;
    usize::try_from(u64::from(octave) * 16 + step + 1).unwrap_or(0)
}

/// An hour.
const LONGEST: u64 = 3_600_000 * 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_counted_where_it_lies() {
        let mut ages = Ages::default();
        let millis = Duration::from_millis;
        for span in [0, 1, 3, 900, 1_000, 4_999, 5_000, 3_600_000, 99_000_000] {
            ages.note(millis(span));
        }
        assert_eq!(ages.between(millis(0), millis(1)), 1);
        assert_eq!(ages.between(millis(800), millis(1_100)), 2);
        assert_eq!(ages.between(millis(4_000), millis(6_000)), 2);
        assert_eq!((ages.count(), ages.longest()), (9, millis(99_000_000)));
        assert!(ages.slots.len() < 400, "{}", ages.slots.len());
    }
}
