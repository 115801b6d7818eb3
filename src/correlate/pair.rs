//! Which attempt was made for which downstream exchange.
//!
//! By identifier: a value that stands on both legs and on few other open requests. By time, for what has none: the
//! attempts of one exchange form a chain, and its links are short.
//!
//! ```text
//!   downstream   request |----------------------------------------| response
//!   attempts              |== first ==|x |======= second =========|
//!                         ^ start slack                           ^ end slack
//! ```
//!
//! A candidate that fits another unsettled exchange better is left to that one.

use std::time::Duration;

use smallvec::SmallVec;

use crate::correlate::conversation::{Conversation, Exchange, ExchangeKey};
use crate::correlate::marks::{of_client, shared};
use crate::correlate::{Correlator, Pairing};
use crate::event::{Moment, Side};
use crate::time::Timestamp;

/// A candidate's fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    slack: Duration,
    key: ExchangeKey,
}

/// The part of a downstream exchange's time that no attempt accounts for.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: Timestamp,
    until: Timestamp,
    /// The attempt in it led to the response, not to another attempt.
    last: bool,
}

impl Correlator {
    /// Finds the downstream exchange of a request that was just seen by what stands on both, and notes it.
    pub(super) fn identify(&mut self, key: ExchangeKey) {
        let Some((parent, front, back)) = self.identified_parent(key) else { return };
        self.gateways.join(front, back);
        self.adopt(parent, key, true);
    }

    fn identified_parent(&self, key: ExchangeKey) -> Option<(ExchangeKey, std::net::IpAddr, std::net::IpAddr)> {
        let attempt = self.exchanges.get(&key)?;
        let request = attempt.request.as_ref()?;
        let speaks_for = self.conversations.get(&key.connection).and_then(|conversation| conversation.speaks_for);
        let forwarded = request.forwarded_for.and_then(|client| Some((client.address, client.port?).into()));
        let marks = request.marks.iter().copied().chain(speaks_for.or(forwarded).map(of_client));
        let mut weights: SmallVec<[(ExchangeKey, f64); 8]> = SmallVec::new();
        for mark in marks {
            let bearers: SmallVec<[&Exchange; 4]> =
                self.marks.bearers(mark).iter().filter_map(|bearer| self.possible_parent(*bearer, attempt)).collect();
            if bearers.len() > RARE {
                continue;
            }
            for bearer in &bearers {
                let weight = 1.0 / bearers.len() as f64;
                match weights.iter_mut().find(|(known, _)| *known == bearer.key) {
                    Some((_, sum)) => *sum += weight,
                    None => weights.push((bearer.key, weight)),
                }
            }
        }
        let (best, weight) = weights.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
        let rivals = weights.iter().filter(|(rival, sum)| *rival != best && *sum + 0.25 > weight).count();
        if rivals > 0 || weight < 0.5 {
            return None;
        }
        let parent = self.exchanges.get(&best)?;
        Some((best, parent.server.ip(), attempt.client.ip()))
    }

    /// Whether an open exchange may have given rise to an attempt that bears the same mark.
    fn possible_parent(&self, key: ExchangeKey, attempt: &Exchange) -> Option<&Exchange> {
        let parent = self.exchanges.get(&key)?;
        let same_host = self.gateways.same(parent.server.ip(), attempt.client.ip());
        // One client that asks two servers is no gateway.
        let siblings = parent.client.ip() == attempt.client.ip() && parent.server.ip() != attempt.client.ip();
        let itself = parent.key.connection == attempt.key.connection || parent.server == attempt.server;
        // An exchange whose own attempt is still under way has its gateway waiting; what bears its marks belongs deeper.
        let waiting = parent.attempts.last().is_some_and(|last| {
            self.exchanges.get(last).is_some_and(|running| running.over.is_none() && running.request.is_some())
        });
        let late = parent.over.is_some() || parent.started.at > attempt.started.at;
        (!late && !siblings && !itself && !waiting && (same_host || !self.gateways.is_known(parent.server.ip())))
            .then_some(parent.as_ref())
    }

    fn adopt(&mut self, parent: ExchangeKey, key: ExchangeKey, identified: bool) {
        let Some(attempt) = self.exchanges.get_mut(&key) else { return };
        attempt.parent = Some(parent);
        attempt.identified = identified;
        self.orphans.remove(&(attempt.started.at, key));
        if let Some(parent) = self.exchanges.get_mut(&parent) {
            parent.attempts.push(key);
        }
    }

