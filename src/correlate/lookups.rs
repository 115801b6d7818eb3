//! Messages from and to name servers to lookups: what one program wanted to know, however often and of however many
//! servers it asked.
//!
//! ```text
//!   gateway           stub            server
//!      |-- A app ----->|-- A app ----->|        one lookup: the same name, and who is asked asks on
//!      |-- AAAA app -->|               |        addresses of both families
//!      |-- A app ----->|               |        a repetition
//!      |<------ NXDOMAIN, app.corp ----|        search domains: app.corp, app.lab, app
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;
use smallvec::{SmallVec, smallvec};

use crate::correlate::gateway::Gateways;
use crate::correlate::lookup::{LONGEST_WAIT, Lookup, Query, has_address, is_forwarded};
use crate::event::Moment;
use crate::event::lookup::{Code, Message, RecordKind, Rejected, Told};
use crate::mark::mark;
use crate::time::Timestamp;

/// The lookups of late.
#[derive(Debug, Default)]
pub struct Lookups {
    recent: VecDeque<Lookup>,
    /// The number of the first one in `recent`.
    first: u64,
    /// By the mark of each name that was asked for: the numbers of the lookups, the latest last.
    by_name: HashMap<u64, SmallVec<[u64; 2]>>,
    /// The latest one of each client.
    latest: HashMap<IpAddr, u64>,
    addresses: HashMap<Box<str>, Addresses>,
}

/// The addresses of a name.
#[derive(Debug)]
pub struct Addresses {
    /// Those of the latest answer of each family, and when that came.
    pub now: SmallVec<[IpAddr; 2]>,
    /// When the latest answer came.
    pub at: Moment,
    /// Others that it had before, each with the last answer in which it was.
    pub before: SmallVec<[(IpAddr, Moment); 2]>,
}

impl Addresses {
    /// Whether the name has an address, or had it.
    #[must_use]
    pub fn has(&self, address: IpAddr) -> bool {
        self.now.contains(&address) || self.before.iter().any(|(before, _)| *before == address)
    }
}

impl Lookups {
    /// Whether nothing was asked.
    pub(super) fn is_empty(&self) -> bool {
        self.recent.is_empty()
    }

    /// Takes a message; gives back the lookup that it was the first address for.
    pub(super) fn take(&mut self, moment: Moment, told: Told) -> Option<&Lookup> {
        if told.message.response { self.answer(moment, told) } else { self.ask(moment, told) }
    }

    /// Takes an ICMP error about a query.
    pub(super) fn reject(&mut self, moment: Moment, rejected: Rejected) {
        let about = |query: &Query| {
            (query.client, query.server, query.id) == (rejected.client, rejected.server, rejected.id)
                && query.answer.is_none()
        };
        let recent = self.recent.iter_mut().rev().take(MOST_SEARCHED);
        let found = recent.flat_map(|lookup| lookup.queries.iter_mut()).find(|query| about(query));
        if let Some(query) = found {
            query.rejected = Some((moment, rejected));
        }
    }

    /// Those that were under way by `until`, the latest first.
    pub(super) fn before(&self, until: Moment) -> impl Iterator<Item = &Lookup> {
        self.recent.iter().rev().skip_while(move |lookup| lookup.began > until)
    }

