//! Which product a gateway is, learned from the answers that it gave.

use std::net::IpAddr;

use hashbrown::HashMap;

use crate::correlate::{Case, Role};
use crate::diagnose::product::{self, Recognition};

/// The products that were recognised, by the address by which their gateway goes in the books.
#[derive(Debug, Default)]
pub(super) struct Products(HashMap<IpAddr, Recognition>);

impl Products {
    /// The product of a gateway.
    pub(super) fn get(&self, root: IpAddr) -> Option<&Recognition> {
        self.0.get(&root)
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
            let root = case.gateways.root(party.exchange.server.ip());
            let known = self.0.get(&root).map_or(0, |known| known.strength);
            let beyond = if relayed && same_name { known.max(2) } else { known };
            let Some(found) = product::recognise_beyond(response, beyond) else { continue };
            if found.own_page && !relayed || case.upstream_visible && !found.own_page {
                self.0.insert(root, found);
            }
        }
    }
}
