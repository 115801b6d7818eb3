//! Which upstream endpoints requests of a kind go to, learned from attempts that certainly were made for them; and which
//! of these were down when a gateway answered by itself.
//!
//! A kind is what configurations choose a pool by: the endpoint that the client asked, its Host, and the first segment of
//! the path.

use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;

use crate::correlate::by_place::ByPlace;
use crate::correlate::conversation::{Exchange, Place};
use crate::diagnose::local::Failure;
use crate::event::{Endpoint, RequestSection};
use crate::mark::mark;
use crate::time::Timestamp;

/// The upstream endpoints, by kind of request.
#[derive(Debug, Default)]
pub(super) struct Pools {
    /// By the endpoint asked and its Host, then by the path's first segment.
    sites: HashMap<(Endpoint, u64), HashMap<u64, Pool>>,
    /// All endpoints of all of them.
    known: HashSet<Endpoint>,
    /// Connections without a request that failed, and the kinds of requests that failed with them.
    failed: Ties,
    /// When the latest request that an endpoint served was sent to it.
    served: ByPlace<Option<Timestamp>>,
}

pub(super) type Pool = SmallVec<[Endpoint; 2]>;

/// The endpoints to which time alone ties a kind of request, each with how often.
type Ties = HashMap<Endpoint, HashMap<((Endpoint, u64), u64), u32>>;

/// What is known of the pool of a request that was answered without an attempt.
#[derive(Debug, Default)]
pub struct Outage {
    /// Failures within the hold-down time, at endpoints that had served nothing since.
    pub failures: Vec<Failure>,
    /// Endpoints at which they were.
    pub down: usize,
    /// Endpoints of the pool; 0 where it is not known.
    pub pool: usize,
}

impl Outage {
    /// Whether no endpoint was left, as far as the pool is known.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.down > 0 && self.down >= self.pool
    }
}

impl Pools {
    /// An attempt at `upstream` was made for a request of a kind.
    pub(super) fn learn(&mut self, (site, path): Kind, upstream: Endpoint) {
        if self.sites.len() >= MOST_SITES && !self.sites.contains_key(&site) {
            return;
        }
        let paths = self.sites.entry(site).or_default();
        if paths.len() >= MOST_PATHS && !paths.contains_key(&path) {
            return;
        }
        let pool = paths.entry(path).or_default();
        if pool.len() < MOST_ENDPOINTS && !pool.contains(&upstream) {
            pool.push(upstream);
            self.known.insert(upstream);
        }
    }

    /// An endpoint served a request that was sent to it at `sent`.
    pub(super) fn served(&mut self, place: Place, endpoint: Endpoint, sent: Timestamp) {
        if let Some(latest) = self.served.entry(place, endpoint, MOST_SERVED) {
            *latest = (*latest).max(Some(sent));
        }
    }

    /// A request failed, and so did a connection to `upstream` that, by time, may have been opened for it.
    pub(super) fn failed(&mut self, asked: &Exchange, upstream: Endpoint) {
        let Some(kind) = kind(asked) else { return };
        if self.failed.len() < MOST_SERVED || self.failed.contains_key(&upstream) {
            let kinds = self.failed.entry(upstream).or_default();
            if kinds.len() < MOST_PATHS || kinds.contains_key(&kind) {
                *kinds.entry(kind).or_default() += 1;
            }
        }
    }

    /// Whether requests of this kind are known to go elsewhere, and those of other kinds, which have no endpoint in common
    /// with this one, are known to fail at `upstream`.
    pub(super) fn is_foreign(&self, asked: &Exchange, upstream: Endpoint) -> bool {
        let Some(own) = self.pool(asked).filter(|own| !own.contains(&upstream)) else { return false };
        let shares = |pool: &Pool| pool.iter().any(|endpoint| own.contains(endpoint));
        let told = self.known.contains(&upstream);
        if told && self.sites.values().flat_map(HashMap::values).any(|pool| pool.contains(&upstream) && shares(pool)) {
            return false;
        }
        let pool_of = |(site, path): &((Endpoint, u64), u64)| self.sites.get(site).and_then(|paths| paths.get(path));
        let apart = |of: &((Endpoint, u64), u64)| pool_of(of).is_none_or(|pool| !shares(pool));
        let failed = self.failed.get(&upstream).into_iter().flatten();
        told || failed.filter(|(kind, _)| apart(kind)).any(|(_, times)| *times >= SEVERAL)
    }

