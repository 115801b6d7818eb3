//! When an exchange has settled, and what is then said of it: the case, with the attempts made for it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use crate::correlate::conversation::{Exchange, ExchangeKey, Hosts};
use smallvec::SmallVec;

use crate::correlate::books::Page;
use crate::correlate::cost::SHORTEST_PATIENCE;
use crate::correlate::crowd::has_failed;
use crate::correlate::due::Wait;
use crate::correlate::pair::{AT_ONCE, Opening};
use crate::correlate::{Case, Correlator, Finding, Pairing, Role, Try, beside};
use crate::event::{ConnectionId, Ending, GoneWhy, Moment, Side};
use crate::time::Timestamp;

impl Correlator {
    /// No more events come from before `now`: what is due by then settles.
    pub fn pass_time(&mut self, now: Timestamp, sink: &mut dyn FnMut(Finding<'_>)) {
        self.now = self.now.max(now);
        self.settle_due(self.now, sink);
    }

    /// Exchanges that were judged before they were due, for want of room.
    #[must_use]
    pub fn hurried(&self) -> u64 {
        self.hurried
    }

    #[inline]
    pub(super) fn settle_due(&mut self, now: Timestamp, sink: &mut dyn FnMut(Finding<'_>)) {
        if self.due.next() <= now || self.provisional.next() <= now {
            self.settle_those_due(now, sink);
        }
    }

    #[cold]
    fn settle_those_due(&mut self, now: Timestamp, sink: &mut dyn FnMut(Finding<'_>)) {
        while self.due.next() <= now
            && let Some((_, key)) = self.due.pop()
        {
            let Some(exchange) = self.books.exchange(key).filter(|exchange| exchange.parent.is_none()) else {
                continue;
            };
            let started = exchange.started.at;
            // Not from `at`: where the clock stepped, it may lie years back, and at the end of time no step leads on.
            let later = now + HOPE_STEP;
            let hopeful = now.since(started) < LONGEST_HOPE && later > now;
            let may_change = || {
                self.is_growing(key, now)
                    || self.is_contested(key)
                    || self.may_be_attempt(key) && self.has_hope(key)
                    || self.may_follow_from_earlier(key)
            };
            if hopeful && may_change() {
                self.due.push(Wait::Again, later, key);
            } else {
                self.settle_root(key, sink);
            }
        }
        self.look_at_due(now, sink);
    }

    /// Judges a sixteenth of the exchanges by what is known: those that are due first, else those that began first.
    pub(super) fn make_room(&mut self, sink: &mut dyn FnMut(Finding<'_>)) {
        let (exchanges, bytes) = (self.most_exchanges / 16 * 15, self.most_bytes / 16 * 15);
        let is_full = |books: &Self| books.books.len() > exchanges || books.held_bytes > bytes;
        while is_full(self)
            && let Some((_, key)) = self.due.pop()
        {
            self.hurry(key, sink);
        }
        if !is_full(self) {
            return;
        }
        let open = self.books.exchanges().filter(|exchange| exchange.parent.is_none());
        let mut open: Vec<_> = open.map(|exchange| (exchange.started.at, exchange.key)).collect();
        open.sort_unstable();
        for (_, key) in open.into_iter().take((self.most_exchanges / 16).max(1)) {
            self.hurry(key, sink);
        }
    }

    fn hurry(&mut self, key: ExchangeKey, sink: &mut dyn FnMut(Finding<'_>)) {
        if self.books.exchange(key).is_some_and(|exchange| exchange.parent.is_none()) {
            self.hurried += 1;
            self.settle_root(key, sink);
        }
    }

    /// Whether an exchange may be a gateway's attempt: its client's address may be a gateway's.
    pub(super) fn may_be_attempt(&self, key: ExchangeKey) -> bool {
        self.books.exchange(key).is_some_and(|exchange| self.may_attempt(exchange))
    }

    pub(super) fn may_attempt(&self, exchange: &Exchange) -> bool {
        self.gateways.may_attempt(exchange.hosts.client) && !self.places.is_front_only(exchange.place)
    }

    /// Whether an exchange went to an upstream on the gateway's own host, of which no attempt was ever seen: what that host's
    /// address asks of others, the gateway asks.
    pub(super) fn is_own_upstream(&self, exchange: &Exchange) -> bool {
        self.places.is_upstream_only(exchange.place)
            && self.gateways.are_same(exchange.hosts.client, exchange.hosts.server)
    }

    /// Whether a downstream exchange that has not settled may still claim it.
    pub(super) fn has_hope(&self, key: ExchangeKey) -> bool {
        let Some(exchange) = self.books.exchange(key) else { return false };
        let (client, place, started) = (exchange.hosts.client, exchange.place, exchange.started.at);
        let fronts = self.gateways.akin(client).each().filter(|front| self.gateways.are_same(*front, client));
        let mut open =
            fronts.flat_map(|front| self.unsettled.between(front, Timestamp::from_nanos(i64::MIN), (started, key)));
        open.any(|other| {
            let apart = other.key.connection != key.connection;
            other.over >= started && apart && self.places.may_stand_behind(place, other.place)
        })
    }

    /// Whether nothing was sent for an exchange that failed, and an earlier one, of which the gateway gave up an attempt, has not
    /// settled: what that failed by may be the reason.
    fn may_follow_from_earlier(&self, key: ExchangeKey) -> bool {
        let Some(front) = self.books.exchange(key).filter(|front| key.number > 0 && front.attempts.is_empty()) else {
            return false;
        };
        if !has_failed(front) || front.veiled.is_some() || self.has_orphans(front) {
            return false;
        }
        let (since, until) = (front.started.at - LONGEST_REASON, (front.started.at, key));
        let fronts = self.gateways.akin(front.hosts.server).each();
        let mut earlier = fronts.flat_map(|front| self.unsettled.between(front, since, until));
        earlier.any(|earlier| {
            earlier.over < front.started.at
                && earlier.over.since(earlier.started) >= SHORTEST_PATIENCE
                && self.books.exchange(earlier.key).is_some_and(|earlier| {
                    has_failed(earlier) && (!earlier.attempts.is_empty() || self.has_orphans(earlier))
                })
        })
    }

    pub(super) fn settle_root(&mut self, key: ExchangeKey, sink: &mut dyn FnMut(Finding<'_>)) {
        if key.number == 0
            && let Some(exchange) = self.books.exchange(key)
        {
            self.places.note_bare(exchange.place, exchange.wanted);
        }
        let mut tries = SmallVec::new();
        self.collect_attempts(key, 0, &mut tries);
        self.note_pauses(key, &tries);
        self.tell_settled(key, &tries, sink);
    }

    /// Where a gateway paused between a failed attempt and the next one, it may have tried what was taken for another exchange's.
    fn note_pauses(&mut self, key: ExchangeKey, tries: &[Attempted]) {
        let own = tries.iter().filter(|(.., hop)| *hop == 0);
        let own: SmallVec<[(ExchangeKey, Pairing); 2]> =
            own.map(|(attempt, pairing, _)| (*attempt, *pairing)).collect();
        let Some(front) = self.books.exchange(key).filter(|_| own.len() > 1) else { return };
        for window in self.windows(front, &own) {
            let is_pause = window.opening == Opening::Failure && window.until.since(window.from) > AT_ONCE;
            if is_pause && window.next.is_some() {
                self.note_guess(key, window);
            }
        }
    }

    /// Tells of an exchange with its attempts, and forgets them.
    pub(super) fn settle_as(&mut self, key: ExchangeKey, tries: &[Attempted], sink: &mut dyn FnMut(Finding<'_>)) {
        self.note_forwarder(key);
        if let Some(case) = self.case(key, tries) {
            sink(Finding::Case(case));
        }
        for (key, ..) in tries.iter().filter(|(key, ..)| key.number == 0) {
            if let Some(exchange) = self.books.exchange(*key) {
                self.places.note_bare(exchange.place, true);
            }
        }
        for key in tries.iter().map(|(key, ..)| *key).chain([key]) {
            self.remove(key);
            self.forget_if_done(key.connection, sink);
        }
    }

    /// Who sends a request that was made for somebody else may do so without one.
    pub(super) fn note_forwarder(&mut self, key: ExchangeKey) {
        let root = self.books.exchange(key).filter(|root| root.request.as_ref().is_some_and(|asked| asked.forwarded));
        if let Some(client) = root.map(|root| root.client.ip()) {
            self.gateways.note_forwarder(client);
        }
    }

    /// An exchange with its attempts.
    pub(super) fn case(&self, key: ExchangeKey, tries: &[Attempted]) -> Option<Case<'_>> {
        let root = self.books.party(key)?;
        let exchange = root.exchange;
        let party = |(key, pairing, hop): &Attempted| {
            let party = self.books.party(*key)?;
            // What came of it is not known.
            let left_out = party.conversation.gone.is_some_and(|(_, gone)| gone.why == GoneWhy::LeftOut);
            (!left_out).then_some(Try { party, pairing: *pairing, hop: *hop })
        };
        let mut attempts: SmallVec<[Try<'_>; 2]> = tries.iter().filter_map(party).collect();
        let beside = beside::set_apart(root, &mut attempts);
        Some(Case {
            root,
            role: self.role(exchange, !attempts.is_empty()),
            upstream_visible: self.gateways.is_front_host(exchange.hosts.server),
            closed_with_it: self.closed_with(exchange, &attempts),
            upstream_opaque: self
                .opaque_clients
                .iter()
                .any(|client| self.gateways.same(exchange.server.ip(), *client) && *client != exchange.client.ip()),
            partial: self.is_partial(exchange),
            gateways: &self.gateways,
            names: &self.names,
            neighbours: &self.neighbours,
            resolutions: self.resolutions(exchange, &attempts),
            attempts,
            beside,
        })
    }

    /// Whether not all connections were followed while an exchange was open.
    fn is_partial(&self, exchange: &Exchange) -> bool {
        let over = exchange.over.map_or(self.now, |over| over.at);
        self.partial.is_some_and(|(since, until)| since <= over && exchange.started.at <= until + RECOVERY)
    }

    /// The attempts of an exchange in the order of time, each followed by those of the gateway behind it.
    pub(super) fn collect_attempts(&mut self, key: ExchangeKey, hop: u8, tries: &mut SmallVec<[Attempted; 2]>) {
        if key.number == 0 || hop >= MOST_HOPS {
            return;
        }
        for (attempt, pairing) in self.attempts_of(key) {
            tries.push((attempt, pairing, hop));
            self.collect_attempts(attempt, hop + 1, tries);
        }
    }

    pub(super) fn role(&self, exchange: &Exchange, has_attempts: bool) -> Role {
        let Hosts { client, server } = exchange.hosts;
        if !has_attempts && self.gateways.are_same(client, server) && self.places.is_behind(exchange.place) {
            return Role::Upstream;
        }
        if has_attempts || self.gateways.is_front_host(server) {
            return Role::Downstream;
        }
        let forwarded = match &exchange.request {
            Some(request) => request.forwarded,
            // Nothing was sent: who asks for others connects for others.
            None => exchange.key.number == 0 && self.gateways.is_forwarder(client),
        };
        let [from, to] = [client, server].map(|end| self.gateways.is_local_host(end) == Some(true));
        if self.gateways.is_known_host(client) || from && !to || forwarded { Role::Upstream } else { Role::Downstream }
    }

    /// A side closed: was a request in flight?
    pub(super) fn note_cut_short(&mut self, connection: ConnectionId, moment: Moment, by: Side) {
        let Some(Page { conversation, open }) = self.books.page(connection) else { return };
        let in_flight = open
            .iter()
            .find(|exchange| exchange.key.number > 0 && exchange.over.is_none() && exchange.request_head.is_some());
        let untold = |exchange: &Exchange| by == Side::Server && exchange.response_start.is_none();
        let begun = in_flight.map(|exchange| (exchange.started.at, untold(exchange)));
        if let Some((since, untold)) = begun.filter(|_| conversation.first_close().is_none()) {
            let whose = if by == Side::Client { conversation.client } else { conversation.server };
            self.cut_short.note(CutShort { since, untold, at: moment.at, whose: whose.ip(), connection });
        }
    }

    /// Other connections that a gateway closed with requests in flight at the moment at which it closed this one.
    pub(super) fn closed_with(&self, exchange: &Exchange, attempts: &[Try<'_>]) -> usize {
        let own = |connection: &ConnectionId| {
            *connection == exchange.key.connection
                || attempts.iter().any(|attempt| attempt.party.exchange.key.connection == *connection)
        };
        let is_whole = exchange.response_end.is_some_and(|end| end.how != Ending::Truncated);
        let Some(over) = exchange.over.filter(|_| !is_whole) else { return 0 };
        let age = over.at.since(exchange.started.at);
        // What has waited equally long has come to the same time-out.
        let timed_out = |other: &CutShort| {
            age >= SHORTEST_TIMEOUT && other.at.since(other.since).abs_diff(age) <= (age / 20).max(AT_ONE_MOMENT)
        };
        let is_at_once = |other: &CutShort| {
            let span = other.at.since(over.at).max(over.at.since(other.at));
            span <= AT_ONE_MOMENT && !own(&other.connection) && self.gateways.same(exchange.server.ip(), other.whose)
        };
        let with_it = |other: &&CutShort| is_at_once(other) && !timed_out(other);
        if self.cut_short.is_habit_of(exchange.server.ip(), over.at) {
            return 0;
        }
        if exchange.response_start.is_none() {
            return self.cut_short.latest.iter().filter(with_it).count();
        }
        // Contents that stopped may be given up at one moment with others. Clients that have not been answered are told so.
        // Who dies lets go of all at once; who has to tell several things takes longer.
        let untold = |other: &&CutShort| {
            let span = other.at.since(over.at).max(over.at.since(other.at));
            is_at_once(other) && span <= AT_DEATH && other.untold
        };
        self.cut_short.latest.iter().filter(untold).count()
    }
}

/// A connection that a side closed with a request in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct CutShort {
    /// When the request had begun.
    since: Timestamp,
    /// Whether it was the server's end, and had not answered.
    untold: bool,
    at: Timestamp,
    whose: IpAddr,
    connection: ConnectionId,
}

/// Closes with requests in flight.
#[derive(Debug, Default)]
pub(super) struct CutsShort {
    latest: VecDeque<CutShort>,
    /// At which moments there were some, and whose.
    moments: VecDeque<(IpAddr, i64)>,
}

impl CutsShort {
    fn note(&mut self, cut: CutShort) {
        let moment = (cut.whose, moment(cut.at));
        if !self.moments.iter().rev().take(MOST_BESIDE).any(|known| *known == moment) {
            if self.moments.len() >= MOST_CUT_SHORT {
                self.moments.pop_front();
            }
            self.moments.push_back(moment);
        }
        if self.latest.len() >= MOST_CUT_SHORT {
            self.latest.pop_front();
        }
        self.latest.push_back(cut);
    }

    /// Whether an end does so again and again, as what answers some requests in this way does: then that several fall together
    /// tells nothing.
    fn is_habit_of(&self, whose: IpAddr, at: Timestamp) -> bool {
        let now = moment(at);
        let near = |(other, then): &&(IpAddr, i64)| *other == whose && then.abs_diff(now) <= MOMENTS_BESIDE;
        self.moments.iter().filter(near).count() >= HABIT
    }
}

fn moment(at: Timestamp) -> i64 {
    at.as_nanos() / AT_ONE_MOMENT.as_nanos() as i64
}

/// An attempt, how sure it is that it belongs to the exchange, and behind how many gateways it stands.
pub(super) type Attempted = (ExchangeKey, Pairing, u8);

/// After not all connections were followed, those that are older than this are seen as a whole again.
const RECOVERY: Duration = Duration::from_secs(10);
/// What failed earlier than this is hardly the reason for a failure; and such an exchange settles within this span.
const LONGEST_REASON: Duration = Duration::from_secs(10);
/// How often, and for how long, an attempt without a downstream exchange waits for one that is still open.
const HOPE_STEP: Duration = Duration::from_secs(1);
const LONGEST_HOPE: Duration = Duration::from_secs(600);
/// A process that dies lets go of all its connections within this span.
const AT_DEATH: Duration = Duration::from_millis(5);
/// Gateways behind gateways that are followed.
pub(super) const MOST_HOPS: u8 = 4;
/// Closes with requests in flight that are remembered.
const MOST_CUT_SHORT: usize = 1024;
/// Of the latest moments so many are compared: what happens at one comes together, but for others' in between.
const MOST_BESIDE: usize = 8;
/// For two seconds before and behind a close it is looked whether there were more: at so many of these eighty moments.
const MOMENTS_BESIDE: u64 = 40;
const HABIT: usize = 20;
/// Connections that are closed within this span are closed at one moment.
const AT_ONE_MOMENT: Duration = Duration::from_millis(50);
/// Hardly a gateway gives up sooner than this.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);
