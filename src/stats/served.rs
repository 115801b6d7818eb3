//! When an endpoint served requests: as spans of time, between which it served none.

use std::time::Duration;

use crate::time::Timestamp;

/// Spans in which requests were served; some 1 KB at most.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// In the order of time, apart from each other.
    spans: Vec<(Timestamp, Timestamp)>,
}

impl Served {
    /// A request was served that began at `at`.
    pub fn note(&mut self, at: Timestamp) {
        let place = self.spans.partition_point(|(_, last)| *last + NEAR < at);
        match self.spans.get_mut(place) {
            Some((first, last)) if *first <= at + NEAR => {
                *first = at.min(*first);
                *last = at.max(*last);
            }
            _ => {
                self.spans.insert(place, (at, at));
                if self.spans.len() > MOST_SPANS {
                    self.merge_nearest();
                }
            }
        }
    }

    /// When it first served one after `at`.
    #[must_use]
    pub fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let place = self.spans.partition_point(|(_, last)| *last <= at);
        self.spans.get(place).map(|(first, _)| at.max(*first))
    }

    /// Whether it served one before `at`.
    #[must_use]
    pub fn before(&self, at: Timestamp) -> bool {
        self.spans.first().is_some_and(|(first, _)| *first < at)
    }

    /// Whether it served one between two instants, as far as the spans tell.
    #[must_use]
    pub fn between(&self, from: Timestamp, to: Timestamp) -> bool {
        self.after(from).is_some_and(|at| at < to)
    }

    /// The two spans with the shortest pause between them become one: long pauses are what matters.
    fn merge_nearest(&mut self) {
        let pause = |pair: &[(Timestamp, Timestamp)]| match pair {
            [(_, last), (first, _)] => first.since(*last),
            _ => Duration::MAX,
        };
        let nearest = self.spans.windows(2).map(pause).enumerate().min_by_key(|(_, pause)| *pause);
        let Some((index, _)) = nearest else { return };
        let (_, last) = self.spans.remove(index + 1);
        if let Some(span) = self.spans.get_mut(index) {
            span.1 = last;
        }
    }
}

/// Requests that began this near to each other leave no pause between them.
const NEAR: Duration = Duration::from_millis(50);
/// Spans that are told apart.
const MOST_SPANS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn pauses_stay_however_much_was_served() {
        let mut served = Served::default();
        for millis in (0..100_000).step_by(70).chain((104_000..200_000).step_by(70)) {
            served.note(at(millis));
        }
        assert!(served.spans.len() <= MOST_SPANS);
        assert_eq!(served.after(at(100_000)), Some(at(104_000)));
        assert!(!served.between(at(100_000), at(104_000)) && served.between(at(100_000), at(104_001)));
        assert!(served.before(at(1)) && !served.before(at(0)));
        assert_eq!(served.after(at(300_000)), None);
    }

    #[test]
    fn the_order_of_noting_does_not_matter() {
        let mut served = Served::default();
        for millis in [5_000, 1_000, 3_000, 1_020, 4_980, 980] {
            served.note(at(millis));
        }
        assert_eq!(served.spans, [(at(980), at(1_020)), (at(3_000), at(3_000)), (at(4_980), at(5_000))]);
    }
}
