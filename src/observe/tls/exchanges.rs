//! The exchanges inside TLS, of which only lengths and order are seen: octets of the client begin a request, octets of the
//! server that has received them are its response, and the next ones of the client are the next request. Where each ends is
//! told with each piece, and the latest word stands.
//!
//! Session tickets of TLS 1.3 look like a response (RFC 8446 section 4.6.1). A server sends them as soon as it has the client's
//! Finished, all of one length, before anything else:
//!
//! ```text
//!   client   {Finished} [request]
//!   server                          {ticket} {ticket} [response]
//!            a record that does not acknowledge the request, one as long as a ticket before it, and one that could be
//!            a ticket and has another record behind it: tickets
//! ```

use crate::event::tls::{Carried, Tickets};
use crate::event::{Ending, Side, Tls as Shown, Veiled, What};
use crate::flow::connection::Context;
use crate::observe::tls::records::Record;

/// What is followed once the handshake is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Followed {
    pub(super) carried: Carried,
    pub(super) is_1_3: bool,
    /// Octets that protection adds to a record.
    pub(super) overhead: Option<u16>,
    /// Whether the server's tickets came with its handshake.
    pub(super) tickets_seen: bool,
}

/// The exchanges of one connection.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    followed: Option<Followed>,
    /// Exchanges so far.
    number: u32,
    phase: Phase,
    request: Message,
    response: Message,
    /// Octets of the client's latest record.
    latest: u64,
    tickets: Expected,
    /// The record that is being read of `[client, server]` is no part of a message.
    aside: [bool; 2],
    /// Octets were missed: what the next ones belong to is not known.
    lost: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Request,
    Response,
}

/// A request or a response.
#[derive(Clone, Copy, Debug, Default)]
struct Message {
    start: u64,
    /// Offset behind what is there of it.
    end: u64,
    /// Octets of application data in whole records.
    octets: u64,
    /// It has grown since its end was told.
    grew: bool,
}

/// The tickets that a server may still send.
#[derive(Debug, Default)]
struct Expected {
    /// What follows is a response.
    over: bool,
    sent: Option<Tickets>,
    /// Length of their records.
    length: u16,
}

/// What a record of the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ticket,
    Content,
}

impl Exchanges {
    /// The handshake is done.
    pub(super) fn follow(&mut self, followed: Followed) {
        self.tickets.over = !followed.is_1_3 || followed.tickets_seen;
        self.followed = Some(followed).filter(|followed| followed.carried == Carried::Http1);
    }

    /// Octets were missed, or cannot be read.
    pub(super) fn miss(&mut self) {
        self.lost = true;
    }

    /// Octets of a direction were missed.
    pub(super) fn gap(&mut self, side: Side, tell: &mut impl FnMut(What)) {
        if self.followed.is_none() {
            return;
        }
        self.tell_tickets(tell);
        self.lost = true;
        // A response that has begun may have ended among them, and one that has not may have come and gone.
        let unknown = self.phase == Phase::Request || side == Side::Server && self.phase == Phase::Response;
        if unknown {
            let (exchange, content) = (self.number, self.response.octets);
            let end = self.response.end;
            tell(What::ResponseEnded { exchange, end, content, how: Ending::Unknown });
            self.phase = Phase::Idle;
        }
    }

    /// A record of application data begins.
    pub(super) fn begins(&mut self, side: Side, record: &Record, context: Context, tell: &mut impl FnMut(What)) {
        let Some(followed) = self.followed else { return };
        let octets = content(record, followed);
        let aside = match side {
            Side::Client => !self.request_begins(record, octets, followed, context, tell),
            Side::Server => !self.response_begins(record, octets, followed, context, tell),
        };
        if let Some(own) = self.aside.get_mut(side.index()) {
            *own = aside;
        }
    }

    /// A record of application data is complete. Returns whether it may be an alert.
    pub(super) fn whole(&mut self, side: Side, record: &Record) -> bool {
        let Some(followed) = self.followed else { return false };
        if is_alert(record, followed) {
            return true;
        }
        if self.is_aside(side) {
            return false;
        }
        let message = if side == Side::Client { &mut self.request } else { &mut self.response };
        let octets = content(record, followed);
        message.octets += octets;
        message.end = record.end();
        message.grew = true;
        if side == Side::Client {
            self.latest = octets;
        }
        false
    }

