//! Large reads and a sliding window: in comes a stream, out comes a window of octets that moves forward over it.
//!
//! ```text
//!             taken        filled             room
//! buffer  |............|###############|................|
//!                      ^ position      ^ received
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread;

use super::ahead::{Ahead, Chunks, HEADROOM, Readers};
use super::beside::Beside;

/// A window over a stream. Memory: [`READ_BYTES`], or what is read ahead; more only while an item that is larger arrives, and
/// as long as others keep buffers.
pub(super) struct Window {
    stream: Stream,
    readers: Readers,
    buffer: Arc<Vec<u8>>,
    /// Buffers that are read, but were kept by others when they were last looked at.
    kept: Vec<Arc<Vec<u8>>>,
    filled: Range<usize>,
    /// Octets that are to be stepped over before the window begins.
    behind: usize,
    /// Octets that came out of the stream.
    received: u64,
    end: Option<io::Result<()>>,
    /// The file that the stream reads, where it is one as it stands, and what counts its octets.
    file: Option<(File, Arc<AtomicU64>)>,
    /// Whether packets were large so far.
    is_large: bool,
}

/// Where octets come from.
enum Stream {
    /// They are read as they are asked for.
    AtHand(Box<dyn Read + Send>),
    /// Another thread reads them, or a part of them.
    Chunks(Box<dyn Chunks>),
}

impl Window {
    /// Begins with a small buffer: of hundreds of files most may only be looked at for now. The rest is read ahead where there is
    /// a processor for that.
    pub(super) fn new(stream: Box<dyn Read + Send>, readers: Readers) -> Self {
        Self {
            stream: Stream::AtHand(stream),
            readers,
            buffer: Arc::new(vec![0; FIRST_READ_BYTES]),
            kept: Vec::new(),
            filled: 0..0,
            behind: 0,
            received: 0,
            end: None,
            file: None,
            is_large: false,
        }
    }

    /// The stream is a file, as it stands, whose octets are counted.
    pub(super) fn reads_file(&mut self, file: File, counted: Arc<AtomicU64>) {
        self.file = Some((file, counted));
    }

    /// So large were packets on average so far.
    pub(super) const fn expect(&mut self, octets: u64) {
        self.is_large = octets >= LARGE;
    }

    /// The stream takes work to read: it is read ahead from its beginning.
    pub(super) fn ahead(stream: Box<dyn Read + Send>, readers: Readers) -> Self {
        let mut window = Self::new(stream, readers);
        window.read_ahead();
        window
    }

    /// The octets at hand.
    #[inline]
    pub(super) fn filled(&self) -> &[u8] {
        self.buffer.get(self.filled.clone()).unwrap_or_default()
    }

    /// Where `range` of [`Self::filled`] will be found by [`Self::kept`] until more is read.
    #[inline]
    pub(super) const fn keep(&self, range: Range<usize>) -> Range<usize> {
        self.filled.start + range.start..self.filled.start + range.end
    }

