//! TLS on one connection, without keys: the ordered octets of both directions in, the handshake and the exchanges inside out.
//!
//! What is in clear is read; of what is encrypted there are types, lengths and order. Up to TLS 1.2 the types are true. In
//! TLS 1.3 all that is encrypted has the type of application data, and order and lengths tell the parts apart:
//!
//! ```text
//!   client   ClientHello                                    {Finished} [request]
//!   server                ServerHello {… Finished}                               {tickets} [response]
//!             type 22      type 22     type 23               type 23    type 23    type 23    type 23
//! ```
//!
//! A Finished message is as long as its suite's hash. Where lengths do not tell, nothing is claimed.

mod exchanges;
mod handshake;
mod records;
mod spoken;

use std::borrow::Cow;

use crate::event::tls::{NotTls, SentAlert};
use crate::event::{Opaque, Side, Tls as Shown, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::limits::Limits;
use crate::observe::tls::exchanges::Exchanges;
use crate::observe::tls::handshake::Handshake;
use crate::observe::tls::records::{Found, Record, Records, Rest};
use crate::observe::tls::spoken::spoken;
use crate::wire::tls::handshake::Message;
use crate::wire::tls::{Alert, ContentType, Error};

/// The observer of one connection.
#[derive(Debug)]
pub struct Tls {
    mode: Mode,
    directions: [Direction; 2],
    handshake: Handshake,
    exchanges: Exchanges,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Something else is spoken, and the client may begin TLS at any segment.
    Awaiting,
    Records,
    /// The server does not speak TLS.
    Off,
}

/// One direction.
#[derive(Debug, Default)]
struct Direction {
    records: Records,
    /// Handshake octets that are no whole message yet, and the offset of the record that holds the first one.
    messages: Vec<u8>,
    messages_start: u64,
    /// Handshake messages are encrypted, or cannot be read any more.
    encrypted: bool,
}

impl Tls {
    /// An observer for a connection that speaks TLS; `from_start` where its beginning is in the capture.
    #[must_use]
    pub fn new(from_start: bool) -> Self {
        let mut tls = Self {
            mode: Mode::Records,
            directions: [Direction::default(), Direction::default()],
            handshake: Handshake::default(),
            exchanges: Exchanges::default(),
        };
        if !from_start {
            // The server's octets may have begun in the middle of a record.
            let [_, server] = &mut tls.directions;
            server.records = Records::lost();
        }
        tls
    }

    /// An observer for a connection that speaks something else and may turn to TLS: behind a CONNECT, or a STARTTLS.
    #[must_use]
    pub fn awaiting() -> Self {
        Self { mode: Mode::Awaiting, ..Self::new(true) }
    }

    /// Whether TLS has not begun yet.
    #[must_use]
    pub fn is_awaiting(&self) -> bool {
        self.mode == Mode::Awaiting
    }

    /// Takes the next piece of a direction.
    pub fn piece(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        context: Context,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        match piece {
            Piece::Data { at, octets } => self.data(side, *at, octets, context, limits, tell),
            Piece::Gap { length, .. } if self.mode == Mode::Records => self.gap(side, *length, tell),
            Piece::Gap { .. } => {}
        }
    }

    /// A direction is over.
    pub fn closed(&mut self, side: Side, reset: bool, tell: &mut impl FnMut(What)) {
        if self.mode != Mode::Records || side == Side::Client {
            return;
        }
        let [_, server] = &self.directions;
        self.exchanges.closed(server.records.is_cut(), reset, tell);
    }

    /// Octets of incomplete records and messages.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        self.directions.iter().map(|direction| direction.records.held_octets() + direction.messages.capacity()).sum()
    }

    /// There is no room for incomplete messages: they are given up, and the handshake is not read.
    pub fn give_up_messages(&mut self) {
        for direction in &mut self.directions {
            if direction.records.held_octets() + direction.messages.capacity() > 0 {
                *direction = Direction { encrypted: true, records: Records::lost(), ..Direction::default() };
                self.exchanges.miss();
            }
        }
    }

    fn data(
        &mut self,
        side: Side,
        at: u64,
        octets: &[u8],
        context: Context,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        match self.mode {
            Mode::Awaiting if side == Side::Client && is_client_hello(octets) => {
                self.mode = Mode::Records;
                tell(What::Opaque(Opaque::Tls));
            }
            Mode::Records => {}
            Mode::Awaiting | Mode::Off => return,
        }
        let mut rest = Rest { at, octets };
        loop {
            let direction = self.direction(side);
            let Some(found) = direction.records.next(&mut rest, direction.encrypted) else { break };
            match found {
                Found::Begins(record) => self.begins(side, &record, context, tell),
                Found::Whole(record, fragment) => self.record(side, &record, fragment, context, limits, tell),
                Found::Sslv2(start, end, body) => self.handshake.sslv2_hello(body, start, end, limits, tell),
                Found::Foreign(start, octets) => return self.foreign(side, start, &octets, tell),
            }
        }
        let inside = self.direction(side).records.inside().filter(Record::is_application_data);
        self.exchanges.piece_ends(side, inside.map(|_| rest.at), tell);
    }

    fn direction(&mut self, side: Side) -> &mut Direction {
        let [client, server] = &mut self.directions;
        if side == Side::Client { client } else { server }
    }

    /// A record's header is there.
    fn begins(&mut self, side: Side, record: &Record, context: Context, tell: &mut impl FnMut(What)) {
        if record.is_application_data() && self.handshake.is_over(side) {
            self.exchanges.begins(side, record, context, tell);
        }
    }

    fn record(
        &mut self,
        side: Side,
        record: &Record,
        fragment: Cow<'_, [u8]>,
        context: Context,
        limits: &Limits,
        tell: &mut impl FnMut(What),
    ) {
        match record.header.content_type {
            ContentType::HANDSHAKE if self.direction(side).encrypted => self.encrypted_handshake(side, record, tell),
            ContentType::HANDSHAKE => self.messages(side, record, &fragment, limits, tell),
            ContentType::CHANGE_CIPHER_SPEC => {
                let encrypted = self.handshake.changes_cipher(side);
                self.direction(side).encrypted |= encrypted;
            }
            ContentType::ALERT => self.alert(side, record, Alert::parse(&fragment).ok(), true, tell),
            ContentType::APPLICATION_DATA => {
                let may_be_alert = if self.handshake.is_over(side) {
                    self.exchanges.whole(side, record)
                } else {
                    self.handshake.encrypted(side, record, context, tell)
                };
                if may_be_alert {
                    self.alert(side, record, None, false, tell);
                }
                self.follow(tell);
            }
            _ => {}
        }
    }

    fn encrypted_handshake(&mut self, side: Side, record: &Record, tell: &mut impl FnMut(What)) {
        self.handshake.finished_before_1_3(side, record, tell);
        self.follow(tell);
    }

    /// Where the handshake is done, the exchanges are what is to be followed.
    fn follow(&mut self, tell: &mut impl FnMut(What)) {
        if let Some(followed) = self.handshake.outcome(tell) {
            self.exchanges.follow(followed);
        }
    }

    /// Handshake messages in clear.
    fn messages(&mut self, side: Side, record: &Record, fragment: &[u8], limits: &Limits, tell: &mut impl FnMut(What)) {
        let direction = self.direction(side);
        if direction.messages.is_empty() {
            direction.messages_start = record.start;
        }
        let mut start = direction.messages_start;
        let mut gathered = std::mem::take(&mut direction.messages);
        let mut octets = fragment;
        if !gathered.is_empty() {
            gathered.extend_from_slice(fragment);
            octets = &gathered;
        }
        while let Ok((message, rest)) = Message::parse(octets) {
            self.handshake.message(side, message, start, record.end(), limits, tell);
            start = record.start;
            octets = rest;
        }
        let too_long = Message::length(octets).is_some_and(|length| length > limits.handshake_bytes);
        let rest = if too_long { Vec::new() } else { octets.to_vec() };
        let encrypted = self.handshake.encrypts(side) || too_long;
        let direction = self.direction(side);
        direction.encrypted |= encrypted;
        direction.messages = rest;
        direction.messages_start = start;
    }

    fn alert(
        &mut self,
        sender: Side,
        record: &Record,
        alert: Option<Alert>,
        certain: bool,
        tell: &mut impl FnMut(What),
    ) {
        let after_handshake = self.handshake.is_over(sender);
        let (start, end) = (record.start, record.end());
        tell(What::Tls(Box::new(Shown::Alert(SentAlert { sender, start, end, alert, certain, after_handshake }))));
    }

    /// Octets that are no record.
    fn foreign(&mut self, side: Side, start: u64, octets: &[u8], tell: &mut impl FnMut(What)) {
        if side == Side::Client || self.direction(side).records.any || !self.handshake.is_asked() {
            self.exchanges.miss();
            return;
        }
        // The server of a client that speaks SSL 2.0 may do so as well.
        let is_ssl_2 = matches!(octets, [0x80..=0xff, _, 4, ..]);
        self.mode = Mode::Off;
        if !is_ssl_2 {
            let first = octets.get(..FIRST_OCTETS).unwrap_or(octets).into();
            let not_tls = NotTls { sender: side, start, what: spoken(octets), first };
            tell(What::Tls(Box::new(Shown::NotTls(not_tls))));
        }
    }

    fn gap(&mut self, side: Side, length: u64, tell: &mut impl FnMut(What)) {
        let direction = self.direction(side);
        if direction.records.skip(length, direction.encrypted) {
            return;
        }
        direction.messages = Vec::new();
        self.handshake.miss(side);
        self.exchanges.gap(side, tell);
    }
}

/// Whether octets at the start of a segment begin a ClientHello: a handshake record, with a message of that type in it.
fn is_client_hello(octets: &[u8]) -> bool {
    matches!(octets, [22, 3, 0..=4, _, _, 1, 0, ..])
}

/// An alert record that begins octets where HTTP must stand.
///
/// # Errors
///
/// As for [`Alert::parse_record`].
pub(super) fn alert_instead(start: u64, octets: &[u8]) -> Result<What, Error> {
    let alert = Alert::parse_record(octets)?;
    let end = start + 7;
    let sent =
        SentAlert { sender: Side::Server, start, end, alert: Some(alert), certain: true, after_handshake: false };
    Ok(What::Tls(Box::new(Shown::Alert(sent))))
}

/// Octets told of what is not TLS.
const FIRST_OCTETS: usize = 64;

#[cfg(test)]
mod tests;
