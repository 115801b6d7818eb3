//! Exchanges by the address of one of their ends, in the order of time: what is asked for are always those of one gateway.

use std::collections::VecDeque;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::correlate::conversation::ExchangeKey;
use crate::event::ConnectionId;
use crate::time::Timestamp;

/// Exchanges by address and start. 32 octets an exchange.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_address: HashMap<IpAddr, VecDeque<Entry>>,
}

/// An exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) started: Timestamp,
    /// When it was over; the end of time as long as it is not.
    pub(super) over: Timestamp,
    pub(super) key: ExchangeKey,
}

impl Entry {
    fn place(&self) -> (Timestamp, ExchangeKey) {
        (self.started, self.key)
    }
}

impl Index {
    /// Nearly always the latest one.
    pub(super) fn insert(&mut self, address: IpAddr, started: Timestamp, key: ExchangeKey) {
        let entries = self.by_address.entry(address).or_default();
        let entry = Entry { started, over: Timestamp::from_nanos(i64::MAX), key };
        if entries.back().is_none_or(|last| last.place() < entry.place()) {
            entries.push_back(entry);
        } else if let Err(index) = search(entries, entry.place(), End::Back) {
            entries.insert(index, entry);
        }
    }

    /// Nearly always one of the first or of the last ones.
    pub(super) fn remove(&mut self, address: IpAddr, started: Timestamp, key: ExchangeKey) {
        let is_crowded = self.by_address.len() > MOST_EMPTY;
        let Some(entries) = self.by_address.get_mut(&address) else { return };
        if let Ok(index) = search(entries, (started, key), End::Front) {
            entries.remove(index);
        }
        if entries.is_empty() && (is_crowded || entries.capacity() > SMALL) {
            self.by_address.remove(&address);
        }
    }

    /// An exchange is over.
    pub(super) fn end(&mut self, address: IpAddr, started: Timestamp, key: ExchangeKey, over: Timestamp) {
        let Some(entries) = self.by_address.get_mut(&address) else { return };
        if let Ok(index) = search(entries, (started, key), End::Back)
            && let Some(entry) = entries.get_mut(index)
        {
            entry.over = over;
        }
    }

    /// Those that began from `from` up to and with `until`, in the order of time.
    pub(super) fn between(
        &self,
        address: IpAddr,
        from: Timestamp,
        until: (Timestamp, ExchangeKey),
    ) -> impl DoubleEndedIterator<Item = &Entry> {
        let entries = self.by_address.get(&address);
        entries.into_iter().flat_map(move |entries| {
            let first = entries.partition_point(|entry| entry.started < from);
            let end = entries.partition_point(|entry| entry.place() <= until).max(first);
            entries.range(first..end)
        })
    }
}

/// Which end of a list an exchange is thought to be near.
#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

/// Finds a place, or where it would be, in steps that double from an end: what is sought is near it, and a long list does
/// not lie in the cache.
fn search(entries: &VecDeque<Entry>, place: (Timestamp, ExchangeKey), near: End) -> Result<usize, usize> {
    let (mut low, mut high, mut step) = (0, entries.len(), 1);
    while step < high - low {
        let probe = match near {
            End::Front => low + step,
            End::Back => high - step,
        };
        let Some(entry) = entries.get(probe) else { break };
        match (near, entry.place() <= place) {
            (End::Front, true) => low = probe,
            (End::Back, false) => high = probe,
            (End::Front, false) => {
                high = probe;
                break;
            }
            (End::Back, true) => {
                low = probe;
                break;
            }
        }
        step *= 2;
    }
    while low < high {
        let middle = low + (high - low) / 2;
        let Some(entry) = entries.get(middle) else { break };
        match entry.place().cmp(&place) {
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

/// Later than every exchange that began at the same time.
pub(super) const LAST: ExchangeKey = ExchangeKey { connection: ConnectionId(u64::MAX), number: u32::MAX };

/// Addresses whose empty lists are kept, since the next exchange is likely to come soon.
const MOST_EMPTY: usize = 4096;
/// Longer lists are not kept when they are empty.
const SMALL: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_from_either_end_finds_what_a_binary_search_finds() {
        let key = |number| ExchangeKey { connection: ConnectionId(1), number };
        for length in 0..40_u32 {
            let entry = |n: u32| Entry {
                started: Timestamp::from_nanos(i64::from(n / 3)),
                over: Timestamp::default(),
                key: key(2 * n),
            };
            let entries: VecDeque<Entry> = (0..length).map(entry).collect();
            for number in 0..2 * length + 2 {
                let place = (Timestamp::from_nanos(i64::from(number / 6)), key(number));
                let known = entries.binary_search_by_key(&place, Entry::place);
                assert_eq!(search(&entries, place, End::Front), known);
                assert_eq!(search(&entries, place, End::Back), known);
            }
        }
    }
}
