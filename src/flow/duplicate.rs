//! Copies of a packet: `-i any` shows what passes a bridge or a tunnel once per interface, a mirror port what comes in
//! and what goes out again. Packets come in; whether one is a copy of an earlier one comes out. Whatever counts packets
//! must not see the copies: each would look like a retransmission.
//!
//! A copy agrees with its original in everything that no hop changes: addresses, ports, sequence numbers, flags, window,
//! length, IP identification and the beginning of the payload. So does a retransmission, but for the identification,
//! which most hosts count up for every packet they send; they leave it 0 in some (RFC 6864 section 4.1 allows that), and
//! IPv6 has none. What else can tell then:
//!
//! | seen on                        | identification | a copy if                                                     |
//! |--------------------------------|----------------|---------------------------------------------------------------|
//! | the same interface, same TTL   | not 0          | within the window                                             |
//! | the same interface, same TTL   | 0 or none      | within 20 µs, the TCP options (timestamps) are the same too;  |
//! |                                |                | for bare ACKs and RSTs: and the interface doubles packets     |
//! | another interface or TTL       | not 0          | within the window, the TTLs are near                          |
//! | another interface or TTL       | 0 or none      | the same, and the TCP options are the same or it is a SYN     |
//!
//! Between captures of different hosts the window is a second, and TTLs may differ by more where the identification or the
//! timestamps say that it is the same packet.
//!
//! A host that gets two segments for a connection that it does not have answers with two RSTs that nothing tells apart.
//! An interface doubles packets if it lately showed a copy that can be nothing else.
//!
//! What routes a packet may also translate its addresses and ports (RFC 3022: containers with published ports, services of a
//! cluster, masquerading). All else of it stays, so that two packets of different connections are one where they agree in
//! everything else, and the later one has passed a router more, is sent out by the host that did not send the earlier one, or has
//! come to another interface with the same identification and timestamps.

mod invariants;

use std::time::Duration;

use crate::flow::duplicate::invariants::{NO_OPTIONS, invariants, segment_invariants};
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::packet::{Content, Packet, Passage, Plain, Segment};

/// What a packet is beside those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It was not seen before.
    First,
    /// It is the copy of one that was.
    Copy,
    /// It is a copy that tells something of the connection.
    Routed(Routed),
}

/// A packet that was seen before a router passed it on, and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// Whose it was where it was seen first.
    pub first: Whose,
    /// Whether it was another connection's there, by its addresses and ports.
    pub translated: bool,
    /// Whether the capturing host is that router.
    pub forwarded: bool,
}

/// Whose a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose {
    /// The key of its connection.
    pub key: u64,
    /// Whether the lesser one of the two ends sent it.
    pub from_lesser: bool,
}

impl Whose {
    /// Of what belongs to no connection.
    pub const NOBODY: Self = Self { key: 0, from_lesser: false };
}

/// A hash of what makes a packet like no other, the same wherever it is captured; `None` of one that another may look like.
#[must_use]
pub fn identity(packet: &Packet<'_>) -> Option<u64> {
    let Content::Tcp(segment) = &packet.content else { return None };
    let (hash, options) = segment_invariants(packet.identification, segment);
    match segment_form(segment) {
        Form::Bare => None,
        // Routers may lower the segment size that it offers.
        Form::Syn => Some(hash),
        Form::Payload => {
            let is_stamped = packet.identification != 0 || options != NO_OPTIONS;
            is_stamped.then_some(hash ^ u64::from(options))
        }
    }
}

/// The packets of late, by what a copy cannot change. 37 octets a packet.
#[derive(Debug)]
pub struct Duplicates {
    window: Duration,
    /// A power of two of sets, and what to look at first of each. Next to no packet is a copy: that tells it of nearly all, in few
    /// lines of the processor's cache.
    tags: Box<[Tags]>,
    sets: Box<[[Seen; WAYS]]>,
    /// The interfaces that showed a certain copy last, and when; by the interface's number.
    doubling: [Doubling; 16],
}

