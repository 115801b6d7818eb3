//! One core's worth of reassembly and observation: the packets of some connections, or of all, go in, events come out.

use std::time::Duration;

use crate::event::{ConnectionId, Endpoint, Event, FirstSeen, GoneWhy, Moment, Tls, Unreachable, What};
use crate::flow::connection::{Connection, Output};
use crate::flow::pieces::Pieces;
use crate::flow::share::Share;
use crate::flow::steer::{Held, Keys};
use crate::flow::table::{Slot, Table};
use crate::limits::Limits;
use crate::observe::decrypted::{KeyRing, Now};
use crate::observe::secrets::Secrets;
use crate::observe::{Observer, dns};
use crate::time::Timestamp;
use crate::wire::packet::{Content, IcmpError, Packet, Segment};
use crate::wire::tls::keylog::Entry;

/// What was given up for want of room.
#[derive(Clone, Copy, Debug, Default)]
pub struct GivenUp {
    /// Connections.
    pub connections: u64,
    /// Times that a connection gave up early octets or an incomplete header section.
    pub octets: u64,
}

/// A shard: connections and their observers.
#[derive(Debug)]
pub struct Shard {
    limits: Limits,
    table: Table,
    observers: Pieces<Observer>,
    /// Times that a connection gave up octets for want of room.
    given_up: u64,
    ring: KeyRing,
    /// Connections that wait for their secrets, and when they were looked for.
    waiting: Vec<Slot>,
    looked: Timestamp,
    /// Octets that connections and observers hold.
    held: usize,
    share: Share,
}

impl Shard {
    /// An empty shard for packets that come with these keys.
    #[must_use]
    pub fn new(limits: &Limits, keys: &Keys) -> Self {
        Self {
            limits: limits.clone(),
            table: Table::new(limits, keys.clone()),
            observers: Pieces::default(),
            given_up: 0,
            ring: KeyRing::new(limits),
            waiting: Vec::new(),
            looked: Timestamp::default(),
            held: 0,
            share: Share::ALL,
        }
    }

    /// So many empty shards that together keep within the limits.
    #[must_use]
    pub fn several(limits: &Limits, keys: &Keys, count: usize) -> Vec<Self> {
        let limits = Limits {
            connections: limits.connections.div_ceil(count),
            waiting_bytes: limits.waiting_bytes.div_ceil(count),
            ..limits.clone()
        };
        (0..count).map(|_| Self::new(&limits, keys)).collect()
    }

    /// What was given up so far.
    #[must_use]
    pub fn given_up(&self) -> GivenUp {
        GivenUp { connections: self.table.evicted(), octets: self.given_up }
    }

