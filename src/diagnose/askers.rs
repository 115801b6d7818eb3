//! Who sends the requests of which only the upstream's leg is visible: learned from the requests themselves, and for a
//! connection that never got as far as a request, from what else comes from there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

use crate::correlate::{Case, Role};
use crate::diagnose::Diagnoser;
use crate::diagnose::cause::Phase;
use crate::diagnose::evidence::{Attempt, Verdict, span};
use crate::diagnose::product::{self, Asker, Product};
use crate::event::{Endpoint, Moment, Request};

/// What was learned of those who ask.
#[derive(Debug, Default)]
pub(super) struct Askers {
    /// By the address from which a request came; `None` where several kinds share it.
    addresses: HashMap<IpAddr, Option<Asker>>,
    /// By the endpoint that was asked: a balancer has many addresses, an endpoint mostly one kind of gateway before it.
    endpoints: HashMap<Endpoint, Option<Asker>>,
    /// Addresses of each product, the first ones.
    seen: BTreeMap<Product, (&'static str, BTreeSet<IpAddr>)>,
}

impl Askers {
    /// Learns from a request that was sent for somebody else.
    pub(super) fn note(&mut self, case: &Case<'_>) {
        let exchange = case.root.exchange;
        if let Some(request) = exchange.request.as_ref().filter(|_| case.role == Role::Upstream) {
            self.note_request(request, exchange.client.ip(), exchange.server, is_local(case));
        }
    }

    /// The same of the request alone, with who sent it where, and whether from the same host.
    pub(super) fn note_request(&mut self, request: &Request, client: IpAddr, server: Endpoint, at_home: bool) {
        let found = product::asker(request, at_home);
        if found.is_none() && !request.forwarded {
            return;
        }
        learn(&mut self.addresses, client, found);
        learn(&mut self.endpoints, server, found);
        if let Some(found) = found {
            let (_, addresses) = self.seen.entry(found.product).or_insert_with(|| (found.evidence, BTreeSet::new()));
            if addresses.len() < MOST_SEEN {
                addresses.insert(client);
            }
        }
    }

    /// Who asked: by the request, or else by what came from the same address or went to the same endpoint.
    pub(super) fn of(&self, case: &Case<'_>) -> Option<Asker> {
        let exchange = case.root.exchange;
        if let Some(request) = exchange.request.as_ref() {
            return product::asker(request, is_local(case));
        }
        let known = self.addresses.get(&exchange.client.ip()).or_else(|| self.endpoints.get(&exchange.server));
        known.copied().flatten()
    }

    /// Whether a request came from an address.
    pub(super) fn has_asked(&self, address: IpAddr) -> bool {
        self.addresses.contains_key(&address)
    }

    /// Whether an endpoint is asked by recognised gateways: what connects to it does so for their clients.
    pub(super) fn stand_before(&self, endpoint: Endpoint) -> bool {
        self.endpoints.get(&endpoint).is_some_and(Option::is_some)
    }

    /// The products that were recognised, by what, and their addresses.
    pub(super) fn all(&self) -> impl Iterator<Item = (Product, &'static str, &BTreeSet<IpAddr>)> {
        self.seen.iter().map(|(product, (evidence, addresses))| (*product, *evidence, addresses))
    }
}

/// Whether a request came from the upstream's own host.
fn is_local(case: &Case<'_>) -> bool {
    case.gateways.is_at_home(case.root.exchange.client.ip(), case.root.exchange.server.ip())
}

fn learn<K: std::hash::Hash + Eq>(known: &mut HashMap<K, Option<Asker>>, key: K, found: Option<Asker>) {
    if known.len() < MOST_KNOWN || known.contains_key(&key) {
        let before = known.entry(key).or_insert(found);
        if *before != found {
            *before = None;
        }
    }
}

/// Addresses, and endpoints, of which it is remembered who is there.
const MOST_KNOWN: usize = 4096;
/// Addresses of a product that are named.
const MOST_SEEN: usize = 16;

impl Diagnoser {
    /// Who asked an upstream: by its requests, or by what it was seen to answer elsewhere.
    pub(super) fn asker(&self, case: &Case<'_>) -> Option<Asker> {
        let answering = || {
            let product = self.products.only(case.root.exchange.client.ip(), case.gateways)?;
            Some(Asker { product, generation: None, evidence: "its own answers" })
        };
        self.askers.of(case).or_else(answering)
    }

    /// Takes a case for what it is where only one of its legs is in the capture: the client's, or an origin's.
    pub fn take_stand(&mut self, case: &mut Case<'_>) {
        if self.is_view_from_client(case) {
            (case.role, case.upstream_visible) = (Role::Downstream, false);
        } else if self.is_view_from_origin(case) {
            case.role = Role::Upstream;
        }
    }

    /// Whether a connection that failed before any request was one of a gateway that is known by the requests that it, or its
    /// like, sent there.
    fn is_view_from_origin(&self, case: &Case<'_>) -> bool {
        let exchange = case.root.exchange;
        case.role == Role::Downstream
            && exchange.key.number == 0
            && !case.gateways.is_front(exchange.server.ip())
            && self.askers.stand_before(exchange.server)
    }

    /// The managed gateways that were recognised by their requests: each with its sign, and addresses of it.
    pub fn managed(&self) -> impl Iterator<Item = (Product, &'static str, &BTreeSet<IpAddr>)> {
        self.askers.all()
    }
}

/// Says how the time that a gateway waited compares with the product's own, where it gave up.
pub(super) fn note_patience(asker: &Asker, view: &Attempt<'_>, verdict: &mut Verdict) {
    let Some((usual, timer)) = product::patience(asker.product, verdict.cause) else { return };
    let ended = view.gateway_close().map(|(moment, ..)| moment);
    let in_time = |last: &Moment| ended.is_some_and(|ended| *last < ended);
    let began = if verdict.cause.phase() == Phase::Connect {
        view.conversation.opened
    } else {
        view.exchange.last_response.filter(in_time).unwrap_or(view.request_sent())
    };
    let name = asker.name();
    let waited = ended.map(|ended| ended.at.since(began.at)).filter(|_| view.gateway_closed_first());
    let about = |waited: Duration| waited + NEAR >= usual && waited <= usual + NEAR;
    match waited {
        Some(waited) if about(waited) => {
            verdict.summary.push_str(&format!(", when {timer} was over ({} as shipped)", span(usual)));
        }
        Some(waited) if waited < usual => verdict.not_known.push(format!(
            "why {name} gave up after {}: as shipped it waits for {} ({timer}); that was changed, or its client left",
            span(waited),
            span(usual)
        )),
        _ => verdict.not_known.push(format!("when {name} gives up: as shipped after {} ({timer})", span(usual))),
    }
}

/// Timers fire within this span of what they are set to.
const NEAR: Duration = Duration::from_secs(1);
