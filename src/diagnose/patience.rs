//! Where only the upstream's leg is visible, a gateway that closes without an answer has either waited for long enough, or
//! lost its client. A time limit fires after the same span again and again; clients leave when they like.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Verdict, span};
use crate::diagnose::incident::{Actor, Grade};

/// After what waits gateways gave up, the latest ones, by the gateway.
#[derive(Debug, Default)]
pub(super) struct Patience(HashMap<IpAddr, VecDeque<Duration>>);

impl Patience {
    /// Notes how long a gateway waited, and says the limit that it kept to before, if it gave up far from it this time.
    fn strays_from(&mut self, gateway: IpAddr, waited: Duration) -> Option<(Duration, usize)> {
        if self.0.len() >= MOST_GATEWAYS && !self.0.contains_key(&gateway) {
            return None;
        }
        let waits = self.0.entry(gateway).or_default();
        let alike = |one: Duration| waits.iter().filter(|other| one.abs_diff(**other) <= near(one)).count();
        let limit = waits.iter().copied().filter(|one| alike(*one) >= ENOUGH).max();
        let own = alike(waited);
        let found = limit
            .filter(|limit| waited + near(*limit) * 10 < *limit && own + 1 < ENOUGH)
            .map(|limit| (limit, alike(limit)));
        if waits.len() >= MOST_WAITS {
            waits.pop_front();
        }
        waits.push_back(waited);
        found
    }

    /// A verdict that the gateway gave up waiting, or that its client most likely left, where it waits for longer than this
    /// when nobody does.
    pub(super) fn weigh(&mut self, gateway: IpAddr, attempt: &Attempt<'_>, verdict: Verdict) -> Verdict {
        let closed = attempt.gateway_close().filter(|_| attempt.gateway_closed_first());
        let Some((closed, ..)) = closed.filter(|_| verdict.cause == Cause::ResponseTimeout) else { return verdict };
        let waited = closed.at.since(attempt.request_sent().at);
        let Some((limit, times)) = self.strays_from(gateway, waited) else { return verdict };
        let (exchange, server) = (attempt.exchange, attempt.conversation.server);
        let mut likely = Verdict::new(
            Cause::ClientAbort,
            Grade::Consistent,
            format!("gateway let go after {}; its limit is {}", span(waited), span(limit)),
            format!(
                "the gateway let go of {server} after {}, long before the {} for which it waits: its client will have left",
                span(waited),
                span(limit)
            ),
        )
        .detail("by_limit")
        .proof(exchange.started, Actor::Gateway, "the request begins");
        if let Some(acknowledged) = exchange.acknowledged {
            likely = likely.proof(acknowledged, Actor::Upstream, "acknowledges the whole request");
        }
        likely
            .proof(closed, Actor::Gateway, format!("closes first; {times} × before it waited for {}", span(limit)))
            .or_else(Some(Cause::ResponseTimeout), "a shorter time limit for this request than for the others")
            .unknown("what the client's leg shows: it is not in the capture")
    }
}

/// What a timer may differ by.
fn near(limit: Duration) -> Duration {
    (limit / 100).max(Duration::from_millis(3))
}

/// Waits that are alike, before they are a limit.
const ENOUGH: usize = 3;
/// Waits of a gateway, and gateways, that are remembered.
const MOST_WAITS: usize = 64;
const MOST_GATEWAYS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn strays(waits_ms: &[u64]) -> Vec<bool> {
        let mut patience = Patience::default();
        let gateway = IpAddr::from([10, 0, 0, 1]);
        let ms = Duration::from_millis;
        waits_ms.iter().map(|wait| patience.strays_from(gateway, ms(*wait)).is_some()).collect()
    }

    #[test]
    fn a_limit_is_known_once_it_was_kept_three_times() {
        assert_eq!(strays(&[2000, 300, 2001, 1999, 310, 2000]), [false, false, false, false, true, false]);
    }

    #[test]
    fn a_second_limit_strays_only_until_it_is_known() {
        assert_eq!(strays(&[2000, 2001, 2000, 500, 500, 501, 500]), [false, false, false, true, true, false, false]);
    }

    #[test]
    fn spans_as_short_as_what_a_timer_may_differ_by_are_no_limit() {
        assert_eq!(strays(&[5, 5, 5, 1, 5]), [false; 5]);
    }

    #[test]
    fn what_is_longer_than_the_limit_is_no_stray() {
        assert_eq!(strays(&[2000, 2001, 2000, 9000, 1990]), [false; 5]);
    }
}
