//! Which downstream exchange a request on an upstream leg was made for, by what stands on both: told at the moment the
//! request is seen.

use std::net::IpAddr;

use smallvec::SmallVec;

use crate::correlate::Correlator;
use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::correlate::marks::of_client;
use crate::event::Side;

impl Correlator {
    /// Finds the downstream exchange of a request that was just seen by what stands on both, and notes it.
    pub(super) fn identify(&mut self, key: ExchangeKey) {
        let Some((parent, front, back)) = self.identified_parent(key) else { return };
        self.gateways.join(front, back);
        self.adopt(parent, key, true);
    }

    fn identified_parent(&self, key: ExchangeKey) -> Option<(ExchangeKey, IpAddr, IpAddr)> {
        let attempt = self.exchanges.get(&key)?;
        let request = attempt.request.as_ref()?;
        let speaks_for = self.conversations.get(&key.connection).and_then(|conversation| conversation.speaks_for);
        let forwarded = request.forwarded_for.and_then(|client| Some((client.address, client.port?).into()));
        let marks = request.marks.iter().copied().chain(speaks_for.or(forwarded).map(of_client));
        // What is known to be the attempt's own host comes before what might turn out to be; and an exchange whose gateway
        // waits for an attempt already comes last: what bears its marks most likely belongs deeper.
        let tier = |parent: &Exchange| {
            let own_host = self.gateways.same(parent.server.ip(), attempt.client.ip());
            u8::from(!own_host) + 2 * u8::from(self.is_waiting(parent))
        };
        let bearing =
            |mark: u64| self.marks.bearers(mark).iter().filter_map(|bearer| self.possible_parent(*bearer, attempt));
        let best_tier = request.marks.iter().flat_map(|mark| bearing(*mark)).map(tier).min().unwrap_or(0);
        let mut weights: SmallVec<[(ExchangeKey, f64); 8]> = SmallVec::new();
        for mark in marks {
            let bearers: SmallVec<[&Exchange; 4]> = bearing(mark).filter(|parent| tier(parent) <= best_tier).collect();
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
        // One client that asks two servers is no gateway.
        let siblings = parent.client.ip() == attempt.client.ip() && parent.server.ip() != attempt.client.ip();
        let itself = parent.key.connection == attempt.key.connection || parent.server == attempt.server;
        let late = parent.over.is_some() || parent.started.at > attempt.started.at;
        (!late && !siblings && !itself).then_some(parent.as_ref())
    }

    /// Whether an attempt of an exchange is still under way.
    fn is_waiting(&self, parent: &Exchange) -> bool {
        parent.attempts.last().is_some_and(|last| {
            let running = self.exchanges.get(last).is_some_and(|last| last.over.is_none() && last.request.is_some());
            let open = self.conversations.get(&last.connection).is_some_and(|last| last.close(Side::Client).is_none());
            running && open
        })
    }

    pub(super) fn adopt(&mut self, parent: ExchangeKey, key: ExchangeKey, identified: bool) {
        let Some(attempt) = self.exchanges.get_mut(&key) else { return };
        attempt.parent = Some(parent);
        attempt.identified = identified;
        self.orphans.remove(attempt.client.ip(), attempt.started.at, key);
        if let Some(parent) = self.exchanges.get_mut(&parent) {
            parent.attempts.push(key);
        }
    }
}

/// A mark that more open requests bear than this does not identify.
const RARE: usize = 8;
