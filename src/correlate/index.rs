//! Exchanges by the address of one of their ends, in the order of time: what is asked for are always those of one gateway.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ops::Range;

use crate::correlate::conversation::ExchangeKey;
use crate::correlate::gateway::Host;
use crate::correlate::places::Place;
use crate::event::ConnectionId;
use crate::time::Timestamp;

/// Exchanges by address and start. 40 octets an exchange.
#[derive(Debug, Default)]
pub(super) struct Index {
    lines: Vec<Line>,
}

/// Those of an address, in the order of time. What is taken out of the middle leaves a blank, which goes when it comes to stand
/// at an end, or when there are more blanks than exchanges: so nearly all stay where they were put.
#[derive(Debug, Default)]
struct Line {
    entries: VecDeque<Entry>,
    /// The spot of the first one.
    first: Spot,
    blanks: u32,
    /// From which spot up to which there are none but those at a place, and blanks: what was found out when others were sought.
    only: Cell<(Place, Spot, Spot)>,
}

/// Where an exchange was put. It stands elsewhere where others were put before it later on: then it is sought.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spot(u32);

impl Spot {
    fn plus(self, index: usize) -> Self {
        Self(self.0.wrapping_add(index as u32))
    }

    fn since(self, first: Self) -> usize {
        self.0.wrapping_sub(first.0) as usize
    }

    /// The same of one that may stand before the first one.
    fn since_or_none(self, first: Self) -> usize {
        let since = self.0.wrapping_sub(first.0);
        if since > u32::MAX / 2 { 0 } else { since as usize }
    }
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
    /// An exchange that is not over.
    pub(super) fn new(started: Timestamp, key: ExchangeKey, place: Place) -> Self {
        Self { started, over: Timestamp::from_nanos(i64::MAX), key, place, is_blank: false }
    }

    /// Whether it is not over.
    pub(super) fn is_open(&self) -> bool {
        self.over == Timestamp::from_nanos(i64::MAX)
    }

    fn place(&self) -> (Timestamp, ExchangeKey) {
        (self.started, self.key)
    }
}

impl Index {
    /// Nearly always the latest one.
    pub(super) fn insert(&mut self, host: Host, entry: Entry) -> Spot {
        if self.lines.len() <= host.index() {
            self.lines.resize_with(host.index() + 1, Line::default);
        }
        self.lines.get_mut(host.index()).map(|line| line.insert(entry)).unwrap_or_default()
    }

    /// An exchange needs no attempt any more, or is none.
    pub(super) fn remove(&mut self, host: Host, spot: Spot, place: (Timestamp, ExchangeKey)) {
        if let Some(line) = self.lines.get_mut(host.index()) {
            line.remove(spot, place);
        }
    }

    /// An exchange is over.
    pub(super) fn end(&mut self, host: Host, spot: Spot, place: (Timestamp, ExchangeKey), over: Timestamp) {
        if let Some(line) = self.lines.get_mut(host.index())
            && let Some(at) = line.find(spot, place)
            && let Some(entry) = line.entries.get_mut(at)
        {
            entry.over = over;
        }
    }

    /// Whether there are any of an address.
    pub(super) fn has_any(&self, host: Host) -> bool {
        self.lines.get(host.index()).is_some_and(|line| !line.entries.is_empty())
    }

    /// Whether there is such a one among those that began from `from` up to and with `until` elsewhere than at a place.
    #[inline]
    pub(super) fn has_one(
        &self,
        host: Host,
        from: Timestamp,
        until: Timestamp,
        elsewhere: Place,
        mut is_one: impl FnMut(&Entry) -> bool,
    ) -> bool {
        let Some(line) = self.lines.get(host.index()) else { return false };
        let first = line.first_elsewhere(elsewhere, from, until);
        // Nearly always the first one began too late.
        if line.entries.get(first).is_none_or(|entry| entry.started > until) {
            return false;
        }
        let start = first.max(line.start(from));
        let (earlier, later) = line.entries.as_slices();
        let rest = [earlier.get(start..), later.get(start.saturating_sub(earlier.len())..)];
        for entries in rest.into_iter().flatten() {
            for entry in entries {
                if entry.started > until {
                    return false;
                }
                if entry.place != elsewhere && !entry.is_blank && is_one(entry) {
                    return true;
                }
            }
        }
        false
    }

