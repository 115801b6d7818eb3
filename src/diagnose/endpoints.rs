//! What endpoints were seen to speak, with whomever.

use std::net::IpAddr;

use hashbrown::HashMap;
use smallvec::SmallVec;

use crate::correlate::Responded;
use crate::event::Endpoint;
use crate::mark::mark;

/// What endpoints speak.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    known: HashMap<Endpoint, Known>,
    /// What the endpoints of a host speak, all together.
    hosts: HashMap<IpAddr, Speaks>,
}

#[derive(Debug, Default)]
struct Known {
    speaks: Speaks,
    /// Digests of the hosts for which it began a handshake; of none, where no host was asked for.
    hosts: SmallVec<[u64; 2]>,
}

/// What one endpoint was seen to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Speaks {
    /// HTTP in clear: it sent a response.
    pub clear: bool,
    /// TLS: it answered a ClientHello.
    pub tls: bool,
    /// HTTP inside of TLS: it sent a response there.
    pub inside: bool,
}

impl Endpoints {
    /// An endpoint sent a response, in clear or inside of TLS.
    pub(super) fn responded(&mut self, endpoint: Endpoint, how: Responded) {
        if let Some(known) = self.known(endpoint) {
            known.speaks.clear |= how != Responded::Inside;
            known.speaks.inside |= how == Responded::Inside;
            self.hosts.entry(endpoint.ip()).or_default().clear |= how == Responded::InClear;
        }
    }

    /// An endpoint answered a ClientHello that asked for a host, or for none.
    pub(super) fn secured(&mut self, endpoint: Endpoint, host: Option<&str>) {
        let Some(known) = self.known(endpoint) else { return };
        known.speaks.tls = true;
        let host = digest(host);
        if known.hosts.len() < MOST_HOSTS && !known.hosts.contains(&host) {
            known.hosts.push(host);
        }
        self.hosts.entry(endpoint.ip()).or_default().tls = true;
    }

    /// What an endpoint speaks, as far as that was seen.
    pub(super) fn speaks(&self, endpoint: Endpoint) -> Speaks {
        self.known.get(&endpoint).map(|known| known.speaks).unwrap_or_default()
    }

    /// Whether endpoints of a host were seen to speak TLS, and none of them anything in clear.
    pub(super) fn speaks_tls_alone(&self, host: IpAddr) -> bool {
        self.hosts.get(&host).is_some_and(|speaks| speaks.tls && !speaks.clear)
    }

    /// Whether an endpoint began a handshake with somebody who asked for the same host.
    pub(super) fn serves(&self, endpoint: Endpoint, host: Option<&str>) -> bool {
        self.known.get(&endpoint).is_some_and(|known| known.hosts.contains(&digest(host)))
    }

    fn known(&mut self, endpoint: Endpoint) -> Option<&mut Known> {
        if self.known.len() >= MOST_ENDPOINTS && !self.known.contains_key(&endpoint) {
            return None;
        }
        Some(self.known.entry(endpoint).or_default())
    }
}

/// No host is the mark of nothing; a host that is empty is none.
fn digest(host: Option<&str>) -> u64 {
    mark(host.unwrap_or_default().to_ascii_lowercase().as_bytes())
}

/// Endpoints remembered.
const MOST_ENDPOINTS: usize = 65_536;
/// Hosts remembered of each.
const MOST_HOSTS: usize = 8;