    /// Octets that [`Self::keep`] marked.
    #[inline]
    pub(super) fn kept(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// The buffer of which [`Self::keep`] marks a part. Who has it keeps it from being read into.
    #[inline]
    pub(super) const fn buffer(&self) -> &Arc<Vec<u8>> {
        &self.buffer
    }

    /// Position of the window's begin in the stream.
    pub(super) fn position(&self) -> u64 {
        self.received - self.filled.len() as u64
    }

    /// Octets that came out of the stream so far.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// Whether the window's begin lies behind the stream's end: the stream ended in the middle of what was stepped over.
    pub(super) const fn beyond_end(&self) -> bool {
        self.behind > 0
    }

    /// Why the stream ended before its end, where it did.
    pub(super) fn failure(&self) -> Option<&io::Error> {
        self.end.as_ref().and_then(|end| end.as_ref().err())
    }

    /// Steps forward, perhaps beyond what is at hand.
    #[inline]
    pub(super) fn step(&mut self, octets: usize) {
        let at_hand = self.filled.len();
        if octets <= at_hand {
            self.filled.start += octets;
        } else {
            self.filled.start = self.filled.end;
            self.behind += octets - at_hand;
        }
    }

    /// Reads until the window has `needed` octets. False where the stream ends before.
    ///
    /// The buffer doubles when it is full of octets that arrived, never because of what `needed` says.
    #[cold]
    pub(super) fn fill(&mut self, needed: usize) -> bool {
        while self.behind > 0 || self.filled.len() < needed {
            if self.end.is_some() {
                return false;
            }
            match self.read() {
                Ok(0) => self.end = Some(Ok(())),
                Ok(octets) => {
                    self.received += octets as u64;
                    self.filled.end += octets;
                    let over = self.behind.min(octets);
                    self.behind -= over;
                    self.filled.start += over;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.end = Some(Err(error)),
            }
        }
        true
    }

    /// Puts the next octets behind those at hand, and tells how many they are.
    fn read(&mut self) -> io::Result<usize> {
        if self.received > 0 && self.buffer.len() == FIRST_READ_BYTES && processors() > 2 {
            self.read_ahead();
        }
        if self.is_large && !self.readers.is_crowded() {
            self.read_beside();
        }
        let left = self.filled.len();
        match &mut self.stream {
            Stream::AtHand(stream) => {
                if Arc::get_mut(&mut self.buffer).is_none() {
                    change(&mut self.buffer, &mut self.filled, &mut self.kept);
                }
                let buffer = Arc::make_mut(&mut self.buffer);
                make_room(buffer, &mut self.filled, self.received > 0);
                stream.read(buffer.get_mut(self.filled.end..).unwrap_or_default())
            }
            Stream::Chunks(chunks) => {
                let Some(mut chunk) = chunks.next(self.is_large)? else { return Ok(0) };
                let octets = chunk.end - HEADROOM;
                if left <= HEADROOM {
                    let begin = HEADROOM - left;
                    let at_hand = self.buffer.get(self.filled.clone()).unwrap_or_default();
                    if let Some(room) = chunk.buffer.get_mut(begin..HEADROOM) {
                        room.copy_from_slice(at_hand);
                    }
                    self.filled = begin..HEADROOM;
                    self.kept.push(std::mem::replace(&mut self.buffer, Arc::new(chunk.buffer)));
                    for buffer in std::mem::take(&mut self.kept) {
                        match Arc::try_unwrap(buffer) {
                            Ok(buffer) => chunks.give_back(buffer),
                            Err(kept) => self.kept.push(kept),
                        }
                    }
                } else {
                    let buffer = Arc::make_mut(&mut self.buffer);
                    buffer.truncate(self.filled.end);
                    buffer.drain(..self.filled.start);
                    self.filled = 0..left;
                    buffer.extend_from_slice(chunk.buffer.get(HEADROOM..chunk.end).unwrap_or_default());
                    chunks.give_back(chunk.buffer);
                }
                Ok(octets)
            }
        }
    }

    /// From now on a thread reads.
    fn read_ahead(&mut self) {
        if let Stream::AtHand(stream) = &mut self.stream {
            let stream = std::mem::replace(stream, Box::new(io::empty()));
            let begun = Ahead::begin(stream, &self.readers);
            self.stream = begun.map_or_else(Stream::AtHand, |ahead| Stream::Chunks(Box::new(ahead)));
        }
    }

    /// From now on another thread reads every second chunk, where that is of use. It is asked for once.
    fn read_beside(&mut self) {
        if let (Some((file, counted)), Stream::AtHand(_)) = (self.file.take(), &self.stream)
            && processors() == 2
            && let Some(beside) = Beside::begin(file, self.received, counted, &self.readers)
        {
            self.stream = Stream::Chunks(Box::new(beside));
        }
    }
}

/// Goes on in another buffer, since others keep this one: in one that they have let go of, where there is one.
fn change(buffer: &mut Arc<Vec<u8>>, filled: &mut Range<usize>, kept: &mut Vec<Arc<Vec<u8>>>) {
    let free = kept.iter_mut().position(|kept| Arc::get_mut(kept).is_some());
    let mut next = free.map(|at| kept.swap_remove(at)).unwrap_or_default();
    let at_hand = buffer.get(filled.clone()).unwrap_or_default();
    let room = Arc::make_mut(&mut next);
    room.resize(READ_BYTES.max(at_hand.len()), 0);
    room.shrink_to_fit();
    if let Some(begin) = room.get_mut(..at_hand.len()) {
        begin.copy_from_slice(at_hand);
    }
    *filled = 0..at_hand.len();
    kept.push(std::mem::replace(buffer, next));
}

/// Makes room behind what is filled.
fn make_room(buffer: &mut Vec<u8>, filled: &mut Range<usize>, has_begun: bool) {
    buffer.copy_within(filled.clone(), 0);
    *filled = 0..filled.len();
    if has_begun && buffer.len() < READ_BYTES {
        buffer.resize(READ_BYTES, 0);
    } else if filled.end == buffer.len() {
        buffer.resize(buffer.len() * 2, 0);
    } else if buffer.len() > READ_BYTES && filled.end < READ_BYTES / 2 {
        buffer.truncate(READ_BYTES);
        buffer.shrink_to_fit();
    }
}

/// With more than two, a thread that reads has one to itself. With two, who takes frames apart has one and who judges the other;
/// and octets that another processor copied are slower to get at than to copy, where they are looked at.
fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Octets read at once: larger buffers fall out of the second-level cache, smaller ones cost system calls.
const READ_BYTES: usize = 256 << 10;

const FIRST_READ_BYTES: usize = 4 << 10;
/// Packets of which so many octets or more are captured are mostly copied, and hardly looked at.
const LARGE: u64 = 1000;
