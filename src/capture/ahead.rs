//! Reading ahead: in comes a stream that takes work to read, out comes the same stream, read by a thread of its own while
//! what came before is looked at. Memory: [`MOST_CHUNKS`] + 2 times [`CHUNK_BYTES`].

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

/// What `stream` holds, read ahead. Where no thread can be had it is read as it is asked for.
pub(super) fn ahead(stream: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
    let (full, chunks) = sync_channel(MOST_CHUNKS);
    let (emptied, empty) = channel();
    let (hand_over, handed_over) = channel();
    let thread = thread::Builder::new().name("unpack".to_owned());
    let spawned = thread.spawn(move || {
        if let Ok(stream) = handed_over.recv() {
            read_on(stream, &full, &empty);
        }
    });
    if spawned.is_err() {
        return stream;
    }
    match hand_over.send(stream) {
        Ok(()) => Box::new(Ahead { chunks, emptied, chunk: Vec::new(), taken: 0 }),
        Err(refused) => refused.0,
    }
}

type Chunk = io::Result<Vec<u8>>;

/// Reads to the end, or until nobody asks any more.
fn read_on(mut stream: Box<dyn Read + Send>, full: &SyncSender<Chunk>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK_BYTES, 0);
        let read = stream.read(&mut chunk);
        let is_last = !matches!(&read, Ok(octets) if *octets > 0);
        if let Err(error) = &read
            && error.kind() == io::ErrorKind::Interrupted
        {
            continue;
        }
        let chunk = read.map(|octets| {
            chunk.truncate(octets);
            chunk
        });
        if full.send(chunk).is_err() || is_last {
            return;
        }
    }
}

/// The stream as it comes out of the thread.
struct Ahead {
    chunks: Receiver<Chunk>,
    emptied: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    taken: usize,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken >= self.chunk.len() {
            let Ok(next) = self.chunks.recv() else { return Ok(0) };
            let emptied = std::mem::replace(&mut self.chunk, next?);
            self.taken = 0;
            // Who reads may have come to its end.
            let _ = self.emptied.send(emptied);
        }
        let mut rest = self.chunk.get(self.taken..).unwrap_or_default();
        let octets = rest.read(buffer)?;
        self.taken += octets;
        Ok(octets)
    }
}

/// Octets that are handed over at once.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks that may wait.
const MOST_CHUNKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut read = Vec::new();
        let failure = ahead(Box::new(Failing(3 * CHUNK_BYTES + 1))).read_to_end(&mut read).unwrap_err();
        assert_eq!((read.len(), read.iter().all(|octet| *octet == 7)), (3 * CHUNK_BYTES + 1, true));
        assert_eq!(failure.to_string(), "the disk is on fire");
        let text: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
        read.clear();
        ahead(Box::new(io::Cursor::new(text.clone()))).read_to_end(&mut read).unwrap();
        assert!(read == text);
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
        let mut endless = ahead(Box::new(Endless(gone)));
        let mut first = [0; 10];
        endless.read_exact(&mut first).unwrap();
        drop(endless);
        dropped.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    }
}