impl Duplicates {
    /// Remembers about `duplicate_memory` packets for `duplicate_window`.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let sets = limits.duplicate_memory.div_ceil(WAYS).next_power_of_two();
        Self {
            window: limits.duplicate_window,
            tags: vec![Tags::default(); sets].into_boxed_slice(),
            sets: vec![[Seen::NEVER; WAYS]; sets].into_boxed_slice(),
            doubling: [Doubling { interface: 0, at: Timestamp::from_nanos(i64::MIN) }; 16],
        }
    }

    /// Whether `packet` is a copy of one that was seen before, on `interface` or another. Indices of interfaces of different inputs
    /// must differ, and the four highest bits say which host captures there. Packets whose content is [`Content::Other`] or
    /// [`Content::Neighbour`] are never copies.
    pub fn see(&mut self, at: Timestamp, interface: u32, packet: &Packet<'_>, whose: Whose) -> Sighting {
        let Some((hash, options)) = invariants(packet) else {
            return Sighting::First;
        };
        self.compare(
            hash,
            Seen {
                hash: high(hash),
                at,
                key: whose.key,
                from_lesser: whose.from_lesser,
                interface: point(interface, packet.interface.unwrap_or_default()),
                options,
                ttl: packet.ttl,
                is_identified: is_identified(packet),
                form: form(packet),
                passage: packet.passage,
                is_spent: false,
            },
        )
    }

    /// The same of a packet that is plain.
    #[inline(always)] // It is asked of nearly every packet, from one place.
    pub fn see_plain(&mut self, at: Timestamp, interface: u32, plain: &Plain<'_>, whose: Whose) -> Sighting {
        let (hash, options) = segment_invariants(plain.identification, &plain.segment);
        self.compare(
            hash,
            Seen {
                hash: high(hash),
                at,
                key: whose.key,
                from_lesser: whose.from_lesser,
                interface: point(interface, plain.interface.unwrap_or_default()),
                options,
                ttl: plain.ttl,
                is_identified: plain.identification != 0,
                form: segment_form(&plain.segment),
                passage: plain.passage,
                is_spent: false,
            },
        )
    }

    /// What a packet is beside those that were seen; remembers it where it is no copy.
    #[inline(always)] // Not inlined what is seen has to be laid down twice.
    fn compare(&mut self, hash: u64, seen: Seen) -> Sighting {
        let mask = self.sets.len().wrapping_sub(1);
        let number = seen.hash as usize & mask;
        let (Some(tags), Some(set)) = (self.tags.get_mut(number), self.sets.get_mut(number)) else {
            return Sighting::First;
        };
        // A retransmission takes the place of its original: the copies to come are its own. Anything else takes the place of what
        // was put there longest ago.
        let mut place = None;
        if let Some(alike) =
            tags.find(hash as u32).filter(|way| set.get(*way).is_some_and(|earlier| earlier.hash == seen.hash))
        {
            let sighting = seen.beside(set, alike, self.window, &mut self.doubling, &mut place);
            if sighting != Sighting::First {
                return sighting;
            }
        }
        if let Some(earlier) = set.get_mut(place.unwrap_or_else(|| tags.replace_oldest(hash as u32))) {
            *earlier = seen;
        }
        Sighting::First
    }
}

/// The part of a hash that its tag does not hold.
#[inline]
fn high(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// Where a packet was captured: by which host, in which input, as the input numbers interfaces, and as the capturing host does,
/// since a capture on `any` is one interface of the input.
#[inline]
const fn point(interface: u32, of_host: u32) -> u32 {
    interface & POINT | (interface << 16 ^ of_host) & !POINT
}

/// Of each packet of a set a part of its hash.
#[derive(Clone, Copy, Debug, Default)]
struct Tags {
    ways: [u32; WAYS],
    /// Where the next one is put.
    next: u8,
}

impl Tags {
    #[inline]
    fn find(&self, tag: u32) -> Option<usize> {
        self.ways.iter().position(|known| *known == tag)
    }

    /// Where a packet is put, in the place of another one.
    #[inline]
    fn replace_oldest(&mut self, tag: u32) -> usize {
        let way = usize::from(self.next) % WAYS;
        if let Some(oldest) = self.ways.get_mut(way) {
            *oldest = tag;
        }
        self.next = self.next.wrapping_add(1);
        way
    }
}

/// An interface that showed a packet twice.
#[derive(Clone, Copy, Debug)]
struct Doubling {
    interface: u32,
    at: Timestamp,
}

impl Doubling {
    fn covers(&self, seen: &Seen) -> bool {
        self.interface == seen.interface && seen.at.since(self.at) < DOUBLES_FOR
    }
}

/// What an earlier packet with the same hash is to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    /// Another packet, which happens to look the same.
    None,
    /// The same packet at another point of its way.
    Elsewhere,
    /// The same packet at the same point.
    Twice,
    /// The same packet, or another one that the same cause had.
    PerhapsTwice,
}

