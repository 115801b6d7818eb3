//! Which failed lookup an exchange waited for that was answered without an attempt: asked by its gateway, in its time, and
//! best if for a name that it bears.
//!
//! ```text
//!   downstream   request |-----------------------------| response
//!   lookup                |== query ===== answer ==|
//!                         ^ start slack                ^ end slack
//! ```
//!
//! Several exchanges may wait for one lookup: who shares it is no rival.

use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::cost::SHORTEST_PATIENCE;
use crate::correlate::fit::surprise;
use crate::correlate::index::LAST;
use crate::correlate::lookup::{LONGEST_WAIT, Lookup, Outcome};
use crate::correlate::{Correlator, Finding, Note, Pairing, Try};
use crate::event::Moment;
use crate::event::lookup::Told;

/// The lookup that an exchange waited for.
#[derive(Clone, Debug)]
pub struct Resolution<'a> {
    /// The lookup.
    pub lookup: &'a Lookup,
    /// What had come of it when the gateway answered.
    pub outcome: Outcome<'a>,
    /// How sure it is that the exchange waited for it.
    pub pairing: Pairing,
    /// Whether the name stands in the request, or led to an upstream of this gateway before.
    pub named: bool,
    /// Whether it is certain that the gateway asked, and nobody else on its host or behind the same address.
    pub own: bool,
    /// Whether it began before the exchange.
    pub shared: bool,
    /// The names of other lookups that fit as well.
    pub rivals: SmallVec<[&'a str; 2]>,
}

/// How a lookup stands in an exchange.
#[derive(Clone, Copy, Debug)]
struct Stand {
    cost: u32,
    named: bool,
    own: bool,
    shared: bool,
}

