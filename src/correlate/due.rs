//! What is to be looked at again, in the order of time. What is noted waits for one of few spans, and so most of it is due later
//! than all that was noted before with the same: queues hold it, and a heap what fits none of them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::correlate::conversation::ExchangeKey;
use crate::time::Timestamp;

/// When which exchange is due.
type Entry = (Timestamp, ExchangeKey);

/// Exchanges by when they are due. 24 octets each.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// Each in the order of time.
    queues: [VecDeque<Entry>; QUEUES],
    rest: BinaryHeap<Reverse<Entry>>,
    /// The first one, and the queue that it stands in; that of the rest is beyond the others.
    first: Option<(Entry, usize)>,
}

impl Due {
    /// Notes when an exchange is due.
    pub(super) fn push(&mut self, at: Timestamp, key: ExchangeKey) {
        let entry = (at, key);
        // The queue whose last one is closest before it, so that the others stay free for what is due sooner.
        let mut chosen: Option<(usize, Option<Entry>)> = None;
        for (number, queue) in self.queues.iter().enumerate() {
            let last = queue.back().copied();
            let fits = last.is_none_or(|last| !is_before(entry, last));
            if fits && chosen.is_none_or(|(_, best)| !is_closer(best, last)) {
                chosen = Some((number, last));
            }
        }
        let number = chosen.map_or(QUEUES, |(number, _)| number);
        match self.queues.get_mut(number) {
            Some(queue) => queue.push_back(entry),
            None => self.rest.push(Reverse(entry)),
        }
        if self.first.is_none_or(|(first, _)| is_before(entry, first)) {
            self.first = Some((entry, number));
        }
    }

    /// When the first one is due; the end of time where there is none.
    #[inline]
    pub(super) fn next(&self) -> Timestamp {
        self.first.map_or(Timestamp::from_nanos(i64::MAX), |((at, _), _)| at)
    }

    /// Takes the one that is due first.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let (taken, number) = self.first.take()?;
        match self.queues.get_mut(number) {
            Some(queue) => drop(queue.pop_front()),
            None => drop(self.rest.pop()),
        }
        let fronts = self.queues.iter().map(|queue| queue.front().copied());
        let rest = self.rest.peek().map(|Reverse(entry)| *entry);
        for (number, front) in fronts.chain([rest]).enumerate() {
            if let Some(front) = front
                && self.first.is_none_or(|(first, _)| is_before(front, first))
            {
                self.first = Some((front, number));
            }
        }
        Some(taken)
    }
}

/// By time first: nearly always it decides.
#[inline]
fn is_before((at, key): Entry, (other_at, other_key): Entry) -> bool {
    at < other_at || at == other_at && key < other_key
}

/// Whether the last one of a queue is closer before what is to come than that of another one.
#[inline]
fn is_closer(last: Option<Entry>, other: Option<Entry>) -> bool {
    match (last, other) {
        (Some(last), Some(other)) => is_before(other, last),
        (last, None) => last.is_some(),
        (None, Some(_)) => false,
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
