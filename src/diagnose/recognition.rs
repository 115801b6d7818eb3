//! Which product a gateway is, learned from the answers that it gave.

use std::cmp::Reverse;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::correlate::gateway::Gateways;
use crate::correlate::served::{Leg, Served};
use crate::correlate::{Case, Party, Role, Try};
use crate::diagnose::Diagnoser;
use crate::diagnose::product::{self, Product, Recognition};
use crate::event::{Endpoint, Response};
use crate::mark::mark;

/// The products that were recognised, by the endpoint at which they answer: two of them may share a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Products {
    found: HashMap<Endpoint, Recognition>,
    /// What responses were that tell nothing more, lately.
    dull: [Option<Dull>; DULL],
}

/// A response below 400 that has no field but Server by which products are recognised, and that is no sign stronger than this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dull {
    server: u64,
    lower_case: bool,
    beyond: u8,
}

impl Dull {
    fn of(response: &Response, server: Option<&str>, beyond: u8) -> Option<Self> {
        let is_plain = response.status < 400 && response.signature.fields.is_empty();
        let server = || server.map_or(0, |server| mark(server.as_bytes()));
        is_plain.then(|| Self { server: server(), lower_case: response.signature.lower_case, beyond })
    }

    fn place(self) -> usize {
        self.server as usize % DULL
    }
}

impl Products {
    /// The product that answers at an endpoint: the one recognised there, or the only one of its gateway.
    pub(super) fn at(&self, front: Endpoint, gateways: &Gateways) -> Option<Product> {
        let there = self.found.get(&front).map(|known| known.product);
        there.or_else(|| self.only(front.ip(), gateways))
    }

    /// The only product that was recognised at a gateway's addresses.
    pub(super) fn only(&self, address: IpAddr, gateways: &Gateways) -> Option<Product> {
        let mut products = self.of(address, gateways).map(|(_, known)| known.product);
        let first = products.next()?;
        products.all(|product| product == first).then_some(first)
    }

    /// The clearest recognition at a gateway's addresses.
    pub(super) fn clearest(&self, address: IpAddr, gateways: &Gateways) -> Option<&Recognition> {
        let known = self.of(address, gateways);
        known.max_by_key(|(front, known)| (known.strength, Reverse(*front))).map(|(_, known)| known)
    }

    fn of(&self, address: IpAddr, gateways: &Gateways) -> impl Iterator<Item = (Endpoint, &Recognition)> {
        let root = gateways.root(address);
        self.found
            .iter()
            .filter(move |(front, _)| gateways.root(front.ip()) == root)
            .map(|(front, known)| (*front, known))
    }

    /// Learns the gateway's product from what it gave to its client.
    pub(super) fn recognise(&mut self, case: &Case<'_>) {
        if case.role == Role::Upstream {
            return;
        }
        // A middle leg is a gateway's answer only if attempts were made behind it.
        for (own, behind) in case.attempts.iter().zip(case.attempts.iter().skip(1)) {
            if behind.hop > own.hop {
                self.learn_from(case, own.party, Some(behind));
            }
        }
        self.learn_from(case, case.root, case.attempts.iter().rev().find(|attempt| attempt.hop == 0));
    }

    fn learn_from(&mut self, case: &Case<'_>, party: Party<'_>, behind: Option<&Try<'_>>) {
        let upstream = behind.and_then(|attempt| attempt.party.exchange.response.as_ref());
        if let Some(response) = &party.exchange.response {
            self.learn(party.exchange.server, response, upstream, case.upstream_visible);
        }
    }

    /// The same of an exchange that was served.
    pub(super) fn recognise_served(&mut self, served: &Served, attempts: &[Leg]) {
        let mut learn = |own: &Leg, behind: Option<&Leg>| {
            if let Some(response) = &own.response {
                let upstream = behind.and_then(|attempt| attempt.response.as_ref());
                self.learn(own.server, response, upstream, served.upstream_visible);
            }
        };
        for (own, behind) in attempts.iter().zip(attempts.iter().skip(1)) {
            learn(own, Some(behind));
        }
        learn(&served.root, attempts.first());
    }

    /// Learns from an endpoint's answer, behind which another one's stood.
    fn learn(&mut self, front: Endpoint, response: &Response, upstream: Option<&Response>, upstream_visible: bool) {
        let relayed = upstream.is_some_and(|upstream| upstream.status == response.status);
        let server = response.server();
        let same_name = upstream.is_some_and(|upstream| upstream.server() == server);
        let known = if self.found.is_empty() { None } else { self.found.get(&front).map(|known| known.strength) };
        if known.is_none() && self.found.len() >= MOST_FRONTS {
            return;
        }
        let known = known.unwrap_or(0);
        let beyond = if relayed && same_name { known.max(2) } else { known };
        let dull = Dull::of(response, server, beyond);
        if dull.is_some_and(|dull| self.dull.get(dull.place()) == Some(&Some(dull))) {
            return;
        }
        match product::recognise_beyond(response, beyond) {
            Some(found) if found.own_page && !relayed || upstream_visible && !found.own_page => {
                self.found.insert(front, found);
            }
            Some(_) => {}
            None => {
                if let Some(dull) = dull
                    && let Some(place) = self.dull.get_mut(dull.place())
                {
                    *place = Some(dull);
                }
            }
        }
    }
}

impl Diagnoser {
    /// Whether a lone request is a client's after all: a gateway answered it with an error page of its own, nobody who is known
    /// as a gateway sent it, and nothing in it says that it was sent for somebody else.
    pub(super) fn is_view_from_client(&mut self, case: &Case<'_>) -> bool {
        if case.role != Role::Upstream {
            return false;
        }
        let exchange = case.root.exchange;
        let Some((request, response)) = exchange.request.as_ref().zip(exchange.response.as_ref()) else {
            return false;
        };
        let client = exchange.client.ip();
        let gateway = case.gateways.is_known(client) || case.gateways.is_front(client);
        if gateway || request.forwarded {
            return false;
        }
        let own = response.status >= 500 && product::is_own_page(response);
        if own && self.answering.len() < MOST_FRONTS {
            self.answering.insert(exchange.server);
        }
        own && product::probe(request).is_none()
    }

    /// Whether a gateway was seen to answer at an endpoint whose requests come from clients.
    #[must_use]
    pub fn answers_clients(&self, front: Endpoint) -> bool {
        self.answering.contains(&front)
    }
}

/// Responses that tell nothing more of which so much is remembered.
const DULL: usize = 16;
/// Endpoints whose product is remembered.
const MOST_FRONTS: usize = 256;
