//! Events of many connections to cases: a downstream exchange with the upstream attempts that were made for it.
//!
//! An exchange is known as an attempt by what stands on both legs (`marks`), at the moment its request is seen; what bears
//! no mark, and attempts that never got as far as a request, are found by time when the downstream exchange has settled
//! (`pair`). Every exchange takes part, the successful ones too: what they take is no candidate for others.

mod again;
mod beside;
mod books;
pub mod by_place;
mod case;
mod claims;
pub mod conversation;
mod cost;
mod course;
mod crowd;
mod disturbance;
mod due;
mod ends;
mod fit;
pub mod gateway;
pub mod handshake;
mod identify;
mod index;
pub mod lookup;
pub mod lookups;
mod marks;
mod missing;
pub mod multiplexed;
pub mod neighbours;
mod nesting;
pub(crate) mod numbering;
mod openings;
mod order;
mod orphans;
mod pair;
mod pairing;
mod places;
mod provisional;
mod relay;
pub mod resolution;
mod retry;
pub mod served;
mod settle;
mod traits;
mod veiled;

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::correlate::again::Unserved;
use crate::correlate::books::{Books, Noted, Page};
pub use crate::correlate::case::{Case, ClosedIdle, Finding, Note, Party, Responded, Role, Try};
use crate::correlate::conversation::{Exchange, ExchangeKey, Hosts, ResponseEnd, ResponseStart};
pub(crate) use crate::correlate::cost::SHORTEST_PATIENCE;
use crate::correlate::due::Due;
use crate::correlate::gateway::Gateways;
use crate::correlate::index::{Entry, Index};
use crate::correlate::lookups::Lookups;
use crate::correlate::marks::Marks;
use crate::correlate::neighbours::Neighbours;
use crate::correlate::order::Answers;
pub(crate) use crate::correlate::pair::CLOCK_SLACK;
pub use crate::correlate::pairing::Pairing;
use crate::correlate::places::Places;
use crate::correlate::provisional::Provisional;
use crate::correlate::settle::CutsShort;
use crate::event::{ConnectionId, Event, FirstSeen, GapJudged, Moment, Opaque, Request, Side, What};
use crate::limits::Limits;
use crate::time::Timestamp;

/// The correlator: everything that is open, by connection and by exchange.
#[derive(Debug)]
pub struct Correlator {
    settle: Duration,
    most_exchanges: usize,
    most_bytes: usize,
    /// Octets that the exchanges in the books hold.
    held_bytes: usize,
    /// Exchanges that were judged before they were due, for want of room.
    hurried: u64,
    gateways: Gateways,
    books: Books,
    names: Lookups,
    neighbours: Neighbours,
    marks: Marks,
    /// When which exchange is to be settled.
    due: Due,
    provisional: Provisional,
    /// Exchanges without a parent, by client: candidates for a downstream exchange that has too few attempts.
    orphans: Index,
    /// Exchanges that may still want an attempt, by server.
    unsettled: Index,
    /// Attempts without content, while one exchange's are sought.
    unserved: Unserved,
    /// Attempts that were answered, and that nobody has claimed.
    answers: Answers,
    /// The endpoints that are asked.
    places: Places,
    /// Addresses that opened connections which carry something that is not read.
    opaque_clients: BTreeSet<IpAddr>,
    /// Closes with requests in flight: when, whose, which connection.
    cut_short: CutsShort,
    /// When exchanges whose attempts were found by time were open.
    guessed: VecDeque<(ExchangeKey, Timestamp, Timestamp)>,
    /// Since when, and until when, not all connections are followed.
    partial: Option<(Timestamp, Timestamp)>,
    /// When it was a guess to which of several exchanges the attempts belong.
    doubtful: VecDeque<(Timestamp, Timestamp)>,
    /// Statuses whose exchanges are told as cases, however well they went.
    told_apart: Vec<RangeInclusive<u16>>,
    now: Timestamp,
}

impl Correlator {
    /// A correlator. `gateways` holds what the user told of them.
    #[must_use]
    pub fn new(limits: &Limits, gateways: Gateways) -> Self {
        Self {
            settle: limits.settle,
            most_exchanges: limits.exchanges,
            most_bytes: limits.exchange_bytes,
            held_bytes: 0,
            hurried: 0,
            gateways,
            books: Books::default(),
            names: Lookups::default(),
            neighbours: Neighbours::default(),
            marks: Marks::default(),
            due: Due::default(),
            provisional: Provisional::default(),
            orphans: Index::default(),
            unsettled: Index::default(),
            unserved: Unserved::default(),
            answers: Answers::default(),
            places: Places::default(),
            opaque_clients: BTreeSet::new(),
            cut_short: CutsShort::default(),
            guessed: VecDeque::new(),
            partial: None,
            doubtful: VecDeque::new(),
            told_apart: Vec::new(),
            now: Timestamp::default(),
        }
    }

