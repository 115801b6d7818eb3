//! From cases to incidents: each attempt is judged by the rules of its phase, the case by what the client saw.

pub mod advice;
mod askers;
mod attempts;
pub mod cause;
mod compose;
pub mod connect;
mod cut;
mod departure;
pub mod differ;
pub mod endpoints;
pub mod episode;
pub mod evidence;
pub mod explain;
mod fastcgi;
pub mod http2;
mod idle;
pub mod incident;
mod inside;
mod instants;
mod ladder;
pub mod local;
mod neighbour;
pub mod no_answer;
pub mod path;
mod patience;
mod pools;
mod preview;
mod probes;
pub mod product;
mod recognition;
mod refused;
mod remember;
pub mod request;
pub mod resolve;
pub mod response;
mod served;
mod shared;
mod spoken;
pub mod tls;
mod veiled;
mod verdicts;
pub mod warning;
mod whole;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

use crate::correlate::gateway::Gateways;
use crate::correlate::{Case, ClosedIdle, Pairing, Party, Responded, Role, Try};
use crate::diagnose::askers::Askers;
use crate::diagnose::cause::Cause;
use crate::diagnose::compose::{Judged, compose};
use crate::diagnose::endpoints::Endpoints;
use crate::diagnose::evidence::Verdict;
use crate::diagnose::incident::{Grade, Incident, Kind};
use crate::diagnose::instants::Instants;
use crate::diagnose::local::Failure;
use crate::diagnose::patience::Patience;
use crate::diagnose::pools::Pools;
use crate::diagnose::product::Recognition;
use crate::diagnose::recognition::Products;
use crate::diagnose::verdicts::{judge_attempt, take_verdict};
use crate::event::{Endpoint, Moment, Side};
use crate::stats::{Stats, Taken};
use crate::time::Timestamp;

/// What the diagnosis is asked for.
#[derive(Clone, Debug)]
pub struct Question {
    /// Statuses to explain.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Only what matches the focus.
    pub focused: bool,
}

impl Default for Question {
    fn default() -> Self {
        Self { statuses: vec![500..=500, 502..=504, 520..=530], focused: false }
    }
}

/// The diagnosis: what it remembers between cases.
#[derive(Debug)]
pub struct Diagnoser {
    question: Question,
    products: Products,
    askers: Askers,
    patience: Patience,
    failures: VecDeque<(IpAddr, Failure)>,
    pools: Pools,
    idle: idle::IdleCloses,
    /// When endpoints accepted connections.
    accepted: HashMap<Endpoint, Instants>,
    /// When octets went by that the capture does not hold.
    missed: Instants,
    /// What endpoints were seen to speak.
    endpoints: Endpoints,
    /// Endpoints at which gateways were seen to answer clients, without an upstream leg.
    answering: HashSet<Endpoint>,
    waits: local::SilentWaits,
    lone: probes::LoneRequests,
    failed: HashMap<Endpoint, BTreeMap<Cause, u64>>,
    /// Lookups that failed for requests.
    remembered: VecDeque<resolve::Remembered>,
    /// Targets of requests are cut off in this capture.
    cut_targets: bool,
    /// Incidents for which there was no room.
    pub beyond: u64,
    /// Connections that a gateway opened and never used.
    pub unused_connections: u64,
    /// Remarks on exchanges that succeeded: text and count.
    pub remarks: BTreeMap<String, u64>,
}

impl Diagnoser {
    /// A diagnosis that answers `question`.
    #[must_use]
    pub fn new(question: Question) -> Self {
        Self {
            question,
            products: Products::default(),
            askers: Askers::default(),
            patience: Patience::default(),
            failures: VecDeque::new(),
            pools: Pools::default(),
            idle: idle::IdleCloses::default(),
            accepted: HashMap::new(),
            missed: Instants::default(),
            endpoints: Endpoints::default(),
            answering: HashSet::new(),
            waits: local::SilentWaits::default(),
            lone: probes::LoneRequests::default(),
            failed: HashMap::new(),
            remembered: VecDeque::new(),
            cut_targets: false,
            beyond: 0,
            unused_connections: 0,
            remarks: BTreeMap::new(),
        }
    }

