//! Which product a gateway is, learned from the answers that it gave.

use std::cmp::Reverse;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::correlate::gateway::Gateways;
use crate::correlate::{Case, Role};
use crate::diagnose::Diagnoser;
use crate::diagnose::product::{self, Product, Recognition};
use crate::event::Endpoint;

/// The products that were recognised, by the endpoint at which they answer: two of them may share a host.
#[derive(Clone, Debug, Default)]
pub(super) struct Products(HashMap<Endpoint, Recognition>);

impl Products {
    /// The product that answers at an endpoint: the one recognised there, or the only one of its gateway.
    pub(super) fn at(&self, front: Endpoint, gateways: &Gateways) -> Option<Product> {
        let there = self.0.get(&front).map(|known| known.product);
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
        self.0.iter().filter(move |(front, _)| gateways.root(front.ip()) == root).map(|(front, known)| (*front, known))
    }

    /// Learns the gateway's product from what it gave to its client.
    pub(super) fn recognise(&mut self, case: &Case<'_>) {
        if case.role == Role::Upstream {
            return;
        }
        for (party, answer) in case.attempts.iter().map(|attempt| (attempt.party, None)).chain([(case.root, Some(()))])
        {
            let Some(response) = &party.exchange.response else { continue };
            let answered = if answer.is_some() {
                case.attempts.iter().rev().find(|attempt| attempt.hop == 0)
            } else {
                // A middle leg is a gateway's answer only if attempts were made behind it.
                let position =
                    case.attempts.iter().position(|attempt| attempt.party.exchange.key == party.exchange.key);
                let behind = position.and_then(|at| {
                    case.attempts.get(at + 1).filter(|next| case.attempts.get(at).is_some_and(|own| next.hop > own.hop))
                });
                if behind.is_none() {
                    continue;
                }
                behind
            };
            let upstream = answered.and_then(|attempt| attempt.party.exchange.response.as_ref());
            let relayed = upstream.is_some_and(|upstream| upstream.status == response.status);
            let same_name = upstream.is_some_and(|upstream| upstream.server() == response.server());
            let front = party.exchange.server;
            let known = self.0.get(&front).map(|known| known.strength);
            if known.is_none() && self.0.len() >= MOST_FRONTS {
                continue;
            }
            let known = known.unwrap_or(0);
            let beyond = if relayed && same_name { known.max(2) } else { known };
            let Some(found) = product::recognise_beyond(response, beyond) else { continue };
            if found.own_page && !relayed || case.upstream_visible && !found.own_page {
                self.0.insert(front, found);
            }
        }
    }
}

impl Diagnoser {
    /// Whether a lone request is a client's after all: a gateway answered it with an error page of its own, nobody who is known
    /// as a gateway sent it, and nothing in it says that it was sent for somebody else.
    pub(super) fn is_view_from_client(&mut self, case: &Case<'_>) -> bool {
        let exchange = case.root.exchange;
        let Some((request, response)) = exchange.request.as_ref().zip(exchange.response.as_ref()) else {
            return false;
        };
        let client = exchange.client.ip();
        let gateway = case.gateways.is_known(client) || case.gateways.is_front(client);
        if case.role != Role::Upstream || gateway || request.forwarded {
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

/// Endpoints whose product is remembered.
const MOST_FRONTS: usize = 256;