/// A packet, or what is left to compare of it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The half of it that is not the tag.
    hash: u32,
    interface: u32,
    at: Timestamp,
    key: u64,
    options: u16,
    ttl: u8,
    from_lesser: bool,
    is_identified: bool,
    form: Form,
    passage: Passage,
    /// Whether a copy of it was found by the weakest of the rules, which finds one only.
    is_spent: bool,
}

/// How much a packet has that makes it like no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Syn,
    Payload,
    /// TCP control without payload: the same answer to two causes looks the same.
    Bare,
}

/// IPv6 identifies fragments only.
fn is_identified(packet: &Packet<'_>) -> bool {
    match &packet.content {
        Content::Fragment(fragment) => fragment.identification != 0,
        _ => packet.identification != 0,
    }
}

fn form(packet: &Packet<'_>) -> Form {
    match &packet.content {
        Content::Tcp(segment) => segment_form(segment),
        _ => Form::Payload,
    }
}

#[inline]
fn segment_form(segment: &Segment<'_>) -> Form {
    match segment.length {
        _ if segment.flags.syn() => Form::Syn,
        0 => Form::Bare,
        _ => Form::Payload,
    }
}

impl Seen {
    const NEVER: Self = Self {
        hash: 0,
        interface: 0,
        at: Timestamp::from_nanos(i64::MIN),
        key: Whose::NOBODY.key,
        options: 0,
        ttl: 0,
        from_lesser: Whose::NOBODY.from_lesser,
        is_identified: false,
        form: Form::Bare,
        passage: Passage::Unknown,
        is_spent: false,
    };

    /// What it is beside the earlier ones of a set, one of which has the same hash; and in whose place it is to be put.
    #[cold]
    fn beside(
        self,
        set: &mut [Self; WAYS],
        alike: usize,
        window: Duration,
        doubling: &mut [Doubling; 16],
        place: &mut Option<usize>,
    ) -> Sighting {
        // Of others that have the same hash each is remembered on its own.
        let own = set.iter().position(|earlier| earlier.hash == self.hash && earlier.whose() == self.whose());
        let Some(own) = own else {
            let translated = set.get(alike).filter(|earlier| self.is_translated(earlier, window));
            return translated.map_or(Sighting::First, |earlier| Sighting::Routed(self.routed(earlier)));
        };
        *place = Some(own);
        let Some(earlier) = set.get_mut(own) else { return Sighting::First };
        let doubling = doubling.get_mut(self.interface as usize & 15);
        let is_copy = match self.likeness(earlier, window) {
            Likeness::None => false,
            Likeness::Elsewhere if self.ttl < earlier.ttl => return Sighting::Routed(self.routed(earlier)),
            Likeness::Elsewhere => true,
            Likeness::Twice => {
                if let Some(doubling) = doubling {
                    *doubling = Doubling { interface: self.interface, at: self.at };
                }
                true
            }
            Likeness::PerhapsTwice => {
                let is_copy = doubling.is_some_and(|doubling| doubling.covers(&self)) && !earlier.is_spent;
                earlier.is_spent |= is_copy;
                is_copy
            }
        };
        if is_copy { Sighting::Copy } else { Sighting::First }
    }

    fn whose(&self) -> Whose {
        Whose { key: self.key, from_lesser: self.from_lesser }
    }

