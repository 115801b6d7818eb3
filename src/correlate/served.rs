//! Exchanges that were served as they should be: most of all there are. Nothing is to be judged of them, and what is to be learned
//! is put down as they are forgotten: whoever learns may do so later, from many at once.

use std::net::IpAddr;
use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Conversation, Exchange, ExchangeKey, Place};
use crate::correlate::gateway::Gateways;
use crate::correlate::settle::{Attempted, MOST_HOPS};
use crate::correlate::{Correlator, Finding, Pairing, Party, Role};
use crate::event::{Ending, Endpoint, GoneWhy, Moment, Request, Response, Side};
use crate::time::Timestamp;

/// An exchange that was served.
#[derive(Debug)]
pub struct Served {
    /// The client's exchange.
    pub root: Leg,
    /// How many attempts it took: each was made for the one before, the first one for the client's.
    pub attempts: u8,
    /// Whether attempts of this gateway were seen at all.
    pub upstream_visible: bool,
}

/// An exchange of a gateway's with an upstream that went as it should, and that no client's exchange was found for.
#[derive(Debug)]
pub struct Lone {
    /// The exchange.
    pub leg: Leg,
    /// Whether clients of this gateway are in the capture.
    pub known: bool,
    /// Whether it was asked from the upstream's own host.
    pub at_home: bool,
}

/// What is kept of one of its exchanges.
#[derive(Debug)]
pub struct Leg {
    /// Which one.
    pub key: ExchangeKey,
    /// Who asked.
    pub client: IpAddr,
    /// Who was asked.
    pub server: Endpoint,
    /// The number of that.
    pub place: Place,
    /// How sure it is that it was made for the one before.
    pub pairing: Pairing,
    /// When it began.
    pub started: Timestamp,
    /// When its connection was opened.
    pub opened: Timestamp,
    /// SYN to SYN-ACK, where the connection was opened for it.
    pub connect: Option<Duration>,
    /// ClientHello to the end of the TLS handshake, where the connection was opened for it.
    pub tls: Option<Duration>,
    /// Last octet of the request to first octet of the response.
    pub wait: Option<Duration>,
    /// How long the connection had been idle before it.
    pub idle: Option<Duration>,
    /// `timeout=` that its server announces.
    pub announced_timeout: Option<Duration>,
    /// Octets of the request.
    pub size: Option<u64>,
    /// The request.
    pub request: Option<Request>,
    /// The response.
    pub response: Option<Response>,
}

/// An exchange that is about to be forgotten.
#[derive(Debug)]
pub struct Leaving<'a> {
    exchange: &'a mut Exchange,
    conversation: &'a Conversation,
}

impl Leaving<'_> {
    /// Takes out of it what is kept.
    #[inline(always)] // So it is made where it is put.
    pub fn leg(self) -> Leg {
        let Self { exchange, conversation } = self;
        Leg {
            key: exchange.key,
            client: exchange.client.ip(),
            server: exchange.server,
            place: exchange.place,
            pairing: exchange.pairing,
            started: exchange.started.at,
            opened: conversation.opened.at,
            connect: conversation.connect().filter(|_| !exchange.reused),
            tls: conversation.secured().filter(|_| !exchange.reused),
            wait: exchange.wait(),
            idle: exchange.idle,
            announced_timeout: conversation.announced_timeout.map(Duration::from),
            size: exchange.request_size(),
            request: exchange.request.take(),
            response: exchange.response.take(),
        }
    }
}

impl Correlator {
    /// The attempts of an exchange that is over, if it was served, and nothing that is yet to come can change what is said of it:
    /// the one attempt made for it bore its marks and succeeded, and so on, and no other can have been made before.
    pub(super) fn served(&self, key: ExchangeKey) -> Option<SmallVec<[Attempted; 2]>> {
        let root = self.books.party(key).filter(|root| root.exchange.parent.is_none())?;
        if self.may_attempt(root.exchange) {
            return None;
        }
        let mut tries: SmallVec<[Attempted; 2]> = SmallVec::new();
        let mut outer = root;
        while went_well(outer) {
            let only = match outer.exchange.attempts.as_slice() {
                [] => return (!self.has_orphans(outer.exchange)).then_some(tries),
                [only] if tries.len() < usize::from(MOST_HOPS) => self.books.party(*only)?,
                _ => return None,
            };
            let passed_on = only.exchange.status() == outer.exchange.status();
            if !passed_on || !self.is_first(outer.exchange, only.exchange) {
                return None;
            }
            tries.push((only.exchange.key, only.exchange.pairing, tries.len() as u8));
            outer = only;
        }
        None
    }

    /// Whether an exchange that has settled was served by the attempts that were found for it: each was made for the one before,
    /// and all went well.
    fn was_served(&self, key: ExchangeKey, tries: &[Attempted]) -> bool {
        let Some(root) = self.books.party(key).filter(|root| key.number > 0 && went_well(*root)) else { return false };
        tries.iter().enumerate().all(|(hops, (attempt, _, hop))| {
            let passed_on = |attempt: Party<'_>| attempt.exchange.status() == root.exchange.status();
            usize::from(*hop) == hops
                && self.books.party(*attempt).is_some_and(|attempt| went_well(attempt) && passed_on(attempt))
        })
    }