    /// What is known of the gateways.
    #[must_use]
    pub fn gateways(&self) -> &Gateways {
        &self.gateways
    }

    /// Exchanges with these statuses are to be told as cases, however well they went.
    #[must_use]
    pub fn telling_apart(self, statuses: &[RangeInclusive<u16>]) -> Self {
        Self { told_apart: statuses.to_vec(), ..self }
    }

    /// Takes an event, and gives out what has settled by its time.
    pub fn take(&mut self, event: Event, sink: &mut dyn FnMut(Finding<'_>)) {
        self.now = self.now.max(event.moment.at);
        self.settle_due(self.now, sink);
        if self.books.len() > self.most_exchanges || self.held_bytes > self.most_bytes {
            self.make_room(sink);
        }
        match event.what {
            // Much of what happens is but noted.
            What::RequestEnded { exchange, end } => {
                if let Some(page) = self.page_of(&event) {
                    page.end_request(event.moment, exchange, end);
                }
            }
            What::Acknowledged { sender, offset } => {
                if let Some(page) = self.page_of(&event) {
                    page.acknowledge(event.moment, sender, offset);
                }
            }
            What::Lookup(_) | What::Neighbour(_) | What::LookupRejected(_) | What::Opened(_) | What::Unreachable(_) => {
                self.take_other(event, sink);
            }
            _ => {
                if let Some(connection) = event.connection {
                    self.page_event(connection, event.moment, event.what, sink);
                }
            }
        }
    }

    #[inline]
    fn page_of(&mut self, event: &Event) -> Option<&mut Page> {
        self.books.page_mut(event.connection?)
    }

    /// The same of one that is of no connection in the books.
    #[cold]
    fn take_other(&mut self, event: Event, sink: &mut dyn FnMut(Finding<'_>)) {
        if !matches!(&event.what, What::Opened(opened) if opened.first != FirstSeen::Quoted) {
            self.neighbours.note_beside_tcp();
        }
        match (event.what, event.connection) {
            (What::Lookup(told), _) => self.take_lookup(event.moment, *told, sink),
            (What::Neighbour(told), _) => self.neighbours.take(event.moment, told),
            (What::LookupRejected(rejected), _) => self.names.reject(event.moment, *rejected),
            (What::Opened(opened), Some(connection)) => self.open_page(connection, event.moment, &opened),
            (what, Some(connection)) => self.page_event(connection, event.moment, what, sink),
            _ => {}
        }
    }

    /// From now on all connections are followed, or not all.
    pub fn follow(&mut self, all: bool, now: Timestamp) {
        let since = self.partial.filter(|(_, until)| *until >= now).map_or(now, |(since, _)| since);
        self.partial = match self.partial {
            None if all => None,
            _ if all => Some((since, now)),
            _ => Some((since, Timestamp::from_nanos(i64::MAX))),
        };
    }

    /// The capture ended: everything settles.
    pub fn finish(&mut self, sink: &mut dyn FnMut(Finding<'_>)) {
        let mut rest: Vec<ExchangeKey> = self.books.exchanges().map(|exchange| exchange.key).collect();
        rest.sort_unstable();
        // What is over settles first, so that its attempts are not taken by what was cut off by the end of the capture.
        rest.sort_by_key(|key| {
            self.books.exchange(*key).and_then(|e| e.over).map_or(i64::MAX, |over| over.at.as_nanos())
        });
        let (first, mut second): (Vec<_>, Vec<_>) =
            rest.into_iter().partition(|key| !self.may_be_attempt(*key) && !self.is_contested(*key));
        // An exchange begins before the attempts made for it.
        second.sort_by_key(|key| {
            let begins = self.books.exchange(*key).map(|exchange| (exchange.over.is_none(), exchange.started.at));
            (begins, *key)
        });
        for key in first.into_iter().chain(second) {
            if self.books.exchange(key).is_some_and(|exchange| exchange.parent.is_none()) {
                self.settle_root(key, sink);
            }
        }
        for conversation in self.books.close_all() {
            sink(Finding::Note(Note::Conversation(conversation)));
        }
    }

    // Events to records.

    #[inline]
    fn page_event(&mut self, connection: ConnectionId, moment: Moment, what: What, sink: &mut dyn FnMut(Finding<'_>)) {
        if let What::Fin(closing) | What::Reset(closing) = &what {
            self.note_cut_short(connection, moment, closing.by);
        }
        let Some(page) = self.books.page_mut(connection) else { return };
        page.conversation.take(moment, &what);
        match what {
            What::RequestStarted { exchange, at, acknowledged } => {
                if exchange <= 1 {
                    self.drop_connect_attempt(connection);
                }
                if let Some(exchange) = self.begin(ExchangeKey { connection, number: exchange }, moment) {
                    exchange.request_start = Some(at);
                    exchange.read = Some(acknowledged);
                }
            }
            What::Request(request) => {
                let highest = page.conversation.highest;
                self.take_request(connection, highest, moment, request);
            }
            What::Veiled(veiled) => {
                if let Some(exchange) = page.exchange_mut(veiled.exchange)
                    && exchange.veiled.replace(veiled).is_none()
                {
                    self.marks.insert(exchange);
                }
            }
            What::Tls(shown) => {
                if let Some((server, host)) = page.conversation.take_tls(moment, *shown) {
                    sink(Finding::Note(Note::Secured(server, host.map(Into::into))));
                }
            }
            What::ResponseStarted { exchange, at, solicited, octets } => {
                let key = ExchangeKey { connection, number: exchange };
                let unseen = exchange > page.conversation.highest;
                if page.conversation.answer_inside(moment) {
                    sink(Finding::Note(Note::Responded(page.conversation.server, Responded::Inside)));
                }
                if exchange <= 1 {
                    self.drop_connect_attempt(connection);
                }
                if unseen {
                    // A response whose request was not seen.
                    self.begin(key, moment);
                }
                if let Some(exchange) = self.books.exchange_mut(key) {
                    exchange.last_response = Some(moment);
                    exchange.response_start = Some(ResponseStart { moment, at, solicited, octets });
                }
            }
            What::Response(response) => {
                if response.acknowledges {
                    page.acknowledge(moment, Side::Client, response.request_sent);
                }
                let asked = page.exchange(response.exchange).and_then(|exchange| exchange.request.as_ref());
                let kept = response.persistent && asked.is_none_or(|request| request.persistent);
                let conversation = &mut page.conversation;
                conversation.kept = kept;
                conversation.announced_timeout = response.keep_alive_timeout.or(conversation.announced_timeout);
                if conversation.completed == 0 {
                    let how = match response.status {
                        _ if conversation.is_veiled() => Responded::Inside,
                        400 => Responded::BadRequest,
                        _ => Responded::InClear,
                    };
                    sink(Finding::Note(Note::Responded(conversation.server, how)));
                }
                conversation.answer_inside(moment);
                let interim = (100..200).contains(&response.status) && response.status != 101;
                let Some(exchange) = page.exchange_mut(response.exchange) else { return };
                exchange.last_response = Some(moment);
                if exchange.response_start.as_ref().is_none_or(|start| start.at != response.start) {
                    exchange.response_start = Some(ResponseStart::of(&response, moment));
                }
                if interim {
                    exchange.response_start = None;
                    exchange.read = exchange.read.max(Some(response.head_end()));
                } else {
                    exchange.hold(response.weight());
                    self.held_bytes += response.weight();
                    let (key, whole) = (exchange.key, ResponseEnd::of(&response, moment));
                    exchange.response = Some(response);
                    self.take_answer(key);
                    if let Some(end) = whole {
                        self.end_response(key, end, sink);
                    }
                }
            }
            What::ResponseContent { exchange, content } => {
                if let Some(response) = page.exchange_mut(exchange).and_then(|exchange| exchange.response.as_mut()) {
                    response.content = Some(content);
                }
            }
            What::ResponseEnded { exchange, end, content, how } => {
                let key = ExchangeKey { connection, number: exchange };
                self.end_response(key, ResponseEnd { moment, end, content, how }, sink);
            }
            What::Defect(defect, first) => {
                if let Some(exchange) = page.exchange_mut(defect.exchange).filter(|exchange| exchange.defect.is_none())
                {
                    exchange.defect = Some((moment, defect));
                    exchange.trouble.get_or_insert_default().first_octets = first;
                }
            }
            What::FastCgi(end) => {
                if let Some(exchange) = page.exchange_mut(end.exchange) {
                    exchange.read = exchange.read.max(Some(end.output));
                    exchange.trouble.get_or_insert_default().fastcgi = Some((moment, end));
                }
            }
            What::StreamReset(reset) => {
                let key = ExchangeKey { connection, number: reset.exchange };
                if let Some(exchange) = page.exchange_mut(reset.exchange).filter(|exchange| exchange.over.is_none()) {
                    exchange.trouble.get_or_insert_default().stream_reset = Some((moment, reset));
                    self.end(key, moment);
                }
            }
            What::Opaque(carried) if carried != Opaque::Switched && self.opaque_clients.len() < MOST_PROBED => {
                self.opaque_clients.insert(page.conversation.client.ip());
            }
            What::SynAck { repeated: false, .. } => {
                sink(Finding::Note(Note::Accepted(page.conversation.server, moment)));
            }
            What::Gap { judged: GapJudged::Capture | GapJudged::Unknown, .. } | What::Ahead { .. } => {
                sink(Finding::Note(Note::Missed(moment)));
            }
            What::Fin(closing) | What::Reset(closing) if closing.by == Side::Server => {
                self.server_closed(connection, moment, sink);
            }
            What::Reset(_) => self.end_all(connection, moment),
            What::Fin(_) => self.client_left(connection),
            What::Unreachable(error) if error.quotes_syn => self.end_all(connection, moment),
            What::Translated(translated) => self.translate(connection, &translated),
            What::Forwarded { to } => self.forward(connection, to),
            What::Gone(_) => {
                self.end_all(connection, moment);
                self.forget_if_done(connection, sink);
            }
            _ => {}
        }
    }

    /// Opens the books for an exchange; `None` if its connection is unknown.
    fn begin(&mut self, key: ExchangeKey, moment: Moment) -> Option<&mut Exchange> {
        let is_new = self.open(key, moment)?;
        let exchange = self.books.exchange_mut(key)?;
        if is_new {
            let [spot, _] = &mut exchange.spots;
            *spot = self.orphans.insert(exchange.hosts.client, Entry::new(moment.at, key, exchange.place));
        }
        Some(exchange)
    }

    /// Begins an exchange that is not yet among those without a parent; `true` where it is new.
    fn open(&mut self, key: ExchangeKey, moment: Moment) -> Option<bool> {
        let Noted { exchange, is_new, crowded_out } = self.books.note(key, moment, &mut self.gateways)?;
        let (place, Hosts { client, server }) = (exchange.place, exchange.hosts);
        if is_new && key.number > 0 {
            let [_, spot] = &mut exchange.spots;
            *spot = self.unsettled.insert(server, Entry::new(moment.at, key, place));
        }
        if let Some(oldest) = crowded_out {
            self.end(oldest, moment);
        }
        if is_new && key.number > 0 {
            let ends @ [_, to] = [client, server].map(|end| self.gateways.is_local_host(end));
            // What this host asks of others is behind all that it is asked.
            if to != Some(false) {
                let at_home = client == server || ends == [Some(true); 2];
                self.places.begin(place, at_home);
            }
        }
        Some(is_new)
    }

    /// Closes the books on an exchange.
    fn remove(&mut self, key: ExchangeKey) {
        if let Some(mut exchange) = self.strike(key) {
            (exchange.request, exchange.response) = (None, None);
            self.books.give_back(exchange);
        }
    }

    /// Takes an exchange out of the books.
    fn strike(&mut self, key: ExchangeKey) -> Option<Box<Exchange>> {
        let exchange = self.books.strike(key)?;
        self.held_bytes = self.held_bytes.saturating_sub(exchange.weight as usize);
        let (Hosts { client, server }, [by_client, by_server]) = (exchange.hosts, exchange.spots);
        if exchange.parent.is_none() {
            self.orphans.remove(client, by_client, (exchange.started.at, key));
            if exchange.offered {
                self.answers.remove(client, exchange.answered(), key, None);
            }
        }
        if key.number > 0 {
            self.unsettled.remove(server, by_server, (exchange.started.at, key));
        }
        self.gateways.leave(client);
        self.gateways.leave(server);
        if exchange.over.is_none() {
            self.marks.remove(&exchange);
        }
        Some(exchange)
    }

    /// A request's header section is complete; `highest` is the greatest number of an exchange of its connection so far.
    fn take_request(&mut self, connection: ConnectionId, highest: u32, moment: Moment, request: Request) {
        let key = ExchangeKey { connection, number: request.exchange };
        let came_at_once = key.number > highest;
        if came_at_once {
            if key.number <= 1 {
                self.drop_connect_attempt(connection);
            }
            self.open(key, moment);
        }
        let may_be_identified =
            self.books.conversation(connection).is_some_and(|opener| self.may_be_identified(opener, &request));
        let Some(exchange) = self.books.exchange_mut(key) else { return };
        exchange.request_start = Some(request.start);
        exchange.read = exchange.read.or(Some(request.acknowledged));
        exchange.request_head = Some(moment);
        exchange.hold(request.weight());
        self.held_bytes += request.weight();
        let whole = request.whole.then(|| request.head_end());
        exchange.request = Some(request);
        let is_attempt = may_be_identified && self.identify(key);
        let Some(exchange) = self.books.exchange_mut(key) else { return };
        if let Some(end) = whole {
            exchange.end_request(moment, end);
        }
        let (client, started, [spot, _]) = (exchange.hosts.client, exchange.started.at, &mut exchange.spots);
        match (came_at_once, is_attempt) {
            (true, false) => *spot = self.orphans.insert(client, Entry::new(started, key, exchange.place)),
            (false, true) => self.orphans.remove(client, *spot, (started, key)),
            _ => {}
        }
        self.marks.insert(exchange);
    }
}

/// Addresses remembered whose connections are not read.
const MOST_PROBED: usize = 4096;
