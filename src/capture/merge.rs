//! The merge: in come inputs, each in its own order, out comes one stream in the order of time.
//!
//! Within an input the order of the file stands, whatever its stamps say. Between inputs the earlier stamp goes first; where
//! the stamps of one of several step back, the latest one before stands for them.
//!
//! Captures of several hosts have several clocks. When the turn of an input comes while others are being read, and once a minute
//! from then on, all of them are read ahead until the packets that they share tell how far their clocks are apart; the stamps of
//! the first one stand, those of the others are corrected.
//!
//! A rotated set can have hundreds of files, of which one is being read at a time: each is looked at when the source opens,
//! closed again, and opened when its first packet's turn has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::Error;
use super::ahead::Readers;
use super::clocks::Comparison;
use super::merged::{Merged, Next};
use super::names::expand;
use super::stretch::{Stretch, Taken};
use crate::flow::steer::Captured;
use crate::report;
use crate::time::Timestamp;
use crate::wire::tls::keylog::Entry;

/// Frames of one or several inputs, as one stream in the order of time. Memory: 300 KiB for each input that is being read, 2 MiB
/// for each of the few that are read ahead, up to 128 MiB more for one with zstd, as its window demands, and 32 MiB while clocks
/// are compared.
pub struct Source {
    inputs: Vec<Merged>,
    readers: Readers,
    /// Inputs by the time of their next packet; empty for a single one. The input that gave the last frame is not in it.
    turns: BinaryHeap<Reverse<(Timestamp, usize)>>,
    last: Option<usize>,
    /// The input of the frame at hand.
    current: Option<usize>,
    secrets: Vec<Entry>,
    /// Those whose clocks were compared, in the order in which that was first done.
    compared: Vec<usize>,
    /// When clocks are compared again.
    compare_at: Timestamp,
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
            let mut input = Merged::open(index as u16, named, &readers)?;
            if !alone && let Some(at) = input.next_turn() {
                turns.push(Reverse((at, index)));
                input.wait();
            }
            inputs.push(input);
        }
        let (secrets, compared, compare_at) = (Vec::new(), Vec::new(), Timestamp::from_nanos(i64::MIN));
        Ok(Self { inputs, readers, turns, last: None, current: None, secrets, compared, compare_at })
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
        self.inputs.get(self.current?)?.stretch(self.inputs.len() == 1)
    }

    /// So much of a stretch was taken, and is not given again.
    pub fn took(&mut self, taken: Taken) {
        // Of several each gives one at a time.
        if self.current.take().is_some()
            && let [only] = self.inputs.as_mut_slice()
        {
            only.took(taken);
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
        std::mem::take(&mut self.secrets)
    }

    /// What is known of each input, in the order of the names; all that can be known after the end.
    #[must_use]
    pub fn inputs(&self) -> Vec<report::Input> {
        self.inputs
            .iter()
            .map(|input| {
                let mut described = input.summary().described;
                described.bytes = input.size().map_or(described.bytes, |size| size.max(described.bytes));
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
        (self.inputs.iter().map(Merged::read).sum(), self.inputs.iter().map(Merged::size).sum())
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
            let (at, index) = next;
            let has_waited = self.inputs.get(index)?.is_waiting();
            if has_waited {
                candidate = self.wake(index);
                if candidate.is_none() {
                    continue;
                }
            }
            if (has_waited || at >= self.compare_at) && self.compare_clocks(index, at) {
                candidate = None;
                continue;
            }
            if has_waited || !self.inputs.get(index)?.is_at_hand() {
                continue;
            }
            self.last = Some(index);
            return Some(index);
        }
    }

    /// Moves an input on, and says when its turn is.
    fn ready(&mut self, index: usize) -> Option<(Timestamp, usize)> {
        let input = self.inputs.get_mut(index)?;
        let at = input.next_turn();
        self.secrets.append(&mut input.take_secrets());
        Some((at?, index))
    }

    /// Opens an input again whose turn has come.
    #[cold]
    fn wake(&mut self, index: usize) -> Option<(Timestamp, usize)> {
        self.inputs.get_mut(index)?.reopen(&self.readers);
        self.ready(index)
    }

    /// Compares the clocks of the inputs that are being read, of which that of one has a packet whose turn is next. Whether all
    /// turns are other ones now.
    #[cold]
    fn compare_clocks(&mut self, index: usize, at: Timestamp) -> bool {
        self.compare_at = at + COMPARED_EVERY;
        let is_begun = self.compared.contains(&index);
        if is_begun && self.inputs.iter().any(Merged::is_ahead) {
            return false;
        }
        // By its own clock the turn of another one may be a little later, and have been before.
        let soon: Vec<usize> = (0..self.inputs.len())
            .filter(|other| {
                let first = self.inputs.get(*other).and_then(Merged::waits_for);
                first.is_some_and(|first| first <= at + APART)
            })
            .collect();
        for other in soon.into_iter().take(MOST_SOON) {
            self.wake(other);
        }
        let mut among: Vec<usize> = self.compared.clone();
        among.extend((0..self.inputs.len()).filter(|index| !self.compared.contains(index)));
        among.retain(|index| self.inputs.get(*index).is_some_and(Merged::is_at_hand));
        if among.len() < 2 {
            return false;
        }
        let (comparison, progress) = self.read_ahead(&among, if is_begun { AHEAD / 4 } else { AHEAD });
        let mut corrected: Vec<(usize, i64)> = Vec::new();
        for index in among {
            let others = corrected.iter().map(|(other, _)| *other).filter(|other| comparison.do_share(index, *other));
            let hosts: Vec<u8> = others.filter_map(|other| self.inputs.get(other)).map(Merged::host).collect();
            let Some(input) = self.inputs.get_mut(index) else { continue };
            if !corrected.is_empty() {
                input.shares_with(&hosts);
                // The files of a ring follow on each other.
                let of = |index: usize| progress.get(index).copied().unwrap_or_default();
                let meets = |(other, _): &(usize, i64)| {
                    of(*other).last.zip(of(index).first).is_some_and(|(last, first)| last > first + MEETS)
                };
                match comparison.apart(index, &corrected) {
                    None if !corrected.iter().any(meets) => {}
                    apart => input.compared(apart),
                }
            }
            corrected.push((index, input.correction()));
            if !self.compared.contains(&index) {
                self.compared.push(index);
            }
        }
        self.turns.clear();
        for (index, input) in self.inputs.iter_mut().enumerate() {
            self.turns.extend(input.waits_for().or_else(|| input.turn()).map(|at| Reverse((at, index))));
        }
        true
    }

    /// Reads inputs ahead, until they share as many packets as are of use, or so many octets were read.
    fn read_ahead(&mut self, among: &[usize], octets: usize) -> (Comparison, Vec<Progress>) {
        let mut comparison = Comparison::default();
        let mut progress = vec![Progress::default(); self.inputs.len()];
        let mut turns: BinaryHeap<Reverse<(Timestamp, usize)>> = BinaryHeap::new();
        for index in among {
            if let (Some(input), Some(own)) = (self.inputs.get_mut(*index), progress.get_mut(*index)) {
                own.next = input.look(0);
                turns.extend(own.next.map(|next| Reverse((next.at, *index))));
            }
        }
        let mut left = octets;
        while let (Some(Reverse((at, index))), 1..) = (turns.pop(), left) {
            let (Some(input), Some(own)) = (self.inputs.get_mut(index), progress.get_mut(index)) else { break };
            let Some(Next { octets, mark, .. }) = own.next.take() else { break };
            left = left.saturating_sub(octets.max(LEAST));
            own.looked_at += 1;
            (own.first, own.last) = (own.first.or(Some(at)), own.last.max(Some(at)));
            own.next = input.look(own.looked_at);
            turns.extend(own.next.map(|next| Reverse((next.at, index))));
            for holder in mark.into_iter().flat_map(|mark| comparison.note(index, mark)) {
                if let Some(progress) = progress.get_mut(holder) {
                    progress.shared += 1;
                }
            }
            let of = || among.iter().filter_map(|index| progress.get(*index));
            let is_told = of().all(|progress| progress.shared >= ENOUGH);
            let goes_on =
                |progress: &&Progress| progress.next.is_some() || progress.last.is_some_and(|last| at <= last + APART);
            if is_told || of().filter(goes_on).count() < 2 {
                break;
            }
        }
        (comparison, progress)
    }
}

/// How far an input was read ahead.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    looked_at: usize,
    /// The packet that is looked at next; `None` where there are no more.
    next: Option<Next>,
    /// Packets that others hold too.
    shared: usize,
    /// The stamps of the first and of the last packet that was looked at.
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

/// Files that follow on each other do not overlap by so much: within a host stamps step back by less.
const MEETS: Duration = Duration::from_millis(50);
/// Clocks of hosts that are further apart are not compared where one has nothing more to say when the other begins.
const APART: Duration = Duration::from_secs(10);
/// Inputs that are opened before their turn.
const MOST_SOON: usize = 16;
/// A clock that nothing corrects goes wrong by some milliseconds in that time.
const COMPARED_EVERY: Duration = Duration::from_secs(60);
/// Octets that are read ahead at most while clocks are compared for the first time.
const AHEAD: usize = 16 << 20;
/// What a packet counts for of them at least.
const LEAST: usize = 100;
/// Packets that two inputs share, of which more would tell no more.
const ENOUGH: usize = 256;
