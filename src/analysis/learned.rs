//! What was learned of gateways and upstreams, as the report has it.

use std::net::IpAddr;
use std::time::Duration;

use crate::correlate::gateway::Gateways;
use crate::diagnose::Diagnoser;
use crate::event::Endpoint;
use crate::report::{Gateway, Habits, IdleBin, IdleTimes, Spread};
use crate::stats::clusters::{Cluster, Clusters};
use crate::stats::habits::Idle;
use crate::stats::{self, Spans, Stats};

/// The gateways, with their products and their habits.
pub(super) fn gateways(gateways: &Gateways, diagnoser: &Diagnoser, stats: &Stats) -> Vec<Gateway> {
    let of = |addresses: Vec<IpAddr>| {
        let known = addresses.first().and_then(|first| diagnoser.product(*first, gateways));
        Gateway {
            product: known.map(|known| known.product.id().to_owned()),
            product_evidence: known.map(|known| known.evidence.clone()),
            habits: habits(&addresses, stats),
            addresses,
        }
    };
    // Behind them those that were recognised by their requests alone.
    let managed = diagnoser.managed().map(|(product, evidence, addresses)| Gateway {
        product: Some(product.id().to_owned()),
        product_evidence: Some(evidence.to_owned()),
        habits: Habits::default(),
        addresses: addresses.iter().copied().collect(),
    });
    gateways.groups().into_iter().map(of).chain(managed).collect()
}

/// What a gateway does by habit, by the address from which it asks most.
fn habits(addresses: &[IpAddr], stats: &Stats) -> Habits {
    let known = addresses.iter().filter_map(|address| stats.habits_of(*address));
    stats::habits::Habits::merged(known).map_or_else(Habits::default, |known| Habits {
        idle_limit: spreads(&known.idle_limit),
        connect_timeout: spreads(&known.connect_timeout),
        read_timeout: spreads(&known.read_timeout),
        hold_down: spreads(&known.hold_down),
        retries: known.retries,
    })
}

pub(super) fn spreads(clusters: &Clusters) -> Vec<Spread> {
    clusters.all().iter().map(spread).collect()
}

fn spread(cluster: &Cluster) -> Spread {
    let [min, median, max] = [cluster.min_us, cluster.median_us(), cluster.max_us].map(Duration::from_micros);
    Spread { n: cluster.n, min, median, max }
}

/// Pictures of the first few upstreams.
pub(super) fn idle_times(upstreams: &[Endpoint], stats: &Stats) -> Vec<IdleTimes> {
    upstreams.iter().filter_map(|upstream| picture(*upstream, stats)).take(MOST_PICTURES).collect()
}

fn picture(upstream: Endpoint, stats: &Stats) -> Option<IdleTimes> {
    let known = stats.upstreams.get(&upstream)?;
    let idle = known.idle.as_deref()?;
    let closes = stats.of_server(upstream).and_then(|server| server.idle_close.as_deref());
    let closed_at = closes.map(|closes| Duration::from_micros(closes.quantile_us(0.5)));
    let middle = closed_at.unwrap_or_else(|| idle.failed.longest()).max(idle.failed.longest());
    let width = STEPS_MS.iter().map(|millis| Duration::from_millis(*millis)).find(|step| *step * BINS >= middle)?;
    let mut counts = vec![0; BINS as usize + 2];
    if let Some(closes) = closes {
        closes.count_within((0..=BINS + 1).map(|bin| width * bin), &mut counts);
    }
    let total = closes.map_or(0, Spans::count);
    let bins = (0..=BINS + 1).map(|bin| {
        let from = width * bin;
        let to = (bin <= BINS).then(|| width * (bin + 1));
        let before = counts.get(bin as usize).copied().unwrap_or(0);
        let up_to = to.and_then(|_| counts.get(bin as usize + 1).copied()).unwrap_or(total);
        counted(idle, from, to, up_to.saturating_sub(before))
    });
    let mut bins: Vec<IdleBin> = bins.collect();
    while bins.len() > 1 && bins.last().is_some_and(is_empty) {
        bins.pop();
    }
    let ended: u64 = bins.iter().map(|bin| bin.closed_by_upstream + bin.failed).sum();
    (ended >= FEWEST).then_some(IdleTimes { upstream, bins })
}

fn counted(idle: &Idle, from: Duration, to: Option<Duration>, closed_by_upstream: u64) -> IdleBin {
    let until = to.unwrap_or(Duration::from_secs(7200));
    IdleBin {
        from,
        to,
        reused: idle.reused.between(from, until),
        failed: idle.failed.between(from, until),
        closed_by_upstream,
        closed_by_gateway: idle.closed_by_gateway.between(from, until),
        open: idle.open.between(from, until),
    }
}

const fn is_empty(bin: &IdleBin) -> bool {
    bin.reused + bin.failed + bin.closed_by_upstream + bin.closed_by_gateway == 0
}

/// Fewer ends than this are told in words as well.
const FEWEST: u64 = 3;
/// Pictures at most.
const MOST_PICTURES: usize = 2;
/// Bins up to the time at which the upstream closes.
const BINS: u32 = 8;
/// Widths of bins.
const STEPS_MS: [u64; 14] =
    [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000, 120_000, 300_000, 600_000];
