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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use super::ahead::{Ahead, HEADROOM, Readers};
use super::buffer::Buffer;
use super::content::Content;
use super::mapped::{self, Mapped};

/// A window over a stream. Memory: [`READ_BYTES`], or what is read ahead; more only while an item that is larger arrives, and
/// as long as others keep buffers.
pub(super) struct Window {
    stream: Stream,
    readers: Readers,
    buffer: Arc<Buffer>,
    /// Buffers that are read, but were kept by others when they were last looked at.
    kept: Vec<Arc<Buffer>>,
    filled: Range<usize>,
    /// Octets that are to be stepped over before the window begins.
    behind: usize,
    /// Octets that came out of the stream.
    received: u64,
    end: Option<io::Result<()>>,
    /// The file that the stream reads, where it is one that may yet be mapped, and what counts its octets.
    file: Option<(File, Arc<AtomicU64>)>,
    /// Whether it was chosen how to go on.
    has_chosen: bool,
}

/// Where octets come from.
enum Stream {
    /// They are read as they are asked for.
    AtHand(Box<dyn Read + Send>),
    /// Another thread reads them.
    Ahead(Ahead),
    /// They are mapped, part by part.
    Mapped(File, Arc<AtomicU64>),
}

impl Window {
    /// A window over a stream, which may read a `file` as it stands, whose octets are counted.
    ///
    /// Begins with a small buffer: of hundreds of files most may only be looked at for now. The rest of a file is mapped, where
    /// that can be, and what else there is is read ahead where there is a processor for that.
    pub(super) fn new(stream: Box<dyn Read + Send>, file: Option<(File, Arc<AtomicU64>)>, readers: Readers) -> Self {
        Self {
            stream: Stream::AtHand(stream),
            readers,
            buffer: Arc::new(vec![0; FIRST_READ_BYTES].into()),
            kept: Vec::new(),
            filled: 0..0,
            behind: 0,
            received: 0,
            end: None,
            file,
            has_chosen: false,
        }
    }

