//! Reading ahead: in comes a stream that takes work to read, out come its octets in chunks, read by a thread of its own while
//! what came before is looked at. Memory: [`MOST_CHUNKS`] + 3 times [`CHUNK_BYTES`].

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// How many streams of a source are read ahead.
#[derive(Clone, Default)]
pub(super) struct Readers(Arc<AtomicUsize>);

/// One of them, as long as it is.
struct Reader(Arc<AtomicUsize>);

impl Readers {
    /// One more; `None` where there are as many as there may be.
    fn begin(&self) -> Option<Reader> {
        let more = |count| (count < MOST_READERS).then_some(count + 1);
        let begun = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        begun.is_ok().then(|| Reader(Arc::clone(&self.0)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream that a thread reads.
pub(super) struct Ahead {
    _reader: Reader,
    chunks: Receiver<io::Result<Chunk>>,
    emptied: Sender<Vec<u8>>,
}

/// Octets of a stream.
pub(super) struct Chunk {
    /// They begin behind [`HEADROOM`] others.
    pub(super) buffer: Vec<u8>,
    /// And end here.
    pub(super) end: usize,
}

impl Ahead {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// Where no thread can be had, or there are as many as there may be, the stream comes back.
    pub(super) fn begin(stream: Box<dyn Read + Send>, readers: &Readers) -> Result<Self, Box<dyn Read + Send>> {
        let Some(reader) = readers.begin() else { return Err(stream) };
        let (full, chunks) = sync_channel(MOST_CHUNKS);
        let (emptied, empty) = channel();
        let (hand_over, handed_over) = channel();
        let thread = thread::Builder::new().name("read".to_owned());
        let spawned = thread.spawn(move || {
            if let Ok(stream) = handed_over.recv() {
                read_on(stream, &full, &empty);
            }
        });
        if spawned.is_err() {
            return Err(stream);
        }
        hand_over.send(stream).map_err(|refused| refused.0)?;
        Ok(Self { _reader: reader, chunks, emptied })
    }

    /// The next octets; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Chunk>> {
        self.chunks.recv().map_or(Ok(None), |chunk| chunk.map(Some))
    }

    /// Takes back a buffer that a chunk came in.
    pub(super) fn give_back(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= HEADROOM + CHUNK_BYTES {
            // Who reads may have come to its end.
            let _ = self.emptied.send(buffer);
        }
    }
}

/// Reads to the end, or until nobody asks any more.
fn read_on(mut stream: Box<dyn Read + Send>, full: &SyncSender<io::Result<Chunk>>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(HEADROOM + CHUNK_BYTES, 0);
        let chunk = match stream.read(buffer.get_mut(HEADROOM..).unwrap_or_default()) {
            Ok(0) => return,
            Ok(octets) => Ok(Chunk { buffer, end: HEADROOM + octets }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = chunk.is_err();
        if full.send(chunk).is_err() || is_last {
            return;
        }
    }
}

/// Streams that are read ahead at a time.
const MOST_READERS: usize = 8;
/// Room before the octets of a chunk, for what is left over of the one before.
pub(super) const HEADROOM: usize = 64 << 10;
/// Octets that are handed over at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that may wait.
const MOST_CHUNKS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    /// All that comes, and what ended it.
    fn read(stream: impl Read + Send + 'static) -> (Vec<u8>, Option<io::Error>) {
        let Ok(mut ahead) = Ahead::begin(Box::new(stream), &Readers::default()) else { panic!("no thread") };
        let mut octets = Vec::new();
        loop {
            match ahead.next() {
                Ok(Some(chunk)) => {
                    octets.extend_from_slice(&chunk.buffer[HEADROOM..chunk.end]);
                    ahead.give_back(chunk.buffer);
                }
                Ok(None) => return (octets, None),
                Err(error) => return (octets, Some(error)),
            }
        }
    }

    #[test]
    fn what_is_read_ahead_is_what_stood_there_and_an_error_comes_behind_it() {
        struct Failing(usize);
        impl Read for Failing {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(io::Error::other("the disk is on fire"));
                }
                let octets = self.0.min(buffer.len()).min(1000);
                buffer[..octets].fill(7);
                self.0 -= octets;
                Ok(octets)
            }
        }
        let (octets, failure) = read(Failing(3 * CHUNK_BYTES + 1));
        assert_eq!((octets.len(), octets.iter().all(|octet| *octet == 7)), (3 * CHUNK_BYTES + 1, true));
        assert_eq!(failure.unwrap().to_string(), "the disk is on fire");
        let text: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        let (octets, failure) = read(io::Cursor::new(text.clone()));
        assert!(octets == text && failure.is_none());
    }

    #[test]
    fn who_stops_reading_leaves_no_thread_behind() {
        struct Endless(Sender<()>);
        impl Read for Endless {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                buffer.fill(1);
                Ok(buffer.len())
            }
        }
        impl Drop for Endless {
            fn drop(&mut self) {
                self.0.send(()).unwrap();
            }
        }
        let (gone, dropped) = channel();
        let Ok(mut endless) = Ahead::begin(Box::new(Endless(gone)), &Readers::default()) else { panic!("no thread") };
        assert!(endless.next().unwrap().is_some());
        drop(endless);
        dropped.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    }

    #[test]
    fn so_many_are_read_ahead_and_no_more() {
        let readers = Readers::default();
        let begin = || Ahead::begin(Box::new(io::empty()), &readers).ok();
        let mut some: Vec<_> = (0..MOST_READERS).map(|_| begin().unwrap()).collect();
        assert!(begin().is_none());
        some.pop();
        assert!(begin().is_some());
    }
}
