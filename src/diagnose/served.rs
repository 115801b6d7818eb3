//! Exchanges that were served as they should be: most of all there are. Nothing is judged of them, and as much is learned from
//! them as from any other.

use crate::correlate::{Case, Pairing, Party};
use crate::diagnose::{Diagnoser, local};
use crate::event::Side;
use crate::stats::{self, Stats};

impl Diagnoser {
    /// Whether nothing about a case can have failed: no silence asks for a reason, all its messages are whole and in order, it is no status that is asked for,
    /// and what was said and done stands in clear.
    fn is_served(&self, case: &Case<'_>) -> bool {
        let Party { exchange, conversation } = case.root;
        let mut parties = case.attempts.iter().map(|attempt| attempt.party).chain([case.root]);
        let in_clear = |Party { exchange, conversation }: Party<'_>| {
            exchange.veiled.is_none() && conversation.handshake.is_none() && conversation.multiplexed.is_none()
        };
        case.served
            && exchange.status().is_some_and(|status| status < 400 && !self.is_asked(status))
            && parties.all(in_clear)
            && conversation.notified(Side::Client).is_none()
            && local::silent_wait(case).is_none()
    }

    /// Learns from a case that is one of them, and says whether it is.
    pub(super) fn learn_served(&mut self, case: &Case<'_>, stats: &mut Stats) -> bool {
        if !self.is_served(case) {
            return false;
        }
        let asked = case.root.exchange;
        let wait = stats::wait(asked);
        // The attempts form a chain: each was made for the one before.
        let (mut maker, mut behind) = (asked, Pairing::Certain);
        for attempt in &case.attempts {
            let Party { exchange, conversation } = attempt.party;
            self.pools.served(exchange.server, exchange.started.at);
            stats.attempt(exchange, conversation, false);
            if behind.min(attempt.pairing) == Pairing::Certain {
                self.pools.learn(maker, exchange.server);
            }
            (maker, behind) = (exchange, attempt.pairing);
        }
        let first = case.attempts.first().and_then(|first| stats::wait(first.party.exchange));
        if let Some((wait, upstream)) = wait.zip(first) {
            stats.gateway_added.note(wait.saturating_sub(upstream));
        }
        if let Some(wait) = wait {
            stats.client_wait.note(wait);
        }
        true
    }
}
