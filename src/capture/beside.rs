//! Reading with two hands: of a file whose packets are large, copying its octets is most of the work there is. Another thread reads
//! every second chunk, while who asks reads the one before.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::ahead::{CHUNK_BYTES, Chunk, Chunks, HEADROOM, Reader, Readers};

/// A file that is read so.
pub(super) struct Beside {
    _reader: Reader,
    file: Arc<File>,
    /// Where the next octets stand.
    at: u64,
    /// Where those stand that the other thread was asked for: every second chunk from the next one on.
    asked: VecDeque<u64>,
    ask: SyncSender<(Vec<u8>, u64)>,
    read: Receiver<io::Result<Chunk>>,
    empty: Vec<Vec<u8>>,
    counted: Arc<AtomicU64>,
}

impl Beside {
    /// Begins at an offset; counts what it reads. `None` where no thread can be had.
    pub(super) fn begin(file: File, at: u64, counted: Arc<AtomicU64>, readers: &Readers) -> Option<Self> {
        let reader = readers.begin()?;
        let file = Arc::new(file);
        let (ask, to_read) = sync_channel::<(Vec<u8>, u64)>(MOST_ASKED);
        let (give, read): (Sender<io::Result<Chunk>>, _) = channel();
        let theirs = Arc::clone(&file);
        let thread = thread::Builder::new().name("read".to_owned());
        let spawned = thread.spawn(move || {
            for (buffer, at) in to_read {
                if give.send(chunk_at(&theirs, buffer, at)).is_err() {
                    return;
                }
            }
        });
        spawned.ok()?;
        Some(Self { _reader: reader, file, at, asked: VecDeque::new(), ask, read, empty: Vec::new(), counted })
    }

    /// Asks the other thread for every second chunk behind those that it was asked for. Each time that it has to be woken costs as
    /// much as to read a chunk.
    fn ask_for_more(&mut self) {
        while self.asked.len() < MOST_ASKED {
            let at = self.asked.back().map_or(self.at + CHUNK, |last| last + 2 * CHUNK);
            let buffer = self.empty.pop().unwrap_or_default();
            if self.ask.send((buffer, at)).is_err() {
                return;
            }
            self.asked.push_back(at);
        }
    }

    /// What the other thread read of what it was asked for first.
    fn answer(&mut self) -> io::Result<Chunk> {
        self.asked.pop_front();
        self.read.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that reads is gone")))
    }

    /// The file ended, when it was read, before what was asked for, and went on since: of that nothing fits.
    fn give_up(&mut self) -> io::Result<()> {
        while !self.asked.is_empty() {
            let beyond = self.answer()?;
            self.give_back(beyond.buffer);
        }
        Ok(())
    }
}

impl Chunks for Beside {
    fn next(&mut self, is_large: bool) -> io::Result<Option<Chunk>> {
        let next = self.asked.front().copied();
        if next.is_some_and(|next| next != self.at && next != self.at + CHUNK) {
            self.give_up()?;
        }
        if is_large {
            self.ask_for_more();
        }
        let theirs = if next == Some(self.at) { Some(self.answer()?) } else { None };
        let chunk = match theirs {
            Some(theirs) if theirs.end == HEADROOM + CHUNK_BYTES => theirs,
            // Where the file ended when it was read it may have gone on since.
            theirs => {
                let buffer = theirs.map(|theirs| theirs.buffer).or_else(|| self.empty.pop());
                chunk_at(&self.file, buffer.unwrap_or_default(), self.at)?
            }
        };
        let octets = (chunk.end - HEADROOM) as u64;
        self.at += octets;
        self.counted.fetch_add(octets, Ordering::Relaxed);
        Ok((octets > 0).then_some(chunk))
    }

    fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= HEADROOM + CHUNK_BYTES && self.empty.len() < MOST_EMPTY {
            self.empty.push(buffer);
        }
    }
}

/// A chunk of a file: as much as there is.
fn chunk_at(file: &File, mut buffer: Vec<u8>, at: u64) -> io::Result<Chunk> {
    buffer.resize(HEADROOM + CHUNK_BYTES, 0);
    let mut end = HEADROOM;
    while let Some(room) = buffer.get_mut(end..).filter(|room| !room.is_empty()) {
        match file.read_at(room, at + (end - HEADROOM) as u64) {
            Ok(0) => break,
            Ok(octets) => end += octets,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // What was read before is given first; asked again, the error comes again.
            Err(_) if end > HEADROOM => break,
            Err(error) => return Err(error),
        }
    }
    Ok(Chunk { buffer, end })
}

const CHUNK: u64 = CHUNK_BYTES as u64;
/// Chunks that the other thread is asked for at a time.
const MOST_ASKED: usize = 8;
/// Buffers that are kept for the chunks to come.
const MOST_EMPTY: usize = 12;

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A file of so many octets, each pair of which says where it stands.
    fn file(octets: u32) -> (tempfile::NamedTempFile, Vec<u8>) {
        let content: Vec<u8> = (0..octets).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&content).unwrap();
        (file, content)
    }

    fn begin(file: &tempfile::NamedTempFile, at: u64) -> (Beside, Arc<AtomicU64>) {
        let counted = Arc::new(AtomicU64::new(at));
        let beside = Beside::begin(file.reopen().unwrap(), at, Arc::clone(&counted), &Readers::default());
        (beside.unwrap(), counted)
    }

    /// All that is left of it.
    fn rest(beside: &mut Beside, mut is_large: impl FnMut() -> bool) -> Vec<u8> {
        let mut octets = Vec::new();
        while let Some(chunk) = beside.next(is_large()).unwrap() {
            octets.extend_from_slice(&chunk.buffer[HEADROOM..chunk.end]);
            beside.give_back(chunk.buffer);
        }
        octets
    }

    #[test]
    fn two_hands_read_what_one_does() {
        for octets in [0, 1, CHUNK_BYTES as u32, 5 * CHUNK_BYTES as u32, 7 * CHUNK_BYTES as u32 + 11] {
            let (file, content) = file(octets);
            for at in [0, 24.min(octets)] {
                for period in [1, 2, 3, 100] {
                    let (mut beside, counted) = begin(&file, at.into());
                    let mut turn = 0;
                    let read = rest(&mut beside, || {
                        turn += 1;
                        turn % period == 0
                    });
                    assert!(read == content[at as usize..], "{octets} octets from {at}");
                    assert_eq!(counted.load(Ordering::Relaxed), u64::from(octets));
                }
            }
        }
    }

    #[test]
    fn a_file_may_grow_while_it_is_read() {
        let (mut file, mut content) = file(CHUNK_BYTES as u32 + 1000);
        let (mut beside, _) = begin(&file, 0);
        let mut read = rest(&mut beside, || true);
        let more = vec![7; 3 * CHUNK_BYTES + 5];
        file.write_all(&more).unwrap();
        content.extend_from_slice(&more);
        read.extend(rest(&mut beside, || true));
        assert!(read == content);
    }
}