    /// The attempts of an exchange that settles, in the order of time: the identified ones, and what fits in between.
    pub(super) fn attempts_of(&mut self, key: ExchangeKey) -> Vec<(ExchangeKey, Pairing)> {
        let Some(front) = self.exchanges.get(&key) else { return Vec::new() };
        let mut attempts: Vec<(ExchangeKey, Pairing)> =
            front.attempts.iter().filter(|a| self.exchanges.contains_key(*a)).map(|a| (*a, Pairing::Certain)).collect();
        for _ in 0..MOST_ATTEMPTS {
            let Some((fit, pairing)) = self.next_fit(key, &attempts) else { break };
            if pairing >= Pairing::Likely
                && let (Some(front), Some(back)) = (self.exchanges.get(&key), self.exchanges.get(&fit))
            {
                let (front, back) = (front.server.ip(), back.client.ip());
                self.gateways.join(front, back);
            }
            self.adopt(key, fit, false);
            attempts.push((fit, pairing));
            attempts.sort_by_key(|(attempt, _)| self.exchanges.get(attempt).map(|attempt| attempt.started.at));
        }
        attempts
    }

    /// The best candidate for a stretch of the exchange that no attempt accounts for yet.
    fn next_fit(&self, key: ExchangeKey, attempts: &[(ExchangeKey, Pairing)]) -> Option<(ExchangeKey, Pairing)> {
        let front = self.exchanges.get(&key)?;
        let windows = self.windows(front, attempts);
        windows.into_iter().rev().find_map(|window| self.best_fit(front, window))
    }

    /// The stretches before, between and after the attempts.
    fn windows(&self, front: &Exchange, attempts: &[(ExchangeKey, Pairing)]) -> SmallVec<[Window; 4]> {
        let end = front.response_start.as_ref().map(|start| start.moment).or(front.over).map_or(self.now, |m| m.at);
        let mut windows: SmallVec<[Window; 4]> = SmallVec::new();
        let mut from = if front.request.is_some() { front.started.at } else { end - UNSEEN_REQUEST };
        for (attempt, _) in attempts {
            let Some(attempt) = self.exchanges.get(attempt) else { continue };
            windows.push(Window { from, until: self.began(attempt), last: false });
            from = self.outcome(attempt, end).map_or(end, |moment| moment.at);
            if attempt.is_answered() && attempt.status() == front.status() {
                from = end;
            }
        }
        windows.push(Window { from, until: end, last: true });
        windows.retain(|window| window.until.since(window.from) > SHORTEST_WINDOW);
        windows
    }

    fn best_fit(&self, front: &Exchange, window: Window) -> Option<(ExchangeKey, Pairing)> {
        let from = (window.from - CLOCK_SLACK, ExchangeKey { connection: crate::event::ConnectionId(0), number: 0 });
        let until = (window.until, ExchangeKey { connection: crate::event::ConnectionId(u64::MAX), number: u32::MAX });
        let mut fits: SmallVec<[Fit; 8]> = SmallVec::new();
        for (_, key) in self.orphans.range(from..=until) {
            let Some(candidate) = self.exchanges.get(key) else { continue };
            if let Some(slack) = self.slack(front, candidate, window) {
                fits.push(Fit { slack, key: *key });
            }
        }
        fits.sort_unstable();
        let best = *fits.first()?;
        let rivals = self.rivals(front, best);
        if rivals.iter().any(|slack| *slack < best.slack) {
            return None;
        }
        let alternatives = fits.get(1).map(|fit| fit.slack).into_iter().chain(rivals).min();
        let pairing = match alternatives {
            None => Pairing::Certain,
            Some(slack) if slack > best.slack * 4 + Duration::from_micros(500) => Pairing::Likely,
            Some(_) => Pairing::Possible,
        };
        Some((best.key, pairing))
    }

    /// How well a candidate fits other unsettled exchanges that lack an attempt.
    fn rivals(&self, front: &Exchange, best: Fit) -> SmallVec<[Duration; 4]> {
        let Some(candidate) = self.exchanges.get(&best.key) else { return SmallVec::new() };
        let until = (candidate.started.at + CLOCK_SLACK, best.key);
        let since = (candidate.started.at - LONGEST_EXCHANGE, best.key);
        let rivals = self.unsettled.range(since..=until).rev().filter(|(_, key)| *key != front.key);
        rivals
            .filter_map(|(_, key)| {
                let rival = self.exchanges.get(key)?;
                if rival.attempts.iter().any(|attempt| self.exchanges.get(attempt).is_some_and(|a| a.identified)) {
                    return None;
                }
                let end = rival.response_start.as_ref().map(|start| start.moment).or(rival.over);
                let until = end.map_or(self.now, |moment| moment.at);
                self.slack(rival, candidate, Window { from: rival.started.at, until, last: true })
            })
            .take(16)
            .collect()
    }

