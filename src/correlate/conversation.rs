//! What is known of one connection and its exchanges: events in, a record to ask out.

mod response;

use std::ops::Deref;
use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::Pairing;
pub use crate::correlate::conversation::response::{ResponseEnd, ResponseStart};
use crate::correlate::disturbance::Disturbance;
use crate::correlate::gateway::Host;
use crate::correlate::handshake::Handshake;
use crate::correlate::index::Spot;
pub use crate::correlate::missing::{Hole, Repeat};
pub use crate::correlate::places::Place;
use crate::correlate::traits::Traits;
use crate::event::{
    Closing, ConnectionId, Defect, Ending, Endpoint, FastCgiEnd, FirstSeen, GapJudged, Moment, Opaque, Opened,
    Protocol, Request, Response, Side, StreamReset, Veiled, What,
};
use crate::time::{Span, Timestamp};

/// An exchange: which connection, and its 1-based number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeKey {
    /// The connection.
    pub connection: ConnectionId,
    /// The exchange's number on it; 0 for the connection attempt itself, where no request was sent.
    pub number: u32,
}

/// A connection.
#[derive(Debug)]
pub struct Conversation {
    /// Its number, which is Wireshark's `tcp.stream`.
    pub id: ConnectionId,
    /// The opening end.
    pub client: Endpoint,
    /// The other end.
    pub server: Endpoint,
    /// The number of the other end.
    pub place: Place,
    /// The numbers of the addresses of both ends, as they were for its latest exchange.
    pub(super) hosts: Hosts,
    /// What was seen first of it.
    pub first_seen: FirstSeen,
    /// When.
    pub opened: Moment,
    /// What it is or is not.
    pub traits: Traits,
    /// First SYN-ACK, and the round trip to it.
    pub syn_ack: Option<(Moment, Option<Span>)>,
    /// When the handshake was complete.
    pub established: Option<Moment>,
    /// What it carries, if not HTTP.
    pub opaque: Option<Opaque>,
    /// What was seen of its TLS handshake, where it has one.
    pub handshake: Option<Box<Handshake>>,
    /// Exchanges that were completed.
    pub completed: u32,
    /// When the latest response ended.
    pub idle_since: Option<Moment>,
    /// Whether both sides said with the latest exchange that they keep the connection.
    pub kept: bool,
    /// `timeout=` of the latest Keep-Alive field.
    pub announced_timeout: Option<Span>,
    /// Greatest number of an exchange so far.
    pub highest: u32,
    /// Latest frame in which anything of note happened.
    pub last: Moment,
    /// What disturbed it, if anything did.
    disturbance: Option<Box<Disturbance>>,
}

/// An exchange.
#[derive(Debug)]
pub struct Exchange {
    /// Which one.
    pub key: ExchangeKey,
    /// The requesting end.
    pub client: Endpoint,
    /// The answering end.
    pub server: Endpoint,
    /// The number of the answering end.
    pub place: Place,
    /// The numbers of the addresses of both ends.
    pub(super) hosts: Hosts,
    /// Where it stands among those that its client began, and among those that its server was asked.
    pub(super) spots: [Spot; 2],
    /// First frame of the request; of the response where no request was seen.
    pub started: Moment,
    /// Offset of the request's first octet, where it was seen.
    pub request_start: Option<u64>,
    /// Up to which offset the client had acknowledged the server's octets when it began to ask: where the response begins. After
    /// an interim response that is where this ended.
    pub read: Option<u64>,
    /// The request's header section.
    pub request: Option<Request>,
    /// What is known of the request where it is inside TLS.
    pub veiled: Option<Veiled>,
    /// When its header section was complete.
    pub request_head: Option<Moment>,
    /// When the request was complete, and the offset after it.
    pub request_end: Option<(Moment, u64)>,
    /// When the server had acknowledged all of it.
    pub acknowledged: Option<Moment>,
    /// How long the connection had been idle before it; `None` for its first exchange.
    pub idle: Option<Duration>,
    /// Whether the connection had carried an exchange before, or is older than the capture.
    pub reused: bool,
    /// When the server's FIN was seen, where that was before the request began.
    pub fin_before: bool,
    /// First octets of the final response (or of what stands there).
    pub response_start: Option<ResponseStart>,
    /// The final response's header section.
    pub response: Option<Response>,
    /// How the response ended.
    pub response_end: Option<ResponseEnd>,
    /// The first defect.
    pub defect: Option<(Moment, Defect)>,
    /// What was out of order, if anything was.
    pub trouble: Option<Box<Trouble>>,
    /// Latest frame with octets of the response.
    pub last_response: Option<Moment>,
    /// Whether it is over, and when it became so.
    pub over: Option<Moment>,
    /// The exchange that this one was made for.
    pub parent: Option<ExchangeKey>,
    /// Whether its answer waits for the exchange that it is passed on to.
    pub offered: bool,
    /// Whether an identifier tells so.
    pub identified: bool,
    /// Whether it would explain that another attempt was made for an exchange.
    pub wanted: bool,
    /// Whether a single exchange of its gateway's was open when it began: whatever it was made for, it was that.
    pub(super) for_one: bool,
    /// How sure that is.
    pub pairing: Pairing,
    /// The attempts made for this one.
    pub attempts: SmallVec<[ExchangeKey; 2]>,
    /// Octets of text and marks that it holds.
    pub weight: u32,
    /// By which of its marks it is counted, but not found, since too many bear them; a bit for each.
    pub(super) marks_beyond: u8,
}