    /// The product that was recognised at an address of a gateway; the clearest one, where there are several.
    #[must_use]
    pub fn product(&self, address: IpAddr, gateways: &Gateways) -> Option<&Recognition> {
        self.products.clearest(address, gateways)
    }

    /// How many attempts at an endpoint failed, by cause.
    #[must_use]
    pub fn failed(&self, upstream: Endpoint) -> BTreeMap<Cause, u64> {
        self.failed.get(&upstream).cloned().unwrap_or_default()
    }

    /// An endpoint accepted a connection.
    pub fn accepted(&mut self, endpoint: Endpoint, moment: Moment) {
        if self.accepted.len() < 65_536 || self.accepted.contains_key(&endpoint) {
            self.accepted.entry(endpoint).or_default().note(moment.at);
        }
    }

    /// A server closed an idle connection.
    pub fn closed_idle(&mut self, ClosedIdle { client, server, idle, at, by_fin }: ClosedIdle, stats: &mut Stats) {
        if by_fin {
            stats.idle_close(server, idle, at.at);
        }
        self.idle.note(at, client, server);
    }

    /// Octets went by that the capture does not hold.
    pub fn missed(&mut self, moment: Moment) {
        self.missed.note(moment.at);
    }

    /// An endpoint sent a response, in clear or inside of TLS.
    pub fn responded(&mut self, endpoint: Endpoint, how: Responded) {
        self.endpoints.responded(endpoint, how);
    }

    /// An endpoint answered a ClientHello that asked for a host, or for none.
    pub fn secured(&mut self, endpoint: Endpoint, host: Option<&str>) {
        self.endpoints.secured(endpoint, host);
    }

    /// Judges a case. `None` where nothing failed, or it is not asked for.
    pub fn judge(&mut self, case: &Case<'_>, stats: &mut Stats) -> Option<Incident> {
        let asked = self.is_asked_for(case);
        self.products.recognise(case);
        self.askers.note(case);
        self.cut_targets |= cut::has_cut_target(case.root.exchange);
        match case.role {
            Role::Upstream => self.judge_lone_attempt(case, stats).filter(|_| asked),
            Role::Downstream if case.root.exchange.key.number == 0 => {
                if let Some(remark) = tls::remark(case.root.conversation).filter(|_| asked) {
                    self.remark(remark);
                }
                None
            }
            Role::Downstream => self.judge_downstream(case, Some(stats)).filter(|_| asked),
        }
    }

    fn is_asked_for(&self, case: &Case<'_>) -> bool {
        !self.question.focused
            || case.root.conversation.is_focused()
            || case.attempts.iter().any(|attempt| attempt.party.conversation.is_focused())
    }

