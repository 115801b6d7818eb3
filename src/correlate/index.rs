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
    by_address: ByAddress<VecDeque<Entry>>,
}

/// An exchange.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) started: Timestamp,
    /// When it was over; the end of time as long as it is not.
    pub(super) over: Timestamp,
    pub(super) key: ExchangeKey,
    pub(super) place: Place,
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
        let entries = self.by_address.entry(number(address)).or_insert_with(|| VecDeque::with_capacity(1));
        let entry = Entry { started, over: Timestamp::from_nanos(i64::MAX), key, place };
        if entries.back().is_none_or(|last| last.place() < entry.place()) {
            entries.push_back(entry);
        } else if let Err(index) = search(entries, entry.place()) {
            entries.insert(index, entry);
        }
    }

    /// An exchange needs no attempt any more, or is none.
    pub(super) fn remove(&mut self, address: IpAddr, started: Timestamp, key: ExchangeKey) {
        let is_crowded = self.by_address.len() > MOST_EMPTY;
        let Some(entries) = self.by_address.get_mut(&number(address)) else { return };
        if let Ok(index) = search(entries, (started, key)) {
            entries.remove(index);
        }
        if entries.is_empty() && (is_crowded || entries.capacity() > SMALL) {
            self.by_address.remove(&number(address));
        }
    }

    /// An exchange is over.
    pub(super) fn end(&mut self, address: IpAddr, started: Timestamp, key: ExchangeKey, over: Timestamp) {
        let Some(entries) = self.by_address.get_mut(&number(address)) else { return };
        if let Ok(index) = search(entries, (started, key))
            && let Some(entry) = entries.get_mut(index)
        {
            entry.over = over;
        }
    }

    /// How many began from `from` up to and with `until`.
    pub(super) fn count(&self, address: IpAddr, from: Timestamp, until: (Timestamp, ExchangeKey)) -> usize {
        self.by_address.get(&number(address)).map_or(0, |entries| {
            let first = entries.partition_point(|entry| entry.started < from);
            entries.partition_point(|entry| entry.place() <= until).saturating_sub(first)
        })
    }

    /// Those that began from `from` up to and with `until`, in the order of time.
    pub(super) fn between(
        &self,
        address: IpAddr,
        from: Timestamp,
        until: (Timestamp, ExchangeKey),
    ) -> impl DoubleEndedIterator<Item = &Entry> {
        let entries = self.by_address.get(&number(address));
        entries.into_iter().flat_map(move |entries| {
            let first = entries.partition_point(|entry| entry.started < from);
            let end = entries.partition_point(|entry| entry.place() <= until).max(first);
            entries.range(first..end)
        })
    }
}

/// Where an exchange stands, or would stand.
fn search(entries: &VecDeque<Entry>, place: (Timestamp, ExchangeKey)) -> Result<usize, usize> {
    // By time first: nearly always it decides.
    entries.binary_search_by(|entry| entry.started.cmp(&place.0).then_with(|| entry.key.cmp(&place.1)))
}

/// Later than every exchange that began at the same time.
pub(super) const LAST: ExchangeKey = ExchangeKey { connection: ConnectionId(u64::MAX), number: u32::MAX };

/// Addresses whose empty lists are kept, since the next exchange is likely to come soon.
const MOST_EMPTY: usize = 4096;
/// Longer lists are not kept when they are empty.
const SMALL: usize = 32;