/// The addresses of an exchange's ends, by number.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Hosts {
    pub(super) client: Host,
    pub(super) server: Host,
}

/// What few exchanges have.
#[derive(Clone, Debug, Default)]
pub struct Trouble {
    /// The first octets of a response that has a defect, at most 64.
    pub first_octets: Box<[u8]>,
    /// Which side gave up its stream of HTTP/2, and when.
    pub stream_reset: Option<(Moment, StreamReset)>,
    /// How a FastCGI application was done with it, and when, where it did not go as it should.
    pub fastcgi: Option<(Moment, Box<FastCgiEnd>)>,
    /// When an exchange began that was told without this one, and what it would have cost to believe that a retry of it is
    /// explained by this one: the least.
    pub passed_over: Option<(u32, Timestamp)>,
    /// Whether nobody waited for it any more when it was not over.
    pub let_go: bool,
}

/// What disturbed a connection is asked for as if it were its own.
impl Deref for Conversation {
    type Target = Disturbance;

    fn deref(&self) -> &Disturbance {
        static NONE: Disturbance = Disturbance::NONE;
        self.disturbance.as_deref().unwrap_or(&NONE)
    }
}

impl Conversation {
    /// The record of a connection that begins.
    #[must_use]
    pub fn new(id: ConnectionId, moment: Moment, opened: &Opened, place: Place) -> Self {
        Self {
            id,
            client: opened.client,
            server: opened.server,
            place,
            hosts: Hosts::default(),
            first_seen: opened.first,
            opened: moment,
            traits: Traits::default(),
            syn_ack: None,
            established: None,
            opaque: None,
            handshake: None,
            completed: 0,
            idle_since: None,
            kept: false,
            announced_timeout: None,
            highest: 0,
            last: moment,
            disturbance: None,
        }
    }

    /// Takes what TCP shows; exchanges are the correlator's.
    #[inline]
    pub fn take(&mut self, moment: Moment, what: &What) {
        self.last = moment;
        match what {
            What::Request(_) | What::Response(_) | What::ResponseEnded { .. } => {}
            _ => self.take_from_below(moment, what),
        }
    }

    fn take_from_below(&mut self, moment: Moment, what: &What) {
        match what {
            What::SynAck { rtt, repeated, after_ack } => {
                if self.syn_ack.is_none() {
                    self.syn_ack = Some((moment, rtt.map(Span::from)));
                }
                if *repeated && *after_ack {
                    self.disturb(moment, what);
                }
            }
            What::Established { .. } => self.established = Some(moment),
            What::Focused => self.traits.add(Traits::FOCUSED),
            What::Opaque(opaque) if self.multiplexed.is_none() => self.opaque = Some(*opaque),
            What::Opaque(_) | What::GoAway(_) => self.disturb(moment, what),
            What::Multiplexed => {
                self.opaque = None;
                self.disturb(moment, what);
            }
            what if Disturbance::is_one(what) => self.disturb(moment, what),
            _ => {}
        }
    }

    #[cold]
    fn disturb(&mut self, moment: Moment, what: &What) {
        self.disturbance.get_or_insert_default().take(moment, what);
    }

    /// The latest SYN, and how often the SYN was repeated.
    #[must_use]
    pub fn syn(&self) -> (Moment, u32) {
        self.syn_repeated.unwrap_or((self.opened, 0))
    }