    /// A piece is read. `inside` is the offset behind it where it ends within a record of application data.
    pub(super) fn piece_ends(&mut self, side: Side, inside: Option<u64>, tell: &mut impl FnMut(What)) {
        if self.followed.is_none() || self.phase == Phase::Idle {
            return;
        }
        let exchange = self.number;
        match side {
            Side::Client if std::mem::take(&mut self.request.grew) => {
                tell(What::Veiled(Veiled { exchange, request_octets: self.request.octets }));
                tell(What::RequestEnded { exchange, end: self.request.end });
            }
            Side::Server if self.phase == Phase::Response => {
                if let Some(end) = inside.filter(|_| !self.is_aside(side)) {
                    self.response.end = end;
                    self.response.grew = true;
                }
                if std::mem::take(&mut self.response.grew) && self.response.octets != INTERIM {
                    let (end, content) = (self.response.end, self.response.octets);
                    tell(What::ResponseEnded { exchange, end, content, how: Ending::Unmeasured });
                }
            }
            _ => {}
        }
    }

    /// The server has closed; `cut` where it did so in the middle of a record.
    pub(super) fn closed(&mut self, cut: bool, reset: bool, tell: &mut impl FnMut(What)) {
        if self.followed.is_none() {
            return;
        }
        let perhaps = self.tickets.sent.is_some_and(|tickets| tickets.perhaps_response);
        let end = self.tickets.sent.map_or(self.response.end, |tickets| tickets.end);
        self.tell_tickets(tell);
        // Tickets that come to a client that has gone are no response either.
        self.lost = true;
        let exchange = self.number;
        match self.phase {
            Phase::Request if perhaps => {
                tell(What::ResponseEnded { exchange, end, content: 0, how: Ending::Unknown });
            }
            Phase::Response if cut && !(reset && self.is_aside(Side::Server)) => {
                let (end, content) = (self.response.end, self.response.octets);
                tell(What::ResponseEnded { exchange, end, content, how: Ending::Truncated });
            }
            _ => {}
        }
    }

    fn is_aside(&self, side: Side) -> bool {
        self.aside.get(side.index()).copied().unwrap_or_default()
    }

    /// Whether a record of the client belongs to a request.
    fn request_begins(
        &mut self,
        record: &Record,
        octets: u64,
        followed: Followed,
        context: Context,
        tell: &mut impl FnMut(What),
    ) -> bool {
        if is_alert(record, followed) {
            return false;
        }
        match self.phase {
            Phase::Request => return true,
            // The server said 100 (Continue): what follows is the content that it waited for.
            Phase::Response if self.response.octets == INTERIM && !self.response.is_partial(context) => {
                self.phase = Phase::Request;
                self.response = Message::default();
                return true;
            }
            Phase::Response if self.goes_on(octets, context) => return true,
            // A KeyUpdate is as long as this, and no request is.
            _ if followed.is_1_3 && octets <= KEY_UPDATE => return false,
            Phase::Idle | Phase::Response => {}
        }
        self.lost = false;
        self.number += 1;
        self.phase = Phase::Request;
        self.request = Message { start: record.start, end: record.start, ..Message::default() };
        self.response = Message::default();
        let [_, acknowledged] = context.acknowledged;
        tell(What::RequestStarted { exchange: self.number, at: record.start, acknowledged });
        true
    }

    /// Whether octets of the client after a response began are still of its request: it has nothing of the response yet, or
    /// it sends on in pieces of the greatest length.
    fn goes_on(&self, octets: u64, context: Context) -> bool {
        let [_, acknowledged] = context.acknowledged;
        acknowledged <= self.response.start
            || self.latest >= LEAST_FULL && (self.latest == octets || self.latest == FULL)
    }

