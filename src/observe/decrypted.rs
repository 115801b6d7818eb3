//! HTTP/1 inside of TLS, on a connection whose secrets the user has: the ordered octets of both directions in, exchanges out,
//! in the offsets of the TCP stream.
//!
//! ```text
//!   pieces ─► records ─► opened by keys ─► plaintext ─► HTTP/1 ─► events, in offsets of the stream
//! ```
//!
//! What the octets of TLS itself show is for others to tell: nothing is told here of a connection that cannot be decrypted,
//! but that it is so.

mod inside;
mod keys;
mod late;
mod offsets;
mod records;

use std::ops::Range;

use crate::event::tls::SentAlert;
use crate::event::{GapJudged, Moment, Opaque, Side, Tls, What};
use crate::flow::assembler::Piece;
use crate::flow::connection::Context;
use crate::limits::Limits;
use crate::observe::decrypted::inside::Inside;
use crate::observe::decrypted::keys::{Keys, Opened};
use crate::observe::decrypted::late::{Held, Late};
use crate::observe::decrypted::records::{Records, Whole};
use crate::observe::secrets::Secrets;
use crate::wire::tls::keylog::Label;
use crate::wire::tls::protect::Record;
use crate::wire::tls::{Alert, agreed};

/// The secrets, and room for the plaintext of a record.
#[derive(Debug)]
pub struct KeyRing {
    /// The secrets.
    pub secrets: Secrets,
    plaintext: Vec<u8>,
}

impl KeyRing {
    /// A ring without keys.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self { secrets: Secrets::new(limits.secret_bytes), plaintext: Vec::new() }
    }
}

impl KeyRing {
    /// Whether there are secrets, or some may come.
    #[must_use]
    pub fn may_open(&self) -> bool {
        !self.secrets.are_none()
    }
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is decrypted.
    Decrypted,
    /// That is open.
    Undecided,
    /// It cannot be decrypted.
    Veiled,
}

/// When a piece came, and the bounds that hold.
#[derive(Clone, Copy, Debug)]
pub struct Now<'a> {
    /// Its moment.
    pub moment: Moment,
    /// How far both streams were.
    pub context: Context,
    /// The bounds.
    pub limits: &'a Limits,
}

/// The decryption of one connection.
#[derive(Debug, Default)]
pub struct Decrypted {
    state: State,
    keys: Keys,
    records: [Records; 2],
    /// Handshake messages in clear that are not complete, of each side.
    messages: [Vec<u8>; 2],
    inside: Inside,
    early: Early,
    late: Late,
    /// Protected records that were not opened, while none was.
    failed: u32,
    /// How far both streams were when the latest piece came.
    context: Context,
}

/// What can be done with a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No application data has been opened yet.
    #[default]
    Handshake,
    /// Its secrets are not there yet.
    Waiting,
    /// It is decrypted.
    Open,
    /// It cannot be decrypted.
    Veiled,
}

impl Decrypted {
    /// Takes the next piece of a direction. What is told belongs to the moment that is told with it.
    pub fn piece(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        now: Now<'_>,
        ring: &mut KeyRing,
        tell: &mut impl FnMut(Moment, What),
    ) {
        self.context = now.context;
        match self.state {
            State::Waiting => {
                self.late.hold(Held::piece(side, piece), now);
                self.look_again(now.moment, ring, now.limits, tell);
            }
            State::Handshake | State::Open => self.read(side, piece, now, ring, tell),
            State::Veiled => {}
        }
    }

    /// A direction is over.
    pub fn closed(
        &mut self,
        side: Side,
        reset: bool,
        moment: Moment,
        limits: &Limits,
        tell: &mut impl FnMut(Moment, What),
    ) {
        let now = Now { moment, context: self.context, limits };
        match self.state {
            State::Waiting => self.late.hold(Held::Closed(side, reset), now),
            State::Open => {
                self.own_up(side, now, tell);
                if let Some((start, octets)) = self.records_of(side).partial() {
                    // The peer could not make anything of it either, but what it began is not known.
                    let judged = GapJudged::Unknown;
                    tell(now.moment, What::Gap { sender: side, offset: start, length: octets, judged });
                }
                self.inside.closed(side, reset, now, tell);
            }
            State::Handshake | State::Veiled => {}
        }
    }

    /// What becomes of the connection.
    #[must_use]
    pub const fn fate(&self) -> Fate {
        match self.state {
            State::Open => Fate::Decrypted,
            State::Handshake | State::Waiting => Fate::Undecided,
            State::Veiled => Fate::Veiled,
        }
    }

