//! One core's worth of reassembly and observation: the packets of some connections, or of all, go in, events come out.

mod beyond;

use std::time::Duration;

use crate::event::{ConnectionId, Endpoint, Event, FirstSeen, GoneWhy, Moment, Side, Tls, Unreachable, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::{Connection, Output};
use crate::flow::share::Share;
use crate::flow::steer::{Held, Keys, Sent};
use crate::flow::table::{Place, Slot, Table};
use crate::limits::Limits;
use crate::observe::decrypted::Now;
use crate::observe::secrets::Secrets;
use crate::observe::{Common, Observer, dns};
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
    table: Table<Watched>,
    /// Times that a connection gave up octets for want of room.
    given_up: u64,
    common: Common,
    /// Connections that wait for their secrets, and when they were looked for.
    waiting: Vec<Slot>,
    looked: Timestamp,
    /// Octets that connections and observers hold.
    held: usize,
    share: Share,
}

/// What watches a connection.
#[derive(Debug, Default)]
struct Watched {
    /// There is one as long as the connection is there.
    observer: Option<Observer>,
    /// Octets that the connection and its observer held when they were last looked at.
    held: usize,
}

impl Shard {
    /// An empty shard for packets that come with these keys.
    #[must_use]
    pub fn new(limits: &Limits, keys: &Keys) -> Self {
        Self {
            limits: limits.clone(),
            table: Table::new(limits, keys.clone()),
            given_up: 0,
            common: Common::new(limits),
            waiting: Vec::new(),
            looked: Timestamp::default(),
            held: 0,
            share: Share::ALL,
        }
    }

    /// Empty shards that together keep within the limits, each with its share of them.
    #[must_use]
    pub fn several(limits: &Limits, keys: &Keys, shares: &[usize]) -> Vec<Self> {
        let all = shares.iter().sum::<usize>().max(1);
        let limits = shares.iter().map(|share| Limits {
            connections: (limits.connections * share).div_ceil(all),
            waiting_bytes: (limits.waiting_bytes * share).div_ceil(all),
            ..limits.clone()
        });
        limits.map(|limits| Self::new(&limits, keys)).collect()
    }

    /// What was given up so far.
    #[must_use]
    pub fn given_up(&self) -> GivenUp {
        GivenUp { connections: self.table.evicted(), octets: self.given_up }
    }

