//! One core's worth of decoding, reassembly and observation: captured frames go in, events come out.

use crate::event::{ConnectionId, Event, FirstSeen, Frame, GoneWhy, Moment, Side, Unreachable, What};
use crate::flow::connection::{Connection, Output};
use crate::flow::defrag::Defragmenter;
use crate::flow::duplicate::Duplicates;
use crate::flow::table::{Slot, Table};
use crate::limits::Limits;
use crate::observe::Observer;
use crate::time::Timestamp;
use crate::wire::link::LinkType;
use crate::wire::packet::{self, Content, IcmpError, Packet, Segment, Undecodable};

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
    observers: Vec<Option<Observer>>,
    counters: Counters,
    /// Octets that connections and observers hold.
    held: usize,
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
            observers: Vec::new(),
            counters: Counters::default(),
            held: 0,
        }
    }

    /// What went through so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters { evicted: self.table.evicted(), ..self.counters }
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

    /// The capture ended.
    pub fn finish(&mut self, moment: Moment, events: &mut Vec<Event>) {
        let Self { table, observers, limits, held, .. } = self;
        table.finish(&mut |slot, connection, why| {
            farewell(observers, slot, connection, why, moment, limits, held, events);
        });
    }

    fn expire(&mut self, moment: Moment, events: &mut Vec<Event>) {
        let Self { table, observers, limits, held, .. } = self;
        table.expire(moment.at, &mut |slot, connection, why| {
            farewell(observers, slot, connection, why, moment, limits, held, events);
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
            Content::Udp(_) | Content::Other(_) => {}
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
        let Self { table, observers, limits, held, counters, .. } = self;
        let (slot, side, opened) = table.find(packet, segment, moment, &mut |slot, connection, why| {
            farewell(observers, slot, connection, why, moment, limits, held, events);
        });
        let Some(connection) = table.connection(slot) else { return };
        let id = connection.id;
        if let Some((first, local)) = opened {
            events.push(Event { connection: id, moment, what: connection.opened(first, local) });
            open_observer(observers, slot, first == FirstSeen::Syn);
        }
        let Some(observer) = observers.get_mut(slot.0) else { return };
        if focused && !connection.focused {
            connection.focused = true;
            events.push(Event { connection: id, moment, what: What::Focused });
        }
        let from = events.len();
        let may_hold = !segment.payload.is_empty() || connection.held_octets() > 0;
        let before = if may_hold { held_by(connection, observer.as_ref()) } else { 0 };
        let mut out = |output: Output<'_>| observe(observer, output, id, moment, limits, events);
        connection.segment(side, segment, packet.ttl, moment, limits, &mut out);
        if may_hold {
            *held = held.saturating_sub(before) + held_by(connection, observer.as_ref());
            if *held > limits.waiting_bytes {
                *held -= held_by(connection, observer.as_ref());
                connection.give_up_holes(&mut |output| observe(observer, output, id, moment, limits, events));
                let context = connection.context();
                observer.iter_mut().for_each(|observer| observer.give_up(context));
                *held += held_by(connection, observer.as_ref());
                counters.given_up += 1;
            }
        }
        watch_ends(connection, from, moment, events);
    }

    fn icmp_error(&mut self, packet: &Packet<'_>, error: &IcmpError, moment: Moment, events: &mut Vec<Event>) {
        let Self { table, observers, limits, held, .. } = self;
        let known = table.quoted(error);
        let found = known.or_else(|| {
            table.open_quoted(error, moment, &mut |slot, connection, why| {
                farewell(observers, slot, connection, why, moment, limits, held, events);
            })
        });
        let Some((slot, quoted)) = found else { return };
        let Some(connection) = table.connection(slot) else { return };
        if known.is_none() {
            let what = connection.opened(FirstSeen::Quoted, [None, None]);
            events.push(Event { connection: connection.id, moment, what });
            open_observer(observers, slot, true);
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
                events.push(Event { connection: id, moment, what });
            }
        });
    }
}

/// Gives a connection that begins its observer.
fn open_observer(observers: &mut Vec<Option<Observer>>, slot: Slot, from_start: bool) {
    if observers.len() <= slot.0 {
        observers.resize_with(slot.0 + 1, || None);
    }
    if let Some(observer) = observers.get_mut(slot.0) {
        *observer = Some(Observer::new(from_start));
    }
}

/// Turns what a connection gives out into events, by way of its observer.
fn observe(
    observer: &mut Option<Observer>,
    output: Output<'_>,
    connection: ConnectionId,
    moment: Moment,
    limits: &Limits,
    events: &mut Vec<Event>,
) {
    match output {
        Output::Event(what) => events.push(Event { connection, moment, what }),
        Output::Piece(side, piece, context) => {
            if let Some(observer) = observer {
                let mut tell = |what| events.push(Event { connection, moment, what });
                observer.piece(side, &piece, moment, context, limits, &mut tell);
            }
        }
        Output::Closed { side, reset } => {
            if let Some(observer) = observer {
                observer.closed(side, reset, &mut |what| events.push(Event { connection, moment, what }));
            }
        }
    }
}

/// Asks the connection to report when the peer has all of a request that just ended.
fn watch_ends(connection: &mut Connection, from: usize, moment: Moment, events: &mut Vec<Event>) {
    for index in from..events.len() {
        let end = match events.get(index).map(|event| &event.what) {
            Some(What::RequestEnded { end, .. }) => *end,
            _ => continue,
        };
        let id = connection.id;
        connection.watch(Side::Client, end, &mut |output| {
            if let Output::Event(what) = output {
                events.push(Event { connection: id, moment, what });
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
    observers: &mut [Option<Observer>],
    slot: Slot,
    connection: &mut Connection,
    why: GoneWhy,
    moment: Moment,
    limits: &Limits,
    held: &mut usize,
    events: &mut Vec<Event>,
) {
    let id = connection.id;
    let mut observer = observers.get_mut(slot.0).and_then(Option::take);
    *held = held.saturating_sub(held_by(connection, observer.as_ref()));
    connection.leave(why, &mut |output| observe(&mut observer, output, id, moment, limits, events));
}