    /// The secrets of TLS connections.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.ring.secrets
    }

    /// Secrets may come after the packets that they are for.
    pub fn may_learn_late(&mut self) {
        self.ring.secrets.may_grow();
    }

    /// Takes secrets. What waited for them until `last`, the latest frame's moment, is told.
    pub fn learn(&mut self, entries: &[Entry], last: Option<Moment>, events: &mut Vec<Event>) {
        entries.iter().for_each(|entry| self.ring.secrets.learn(entry));
        if let Some(moment) = last {
            let from = events.len();
            self.look_again(moment, events);
            in_order(events, from);
        }
    }

    /// An endpoint serves.
    pub fn note_server(&mut self, server: Endpoint) {
        self.table.note_server(server);
    }

    /// Takes what a frame held, and appends the events that it gives rise to.
    #[inline]
    pub fn take(&mut self, held: &Held<'_, '_>, key: u64, focused: bool, moment: Moment, events: &mut Vec<Event>) {
        match held {
            Held::Whole(packet) => self.packet(packet, key, focused, moment, events),
            Held::Reassembled(whole) => {
                if let Ok(packet) = whole.packet() {
                    self.packet(&packet, key, focused, moment, events);
                }
            }
        }
    }

    /// It is time: what has been silent for too long by then leaves, and what waits is looked at. The events are in the order of
    /// their connections.
    pub fn look(&mut self, moment: Moment, events: &mut Vec<Event>) {
        let from = events.len();
        if !self.waiting.is_empty() && moment.at.since(self.looked) >= LOOK {
            self.look_again(moment, events);
        }
        let Self { table, observers, limits, held, ring, .. } = self;
        table.expire(moment.at, &mut |slot, connection, why| {
            farewell(observers, slot, connection, why, moment, limits, held, ring, events);
        });
        for slot in table.resting() {
            if let Some(observer) = observers.get_mut(slot.0) {
                observer.rest();
            }
        }
        in_order(events, from);
    }

    /// From now on only a share of the connections is followed. The others leave, and their packets are passed over.
    pub fn follow(&mut self, share: Share, moment: Moment, events: &mut Vec<Event>) {
        self.share = share;
        let Self { table, observers, limits, held, ring, .. } = self;
        table.follow(share, &mut |slot, connection, why| {
            farewell(observers, slot, connection, why, moment, limits, held, ring, events);
        });
    }

    /// The capture ended. Connections leave in parts, so that what they give rise to need not be held for all at once; returns
    /// whether there are more.
    pub fn finish(&mut self, moment: Moment, events: &mut Vec<Event>) -> bool {
        let Self { table, observers, limits, held, ring, .. } = self;
        table.finish(PART, &mut |slot, connection, why| {
            farewell(observers, slot, connection, why, moment, limits, held, ring, events);
        })
    }

    /// What waits for secrets is told where they came, or where it waited for too long.
    fn look_again(&mut self, moment: Moment, events: &mut Vec<Event>) {
        let Self { table, observers, limits, held, ring, waiting, looked, .. } = self;
        *looked = moment.at;
        waiting.retain(|slot| {
            let Some(connection) = table.connection(*slot) else { return false };
            let Some(observer) = observers.get_mut(slot.0) else { return false };
            let (id, from, before) = (connection.id, events.len(), observer.held_octets());
            let mut tell = |moment, what| events.push(Event { connection: Some(id), moment, what });
            observer.look_again(moment, ring, limits, &mut tell);
            *held = (*held + observer.held_octets()).saturating_sub(before);
            let is_waiting = observer.is_waiting();
            watch_ends(connection, from, moment, events);
            is_waiting
        });
    }

    fn packet(&mut self, packet: &Packet<'_>, key: u64, focused: bool, moment: Moment, events: &mut Vec<Event>) {
        match &packet.content {
            Content::Tcp(segment) => self.segment((packet, segment), key, focused, moment, events),
            Content::IcmpError(error) => self.icmp_error(packet, error, key, moment, events),
            Content::Udp(datagram) => {
                if let Some(told) = dns::datagram(packet, datagram) {
                    events.push(Event { connection: None, moment, what: What::Lookup(Box::new(told)) });
                }
            }
            Content::Neighbour(told) => {
                events.push(Event { connection: None, moment, what: What::Neighbour(*told) });
            }
            // Fragments are put together before.
            Content::Fragment(_) | Content::Other(_) => {}
        }
    }

    fn segment(
        &mut self,
        (packet, segment): (&Packet<'_>, &Segment<'_>),
        key: u64,
        focused: bool,
        moment: Moment,
        events: &mut Vec<Event>,
    ) {
        let Self { table, observers, limits, held, given_up, ring, waiting, share, .. } = self;
        if !share.holds(segment.source_port, segment.destination_port) {
            return;
        }
        let (slot, side, opened) = table.find(packet, segment, key, moment, &mut |slot, connection, why| {
            farewell(observers, slot, connection, why, moment, limits, held, ring, events);
        });
        let Some(connection) = table.connection(slot) else { return };
        let id = connection.id;
        if let Some((first, local)) = opened {
            events.push(Event { connection: Some(id), moment, what: connection.opened(first, local) });
            open_observer(observers, slot, connection, first == FirstSeen::Syn);
        }
        let Some(observer) = observers.place_mut(slot.0) else { return };
        if focused && !connection.focused {
            connection.focused = true;
            events.push(Event { connection: Some(id), moment, what: What::Focused });
        }
        let from = events.len();
        let may_hold = !segment.payload.is_empty() || connection.held_octets() > 0;
        let before = if may_hold { held_by(connection, observer.as_ref()) } else { 0 };
        let was_waiting = observer.as_ref().is_some_and(Observer::is_waiting);
        let mut out = |output: Output<'_>| observe(observer, output, id, moment, limits, ring, events);
        connection.segment(side, segment, packet.ttl, moment, limits, &mut out);
        if may_hold {
            *held = held.saturating_sub(before) + held_by(connection, observer.as_ref());
            if *held > limits.waiting_bytes {
                *held -= held_by(connection, observer.as_ref());
                connection.give_up_holes(&mut |output| observe(observer, output, id, moment, limits, ring, events));
                let now = Now { moment, context: connection.context(), limits };
                let mut tell = |moment, what| events.push(Event { connection: Some(id), moment, what });
                observer.iter_mut().for_each(|observer| observer.give_up(now, &mut tell));
                *held += held_by(connection, observer.as_ref());
                *given_up += 1;
            }
        }
        if !was_waiting && observer.as_ref().is_some_and(Observer::is_waiting) {
            waiting.push(slot);
        }
        watch_ends(connection, from, moment, events);
    }

    fn icmp_error(
        &mut self,
        packet: &Packet<'_>,
        error: &IcmpError,
        key: u64,
        moment: Moment,
        events: &mut Vec<Event>,
    ) {
        if let Some(rejected) = dns::rejected(packet, error) {
            events.push(Event { connection: None, moment, what: What::LookupRejected(Box::new(rejected)) });
            return;
        }
        let Self { table, observers, limits, held, ring, .. } = self;
        let known = table.quoted(error, key);
        let found = known.or_else(|| {
            table.open_quoted(error, key, moment, &mut |slot, connection, why| {
                farewell(observers, slot, connection, why, moment, limits, held, ring, events);
            })
        });
        let Some((slot, quoted)) = found else { return };
        let Some(connection) = table.connection(slot) else { return };
        if known.is_none() {
            let what = connection.opened(FirstSeen::Quoted, [None, None]);
            events.push(Event { connection: Some(connection.id), moment, what });
            open_observer(observers, slot, connection, true);
        }
        let told = Unreachable {
            from: packet.source,
            v6: error.v6,
            icmp_type: error.icmp_type,
            code: error.code,
            mtu: error.mtu,
            quoted,
            quotes_syn: false,
        };
        let id = connection.id;
        connection.unreachable(told, error.sequence, &mut |output| {
            if let Output::Event(what) = output {
                events.push(Event { connection: Some(id), moment, what });
            }
        });
    }
}

