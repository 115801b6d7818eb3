//! Which downstream exchange a request on an upstream leg was made for, by what stands on both: told at the moment the
//! request is seen.

use std::net::IpAddr;
use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Conversation, Exchange, ExchangeKey, Hosts};
use crate::correlate::fit::is_anothers_check;
use crate::correlate::gateway::Host;
use crate::correlate::index::LAST;
use crate::correlate::marks::{of_client, share_but_targets};
use crate::correlate::{Correlator, Pairing, Party};
use crate::event::{Endpoint, Request, Side};
use crate::time::Timestamp;

impl Correlator {
    /// Whether a request that was just seen on a connection may be found to be an attempt by what stands on both legs. Of most
    /// requests no mark is known.
    pub(super) fn may_be_identified(&self, conversation: &Conversation, request: &Request) -> bool {
        conversation.speaks_for.is_some()
            || request.forwarded_for.is_some()
            || request.marks.iter().any(|mark| tells(self.marks.bearers(*mark)))
    }

    /// Finds the downstream exchange of a request that was just seen by what stands on both, and notes it. Returns whether
    /// there is one.
    pub(super) fn identify(&mut self, key: ExchangeKey) -> bool {
        let (marks, books) = (&mut self.marks, &self.books);
        let Some(Party { exchange: attempt, conversation }) = books.party(key) else { return false };
        let forwarded = attempt.request.as_ref().and_then(|request| request.forwarded_for);
        let named = || forwarded.and_then(|client| Some((client.address, client.port?).into()));
        let client: Option<Endpoint> = conversation.speaks_for.or_else(named);
        if client.is_some() {
            let can_be_found = |exchange: &&Exchange| {
                exchange.over.is_none()
                    && exchange.key != key
                    && (exchange.request.is_some() || exchange.veiled.is_some())
            };
            marks.find_by_client(books.exchanges().filter(can_be_found));
        }
        let Some((parent, front, back)) = self.identified_parent(attempt, client) else { return false };
        self.gateways.join(front, back);
        self.note_other_family(front, key);
        if let (Some(outer), Some(inner)) = (self.books.exchange(parent), self.books.exchange(key)) {
            self.places.note_attempt(outer.place, inner.place);
        }
        self.adopt(parent, key, Pairing::Certain, true);
        true
    }

    /// A gateway that is refused at one address of its upstream turns to the next at once: another host's, or one of the other
    /// family, for which it has another address of its own. Nothing else may ever come from that.
    pub(super) fn note_other_family(&mut self, front: IpAddr, key: ExchangeKey) {
        if key.number != 1 || self.gateways.strangers().is_empty() {
            return;
        }
        let served = self.books.exchange(key);
        let opened = self.books.conversation(key.connection).map(|conversation| conversation.opened.at);
        let (Some(served), Some(opened)) = (served, opened) else { return };
        let server = served.server;
        let turned_from = |refused: &Exchange| {
            let at_once = refused.over.is_some_and(|over| over.at <= opened && opened.since(over.at) <= TURNS);
            at_once
                && refused.key.number == 0
                && refused.server.port() == server.port()
                && refused.server.ip() != server.ip()
        };
        let of = |stranger: Host| self.orphans.between(stranger, opened - LONGEST_REFUSAL, (opened, LAST));
        let found = self
            .gateways
            .strangers()
            .iter()
            .copied()
            .find(|stranger| of(*stranger).filter_map(|entry| self.books.exchange(entry.key)).any(turned_from));
        if let Some(stranger) = found.and_then(|host| self.gateways.address(host)) {
            self.gateways.join(front, stranger);
        }
    }

    /// The exchange that an attempt was made for, and the addresses at which the gateway was asked and asks; `client` is whom it
    /// names as the one that it asks for.
    fn identified_parent(&self, attempt: &Exchange, client: Option<Endpoint>) -> Option<(ExchangeKey, IpAddr, IpAddr)> {
        let request = attempt.request.as_ref()?;
        let marks = request.marks.iter().copied().chain(client.map(of_client));
        // What is known to be the attempt's own host comes before what might turn out to be; and an exchange whose gateway
        // waits for an attempt already comes last: what bears its marks most likely belongs deeper.
        let tier = |parent: &Exchange| {
            let own_host = self.gateways.are_same(parent.hosts.server, attempt.hosts.client);
            u8::from(!own_host) + 2 * u8::from(self.is_waiting(parent))
        };
        // Several exchanges of a chain bear one mark, so a few more than are rare are looked at.
        let mut parents: SmallVec<[(ExchangeKey, u8); 8]> = SmallVec::new();
        let mut bearings: SmallVec<[(usize, ExchangeKey); 8]> = SmallVec::new();
        for (nth, mark) in marks.enumerate() {
            let bearers = self.marks.bearers(mark);
            for bearer in bearers.iter().filter(|_| tells(bearers)) {
                if !parents.iter().any(|(known, _)| known == bearer) {
                    let Some(parent) = self.possible_parent(*bearer, attempt) else { continue };
                    parents.push((*bearer, tier(parent)));
                }
                bearings.push((nth, *bearer));
            }
        }
        let best_tier = parents.iter().map(|(_, tier)| *tier).min()?;
        parents.retain(|(_, tier)| *tier <= best_tier);
        bearings.retain(|(_, key)| parents.iter().any(|(known, _)| known == key));
        let weight = |nth: usize| match bearings.iter().filter(|(other, _)| *other == nth).count() {
            bearers if bearers > RARE => 0.0,
            bearers => 1.0 / bearers as f64,
        };
        let mut weights: SmallVec<[(ExchangeKey, f64); 8]> = parents.iter().map(|(key, _)| (*key, 0.0)).collect();
        for (nth, bearer) in &bearings {
            for (_, sum) in weights.iter_mut().filter(|(key, _)| key == bearer) {
                *sum += weight(*nth);
            }
        }
        let (best, weight) = weights.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let rivals = weights.iter().filter(|(rival, sum)| *rival != best && *sum + 0.25 > weight).count();
        if rivals > 0 || weight < 0.5 {
            return None;
        }
        let parent = self.books.exchange(best)?;
        Some((best, parent.server.ip(), attempt.client.ip()))
    }