    /// Those of a gateway that began within a span before a moment, the latest first.
    pub fn of<'a>(
        &'a self,
        gateway: IpAddr,
        gateways: &'a Gateways,
        until: Moment,
        span: Duration,
    ) -> impl Iterator<Item = &'a Lookup> {
        let recent = self.before(until).take_while(move |lookup| until.at.since(lookup.began.at) <= span);
        recent.filter(move |lookup| gateways.same(gateway, lookup.client.ip()))
    }

    /// What is known of a name's addresses.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Option<&Addresses> {
        self.addresses.get(name)
    }

    /// The names that led to an address, but whose latest answer does not have it any more, in the order of the alphabet.
    #[must_use]
    pub fn outdated(&self, address: IpAddr) -> Vec<(&str, &Addresses)> {
        let stale = |known: &Addresses| {
            !known.now.contains(&address) && known.before.iter().any(|(before, _)| *before == address)
        };
        let mut names: Vec<_> =
            self.addresses.iter().filter(|(_, known)| stale(known)).map(|(name, known)| (&**name, known)).collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        names
    }

    fn ask(&mut self, moment: Moment, told: Told) -> Option<&Lookup> {
        let Told { client, server, tcp, local, message } = told;
        let numbers = self.numbers(&message.name);
        // The same message again.
        let again = numbers.iter().rev().find_map(|number| {
            let lookup = self.get_mut(*number)?;
            let told = Told { client, server, tcp, local, message: message.clone() };
            let waits =
                |query: &Query| query.is_open() && query.last().is_some_and(|last| moment.at.since(last.at) < AGAIN);
            let query = lookup.queries.iter_mut().find(|query| query.is(&told) && waits(query))?;
            query.put(moment);
            lookup.last = moment;
            Some(())
        });
        if again.is_some() {
            return None;
        }
        let mut query = Query {
            client,
            server,
            tcp,
            name: message.name,
            kind: message.kind,
            puts: smallvec![moment],
            answer: None,
            rejected: None,
            forwarded: false,
            id: message.id,
        };
        let joined = numbers
            .iter()
            .rev()
            .copied()
            .find(|number| self.get(*number).is_some_and(|lookup| lookup.is_continued_by(&query, moment)));
        let joined = joined.or_else(|| {
            let latest = *self.latest.get(&client.ip())?;
            self.get(latest).is_some_and(|lookup| lookup.tries_another_name(&query, moment)).then_some(latest)
        });
        if let Some(number) = joined {
            if let Some(lookup) = self.get_mut(number) {
                query.forwarded = lookup.queries.iter().any(|other| is_forwarded(other, &query));
                lookup.last = moment;
                if lookup.queries.len() < MOST_QUERIES {
                    lookup.queries.push(query);
                }
            }
            self.note_name(number);
            return None;
        }
        let name = query.name.clone();
        self.begin(Lookup { name, client, local, began: moment, last: moment, queries: smallvec![query] });
        None
    }

    fn answer(&mut self, moment: Moment, told: Told) -> Option<&Lookup> {
        if told.message.code == Code::NOERROR && !told.message.truncated && told.message.kind.is_address() {
            self.note_addresses(moment, &told.message);
        }
        let numbers = self.numbers(&told.message.name);
        let number = numbers
            .into_iter()
            .rev()
            .find(|number| self.get(*number).is_some_and(|lookup| lookup.queries.iter().any(|query| query.is(&told))));
        let Some(number) = number else {
            let Told { client, server, tcp, local, message } = told;
            let query = Query {
                client,
                server,
                tcp,
                name: message.name.clone(),
                kind: message.kind,
                puts: SmallVec::new(),
                id: message.id,
                answer: Some((moment, message)),
                rejected: None,
                forwarded: false,
            };
            let name = query.name.clone();
            self.begin(Lookup { name, client, local, began: moment, last: moment, queries: smallvec![query] });
            return None;
        };
        let lookup = self.get_mut(number)?;
        let had = lookup.queries.iter().any(|query| query.answered(moment).is_some_and(has_address));
        lookup.last = moment;
        let query = lookup.queries.iter_mut().find(|query| query.is(&told) && query.answer.is_none())?;
        let first = !had && !query.forwarded && has_address(&told.message) && query.first().is_some();
        query.answer = Some((moment, told.message));
        if first { self.get(number) } else { None }
    }

    fn begin(&mut self, lookup: Lookup) {
        if self.recent.len() >= MOST_LOOKUPS {
            self.recent.pop_front();
            self.first += 1;
        }
        let number = self.first + self.recent.len() as u64;
        self.latest.insert(lookup.client.ip(), number);
        self.recent.push_back(lookup);
        self.note_name(number);
        if self.by_name.len() > 2 * MOST_LOOKUPS {
            let first = self.first;
            self.by_name.retain(|_, numbers| numbers.iter().any(|number| *number >= first));
            self.latest.retain(|_, number| *number >= first);
        }
    }

    /// Files a lookup under the name that it asked for last.
    fn note_name(&mut self, number: u64) {
        let Some(name) =
            self.get(number).and_then(|lookup| lookup.queries.last()).map(|query| mark(query.name.as_bytes()))
        else {
            return;
        };
        let numbers = self.by_name.entry(name).or_default();
        if !numbers.contains(&number) {
            if numbers.len() >= MOST_ALIKE {
                numbers.remove(0);
            }
            numbers.push(number);
        }
    }

    fn numbers(&self, name: &str) -> SmallVec<[u64; 2]> {
        self.by_name.get(&mark(name.as_bytes())).cloned().unwrap_or_default()
    }

    fn get(&self, number: u64) -> Option<&Lookup> {
        self.recent.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn get_mut(&mut self, number: u64) -> Option<&mut Lookup> {
        self.recent.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    fn note_addresses(&mut self, moment: Moment, message: &Message) {
        if message.addresses.is_empty() || message.cut {
            return;
        }
        let addresses = message.addresses.iter().take(MOST_ADDRESSES).copied();
        let Some(known) = self.addresses.get_mut(&message.name) else {
            if self.addresses.len() < MOST_NAMES {
                let known = Addresses { now: addresses.collect(), at: moment, before: SmallVec::new() };
                self.addresses.insert(message.name.clone(), known);
            }
            return;
        };
        let v4 = message.kind == RecordKind::A;
        let mut before: SmallVec<[(IpAddr, Moment); 2]> = std::mem::take(&mut known.before);
        let (old, other): (SmallVec<[IpAddr; 2]>, SmallVec<[IpAddr; 2]>) =
            known.now.iter().copied().partition(|address| address.is_ipv4() == v4);
        before.retain(|(address, _)| !message.addresses.contains(address) && !old.contains(address));
        let gone = old.iter().filter(|address| !message.addresses.contains(address));
        before.extend(gone.map(|address| (*address, known.at)));
        let surplus = before.len().saturating_sub(MOST_ADDRESSES);
        before.drain(..surplus);
        *known = Addresses { now: addresses.chain(other).collect(), at: moment, before };
    }

    /// Forgets what nobody can wait for any more.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while self.recent.front().is_some_and(|lookup| now.since(lookup.last.at) > LONGEST_WAIT) {
            self.recent.pop_front();
            self.first += 1;
        }
    }
}

/// A message with the same number that comes later is another one.
const AGAIN: Duration = Duration::from_secs(30);
/// Lookups that are remembered: 700 octets each, with the names.
const MOST_LOOKUPS: usize = 4096;
/// Of them, those among which the query is sought that an ICMP error quotes.
const MOST_SEARCHED: usize = 512;
/// Queries of one lookup.
const MOST_QUERIES: usize = 24;
/// Lookups for one name that are found by it.
const MOST_ALIKE: usize = 8;
/// Names whose addresses are remembered, and addresses of each.
const MOST_NAMES: usize = 2048;
const MOST_ADDRESSES: usize = 32;

#[cfg(test)]
mod tests;
