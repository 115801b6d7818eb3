//! What has not failed yet, and will: an upstream that closes idle connections which its gateway would still use.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::span;
use crate::diagnose::incident::Incident;
use crate::diagnose::product::{self, Product};
use crate::event::Endpoint;
use crate::stats::clusters::Cluster;
use crate::stats::{Server, Stats, Upstream};

/// Something to be put right before it fails.
#[derive(Clone, Debug)]
pub struct Warning {
    /// `race_waits`.
    pub kind: &'static str,
    /// The upstreams with this habit.
    pub upstreams: Vec<Endpoint>,
    /// The address from which the gateway asks them.
    pub gateway: IpAddr,
    /// Idle times after which they close.
    pub idle_close: Cluster,
    /// Idle times after which the gateway closes, where that was seen.
    pub idle_limit: Option<Cluster>,
    /// `timeout=` that they announce.
    pub announced_timeout: Option<Duration>,
    /// Greatest idle time after which the gateway reused one of their connections.
    pub longest_reuse: Option<Duration>,
    /// The warning in sentences.
    pub summary: String,
}

/// The races that wait to happen: none where one was found already, and none where the gateway may well let go in time.
#[must_use]
pub fn find(stats: &Stats, incidents: &[Incident], product_at: impl Fn(IpAddr) -> Option<Product>) -> Vec<Warning> {
    let raced = raced(incidents);
    let mut warnings: Vec<Warning> = Vec::new();
    for (endpoint, upstream) in stats.upstreams.sorted().into_iter().filter(|(endpoint, _)| !raced.contains(endpoint)) {
        let Some(server) = stats.of_server(*endpoint) else { continue };
        let Some(found) = race_waits(*endpoint, (upstream, server), stats, &product_at) else { continue };
        let alike = warnings.iter_mut().find(|known| known.is_like(&found));
        match alike {
            Some(known) => known.join(found),
            None => warnings.push(found),
        }
    }
    warnings.sort_by_key(|warning| std::cmp::Reverse(warning.idle_close.n));
    warnings.truncate(MOST_WARNINGS);
    for warning in &mut warnings {
        warning.summary = warning.sentences(product_at(warning.gateway));
    }
    warnings
}

/// Upstreams at which a reuse failed.
#[must_use]
pub fn raced(incidents: &[Incident]) -> BTreeSet<Endpoint> {
    let attempts = incidents.iter().flat_map(|incident| &incident.attempts);
    let failed = attempts.filter(|attempt| matches!(attempt.outcome, Some(Cause::KeepaliveRace | Cause::StaleReuse)));
    failed.filter_map(|attempt| attempt.upstream).collect()
}

fn race_waits(
    endpoint: Endpoint,
    (upstream, server): (&Upstream, &Server),
    stats: &Stats,
    product_at: &impl Fn(IpAddr) -> Option<Product>,
) -> Option<Warning> {
    let gateway = upstream.asked_by?;
    let habits = stats.habits_of(gateway)?;
    let announced = upstream.announced_timeout;
    // Once is enough where it is what the upstream announces.
    let as_announced = |close: &&Cluster| {
        let after = Duration::from_micros(close.median_us()).checked_sub(announced.unwrap_or_default());
        announced.is_some() && after.is_some_and(|after| after <= LATE)
    };
    let closes = &server.idle_clusters;
    let close = closes.timer().or_else(|| closes.all().iter().find(as_announced))?;
    let limit = habits.idle_limit.timer();
    let closed_at = Duration::from_micros(close.median_us());
    let outlasts = |span: Duration| span > Duration::from_micros(close.max_us) + MARGIN;
    if closed_at < SHORTEST || limit.is_some_and(|limit| !outlasts(Duration::from_micros(limit.median_us()))) {
        return None;
    }
    let longest_reuse = upstream.longest_reuse;
    let near = longest_reuse.is_some_and(|longest| longest * 5 >= closed_at * 4);
    let would_use = limit.is_some()
        || outlasts(habits.longest_reuse)
        || product_at(gateway).is_some_and(product::uses_what_is_open)
        || near;
    would_use.then(|| Warning {
        kind: "race_waits",
        upstreams: vec![endpoint],
        gateway,
        idle_close: close.clone(),
        idle_limit: limit.cloned(),
        announced_timeout: announced,
        longest_reuse,
        summary: String::new(),
    })
}

