//! One of several inputs that are merged: out come its packets, and when the turn of each is, by a clock that is corrected.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use super::Error;
use super::ahead::Readers;
use super::buffer::Buffer;
use super::clocks::{Apart, Mark};
use super::input::{Input, Refused};
use super::names::Named;
use super::stretch::{Current, Packets, Stretch, Taken};
use crate::flow::steer::Captured;
use crate::report;
use crate::time::{Frame, Timestamp};
use crate::wire::link::LinkType;
use crate::wire::tls::keylog::Entry;

/// An input, and what was read of it before its turn.
pub(super) struct Merged {
    index: u16,
    named: Named,
    /// Size of the file; `None` for pipes.
    size: Option<u64>,
    state: State,
    /// The packet at hand, where it was read before its turn.
    at_hand: Option<Kept>,
    /// Those behind it that were.
    ahead: VecDeque<Kept>,
    /// The latest of all turns before that of the packet at hand.
    passed: Timestamp,
    turn: Timestamp,
    /// What is added to its stamps, in nanoseconds.
    correction: i64,
    /// Of the hosts whose captures share packets, that one whose it is.
    host: u8,
    clock: Option<report::Clock>,
}

enum State {
    /// Closed until its turn comes; what was seen of it.
    Waiting(Summary),
    Open(Box<Input>),
    Over(Summary),
}

/// What is known of an input.
pub(super) struct Summary {
    pub(super) described: report::Input,
    pub(super) complete: bool,
    pub(super) drops: u64,
    raw_bytes: u64,
}

/// A packet that was read before its turn.
struct Kept {
    buffer: Arc<Buffer>,
    octets: Range<usize>,
    number: u64,
    at: Timestamp,
    link: LinkType,
    interface: u32,
    length: u32,
}

impl Kept {
    fn of(stretch: &Stretch<'_>) -> Self {
        let Captured { frame, at, link, interface, length, .. } = stretch.frame();
        let (buffer, octets) = stretch.kept();
        Self { buffer: Arc::clone(buffer), octets, number: frame.number(), at, link, interface, length }
    }

    fn stretch(&self, input: u16) -> Stretch<'_> {
        let Self { buffer, octets: kept, number, at, link, interface, length } = self;
        let octets = buffer.get(kept.clone()).unwrap_or_default();
        let (number, at, link, interface, length) = (*number, *at, *link, *interface, *length);
        Stretch {
            input,
            host: 0,
            buffer,
            packets: Packets::None,
            current: Current { number, at, link, interface, length, octets, left: octets.len() },
            rest: &[],
            end: kept.end,
            begin: (number, 0),
        }
    }
}

impl Merged {
    pub(super) fn open(index: u16, named: Named, readers: &Readers) -> Result<Self, Error> {
        let Octets { stream, size, file } = octets(&named).map_err(|error| Error::from_io(&named.display(), error))?;
        match Input::open(stream, file, readers) {
            Ok(input) => Ok(Self {
                index,
                named,
                size,
                state: State::Open(Box::new(input)),
                at_hand: None,
                ahead: VecDeque::new(),
                passed: NEVER,
                turn: NEVER,
                correction: 0,
                host: 0,
                clock: None,
            }),
            Err(Refused::Io(error)) => Err(Error::from_io(&named.display(), error)),
            Err(Refused::NotACapture(found)) => Err(Error::NotACapture { name: named.display(), found }),
        }
    }

    /// Moves to the next packet of one that is read alone.
    pub(super) fn advance(&mut self) -> bool {
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
    pub(super) fn next_turn(&mut self) -> Option<Timestamp> {
        self.at_hand = self.ahead.pop_front();
        if self.at_hand.is_none() && !self.advance() {
            return None;
        }
        self.passed = self.turn;
        self.turn()
    }

    /// When the turn of the packet at hand is. Where the stamps step back, it is that of the latest one before.
    pub(super) fn turn(&mut self) -> Option<Timestamp> {
        let at = self.stamp()?;
        self.turn = self.passed.max(corrected(at, self.correction));
        Some(self.turn)
    }

    /// The stamp of the packet at hand as it is.
    fn stamp(&self) -> Option<Timestamp> {
        match (&self.at_hand, &self.state) {
            (Some(kept), _) => Some(kept.at),
            (None, State::Open(input)) => input.has_packet().then(|| input.at()),
            (None, State::Waiting(_) | State::Over(_)) => None,
        }
    }

    /// The packet at hand, and those behind it where it is read `alone`. Where it is not its time is that of its turn, so that the
    /// packets of several inputs have one order.
    pub(super) fn stretch(&self, alone: bool) -> Option<Stretch<'_>> {
        let mut stretch = match (&self.at_hand, &self.state) {
            (Some(kept), _) => kept.stretch(self.index),
            (None, State::Open(input)) => input.stretch(self.index, alone),
            (None, State::Waiting(_) | State::Over(_)) => return None,
        };
        if !alone {
            (stretch.current.at, stretch.host) = (self.turn, self.host);
        }
        Some(stretch)
    }

    /// So much of a stretch was taken.
    pub(super) fn took(&mut self, taken: Taken) {
        if let State::Open(input) = &mut self.state {
            input.took(taken);
        }
    }