    /// Whether an open exchange may have given rise to an attempt that bears the same mark.
    fn possible_parent(&self, key: ExchangeKey, attempt: &Exchange) -> Option<&Exchange> {
        let parent = self.books.exchange(key)?;
        // One client that asks two servers is no gateway.
        let siblings = parent.hosts.client == attempt.hosts.client && parent.hosts.server != attempt.hosts.client;
        let itself = parent.key.connection == attempt.key.connection || parent.server == attempt.server;
        let late = parent.over.is_some() || parent.started.at > attempt.started.at;
        let asked = parent.request.as_ref().zip(attempt.request.as_ref());
        let check = asked.is_some_and(|(one, other)| is_anothers_check(one, other));
        // Nor is what looks alike asked by an upstream, at who has been asked by clients alone.
        let backwards = self.places.is_front_only(attempt.place) && self.places.is_upstream(parent.place);
        let looks_alike = backwards && asked.is_some_and(|(one, other)| share_but_targets(one, other));
        // Who asks its own host looks as a gateway's upstream does: it is none whose gateway has let go of what it asked. Clients
        // that wait for an answer once they have closed ask gateways.
        let let_go = attempt.hosts.client == attempt.hosts.server
            && parent.was_let_go()
            && !self.places.is_front_only(parent.place);
        if check
            || looks_alike
            || late
            || let_go
            || siblings
            || itself
            || !self.places.may_nest(attempt.place, parent.place)
        {
            return None;
        }
        // What a gateway asks of an upstream does not come back to the gateway: requests that look alike do.
        let Hosts { client: gateway, server: upstream } = parent.hosts;
        let Hosts { client, server } = attempt.hosts;
        let returns = self.gateways.are_same(gateway, server) && !self.gateways.are_same(gateway, upstream);
        // Nor does what a gateway asks of an upstream on its own host make another host ask the gateway: a host that connects
        // to itself does so from the address that it connects to.
        let foreign =
            client != server && self.gateways.are_same(upstream, server) && !self.gateways.are_same(upstream, client);
        // And nobody tries again while he waits: what bears the same marks is a copy, or was made for a request that looks alike
        // and is inside of TLS.
        let hidden = self.is_waiting(parent) && self.has_hidden_front(attempt);
        (!returns && !foreign && !hidden).then_some(parent)
    }

    /// Whether an attempt may have been made for an exchange that is inside of TLS.
    fn has_hidden_front(&self, attempt: &Exchange) -> bool {
        let until = (attempt.started.at, attempt.key);
        let fronts = self.gateways.akin(attempt.hosts.client).each();
        let earlier = fronts.flat_map(|front| self.unsettled.between(front, Timestamp::from_nanos(i64::MIN), until));
        let open = earlier.filter(|front| front.over >= attempt.started.at);
        open.filter_map(|front| self.books.exchange(front.key)).any(|front| front.veiled.is_some())
    }

    /// Whether an attempt of an exchange is still under way.
    fn is_waiting(&self, parent: &Exchange) -> bool {
        parent.attempts.last().is_some_and(|last| {
            let running = self.books.exchange(*last).is_some_and(|last| last.over.is_none() && last.request.is_some());
            let open = self.books.conversation(last.connection).is_some_and(|last| last.close(Side::Client).is_none());
            running && open
        })
    }

    /// Notes that an attempt that time tells was made for an exchange. `at` is where its answer was found, if it was.
    pub(super) fn adopt_orphan(&mut self, parent: ExchangeKey, key: ExchangeKey, pairing: Pairing, at: Option<usize>) {
        let Some(attempt) = self.adopt(parent, key, pairing, false) else { return };
        let (client, [spot, _], started) = (attempt.hosts.client, attempt.spots, attempt.started.at);
        let (is_offered, answered) = (attempt.offered, attempt.answered());
        self.orphans.remove(client, spot, (started, key));
        if is_offered {
            self.answers.remove(client, answered, key, at);
        }
    }

    fn adopt(
        &mut self,
        parent: ExchangeKey,
        key: ExchangeKey,
        pairing: Pairing,
        identified: bool,
    ) -> Option<&mut Exchange> {
        if let Some(parent) = self.books.exchange_mut(parent) {
            parent.attempts.push(key);
        }
        let attempt = self.books.exchange_mut(key)?;
        attempt.parent = Some(parent);
        attempt.identified = identified;
        attempt.pairing = pairing;
        Some(attempt)
    }
}

/// Whether those that bear a mark are few enough to tell an attempt's exchange, with some of those of a chain.
fn tells(bearers: &[ExchangeKey]) -> bool {
    (1..=2 * RARE).contains(&bearers.len())
}

/// A mark that more open requests bear than this does not identify.
const RARE: usize = 8;
/// Who is refused turns to the next address within this span; the link may have to be asked for that first.
const TURNS: Duration = Duration::from_millis(50);
/// A connection is refused within this span, or given up.
const LONGEST_REFUSAL: Duration = Duration::from_secs(2);
