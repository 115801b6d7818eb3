//! `-w FILE`, with `-b` a ring of files: in come frames, out come pcapng files, the oldest of which are removed.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Blocks, Error, Interfaces, To, open};
use crate::flow::steer::Captured;
use crate::time::Timestamp;
use crate::wire::pcapng::write::{self, Counted, Interface, Packet};

/// When a ring turns to its next file, and how many it keeps: `-b`. By default one file takes all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Octets that no file exceeds by more than what the interfaces counted. A file has a packet at least.
    pub file_bytes: Option<u64>,
    /// Files that are kept; without it, all.
    pub files: Option<u32>,
}

/// Frames kept in one file or in a ring of files, named as tshark names them: `base_00001_YYYYmmddHHMMSS.ext`, in UTC.
///
/// Memory: 128 KiB, and the names of the files where their number is bounded.
#[derive(Debug)]
pub struct Ring {
    path: PathBuf,
    turn: Turn,
    interfaces: Interfaces,
    /// By number of the interface: what it had counted when the current file began, and what by now.
    counters: Vec<Option<[Counted; 2]>>,
    /// Number of the current file, from 1.
    number: u64,
    /// The files that were made and are still there, oldest first.
    kept: VecDeque<PathBuf>,
    /// Packets in the current file.
    packets: u64,
    last: Timestamp,
    /// `None` once writing has failed.
    file: Option<Blocks>,
}

impl Ring {
    /// Makes the first file. `-` is standard output.
    ///
    /// # Errors
    ///
    /// The bounds contradict each other, or the file cannot be made.
    pub fn create(path: &Path, turn: Turn, interfaces: Interfaces) -> Result<Self, Error> {
        if let (Some(files), None) = (turn.files, turn.file_bytes) {
            return Err(Error::FilesWithoutSize(files));
        }
        if path == Path::new(STDOUT) && turn != Turn::default() {
            return Err(Error::RingToStdout);
        }
        let mut ring = Self {
            path: path.to_owned(),
            turn,
            interfaces,
            counters: Vec::new(),
            number: 0,
            kept: VecDeque::new(),
            packets: 0,
            last: Timestamp::default(),
            file: None,
        };
        ring.file = Some(ring.next_file()?);
        ring.flush()?;
        Ok(ring)
    }

    /// Describes another interface: one that came up later.
    pub fn describe(&mut self, input: u16, index: u32, interface: Interface) {
        self.interfaces.describe(input, index, interface);
    }

    /// Keeps a frame.
    ///
    /// # Errors
    ///
    /// The first failure, once; after it nothing is written and `Ok` is given back.
    pub fn keep(&mut self, captured: &Captured<'_>) -> Result<(), Error> {
        let Some(file) = &self.file else { return Ok(()) };
        let interface = self.interfaces.number(captured);
        let more = write::packet_octets(captured.octets.len()) as u64;
        if self.packets > 0 && self.turn.file_bytes.is_some_and(|most| file.octets + more > most) {
            self.turn_over()?;
        }
        let Self { file: Some(file), interfaces, .. } = self else { return Ok(()) };
        file.describe(interfaces, interface + 1);
        let Captured { at, length, octets, .. } = *captured;
        let kept = file.packet(&Packet { interface, at, length, octets, comment: None });
        (self.last, self.packets) = (at, self.packets + 1);
        self.unless_failed(kept)
    }

    /// Takes note of what an interface counted since the capture began. Each file ends with what was counted during it, so
    /// that the files together say what was counted in all.
    pub fn counted(&mut self, input: u16, index: u32, counted: Counted) {
        let Some(number) = self.interfaces.find(input, index) else { return };
        let number = number as usize;
        if self.counters.len() <= number {
            self.counters.resize(number + 1, None);
        }
        if let Some(counters) = self.counters.get_mut(number) {
            let [_, now] = counters.get_or_insert_default();
            *now = counted;
        }
    }

    /// Writes what waits. Called each second, a reader of the file is at most that much behind.
    ///
    /// # Errors
    ///
    /// As [`Self::keep`].
    pub fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.file.as_mut().map_or(Ok(()), Blocks::flush);
        self.unless_failed(flushed)
    }

    /// Ends the current file.
    ///
    /// # Errors
    ///
    /// As [`Self::keep`].
    pub fn finish(mut self) -> Result<(), Error> {
        self.end_file()
    }

    /// The file that is written now; `None` once writing has failed.
    #[must_use]
    pub fn current(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    fn turn_over(&mut self) -> Result<(), Error> {
        self.end_file()?;
        self.file = None;
        self.file = Some(self.next_file()?);
        self.packets = 0;
        Ok(())
    }

    /// Appends what the interfaces counted during this file, and writes what waits.
    fn end_file(&mut self) -> Result<(), Error> {
        let Self { file: Some(file), interfaces, counters, last, .. } = self else { return Ok(()) };
        file.describe(interfaces, interfaces.len());
        for (number, counters) in (0..).zip(counters) {
            if let Some([before, now]) = counters {
                let during = during(*before, *now);
                file.append(|out| write::statistics(number, *last, during, out));
                *before = *now;
            }
        }
        self.flush()
    }

    fn next_file(&mut self) -> Result<Blocks, Error> {
        if self.path == Path::new(STDOUT) {
            return Ok(self.blocks(self.path.clone(), To::Stdout(io::stdout())));
        }
        self.number += 1;
        let path = if self.turn.file_bytes.is_some() { self.numbered() } else { self.path.clone() };
        if let Some(files) = self.turn.files {
            while self.kept.len() >= files.max(1) as usize {
                self.remove_oldest()?;
            }
            self.kept.push_back(path.clone());
        }
        let file = open(OpenOptions::new().create(true).truncate(true), &path)?;
        Ok(self.blocks(path, To::File(file)))
    }

    fn blocks(&self, path: PathBuf, to: To) -> Blocks {
        let mut blocks = Blocks::new(path, to, 0);
        blocks.describe(&self.interfaces, self.interfaces.len());
        blocks
    }

    fn remove_oldest(&mut self) -> Result<(), Error> {
        let Some(path) = self.kept.pop_front() else { return Ok(()) };
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Remove { path, source }),
            _ => Ok(()),
        }
    }

    /// `base_00001_YYYYmmddHHMMSS.ext`.
    fn numbered(&self) -> PathBuf {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::default() + since_epoch;
        let digits: String = now.to_string().chars().filter(char::is_ascii_digit).take(14).collect();
        let mut name = OsString::from(self.path.file_stem().unwrap_or_default());
        name.push(format!("_{:05}_{digits}", self.number));
        if let Some(extension) = self.path.extension() {
            name.push(".");
            name.push(extension);
        }
        self.path.with_file_name(name)
    }

    /// A failure ends the writing.
    fn unless_failed(&mut self, done: Result<(), Error>) -> Result<(), Error> {
        if done.is_err() {
            self.file = None;
        }
        done
    }
}

fn during(before: Counted, now: Counted) -> Counted {
    Counted {
        received: now.received.saturating_sub(before.received),
        dropped_by_kernel: now.dropped_by_kernel.saturating_sub(before.dropped_by_kernel),
        dropped_by_interface: now.dropped_by_interface.saturating_sub(before.dropped_by_interface),
    }
}

const STDOUT: &str = "-";
