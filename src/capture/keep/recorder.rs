//! `--record FILE`, a flight recorder: in come all frames, which stay in memory for a while, and incidents; out goes a pcapng
//! file with the frames of the connections that the incidents are about. Nothing else touches the disk.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::store::{State, Store};
use super::{Blocks, Error, Interfaces, To, open};
use crate::event::Endpoint;
use crate::flow::steer::Captured;
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::packet::{self, Content};
use crate::wire::pcapng::write::{self, Interface, Packet};

/// Keeps the last frames of every TCP connection, and writes those that are asked for.
///
/// Memory: [`Limits::recorder_bytes`], all of it once that much has been captured within [`Limits::recorder_span`].
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    span: Duration,
    most_file_bytes: u64,
    interfaces: Interfaces,
    hasher: hashbrown::DefaultHashBuilder,
    store: Store,
    /// Frames that are to be written.
    wanted: Vec<u64>,
    /// Comments of frames that are to be written.
    comments: BTreeMap<u64, String>,
    file: Recording,
    failed: Option<Error>,
}

#[derive(Debug)]
enum Recording {
    /// No incident so far.
    NotYet,
    To(Blocks),
    /// It failed, or the file is full.
    Over,
}

impl Recorder {
    /// A recorder that makes its file with the first incident. To a file that is there it appends.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be appended to, or there is no directory for it.
    pub fn new(path: &Path, limits: &Limits, interfaces: Interfaces) -> Result<Self, Error> {
        let fail = |source| Error::Create { path: path.to_owned(), source };
        if path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            // Where nobody reads from it, a write would wait, and the run with it.
            return Err(Error::Pipe(path.to_owned()));
        }
        if path.exists() {
            let file = OpenOptions::new().read(true).append(true).open(path).map_err(fail)?;
            whole_octets(&file).map_err(fail)?.ok_or_else(|| Error::Foreign(path.to_owned()))?;
        } else if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
            directory.read_dir().map_err(fail)?;
        }
        Ok(Self {
            path: path.to_owned(),
            span: limits.recorder_span,
            most_file_bytes: limits.recorder_file_bytes,
            interfaces,
            hasher: hashbrown::DefaultHashBuilder::default(),
            store: Store::new(limits.recorder_bytes),
            wanted: Vec::new(),
            comments: BTreeMap::new(),
            file: Recording::NotYet,
            failed: None,
        })
    }

    /// Describes another interface: one that came up later.
    pub fn describe(&mut self, input: u16, index: u32, interface: Interface) {
        self.interfaces.describe(input, index, interface);
    }

    /// Takes note of a frame, if it is one of a TCP connection, a fragment, or an ICMP error about one.
    pub fn note(&mut self, captured: &Captured<'_>) {
        if matches!(self.file, Recording::Over) {
            return;
        }
        while self.store.oldest().is_some_and(|oldest| captured.at.since(oldest.at) > self.span) {
            self.make_way();
        }
        let Ok(packet) = packet::decode(captured.link, captured.octets, captured.length) else { return };
        let connection = match &packet.content {
            Content::Tcp(segment) => self.connection(
                Endpoint::new(packet.source, segment.source_port),
                Endpoint::new(packet.destination, segment.destination_port),
            ),
            Content::IcmpError(error) if error.protocol == TCP => {
                let (source_port, destination_port) = error.ports;
                self.connection(
                    Endpoint::new(error.source, source_port),
                    Endpoint::new(error.destination, destination_port),
                )
            }
            // Only the first one has ports: fragments are kept for whatever runs between their two hosts.
            Content::Fragment(fragment) if fragment.protocol == TCP => {
                self.connection(Endpoint::new(packet.source, 0), Endpoint::new(packet.destination, 0))
            }
            _ => return,
        };
        if !self.store.fits(captured.octets.len()) {
            return;
        }
        while self.store.is_in_the_way(captured.octets.len()) {
            self.make_way();
        }
        let interface = self.interfaces.number(captured);
        self.store.push(connection, captured, interface);
    }

    /// Asks for what is remembered of connections, up to `until`: their frames, and the ICMP errors and fragments that may
    /// belong to them. What an earlier incident asked for is not written again. The first frame gets the comment.
    ///
    /// There is no begin: what a connection did before belongs to its history, and a connection's frames stand in the file
    /// in their order, however its incidents overlap.
    ///
    /// The frames are written with the next [`Self::flush`], those of all incidents until then in one order. Between what
    /// two calls write, the time may step back.
    pub fn write_incident(&mut self, until: Timestamp, connections: &[(Endpoint, Endpoint)], comment: &str) {
        if matches!(self.file, Recording::Over) {
            return;
        }
        let before = self.wanted.len();
        for (one, other) in connections {
            let hosts = (Endpoint::new(one.ip(), 0), Endpoint::new(other.ip(), 0));
            for connection in [self.connection(*one, *other), self.connection(hosts.0, hosts.1)] {
                self.store.want(connection, until, &mut self.wanted);
            }
        }
        if let Some(first) = self.wanted.get(before..).and_then(|new| new.iter().min()) {
            let said = self.comments.entry(*first).or_default();
            if !said.is_empty() {
                said.push('\n');
            }
            said.extend(comment.chars().take(MOST_COMMENT_CHARS));
        }
        if self.comments.len() >= MOST_COMMENTS {
            self.write_wanted();
        }
    }

    /// Writes what incidents asked for.
    ///
    /// # Errors
    ///
    /// The first failure, once; after it nothing is remembered or written and `Ok` is given back.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.write_wanted();
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The oldest frame leaves; if an incident asked for it, it is written before.
    fn make_way(&mut self) {
        if self.store.oldest().is_some_and(|oldest| oldest.state == State::Wanted) {
            self.write_wanted();
        }
        self.store.forget_oldest();
    }

    fn write_wanted(&mut self) {
        if self.wanted.is_empty() {
            return;
        }
        if let Err(error) = self.try_write() {
            self.failed = Some(error);
            self.file = Recording::Over;
            self.store = Store::new(0);
        }
        self.wanted.clear();
        self.comments.clear();
    }

    fn try_write(&mut self) -> Result<(), Error> {
        if matches!(self.file, Recording::NotYet) {
            self.file = Recording::To(begin(&self.path)?);
        }
        let Self { file: Recording::To(file), wanted, store, comments, interfaces, .. } = self else { return Ok(()) };
        wanted.sort_unstable();
        for ordinal in wanted.iter() {
            let Some((note, octets)) = store.written(*ordinal) else { continue };
            let comment = comments.get(ordinal).map(String::as_str);
            let more = write::packet_octets(octets.len()) + comment.map_or(0, |comment| comment.len() + 12);
            if file.octets + more as u64 > self.most_file_bytes {
                file.flush()?;
                return Err(Error::Full { path: self.path.clone(), limit_mib: self.most_file_bytes >> 20 });
            }
            file.describe(interfaces, note.interface + 1);
            let (interface, at, length) = (note.interface, note.at, note.length);
            file.packet(&Packet { interface, at, length, octets, comment })?;
        }
        file.flush()
    }

    /// The same for both directions.
    fn connection(&self, one: Endpoint, other: Endpoint) -> u64 {
        self.hasher.hash_one((one.min(other), one.max(other)))
    }
}