    /// First FIN of a side.
    #[must_use]
    pub fn fin(&self, side: Side) -> Option<(Moment, Closing)> {
        self.fins.get(side.index()).copied().flatten()
    }

    /// First RST of a side.
    #[must_use]
    pub fn reset(&self, side: Side) -> Option<(Moment, Closing)> {
        self.resets.iter().find(|(_, closing)| closing.by == side).copied()
    }

    /// First FIN or RST of a side; `true` for a RST.
    #[must_use]
    pub fn close(&self, side: Side) -> Option<(Moment, Closing, bool)> {
        match (self.fin(side), self.reset(side)) {
            (Some((fin, closing)), Some((reset, _))) if fin <= reset => Some((fin, closing, false)),
            (_, Some((reset, closing))) => Some((reset, closing, true)),
            (Some((fin, closing)), None) => Some((fin, closing, false)),
            (None, None) => None,
        }
    }

    /// When a side closed, or said inside of TLS that it does.
    #[must_use]
    pub fn ended(&self, side: Side) -> Option<Moment> {
        let closed = self.close(side).map(|(moment, ..)| moment);
        closed.into_iter().chain(self.notified(side)).min()
    }

    /// When a side said inside of TLS that it closes.
    #[must_use]
    pub fn notified(&self, side: Side) -> Option<Moment> {
        self.notified.get(side.index()).copied().flatten()
    }

    /// Who closed first, by a FIN or a RST.
    #[must_use]
    pub fn first_close(&self) -> Option<(Moment, Closing, bool)> {
        match (self.close(Side::Client), self.close(Side::Server)) {
            (Some(client), Some(server)) => Some(if client.0 < server.0 { client } else { server }),
            (client, server) => client.or(server),
        }
    }

    /// Round trip between the capture point and the server, from the handshake.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.syn_ack.and_then(|(_, rtt)| rtt).map(Duration::from)
    }

    /// Time from the first SYN to the first SYN-ACK.
    #[must_use]
    pub fn connect(&self) -> Option<Duration> {
        let (syn_ack, _) = self.syn_ack.filter(|_| self.first_seen == FirstSeen::Syn)?;
        Some(syn_ack.at.since(self.opened.at))
    }

    /// When a side said that it did not work on an exchange, nor on those behind it.
    #[must_use]
    pub fn refused(&self, by: Side, number: u32) -> Option<Moment> {
        let multiplexed = self.multiplexed.as_deref()?;
        multiplexed.refused(by, number).map(|(moment, _)| moment)
    }

    /// Whether octets of it are missing from the capture.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.gaps.iter().any(|gap| matches!(gap.judged, GapJudged::Capture | GapJudged::Snaplen | GapJudged::Unknown))
    }
}

impl Exchange {
    /// The record of an exchange that begins.
    #[must_use]
    pub(super) fn new(key: ExchangeKey, conversation: &Conversation, started: Moment) -> Self {
        let first = key.number <= 1 && conversation.first_seen == FirstSeen::Syn && conversation.completed == 0;
        Self {
            key,
            client: conversation.client,
            server: conversation.server,
            place: conversation.place,
            hosts: conversation.hosts,
            spots: [Spot::default(); 2],
            started,
            request_start: None,
            read: None,
            request: None,
            veiled: None,
            request_head: None,
            request_end: None,
            acknowledged: None,
            idle: conversation.idle_since.map(|since| started.at.since(since.at)),
            reused: !first,
            fin_before: conversation.fin(Side::Server).is_some(),
            response_start: None,
            response: None,
            response_end: None,
            defect: None,
            trouble: None,
            last_response: None,
            over: None,
            parent: None,
            offered: false,
            identified: false,
            wanted: false,
            for_one: false,
            pairing: Pairing::Possible,
            attempts: SmallVec::new(),
            weight: 0,
            marks_beyond: 0,
        }
    }

    /// Its request is complete.
    pub(super) fn end_request(&mut self, moment: Moment, end: u64) {
        self.request_end = Some((moment, end));
        self.acknowledged = None;
    }

    /// It holds so many octets more.
    pub(super) fn hold(&mut self, octets: usize) {
        self.weight = self.weight.saturating_add(u32::try_from(octets).unwrap_or(u32::MAX));
    }