    /// Whether secrets are waited for.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.state == State::Waiting
    }

    /// Secrets may have come, or time has passed: what waits is told, or not waited for any longer.
    pub fn look_again(
        &mut self,
        moment: Moment,
        ring: &mut KeyRing,
        limits: &Limits,
        tell: &mut impl FnMut(Moment, What),
    ) {
        if self.state != State::Waiting {
            return;
        }
        if self.keys.session(&ring.secrets).is_some() {
            self.state = State::Handshake;
            for (held, moment, context) in self.late.take() {
                let now = Now { moment, context, limits };
                match held.as_piece() {
                    Ok((side, piece)) => self.piece(side, &piece, now, ring, tell),
                    Err((side, reset)) => self.closed(side, reset, moment, limits, tell),
                }
            }
        } else if self.late.is_over(moment, limits) {
            self.veil(moment, tell);
        }
    }

    /// The connection leaves: nothing is waited for any longer.
    pub fn leave(&mut self, moment: Moment, tell: &mut impl FnMut(Moment, What)) {
        if matches!(self.state, State::Waiting | State::Handshake) {
            self.veil(moment, tell);
        }
    }

    /// Octets of memory that are held.
    #[must_use]
    pub fn held_octets(&self) -> usize {
        let records: usize = self.records.iter().map(Records::held_octets).sum();
        let messages: usize = self.messages.iter().map(Vec::capacity).sum();
        records + messages + self.inside.held_octets() + self.early.held_octets() + self.late.held_octets()
    }

    /// There is no room for what is not complete.
    pub fn give_up(&mut self, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        self.records.iter_mut().for_each(Records::give_up);
        self.messages = Default::default();
        self.early.held = Vec::new();
        self.inside.give_up(now, tell);
        if self.state == State::Waiting {
            self.veil(now.moment, tell);
        }
    }

    fn veil(&mut self, moment: Moment, tell: &mut impl FnMut(Moment, What)) {
        *self = Self { state: State::Veiled, ..Self::default() };
        tell(moment, What::Opaque(Opaque::Tls));
    }

    fn read(
        &mut self,
        side: Side,
        piece: &Piece<'_>,
        now: Now<'_>,
        ring: &mut KeyRing,
        tell: &mut impl FnMut(Moment, What),
    ) {
        let mut records = std::mem::take(self.records_mut(side));
        match piece {
            Piece::Data { at, octets } => records.data(*at, octets, &mut |whole| {
                if self.state == State::Waiting {
                    // What stands behind the ClientHello waits with it.
                    self.late.hold(Held::Data(side, whole.start, whole.record.to_octets()), now);
                    return true;
                }
                self.record(side, &whole, now, ring, tell)
            }),
            Piece::Gap { at, length, judged } => {
                let lost = records.gap(*at, *length);
                if self.state == State::Open && *judged == GapJudged::Snaplen {
                    self.inside.snap(side, lost, now, tell);
                }
            }
        }
        if self.state == State::Waiting
            && let Some((start, octets)) = records.take_partial()
        {
            self.late.hold(Held::Data(side, start, octets), now);
        }
        if self.state != State::Veiled {
            *self.records_mut(side) = records;
        }
    }

    /// Takes a record. Returns whether it could be read.
    fn record(
        &mut self,
        side: Side,
        whole: &Whole<'_>,
        now: Now<'_>,
        ring: &mut KeyRing,
        tell: &mut impl FnMut(Moment, What),
    ) -> bool {
        if self.state == State::Veiled {
            return true;
        }
        if !self.keys.protect(side, &whole.record) {
            self.clear(side, &whole.record, now.moment, ring, tell);
            return true;
        }
        let KeyRing { secrets, plaintext } = ring;
        let session = self.keys.session(secrets);
        if session.is_none() && self.state == State::Handshake {
            self.veil(now.moment, tell);
            return true;
        }
        match self.keys.open(side, &whole.record, &whole.missed, session, plaintext) {
            Some(opened) => {
                self.own_up(side.other(), now, tell);
                self.opened(side, whole, opened, plaintext, now, tell);
                true
            }
            None => {
                self.unopened(side, whole, now, tell);
                false
            }
        }
    }

    /// A record in clear.
    fn clear(
        &mut self,
        side: Side,
        record: &Record<'_>,
        moment: Moment,
        ring: &KeyRing,
        tell: &mut impl FnMut(Moment, What),
    ) {
        match record.content_type {
            CHANGE_CIPHER_SPEC => self.keys.change(side),
            HANDSHAKE => {
                let [client, server] = &mut self.messages;
                let messages = if side == Side::Client { client } else { server };
                messages.extend_from_slice(record.fragment);
                let is_whole = agreed::message_octets(messages).is_some_and(|octets| octets <= messages.len());
                if is_whole || messages.len() > LONGEST_HELLO {
                    let messages = std::mem::take(messages);
                    self.hello(&messages);
                    let is_new = side == Side::Client && self.keys.client.is_some() && self.keys.chosen.is_none();
                    match self.keys.session(&ring.secrets) {
                        None if is_new && ring.secrets.name_sessions() => {}
                        None if is_new && ring.secrets.are_growing() => self.state = State::Waiting,
                        None if is_new => self.veil(moment, tell),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }

    fn hello(&mut self, message: &[u8]) {
        self.keys.client = agreed::client_random(message).or(self.keys.client);
        self.keys.chosen = agreed::chosen(message).or(self.keys.chosen);
        if agreed::is_retry(message) {
            self.early.accepted = Some(false);
        }
    }

    fn opened(
        &mut self,
        side: Side,
        whole: &Whole<'_>,
        opened: Opened,
        plaintext: &[u8],
        now: Now<'_>,
        tell: &mut impl FnMut(Moment, What),
    ) {
        let Opened { content_type, label, .. } = opened;
        let in_handshake = matches!(label, Label::ClientHandshake | Label::ServerHandshake);
        if self.state == State::Handshake && !in_handshake {
            self.state = State::Open;
            tell(now.moment, What::Decrypted);
        }
        if !in_handshake {
            self.inside.behind(side, whole, opened, plaintext.len(), now, tell);
        }
        match content_type {
            APPLICATION_DATA if label == Label::ClientEarly && self.early.accepted != Some(true) => {
                self.early.hold(whole, plaintext, now);
            }
            APPLICATION_DATA if !in_handshake => {
                self.inside.data(side, whole.start..whole.end, plaintext, now, tell);
            }
            HANDSHAKE if label == Label::ServerHandshake && self.early.accepted.is_none() => {
                if let Some(accepted) = agreed::accepts_early_data(plaintext) {
                    self.early.accepted = Some(accepted);
                    let held = std::mem::take(&mut self.early.held);
                    for Arrived { stream, octets, moment, context } in held.into_iter().filter(|_| accepted) {
                        let now = Now { moment, context, ..now };
                        self.inside.data(Side::Client, stream, &octets, now, tell);
                    }
                }
            }
            ALERT => {
                let (start, end, alert) = (whole.start, whole.end, Alert::parse(plaintext).ok());
                let sent = SentAlert { sender: side, start, end, alert, certain: true, after_handshake: !in_handshake };
                tell(now.moment, What::Tls(Box::new(Tls::Alert(sent))));
            }
            // RFC 5246 section 7.4.1: new hellos on the same connection.
            HANDSHAKE if label == Label::Master => self.hello(plaintext),
            CHANGE_CIPHER_SPEC if label == Label::Master => self.keys.change(side),
            _ => {}
        }
        if label == Label::ServerApplication && !std::mem::take(&mut self.early.held).is_empty() {
            // Whether they counted was in what is missing.
            self.inside.lose(Side::Client, whole.start..whole.start, None, now, tell);
        }
    }

    /// A record that no key opens, or none that is known.
    fn unopened(&mut self, side: Side, whole: &Whole<'_>, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        if self.state == State::Open {
            let (offset, length) = (whole.start, whole.end - whole.start);
            tell(now.moment, What::Gap { sender: side, offset, length, judged: GapJudged::Unknown });
            self.inside.lose(side, whole.start..whole.end, None, now, tell);
            return;
        }
        self.failed += 1;
        let is_old = self.keys.chosen.is_some_and(|chosen| chosen.version < TLS_1_3);
        let is_first = is_old && whole.missed.octets == 0;
        if is_first || self.failed > MOST_FAILED || self.keys.is_lost(side) {
            self.veil(now.moment, tell);
        }
    }

    /// Octets of a side are missing, and what follows may depend on it: nothing better can be told of them any more.
    fn own_up(&mut self, side: Side, now: Now<'_>, tell: &mut impl FnMut(Moment, What)) {
        if let (State::Open, Some(stream)) = (self.state, self.records_of(side).missing()) {
            self.inside.lose(side, stream, None, now, tell);
        }
    }

    fn records_of(&self, side: Side) -> &Records {
        let [client, server] = &self.records;
        if side == Side::Client { client } else { server }
    }

    fn records_mut(&mut self, side: Side) -> &mut Records {
        let [client, server] = &mut self.records;
        if side == Side::Client { client } else { server }
    }
}

/// Early data (RFC 8446 section 2.3), which counts only if the server says that it does.
#[derive(Debug, Default)]
struct Early {
    accepted: Option<bool>,
    held: Vec<Arrived>,
}

/// The plaintext of a record, and when it came.
#[derive(Debug)]
struct Arrived {
    stream: Range<u64>,
    octets: Vec<u8>,
    moment: Moment,
    context: Context,
}

impl Early {
    fn hold(&mut self, whole: &Whole<'_>, plaintext: &[u8], now: Now<'_>) {
        if self.accepted.is_none() && self.held_octets() + plaintext.len() <= now.limits.secret_wait_bytes {
            let stream = whole.start..whole.end;
            let (moment, context) = (now.moment, now.context);
            self.held.push(Arrived { stream, octets: plaintext.to_vec(), moment, context });
        }
    }

    fn held_octets(&self) -> usize {
        self.held.iter().map(|arrived| size_of::<Arrived>() + arrived.octets.len()).sum()
    }
}

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

const TLS_1_3: u16 = 0x0304;

/// Octets of a ClientHello or ServerHello: the largest have key shares of some thousand.
const LONGEST_HELLO: usize = 16 << 10;

/// Protected records that may fail before a connection is given up: those of a handshake whose secrets the log lacks.
const MOST_FAILED: u32 = 32;