/// Begins a section of the file, behind the last whole block where it is there already.
fn begin(path: &Path) -> Result<Blocks, Error> {
    let fail = |source| Error::Create { path: path.to_owned(), source };
    let file = open(OpenOptions::new().read(true).append(true).create(true), path)?;
    let whole = whole_octets(&file).map_err(fail)?.ok_or_else(|| Error::Foreign(path.to_owned()))?;
    if file.metadata().map_err(fail)?.len() > whole {
        file.set_len(whole).map_err(fail)?;
    }
    Ok(Blocks::new(path.to_owned(), To::File(file), whole))
}

/// Octets of a file's whole blocks; `None` for a file that is none of ours: not pcapng, or big endian.
fn whole_octets(file: &File) -> io::Result<Option<u64>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(Some(0));
    }
    let mut reader = BufReader::new(file);
    reader.rewind()?;
    let (mut end, mut head) = (0_u64, [0; 12]);
    while end + head.len() as u64 <= metadata.len() {
        reader.read_exact(&mut head)?;
        let [a, b, c, d, e, f, g, h, magic @ ..] = head;
        if end == 0 && ([a, b, c, d], magic) != (SECTION, LITTLE_ENDIAN) {
            return Ok(None);
        }
        let length = u32::from_le_bytes([e, f, g, h]);
        if (length as usize) < head.len() || end + u64::from(length) > metadata.len() {
            break;
        }
        end += u64::from(length);
        reader.seek_relative(i64::from(length) - head.len() as i64)?;
    }
    Ok((end > 0).then_some(end))
}

const TCP: u8 = 6;
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const LITTLE_ENDIAN: [u8; 4] = [0x4d, 0x3c, 0x2b, 0x1a];
/// Characters of one incident's comment.
const MOST_COMMENT_CHARS: usize = 1024;
/// Comments that wait to be written.
const MOST_COMMENTS: usize = 256;