impl Warning {
    fn is_like(&self, other: &Self) -> bool {
        let (own, others) = (&self.idle_close, &other.idle_close);
        let apart = own.median_us().abs_diff(others.median_us());
        self.gateway == other.gateway
            && self.announced_timeout == other.announced_timeout
            && apart <= (own.median_us() / 50).max(SAME_US)
    }

    fn join(&mut self, other: Self) {
        self.upstreams.extend(other.upstreams);
        self.idle_close.join(&other.idle_close);
        self.longest_reuse = self.longest_reuse.max(other.longest_reuse);
    }

    fn sentences(&self, product: Option<Product>) -> String {
        let who = match self.upstreams.as_slice() {
            [only] => format!("{only} closes"),
            [first, second] => format!("{first} and {second} close"),
            [first, rest @ ..] => format!("{first} and {} other upstreams close", rest.len()),
            [] => String::new(),
        };
        let announced = self
            .announced_timeout
            .map_or(String::new(), |timeout| format!("; announced: timeout={}", timeout.as_secs()));
        let keeps = match (&self.idle_limit, self.longest_reuse) {
            (Some(limit), _) => format!("keeps them for {}", spread(limit)),
            (None, Some(longest)) if longest > Duration::from_micros(self.idle_close.max_us) => {
                format!("uses them after up to {}", span(longest))
            }
            _ => "leaves it to that".to_owned(),
        };
        let nearest = self
            .longest_reuse
            .map_or(String::new(), |longest| format!(" The longest reuse so far was after {}.", span(longest)));
        let setting = product.and_then(|product| Some((product, product::setting(product, Cause::KeepaliveRace)?)));
        let todo = match setting {
            Some((product, setting)) => format!("{}: {setting}", product.name()),
            None => "Make the gateway's idle limit shorter than the upstream's".to_owned(),
        };
        format!(
            "{who} idle connections after {}{announced}; the gateway {keeps}. A request sent at that moment crosses the \
             close and fails: a race waits to happen.{nearest} {todo}",
            spread(&self.idle_close)
        )
    }
}

/// `6.000 s (n=214, 5.990 s to 6.010 s)`.
fn spread(cluster: &Cluster) -> String {
    let [min, median, max] =
        [cluster.min_us, cluster.median_us(), cluster.max_us].map(|us| span(Duration::from_micros(us)));
    match cluster.n {
        1 => format!("{median} (seen once)"),
        n if min == max => format!("{median} (n={n})"),
        n => format!("{median} (n={n}, {min} to {max})"),
    }
}

/// Upstreams whose idle times are worth a picture: where reuse failed, then where it waits to fail.
#[must_use]
pub fn worth_drawing(incidents: &[Incident], warnings: &[Warning]) -> Vec<Endpoint> {
    let mut failed: BTreeMap<Endpoint, usize> = BTreeMap::new();
    for incident in incidents {
        for upstream in raced(std::slice::from_ref(incident)) {
            *failed.entry(upstream).or_default() += 1;
        }
    }
    let mut failed: Vec<(Endpoint, usize)> = failed.into_iter().collect();
    failed.sort_by_key(|(endpoint, n)| (std::cmp::Reverse(*n), *endpoint));
    let waits = warnings.iter().filter_map(|warning| warning.upstreams.first().copied());
    failed.into_iter().map(|(endpoint, _)| endpoint).chain(waits).collect()
}

/// Programs look at their idle connections now and then: so much later than announced is as announced.
const LATE: Duration = Duration::from_millis(1_250);
/// Timers that are no further from each other, or than a fiftieth, may be one setting.
const SAME_US: u64 = 10_000;
/// A limit that is longer by less than this may not outlast the other.
const MARGIN: Duration = Duration::from_millis(100);
/// What closes sooner was not waiting for more.
const SHORTEST: Duration = Duration::from_millis(150);
/// Warnings at most.
const MOST_WARNINGS: usize = 32;
