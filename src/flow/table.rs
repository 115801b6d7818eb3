//! All connections: which one a packet belongs to, when one begins, when it is forgotten.

use std::net::SocketAddr;
use std::time::Duration;

use hashbrown::{HashSet, HashTable};

use crate::event::{ConnectionId, Endpoint, FirstSeen, GoneWhy, Moment, Side};
use crate::flow::connection::Connection;
use crate::flow::pieces::Pieces;
use crate::flow::share::Share;
use crate::flow::steer::{End, Keys, Sent, looks_like_request};
use crate::limits::Limits;
use crate::time::Timestamp;
use crate::wire::packet::{Flags, IcmpError, Passage, Segment};

/// Where a connection is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub usize);

/// What a connection's first packet was, and of each side whether it is the host that captured.
type Opened = (FirstSeen, [Option<bool>; 2]);

/// A connection, and what its user keeps beside it: nearly every packet needs both.
#[derive(Debug)]
pub struct Place<T> {
    /// The connection.
    pub connection: Connection,
    /// What belongs to it.
    pub beside: T,
}

/// The connections, by addresses and ports. Besides the connections themselves some 10 octets each.
#[derive(Debug)]
pub struct Table<T> {
    limits: Limits,
    slots: Pieces<Place<T>>,
    free: Vec<usize>,
    /// Where they are kept.
    by_key: HashTable<u32>,
    /// Of those whose keys end alike the one that was found last: mostly it is asked for again.
    recent: Box<[u32; RECENT]>,
    keys: Keys,
    /// Endpoints that were seen to serve.
    servers: HashSet<Endpoint>,
    opened: u64,
    swept: Timestamp,
    /// At the end: connections that have not left yet, the latest one first.
    leaving: Vec<(ConnectionId, usize)>,
    evicted: u64,
}

/// The ends of a connection.
#[inline]
fn ends<T>(place: &Place<T>) -> [End; 2] {
    [place.connection.client, place.connection.server]
}

/// Which side the first of two ends is, where the connection is between them.
#[inline]
fn side_of(connection: &Connection, [source, destination]: &[End; 2]) -> Option<Side> {
    let Connection { client, server, .. } = connection;
    // By the ports most is told, and they are compared at once.
    if client.1 == source.1 && server.1 == destination.1 && client.0 == source.0 && server.0 == destination.0 {
        Some(Side::Client)
    } else if server.1 == source.1 && client.1 == destination.1 && server.0 == source.0 && client.0 == destination.0 {
        Some(Side::Server)
    } else {
        None
    }
}

/// A connection that leaves, and whatever it still had to say.
pub type Farewell<'f, T> = dyn FnMut(&mut Place<T>, GoneWhy) + 'f;

impl<T: Default> Table<T> {
    /// An empty table for packets that come with these keys.
    #[must_use]
    pub fn new(limits: &Limits, keys: Keys) -> Self {
        Self {
            limits: limits.clone(),
            slots: Pieces::default(),
            free: Vec::new(),
            by_key: HashTable::new(),
            recent: Box::new([0; RECENT]),
            keys,
            servers: HashSet::new(),
            opened: 0,
            swept: Timestamp::default(),
            leaving: Vec::new(),
            evicted: 0,
        }
    }

    /// Connections given up for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// An endpoint serves: a connection to it that began before the capture gets its roles by that.
    pub fn note_server(&mut self, server: Endpoint) {
        self.servers.insert(server);
    }

    /// Finds the connection that a segment belongs to, which is known, and who sent it. `None` for one that might begin another.
    #[inline(always)] // It is asked of nearly every packet.
    #[must_use]
    pub fn known(&mut self, between: [End; 2], flags: Flags, key: u64) -> Option<(Slot, Side)> {
        if flags.syn() {
            return None;
        }
        let recent = *self.recent.get(key as usize % RECENT)?;
        // What was there may have left, and something else may be there now.
        match self.slots.get(recent as usize).and_then(|place| side_of(&place.connection, &between)) {
            Some(side) => Some((Slot(recent as usize), side)),
            None => self.known_before(key, between),
        }
    }

    #[cold]
    fn known_before(&mut self, key: u64, between: [End; 2]) -> Option<(Slot, Side)> {
        let (slot, side) = self.index(key, between)?;
        if let Some(recent) = self.recent.get_mut(key as usize % RECENT) {
            *recent = slot.0 as u32;
        }
        Some((slot, side))
    }

