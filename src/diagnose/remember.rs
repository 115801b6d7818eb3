//! What the diagnosis keeps of the cases it has judged: which upstreams failed, which served, and how long gateways waited.

use std::net::IpAddr;

use crate::correlate::conversation::Exchange;
use crate::correlate::{Case, Pairing, Party};
use crate::diagnose::Diagnoser;
use crate::diagnose::cause::Cause;
use crate::diagnose::compose::Judged;
use crate::diagnose::evidence::{Attempt, Verdict};
use crate::diagnose::local::Failure;
use crate::diagnose::verdicts::judged_end;
use crate::event::{Endpoint, Moment, Side};
use crate::stats::{self, Stats};

impl Diagnoser {
    /// What came of a case's attempts.
    pub(super) fn note_attempts(&mut self, case: &Case<'_>, judged: &[Judged<'_>], stats: &mut Stats) {
        let failed = judged.iter().all(|judged| judged.verdict.is_some());
        for Judged { attempt, verdict, view } in judged {
            let Party { exchange, conversation } = attempt.party;
            if attempt.pairing < Pairing::Certain && exchange.key.number == 0 && failed {
                self.pools.failed(case.root.exchange, exchange.server);
            }
            if verdict.is_none() && exchange.is_answered() {
                self.pools.served(exchange.server, exchange.started.at);
            }
            stats.attempt(exchange, conversation, verdict.is_some());
            let Some(verdict) = verdict else { continue };
            if verdict.cause == Cause::KeepaliveRace
                && let (Some(idle), Some((close, ..))) = (exchange.idle, conversation.close(Side::Server))
            {
                // The upstream took the connection for idle when it closed.
                stats.idle_close(exchange.server, idle + close.at.since(exchange.started.at));
            }
            if verdict.cause == Cause::ResponseTimeout
                && let Some(moment) = gave_up_at(view)
            {
                stats.gave_up(
                    exchange.server,
                    moment.at.since(exchange.request_end.map_or(exchange.started, |(end, _)| end).at),
                );
            }
            let root = case.gateways.root(exchange.client.ip());
            if verdict.cause == Cause::ConnectTimeout
                && let Some(given) = judged_end(view)
            {
                self.waits.time_out(root, given.since(conversation.opened.at));
            }
            let moment = verdict.evidence.last().map_or(exchange.started, |proof| proof.moment);
            self.count_failed(exchange.server, verdict.cause, 1);
            self.note_failure(root, exchange, verdict, moment, false);
        }
        if let Some(last) = judged.iter().rev().find(|judged| judged.attempt.hop == 0 && judged.verdict.is_none())
            && let (Some(wait), Some(upstream)) =
                (stats::wait(case.root.exchange), stats::wait(last.attempt.party.exchange))
        {
            stats.gateway_added.note(wait.saturating_sub(upstream));
        }
    }

    /// Which upstreams the attempts of a case went to, where it is certain that they were made for it.
    pub(super) fn learn_pools(&mut self, case: &Case<'_>, judged: &[Judged<'_>]) {
        for (index, Judged { attempt, .. }) in judged.iter().enumerate() {
            if attempt.pairing == Pairing::Certain {
                let before = judged.get(..index).unwrap_or_default().iter();
                let outer = before.rev().find(|outer| outer.attempt.hop + 1 == attempt.hop);
                let asked = outer.map_or(case.root, |outer| outer.attempt.party);
                self.pools.learn(asked.exchange, attempt.party.exchange.server);
            }
        }
    }

    /// Attempts failed.
    pub(super) fn count_failed(&mut self, upstream: Endpoint, cause: Cause, n: u64) {
        if self.failed.len() < MOST_ENDPOINTS || self.failed.contains_key(&upstream) {
            *self.failed.entry(upstream).or_default().entry(cause).or_default() += n;
        }
    }

    /// A failure, by which the gateway may have taken an upstream out of service.
    pub(super) fn note_failure(
        &mut self,
        root: IpAddr,
        attempt: &Exchange,
        verdict: &Verdict,
        moment: Moment,
        probe: bool,
    ) {
        let (upstream, status) = (attempt.server, attempt.status());
        if self.failures.len() >= MOST_FAILURES {
            self.failures.pop_front();
        }
        self.failures
            .push_back((root, Failure { at: moment.at, moment, upstream, cause: verdict.cause, probe, status }));
    }
}

/// When the gateway closed on the upstream or turned to something else. What the upstream did after that is not waited for.
fn gave_up_at(view: &Attempt<'_>) -> Option<Moment> {
    let closed = view.gateway_close().map(|(moment, ..)| moment);
    closed.into_iter().chain(view.given.map(|given| given.at)).min_by_key(|moment| moment.frame)
}

/// Endpoints whose failures are counted.
const MOST_ENDPOINTS: usize = 512;
/// Failures that are remembered.
const MOST_FAILURES: usize = 256;