    /// The secrets of TLS connections.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.common.ring.secrets
    }

    /// Secrets may come after the packets that they are for.
    pub fn may_learn_late(&mut self) {
        self.common.ring.secrets.may_grow();
    }

    /// Takes secrets. What waited for them until `last`, the latest frame's moment, is told.
    pub fn learn(&mut self, entries: &[Entry], last: Option<Moment>, events: &mut Vec<Event>) {
        entries.iter().for_each(|entry| self.common.ring.secrets.learn(entry));
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
    pub fn take(&mut self, held: Held<'_, '_>, key: u64, focused: bool, moment: Moment, events: &mut Vec<Event>) {
        match held {
            Held::Segment(sent) => self.segment(sent, key, focused, moment, events),
            Held::Other(packet) => self.packet(packet, key, focused, moment, events),
            Held::Reassembled(whole) => {
                if let Ok(packet) = whole.packet() {
                    self.packet(&packet, key, focused, moment, events);
                }
            }
            Held::Beyond(beyond) => self.beyond(&beyond, key, focused, moment, events),
        }
    }

    /// It is time: what has been silent for too long by then leaves, and what waits is looked at. The events are in the order of
    /// their connections.
    pub fn look(&mut self, moment: Moment, events: &mut Vec<Event>) {
        let from = events.len();
        if !self.waiting.is_empty() && moment.at.since(self.looked) >= LOOK {
            self.look_again(moment, events);
        }
        let Self { table, limits, held, common, .. } = self;
        let mut leave = |place: &mut Place<_>, why| farewell(place, why, moment, limits, held, common, events);
        table.expire(moment.at, &mut leave, &mut |watched| watched.observer.iter_mut().for_each(Observer::rest));
        in_order(events, from);
    }

    /// From now on only a share of the connections is followed. The others leave, and their packets are passed over.
    pub fn follow(&mut self, share: Share, moment: Moment, events: &mut Vec<Event>) {
        self.share = share;
        let Self { table, limits, held, common, .. } = self;
        table.follow(share, &mut |place, why| farewell(place, why, moment, limits, held, common, events));
    }

    /// The capture ended. Connections leave in parts, so that what they give rise to need not be held for all at once; returns
    /// whether there are more.
    pub fn finish(&mut self, moment: Moment, events: &mut Vec<Event>) -> bool {
        let Self { table, limits, held, common, .. } = self;
        table.finish(PART, &mut |place, why| farewell(place, why, moment, limits, held, common, events))
    }

    /// What waits for secrets is told where they came, or where it waited for too long.
    fn look_again(&mut self, moment: Moment, events: &mut Vec<Event>) {
        let Self { table, limits, held, common, waiting, looked, .. } = self;
        *looked = moment.at;
        waiting.retain(|slot| {
            let Some(place) = table.place(*slot) else { return false };
            let Some(observer) = &mut place.beside.observer else { return false };
            let (id, from) = (place.connection.id, events.len());
            let mut tell = |moment, what| events.push(Event { connection: Some(id), moment, what });
            observer.look_again(moment, &mut common.ring, limits, &mut tell);
            let is_waiting = observer.is_waiting();
            weigh(place, held);
            watch_ends(&mut place.connection, from, moment, events);
            is_waiting
        });
    }

    #[inline(never)]
    fn packet(&mut self, packet: &Packet<'_>, key: u64, focused: bool, moment: Moment, events: &mut Vec<Event>) {
        match &packet.content {
            Content::Tcp(segment) => self.segment(Sent::of(packet, *segment), key, focused, moment, events),
            _ => self.other(packet, key, moment, events),
        }
    }

    /// Takes what is no segment.
    #[cold]
    fn other(&mut self, packet: &Packet<'_>, key: u64, moment: Moment, events: &mut Vec<Event>) {
        match &packet.content {
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
            Content::Tcp(_) | Content::Fragment(_) | Content::Other(_) => {}
        }
    }

    /// Takes a segment. Nearly all carry on a connection that is known, and are taken here.
    #[inline(always)] // Nearly all is decided by what is at hand here.
    pub fn segment(&mut self, sent: Sent<'_>, key: u64, focused: bool, moment: Moment, events: &mut Vec<Event>) {
        let Sent { between, ttl, segment, .. } = sent;
        if self.share != Share::ALL && !self.share.holds(segment.source_port, segment.destination_port) {
            return;
        }
        let (slot, side) = match self.table.known(between, segment.flags, key) {
            Some(known) => known,
            // Copied, what most segments need stays out of memory.
            None => self.open(&{ sent }, key, moment, events),
        };
        let Self { table, limits, held, given_up, common, waiting, .. } = self;
        let Some(place) = table.place(slot) else { return };
        let Place { connection, beside: Watched { observer, .. } } = place;
        let id = connection.id;
        if focused && !connection.focused {
            connection.focused = true;
            events.push(Event { connection: Some(id), moment, what: What::Focused });
        }
        let Some(carried) = connection.carry_on(side, &segment, ttl, moment.at) else {
            return self.any_segment(slot, side, &{ segment }, ttl, moment, events);
        };
        let before = events.len();
        if carried.reaches {
            while let Some(offset) = connection.reached() {
                let what = What::Acknowledged { sender: Side::Client, offset };
                events.push(Event { connection: Some(id), moment, what });
            }
        }
        if segment.payload.is_empty() {
            return;
        }
        let from = events.len();
        let Some(observer) = observer else { return };
        let was_waiting = observer.is_waiting();
        let piece = Piece::Data { at: carried.at, octets: segment.payload };
        let now = Now { moment, context: connection.context(), limits };
        observer.piece(side, &piece, now, common, &mut telling(id, events));
        if from > before {
            join_answer(events, from);
        }
        if !was_waiting && observer.is_waiting() {
            waiting.push(slot);
        }
        // Of a connection that carries on nothing waits but what its observer holds.
        if observer.held_octets() != place.beside.held || *held > limits.waiting_bytes {
            balance(place, moment, (limits, held, given_up, common), events);
        }
        watch_ends(&mut place.connection, from, moment, events);
    }

    /// Takes any segment of a connection.
    #[inline(never)]
    fn any_segment(
        &mut self,
        slot: Slot,
        side: Side,
        segment: &Segment<'_>,
        ttl: u8,
        moment: Moment,
        events: &mut Vec<Event>,
    ) {
        let Self { table, limits, held, given_up, common, waiting, .. } = self;
        let Some(place) = table.place(slot) else { return };
        let Place { connection, beside: Watched { observer, .. } } = place;
        let id = connection.id;
        let from = events.len();
        let was_waiting = observer.as_ref().is_some_and(Observer::is_waiting);
        connection.segment(side, segment, ttl, moment, limits, &mut |output| {
            observe(observer, output, id, moment, limits, common, events);
        });
        if !was_waiting && observer.as_ref().is_some_and(Observer::is_waiting) {
            waiting.push(slot);
        }
        if !segment.payload.is_empty() || place.beside.held > 0 {
            balance(place, moment, (limits, held, given_up, common), events);
        }
        watch_ends(&mut place.connection, from, moment, events);
    }

    /// Finds the connection of a segment that may begin one, or opens it.
    #[cold]
    fn open(&mut self, sent: &Sent<'_>, key: u64, moment: Moment, events: &mut Vec<Event>) -> (Slot, Side) {
        let Self { table, limits, held, common, .. } = self;
        let (slot, side, opened) = table.find(sent, key, moment, &mut |place, why| {
            farewell(place, why, moment, limits, held, common, events);
        });
        if let (Some((first, local)), Some(place)) = (opened, table.place(slot)) {
            let Connection { id, .. } = place.connection;
            events.push(Event { connection: Some(id), moment, what: place.connection.opened(first, local) });
            open_observer(place, first == FirstSeen::Syn);
        }
        (slot, side)
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
        let Self { table, limits, held, common, .. } = self;
        let known = table.quoted(error, key);
        let found = known.or_else(|| {
            table.open_quoted(error, key, moment, &mut |place, why| {
                farewell(place, why, moment, limits, held, common, events);
            })
        });
        let Some((slot, quoted)) = found else { return };
        let Some(place) = table.place(slot) else { return };
        if known.is_none() {
            let what = place.connection.opened(FirstSeen::Quoted, [None, None]);
            events.push(Event { connection: Some(place.connection.id), moment, what });
            open_observer(place, true);
        }
        let connection = &mut place.connection;
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

/// Makes one event of an acknowledgement and the answer that came with it, which stands at an index.
fn join_answer(events: &mut Vec<Event>, at: usize) {
    if let Some([Event { what: What::Acknowledged { offset, .. }, .. }, Event { what: What::Response(response), .. }]) =
        events.get_mut(at.saturating_sub(1)..)
        && response.request_sent == *offset
    {
        response.acknowledges = true;
        events.swap_remove(at - 1);
    }
}

/// Puts the events from an index on in the order of their connections.
fn in_order(events: &mut [Event], from: usize) {
    if let Some(new) = events.get_mut(from..) {
        new.sort_by_key(|event| event.connection);
    }
}

/// Gives a connection that begins its observer.
fn open_observer(place: &mut Place<Watched>, from_start: bool) {
    let [client, server] = place.connection.ends();
    place.beside.observer = Some(Observer::new(client, server, from_start));
}

/// What takes the events of a connection.
fn telling(connection: ConnectionId, events: &mut Vec<Event>) -> impl FnMut(Moment, What) {
    move |moment, what| events.push(Event { connection: Some(connection), moment, what })
}

/// Turns what a connection gives out into events, by way of its observer.
fn observe(
    observer: &mut Option<Observer>,
    output: Output<'_>,
    connection: ConnectionId,
    moment: Moment,
    limits: &Limits,
    common: &mut Common,
    events: &mut Vec<Event>,
) {
    let mut tell = telling(connection, events);
    match output {
        Output::Event(what) => {
            if let (What::Gone(_), Some(observer)) = (&what, observer) {
                observer.leave(moment, &mut tell);
            }
            tell(moment, what);
        }
        Output::Piece(side, piece, context) => {
            if let Some(observer) = observer {
                observer.piece(side, &piece, Now { moment, context, limits }, common, &mut tell);
            }
        }
        Output::Closed { side, reset } => {
            if let Some(observer) = observer {
                observer.closed(side, reset, moment, limits, &mut tell);
            }
        }
    }
}

/// Asks the connection to report when the peer has all of a request that just ended, or of a ClientHello: what was told from an
/// index on.
#[inline(always)] // Nearly always there is nothing to watch.
fn watch_ends(connection: &mut Connection, from: usize, moment: Moment, events: &mut Vec<Event>) {
    for index in from..events.len() {
        let Some(offset) = events.get(index).and_then(|event| end_of(&event.what)) else { continue };
        if connection.watch(offset) {
            let what = What::Acknowledged { sender: Side::Client, offset };
            events.push(Event { connection: Some(connection.id), moment, what });
        }
    }
}

/// The end of what just ended, if it is of interest when the peer has it.
#[inline]
fn end_of(what: &What) -> Option<u64> {
    match what {
        What::RequestEnded { end, .. } => Some(*end),
        What::Request(request) => request.whole.then(|| request.head_end()),
        What::Tls(shown) => match &**shown {
            Tls::ClientHello(hello) => Some(hello.end),
            _ => None,
        },
        _ => None,
    }
}

/// Brings the octets that all hold up to date with what a connection and its observer do.
#[inline]
fn weigh(place: &mut Place<Watched>, held: &mut usize) {
    let Watched { observer, held: before } = &mut place.beside;
    let now = place.connection.held_octets() + observer.as_ref().map_or(0, Observer::held_octets);
    *held = held.saturating_sub(*before) + now;
    *before = now;
}

/// Weighs a connection, which gives up what it holds where there is no room for all that is held.
#[inline(never)]
fn balance(
    place: &mut Place<Watched>,
    moment: Moment,
    (limits, held, given_up, common): (&Limits, &mut usize, &mut u64, &mut Common),
    events: &mut Vec<Event>,
) {
    weigh(place, held);
    if *held > limits.waiting_bytes {
        give_up(place, moment, limits, common, events);
        weigh(place, held);
        *given_up += 1;
    }
}

/// There is no room for what waits: a connection and its observer give up what they hold.
#[cold]
fn give_up(place: &mut Place<Watched>, moment: Moment, limits: &Limits, common: &mut Common, events: &mut Vec<Event>) {
    let Place { connection, beside: Watched { observer, .. } } = place;
    let id = connection.id;
    connection.give_up_holes(&mut |output| observe(observer, output, id, moment, limits, common, events));
    let now = Now { moment, context: connection.context(), limits };
    let mut tell = |moment, what| events.push(Event { connection: Some(id), moment, what });
    observer.iter_mut().for_each(|observer| observer.give_up(now, &mut tell));
}

/// A connection leaves: what it still held is told, then that it is gone.
fn farewell(
    place: &mut Place<Watched>,
    why: GoneWhy,
    moment: Moment,
    limits: &Limits,
    held: &mut usize,
    common: &mut Common,
    events: &mut Vec<Event>,
) {
    let Watched { mut observer, held: before } = std::mem::take(&mut place.beside);
    *held = held.saturating_sub(before);
    let id = place.connection.id;
    place.connection.leave(why, &mut |output| observe(&mut observer, output, id, moment, limits, common, events));
}

/// How often what waits for secrets is looked at, if none came.
const LOOK: Duration = Duration::from_millis(100);
/// Connections that leave together at the end of the capture.
const PART: usize = 1024;

#[cfg(test)]
mod tests;
