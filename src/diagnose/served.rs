//! Exchanges that were served as they should be: most of all there are. Nothing is judged of them, and as much is learned from
//! them as from any other.

use crate::correlate::{Case, Pairing, Party};
use crate::diagnose::remember::note_added;
use crate::diagnose::{Diagnoser, local};
use crate::event::Side;
use crate::stats::{self, Stats};

impl Diagnoser {
    /// Whether nothing about a case can have failed: all its messages are whole and in order, and stand in clear; it is no status
    /// that is asked for; and the gateway did not wait for so long that something must have been tried before.
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
        // The attempts form a chain: each was made for the one before.
        let (mut maker, mut behind) = (asked, Pairing::Certain);
        for attempt in &case.attempts {
            let Party { exchange, .. } = attempt.party;
            self.note_attempt(attempt.party, false, stats);
            if behind.min(attempt.pairing) == Pairing::Certain {
                self.pools.learn(maker, exchange.server);
            }
            (maker, behind) = (exchange, attempt.pairing);
        }
        if let Some(first) = case.attempts.first() {
            note_added(asked, first.party.exchange, stats);
        }
        if let Some(wait) = stats::wait(asked) {
            stats.client_wait.note(wait);
        }
        true
    }
}
