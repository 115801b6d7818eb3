//! One core's worth of decoding, reassembly and observation: captured frames go in, events come out.

use std::time::Duration;

use crate::event::{ConnectionId, Event, FirstSeen, Frame, GoneWhy, Moment, Tls, Unreachable, What};
use crate::flow::connection::{Connection, Output};
use crate::flow::defrag::Defragmenter;
use crate::flow::duplicate::Duplicates;
use crate::flow::pieces::Pieces;
use crate::flow::share::Share;
use crate::flow::table::{Slot, Table};
use crate::limits::Limits;
use crate::observe::decrypted::{KeyRing, Now};
use crate::observe::secrets::Secrets;
use crate::observe::{Observer, dns};
use crate::time::Timestamp;
use crate::wire::link::LinkType;
use crate::wire::packet::{self, Content, IcmpError, Packet, Segment, Undecodable};
use crate::wire::tls::keylog::Entry;

/// A captured frame, as the rim hands it down.
#[derive(Clone, Copy, Debug)]
pub struct Captured<'a> {
    /// Which frame.
    pub frame: Frame,
    /// When it was captured.
    pub at: Timestamp,
    /// Its link type.
    pub link: LinkType,
    /// The interface it was captured on: its index within the input.
    pub interface: u32,
    /// Octets on the wire; `octets` may hold fewer.
    pub length: u32,
    /// Whether it matches the focus expression.
    pub focused: bool,
    /// The captured octets.
    pub octets: &'a [u8],
}

/// What went through a shard.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Frames taken.
    pub frames: u64,
    /// Copies removed.
    pub duplicates: u64,
    /// Frames of which only a part was captured.
    pub truncated: u64,
    /// Frames that should have held an IP packet and could not be decoded.
    pub undecodable: u64,
    /// Connections given up for want of room.
    pub evicted: u64,
    /// Times that a connection gave up early octets or an incomplete header section for want of room.
    pub given_up: u64,
}

/// A shard: connections and their observers.
#[derive(Debug)]
pub struct Shard {
    limits: Limits,
    duplicates: Duplicates,
    defragmenter: Defragmenter,
    table: Table,
    observers: Pieces<Observer>,
    counters: Counters,
    ring: KeyRing,
    /// Connections that wait for their secrets, and when they were looked for.
    waiting: Vec<Slot>,
    looked: Timestamp,
    /// Octets that connections and observers hold.
    held: usize,
    share: Share,
}

impl Shard {
    /// An empty shard.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            duplicates: Duplicates::new(limits),
            defragmenter: Defragmenter::new(limits),
            table: Table::new(limits),
            observers: Pieces::default(),
            counters: Counters::default(),
            ring: KeyRing::new(limits),
            waiting: Vec::new(),
            looked: Timestamp::default(),
            held: 0,
            share: Share::ALL,
        }
    }

    /// What went through so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { evicted: self.table.evicted(), ..self.counters }
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
            self.look_again(moment, events);
        }
    }

    /// Takes a frame and appends the events that it gives rise to.
    pub fn take(&mut self, captured: &Captured<'_>, events: &mut Vec<Event>) {
        self.counters.frames += 1;
        let moment = Moment { at: captured.at, frame: captured.frame };
        self.expire(moment, events);
        if (captured.octets.len() as u64) < u64::from(captured.length) {
            self.counters.truncated += 1;
        }
        match packet::decode(captured.link, captured.octets, captured.length) {
            Ok(packet) => {
                // Interfaces are numbered within an input; copies are told apart by where they were captured.
                let interface = captured.interface | u32::from(captured.frame.input()) << 20;
                if self.duplicates.is_copy(captured.at, interface, &packet) {
                    self.counters.duplicates += 1;
                } else {
                    self.packet(&packet, captured.focused, moment, events);
                }
            }
            Err(Undecodable::NotIp) => {}
            Err(_) => self.counters.undecodable += 1,
        }
    }

    /// No more frames come from before `moment`: what has been silent for too long by then leaves.
    pub fn pass_time(&mut self, moment: Moment, events: &mut Vec<Event>) {
        self.expire(moment, events);
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

    fn expire(&mut self, moment: Moment, events: &mut Vec<Event>) {
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

    fn packet(&mut self, packet: &Packet<'_>, focused: bool, moment: Moment, events: &mut Vec<Event>) {
        match &packet.content {
            Content::Tcp(segment) => self.segment(packet, segment, focused, moment, events),
            Content::IcmpError(error) => self.icmp_error(packet, error, moment, events),
            Content::Fragment(fragment) => {
                if let Some(whole) = self.defragmenter.push(moment.at, packet, fragment)
                    && let Ok(packet) = whole.packet()
                    && !matches!(packet.content, Content::Fragment(_))
                {
                    self.packet(&packet, focused, moment, events);
                }
            }
            Content::Udp(datagram) => {
                if let Some(told) = dns::datagram(packet, datagram) {
                    events.push(Event { connection: None, moment, what: What::Lookup(Box::new(told)) });
                }
            }
            Content::Neighbour(told) => {
                events.push(Event { connection: None, moment, what: What::Neighbour(*told) });
            }
            Content::Other(_) => {}
        }
    }

    fn segment(
        &mut self,
        packet: &Packet<'_>,
        segment: &Segment<'_>,
        focused: bool,
        moment: Moment,
        events: &mut Vec<Event>,
    ) {
        let Self { table, observers, limits, held, counters, ring, waiting, share, .. } = self;
        if !share.holds(segment.source_port, segment.destination_port) {
            return;
        }
        let (slot, side, opened) = table.find(packet, segment, moment, &mut |slot, connection, why| {
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
                counters.given_up += 1;
            }
        }
        if !was_waiting && observer.as_ref().is_some_and(Observer::is_waiting) {
            waiting.push(slot);
        }
        watch_ends(connection, from, moment, events);
    }

    fn icmp_error(&mut self, packet: &Packet<'_>, error: &IcmpError, moment: Moment, events: &mut Vec<Event>) {
        if let Some(rejected) = dns::rejected(packet, error) {
            events.push(Event { connection: None, moment, what: What::LookupRejected(Box::new(rejected)) });
            return;
        }
        let Self { table, observers, limits, held, ring, .. } = self;
        let known = table.quoted(error);
        let found = known.or_else(|| {
            table.open_quoted(error, moment, &mut |slot, connection, why| {
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