    /// Finds the connection of a segment, or opens one; `opened` says what its first packet was.
    pub fn find(
        &mut self,
        sent: &Sent<'_>,
        key: u64,
        moment: Moment,
        farewell: &mut Farewell<'_, T>,
    ) -> (Slot, Side, Option<Opened>) {
        let Sent { between, segment, passage, .. } = sent;
        if let Some((Slot(index), side)) = self.index(key, *between) {
            let begins_anew = segment.flags.syn() && !segment.flags.ack();
            if let Some(place) = self.slots.get_mut(index) {
                if !begins_anew || !place.connection.is_reused_by(side, segment.sequence) {
                    return (Slot(index), side, None);
                }
                farewell(place, GoneWhy::Reused);
            }
            self.remove(index, key);
        }
        self.make_room(farewell);
        let [source, destination] = between.map(SocketAddr::from);
        let (first, side) = self.role(source, destination, segment);
        let (client, server) = if side == Side::Client { (source, destination) } else { (destination, source) };
        let connection = Connection::new(ConnectionId(self.opened), client, server, moment);
        self.opened += 1;
        let index = self.insert(connection, key);
        let (here, there) = match passage {
            Passage::Outgoing => (Some(true), None),
            Passage::Incoming => (None, Some(true)),
            Passage::Other => (Some(false), Some(false)),
            Passage::Unknown => (None, None),
        };
        let local = if side == Side::Client { [here, there] } else { [there, here] };
        (Slot(index), side, Some((first, local)))
    }

    /// The connection at a slot, and what is kept beside it.
    #[inline]
    #[must_use]
    pub fn place(&mut self, slot: Slot) -> Option<&mut Place<T>> {
        self.slots.get_mut(slot.0)
    }

    /// The connection that has a key, and what is kept beside it.
    #[must_use]
    pub fn by_key(&mut self, key: u64) -> Option<&mut Place<T>> {
        let Self { by_key, keys, slots, .. } = self;
        let is_it = |at: &u32| slots.get(*at as usize).is_some_and(|place| keys.of(ends(place)) == key);
        let at = *by_key.find(key, is_it)?;
        slots.get_mut(at as usize)
    }

    /// Finds the connection that an ICMP error quotes, and who sent the quoted packet.
    #[must_use]
    pub fn quoted(&self, error: &IcmpError, key: u64) -> Option<(Slot, Side)> {
        let source = (error.source, error.ports.0);
        self.index(key, [source, (error.destination, error.ports.1)])
    }

    /// Opens the connection whose SYN an ICMP error quotes: a SYN that the sender's own host rejects, for want of a neighbour
    /// or a route, is on no wire. `None` where it quotes no SYN, or is no refusal of it.
    pub fn open_quoted(
        &mut self,
        error: &IcmpError,
        key: u64,
        moment: Moment,
        farewell: &mut Farewell<'_, T>,
    ) -> Option<(Slot, Side)> {
        let sequence = error.sequence.filter(|_| error.is_unreachable() && error.syn == Some(true))?;
        let client = SocketAddr::new(error.source, error.ports.0);
        let server = SocketAddr::new(error.destination, error.ports.1);
        self.make_room(farewell);
        let connection = Connection::quoted(ConnectionId(self.opened), client, server, sequence, moment);
        self.opened += 1;
        Some((Slot(self.insert(connection, key)), Side::Client))
    }

    /// Forgets what is over, and what nothing was heard of for too long; what nothing was heard of for a while is told to `rest`,
    /// once until something is. Does nothing more often than once a second.
    pub fn expire(&mut self, now: Timestamp, farewell: &mut Farewell<'_, T>, rest: &mut dyn FnMut(&mut T)) {
        if now.since(self.swept) < SWEEP && self.swept <= now {
            return;
        }
        let swept = std::mem::replace(&mut self.swept, now);
        let Self { limits, slots, free, by_key, keys, .. } = self;
        slots.sweep(now, |index, slot| {
            let place = slot.as_mut()?;
            let connection = &place.connection;
            let (limit, why) = if connection.is_over() {
                (limits.linger, GoneWhy::Closed)
            } else if connection.in_handshake() {
                (limits.handshake, GoneWhy::Idle)
            } else {
                (limits.idle, GoneWhy::Idle)
            };
            let last = connection.last;
            if now.since(last) >= limit {
                farewell(place, why);
                let hash = keys.of(ends(place));
                if let Ok(entry) = by_key.find_entry(hash, |at| *at as usize == index) {
                    entry.remove();
                }
                *slot = None;
                free.push(index);
                return None;
            }
            let rests = last + REST;
            if rests <= now && rests > swept {
                rest(&mut place.beside);
            }
            let due = last + limit;
            Some(if rests > now { due.min(rests) } else { due })
        });
    }

