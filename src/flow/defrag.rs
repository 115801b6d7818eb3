//! Fragments of IP datagrams (RFC 791 section 3.2, RFC 8200 section 4.5) come in; whole datagrams come out.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::packet::{self, Content, Fragment, Packet, Undecodable};

/// Datagrams under reassembly, at most `fragments` of them with 64 KiB each.
#[derive(Debug)]
pub struct Defragmenter {
    datagrams: usize,
    age: Duration,
    /// In the order of their first fragments.
    partial: VecDeque<Partial>,
    abandoned: u64,
}

impl Defragmenter {
    /// Nothing under reassembly.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { datagrams: limits.fragments.max(1), age: limits.fragment_age, partial: VecDeque::new(), abandoned: 0 }
    }

    /// Takes in `fragment`, the content of `packet`, and gives the datagram back that it completes.
    ///
    /// A datagram is given up if a fragment of it was cut by the snaplen, or if its fragments contradict each other;
    /// where they overlap, the first one counts in IPv4, and the datagram is given up in IPv6 (RFC 5722 section 3).
    pub fn push(&mut self, at: Timestamp, packet: &Packet<'_>, fragment: &Fragment<'_>) -> Option<Reassembled> {
        self.expire(at);
        let key = Key::of(packet, fragment);
        let index = self.partial.iter().position(|partial| partial.key == key).unwrap_or_else(|| self.begin(at, key));
        let partial = self.partial.get_mut(index)?;
        match partial.add(packet, fragment) {
            Progress::Incomplete => None,
            Progress::GivenUp => {
                self.abandoned += 1;
                None
            }
            Progress::Complete => self.partial.remove(index)?.into_reassembled(),
        }
    }

    /// Datagrams so far that were not put together: fragments missing, cut or contradictory, or too many at once.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// RFC 8200 section 4.5: 60 seconds after the arrival of the first fragment.
    fn expire(&mut self, at: Timestamp) {
        while self.partial.front().is_some_and(|oldest| at.since(oldest.begun) > self.age) {
            self.abandon_oldest();
        }
    }

    fn begin(&mut self, at: Timestamp, key: Key) -> usize {
        if self.partial.len() >= self.datagrams {
            self.abandon_oldest();
        }
        self.partial.push_back(Partial::new(at, key));
        self.partial.len() - 1
    }

    fn abandon_oldest(&mut self) {
        if self.partial.pop_front().is_some_and(|partial| !partial.is_given_up) {
            self.abandoned += 1;
        }
    }
}

/// A datagram that was put together.
#[derive(Clone, Debug)]
pub struct Reassembled {
    carrier: Packet<'static>,
    protocol: u8,
    octets: Vec<u8>,
}

impl Reassembled {
    /// The packet that would have been, had it not been cut into fragments.
    ///
    /// # Errors
    ///
    /// Where what it carries cannot be read.
    pub fn packet(&self) -> Result<Packet<'_>, Undecodable> {
        packet::decode_payload(&self.carrier, self.protocol, &self.octets)
    }
}

/// RFC 791 tells datagrams apart by the protocol too, RFC 8200 does not: there it is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    source: IpAddr,
    destination: IpAddr,
    identification: u32,
    protocol: Option<u8>,
}

impl Key {
    fn of(packet: &Packet<'_>, fragment: &Fragment<'_>) -> Self {
        Self {
            source: packet.source,
            destination: packet.destination,
            identification: fragment.identification,
            protocol: packet.source.is_ipv4().then_some(fragment.protocol),
        }
    }
}

/// A datagram of which some fragments have arrived.
#[derive(Debug)]
struct Partial {
    key: Key,
    begun: Timestamp,
    /// Header and protocol of the fragment with offset 0: RFC 8200 section 4.5 takes them from there.
    first: Option<(Packet<'static>, u8)>,
    octets: Vec<u8>,
    /// What has arrived: half-open ranges of `octets`, ascending, with a hole between any two.
    arrived: Vec<(usize, usize)>,
    /// Where the datagram ends, once its last fragment has arrived.
    end: Option<usize>,
    /// Stays in the table all the same, so that its other fragments do not begin it anew.
    is_given_up: bool,
}

enum Progress {
    Incomplete,
    Complete,
    GivenUp,
}

impl Partial {
    fn new(begun: Timestamp, key: Key) -> Self {
        Self { key, begun, first: None, octets: Vec::new(), arrived: Vec::new(), end: None, is_given_up: false }
    }