/// Puts the events from an index on in the order of their connections.
fn in_order(events: &mut [Event], from: usize) {
    if let Some(new) = events.get_mut(from..) {
        new.sort_by_key(|event| event.connection);
    }
}

/// Gives a connection that begins its observer.
fn open_observer(observers: &mut Pieces<Observer>, slot: Slot, connection: &Connection, from_start: bool) {
    while observers.len() <= slot.0 {
        observers.add();
    }
    if let Some(observer) = observers.place_mut(slot.0) {
        let [client, server] = connection.ends();
        *observer = Some(Observer::new(client, server, from_start));
    }
}

/// Turns what a connection gives out into events, by way of its observer.
fn observe(
    observer: &mut Option<Observer>,
    output: Output<'_>,
    connection: ConnectionId,
    moment: Moment,
    limits: &Limits,
    ring: &mut KeyRing,
    events: &mut Vec<Event>,
) {
    let mut tell = |moment, what| events.push(Event { connection: Some(connection), moment, what });
    match output {
        Output::Event(what) => {
            if let (What::Gone(_), Some(observer)) = (&what, observer) {
                observer.leave(moment, &mut tell);
            }
            tell(moment, what);
        }
        Output::Piece(side, piece, context) => {
            if let Some(observer) = observer {
                observer.piece(side, &piece, Now { moment, context, limits }, ring, &mut tell);
            }
        }
        Output::Closed { side, reset } => {
            if let Some(observer) = observer {
                observer.closed(side, reset, moment, limits, &mut tell);
            }
        }
    }
}

/// Asks the connection to report when the peer has all of a request that just ended, or of a ClientHello.
fn watch_ends(connection: &mut Connection, from: usize, moment: Moment, events: &mut Vec<Event>) {
    for index in from..events.len() {
        let end = match events.get(index).map(|event| &event.what) {
            Some(What::RequestEnded { end, .. }) => *end,
            Some(What::Tls(shown)) => match &**shown {
                Tls::ClientHello(hello) => hello.end,
                _ => continue,
            },
            _ => continue,
        };
        let id = connection.id;
        connection.watch(end, &mut |output| {
            if let Output::Event(what) = output {
                events.push(Event { connection: Some(id), moment, what });
            }
        });
    }
}

/// Octets that a connection and its observer hold.
fn held_by(connection: &Connection, observer: Option<&Observer>) -> usize {
    connection.held_octets() + observer.map_or(0, Observer::held_octets)
}

/// A connection leaves: what it still held is told, then that it is gone.
#[expect(clippy::too_many_arguments, reason = "it is called from closures that borrow the shard's parts one by one")]
fn farewell(
    observers: &mut Pieces<Observer>,
    slot: Slot,
    connection: &mut Connection,
    why: GoneWhy,
    moment: Moment,
    limits: &Limits,
    held: &mut usize,
    ring: &mut KeyRing,
    events: &mut Vec<Event>,
) {
    let id = connection.id;
    let mut observer = observers.place_mut(slot.0).and_then(Option::take);
    *held = held.saturating_sub(held_by(connection, observer.as_ref()));
    connection.leave(why, &mut |output| observe(&mut observer, output, id, moment, limits, ring, events));
}

/// How often what waits for secrets is looked at, if none came.
const LOOK: Duration = Duration::from_millis(100);
/// Connections that leave together at the end of the capture.
const PART: usize = 1024;
