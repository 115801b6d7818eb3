//! What gateways and upstreams do by habit: for how long they keep idle connections, when they give up, whether they try
//! again. Learned from every exchange, failed or not.

use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

use crate::correlate::conversation::Conversation;
use crate::event::{Endpoint, FirstSeen, GoneWhy, Side};
use crate::stats::ages::Ages;
use crate::stats::clusters::Clusters;
use crate::time::Timestamp;

/// What is known of a gateway's ways, by the address from which it asks.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// Idle times after which it closed connections to upstreams.
    pub idle_limit: Clusters,
    /// Greatest idle time after which it reused a connection, with success or without.
    pub longest_reuse: Duration,
    /// Spans after which it gave up on a connection.
    pub connect_timeout: Clusters,
    /// Spans after which it gave up on a response.
    pub read_timeout: Clusters,
    /// For how long it did not ask an upstream that had failed, while it asked others.
    pub hold_down: Clusters,
    /// Failed attempts after which it could have tried again, and those after which it did: of requests that may be repeated,
    /// and of others.
    pub retries: [(u64, u64); 2],
    /// Attempts so far.
    attempts: u64,
    /// Upstreams that failed and were not asked since: when they failed, and after how many attempts.
    down: HashMap<Endpoint, (Timestamp, u64)>,
}

impl Habits {
    /// It began an attempt at an upstream.
    pub fn asked(&mut self, upstream: Endpoint, at: Timestamp) {
        self.attempts += 1;
        let Some((since, before)) = self.down.get(&upstream).copied().filter(|(since, _)| *since < at) else { return };
        self.down.remove(&upstream);
        // It asked others meanwhile: there was work that this one was not given.
        let span = at.since(since);
        if self.attempts - before > OTHERS && span >= SHORTEST_HOLD {
            self.hold_down.note(span, at);
        }
    }

    /// An attempt at an upstream failed.
    pub fn failed(&mut self, upstream: Endpoint, at: Timestamp) {
        if self.down.len() < MOST_DOWN || self.down.contains_key(&upstream) {
            self.down.insert(upstream, (at, self.attempts));
        }
    }

    /// What another address of the same gateway does.
    #[must_use]
    pub fn merged<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        all.cloned().reduce(|one, other| if other.attempts > one.attempts { other } else { one })
    }
}

/// What is known of the idle connections to an upstream.
#[derive(Clone, Debug, Default)]
pub struct Idle {
    /// Idle times after which a connection was reused with success.
    pub reused: Ages,
    /// Idle times after which a reuse failed because the upstream had closed, or was about to.
    pub failed: Ages,
    /// Idle times after which the gateway closed.
    pub closed_by_gateway: Ages,
    /// How long connections had been idle when they were last seen, open.
    pub open: Ages,
    /// Exchanges after which the upstream closed a connection that it had said it would not keep: how many times, least and
    /// most.
    pub exchanges: Option<(u64, u32, u32)>,
}

/// How an idle connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The gateway closed it.
    Gateway(Duration, Timestamp),
    /// It was open when last seen.
    Open(Duration),
    /// The upstream closed it as it had announced, after so many exchanges.
    Announced(u32),
}

/// How a connection ended, where nothing was under way.
pub(super) fn end(conversation: &Conversation) -> Option<End> {
    let (gone_at, gone) = conversation.gone?;
    let since = conversation.idle_since?;
    if conversation.completed == 0 || conversation.highest != conversation.completed {
        return None;
    }
    match conversation.first_close() {
        Some((moment, closing, _)) => match closing.by {
            Side::Client if conversation.kept && moment.at.since(since.at) >= SHORTEST_IDLE => {
                Some(End::Gateway(moment.at.since(since.at), moment.at))
            }
            Side::Server if !conversation.kept && conversation.first_seen == FirstSeen::Syn => {
                Some(End::Announced(conversation.completed))
            }
            _ => None,
        },
        None if conversation.kept && matches!(gone.why, GoneWhy::EndOfCapture | GoneWhy::Idle) => {
            Some(End::Open(gone_at.at.since(since.at)))
        }
        None => None,
    }
}

impl Idle {
    pub(super) fn announced(&mut self, exchanges: u32) {
        let (n, least, most) = self.exchanges.unwrap_or((0, exchanges, exchanges));
        self.exchanges = Some((n + 1, least.min(exchanges), most.max(exchanges)));
    }
}

/// The habits of a gateway's address, unless there are too many.
pub(super) fn of(habits: &mut HashMap<IpAddr, Habits>, gateway: IpAddr) -> Option<&mut Habits> {
    if habits.len() >= MOST_GATEWAYS && !habits.contains_key(&gateway) {
        return None;
    }
    Some(habits.entry(gateway).or_default())
}

/// Who closes sooner does not keep connections.
const SHORTEST_IDLE: Duration = Duration::from_millis(50);
/// Addresses of gateways whose habits are kept, some 10 KB each.
const MOST_GATEWAYS: usize = 64;
/// Upstreams of a gateway that are watched until it asks them again.
const MOST_DOWN: usize = 256;
/// A gateway that asked this many times elsewhere meanwhile left an upstream out.
const OTHERS: u64 = 3;
/// What is shorter says nothing: other requests were in between by chance.
const SHORTEST_HOLD: Duration = Duration::from_secs(1);
