//! One direction of a connection: segments in any order go in, the octets in order come out, each once, or declared a gap.
//!
//! ```text
//!   delivered          hole            waiting
//!  |==========|....................|============|
//!             ^ next               ^ a segment that came early
//! ```
//!
//! Where segments overlap the octets that came first stand. In-order octets are borrowed from the packet; only early ones
//! are copied, within a bound.

use crate::event::GapJudged;

/// A piece of the stream, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// Octets.
    Data {
        /// Offset of the first one.
        at: u64,
        /// The octets; never empty.
        octets: &'a [u8],
    },
    /// Octets that are not there.
    Gap {
        /// Offset of the first one.
        at: u64,
        /// How many; never zero.
        length: u64,
        /// Who is missing them.
        judged: GapJudged,
    },
}

/// The reassembly of one direction.
#[derive(Debug, Default)]
pub struct Assembler {
    next: u64,
    /// Nearly always there is nothing.
    early: Option<Box<Early>>,
}

/// What came early, in the order of its offsets; never nothing.
#[derive(Debug, Default)]
struct Early {
    segments: Vec<Waiting>,
    octets: usize,
}

#[derive(Debug)]
struct Waiting {
    at: u64,
    octets: Vec<u8>,
    /// Octets on the wire; those beyond `octets` were cut off by the snaplen.
    length: u64,
}

impl Waiting {
    fn end(&self) -> u64 {
        self.at.saturating_add(self.length)
    }
}

impl Assembler {
    /// An assembler whose next octet has offset `next`.
    #[must_use]
    pub fn starting_at(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Offset of the next octet to be delivered.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Octets that wait behind a hole.
    #[must_use]
    pub fn waiting_octets(&self) -> usize {
        self.early.as_ref().map_or(0, |early| early.octets)
    }

    /// Octets of memory that what waits takes.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        self.early.as_ref().map_or(0, |early| early.octets + early.segments.len() * (size_of::<Waiting>() + 16))
    }

    /// Whether `[at, at + length)` was delivered or waits already.
    #[must_use]
    pub fn holds(&self, at: u64, length: u64) -> bool {
        let end = at.saturating_add(length);
        end <= self.next || self.waiting().iter().any(|early| early.at <= at && end <= early.end())
    }

    /// Takes a segment: `length` octets on the wire from offset `at`, of which `octets` were captured.
    pub fn push(&mut self, at: u64, octets: &[u8], length: u64, out: &mut impl FnMut(Piece<'_>)) {
        let end = at.saturating_add(length);
        if end <= self.next {
            return;
        }
        if at > self.next {
            self.keep(at, octets, length);
            return;
        }
        self.deliver(at, octets, length, out);
        self.drain(out);
    }

    /// So many octets come in order, and are delivered by who has them.
    #[inline]
    pub fn pass(&mut self, octets: u64) {
        self.next += octets;
    }

    /// Declares everything before `offset` that did not come a gap, and delivers what waited behind it.
    pub fn skip_to(&mut self, offset: u64, judged: GapJudged, out: &mut impl FnMut(Piece<'_>)) {
        while self.next < offset {
            let reach = self.waiting().first().map_or(offset, |early| early.at.min(offset));
            if reach > self.next {
                out(Piece::Gap { at: self.next, length: reach - self.next, judged });
                self.next = reach;
            }
            self.drain(out);
        }
    }

    /// Gives up the first hole: what waits behind it is delivered.
    pub fn give_up_hole(&mut self, judged: GapJudged, out: &mut impl FnMut(Piece<'_>)) {
        if let Some(at) = self.waiting().first().map(|early| early.at) {
            self.skip_to(at, judged, out);
            self.drain(out);
        }
    }

    /// Whether anything waits behind a hole.
    #[must_use]
    pub fn has_hole(&self) -> bool {
        self.early.is_some()
    }

    fn deliver(&mut self, at: u64, octets: &[u8], length: u64, out: &mut impl FnMut(Piece<'_>)) {
        let known = usize::try_from(self.next.saturating_sub(at)).unwrap_or(usize::MAX);
        let end = at.saturating_add(length);
        if let Some(fresh) = octets.get(known..).filter(|fresh| !fresh.is_empty()) {
            out(Piece::Data { at: self.next, octets: fresh });
            self.next = self.next.saturating_add(fresh.len() as u64);
        }
        if end > self.next {
            // The snaplen cut the tail off. A copy that waits may hold it, but the order of evidence is kept simple.
            out(Piece::Gap { at: self.next, length: end - self.next, judged: GapJudged::Snaplen });
            self.next = end;
        }
    }

    fn drain(&mut self, out: &mut impl FnMut(Piece<'_>)) {
        while let Some(early) = self.due() {
            if early.end() > self.next {
                self.deliver(early.at, &early.octets, early.length, out);
            }
        }
    }

    /// Takes the first of what waits, if nothing is missing before it.
    fn due(&mut self) -> Option<Waiting> {
        let early = self.early.as_mut()?;
        early.segments.first().filter(|first| first.at <= self.next)?;
        let first = early.segments.remove(0);
        early.octets -= first.octets.len();
        if early.segments.is_empty() {
            self.early = None;
        }
        Some(first)
    }

    fn waiting(&self) -> &[Waiting] {
        self.early.as_ref().map_or(&[], |early| &early.segments)
    }

    /// Keeps the part of an early segment that is not there yet.
    fn keep(&mut self, at: u64, octets: &[u8], length: u64) {
        let mut from = at;
        let end = at.saturating_add(length);
        let mut index = self.waiting().partition_point(|early| early.end() <= from);
        while from < end {
            let next = self.waiting().get(index).map(|early| (early.at, early.end()));
            match next {
                Some((early_at, early_end)) if early_at <= from => {
                    from = from.max(early_end);
                    index += 1;
                }
                _ => {
                    let until = next.map_or(end, |(early_at, _)| early_at.min(end));
                    self.insert(index, from, until, at, octets);
                    index += 1;
                    from = until;
                }
            }
        }
    }

    fn insert(&mut self, index: usize, from: u64, until: u64, at: u64, octets: &[u8]) {
        let start = usize::try_from(from - at).unwrap_or(usize::MAX).min(octets.len());
        let stop = usize::try_from(until - at).unwrap_or(usize::MAX).min(octets.len());
        let kept = octets.get(start..stop).unwrap_or_default().to_vec();
        let early = self.early.get_or_insert_default();
        early.octets += kept.len();
        early.segments.insert(index, Waiting { at: from, octets: kept, length: until - from });
    }
}

#[cfg(test)]
mod tests;