    fn add(&mut self, packet: &Packet<'_>, fragment: &Fragment<'_>) -> Progress {
        if self.is_given_up {
            return Progress::Incomplete;
        }
        if self.place(fragment).is_none() {
            self.is_given_up = true;
            (self.octets, self.arrived) = (Vec::new(), Vec::new());
            return Progress::GivenUp;
        }
        if fragment.offset == 0 && self.first.is_none() {
            self.first = Some((header(packet), fragment.protocol));
        }
        match (self.end, self.arrived.as_slice()) {
            (Some(end), [(0, up_to)]) if end == *up_to => Progress::Complete,
            _ => Progress::Incomplete,
        }
    }

    /// Lays the fragment into its place; `None` if it has none.
    fn place(&mut self, fragment: &Fragment<'_>) -> Option<()> {
        let start = usize::try_from(fragment.offset).ok()?;
        let end = start.checked_add(fragment.octets.len()).filter(|end| *end <= MAX_DATAGRAM)?;
        if fragment.cut || start == end || (fragment.more && !fragment.octets.len().is_multiple_of(8)) {
            return None;
        }
        let highest = self.arrived.last().map_or(0, |(_, end)| *end);
        match self.end {
            Some(known) if end > known || (!fragment.more && end != known) => return None,
            None if !fragment.more && highest > end => return None,
            None if !fragment.more => self.end = Some(end),
            _ => {}
        }
        let overlaps = self.arrived.iter().any(|(from, to)| *from < end && start < *to);
        if overlaps && self.key.protocol.is_none() {
            // RFC 8200 section 4.5: exact duplicates may be ignored, and every mirror port makes some.
            let is_duplicate = self.octets.get(start..end).is_some_and(|known| known == fragment.octets)
                && self.arrived.iter().any(|(from, to)| *from <= start && end <= *to);
            return is_duplicate.then_some(());
        }
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
        self.fill(start, end, fragment.octets)?;
        self.note(start, end);
        Some(())
    }

    /// Copies what has not arrived before.
    fn fill(&mut self, start: usize, end: usize, octets: &[u8]) -> Option<()> {
        let mut from = start;
        let covered = self.arrived.iter().copied().filter(|(_, to)| *to > start);
        for (known, next) in covered.chain([(end, end)]) {
            let to = known.min(end);
            if from < to {
                self.octets.get_mut(from..to)?.copy_from_slice(octets.get(from - start..to - start)?);
            }
            from = from.max(next);
        }
        Some(())
    }

    /// Adds a range to those that have arrived.
    fn note(&mut self, start: usize, end: usize) {
        let first = self.arrived.partition_point(|(_, to)| *to < start);
        let after = self.arrived.partition_point(|(from, _)| *from <= end);
        let touched = self.arrived.get(first..after).unwrap_or_default();
        let start = touched.first().map_or(start, |(from, _)| start.min(*from));
        let end = touched.last().map_or(end, |(_, to)| end.max(*to));
        self.arrived.splice(first..after, [(start, end)]);
    }

    fn into_reassembled(self) -> Option<Reassembled> {
        let (carrier, protocol) = self.first?;
        Some(Reassembled { carrier, protocol, octets: self.octets })
    }
}

/// A packet's header without its content.
fn header(packet: &Packet<'_>) -> Packet<'static> {
    Packet {
        source: packet.source,
        destination: packet.destination,
        ttl: packet.ttl,
        identification: packet.identification,
        passage: packet.passage,
        interface: packet.interface,
        content: Content::Other(0),
    }
}

/// RFC 791 section 3.1: the greatest total length.
const MAX_DATAGRAM: usize = 65_535;

#[cfg(test)]
mod tests;