    /// The capture ended: every connection leaves, in the order in which they were opened, at most so many at a time. Returns
    /// whether there are more.
    pub fn finish(&mut self, most: usize, farewell: &mut Farewell<'_, T>) -> bool {
        if self.leaving.is_empty() {
            self.leaving.reserve_exact(self.by_key.len());
            self.leaving.extend(self.slots.taken().map(|(index, place)| (place.connection.id, index)));
            self.leaving.sort_unstable_by(|one, other| other.cmp(one));
        }
        let rest = self.leaving.len().saturating_sub(most);
        for (_, index) in self.leaving.drain(rest..).rev() {
            if let Some(place) = self.slots.get_mut(index) {
                farewell(place, GoneWhy::EndOfCapture);
            }
        }
        if rest == 0 {
            self.slots = Pieces::default();
            self.free.clear();
            self.by_key.clear();
        }
        rest > 0
    }

    fn role(&self, source: Endpoint, destination: Endpoint, segment: &Segment<'_>) -> (FirstSeen, Side) {
        if segment.flags.syn() {
            return if segment.flags.ack() {
                (FirstSeen::SynAck, Side::Server)
            } else {
                (FirstSeen::Syn, Side::Client)
            };
        }
        let side = if segment.payload.starts_with(b"HTTP/1.") {
            Side::Server
        } else if looks_like_request(segment.payload) || self.servers.contains(&destination) {
            Side::Client
        } else if self.servers.contains(&source) || source.port() < destination.port() {
            Side::Server
        } else {
            Side::Client
        };
        (FirstSeen::Middle, side)
    }

    fn insert(&mut self, connection: Connection, key: u64) -> usize {
        let index = self.free.pop().unwrap_or_else(|| self.slots.add());
        if let Some(slot) = self.slots.place_mut(index) {
            *slot = Some(Place { connection, beside: T::default() });
        }
        // The bound of connections fits.
        let Self { by_key, keys, slots, .. } = self;
        by_key.insert_unique(key, index as u32, |at| slots.get(*at as usize).map_or(0, |other| keys.of(ends(other))));
        index
    }

    /// Where the connection between two ends is kept, and which side the first one is.
    fn index(&self, key: u64, between: [End; 2]) -> Option<(Slot, Side)> {
        let side = |at: u32| side_of(&self.slots.get(at as usize)?.connection, &between);
        let at = *self.by_key.find(key, |at| side(*at).is_some())?;
        Some((Slot(at as usize), side(at)?))
    }

    fn remove(&mut self, index: usize, key: u64) {
        if let Ok(entry) = self.by_key.find_entry(key, |at| *at as usize == index) {
            entry.remove();
        }
        if let Some(slot) = self.slots.place_mut(index)
            && slot.take().is_some()
        {
            self.free.push(index);
        }
    }

    /// Evicts the connections that a share does not hold.
    pub fn follow(&mut self, share: Share, farewell: &mut Farewell<'_, T>) {
        for index in 0..self.slots.len() {
            let Some(place) = self.slots.get_mut(index) else { continue };
            let [client, server] = ends(place);
            if share.holds(client.1, server.1) {
                continue;
            }
            let key = self.keys.of([client, server]);
            let over = place.connection.is_over();
            farewell(place, if over { GoneWhy::Closed } else { GoneWhy::LeftOut });
            self.remove(index, key);
        }
    }

    /// Evicts the connections that were silent for longest, a sixteenth of the table at a time; finished ones first.
    fn make_room(&mut self, farewell: &mut Farewell<'_, T>) {
        if self.by_key.len() < self.limits.connections {
            return;
        }
        let rank = |(index, Place { connection, .. }): (usize, &Place<T>)| {
            (!(connection.is_over() || connection.in_handshake()), connection.last, index)
        };
        let mut order: Vec<(bool, Timestamp, usize)> = self.slots.taken().map(rank).collect();
        let leaving = (self.limits.connections / 16).max(1).min(order.len());
        if leaving < order.len() {
            order.select_nth_unstable(leaving);
            order.truncate(leaving);
        }
        order.sort_unstable();
        for (_, _, index) in order {
            let Some(place) = self.slots.get_mut(index) else { continue };
            let key = self.keys.of(ends(place));
            let over = place.connection.is_over();
            farewell(place, if over { GoneWhy::Closed } else { GoneWhy::Evicted });
            self.evicted += u64::from(!over);
            self.remove(index, key);
        }
    }
}

/// Connections that are found without a search.
const RECENT: usize = 4096;
/// How often the table is searched for what is over.
const SWEEP: Duration = Duration::from_secs(1);
/// Span after which a silent connection is at rest.
const REST: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