    /// Those of an address, the latest one first.
    pub(super) fn latest(&self, host: Host) -> impl Iterator<Item = &Entry> {
        let line = self.lines.get(host.index());
        line.into_iter().flat_map(|line| line.entries.iter().rev()).filter(|entry| !entry.is_blank)
    }

    /// How many began from `from` up to and with `until`.
    pub(super) fn count(&self, host: Host, from: Timestamp, until: (Timestamp, ExchangeKey)) -> usize {
        self.between(host, from, until).count()
    }

    /// Those that began from `from` up to and with `until`, in the order of time.
    #[inline]
    pub(super) fn between(
        &self,
        host: Host,
        from: Timestamp,
        until: (Timestamp, ExchangeKey),
    ) -> impl DoubleEndedIterator<Item = &Entry> {
        static NONE: VecDeque<Entry> = VecDeque::new();
        let line = self.lines.get(host.index());
        let range = line.map(|line| line.between(from, until)).unwrap_or_default();
        let entries = line.map_or(&NONE, |line| &line.entries);
        entries.range(range).filter(|entry| !entry.is_blank)
    }
}

impl Line {
    fn insert(&mut self, entry: Entry) -> Spot {
        // Nearly always it is the latest one.
        if self.entries.back().is_none_or(|last| last.started < entry.started) {
            if self.entries.capacity() == 0 {
                // Of most addresses there is one: a client's.
                self.entries.reserve_exact(1);
            }
            self.entries.push_back(entry);
            return self.first.plus(self.entries.len() - 1);
        }
        let at = self.search(entry.place()).unwrap_or_else(|at| at);
        match self.entries.get_mut(at) {
            Some(known) if known.place() == entry.place() => {
                if known.is_blank {
                    *known = entry;
                    self.blanks -= 1;
                }
            }
            _ => self.entries.insert(at, entry),
        }
        self.forget_only();
        self.first.plus(at)
    }

    fn forget_only(&self) {
        self.only.set((Place::NOWHERE, self.first, self.first));
    }

    /// The first one of those that began from `from` that is not at a place; of those that began up to `until`, or one behind.
    fn first_elsewhere(&self, place: Place, from: Timestamp, until: Timestamp) -> usize {
        let (known, lower, upper) = self.only.get();
        let [mut lower, mut upper] = [lower, upper].map(|spot| spot.since_or_none(self.first));
        let is_before = |entry: &Entry| entry.started < from;
        if known != place || lower > 0 && !self.entries.get(lower).is_some_and(is_before) {
            lower = self.start(from);
            upper = lower;
        }
        let is_passed = |entry: &Entry| (entry.place == place || entry.is_blank) && entry.started <= until;
        while self.entries.get(upper).is_some_and(is_passed) {
            upper += 1;
        }
        self.only.set((place, self.first.plus(lower), self.first.plus(upper)));
        upper
    }

    fn remove(&mut self, spot: Spot, place: (Timestamp, ExchangeKey)) {
        let Some(at) = self.find(spot, place) else { return };
        let length = self.entries.len();
        let Some(entry) = self.entries.get_mut(at).filter(|entry| !entry.is_blank) else { return };
        entry.is_blank = true;
        self.blanks += 1;
        if at == 0 {
            self.trim_front();
        } else if at + 1 == length {
            self.trim_back();
        } else if self.blanks > MOST_BLANKS && self.blanks as usize * 2 > length {
            self.entries.retain(|entry| !entry.is_blank);
            self.blanks = 0;
            self.forget_only();
        }
    }

    fn trim_front(&mut self) {
        while self.entries.front().is_some_and(|first| first.is_blank) {
            self.entries.pop_front();
            self.first = self.first.plus(1);
            self.blanks -= 1;
        }
        if self.entries.is_empty() && self.entries.capacity() > SMALL {
            self.entries = VecDeque::new();
        }
    }

    fn trim_back(&mut self) {
        self.forget_only();
        while self.entries.back().is_some_and(|last| last.is_blank) {
            self.entries.pop_back();
            self.blanks -= 1;
        }
    }

