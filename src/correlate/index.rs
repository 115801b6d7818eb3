//! Exchanges by the address of one of their ends, in the order of time: what is asked for are always those of one gateway.

use std::collections::VecDeque;
use std::net::IpAddr;

use crate::correlate::conversation::ExchangeKey;
use crate::correlate::numbering::{ByAddress, number};
use crate::correlate::places::Place;
use crate::event::ConnectionId;
use crate::time::Timestamp;

/// Exchanges by address and start. 40 octets an exchange.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_address: ByAddress<Line>,
}

/// Those of an address, in the order of time. What is taken out of the middle leaves a blank, which goes when it comes to stand
/// at an end, or when there are more blanks than exchanges.
#[derive(Debug)]
struct Line {
    entries: VecDeque<Entry>,
    blanks: usize,
}

/// An exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) started: Timestamp,
    /// When it was over; the end of time as long as it is not.
    pub(super) over: Timestamp,
    pub(super) key: ExchangeKey,
    pub(super) place: Place,
    is_blank: bool,
}

impl Entry {
    fn place(&self) -> (Timestamp, ExchangeKey) {
        (self.started, self.key)
    }
}

impl Index {
    /// Nearly always the latest one.
    pub(super) fn insert(&mut self, address: IpAddr, started: Timestamp, key: ExchangeKey, place: Place) {
        // Of most addresses there is one: a client's.
        let new = || Line { entries: VecDeque::with_capacity(1), blanks: 0 };
        let line = self.by_address.entry(number(address)).or_insert_with(new);
        line.insert(Entry { started, over: Timestamp::from_nanos(i64::MAX), key, place, is_blank: false });
    }

    /// An exchange needs no attempt any more, or is none.
    pub(super) fn remove(&mut self, address: IpAddr, started: Timestamp, key: ExchangeKey) {
        let is_crowded = self.by_address.len() > MOST_EMPTY;
        let Some(line) = self.by_address.get_mut(&number(address)) else { return };
        line.remove((started, key));
        if line.entries.is_empty() && (is_crowded || line.entries.capacity() > SMALL) {
            self.by_address.remove(&number(address));
        }
    }

    /// An exchange is over.
    pub(super) fn end(&mut self, address: IpAddr, started: Timestamp, key: ExchangeKey, over: Timestamp) {
        let Some(line) = self.by_address.get_mut(&number(address)) else { return };
        if let Ok(index) = line.search((started, key))
            && let Some(entry) = line.entries.get_mut(index)
        {
            entry.over = over;
        }
    }

    /// How many began from `from` up to and with `until`.
    pub(super) fn count(&self, address: IpAddr, from: Timestamp, until: (Timestamp, ExchangeKey)) -> usize {
        self.between(address, from, until).count()
    }

    /// Those that began from `from` up to and with `until`, in the order of time.
    pub(super) fn between(
        &self,
        address: IpAddr,
        from: Timestamp,
        until: (Timestamp, ExchangeKey),
    ) -> impl DoubleEndedIterator<Item = &Entry> {
        let line = self.by_address.get(&number(address));
        let entries = line.into_iter().flat_map(move |Line { entries, .. }| {
            let first = entries.partition_point(|entry| entry.started < from);
            let end = entries.partition_point(|entry| entry.place() <= until).max(first);
            entries.range(first..end)
        });
        entries.filter(|entry| !entry.is_blank)
    }
}

impl Line {
    fn insert(&mut self, entry: Entry) {
        if self.entries.back().is_none_or(|last| last.place() < entry.place()) {
            self.entries.push_back(entry);
            return;
        }
        match self.search(entry.place()) {
            Err(index) => self.entries.insert(index, entry),
            Ok(index) => {
                if let Some(known) = self.entries.get_mut(index).filter(|known| known.is_blank) {
                    *known = entry;
                    self.blanks -= 1;
                }
            }
        }
    }

    fn remove(&mut self, place: (Timestamp, ExchangeKey)) {
        let Ok(index) = self.search(place) else { return };
        let Some(entry) = self.entries.get_mut(index).filter(|entry| !entry.is_blank) else { return };
        entry.is_blank = true;
        self.blanks += 1;
        while self.entries.front().is_some_and(|first| first.is_blank) {
            self.entries.pop_front();
            self.blanks -= 1;
        }
        while self.entries.back().is_some_and(|last| last.is_blank) {
            self.entries.pop_back();
            self.blanks -= 1;
        }
        if self.blanks > MOST_BLANKS && self.blanks * 2 > self.entries.len() {
            self.entries.retain(|entry| !entry.is_blank);
            self.blanks = 0;
        }
    }

    /// Where an exchange stands, or would stand.
    fn search(&self, place: (Timestamp, ExchangeKey)) -> Result<usize, usize> {
        // By time first: nearly always it decides.
        self.entries.binary_search_by(|entry| entry.started.cmp(&place.0).then_with(|| entry.key.cmp(&place.1)))
    }
}

/// Later than every exchange that began at the same time.
pub(super) const LAST: ExchangeKey = ExchangeKey { connection: ConnectionId(u64::MAX), number: u32::MAX };

/// Addresses whose empty lists are kept, since the next exchange is likely to come soon.
const MOST_EMPTY: usize = 4096;
/// Longer lists are not kept when they are empty.
const SMALL: usize = 32;
/// So few blanks stay, even in a list with next to nothing else.
const MOST_BLANKS: usize = 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn key(number: u32) -> ExchangeKey {
        ExchangeKey { connection: ConnectionId(1), number }
    }

    proptest! {
        #[test]
        fn what_was_taken_out_is_not_found(steps in prop::collection::vec((0_i64..40, 0_u32..4, any::<bool>()), 0..300)) {
            let mut index = Index::default();
            let mut expected = BTreeSet::new();
            for (at, number, is_put) in steps {
                let (at, key) = (Timestamp::from_nanos(at), key(number));
                if is_put {
                    index.insert(HOST, at, key, Place::default());
                    expected.insert((at, key));
                } else {
                    index.remove(HOST, at, key);
                    expected.remove(&(at, key));
                }
                let [from, until] = [10, 30].map(Timestamp::from_nanos);
                let found: Vec<_> = index.between(HOST, from, (until, LAST)).map(Entry::place).collect();
                let wanted: Vec<_> = expected.range((from, ExchangeKey { connection: ConnectionId(0), number: 0 })..=(until, LAST)).copied().collect();
                prop_assert_eq!(&found, &wanted);
                prop_assert_eq!(index.count(HOST, from, (until, LAST)), wanted.len());
            }
        }
    }
}
