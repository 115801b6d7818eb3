//! Frames on their way from the capture thread: in come libpcap's packets, out come [`Captured`]s. The octets of all
//! frames stand in one vector, which goes back when the batch is dropped, so that nothing is allocated for a packet.

use std::fmt;
use std::mem;
use std::sync::mpsc::Sender;

use crate::event::Frame;
use crate::flow::steer::Captured;
use crate::limits;
use crate::time::Timestamp;
use crate::wire::link::LinkType;

/// Some frames, in order. Dropping it gives its memory back to the capture thread, which needs it.
pub struct Batch {
    buffer: Buffer,
    first: u64,
    home: Sender<Buffer>,
}

impl Batch {
    pub(super) fn new(buffer: Buffer, first: u64, home: Sender<Buffer>) -> Self {
        Self { buffer, first, home }
    }

    /// The frames, numbered from 1 in the order of delivery over all batches. All count as in focus.
    #[must_use]
    pub fn iter(&self) -> Frames<'_> {
        Frames { buffer: &self.buffer, index: 0, first: self.first }
    }

    /// How many frames; never none.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.buffer.len()
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Captured<'a>;
    type IntoIter = Frames<'a>;

    fn into_iter(self) -> Frames<'a> {
        self.iter()
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut buffer = mem::take(&mut self.buffer);
        buffer.clear();
        // Where the capture thread has ended, nobody needs it.
        let _ = self.home.send(buffer);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("first", &self.first).field("frames", &self.len()).finish_non_exhaustive()
    }
}

/// The frames of a batch.
#[derive(Clone)]
pub struct Frames<'a> {
    buffer: &'a Buffer,
    index: usize,
    first: u64,
}

impl<'a> Iterator for Frames<'a> {
    type Item = Captured<'a>;

    #[inline]
    fn next(&mut self) -> Option<Captured<'a>> {
        let (record, octets) = self.buffer.get(self.index)?;
        let number = self.first + self.index as u64;
        self.index += 1;
        Some(Captured {
            frame: Frame::new(0, number),
            at: record.at,
            link: record.link,
            interface: u32::from(record.interface),
            length: record.length,
            focused: true,
            octets,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.buffer.len() - self.index;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Frames<'_> {}

/// Frames without numbers.
#[derive(Default)]
pub(super) struct Buffer {
    records: Vec<Record>,
    octets: Vec<u8>,
}

/// How much a buffer takes before it counts as full. The last frame may exceed it.
#[derive(Clone, Copy)]
pub(super) struct Level {
    frames: usize,
    bytes: usize,
}

impl Level {
    /// As much as is handed over at once.
    pub(super) const BATCH: Self = Self { frames: limits::LIVE_BATCH_FRAMES, bytes: limits::LIVE_BATCH_BYTES };
}

/// What is known of a frame besides its octets.
#[derive(Clone, Copy)]
pub(super) struct Record {
    pub(super) at: Timestamp,
    pub(super) length: u32,
    pub(super) interface: u16,
    pub(super) link: LinkType,
    start: usize,
    captured: u32,
}

impl Buffer {
    #[inline]
    pub(super) fn push(&mut self, at: Timestamp, interface: u16, link: LinkType, length: u32, octets: &[u8]) {
        let start = self.octets.len();
        self.octets.extend_from_slice(octets);
        // libpcap counts captured octets in 32 bits.
        self.records.push(Record { at, length, interface, link, start, captured: octets.len() as u32 });
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(&Record, &[u8])> {
        let record = self.records.get(index)?;
        Some((record, self.octets.get(record.start..record.start + record.captured as usize)?))
    }

    pub(super) fn last(&self) -> Option<Timestamp> {
        self.records.last().map(|record| record.at)
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.octets.len()
    }

    /// Frames of `snaplen` octets at most that it may still take up to `level`; 0 where it is full.
    pub(super) fn room(&self, level: Level, snaplen: u32) -> usize {
        if self.bytes() >= level.bytes {
            return 0;
        }
        let frames = level.frames.saturating_sub(self.len());
        frames.min((level.bytes - self.bytes()).div_ceil(snaplen.max(1) as usize))
    }

    /// A batch more than what it has.
    pub(super) fn level(&self) -> Level {
        let (frames, bytes) = (self.len() + limits::LIVE_BATCH_FRAMES, self.bytes() + limits::LIVE_BATCH_BYTES);
        Level { frames, bytes }
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.octets.clear();
    }

    /// Forgets the first `count` frames.
    pub(super) fn forget(&mut self, count: usize) {
        let Some(start) = self.records.get(count).map(|record| record.start) else {
            self.clear();
            return;
        };
        self.octets.drain(..start);
        self.records.drain(..count);
        for record in &mut self.records {
            record.start -= start;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_leaves_the_rest_as_it_was() {
        let mut buffer = Buffer::default();
        for number in 0..5_u8 {
            let octets = vec![number; usize::from(number) + 1];
            buffer.push(Timestamp::from_nanos(i64::from(number)), 0, LinkType::ETHERNET, 100, &octets);
        }
        buffer.forget(3);
        assert_eq!((buffer.len(), buffer.bytes()), (2, 9));
        assert_eq!(buffer.get(0).unwrap().1, [3; 4]);
        assert_eq!(buffer.get(1).unwrap().1, [4; 5]);
        buffer.forget(2);
        assert_eq!((buffer.len(), buffer.bytes()), (0, 0));
    }

    #[test]
    fn a_buffer_is_full_by_frames_or_by_octets() {
        let mut buffer = Buffer::default();
        assert_eq!(buffer.room(Level::BATCH, 96), limits::LIVE_BATCH_FRAMES);
        assert_eq!(buffer.room(Level::BATCH, limits::LIVE_BATCH_BYTES as u32), 1);
        buffer.push(Timestamp::default(), 0, LinkType::ETHERNET, 1, &vec![0; limits::LIVE_BATCH_BYTES - 1]);
        assert_eq!(buffer.room(Level::BATCH, 96), 1);
        buffer.push(Timestamp::default(), 0, LinkType::ETHERNET, 1, &[0]);
        assert_eq!(buffer.room(Level::BATCH, 96), 0);
        assert_eq!(buffer.room(buffer.level(), 96), limits::LIVE_BATCH_FRAMES);
    }
}