    /// The stream takes work to read: it is read ahead from its beginning.
    pub(super) fn ahead(stream: Box<dyn Read + Send>, readers: Readers) -> Self {
        let mut window = Self::new(stream, None, readers);
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
    pub(super) const fn buffer(&self) -> &Arc<Buffer> {
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

    /// Whether octets at hand were gone when they were looked at, and are zeros instead.
    pub(super) fn is_broken(&self) -> bool {
        self.buffer.is_broken()
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
        self.choose();
        let left = self.filled.len();
        match &mut self.stream {
            Stream::AtHand(stream) => {
                if Arc::get_mut(&mut self.buffer).is_none() {
                    change(&mut self.buffer, &mut self.filled, &mut self.kept);
                }
                let buffer = Buffer::own(&mut self.buffer);
                make_room(buffer, &mut self.filled, self.received > 0);
                stream.read(buffer.get_mut(self.filled.end..).unwrap_or_default())
            }
            Stream::Ahead(chunks) => {
                let Some(mut chunk) = chunks.next()? else { return Ok(0) };
                let octets = chunk.end - HEADROOM;
                if left <= HEADROOM {
                    let begin = HEADROOM - left;
                    let at_hand = self.buffer.get(self.filled.clone()).unwrap_or_default();
                    if let Some(room) = chunk.buffer.get_mut(begin..HEADROOM) {
                        room.copy_from_slice(at_hand);
                    }
                    self.filled = begin..HEADROOM;
                    self.kept.push(std::mem::replace(&mut self.buffer, Arc::new(chunk.buffer.into())));
                    for buffer in std::mem::take(&mut self.kept) {
                        match Arc::try_unwrap(buffer) {
                            Ok(buffer) => buffer.into_read().into_iter().for_each(|buffer| chunks.give_back(buffer)),
                            Err(kept) => self.kept.push(kept),
                        }
                    }
                } else {
                    let buffer = Buffer::own(&mut self.buffer);
                    buffer.truncate(self.filled.end);
                    buffer.drain(..self.filled.start);
                    self.filled = 0..left;
                    buffer.extend_from_slice(chunk.buffer.get(HEADROOM..chunk.end).unwrap_or_default());
                    chunks.give_back(chunk.buffer);
                }
                Ok(octets)
            }
            Stream::Mapped(file, counted) => {
                if self.buffer.is_broken() {
                    return Err(io::Error::other(GONE));
                }
                let Some((part, at)) = part(file, self.received - left as u64, left)? else { return Ok(0) };
                let octets = part.len() - at - left;
                counted.fetch_add(octets as u64, Ordering::Relaxed);
                self.filled = at..at + left;
                self.buffer = Arc::new(part.into());
                Ok(octets)
            }
        }
    }

    /// Chooses, once the beginning was looked at, how to go on. Mapping a file takes less time than copying it, and who reads ahead
    /// needs a processor to itself: with two, who takes frames apart has one, and who judges the other.
    fn choose(&mut self) {
        if self.received <= Content::ENOUGH as u64 || std::mem::replace(&mut self.has_chosen, true) {
            return;
        }
        if let Some((file, counted)) = self.file.take()
            && let Ok(Some(_)) = part(&file, self.received, 0)
        {
            self.stream = Stream::Mapped(file, counted);
        } else if processors() > 2 {
            self.read_ahead();
        }
    }

    /// From now on a thread reads.
    fn read_ahead(&mut self) {
        self.has_chosen = true;
        if let Stream::AtHand(stream) = &mut self.stream {
            let stream = std::mem::replace(stream, Box::new(io::empty()));
            self.stream = Ahead::begin(stream, &self.readers).map_or_else(Stream::AtHand, Stream::Ahead);
        }
    }
}

/// The part of a file in which so many octets stand that are known, and more, where there are more; and at which place of it.
fn part(file: &File, from: u64, known: usize) -> io::Result<Option<(Mapped, usize)>> {
    let at = (from % mapped::page() as u64) as usize;
    let begin = from - at as u64;
    let most = PART_BYTES.max(2 * (at + known)) as u64;
    let octets = file.metadata()?.len().saturating_sub(begin).min(most) as usize;
    if octets <= at + known { Ok(None) } else { Ok(Some((Mapped::new(file, begin, octets)?, at))) }
}

/// Goes on in another buffer, since others keep this one: in one that they have let go of, where there is one.
fn change(buffer: &mut Arc<Buffer>, filled: &mut Range<usize>, kept: &mut Vec<Arc<Buffer>>) {
    let free = kept.iter_mut().position(|kept| Arc::get_mut(kept).is_some());
    let mut next = free.map(|at| kept.swap_remove(at)).unwrap_or_default();
    let at_hand = buffer.get(filled.clone()).unwrap_or_default();
    let room = Buffer::own(&mut next);
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

/// How many there are; to ask takes several system calls.
fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| thread::available_parallelism().map_or(1, NonZero::get))
}

/// Octets read at once: larger buffers fall out of the second-level cache, smaller ones cost system calls.
const READ_BYTES: usize = 256 << 10;

const FIRST_READ_BYTES: usize = 4 << 10;
/// Octets that are mapped at once.
const PART_BYTES: usize = 8 << 20;
/// Why a file ends where octets of it are zeros now.
pub(super) const GONE: &str =
    "octets of it were gone when they were looked at: it was cut short meanwhile, or its disk fails";

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// All octets of a window from its begin on.
    fn rest(window: &mut Window) -> Vec<u8> {
        let mut octets = Vec::new();
        while window.fill(1) {
            octets.extend_from_slice(window.filled());
            window.step(window.filled().len());
        }
        octets
    }

    #[test]
    fn a_file_is_mapped_behind_its_beginning_and_may_grow_meanwhile() {
        let mut content: Vec<u8> = (0..5 * FIRST_READ_BYTES).map(|at| (at ^ (at >> 8)) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        let counted = Arc::new(AtomicU64::new(0));
        let mapped = Some((file.reopen().unwrap(), Arc::clone(&counted)));
        let mut window = Window::new(Box::new(file.reopen().unwrap()), mapped, Readers::default());
        assert!(window.fill(Content::ENOUGH) && matches!(window.stream, Stream::AtHand(_)));
        assert!(window.fill(FIRST_READ_BYTES + 1) && matches!(window.stream, Stream::Mapped(..)));
        let more = [7; 100];
        file.write_all(&more).unwrap();
        content.extend_from_slice(&more);
        assert!(rest(&mut window) == content && window.failure().is_none());
        assert_eq!(counted.load(Ordering::Relaxed), (content.len() - FIRST_READ_BYTES) as u64);
    }

    #[test]
    fn what_is_no_file_is_read() {
        let content: Vec<u8> = (0..3 * READ_BYTES).map(|at| (at ^ (at >> 8)) as u8).collect();
        let mut window = Window::new(Box::new(io::Cursor::new(content.clone())), None, Readers::default());
        assert!(rest(&mut window) == content && window.failure().is_none());
        assert!(!matches!(window.stream, Stream::Mapped(..)));
    }
}
