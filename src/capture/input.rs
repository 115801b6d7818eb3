//! One input: in comes a stream of octets, plain or compressed, out come its packets in the order of the file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ahead::Readers;
use super::content::{Content, DESCRIBED, described};
use super::file::{GONE, Window};
use super::stretch::{self, Located, Packets, Stretch, Taken};
use super::{decompress, link_name};
use crate::report;
use crate::time::Timestamp;
use crate::wire::link::LinkType;
use crate::wire::tls::keylog::{self, Entry};
use crate::wire::{pcap, pcapng};

/// An open input. Memory: a window, and what its decompressor holds.
pub(super) struct Input {
    window: Window,
    records: Records,
    compression: &'static str,
    raw_bytes: Arc<AtomicU64>,
    links: BTreeSet<u16>,
    /// Records that Wireshark numbers; packets and a few others.
    numbered: u64,
    packets: u64,
    first: Option<Timestamp>,
    current: Current,
    at: Timestamp,
    /// Secrets that stood before the packet at hand and were not yet asked for.
    secrets: Vec<Entry>,
    end: Option<End>,
}

enum Records {
    Pcap(pcap::Header),
    Pcapng(pcapng::Blocks),
    /// The input ended before it could be told what it is.
    Unknown,
}

impl Records {
    fn packets(&self) -> Packets<'_> {
        match self {
            Self::Pcapng(blocks) => Packets::Pcapng(blocks),
            Self::Pcap(header) => Packets::Pcap(*header),
            Self::Unknown => Packets::None,
        }
    }
}

/// The packet at hand, whose octets stay in the window; before the first one, and after the last, one without octets.
#[derive(Clone)]
struct Current {
    link: LinkType,
    interface: u32,
    length: u32,
    octets: Range<usize>,
}

impl Current {
    const NONE: Self = Self { link: LinkType::NULL, interface: 0, length: 0, octets: 0..0 };
}

enum End {
    Complete,
    Early(String),
}

/// Why a stream cannot be opened.
pub(super) enum Refused {
    /// The system cannot read it.
    Io(io::Error),
    /// It is no capture; what it is.
    NotACapture(String),
}

impl Input {
    /// Tells the format by the first octets and reads the file header. `file` is what the stream reads, where it is one.
    pub(super) fn open(stream: Box<dyn Read + Send>, file: Option<File>, readers: &Readers) -> Result<Self, Refused> {
        let readers = readers.clone();
        let raw_bytes = Arc::new(AtomicU64::new(0));
        let mut raw = Counted { stream, bytes: Arc::clone(&raw_bytes) };
        let begin = read_up_to(&mut raw, Content::ENOUGH).map_err(Refused::Io)?;
        let content = Content::of(&begin);
        let raw = io::Cursor::new(begin).chain(raw);
        let (window, compression) = match content {
            Content::Gzip => (Window::ahead(decompress::gzip(raw), readers), "gzip"),
            Content::Zstd => (Window::ahead(decompress::zstd(raw).map_err(Refused::Io)?, readers), "zstd"),
            _ => {
                let file = file.map(|file| (file, Arc::clone(&raw_bytes)));
                (Window::new(Box::new(raw), file, readers), "")
            }
        };
        let mut input = Self {
            window,
            records: Records::Unknown,
            compression,
            raw_bytes,
            links: BTreeSet::new(),
            numbered: 0,
            packets: 0,
            first: None,
            current: Current::NONE,
            at: Timestamp::default(),
            secrets: Vec::new(),
            end: None,
        };
        input.window.fill(Content::ENOUGH);
        match Content::of(input.window.filled()) {
            Content::Pcap => input.begin_pcap()?,
            Content::Pcapng if input.window.filled().len() >= Content::ENOUGH => {
                input.records = Records::Pcapng(pcapng::Blocks::default());
            }
            Content::Pcapng => input.end = Some(End::Early(input.cut_in_header())),
            _ => input.begin_nothing()?,
        }
        Ok(input)
    }

    /// Moves to the next packet. False at the end.
    pub(super) fn advance(&mut self) -> bool {
        let moved = self.end.is_none()
            && match self.records.packets().first(self.window.filled()) {
                Some(located) => {
                    self.take(located);
                    true
                }
                None => match &self.records {
                    Records::Pcapng(_) => self.advance_pcapng(),
                    Records::Pcap(header) => self.advance_pcap(*header),
                    Records::Unknown => false,
                },
            };
        if !moved {
            self.current = Current::NONE;
            return false;
        }
        self.packets += 1;
        if self.packets == 1 {
            self.first = Some(self.at);
        }
        true
    }