    /// Without `stats` nothing is learned.
    fn judge_downstream(&mut self, case: &Case<'_>, mut stats: Option<&mut Stats>) -> Option<Incident> {
        let root = case.gateways.root(case.root.exchange.server.ip());
        let exchange = case.root.exchange;
        if exchange.veiled.is_some() {
            return self.judge_veiled(case, stats);
        }
        let given = evidence::given(case)?;
        let mut judged = self.judge_attempts(case, Some(given));
        let error = exchange.status().is_some_and(|status| self.is_asked(status));
        let no_answer = exchange.status().is_none() && !exchange.is_answered();
        if let Some(mut verdict) = departure::judge(case, &judged, given, stats.as_deref()) {
            if case.root.conversation.reset(Side::Client).is_none() {
                // A client that merely stopped sending may have had its answer.
                self.doubt_absence(&mut verdict, exchange.started.at, given.at.at);
            }
            let failed = judged.iter().filter(|judged| verdicts::failed_by_itself(judged));
            if let Some(before) = failed.filter_map(|judged| judged.verdict.as_ref()).next_back() {
                verdict
                    .lower(Grade::Consistent, "whether the client would have stayed if no attempt had failed before");
                verdict = verdict.or_else(Some(before.cause), format!("an attempt had failed before: {}", before.why));
            }
            for judged in &mut judged {
                // What the gateway ended because its client had left is no failure of the upstream.
                if judged.view.given.is_some_and(|given| !given.retried) {
                    judged.verdict = None;
                }
            }
            if let Some(stats) = stats {
                self.note_attempts(case, &judged, stats);
            }
            return (exchange.request_head.is_some()).then(|| self.incident(Kind::ClientAbort, case, judged, verdict));
        }
        if let Some(stats) = stats.as_deref_mut() {
            self.note_attempts(case, &judged, stats);
        }
        verdicts::leave_out_foreign(&mut judged, |upstream| self.pools.is_foreign(exchange, upstream));
        if let Some(stats) = stats.as_deref_mut() {
            self.learn_pools(case, &judged);
            if let Some(wait) = exchange.wait() {
                if error { stats.failed_wait.note(wait) } else { stats.client_wait.note(wait) }
            }
        }
        let kind = if error || (no_answer && local::closed_without_answer(case)) {
            Kind::GatewayError
        } else if no_answer {
            return None;
        } else if !given.whole && exchange.response_end.is_some_and(|end| end.how == crate::event::Ending::Truncated) {
            Kind::BrokenSuccess
        } else if let Some(last) = judged.iter().rev().find(|judged| judged.attempt.hop == 0) {
            let is_error = exchange.status().is_some_and(|status| status >= 400);
            match last.verdict {
                Some(_) if is_error => return None,
                Some(_) => Kind::BrokenSuccess,
                // Nobody was served by an error that is the gateway's own.
                None if is_error && last.view.exchange.status() != exchange.status() => return None,
                None => Kind::Masked,
            }
        } else {
            return None;
        };
        for judged in judged.iter().filter(|_| stats.is_some()) {
            if let Some(remark) = response::remark(&judged.view).filter(|_| judged.verdict.is_none()) {
                self.remark(remark);
            }
        }
        // A request was in flight, and it was the gateway that let go of it; a connection that never opened says nothing.
        // Nor does one whose answer the gateway could not take.
        let gateway_first = judged
            .last()
            .map(|last| last.attempt.party.exchange)
            .is_none_or(|last| last.key.number > 0 && last.defect.is_none())
            && judged.iter().all(|judged| judged.view.server_close().is_none() || judged.view.gateway_closed_first())
            && local::may_have_died(case, &judged, local::let_go(case, given.at));
        let verdict = match kind {
            Kind::GatewayError | Kind::BrokenSuccess if case.closed_with_it >= 2 && gateway_first => {
                local::crash(case, local::let_go(case, given.at), case.closed_with_it)
            }
            // Whose the failed attempt was is a guess, and nobody saw it fail.
            Kind::Masked if self.cut_targets && cut::is_guess(case, &judged) => return None,
            Kind::Masked if verdicts::looks_in_order(&judged) => return None,
            Kind::Masked => match take_verdict(&mut judged, false) {
                Some(verdict) => verdict,
                None => {
                    let asked = !self.question.focused || case.root.conversation.is_focused();
                    if let Some((wait, verdict)) = local::silent_wait(case).filter(|_| asked && stats.is_some()) {
                        let incident = self.incident(Kind::Masked, case, judged, verdict);
                        self.waits.keep(root, wait, incident);
                    }
                    return None;
                }
            },
            _ => match take_verdict(&mut judged, true) {
                Some(verdict) => verdict,
                None if case.attempts.is_empty() => {
                    let mut verdict = self.without_attempt(case, root);
                    self.doubt_absence(&mut verdict, exchange.started.at, given.at.at);
                    verdict
                }
                None => local::unknown(case),
            },
        };
        let verdict = spoken::weigh(case, verdict);
        self.remember_lookup(case, &verdict);
        let verdict = departure::doubt(given, &judged, verdict);
        let verdict = if kind == Kind::Masked { verdict } else { verdicts::doubt_twin(case, verdict) };
        Some(self.incident(kind, case, judged, verdict))
    }

    fn remark(&mut self, remark: String) {
        if self.remarks.len() < MOST_REMARKS || self.remarks.contains_key(&remark) {
            *self.remarks.entry(remark).or_default() += 1;
        }
    }

