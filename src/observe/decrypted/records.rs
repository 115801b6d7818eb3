//! The record layer of one direction (RFC 8446 section 5.1): pieces of the stream in, whole records out.
//!
//! ```text
//!   | type | version | length | fragment … |
//!   0      1         3        5            5 + length
//! ```
//!
//! Behind a hole the next record stands where the one in the hole ends, if its header was seen; else wherever something has
//! the form of a header. A wrong guess does no harm: what is no record cannot be opened.

use std::ops::{Range, RangeInclusive};

use crate::wire::tls::protect::Record;

/// The records of a direction. Memory: a record that is not complete.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// A record that is not complete, and the offset at which it begins.
    buffer: Vec<u8>,
    start: u64,
    place: Place,
    missed: Missed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// At a record's header, or within the record that is in the buffer.
    #[default]
    Record,
    /// In the rest of a record that is lost, up to this offset.
    Rest(u64),
    /// Where a record begins is not known.
    Anywhere,
}

/// What is missing before a record, counted from the last one that was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missed {
    /// Offset at which it begins.
    from: u64,
    /// Octets, headers included.
    pub(super) octets: u64,
    /// Records whose headers were seen.
    records: u64,
    /// Octets of `octets` that belong to records whose headers were not seen.
    unseen: u64,
}

impl Missed {
    /// How many records that can be.
    pub(super) fn records(&self) -> RangeInclusive<u64> {
        let least = self.records + self.unseen.div_ceil(HEADER + LONGEST as u64);
        let most = self.records + self.unseen / (HEADER + SHORTEST);
        least..=most.clamp(least, least + MOST_GUESSES)
    }
}

/// What a hole takes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing that was not lost before.
    Nothing,
    /// A record, whose header was seen.
    Record(Range<u64>),
    /// Octets of who knows how many records.
    Octets(Range<u64>),
}

/// A whole record.
pub(super) struct Whole<'a> {
    /// Offset of its header.
    pub(super) start: u64,
    /// Offset after it.
    pub(super) end: u64,
    pub(super) record: Record<'a>,
    /// What is missing before it.
    pub(super) missed: Missed,
}