    /// The packet at hand, and, if it is to `go_on`, those that stand behind it.
    #[inline]
    pub(super) fn stretch(&self, input: u16, go_on: bool) -> Stretch<'_> {
        let Current { link, interface, length, octets } = self.current.clone();
        let (number, at, rest) = (self.numbered, self.at, self.window.filled());
        let end = self.window.keep(0..rest.len()).end;
        let left = end - octets.start;
        let octets = self.window.kept(octets);
        Stretch {
            input,
            host: 0,
            buffer: self.window.buffer(),
            packets: if go_on { self.records.packets() } else { Packets::None },
            current: stretch::Current { number, at, link, interface, length, octets, left },
            rest,
            end,
            begin: (number, rest.len()),
        }
    }

    /// So much of what stood behind the packet at hand was taken.
    pub(super) fn took(&mut self, taken: Taken) {
        self.packets += taken.packets;
        self.numbered += taken.packets;
        self.at = taken.at;
        self.window.step(taken.octets);
    }

    /// The secrets of TLS connections that the file gave since this was last asked.
    pub(super) fn take_secrets(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.secrets)
    }

    /// Time of the packet at hand.
    pub(super) const fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether there is a packet at hand.
    pub(super) const fn has_packet(&self) -> bool {
        self.packets > 0 && self.end.is_none()
    }

    /// Octets read of the file, compressed where it is.
    pub(super) fn raw_bytes(&self) -> u64 {
        self.raw_bytes.load(Ordering::Relaxed)
    }

    /// Whether the input ended as its format demands.
    pub(super) const fn complete(&self) -> bool {
        matches!(self.end, Some(End::Complete))
    }

    /// Packets that the capturing host dropped, as far as the file says.
    pub(super) fn drops(&self) -> u64 {
        match &self.records {
            Records::Pcapng(blocks) => blocks.drops(),
            _ => 0,
        }
    }

    /// All that is known of the input by now.
    pub(super) fn describe(&self, name: String) -> report::Input {
        let mut format = match self.records {
            Records::Pcap(_) => "pcap",
            Records::Pcapng(_) => "pcapng",
            Records::Unknown => "none",
        }
        .to_owned();
        if !self.compression.is_empty() && !matches!(self.records, Records::Unknown) {
            format.push('+');
            format.push_str(self.compression);
        }
        report::Input {
            name,
            format,
            link_types: self.links.iter().map(|&link| link_name(LinkType(link)).into_owned()).collect(),
            packets: self.packets,
            bytes: self.raw_bytes(),
            first: self.first,
            last: self.first.map(|_| self.at),
            ended: match &self.end {
                Some(End::Complete) => "complete".to_owned(),
                Some(End::Early(how)) => how.clone(),
                None => "not read to its end".to_owned(),
            },
            clock: None,
        }
    }

    /// Reads on up to the next packet.
    #[cold]
    fn advance_pcap(&mut self, header: pcap::Header) -> bool {
        loop {
            match header.record(self.window.filled()) {
                Ok(pcap::Record { at, length, octets }) => {
                    let end = octets.end;
                    self.take(Located { at: Some(at), link: header.link, interface: 0, length, octets, end });
                    return true;
                }
                Err(pcap::Unreadable::Truncated { needed }) => {
                    if !self.window.fill(needed) {
                        self.end = Some(self.stream_ended(self.window.filled().is_empty(), true));
                        return false;
                    }
                }
                Err(pcap::Unreadable::Malformed(rule)) => {
                    self.end = Some(self.corrupt(&rule));
                    return false;
                }
            }
        }
    }

    /// Steps over blocks up to the next packet.
    #[cold]
    fn advance_pcapng(&mut self) -> bool {
        loop {
            let Records::Pcapng(blocks) = &mut self.records else { return false };
            // What was stepped over may end behind the window, which is then empty.
            match blocks.next(self.window.filled()) {
                Ok((pcapng::Block::Packet(packet), end)) => {
                    let pcapng::Packet { at, link, interface, length, octets } = packet;
                    self.take(Located { at, link, interface, length, octets, end });
                    return true;
                }
                Ok((pcapng::Block::KeyLog(text), octets)) => {
                    let mut lines = keylog::Reader::default();
                    let mut take = |entry| self.secrets.push(entry);
                    lines.feed(self.window.filled().get(text).unwrap_or_default(), &mut take);
                    lines.finish(&mut take);
                    self.window.step(octets);
                }
                Ok((block, octets)) => {
                    self.numbered += u64::from(block == pcapng::Block::Numbered);
                    self.links.extend(blocks.newest_link().map(|link| link.0));
                    self.window.step(octets);
                }
                Err(pcapng::Unreadable::Truncated { needed }) => {
                    let (whole, packet) = (blocks.between_blocks(), blocks.at_packet(self.window.filled()));
                    if !self.window.fill(needed) {
                        let whole = whole && self.window.filled().is_empty() && !self.window.beyond_end();
                        let packet = packet || blocks.at_packet(self.window.filled());
                        self.end = Some(self.stream_ended(whole, packet));
                        return false;
                    }
                }
                Err(pcapng::Unreadable::Malformed(rule)) => {
                    self.end = Some(self.corrupt(&rule));
                    return false;
                }
            }
        }
    }

    /// A packet is at hand.
    fn take(&mut self, located: Located) {
        let Located { at, link, interface, length, octets, end } = located;
        // A simple packet block says no time: the last one holds.
        self.at = at.unwrap_or(self.at);
        self.numbered += 1;
        self.current = Current { link, interface, length, octets: self.window.keep(octets) };
        self.window.step(end);
    }

    fn begin_pcap(&mut self) -> Result<(), Refused> {
        self.window.fill(pcap::Header::OCTETS);
        match pcap::Header::read(self.window.filled()) {
            Ok(header) => {
                self.links.insert(header.link.0);
                self.records = Records::Pcap(header);
                self.window.step(pcap::Header::OCTETS);
                Ok(())
            }
            Err(pcap::Unreadable::Truncated { .. }) => {
                self.end = Some(End::Early(self.cut_in_header()));
                Ok(())
            }
            Err(pcap::Unreadable::Malformed(rule)) => Err(Refused::NotACapture(rule.to_string())),
        }
    }

    /// Neither pcap nor pcapng: empty, cut within the compressed begin, or something else.
    fn begin_nothing(&mut self) -> Result<(), Refused> {
        let cut_or_corrupt = self.window.failure().is_some();
        if cut_or_corrupt || self.window.filled().is_empty() {
            self.end = Some(End::Early(match self.window.failure() {
                Some(failure) => format!("{failure}, before the first packet"),
                None if self.compression.is_empty() => "empty: zero bytes".to_owned(),
                None => format!("empty: zero bytes in the {} stream", self.compression),
            }));
            return Ok(());
        }
        self.window.fill(DESCRIBED);
        let mut found = described(self.window.filled());
        if !self.compression.is_empty() {
            found = format!("the {} stream in it {found}", self.compression);
        }
        Err(Refused::NotACapture(found))
    }

    #[cold]
    fn cut_in_header(&self) -> String {
        match self.window.failure() {
            Some(failure) => format!("{failure}, within the file header"),
            None => format!("cut within the file header, at byte {}", self.window.received()),
        }
    }

    #[cold]
    fn stream_ended(&self, whole: bool, packet: bool) -> End {
        let (packets, place) = (self.packets, self.place(self.window.received()));
        match self.window.failure() {
            Some(failure) => End::Early(format!("{failure}, after packet {packets}, {place}")),
            None if whole => End::Complete,
            None if packet => End::Early(format!("cut in the middle of packet {} {place}", packets + 1)),
            None => End::Early(format!("cut in the middle of a block after packet {packets}, {place}")),
        }
    }

    #[cold]
    fn corrupt(&self, rule: &dyn std::error::Error) -> End {
        let place = self.place(self.window.position());
        if self.window.is_broken() {
            return End::Early(format!("{GONE}, after packet {}, {place}", self.packets));
        }
        End::Early(format!("corrupt after packet {}, {place}: {rule}", self.packets))
    }

    fn place(&self, byte: u64) -> String {
        let of = if self.compression.is_empty() { "" } else { " of the unpacked data" };
        format!("at byte {byte}{of}")
    }
}

/// Counts what is read.
struct Counted {
    stream: Box<dyn Read + Send>,
    bytes: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let octets = self.stream.read(buffer)?;
        self.bytes.fetch_add(octets as u64, Ordering::Relaxed);
        Ok(octets)
    }
}

/// The first `octets` of a stream, fewer where it ends before. A pipe is not waited for longer than that.
fn read_up_to(stream: &mut impl Read, octets: usize) -> io::Result<Vec<u8>> {
    let mut begin = Vec::with_capacity(octets);
    stream.take(octets as u64).read_to_end(&mut begin)?;
    Ok(begin)
}