impl Correlator {
    /// The failed lookup that best explains why an exchange got an error without an attempt.
    pub(super) fn resolution(&self, front: &Exchange) -> Option<Resolution<'_>> {
        let given = given(front)?;
        let mut stands: SmallVec<[(Stand, &Lookup, Outcome<'_>); 4]> = SmallVec::new();
        for lookup in self.names.before(given) {
            if given.at.since(lookup.began.at) > LONGEST_WAIT {
                break;
            }
            let outcome = lookup.outcome(given);
            // Who asks anew waits for the new answer, and for the old one no longer.
            if matches!(outcome, Outcome::Silent(_)) && asked_again(self.names.before(given), lookup) {
                continue;
            }
            if let Some(stand) = self.stand(front, lookup, outcome, given) {
                stands.push((stand, lookup, outcome));
            }
        }
        stands.sort_by_key(|(stand, lookup, _)| (!stand.named, stand.cost, lookup.began));
        let (best, others) = stands.split_first()?;
        let (stand, lookup, outcome) = *best;
        let close = |other: &&(Stand, &Lookup, Outcome<'_>)| {
            other.0.cost < stand.cost + CLEAR && other.0.named == stand.named && other.1.name != lookup.name
        };
        let rivals: SmallVec<[&str; 2]> = others.iter().filter(close).map(|(_, other, _)| &*other.name).collect();
        let wanted = if stand.named { u32::MAX } else { self.wanted_elsewhere(front, lookup) };
        let pairing = if !rivals.is_empty() || wanted <= stand.cost {
            Pairing::Possible
        } else if wanted < stand.cost + CLEAR || stand.cost > TIGHT {
            Pairing::Likely
        } else {
            Pairing::Certain
        };
        let Stand { named, own, shared, .. } = stand;
        Some(Resolution { lookup, outcome, pairing, named, own, shared, rivals })
    }

    /// Whether an exchange may have failed since a name led nowhere, though a connection on which nothing was sent failed while that
    /// was looked up.
    pub(super) fn may_lack_a_name(&self, front: &Exchange, key: ExchangeKey) -> bool {
        let candidate = self.books.exchange(key).filter(|_| key.number == 0);
        let Some((candidate, given)) = candidate.zip(given(front)) else { return false };
        let began = self.began(candidate);
        let mut recent = self.names.before(given).take_while(|one| given.at.since(one.began.at) <= LONGEST_WAIT);
        recent.any(|lookup| {
            let outcome = lookup.outcome(given);
            outcome.at().is_some_and(|at| at.at >= began) && self.stand(front, lookup, outcome, given).is_some()
        })
    }

    /// How a lookup stands in an exchange; `None` where it cannot be what that waited for.
    fn stand(&self, front: &Exchange, lookup: &Lookup, outcome: Outcome<'_>, given: Moment) -> Option<Stand> {
        let decides = outcome.query()?;
        let own = self.asked_by(front, lookup)?;
        let ready = front.ready().at;
        let shared = lookup.began.at < front.started.at;
        let until = outcome.at();
        if until.is_some_and(|until| until < front.started) {
            return None;
        }
        // One that is repeated after the gateway has answered is not what it gave up on.
        let end = match outcome {
            Outcome::Silent(_) | Outcome::Rejected(_) => {
                let waited = given.at.since(lookup.began.at.max(front.started.at));
                let (_, last) = decides.put_by(given)?;
                if waited < SHORTEST_PATIENCE || front.started.at.since(last.at) > LONGEST_SILENCE {
                    return None;
                }
                UNRESOLVED
            }
            _ => surprise(given.at.since(until?.at)),
        };
        let start = if shared { SHARED } else { surprise(lookup.began.at.since(ready)) };
        let named = self.is_named(front, lookup) || self.is_named_by(front, &decides.name);
        let cost = start + end;
        (named || cost <= FARTHEST).then_some(Stand { cost, named, own, shared })
    }

    /// Whether a gateway may have asked: `true` where it is certain that the address is its own.
    fn asked_by(&self, front: &Exchange, lookup: &Lookup) -> Option<bool> {
        let (server, client) = (front.server.ip(), lookup.client.ip());
        if self.gateways.same(server, client) {
            return Some(true);
        }
        let host = self.gateways.is_local(server);
        if client.is_loopback() || lookup.local == Some(true) {
            // Programs of the capturing host: the gateway is one of them.
            return (host != Some(false)).then_some(host == Some(true));
        }
        let stranger = self.gateways.is_known(client) || client == front.client.ip() || lookup.local == Some(false);
        (host.is_none() && !stranger && !self.gateways.is_front(server)).then_some(false)
    }

    /// Whether the name of a lookup stands in an exchange's request.
    fn is_named(&self, front: &Exchange, lookup: &Lookup) -> bool {
        self.is_named_by(front, &lookup.name)
    }

    fn is_named_by(&self, front: &Exchange, name: &str) -> bool {
        let host = front.request.as_ref().and_then(|request| request.host());
        host.is_some_and(|host| {
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_end_matches('.');
            host.eq_ignore_ascii_case(name)
        })
    }

    /// The least cost at which another exchange of the gateway, which got an error without an attempt, may have waited for the
    /// lookup: not with it, but in its place. Who has a lookup that fits better of its own has no need of it.
    fn wanted_elsewhere(&self, front: &Exchange, lookup: &Lookup) -> u32 {
        let fronts = self.gateways.akin(front.hosts.server).each();
        let since = lookup.began.at - LONGEST_WAIT;
        let until = (lookup.last.at.max(lookup.began.at), LAST);
        let open = fronts.flat_map(|host| self.unsettled.between(host, since, until));
        let others = open.filter(|other| other.key != front.key && other.over >= lookup.began.at);
        others.filter_map(|other| self.cost_elsewhere(other.key, lookup)).min().unwrap_or(u32::MAX)
    }

    fn cost_elsewhere(&self, key: ExchangeKey, lookup: &Lookup) -> Option<u32> {
        let other = self.books.exchange(key).filter(|other| other.attempts.is_empty() && lacks(other))?;
        let given = given(other)?;
        let cost = |lookup: &Lookup| Some(self.stand(other, lookup, lookup.outcome(given), given)?.cost);
        let own = cost(lookup)?;
        let rest = self.names.before(given).take_while(|one| given.at.since(one.began.at) <= LONGEST_WAIT);
        let better = rest.filter(|one| !std::ptr::eq(*one, lookup)).filter_map(cost).any(|cost| cost < own);
        (!better).then_some(own)
    }

    /// A name server was asked, or answered.
    pub(super) fn take_lookup(&mut self, moment: Moment, told: Told, sink: &mut dyn FnMut(Finding<'_>)) {
        self.names.expire(self.now);
        let Some(lookup) = self.names.take(moment, told) else { return };
        let client = lookup.client.ip();
        if self.gateways.is_known(client) || self.gateways.is_local(client) == Some(true) || lookup.local == Some(true)
        {
            sink(Finding::Note(Note::Resolved { took: moment.at.since(lookup.began.at), at: moment.at }));
        }
    }

    /// The failed lookups for which the exchanges of a case waited that got an error without an attempt.
    pub(super) fn resolutions<'a>(
        &'a self,
        root: &Exchange,
        attempts: &[Try<'_>],
    ) -> SmallVec<[(ExchangeKey, Resolution<'a>); 1]> {
        if self.names.is_empty() {
            return SmallVec::new();
        }
        let outer = attempts.is_empty().then_some(root);
        let inner = attempts.iter().enumerate().filter(|(index, attempt)| {
            attempts.get(index + 1).is_none_or(|next| next.hop <= attempt.hop)
                && self.gateways.is_front(attempt.party.exchange.server.ip())
        });
        let inner = inner.map(|(_, attempt)| attempt.party.exchange);
        let lacking = outer.into_iter().chain(inner).filter(|exchange| exchange.key.number > 0 && lacks(exchange));
        lacking.filter_map(|exchange| Some((exchange.key, self.resolution(exchange)?))).collect()
    }
}

/// Whether the same was asked anew after a lookup, from the same address. `recent` are the latest ones first.
fn asked_again<'a>(recent: impl Iterator<Item = &'a Lookup>, lookup: &Lookup) -> bool {
    let mut later = recent.take_while(|later| later.began > lookup.began);
    later.any(|later| later.name == lookup.name && later.client.ip() == lookup.client.ip())
}

/// Whether an exchange got an error, or nothing at all.
fn lacks(exchange: &Exchange) -> bool {
    exchange.status().is_none_or(|status| status >= 500)
}

/// When an exchange's answer began, or its connection was closed without one.
fn given(exchange: &Exchange) -> Option<Moment> {
    exchange.response_start.as_ref().map(|start| start.moment).or(exchange.over)
}

/// Who has heard nothing asks again sooner than this, or has given up: 5 s is what resolvers wait by default.
const LONGEST_SILENCE: Duration = Duration::from_secs(11);
/// The cost of an end at which nothing came.
const UNRESOLVED: u32 = 1500;
/// The cost of a beginning before the exchange.
const SHARED: u32 = 3500;
/// The cost up to which both ends fit closely: a few milliseconds in all.
const TIGHT: u32 = 7000;
/// The cost beyond which time alone says nothing.
const FARTHEST: u32 = 12_000;
/// The difference that makes a lookup clearly better than the next.
const CLEAR: u32 = 2500;
