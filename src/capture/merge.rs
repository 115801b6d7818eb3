//! The merge: in come inputs, each in its own order, out comes one stream in the order of time.
//!
//! Within an input the order of the file stands, whatever its stamps say. Between inputs the earlier stamp goes first; where
//! the stamps of an input step back, it is ordered by the latest one before.
//!
//! A rotated set can have hundreds of files, of which one is being read at a time: each is looked at when the source opens,
//! closed again, and opened when its first packet's turn has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Read};

use super::Error;
use super::ahead::Readers;
use super::input::{Input, Refused};
use super::names::{Named, expand};
use super::stretch::{Stretch, Taken};
use crate::flow::steer::Captured;
use crate::report;
use crate::time::Timestamp;
use crate::wire::tls::keylog::Entry;

/// Frames of one or several inputs, as one stream in the order of time. Memory: 300 KiB for each input that is being read, 2 MiB
/// for each of the few that are read ahead, and up to 128 MiB more for one with zstd, as its window demands.
pub struct Source {
    inputs: Vec<Merged>,
    readers: Readers,
    /// Inputs by the time of their next packet; empty for a single one. The input that gave the last frame is not in it.
    turns: BinaryHeap<Reverse<(Timestamp, usize)>>,
    last: Option<usize>,
    /// The input of the frame at hand.
    current: Option<usize>,
    secrets: Vec<Entry>,
}

struct Merged {
    named: Named,
    /// Size of the file; `None` for pipes.
    size: Option<u64>,
    state: State,
    /// Greatest stamp so far, where there are several inputs.
    latest: Timestamp,
}

enum State {
    /// Closed until its turn comes; what was seen of it.
    Waiting(Summary),
    Open(Box<Input>),
    Over(Summary),
}

struct Summary {
    described: report::Input,
    complete: bool,
    drops: u64,
    raw_bytes: u64,
}

impl Source {
    /// Opens all inputs that `names` stand for: file names, patterns with `*` and `?`, or `-` for standard input.
    ///
    /// # Errors
    ///
    /// Where an input cannot be read or is no capture. One that is empty, or cut anywhere, is no error.
    pub fn open(names: &[String]) -> Result<Self, Error> {
        let named = expand(names)?;
        if named.len() > usize::from(u16::MAX) + 1 {
            return Err(Error::TooMany(named.len()));
        }
        let alone = named.len() == 1;
        let mut inputs = Vec::with_capacity(named.len());
        let mut turns = BinaryHeap::new();
        let readers = Readers::default();
        for (index, named) in named.into_iter().enumerate() {
            let mut input = Merged::open(named, &readers)?;
            if !alone && let Some(at) = input.turn() {
                turns.push(Reverse((at, index)));
                input.wait();
            }
            inputs.push(input);
        }
        Ok(Self { inputs, readers, turns, last: None, current: None, secrets: Vec::new() })
    }

    /// The next frame in the order of time, `focused`; `None` at the end of all inputs.
    #[expect(clippy::should_implement_trait, reason = "the frame borrows the window, which an Iterator cannot lend")]
    pub fn next(&mut self) -> Option<Captured<'_>> {
        if self.advance() { self.frame() } else { None }
    }

    /// Moves to the next frame in the order of time. False at the end of all inputs.
    pub fn advance(&mut self) -> bool {
        self.current = match self.inputs.as_mut_slice() {
            [only] => {
                let moved = only.advance();
                self.secrets.append(&mut only.take_secrets());
                moved.then_some(0)
            }
            _ => self.turn(),
        };
        self.current.is_some()
    }

    /// The frame at hand, `focused`.
    #[must_use]
    pub fn frame(&self) -> Option<Captured<'_>> {
        self.stretch().map(|stretch| stretch.frame())
    }

    /// The frame at hand, and those whose turn is next, as far as that can be seen at once.
    #[must_use]
    pub fn stretch(&self) -> Option<Stretch<'_>> {
        let index = self.current?;
        match &self.inputs.get(index)?.state {
            State::Open(input) => Some(input.stretch(index as u16, self.inputs.len() == 1)),
            State::Waiting(_) | State::Over(_) => None,
        }
    }

    /// So much of a stretch was taken, and is not given again.
    pub fn took(&mut self, taken: Taken) {
        if let Some(input) = self.current.take().and_then(|current| self.inputs.get_mut(current))
            && let State::Open(input) = &mut input.state
        {
            input.took(taken);
        }
    }

    /// Whether there are secrets to be taken.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// The secrets of TLS connections that stood in the inputs before the frame at hand (Decryption Secrets Blocks of pcapng),
    /// but for those that were given before.
    pub fn take_secrets(&mut self) -> Vec<Entry> {
        if self.has_secrets() {
            self.leave_processors();
        }
        std::mem::take(&mut self.secrets)
    }

    /// Who takes the frames has work for all processors: plain files are read by nobody else.
    pub fn leave_processors(&self) {
        self.readers.crowd();
    }

    /// What is known of each input, in the order of the names; all that can be known after the end.
    #[must_use]
    pub fn inputs(&self) -> Vec<report::Input> {
        self.inputs
            .iter()
            .map(|input| {
                let mut described = input.summary().described;
                described.bytes = input.size.map_or(described.bytes, |size| size.max(described.bytes));
                described
            })
            .collect()
    }

    /// Whether every input ended as its format demands.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.inputs.iter().all(|input| input.summary().complete)
    }

    /// Octets read so far, and of all inputs; `None` where one is a pipe.
    #[must_use]
    pub fn progress(&self) -> (u64, Option<u64>) {
        let read = self.inputs.iter().map(|input| match &input.state {
            State::Waiting(_) => 0,
            State::Open(open) => open.raw_bytes(),
            State::Over(summary) => summary.raw_bytes.max(input.size.unwrap_or(0)),
        });
        (read.sum(), self.inputs.iter().map(|input| input.size).sum())
    }

    /// Packets that the capturing hosts dropped, as far as the files say (`isb_ifdrop` and `isb_osdrop` of pcapng).
    #[must_use]
    pub fn kernel_drops(&self) -> u64 {
        self.inputs.iter().fold(0, |sum, input| sum.saturating_add(input.summary().drops))
    }

    /// The input whose packet is next, moved to that packet.
    #[inline(never)]
    fn turn(&mut self) -> Option<usize> {
        let mut candidate = self.last.take().and_then(|last| self.ready(last));
        loop {
            let next = match (candidate.take(), self.turns.peek()) {
                (Some(key), Some(Reverse(first))) if key < *first => key,
                (Some(key), None) => key,
                (candidate, Some(_)) => {
                    let Reverse(first) = self.turns.pop()?;
                    if let Some(key) = candidate {
                        self.turns.push(Reverse(key));
                    }
                    first
                }
                (None, None) => return None,
            };
            let index = next.1;
            if matches!(self.inputs.get(index)?.state, State::Waiting(_)) {
                candidate = self.wake(index);
                continue;
            }
            self.last = Some(index);
            return Some(index);
        }
    }

    /// Moves an input on, and says when its turn is.
    fn ready(&mut self, index: usize) -> Option<(Timestamp, usize)> {
        let input = self.inputs.get_mut(index)?;
        let at = input.turn();
        self.secrets.append(&mut input.take_secrets());
        Some((at?, index))
    }

    /// Opens an input again whose turn has come. Its first packet is looked at anew: a ring may have overwritten the file.
    #[cold]
    fn wake(&mut self, index: usize) -> Option<(Timestamp, usize)> {
        self.inputs.get_mut(index)?.reopen(&self.readers);
        self.ready(index)
    }
}

