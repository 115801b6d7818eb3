//! What is to be looked at again, in the order of time. What is noted waits for one of few spans, and so most of it is due later
//! than all that was noted before with the same: queues hold it, and a heap what fits none of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::correlate::conversation::ExchangeKey;
use crate::time::Timestamp;

/// When which exchange is due.
type Entry = (Timestamp, ExchangeKey);

/// Exchanges by when they are due. 24 octets each.
#[derive(Debug)]
pub(super) struct Due {
    /// Each in the order of time.
    queues: [VecDeque<Entry>; QUEUES],
    rest: BinaryHeap<Reverse<Entry>>,
    /// When the first one is due; the end of time where there is none.
    next: Timestamp,
}

impl Default for Due {
    fn default() -> Self {
        Self { queues: Default::default(), rest: BinaryHeap::new(), next: Timestamp::from_nanos(i64::MAX) }
    }
}

impl Due {
    /// Notes when an exchange is due.
    pub(super) fn push(&mut self, at: Timestamp, key: ExchangeKey) {
        let entry = (at, key);
        self.next = self.next.min(at);
        // The queue whose last one is closest before it, so that the others stay free for what is due sooner.
        let fits = self.queues.iter_mut().filter(|queue| queue.back().is_none_or(|last| *last <= entry));
        match fits.max_by_key(|queue| queue.back().copied()) {
            Some(queue) => queue.push_back(entry),
            None => self.rest.push(Reverse(entry)),
        }
    }

    /// When the first one is due; the end of time where there is none.
    #[inline]
    pub(super) fn next(&self) -> Timestamp {
        self.next
    }

    /// Takes the one that is due first.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let in_rest = self.rest.peek().map(|Reverse(entry)| *entry);
        let in_queues = self.queues.iter_mut().filter(|queue| !queue.is_empty());
        let first = in_queues.min_by_key(|queue| queue.front().copied());
        let taken = match first {
            Some(queue) if in_rest.is_none_or(|rest| queue.front().is_some_and(|front| *front <= rest)) => {
                queue.pop_front()
            }
            _ => self.rest.pop().map(|Reverse(entry)| entry),
        };
        let fronts = self.queues.iter().filter_map(|queue| queue.front()).chain(self.rest.peek().map(|Reverse(e)| e));
        self.next = fronts.map(|(at, _)| *at).min().unwrap_or(Timestamp::from_nanos(i64::MAX));
        taken
    }
}

/// Spans that many wait for: those of exchanges that went well, and of those that did not, each of clients and of gateways.
const QUEUES: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::ConnectionId;

    fn key(number: u32) -> ExchangeKey {
        ExchangeKey { connection: ConnectionId(7), number }
    }

    proptest! {
        #[test]
        fn they_come_in_the_order_in_which_they_are_due(steps in prop::collection::vec((0_i64..50, 0_i64..4, 0_u32..3), 0..200)) {
            let (mut due, mut expected, mut now) = (Due::default(), BinaryHeap::new(), 0);
            for (number, (step, span, taken)) in steps.into_iter().enumerate() {
                now += step - 5;
                let entry = (Timestamp::from_nanos(now + span * 100), key(number as u32));
                due.push(entry.0, entry.1);
                expected.push(Reverse(entry));
                for _ in 0..taken {
                    prop_assert_eq!(due.pop(), expected.pop().map(|Reverse(entry)| entry));
                    let first = expected.peek().map_or(i64::MAX, |Reverse((at, _))| at.as_nanos());
                    prop_assert_eq!(due.next().as_nanos(), first);
                }
            }
            while let Some(Reverse(entry)) = expected.pop() {
                prop_assert_eq!(due.pop(), Some(entry));
            }
            prop_assert_eq!(due.pop(), None);
        }
    }
}