    fn routed(&self, earlier: &Self) -> Routed {
        Routed {
            first: earlier.whose(),
            translated: self.whose() != earlier.whose(),
            forwarded: (earlier.passage, self.passage) == (Passage::Incoming, Passage::Outgoing),
        }
    }

    /// Whether it is an earlier packet with other addresses or ports. A host may begin all its connections alike, as generators of
    /// traffic do; so what is like the packets of others has to have been passed on as well.
    fn is_translated(&self, earlier: &Self, window: Duration) -> bool {
        let is_stamped = self.options == earlier.options && self.options != NO_OPTIONS;
        let passed_on = match earlier.ttl.checked_sub(self.ttl) {
            // A bridge that is told to translate is no router, but the host sends out then what it did not send before.
            Some(0) if earlier.passage != Passage::Outgoing && self.passage == Passage::Outgoing => true,
            Some(0) => self.interface != earlier.interface && self.is_identified && is_stamped,
            Some(hops) => hops <= HOPS,
            None => false,
        };
        passed_on && (self.is_identified || is_stamped) && self.apart(earlier) <= self.window(earlier, window)
    }

    /// How long after, or before, it was seen. Captures of several interfaces are not always in the order of time.
    fn apart(&self, earlier: &Self) -> Duration {
        // One of the two spans is zero.
        self.at.since(earlier.at).max(earlier.at.since(self.at))
    }

    const fn is_of_host(&self, earlier: &Self) -> bool {
        self.interface & HOST == earlier.interface & HOST
    }

    const fn is_of_other_input(&self, earlier: &Self) -> bool {
        self.interface & POINT != earlier.interface & POINT
    }

    /// How far a copy may be from an earlier packet: on its way to another host it takes longer.
    fn window(&self, earlier: &Self, window: Duration) -> Duration {
        if self.is_of_host(earlier) { window } else { window.max(FAR) }
    }

    fn likeness(&self, earlier: &Self, window: Duration) -> Likeness {
        let apart = self.apart(earlier);
        let has_same_options = self.options == earlier.options;
        let hops =
            match self.is_of_host(earlier) || !(self.is_identified || has_same_options && self.options != NO_OPTIONS) {
                true => HOPS,
                false => FAR_HOPS,
            };
        if apart > self.window(earlier, window) || self.ttl.abs_diff(earlier.ttl) > hops {
            return Likeness::None;
        }
        let is_here = self.interface == earlier.interface && self.ttl == earlier.ttl;
        // Nothing tells a second RST from the first, which may be the last packet of one file of a ring.
        let is_bare = self.form == Form::Bare && self.options == NO_OPTIONS && apart >= TWICE_AT_ONCE;
        match (is_here, self.is_identified) {
            (true, true) => Likeness::Twice,
            (true, false) if apart >= TWICE_AT_ONCE || !has_same_options => Likeness::None,
            (true, false) if self.form == Form::Bare => Likeness::PerhapsTwice,
            (true, false) => Likeness::Twice,
            (false, false) if is_bare && self.is_of_host(earlier) && self.is_of_other_input(earlier) => Likeness::None,
            // Routers may lower the segment size that a SYN offers.
            (false, _) if self.is_identified || has_same_options || self.form == Form::Syn => Likeness::Elsewhere,
            (false, _) => Likeness::None,
        }
    }
}

/// Two slots share a cache line.
const WAYS: usize = 4;
/// Routers that a packet may pass between two points of one capture. A reset that somebody on the way forged is further
/// away than that from the one that it anticipates.
const HOPS: u8 = 4;
/// Routers, and time, between two hosts that capture what they say to one another.
const FAR_HOPS: u8 = 32;
const FAR: Duration = Duration::from_secs(1);
/// The part of a point that says which host captures there, and that and the input.
const HOST: u32 = 0xf000_0000;
const POINT: u32 = 0xfff0_0000;
/// What shows every packet twice does so at once; no sender repeats itself so fast.
const TWICE_AT_ONCE: Duration = Duration::from_micros(20);
/// A doubled connection shows a certain copy with every segment that carries data.
const DOUBLES_FOR: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
