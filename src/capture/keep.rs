//! Keeps frames on disk: in come captured frames, out come pcapng files that are whole after every write.
//!
//! [`ring::Ring`] keeps all that is captured (`-w`), [`recorder::Recorder`] what belongs to incidents (`--record`). A disk
//! that fails ends the keeping and nothing else: the first error is given back once, and from then on nothing is written.

pub mod recorder;
pub mod ring;
mod store;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use hashbrown::HashMap;

use crate::flow::steer::Captured;
use crate::wire::link::LinkType;
use crate::wire::pcapng::write::{self, Interface};

/// Why frames are not kept, or no longer. `Display` is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be made.
    #[error("{}: cannot keep packets there: {source}; {}", path.display(), place(source))]
    Create {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot write: {source}; no more packets are kept, what was written until then can be read{}", path.display(), remedy(source))]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The oldest file of a ring cannot be removed.
    #[error("{}: cannot be removed to make room: {source}; no more packets are kept", path.display())]
    Remove {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A number of files without a size.
    #[error("-b files:{0} needs -b filesize:KIB: without it the first file is never full")]
    FilesWithoutSize(u32),
    /// A ring on standard output.
    #[error("-w - writes one stream to standard output: it takes no -b")]
    RingToStdout,
    /// The recorder's file has something else in it.
    #[error("{}: is not a pcapng file; name another one to record to, or remove it", .0.display())]
    Foreign(PathBuf),
    /// The recorder's file is a pipe.
    #[error("{}: is a pipe; --record adds to a file, and -w writes to a pipe too", .0.display())]
    Pipe(PathBuf),
    /// The recorder's file is as large as it may be.
    #[error("{}: holds {limit_mib} MiB of incidents, and more are not recorded; move it away and start again", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
        /// How large it may be.
        limit_mib: u64,
    },
}

impl Error {
    /// Whether the reader of a pipe left, which is no failure.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn place(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::NotFound => "make its directory first",
        io::ErrorKind::IsADirectory => "name a file in it",
        io::ErrorKind::PermissionDenied => {
            "name a file in a directory that the user who called sudo may write, or that belongs to another user than root: \
             privileges are given up before files are written"
        }
        _ => "name another file",
    }
}

fn remedy(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; -b filesize:KIB -b files:N bound a capture's size"
        }
        _ => "",
    }
}

/// The interfaces of a capture, as its files number them.
#[derive(Clone, Debug, Default)]
pub struct Interfaces {
    described: Vec<Interface>,
    numbers: HashMap<Key, u32>,
}

/// Input, interface in it, link type: frames that agree in these share an interface.
type Key = (u16, u32, LinkType);

impl Interfaces {
    /// Describes interface `index` of input `input`. What is not described before its first packet is written without a
    /// name and a snaplen.
    pub fn describe(&mut self, input: u16, index: u32, interface: Interface) {
        self.add((input, index, interface.link), interface);
    }

    fn add(&mut self, key: Key, interface: Interface) -> u32 {
        let number = u32::try_from(self.described.len()).unwrap_or(u32::MAX);
        self.described.push(interface);
        self.numbers.insert(key, number);
        number
    }

    /// The frame's interface.
    fn number(&mut self, captured: &Captured<'_>) -> u32 {
        let key = (captured.frame.input(), captured.interface, captured.link);
        match self.numbers.get(&key) {
            Some(number) => *number,
            None => self.add(key, Interface { name: String::new(), link: captured.link, snaplen: 0 }),
        }
    }

    fn find(&self, input: u16, index: u32) -> Option<u32> {
        let of = |(key, number): (&Key, &u32)| ((key.0, key.1) == (input, index)).then_some(*number);
        self.numbers.iter().filter_map(of).min()
    }

    fn get(&self, number: u32) -> Option<&Interface> {
        self.described.get(number as usize)
    }

    fn len(&self) -> u32 {
        u32::try_from(self.described.len()).unwrap_or(u32::MAX)
    }
}