    /// How far a candidate is from filling a window; `None` where it cannot belong there.
    fn slack(&self, front: &Exchange, candidate: &Exchange, window: Window) -> Option<Duration> {
        let began = self.began(candidate);
        let itself = candidate.key.connection == front.key.connection
            || candidate.server == front.server
            || began + CLOCK_SLACK < window.from
            || began > window.until;
        if itself || !self.gateways.same(front.server.ip(), candidate.client.ip()) {
            return None;
        }
        let mut penalty = Duration::ZERO;
        if let (Some(wanted), Some(sent)) = (&front.request, &candidate.request) {
            if wanted.method != sent.method {
                return None;
            }
            match (wanted.content_length, sent.content_length) {
                (Some(wanted), Some(sent)) if wanted != sent => return None,
                _ => {}
            }
            if wanted.target.len() != sent.target.len() {
                penalty += Duration::from_millis(1);
            }
            if !shared(wanted, sent) {
                penalty += Duration::from_millis(1);
            }
        }
        if candidate.is_answered() && window.last {
            if candidate.status() != front.status() {
                if front.status().is_some_and(|status| status < 500) {
                    return None;
                }
                penalty += Duration::from_millis(10);
            }
            if let (Some(one), Some(other)) = (&front.response, &candidate.response)
                && let (Some(one), Some(other)) = (one.content_length, other.content_length)
                && one != other
            {
                penalty += Duration::from_millis(5);
            }
        } else if candidate.is_answered() && candidate.status().is_some_and(|status| status < 500) {
            // An answer that the gateway had no reason to retry.
            return None;
        } else if window.last && front.is_answered() && front.status().is_some_and(|status| status < 500) {
            // The one that failed did not give the answer.
            if candidate.response.as_ref().map(|response| response.status) != front.status() {
                return None;
            }
        }
        let start = began.since(window.from.max(front.ready().at.min(window.until)));
        let end = match self.outcome(candidate, window.until + CLOCK_SLACK) {
            Some(moment) => window.until.since(moment.at),
            None if candidate.over.is_none() => UNRESOLVED,
            None => return None,
        };
        Some(start + end + penalty)
    }

    /// When an attempt began: its SYN, where it opened a connection for itself.
    fn began(&self, attempt: &Exchange) -> Timestamp {
        let conversation = self.conversations.get(&attempt.key.connection);
        conversation.filter(|_| !attempt.reused).map_or(attempt.started.at, |conversation| {
            let opened = conversation.opened.at;
            if attempt.started.at.since(opened) < PRECONNECTED || attempt.key.number == 0 {
                opened
            } else {
                attempt.started.at
            }
        })
    }

    /// The latest thing that happened to an attempt, up to `until`, and that a gateway may have acted on.
    fn outcome(&self, attempt: &Exchange, until: Timestamp) -> Option<Moment> {
        let conversation = self.conversations.get(&attempt.key.connection)?;
        let closes = |conversation: &Conversation, side| conversation.close(side).map(|(moment, ..)| moment);
        [
            attempt.response_start.as_ref().map(|start| start.moment),
            attempt.defect.map(|(moment, _)| moment),
            attempt.last_response,
            closes(conversation, Side::Server),
            closes(conversation, Side::Client),
            conversation.unreachable.first().map(|(moment, _)| *moment),
        ]
        .into_iter()
        .flatten()
        .filter(|moment| moment.at <= until && moment.frame >= attempt.started.frame)
        .max_by_key(|moment| moment.frame)
    }
}

/// A mark that more open requests bear than this does not identify.
const RARE: usize = 8;
/// Attempts of one exchange.
const MOST_ATTEMPTS: usize = 32;
/// Frames of one host may be captured out of order by this much.
const CLOCK_SLACK: Duration = Duration::from_micros(200);
/// Shorter stretches are the gateway's own time.
const SHORTEST_WINDOW: Duration = Duration::from_micros(20);
/// How far before its response the attempts of an exchange are sought whose request was not seen.
const UNSEEN_REQUEST: Duration = Duration::from_secs(2);
/// An exchange that is older than this when an attempt begins is no rival for it.
const LONGEST_EXCHANGE: Duration = Duration::from_secs(120);
/// The slack of an attempt that nothing has come of.
const UNRESOLVED: Duration = Duration::from_millis(2);
/// A connection that waited longer than this for its first request was opened in advance.
const PRECONNECTED: Duration = Duration::from_secs(3);
