//! Large reads and a sliding window: in comes a stream, out comes a window of octets that moves forward over it.
//!
//! ```text
//!             taken        filled             room
//! buffer  |............|###############|................|
//!                      ^ position      ^ received
//! ```

use std::io::{self, Read};
use std::ops::Range;

/// A window over a stream. Memory: [`READ_BYTES`], more only while an item that is larger arrives.
pub(super) struct Window {
    stream: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    filled: Range<usize>,
    /// Octets that are to be stepped over before the window begins.
    behind: usize,
    /// Octets that came out of the stream.
    received: u64,
    end: Option<io::Result<()>>,
}

impl Window {
    /// Begins with a small buffer: of hundreds of files most may only be looked at for now.
    pub(super) fn new(stream: Box<dyn Read + Send>) -> Self {
        Self { stream, buffer: vec![0; FIRST_READ_BYTES], filled: 0..0, behind: 0, received: 0, end: None }
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
            self.make_room();
            let room = self.buffer.get_mut(self.filled.end..).unwrap_or_default();
            match self.stream.read(room) {
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

    fn make_room(&mut self) {
        self.buffer.copy_within(self.filled.clone(), 0);
        self.filled = 0..self.filled.len();
        if self.received > 0 && self.buffer.len() < READ_BYTES {
            self.buffer.resize(READ_BYTES, 0);
        } else if self.filled.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        } else if self.buffer.len() > READ_BYTES && self.filled.end < READ_BYTES / 2 {
            self.buffer.truncate(READ_BYTES);
            self.buffer.shrink_to_fit();
        }
    }
}

/// Octets read at once: larger buffers fall out of the second-level cache, smaller ones cost system calls.
const READ_BYTES: usize = 256 << 10;

const FIRST_READ_BYTES: usize = 4 << 10;
