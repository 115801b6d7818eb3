//! What the diagnosis keeps of the cases it has judged: which upstreams failed, which served, and how long gateways waited.

use std::net::IpAddr;
use std::time::Duration;

use crate::correlate::conversation::Exchange;
use crate::correlate::{Case, Pairing, Party};
use crate::diagnose::Diagnoser;
use crate::diagnose::cause::Cause;
use crate::diagnose::compose::Judged;
use crate::diagnose::evidence::{Attempt, Verdict};
use crate::diagnose::local::Failure;
use crate::diagnose::pools::kind;
use crate::diagnose::product::Product;
use crate::diagnose::resolve::{self, Background};
use crate::diagnose::verdicts::judged_end;
use crate::event::{Endpoint, Moment, Side};
use crate::stats::Stats;

impl Diagnoser {
    /// What came of a case's attempts.
    pub(super) fn note_attempts(&mut self, case: &Case<'_>, judged: &[Judged<'_>], stats: &mut Stats) {
        for asked in &case.beside {
            stats.attempt(asked.party.exchange, asked.party.conversation, false);
        }
        let failed = judged.iter().all(|judged| judged.verdict.is_some());
        for Judged { attempt, verdict, view } in judged {
            let Party { exchange, conversation } = attempt.party;
            if attempt.pairing < Pairing::Certain && exchange.key.number == 0 && failed {
                self.pools.failed(case.root.exchange, exchange.server);
            }
            self.note_attempt(attempt.party, verdict.is_some(), stats);
            let Some(verdict) = verdict else { continue };
            if verdict.cause == Cause::KeepaliveRace
                && let (Some(idle), Some((close, ..))) = (exchange.idle, conversation.close(Side::Server))
            {
                // The upstream took the connection for idle when it closed.
                stats.idle_close(exchange.server, idle + close.at.since(exchange.started.at), close.at);
            }
            if let (Cause::KeepaliveRace | Cause::StaleReuse, Some(idle)) = (verdict.cause, exchange.idle) {
                stats.reuse_failed(exchange.server, idle);
            }
            if verdict.cause == Cause::ResponseTimeout
                && let Some(moment) = gave_up_at(view)
            {
                let waited = moment.at.since(exchange.request_end.map_or(exchange.started, |(end, _)| end).at);
                stats.gave_up(exchange.server, waited);
                if let Some(habits) = stats.habits(exchange.client.ip()) {
                    habits.read_timeout.note(waited, moment.at);
                }
            }
            let root = case.gateways.root(exchange.client.ip());
            if verdict.cause == Cause::ConnectTimeout
                && let Some(given) = judged_end(view)
            {
                let waited = given.since(conversation.opened.at);
                self.waits.time_out(root, waited);
                if let Some(habits) = stats.habits(exchange.client.ip()) {
                    habits.connect_timeout.note(waited, given);
                }
            }
            let moment = verdict.evidence.last().map_or(exchange.started, |proof| proof.moment);
            self.count_failed(exchange.server, verdict.cause, 1);
            self.note_failure(root, exchange, verdict, moment, false);
            if let Some(habits) = stats.habits(exchange.client.ip()) {
                habits.failed(exchange.server, moment.at);
                if attempt.hop == 0 && attempt.pairing >= Pairing::Likely && may_be_retried(verdict.cause) {
                    let retried = view.given.is_some_and(|given| given.retried);
                    let method = case.root.exchange.request.as_ref().map(|request| request.method());
                    let [safe, other] = &mut habits.retries;
                    let count = if method.is_some_and(is_idempotent) { safe } else { other };
                    *count = (count.0 + 1, count.1 + u64::from(retried));
                }
            }
        }
        if let Some(last) = judged.iter().rev().find(|judged| judged.attempt.hop == 0 && judged.verdict.is_none()) {
            note_added(case.root.exchange.wait(), last.attempt.party.exchange.wait(), stats);
        }
    }

    /// What came of an attempt, and what it took.
    pub(super) fn note_attempt(&mut self, party: Party<'_>, failed: bool, stats: &mut Stats) {
        let Party { exchange, conversation } = party;
        if !failed && exchange.is_answered() {
            self.pools.served(exchange.place, exchange.server, exchange.started.at);
        }
        stats.attempt(exchange, conversation, failed);
    }

    /// Which upstreams the attempts of a case went to, where it is certain that they were made for it.
    pub(super) fn learn_pools(&mut self, case: &Case<'_>, judged: &[Judged<'_>]) {
        for (index, Judged { attempt, .. }) in judged.iter().enumerate() {
            if attempt.pairing == Pairing::Certain {
                let before = judged.get(..index).unwrap_or_default().iter();
                let outer = before.rev().find(|outer| outer.attempt.hop + 1 == attempt.hop);
                let asked = outer.map_or(case.root, |outer| outer.attempt.party);
                if let Some(kind) = kind(asked.exchange) {
                    self.pools.learn(kind, attempt.party.exchange.server);
                }
            }
        }
    }

    /// What a request failed by, if it was a lookup: others like it may fail by the same answer.
    pub(super) fn remember_lookup(&mut self, case: &Case<'_>, verdict: &Verdict) {
        let remembered = kind(case.root.exchange).and_then(|kind| resolve::Remembered::of(case, kind, verdict));
        if self.remembered.len() >= MOST_FAILURES {
            self.remembered.pop_front();
        }
        self.remembered.extend(remembered);
    }

    /// What is said of a request for which nothing was sent and no name was asked, where a lookup before may be the reason.
    pub(super) fn without_name(
        &self,
        case: &Case<'_>,
        at: Moment,
        product: Option<Product>,
        nothing_sent: Verdict,
    ) -> Verdict {
        let asked = case.root.exchange;
        let quick = at.at.since(asked.ready().at) <= AT_ONCE && asked.status().is_some_and(|status| status >= 500);
        let Some(kind) = kind(asked).filter(|_| quick) else { return nothing_sent };
        if let Some(known) = self.remembered.iter().rev().find(|known| known.explains(case, kind, at)) {
            return known.verdict(at, nothing_sent);
        }
        let Some(failing) = resolve::background(case, at) else { return nothing_sent };
        let Background { cause, name, failed, is_only } = failing;
        // HAProxy looks names up by itself, and takes a server out of service whose name leads nowhere. Of others it is to be
        // shown that the name is the server's.
        let leads_there =
            |upstream: &Endpoint| case.names.addresses(name).is_some_and(|known| known.has(upstream.ip()));
        let is_its = || is_only || self.pools.pool(asked).is_some_and(|pool| pool.iter().any(leads_there));
        if product == Some(Product::Haproxy) || is_its() {
            return resolve::standing(cause, name, failed, at, nothing_sent);
        }
        nothing_sent
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

/// How much longer a client waited than the gateway did for the attempt that served it.
pub(super) fn note_added(wait: Option<Duration>, upstream: Option<Duration>, stats: &mut Stats) {
    if let Some((wait, upstream)) = wait.zip(upstream) {
        stats.gateway_added.note(wait.saturating_sub(upstream));
    }
}

/// Whether a gateway that repeats requests at all may repeat one after such a failure: nothing of an answer has reached it.
fn may_be_retried(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::ConnectRefused
            | Cause::ConnectTimeout
            | Cause::ConnectReset
            | Cause::KeepaliveRace
            | Cause::StaleReuse
            | Cause::ClosedWithoutResponse
            | Cause::ResetWithoutResponse
    )
}

/// RFC 9110 section 9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE")
}

/// When the gateway closed on the upstream or turned to something else. What the upstream did after that is not waited for.
fn gave_up_at(view: &Attempt<'_>) -> Option<Moment> {
    let closed = view.gateway_close().map(|(moment, ..)| moment);
    closed.into_iter().chain(view.given.map(|given| given.at)).min()
}

/// A gateway that asks nobody answers within this span.
const AT_ONCE: Duration = Duration::from_millis(100);
/// Endpoints whose failures are counted.
const MOST_ENDPOINTS: usize = 512;
/// Failures that are remembered.
const MOST_FAILURES: usize = 256;