impl Records {
    /// Takes octets of the stream; `take` says whether it could read the record.
    pub(super) fn data(&mut self, at: u64, octets: &[u8], take: &mut impl FnMut(Whole<'_>) -> bool) {
        let (mut at, mut rest) = (at, octets);
        while !rest.is_empty() {
            let taken = match self.place {
                Place::Record if self.buffer.is_empty() => self.begin(at, rest, take),
                Place::Record => self.go_on(rest, take),
                Place::Rest(until) => {
                    let left = usize::try_from(until.saturating_sub(at)).unwrap_or(usize::MAX);
                    if left <= rest.len() {
                        self.place = Place::Record;
                    }
                    left.min(rest.len())
                }
                Place::Anywhere => {
                    let skipped = (0..rest.len()).find(|at| is_likely_record(rest.get(*at..).unwrap_or_default()));
                    if skipped.is_some() {
                        self.place = Place::Record;
                    }
                    let skipped = skipped.unwrap_or(rest.len());
                    self.miss(skipped as u64);
                    skipped
                }
            };
            at += taken as u64;
            rest = rest.get(taken..).unwrap_or_default();
        }
    }

    /// Octets that are not there. Says what is lost by them that was not lost before.
    pub(super) fn gap(&mut self, at: u64, length: u64) -> Lost {
        let end = at.saturating_add(length);
        match self.place {
            Place::Record => {
                let held = std::mem::take(&mut self.buffer);
                match header(&held) {
                    Header::Record(octets) if end <= self.start.saturating_add(octets as u64) => {
                        let until = self.start.saturating_add(octets as u64);
                        self.lose(octets as u64);
                        self.place = if end < until { Place::Rest(until) } else { Place::Record };
                        Lost::Record(self.start..until)
                    }
                    _ => {
                        self.miss(held.len() as u64 + length);
                        self.place = Place::Anywhere;
                        Lost::Octets(at.saturating_sub(held.len() as u64)..end)
                    }
                }
            }
            Place::Rest(until) if end <= until => {
                if end == until {
                    self.place = Place::Record;
                }
                Lost::Nothing
            }
            Place::Rest(until) => {
                self.miss(end - until);
                self.place = Place::Anywhere;
                Lost::Octets(until..end)
            }
            Place::Anywhere => {
                self.miss(length);
                Lost::Octets(at..end)
            }
        }
    }

    /// Octets of memory that are held.
    pub(super) fn held_octets(&self) -> usize {
        self.buffer.capacity()
    }

    /// Where octets are missing behind the last record that was read.
    pub(super) fn missing(&self) -> Option<Range<u64>> {
        (self.missed.octets > 0).then(|| self.missed.from..self.missed.from.saturating_add(self.missed.octets))
    }

    /// Where a record of application data began that is not complete, and how many octets of it came.
    pub(super) fn partial(&self) -> Option<(u64, u64)> {
        (self.buffer.first() == Some(&23)).then_some((self.start, self.buffer.len() as u64))
    }

    /// Takes what is there of a record that is not complete, as if it had not come yet.
    pub(super) fn take_partial(&mut self) -> Option<(u64, Vec<u8>)> {
        (!self.buffer.is_empty()).then(|| (self.start, std::mem::take(&mut self.buffer)))
    }

    /// There is no room for a record that is not complete.
    pub(super) fn give_up(&mut self) {
        let held = self.buffer.len() as u64;
        if held > 0 {
            self.gap(self.start.saturating_add(held), 0);
        }
    }

    /// Octets where a header must stand. Returns how many were taken.
    fn begin(&mut self, at: u64, octets: &[u8], take: &mut impl FnMut(Whole<'_>) -> bool) -> usize {
        self.start = at;
        match header(octets) {
            Header::Record(length) => match octets.split_at_checked(length) {
                Some((whole, _)) => {
                    self.give(whole, take);
                    length
                }
                None => {
                    self.buffer.reserve_exact(length);
                    self.buffer.extend_from_slice(octets);
                    octets.len()
                }
            },
            Header::Short => {
                self.buffer.extend_from_slice(octets);
                octets.len()
            }
            Header::Bad => {
                self.miss(1);
                self.place = Place::Anywhere;
                1
            }
        }
    }

    /// More octets of the record in the buffer. Returns how many were taken.
    fn go_on(&mut self, octets: &[u8], take: &mut impl FnMut(Whole<'_>) -> bool) -> usize {
        let needed = match header(&self.buffer) {
            Header::Record(length) => length,
            _ => HEADER as usize,
        };
        let taken = needed.saturating_sub(self.buffer.len()).min(octets.len());
        self.buffer.extend_from_slice(octets.get(..taken).unwrap_or_default());
        match header(&self.buffer) {
            Header::Record(length) if length == self.buffer.len() => {
                let whole = std::mem::take(&mut self.buffer);
                self.give(&whole, take);
            }
            Header::Bad => {
                let held = std::mem::take(&mut self.buffer);
                self.miss(held.len() as u64);
                self.place = Place::Anywhere;
            }
            Header::Record(_) | Header::Short => {}
        }
        taken
    }

    fn give(&mut self, octets: &[u8], take: &mut impl FnMut(Whole<'_>) -> bool) {
        let [content_type, v0, v1, _, _, fragment @ ..] = octets else { return };
        let (start, end) = (self.start, self.start.saturating_add(octets.len() as u64));
        let record = Record { content_type: *content_type, version: u16::from_be_bytes([*v0, *v1]), fragment };
        if take(Whole { start, end, record, missed: self.missed }) {
            self.missed = Missed { from: end, ..Missed::default() };
        } else {
            self.lose(octets.len() as u64);
        }
    }

    fn lose(&mut self, octets: u64) {
        self.missed.octets += octets;
        self.missed.records += 1;
    }

    fn miss(&mut self, octets: u64) {
        self.missed.octets += octets;
        self.missed.unseen += octets;
    }
}

enum Header {
    /// A header, and how many octets the record has with it.
    Record(usize),
    Short,
    Bad,
}

fn header(octets: &[u8]) -> Header {
    match octets {
        [20..=24, 3, 0..=4, l0, l1, ..] => match usize::from(u16::from_be_bytes([*l0, *l1])) {
            length @ 1..=LONGEST => Header::Record(HEADER as usize + length),
            _ => Header::Bad,
        },
        [_, _, _, _, _, ..] => Header::Bad,
        _ => Header::Short,
    }
}

/// Whether octets have the form of a protected record, and what follows it too, as far as they reach.
fn is_likely_record(octets: &[u8]) -> bool {
    let Header::Record(length) = header(octets) else { return false };
    let next = octets.get(length..).unwrap_or_default();
    length > (HEADER + SHORTEST) as usize && !matches!(header(next), Header::Bad)
}

const HEADER: u64 = 5;

/// Octets of the shortest fragment that a cipher makes: a tag and a content type.
const SHORTEST: u64 = 9;

/// RFC 5246 section 6.2.3: a fragment has at most 2^14 + 2048 octets.
const LONGEST: usize = (1 << 14) + 2048;

/// Sequence numbers that are tried behind a hole.
const MOST_GUESSES: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(content_type: u8, length: usize) -> Vec<u8> {
        let [high, low] = (length as u16).to_be_bytes();
        let mut octets = vec![content_type, 3, 3, high, low];
        octets.resize(5 + length, content_type);
        octets
    }

    /// Pieces in order: octets, or a hole of so many.
    enum Piece<'a> {
        Data(&'a [u8]),
        Hole(usize),
    }

    /// Start, end and what was missed of each record; every record can be read.
    fn read(pieces: &[Piece<'_>]) -> Vec<(u64, u64, u64, RangeInclusive<u64>)> {
        let (mut records, mut found, mut at) = (Records::default(), Vec::new(), 0);
        for piece in pieces {
            match piece {
                Piece::Data(octets) => {
                    records.data(at, octets, &mut |whole| {
                        found.push((whole.start, whole.end, whole.missed.octets, whole.missed.records()));
                        true
                    });
                    at += octets.len() as u64;
                }
                Piece::Hole(length) => {
                    records.gap(at, *length as u64);
                    at += *length as u64;
                }
            }
        }
        found
    }

    #[test]
    fn behind_a_hole_within_a_record_the_next_one_stands_where_its_header_says() {
        let (one, two) = (record(23, 100), record(23, 40));
        let found = read(&[Piece::Data(&one[..50]), Piece::Hole(20), Piece::Data(&one[70..]), Piece::Data(&two)]);
        assert_eq!(found, [(105, 150, 105, 1..=1)]);
    }

    #[test]
    fn behind_a_hole_over_a_header_a_record_is_found_by_its_form() {
        let (one, two, three) = (record(23, 100), record(23, 40), record(23, 30));
        let rest = [&two[20..], &three[..], &three[..]].concat();
        let found = read(&[Piece::Data(&one[..50]), Piece::Hole(75), Piece::Data(&rest)]);
        assert_eq!(found, [(150, 185, 150, 1..=10), (185, 220, 0, 0..=0)]);
    }

    #[test]
    fn a_record_that_cannot_be_read_is_missed() {
        let (mut records, mut missed) = (Records::default(), Vec::new());
        let octets = [record(23, 40), record(23, 40), record(23, 40)].concat();
        records.data(0, &octets, &mut |whole| {
            missed.push(whole.missed.records());
            whole.start == 45
        });
        assert_eq!(missed, [0..=0, 1..=1, 0..=0]);
    }

    proptest! {
        #[test]
        fn the_pieces_in_which_records_arrive_do_not_matter(lengths in prop::collection::vec(1_usize..300, 1..6), size in 1_usize..90) {
            let octets: Vec<u8> = lengths.iter().flat_map(|length| record(23, *length)).collect();
            let pieces: Vec<Piece<'_>> = octets.chunks(size).map(Piece::Data).collect();
            let found = read(&pieces);
            prop_assert_eq!(found.len(), lengths.len());
            prop_assert_eq!(&found, &read(&[Piece::Data(&octets)]));
            prop_assert!(found.iter().all(|(_, _, missed, _)| *missed == 0));
        }

        #[test]
        fn nothing_is_lost_count_of(pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(prop_oneof![Just(0_u8), Just(3), Just(23), any::<u8>()], 1..60)), 0..20)) {
            let (mut records, mut at, mut read) = (Records::default(), 0, 0);
            for (is_hole, octets) in &pieces {
                if *is_hole {
                    records.gap(at, octets.len() as u64);
                } else {
                    records.data(at, octets, &mut |whole| {
                        read += whole.missed.octets + whole.end - whole.start;
                        true
                    });
                }
                at += octets.len() as u64;
            }
            let pending = match records.place {
                Place::Rest(until) => read + records.missed.octets - (until - at),
                _ => read + records.missed.octets + records.buffer.len() as u64,
            };
            prop_assert_eq!(pending, at);
        }
    }
}