    pub(super) fn was_let_go(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.let_go)
    }

    /// Status of the final response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response.as_ref().map(|response| response.status).filter(|status| *status > 0)
    }

    /// Offset after what was sent of the request.
    #[must_use]
    pub fn request_end_offset(&self) -> Option<u64> {
        self.request_end.map(|(_, end)| end)
    }

    /// Whether the response is there as a whole, as far as its length is known. A request without a version is answered by
    /// content alone; inside TLS any octets may be all of it.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let simple = self.request.as_ref().is_some_and(|request| request.simple);
        (self.response.is_some() || simple || self.veiled.is_some())
            && self.response_end.is_some_and(|end| match end.how {
                Ending::Complete | Ending::Closed | Ending::Switched | Ending::Unmeasured => true,
                Ending::Truncated | Ending::Unknown => false,
            })
    }

    /// Whether it went as it should: a whole request, and behind it a whole answer that is no error of the server's and that no
    /// gateway has a reason to reject.
    #[must_use]
    pub fn is_in_order(&self) -> bool {
        self.begins_in_order()
            && self.response_end.is_some_and(|end| matches!(end.how, Ending::Complete | Ending::Closed))
    }

    /// Whether it went as it should up to the content of the answer.
    #[must_use]
    pub fn begins_in_order(&self) -> bool {
        let good = |response: &&Response| {
            (200..500).contains(&response.status) && !response.cut && response.fields <= SMALLEST_FIELD_LIMIT
        };
        let asked = self.request_end.map(|(end, _)| end);
        let (Some(answer), Some(asked), Some(start)) =
            (self.response.as_ref().filter(good), asked, self.response_start.as_ref())
        else {
            return false;
        };
        self.defect.is_none() && asked < start.moment && u64::from(answer.length) < SMALLEST_HEAD_LIMIT
    }

    /// When a side gave up its stream, and why.
    #[must_use]
    pub fn reset_by(&self, side: Side) -> Option<(Moment, StreamReset)> {
        self.stream_reset().filter(|(_, reset)| reset.by == side)
    }

    /// Which side gave up its stream of HTTP/2, and when.
    #[must_use]
    pub fn stream_reset(&self) -> Option<(Moment, StreamReset)> {
        self.trouble.as_deref()?.stream_reset
    }

    /// How a FastCGI application was done with it, where it did not go as it should.
    #[must_use]
    pub fn fastcgi_end(&self) -> Option<(Moment, &FastCgiEnd)> {
        let (moment, end) = self.trouble.as_deref()?.fastcgi.as_ref()?;
        Some((*moment, end))
    }

    /// Whether the request is one of FastCGI.
    #[must_use]
    pub fn is_fastcgi(&self) -> bool {
        self.request.as_ref().map_or(self.fastcgi_end().is_some(), |request| request.protocol == Protocol::FastCgi)
    }

    /// The first octets of a response that has a defect, at most 64.
    #[must_use]
    pub fn first_octets(&self) -> &[u8] {
        self.trouble.as_deref().map_or(&[], |trouble| &trouble.first_octets)
    }

    /// When it could be passed on at the earliest: its header section.
    #[must_use]
    pub fn ready(&self) -> Moment {
        self.request_head.unwrap_or(self.started)
    }

    /// When its response began; its own beginning where there is none.
    #[must_use]
    pub fn answered(&self) -> Timestamp {
        self.response_start.as_ref().map_or(self.started, |start| start.moment).at
    }

    /// Octets of the request, where it was seen from its beginning to its end.
    #[must_use]
    pub fn request_size(&self) -> Option<u64> {
        let (start, end) = self.request_start.zip(self.request_end_offset())?;
        Some(end.saturating_sub(start))
    }

    /// Last octet of the request to first octet of the response. `None` for a response that did not wait for the end of the
    /// request: it says nothing of how long an answer takes.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.waited(self.response_start.as_ref()?.moment)
    }

    /// Last octet of the request to `until`, where that came later.
    #[must_use]
    pub fn waited(&self, until: Moment) -> Option<Duration> {
        let (sent, _) = self.request_end?;
        (sent.at <= until.at).then(|| until.at.since(sent.at))
    }
}

/// No gateway has a smaller default limit for a response's header section, in octets.
pub const SMALLEST_HEAD_LIMIT: u64 = 4000;
/// The same in fields: Envoy's; HAProxy has one more.
pub const SMALLEST_FIELD_LIMIT: u16 = 100;