/// A pcapng file that grows by whole blocks.
#[derive(Debug)]
struct Blocks {
    path: PathBuf,
    to: To,
    /// Whole blocks that are not written yet.
    waiting: Vec<u8>,
    /// Interfaces that this file describes.
    interfaces: u32,
    /// Octets of the file, those that wait included.
    octets: u64,
}

#[derive(Debug)]
enum To {
    File(File),
    Stdout(io::Stdout),
}

impl Blocks {
    fn new(path: PathBuf, to: To, octets: u64) -> Self {
        let mut new = Self { path, to, waiting: Vec::with_capacity(2 * FLUSH_OCTETS), interfaces: 0, octets };
        new.append(|out| write::section(concat!("netwatch502 ", env!("CARGO_PKG_VERSION")), out));
        new
    }

    /// Appends a block.
    fn append(&mut self, block: impl FnOnce(&mut Vec<u8>)) {
        let before = self.waiting.len();
        block(&mut self.waiting);
        self.octets += (self.waiting.len() - before) as u64;
    }

    /// Describes the interfaces up to `number`, as far as the file does not yet.
    fn describe(&mut self, interfaces: &Interfaces, until: u32) {
        while self.interfaces < until {
            let Some(interface) = interfaces.get(self.interfaces) else { return };
            self.append(|out| write::interface(interface, out));
            self.interfaces += 1;
        }
    }

    /// Appends a packet; what waits is written once it is much.
    fn packet(&mut self, packet: &write::Packet<'_>) -> Result<(), Error> {
        self.append(|out| write::packet(packet, out));
        if self.waiting.len() >= FLUSH_OCTETS { self.flush() } else { Ok(()) }
    }

    /// Writes what waits. Where that fails the file is cut behind its last whole block.
    fn flush(&mut self) -> Result<(), Error> {
        let mut done = 0;
        while let Some(rest) = self.waiting.get(done..).filter(|rest| !rest.is_empty()) {
            let written = match &mut self.to {
                To::File(file) => file.write(rest),
                To::Stdout(stdout) => stdout.write(rest).and_then(|octets| stdout.flush().map(|()| octets)),
            };
            match written {
                Ok(0) => return Err(self.failed(done, io::ErrorKind::WriteZero.into())),
                Ok(octets) => done += octets,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(done, error)),
            }
        }
        self.waiting.clear();
        Ok(())
    }

    fn failed(&mut self, done: usize, source: io::Error) -> Error {
        let whole = whole_blocks(&self.waiting, done);
        if let To::File(file) = &self.to
            && file.metadata().is_ok_and(|metadata| metadata.is_file())
        {
            let written = self.octets - self.waiting.len() as u64;
            // Cutting needs no room; where even that fails the last block stays broken, and readers say so.
            let _ = file.set_len(written + whole as u64);
        }
        self.waiting.clear();
        Error::Write { path: self.path.clone(), source }
    }
}

/// Octets of the blocks that lie wholly within the first `done` ones.
fn whole_blocks(blocks: &[u8], done: usize) -> usize {
    let mut end = 0;
    while let Some(length) = blocks.get(end + 4..).and_then(|rest| rest.first_chunk::<4>()) {
        let next = end + u32::from_le_bytes(*length) as usize;
        if next > done {
            break;
        }
        end = next;
    }
    end
}

/// Opens a file that only its owner may read.
fn open(options: &mut OpenOptions, path: &Path) -> Result<File, Error> {
    let fail = |source| Error::Create { path: path.to_owned(), source };
    let file = options.write(true).mode(0o600).open(path).map_err(fail)?;
    if file.metadata().map_err(fail)?.is_file() {
        // A file that was there keeps its mode otherwise.
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(fail)?;
    }
    Ok(file)
}

/// Octets that wait before they are written.
const FLUSH_OCTETS: usize = 64 << 10;