    /// Whether a record of the server belongs to a response.
    fn response_begins(
        &mut self,
        record: &Record,
        octets: u64,
        followed: Followed,
        context: Context,
        tell: &mut impl FnMut(What),
    ) -> bool {
        if is_alert(record, followed) {
            return false;
        }
        let [received, _] = context.acknowledged;
        let asked = self.phase != Phase::Idle && received > self.request.start;
        if !self.tickets.over && self.kind(record, octets, asked) == Kind::Ticket {
            return false;
        }
        self.tell_tickets(tell);
        match self.phase {
            Phase::Response => return true,
            Phase::Request if !asked => return false,
            // After a gap it may be the rest of anything.
            Phase::Idle if self.lost => return false,
            Phase::Idle | Phase::Request => {}
        }
        let solicited = self.phase == Phase::Request;
        if !solicited {
            self.number += 1;
        }
        self.phase = Phase::Response;
        self.response = Message { start: record.start, end: record.start, ..Message::default() };
        let octets = u8::try_from(octets.min(64)).unwrap_or(64);
        tell(What::ResponseStarted { exchange: self.number, at: record.start, solicited, octets });
        true
    }

    /// What a record is that comes where tickets are expected.
    fn kind(&mut self, record: &Record, octets: u64, asked: bool) -> Kind {
        let length = record.header.length;
        let fits = (SHORTEST_TICKET..=LONGEST_TICKET).contains(&octets);
        let kind = match &mut self.tickets.sent {
            _ if !asked => Kind::Ticket,
            // The first record after the request, as long as a ticket may be: one, or all of the response.
            None if fits => {
                let (start, end) = (record.start, record.end());
                self.tickets.sent = Some(Tickets { start, end, records: 1, perhaps_response: true });
                self.tickets.length = length;
                return Kind::Ticket;
            }
            Some(sent) if length == self.tickets.length && sent.records < MOST_TICKETS => Kind::Ticket,
            _ => Kind::Content,
        };
        match (kind, &mut self.tickets.sent) {
            (Kind::Ticket, Some(sent)) => {
                sent.records = sent.records.saturating_add(1);
                sent.end = record.end();
                sent.perhaps_response = false;
            }
            (Kind::Ticket, sent @ None) => {
                let (start, end) = (record.start, record.end());
                *sent = Some(Tickets { start, end, records: 1, perhaps_response: false });
            }
            // What has another record behind it was a ticket.
            (Kind::Content, Some(sent)) => sent.perhaps_response = false,
            (Kind::Content, None) => {}
        }
        self.tickets.length = length;
        kind
    }

    /// No more tickets come: those that did are told.
    fn tell_tickets(&mut self, tell: &mut impl FnMut(What)) {
        self.tickets.over = true;
        if let Some(tickets) = self.tickets.sent.take() {
            tell(What::Tls(Box::new(Shown::Tickets(tickets))));
        }
    }
}

impl Message {
    /// Whether the peer has sent more than what is there of it.
    fn is_partial(&self, context: Context) -> bool {
        let [_, sent] = context.sent;
        sent > self.end
    }
}

/// Octets of application data in a record.
fn content(record: &Record, followed: Followed) -> u64 {
    u64::from(record.header.length.saturating_sub(followed.overhead.unwrap_or_default()))
}

/// Whether a record of TLS 1.3 is as long as an alert.
fn is_alert(record: &Record, followed: Followed) -> bool {
    followed.is_1_3 && content(record, followed) == 2
}

/// Octets of `HTTP/1.1 100 Continue` and the empty line.
const INTERIM: u64 = 25;
/// Octets of a KeyUpdate message.
const KEY_UPDATE: u64 = 5;
/// Octets of a record as long as it may be.
const FULL: u64 = 1 << 14;
/// A sender that fills records of its own choice uses no shorter ones.
const LEAST_FULL: u64 = 1024;
/// Octets of a NewSessionTicket message: an identifier alone, and a ticket with a certificate in it.
const SHORTEST_TICKET: u64 = 40;
const LONGEST_TICKET: u64 = 2048;
/// Servers send two, unless they are told otherwise.
const MOST_TICKETS: u8 = 4;