    /// Tells of an exchange that has settled, with its attempts, and forgets them.
    pub(super) fn tell_settled(&mut self, key: ExchangeKey, tries: &[Attempted], sink: &mut dyn FnMut(Finding<'_>)) {
        if self.was_served(key, tries) {
            self.tell_whole(key, tries, sink);
        } else {
            self.settle_as(key, tries, sink);
        }
    }

    /// The same of one that was served, as far as its messages tell.
    pub(super) fn tell_whole(&mut self, key: ExchangeKey, tries: &[Attempted], sink: &mut dyn FnMut(Finding<'_>)) {
        match self.role_in_order(key, tries) {
            Some(Role::Downstream) => self.tell_served(key, tries, sink),
            // Nobody is known to have taken its answer: that has to be one that any gateway takes.
            Some(Role::Upstream) if self.books.exchange(key).is_some_and(Exchange::is_in_order) => {
                self.tell_lone(key, sink)
            }
            _ => self.settle_as(key, tries, sink),
        }
    }

    /// What an exchange that was served is, where nothing about it can have failed: all its messages stand in clear; it is no
    /// status that is told as a case; and the gateway did not wait for so long that something must have been tried before.
    fn role_in_order(&self, key: ExchangeKey, tries: &[Attempted]) -> Option<Role> {
        let root @ Party { exchange, conversation } = self.books.party(key)?;
        let told_apart = |status: u16| status >= 400 || self.told_apart.iter().any(|range| range.contains(&status));
        let mut attempts = tries.iter().filter_map(|(key, ..)| self.books.party(*key));
        let first = attempts.clone().next();
        let in_order = exchange.status().is_some_and(|status| !told_apart(status))
            && conversation.notified(Side::Client).is_none()
            && is_in_clear(root)
            && first.is_none_or(|first| is_prompt(exchange, first))
            && attempts.all(is_in_clear);
        in_order.then(|| self.role(exchange, first.is_some()))
    }

    /// Tells of an exchange that was served, of which there is nothing to judge, and forgets it.
    fn tell_served(&mut self, key: ExchangeKey, tries: &[Attempted], sink: &mut dyn FnMut(Finding<'_>)) {
        self.note_forwarder(key);
        let upstream_visible =
            self.books.exchange(key).is_some_and(|root| self.gateways.is_front_host(root.hosts.server));
        let mut attempts = 0;
        for (key, pairing, _) in tries {
            self.tell_and_forget(*key, |_, leaving| {
                attempts += 1;
                sink(Finding::Attempt(leaving, *pairing));
            });
        }
        self.tell_and_forget(key, |_, root| sink(Finding::Served { root, attempts, upstream_visible }));
        for key in tries.iter().map(|(key, ..)| *key).chain([key]) {
            self.forget_if_done(key.connection, sink);
        }
    }

    /// The same of one that was made for no exchange of a client's.
    fn tell_lone(&mut self, key: ExchangeKey, sink: &mut dyn FnMut(Finding<'_>)) {
        self.note_forwarder(key);
        self.tell_and_forget(key, |gateways, leaving| {
            let Exchange { client, server, .. } = leaving.exchange;
            let known = gateways.is_front(gateways.root(client.ip())) || gateways.is_known(client.ip());
            let at_home = gateways.is_at_home(client.ip(), server.ip());
            sink(Finding::Lone { leaving, known, at_home });
        });
        self.forget_if_done(key.connection, sink);
    }

    /// Tells of an exchange, and forgets it.
    #[inline]
    fn tell_and_forget(&mut self, key: ExchangeKey, tell: impl FnOnce(&Gateways, Leaving<'_>)) {
        let Some(mut exchange) = self.strike(key) else { return };
        if let Some(conversation) = self.books.conversation(key.connection) {
            tell(&self.gateways, Leaving { exchange: &mut exchange, conversation });
        }
        self.books.give_back(exchange);
    }
}

/// Since when a gateway had a request, and when it first sent something upstream for it.
#[must_use]
pub fn silence(asked: &Exchange, first: Party<'_>) -> (Moment, Moment) {
    let Party { exchange, conversation } = first;
    let began = if exchange.reused { exchange.started } else { conversation.opened };
    (asked.request_end.map_or(asked.ready(), |(end, _)| end), began)
}

fn is_prompt(asked: &Exchange, first: Party<'_>) -> bool {
    let (ready, began) = silence(asked, first);
    began.at.since(ready.at) < SHORTEST_SILENCE
}

/// Whether an exchange that is over went well for who asked: he had all of the answer before he closed.
fn went_well(Party { exchange, conversation }: Party<'_>) -> bool {
    let had_all = |close: Moment| exchange.response_end.is_some_and(|end| end.moment < close);
    is_whole(exchange)
        && conversation.close(Side::Client).is_none_or(|(close, ..)| had_all(close))
        && conversation.gone.is_none_or(|(_, gone)| gone.why != GoneWhy::LeftOut)
}

/// Whether an exchange that is over went well from end to end, and was answered once it was asked.
fn is_whole(exchange: &Exchange) -> bool {
    let asked_first = exchange.request_end.zip(exchange.response_start.as_ref());
    exchange.over.is_some()
        && exchange.defect.is_none()
        && exchange.status().is_some_and(|status| (200..500).contains(&status))
        && exchange.response_end.is_some_and(|end| end.how == Ending::Complete)
        && asked_first.is_some_and(|((end, _), start)| end <= start.moment)
}

fn is_in_clear(Party { exchange, conversation }: Party<'_>) -> bool {
    exchange.veiled.is_none() && conversation.handshake.is_none() && conversation.multiplexed.is_none()
}

/// Shorter silences are not worth a word.
pub const SHORTEST_SILENCE: Duration = Duration::from_millis(400);