    /// The error that was passed on came from a gateway whose other attempts are in the capture, and for this one it made none.
    fn answered_by_itself<'a>(&self, case: &Case<'a>, attempt: Try<'a>) -> Option<Verdict> {
        let server = attempt.party.exchange.server.ip();
        let own_answer = attempt.party.exchange.response.as_ref().is_some_and(product::is_own_page);
        if !case.gateways.is_front(server) || !own_answer {
            return None;
        }
        let inner = Case {
            root: attempt.party,
            role: Role::Downstream,
            attempts: smallvec::SmallVec::new(),
            beside: smallvec::SmallVec::new(),
            upstream_visible: true,
            closed_with_it: 0,
            upstream_opaque: case.upstream_opaque,
            partial: case.partial,
            gateways: case.gateways,
            names: case.names,
            neighbours: case.neighbours,
            resolutions: case.resolutions.clone(),
        };
        Some(self.without_attempt(&inner, case.gateways.root(server)))
    }

    fn without_attempt(&self, case: &Case<'_>, root: IpAddr) -> Verdict {
        if let Some(verdict) = resolve::or_link(case) {
            return verdict;
        }
        if let Some(verdict) = self.idle.judge(case).filter(|_| case.upstream_visible) {
            return verdict;
        }
        let product = self.products.at(case.root.exchange.server, case.gateways);
        let hold_down = product.map_or(Duration::from_secs(10), product::hold_down);
        let counts = |failure: &Failure| product::turns_away(product, failure.cause, failure.probe);
        let own = self.failures.iter().filter(|(gateway, failure)| *gateway == root && counts(failure));
        let recent: Vec<Failure> = own.map(|(_, failure)| *failure).collect();
        let asked = case.root.exchange;
        let at = asked.response_start.as_ref().map(|start| start.moment).or(asked.over).unwrap_or(asked.started);
        let outage = self.pools.outage(asked, &recent, hold_down, at.at);
        if let Some(verdict) = shared::judge(case, &outage).filter(|_| case.upstream_visible && !case.partial) {
            return verdict;
        }
        let mut verdict = local::nothing_sent(case, &outage, hold_down);
        if case.upstream_visible && verdict.grade == Grade::Undetermined {
            verdict = self.without_name(case, at, product, verdict);
        }
        if !case.upstream_visible {
            // Who answers may be the origin itself: then its own leg tells what happened.
            let own = Try { party: case.root, pairing: Pairing::Certain, hop: 0 };
            if let Some(direct) = judge_attempt(&self.view(case, own, None, None)) {
                let server = case.root.exchange.server;
                verdict = verdict
                    .or_else(Some(direct.cause), format!("if {server} is no gateway but the origin: {}", direct.why));
            }
        }
        verdict
    }

    /// What was held back for long enough by `now`: requests of a gateway without a client's request, which may be health probes
    /// yet, for all that was seen of them.
    pub fn overdue(&mut self, now: Timestamp) -> Vec<Incident> {
        self.lone.overdue(now)
    }

    /// What can be told only at the end: requests of a gateway that nobody asked it for and that are no health probes, and
    /// exchanges that were served after a silence as long as the gateway's connection time-outs.
    pub fn late_incidents(&mut self, stats: &mut Stats) -> Vec<Incident> {
        let sifted = std::mem::take(&mut self.lone).sift();
        for asked in &sifted.asked {
            if asked.probe {
                stats.probes(asked.upstream, asked.sent, asked.failed.values().sum());
                continue;
            }
            asked.taken.iter().for_each(|taken| stats.take(asked.upstream, taken));
            asked.failed.iter().for_each(|(cause, n)| self.count_failed(asked.upstream, *cause, *n));
        }
        self.beyond += sifted.beyond;
        let mut incidents = sifted.incidents;
        incidents.extend(self.silent_waits());
        incidents
    }

    fn silent_waits(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.waits).incidents()
    }

    /// A request of a gateway whose downstream exchange is not visible; or a health probe.
    fn judge_lone_attempt(&mut self, case: &Case<'_>, stats: &mut Stats) -> Option<Incident> {
        let Party { exchange, conversation } = case.root;
        let known = case.gateways.is_front(case.gateways.root(exchange.client.ip()))
            || case.gateways.is_known(exchange.client.ip());
        let probe = exchange.request.as_ref().is_some_and(|request| product::probe(request).is_some());
        let attempt = Try { party: case.root, pairing: Pairing::Certain, hop: 0 };
        let asker = self.asker(case);
        let view = self.view(case, attempt, None, asker.map(|asker| asker.product));
        let verdict = attempts::judge_lone(case, &view);
        if exchange.key.number == 0 && verdict.is_none() {
            self.unused_connections += 1;
            return None;
        }
        let bare = exchange.key.number == 0;
        if bare && (known && conversation.opaque.is_some() || verdict.as_ref().is_some_and(tls::may_be_check)) {
            // It carried something, and nothing tells what it was for.
            return None;
        }
        let unheard = exchange.key.number > 0 && exchange.request_head.is_none();
        let root = case.gateways.root(exchange.client.ip());
        if probe {
            stats.probes(exchange.server, 1, u64::from(verdict.is_some()));
            if let Some(verdict) = &verdict {
                self.note_failure(root, exchange, verdict, exchange.over.unwrap_or(exchange.started), true);
            } else {
                self.pools.served(exchange.place, exchange.server, exchange.started.at);
            }
            return None;
        }
        let taken = Taken::of(exchange, conversation, verdict.is_some());
        // That a connection cannot be read is no failure; nor did a client leave where all are visible, and none waited for this.
        let is_none = |cause| cause == Cause::Unknown || known && cause == Cause::ClientAbort;
        let verdict = verdict.filter(|verdict| !unheard && !is_none(verdict.cause));
        let cause = verdict.as_ref().map(|verdict| verdict.cause);
        if !self.lone.note(&probes::Sent::of(case), known, taken, cause) {
            stats.take(exchange.server, &taken);
            cause.into_iter().for_each(|cause| self.count_failed(exchange.server, cause, 1));
        }
        let verdict = verdict?;
        let mut verdict = if known { verdict } else { self.patience.weigh(root, &view, verdict) };
        if known && exchange.key.number == 0 {
            // A failed connection alone does not tell whether anybody waited for it.
            self.note_failure(root, exchange, &verdict, exchange.over.unwrap_or(exchange.started), true);
            return None;
        }
        if known {
            verdict.lower(
                Grade::Consistent,
                "which client's request this was for: this gateway's downstream leg is in the capture, and none fits",
            );
        }
        // A request of a gateway whose clients are in the capture, and that none of them asked for, most likely is a probe.
        self.note_failure(root, exchange, &verdict, exchange.over.unwrap_or(exchange.started), known);
        if exchange.request.is_none() && asker.is_some() && !self.askers.has_asked(exchange.client.ip()) {
            verdict.lower(Grade::Consistent, "who tried to connect: no request came from that address");
        }
        if let Some(asker) = &asker {
            askers::note_patience(asker, &view, &mut verdict);
        }
        // The upstream's own error is worth a report only as what its client most likely got.
        let judged = vec![Judged { attempt, view, verdict: Some(verdict.clone()) }];
        let kind = if verdict.cause == Cause::ClientAbort { Kind::ClientAbort } else { Kind::UpstreamFailure };
        let incident = self.incident(kind, case, judged, verdict);
        self.lone.hold(case, incident);
        None
    }

    fn is_asked(&self, status: u16) -> bool {
        self.question.statuses.iter().any(|range| range.contains(&status))
    }

    fn incident(&self, kind: Kind, case: &Case<'_>, judged: Vec<Judged<'_>>, verdict: Verdict) -> Incident {
        let at = |front: Endpoint| self.products.at(front, case.gateways);
        let responder = at(case.root.exchange.server);
        let asker = self.asker(case).filter(|_| case.role == Role::Upstream);
        let met = match case.role {
            Role::Downstream => at(compose::met_by(case, &judged, &verdict)),
            Role::Upstream => asker.map(|asker| asker.product),
        };
        compose(kind, case, judged, verdict, (responder, met, asker))
    }
}

/// Remarks that are counted, each by its text.
const MOST_REMARKS: usize = 256;
