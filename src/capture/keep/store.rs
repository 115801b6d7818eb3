//! The recorder's memory: in come frames, each with a number that stands for its connection; out come the frames of a
//! connection. The oldest make way for new ones; nothing is allocated after the begin.
//!
//! ```text
//! octets   |  newest … | free |  … oldest … | rest of a lap |     laps, a frame never across the end
//! notes    a queue: connection, time, where the octets are, and the note before it of the same bucket
//! buckets  connection -> its newest note: the begin of a chain that ends where notes were forgotten
//! ```

use std::collections::VecDeque;
use std::mem::size_of;

use crate::flow::steer::Captured;
use crate::time::Timestamp;

/// What is known of a frame besides its octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    connection: u64,
    /// When it was captured.
    pub(super) at: Timestamp,
    /// The note before it in its bucket.
    previous: u64,
    begin: u32,
    captured: u32,
    /// Octets on the wire.
    pub(super) length: u32,
    /// Number of its interface.
    pub(super) interface: u32,
    /// Whether it is to be written.
    pub(super) state: State,
}

/// Whether a frame is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Remembered,
    Wanted,
    Written,
}

#[derive(Debug)]
pub(super) struct Store {
    octets: Vec<u8>,
    /// Where the next frame goes.
    next: usize,
    notes: VecDeque<Note>,
    most_notes: usize,
    /// Ordinal of the oldest note. The first note of all has 1.
    first: u64,
    buckets: Vec<u64>,
}

impl Store {
    /// A store that takes `limit_bytes` of memory. Five eighths are for octets: then packets of 160 octets and larger ones
    /// fill them before they fill the notes.
    pub(super) fn new(limit_bytes: usize) -> Self {
        let octets = (limit_bytes / 8 * 5).min(u32::MAX as usize);
        // Besides the note: a bucket at most, and the recorder's list of wanted ones, which grows by doubling.
        let most_notes = (limit_bytes / 8 * 3) / (size_of::<Note>() + 3 * size_of::<u64>());
        let buckets = if most_notes == 0 { 0 } else { 1 << most_notes.ilog2() };
        Self {
            octets: vec![0; octets],
            next: 0,
            notes: VecDeque::with_capacity(most_notes),
            most_notes,
            first: 1,
            buckets: vec![0; buckets],
        }
    }

    pub(super) fn oldest(&self) -> Option<&Note> {
        self.notes.front()
    }

    pub(super) fn forget_oldest(&mut self) {
        if self.notes.pop_front().is_some() {
            self.first += 1;
        }
        if self.notes.is_empty() {
            self.next = 0;
        }
    }

    /// Whether a frame of so many octets can be stored at all.
    pub(super) fn fits(&self, captured: usize) -> bool {
        captured < self.octets.len() && self.most_notes > 0
    }

    /// Whether the oldest frame must be forgotten before one of so many octets can be stored.
    pub(super) fn is_in_the_way(&self, captured: usize) -> bool {
        let Some(oldest) = self.notes.front() else { return false };
        let (begin, end) = (oldest.begin as usize, oldest.begin as usize + oldest.captured.max(1) as usize);
        let overlaps = |from: usize, until: usize| begin < until && from < end;
        let at = self.place(captured);
        let rest_of_lap = at < self.next && overlaps(self.next, self.octets.len());
        self.notes.len() >= self.most_notes || rest_of_lap || overlaps(at, at + captured.max(1))
    }

    /// Where a frame goes: at the next place, or at the begin where the rest of the lap is too short.
    fn place(&self, captured: usize) -> usize {
        if self.next + captured.max(1) <= self.octets.len() { self.next } else { 0 }
    }

    /// Stores a frame that fits and has nothing in its way.
    pub(super) fn push(&mut self, connection: u64, captured: &Captured<'_>, interface: u32) {
        let begin = self.place(captured.octets.len());
        let Some(room) = self.octets.get_mut(begin..begin + captured.octets.len()) else { return };
        room.copy_from_slice(captured.octets);
        self.next = begin + captured.octets.len().max(1);
        let ordinal = self.first + self.notes.len() as u64;
        let bucket = self.bucket(connection);
        let Some(newest) = self.buckets.get_mut(bucket) else { return };
        self.notes.push_back(Note {
            connection,
            at: captured.at,
            previous: std::mem::replace(newest, ordinal),
            begin: begin as u32,
            captured: captured.octets.len() as u32,
            length: captured.length,
            interface,
            state: State::Remembered,
        });
    }

    /// Marks the frames of a connection up to `until` as wanted, and appends the ordinals of those that were not before.
    pub(super) fn want(&mut self, connection: u64, until: Timestamp, wanted: &mut Vec<u64>) {
        let mut ordinal = self.buckets.get(self.bucket(connection)).copied().unwrap_or(0);
        while let Some(note) = index(ordinal, self.first).and_then(|index| self.notes.get_mut(index)) {
            if note.connection == connection && note.at <= until && note.state == State::Remembered {
                note.state = State::Wanted;
                wanted.push(ordinal);
            }
            ordinal = note.previous;
        }
    }

    /// A frame that is written now.
    pub(super) fn written(&mut self, ordinal: u64) -> Option<(Note, &[u8])> {
        let note = self.notes.get_mut(index(ordinal, self.first)?)?;
        note.state = State::Written;
        let begin = note.begin as usize;
        Some((*note, self.octets.get(begin..begin + note.captured as usize)?))
    }

    fn bucket(&self, connection: u64) -> usize {
        connection as usize & self.buckets.len().saturating_sub(1)
    }
}

/// Where in the queue a note stands that was not forgotten.
fn index(ordinal: u64, first: u64) -> Option<usize> {
    usize::try_from(ordinal.checked_sub(first)?).ok()
}

#[cfg(test)]
mod tests;