    /// The endpoints that this kind of request goes to, where that is known.
    pub(super) fn pool(&self, asked: &Exchange) -> Option<&Pool> {
        let (site, path) = kind(asked)?;
        self.sites.get(&site)?.get(&path)
    }

    /// Whether a kind of request of which no attempt was seen may go to an endpoint: one that no other kind is known to go to,
    /// or to which all others go.
    fn may_be_for_new(&self, asked: &Exchange, upstream: Endpoint) -> bool {
        let own_site = kind(asked).and_then(|(site, _)| self.sites.get(&site));
        !self.known.contains(&upstream)
            || own_site.is_some_and(|paths| paths.values().all(|pool| pool.contains(&upstream)))
    }

    /// The failures that explain why nothing was sent for a request that was answered at `at`, out of a gateway's `recent` ones.
    pub(super) fn outage(&self, asked: &Exchange, recent: &[Failure], hold_down: Duration, at: Timestamp) -> Outage {
        let pool = self.pool(asked);
        let mut failures: Vec<Failure> = recent
            .iter()
            .filter(|failure| failure.at <= at && at.since(failure.at) <= hold_down)
            .filter(|failure| match pool {
                Some(pool) => pool.contains(&failure.upstream),
                None => self.may_be_for_new(asked, failure.upstream),
            })
            .copied()
            .collect();
        failures.retain(|failure| {
            let served = self.served.get(&failure.upstream).copied().flatten();
            served.is_none_or(|sent| sent <= failure.at || sent > at)
        });
        let mut down: Pool = failures.iter().map(|failure| failure.upstream).collect();
        down.sort_unstable();
        down.dedup();
        Outage { failures, down: down.len(), pool: pool.map_or(0, SmallVec::len) }
    }
}

/// The site (the endpoint that was asked, and its Host), and the path's first segment.
pub(super) type Kind = ((Endpoint, u64), u64);

/// The kind of an exchange's request.
pub(super) fn kind(asked: &Exchange) -> Option<Kind> {
    asked.request.as_ref().map(|request| kind_of(asked.server, request))
}

/// The kind of a request to an endpoint: the site, and the path's first segment if there is more than one.
pub(super) fn kind_of(asked: Endpoint, request: &RequestSection) -> Kind {
    let host = request.host().map_or(0, |host| {
        if host.bytes().any(|octet| octet.is_ascii_uppercase()) {
            mark(host.to_ascii_lowercase().as_bytes())
        } else {
            mark(host.as_bytes())
        }
    });
    ((asked, host), mark(first_segment(request.target()).as_bytes()))
}

fn first_segment(target: &str) -> &str {
    let absolute = if target.starts_with('/') { None } else { target.split_once("://") };
    let path = absolute.map_or(target, |(_, rest)| rest.find('/').and_then(|at| rest.get(at..)).unwrap_or(""));
    let path = memchr::memchr2(b'?', b'#', path.as_bytes()).and_then(|end| path.get(..end)).unwrap_or(path);
    path.trim_start_matches('/').split_once('/').map_or("", |(first, _)| first)
}

/// What happens so often is no coincidence.
const SEVERAL: u32 = 2;
/// Sites, paths of a site, endpoints of a pool, and endpoints that serve that are remembered.
const MOST_SITES: usize = 1024;
const MOST_PATHS: usize = 256;
const MOST_ENDPOINTS: usize = 256;
const MOST_SERVED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_several_segments_is_known_by_the_first() {
        for (target, segment) in [
            ("/api/users?next=/a/b", "api"),
            ("/index.html", ""),
            ("/", ""),
            ("*", ""),
            ("/search?q=/x/y", ""),
            ("/api/go?to=http://app.lab/x/y", "api"),
            ("http://app.lab/api/users", "api"),
            ("http://app.lab", ""),
        ] {
            assert_eq!(first_segment(target), segment, "{target}");
        }
    }
}