    /// Where an exchange stands.
    fn find(&self, spot: Spot, place: (Timestamp, ExchangeKey)) -> Option<usize> {
        let at = spot.since(self.first);
        let is_there = self.entries.get(at).is_some_and(|entry| entry.key == place.1 && entry.started == place.0);
        if is_there { Some(at) } else { self.search(place).ok() }
    }

    /// Where an exchange stands, or would stand.
    #[cold]
    fn search(&self, place: (Timestamp, ExchangeKey)) -> Result<usize, usize> {
        // By time first: nearly always it decides.
        self.entries.binary_search_by(|entry| entry.started.cmp(&place.0).then_with(|| entry.key.cmp(&place.1)))
    }

    /// Where those begin that began from `from`.
    fn start(&self, from: Timestamp) -> usize {
        match self.entries.front().zip(self.entries.back()) {
            Some((first, _)) if first.started >= from => 0,
            Some((_, last)) if last.started >= from => self.entries.partition_point(|entry| entry.started < from),
            _ => self.entries.len(),
        }
    }

    /// Where those stand that began from `from` up to and with `until`. Mostly that is a look at the first and the last one.
    fn between(&self, from: Timestamp, until: (Timestamp, ExchangeKey)) -> Range<usize> {
        let Some((first, last)) = self.entries.front().zip(self.entries.back()) else { return 0..0 };
        if last.started < from || first.place() > until {
            return 0..0;
        }
        let start = self.start(from);
        let is_within = |entry: &Entry| entry.place() <= until;
        let end = if is_within(last) { self.entries.len() } else { self.entries.partition_point(is_within) };
        start..end.max(start)
    }
}

/// Later than every exchange that began at the same time.
pub(super) const LAST: ExchangeKey = ExchangeKey { connection: ConnectionId(u64::MAX), number: u32::MAX };

/// Longer lists are not kept when they are empty.
const SMALL: usize = 32;
/// So few blanks stay, even in a list with next to nothing else: whoever goes moves others from where they were put.
const MOST_BLANKS: u32 = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::correlate::places::Places;
    use crate::event::Endpoint;

    const HOST: Host = Host::FIRST;

    fn key(number: u32) -> ExchangeKey {
        ExchangeKey { connection: ConnectionId(1), number }
    }

    proptest! {
        #[test]
        fn what_was_taken_out_is_not_found(steps in prop::collection::vec((0_i64..40, 0_u32..4, any::<bool>(), 0_usize..2), 0..300)) {
            let mut index = Index::default();
            let mut expected = BTreeMap::new();
            let mut places = Places::default();
            let places = [1, 2].map(|port| places.number(Endpoint::from(([10, 0, 0, 1], port))));
            for (at, number, is_put, nth) in steps {
                let (at, key) = (Timestamp::from_nanos(at), key(number));
                // An exchange stays where it is.
                let place = places[number as usize % 2];
                if is_put {
                    let spot = index.insert(HOST, Entry::new(at, key, place));
                    expected.insert((at, key), (spot, place));
                } else {
                    let spot = expected.remove(&(at, key)).map(|(spot, _)| spot).unwrap_or_default();
                    index.remove(HOST, spot, (at, key));
                }
                let [from, until] = [10, 30].map(Timestamp::from_nanos);
                let found: Vec<_> = index.between(HOST, from, (until, LAST)).map(Entry::place).collect();
                let first = (from, ExchangeKey { connection: ConnectionId(0), number: 0 });
                let wanted: Vec<_> = expected.range(first..=(until, LAST)).map(|(place, _)| *place).collect();
                prop_assert_eq!(&found, &wanted);
                prop_assert_eq!(index.count(HOST, from, (until, LAST)), wanted.len());
                for (from, until) in [(from, until), (at, until), (Timestamp::from_nanos(0), at)] {
                    let is_one = |((started, _), (_, place)): (&(Timestamp, ExchangeKey), &(Spot, Place))| {
                        *started >= from && *started <= until && *place != places[nth]
                    };
                    let has_one = index.has_one(HOST, from, until, places[nth], |_| true);
                    prop_assert_eq!(has_one, expected.iter().any(is_one));
                }
            }
        }
    }
}