    /// The packet that stands `behind` so many others from that at hand on, read before its turn. `None` where there is none.
    pub(super) fn look(&mut self, behind: usize) -> Option<Next> {
        if self.at_hand.is_none() {
            self.at_hand = self.keep();
        }
        self.at_hand.as_ref()?;
        while self.ahead.len() < behind {
            if !self.advance() {
                return None;
            }
            let kept = self.keep()?;
            self.ahead.push_back(kept);
        }
        let kept = behind.checked_sub(1).map_or(self.at_hand.as_ref(), |behind| self.ahead.get(behind))?;
        Some(Next { at: kept.at, octets: kept.octets.len(), mark: Mark::of(&kept.stretch(self.index).frame()) })
    }

    fn keep(&self) -> Option<Kept> {
        match &self.state {
            State::Open(input) if input.has_packet() => Some(Kept::of(&input.stretch(self.index, false))),
            _ => None,
        }
    }

    /// Whether there are packets that were read before their turn.
    pub(super) fn is_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Whether there is a packet at hand.
    pub(super) fn is_at_hand(&self) -> bool {
        self.stamp().is_some()
    }

    /// Whether it is closed until its turn comes.
    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(_))
    }

    /// When its turn comes, where it waits for that.
    pub(super) fn waits_for(&self) -> Option<Timestamp> {
        match &self.state {
            State::Waiting(summary) => summary.described.first,
            State::Open(_) | State::Over(_) => None,
        }
    }

    /// What is added to its stamps, in nanoseconds.
    pub(super) const fn correction(&self) -> i64 {
        self.correction
    }

    /// Of which host it is, as [`Frame::host`] numbers them.
    pub(super) const fn host(&self) -> u8 {
        self.host
    }

    /// Inputs of these hosts share packets with it.
    pub(super) fn shares_with(&mut self, hosts: &[u8]) {
        if hosts.contains(&self.host) {
            self.host = (0..Frame::HOSTS).find(|host| !hosts.contains(host)).unwrap_or(self.host);
        }
    }

    /// Its clock was compared with that of the other inputs: it is so far ahead of them, where they share packets that say so.
    pub(super) fn compared(&mut self, apart: Option<Apart>) {
        let Some(Apart { ahead, on_the_way, packets }) = apart else {
            self.clock.get_or_insert_default();
            return;
        };
        // The two ways are seldom of quite the same length.
        if ahead.saturating_add(self.correction).saturating_abs() > (on_the_way / 4).saturating_add(TOLERANCE) {
            self.correction = ahead.saturating_neg();
        }
        let ahead = self.correction.saturating_neg();
        let clock = self.clock.get_or_insert_default();
        clock.ahead = match clock.ahead {
            Some((least, most)) => Some((least.min(ahead), most.max(ahead))),
            None => Some((ahead, ahead)),
        };
        clock.packets += packets as u64;
    }

    pub(super) fn take_secrets(&mut self) -> Vec<Entry> {
        match &mut self.state {
            State::Open(input) => input.take_secrets(),
            State::Waiting(_) | State::Over(_) => Vec::new(),
        }
    }

    /// Closes the file until its turn comes. Pipes stay open.
    pub(super) fn wait(&mut self) {
        if self.size.is_some() {
            self.state = State::Waiting(self.summary());
        }
    }

    /// Opens it again. Its first packet is looked at anew: a ring may have overwritten the file.
    #[cold]
    pub(super) fn reopen(&mut self, readers: &Readers) {
        (self.passed, self.turn) = (NEVER, NEVER);
        let opened = octets(&self.named).map(|Octets { stream, file, .. }| Input::open(stream, file, readers));
        let failure = match opened {
            Ok(Ok(input)) => {
                self.state = State::Open(Box::new(input));
                return;
            }
            Ok(Err(Refused::NotACapture(found))) => format!("it was overwritten: {found}"),
            Ok(Err(Refused::Io(error))) | Err(error) => error.to_string(),
        };
        let mut summary = self.summary();
        summary.described.packets = 0;
        summary.described.ended = format!("could not be opened a second time, before the first packet: {failure}");
        self.state = State::Over(summary);
    }

    /// Octets read so far.
    pub(super) fn read(&self) -> u64 {
        match &self.state {
            State::Waiting(_) => 0,
            State::Open(open) => open.raw_bytes(),
            State::Over(summary) => summary.raw_bytes.max(self.size.unwrap_or(0)),
        }
    }

    /// Octets of the file; `None` for pipes.
    pub(super) const fn size(&self) -> Option<u64> {
        self.size
    }

    /// All that is known of it by now.
    pub(super) fn summary(&self) -> Summary {
        let mut summary = match &self.state {
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
        };
        summary.described.clock = self.clock;
        summary
    }
}

/// A packet that was read before its turn, as far as clocks are concerned.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    /// Its stamp as it is.
    pub(super) at: Timestamp,
    pub(super) octets: usize,
    pub(super) mark: Option<Mark>,
}

fn corrected(at: Timestamp, correction: i64) -> Timestamp {
    Timestamp::from_nanos(at.as_nanos().saturating_add(correction))
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

/// Before all turns.
const NEVER: Timestamp = Timestamp::from_nanos(i64::MIN);
/// One host stamps packets on several processors, and of several interfaces, by so many nanoseconds out of order.
const TOLERANCE: i64 = 50_000;
