//! Which open requests bear a mark: the index by which a request is found again on another connection.

use std::net::IpAddr;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use smallvec::SmallVec;

use crate::correlate::conversation::{Exchange, ExchangeKey};
use crate::event::{Endpoint, Request};
use crate::mark::{self, mark};

/// Open exchanges by mark.
#[derive(Debug, Default)]
pub(super) struct Marks {
    bearers: HashMap<u64, Bearers>,
    /// Whether exchanges are found by their client's end too: few gateways name it.
    by_client: bool,
}

/// Who bears a mark.
#[derive(Debug, Default)]
struct Bearers {
    known: SmallVec<[ExchangeKey; 2]>,
    /// How many more there are.
    beyond: u32,
}

impl Marks {
    /// An exchange is open to be found.
    pub(super) fn insert(&mut self, exchange: &mut Exchange) {
        let mut beyond = 0;
        for (nth, mark) in of_downstream(exchange, self.by_client).enumerate() {
            if !self.note(mark, exchange.key) {
                beyond |= bit(nth);
            }
        }
        exchange.marks_beyond = beyond;
    }

    /// From now on exchanges are found by their client's end too. `open` are all those that are open to be found.
    pub(super) fn find_by_client<'a>(&mut self, open: impl Iterator<Item = &'a Exchange>) {
        if !std::mem::replace(&mut self.by_client, true) {
            for exchange in open {
                self.note(of_client(exchange.client), exchange.key);
            }
        }
    }

    /// Returns whether the exchange is among those that are known.
    fn note(&mut self, mark: u64, key: ExchangeKey) -> bool {
        let bearers = self.bearers.entry(mark).or_default();
        let is_known = bearers.known.len() < MOST_BEARERS;
        if is_known {
            bearers.known.push(key);
        } else {
            bearers.beyond += 1;
        }
        is_known
    }

    /// An exchange is over.
    pub(super) fn remove(&mut self, exchange: &Exchange) {
        for (nth, mark) in of_downstream(exchange, self.by_client).enumerate() {
            let Entry::Occupied(mut bearers) = self.bearers.entry(mark) else { continue };
            let Bearers { known, beyond } = bearers.get_mut();
            let may_be_known = exchange.marks_beyond & bit(nth) == 0;
            let at = if may_be_known { known.iter().position(|key| *key == exchange.key) } else { None };
            match at {
                Some(at) => drop(known.swap_remove(at)),
                None => *beyond = beyond.saturating_sub(1),
            }
            if known.is_empty() && *beyond == 0 {
                bearers.remove();
            }
        }
    }

    /// The open exchanges that bear a mark; none where so many do that it tells nothing.
    #[must_use]
    pub(super) fn bearers(&self, mark: u64) -> &[ExchangeKey] {
        self.bearers.get(&mark).filter(|bearers| bearers.beyond == 0).map_or(&[], |bearers| &bearers.known)
    }
}

/// What stands for a mark in [`Exchange::marks_beyond`]; nothing where there are too many.
fn bit(nth: usize) -> u8 {
    u32::try_from(nth).ok().and_then(|nth| 1_u8.checked_shl(nth)).unwrap_or(0)
}

/// Whether two requests have a mark in common.
#[must_use]
pub(super) fn shared(one: &Request, other: &Request) -> bool {
    one.marks.iter().any(|mark| other.marks.contains(mark))
}

/// Whether two requests have nothing in common but their targets, or the ends of these: all that look alike have that.
#[must_use]
pub(super) fn share_but_targets(one: &Request, other: &Request) -> bool {
    let ends: SmallVec<[u64; 3]> = mark::of_path(other.target().as_bytes()).collect();
    one.marks.iter().filter(|mark| other.marks.contains(mark)).all(|mark| ends.contains(mark))
}

/// The marks by which an exchange can be found: those of its request, and its client's end.
fn of_downstream(exchange: &Exchange, by_client: bool) -> impl Iterator<Item = u64> {
    let marks = exchange.request.as_ref().map_or(&[][..], |request| &request.marks);
    marks.iter().copied().chain(by_client.then(|| of_client(exchange.client)))
}

/// The mark of a client's end.
#[must_use]
pub(super) fn of_client(client: Endpoint) -> u64 {
    let port = u64::from(client.port());
    match client.ip() {
        IpAddr::V4(address) => mark([address.to_bits().into(), port].map(u64::to_le_bytes).as_flattened()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            mark([(bits >> 64) as u64, bits as u64, port].map(u64::to_le_bytes).as_flattened())
        }
    }
}

/// A mark that more open requests bear than this tells nothing.
const MOST_BEARERS: usize = 32;