impl Merged {
    fn open(named: Named, readers: &Readers) -> Result<Self, Error> {
        let Octets { stream, size, file } = octets(&named).map_err(|error| Error::from_io(&named.display(), error))?;
        match Input::open(stream, readers) {
            Ok(mut input) => {
                file.into_iter().for_each(|file| input.reads_file(file));
                Ok(Self { named, size, state: State::Open(Box::new(input)), latest: Timestamp::from_nanos(i64::MIN) })
            }
            Err(Refused::Io(error)) => Err(Error::from_io(&named.display(), error)),
            Err(Refused::NotACapture(found)) => Err(Error::NotACapture { name: named.display(), found }),
        }
    }

    fn advance(&mut self) -> bool {
        let State::Open(input) = &mut self.state else { return false };
        let moved = input.advance();
        if !moved {
            self.end();
        }
        moved
    }

    #[cold]
    fn end(&mut self) {
        self.state = State::Over(self.summary());
    }

    /// Moves on, and says when its turn is.
    #[inline(never)]
    fn turn(&mut self) -> Option<Timestamp> {
        if !self.advance() {
            return None;
        }
        if let State::Open(input) = &self.state {
            self.latest = self.latest.max(input.at());
        }
        Some(self.latest)
    }

    fn take_secrets(&mut self) -> Vec<Entry> {
        match &mut self.state {
            State::Open(input) => input.take_secrets(),
            State::Waiting(_) | State::Over(_) => Vec::new(),
        }
    }

    /// Closes the file until its turn comes. Pipes stay open.
    fn wait(&mut self) {
        if self.size.is_some() {
            self.state = State::Waiting(self.summary());
        }
    }

    fn reopen(&mut self, readers: &Readers) {
        self.latest = Timestamp::from_nanos(i64::MIN);
        let opened = octets(&self.named).map(|Octets { stream, file, .. }| (Input::open(stream, readers), file));
        let failure = match opened {
            Ok((Ok(mut input), file)) => {
                file.into_iter().for_each(|file| input.reads_file(file));
                self.state = State::Open(Box::new(input));
                return;
            }
            Ok((Err(Refused::NotACapture(found)), _)) => format!("it was overwritten: {found}"),
            Ok((Err(Refused::Io(error)), _)) | Err(error) => error.to_string(),
        };
        let mut summary = self.summary();
        summary.described.packets = 0;
        summary.described.ended = format!("could not be opened a second time, before the first packet: {failure}");
        self.state = State::Over(summary);
    }

    fn summary(&self) -> Summary {
        match &self.state {
            State::Open(input) => Summary {
                described: input.describe(self.named.display()),
                complete: input.complete(),
                drops: input.drops(),
                raw_bytes: input.raw_bytes(),
            },
            State::Waiting(summary) | State::Over(summary) => Summary {
                described: summary.described.clone(),
                complete: summary.complete,
                drops: summary.drops,
                raw_bytes: summary.raw_bytes,
            },
        }
    }
}

/// The octets of an input.
struct Octets {
    stream: Box<dyn Read + Send>,
    /// How many they are where it is a file.
    size: Option<u64>,
    /// That file.
    file: Option<File>,
}

fn octets(named: &Named) -> io::Result<Octets> {
    match named {
        Named::StandardInput => Ok(Octets { stream: Box::new(io::stdin()), size: None, file: None }),
        Named::File(path) => {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            let size = metadata.is_file().then_some(metadata.len());
            let same = size.and_then(|_| file.try_clone().ok());
            Ok(Octets { stream: Box::new(file), size, file: same })
        }
    }
}
