//! What is to be looked at again, in the order of time. What is noted waits for one of few spans, and so most of it is due later
//! than all that was noted before with the same: queues hold it, and a heap what came out of turn.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::correlate::conversation::ExchangeKey;
use crate::correlate::index::LAST;
use crate::time::Timestamp;

/// When which exchange is due.
type Entry = (Timestamp, ExchangeKey);

/// What an exchange waits for: nearly all that wait for the same wait equally long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// A client's that went well is to settle, or one that did not.
    Client { slow: bool },
    /// The same of what may be a gateway's attempt.
    Attempt { slow: bool },
    /// It is to be looked at once more.
    Again,
}

impl Wait {
    const ALL: usize = 5;

    fn index(self) -> usize {
        match self {
            Self::Client { slow } => usize::from(slow),
            Self::Attempt { slow } => 2 + usize::from(slow),
            Self::Again => 4,
        }
    }
}

/// Exchanges by when they are due. 24 octets each.
#[derive(Debug)]
pub(super) struct Due {
    /// By what they wait for, each in the order of time.
    queues: [VecDeque<Entry>; Wait::ALL],
    rest: BinaryHeap<Reverse<Entry>>,
    /// The first one of each queue, and behind these that of the rest.
    fronts: [Entry; Wait::ALL + 1],
    /// The first one of all, and which of them it is.
    first: (Entry, usize),
}

/// Later than all that are noted.
const NONE: Entry = (Timestamp::from_nanos(i64::MAX), LAST);

impl Default for Due {
    fn default() -> Self {
        Self {
            queues: Default::default(),
            rest: BinaryHeap::new(),
            fronts: [NONE; Wait::ALL + 1],
            first: (NONE, Wait::ALL),
        }
    }
}

impl Due {
    /// Notes when an exchange is due.
    pub(super) fn push(&mut self, wait: Wait, at: Timestamp, key: ExchangeKey) {
        let entry = (at, key);
        let fits = |queue: &&mut VecDeque<Entry>| queue.back().is_none_or(|last| !is_before(entry, *last));
        let number = match self.queues.get_mut(wait.index()).filter(fits) {
            Some(queue) => {
                queue.push_back(entry);
                wait.index()
            }
            None => {
                self.rest.push(Reverse(entry));
                Wait::ALL
            }
        };
        if let Some(front) = self.fronts.get_mut(number)
            && is_before(entry, *front)
        {
            *front = entry;
            if is_before(entry, self.first.0) {
                self.first = (entry, number);
            }
        }
    }

    /// When the first one is due; the end of time where there is none.
    #[inline]
    pub(super) fn next(&self) -> Timestamp {
        self.first.0.0
    }

    /// Takes the one that is due first.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let (taken, number) = self.first;
        let next = match self.queues.get_mut(number) {
            Some(queue) => {
                queue.pop_front()?;
                queue.front().copied()
            }
            None => {
                self.rest.pop()?;
                self.rest.peek().map(|Reverse(entry)| *entry)
            }
        };
        if let Some(front) = self.fronts.get_mut(number) {
            *front = next.unwrap_or(NONE);
        }
        self.first = (NONE, Wait::ALL);
        for (number, front) in self.fronts.iter().enumerate() {
            if is_before(*front, self.first.0) {
                self.first = (*front, number);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::ConnectionId;

    const WAITS: [Wait; 4] =
        [Wait::Client { slow: false }, Wait::Client { slow: true }, Wait::Attempt { slow: true }, Wait::Again];

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
                due.push(WAITS[span as usize], entry.0, entry.1);
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
