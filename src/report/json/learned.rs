//! The objects of what many exchanges taught.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::diagnose::differ::Difference;
use crate::diagnose::warning::Warning;
use crate::event::Endpoint;
use crate::report::json::{SpreadRecord, spread};
use crate::report::record::us;
use crate::report::{Habits, IdleBin, IdleTimes, Style};
use crate::stats::clusters::Cluster;

#[derive(Serialize)]
pub(super) struct WarningRecord<'a> {
    kind: &'static str,
    upstreams: &'a [Endpoint],
    gateway: IpAddr,
    idle_close_us: SpreadRecord,
    gateway_idle_limit_us: Option<SpreadRecord>,
    announced_timeout_us: Option<u64>,
    longest_reuse_us: Option<u64>,
    summary: Cow<'a, str>,
}

#[derive(Serialize)]
pub(super) struct DifferenceRecord<'a> {
    facet: &'static str,
    value: Cow<'a, str>,
    failed: u64,
    failed_of: u64,
    others: u64,
    others_of: u64,
}

#[derive(Serialize)]
pub(super) struct IdleTimesRecord {
    upstream: Endpoint,
    bins: Vec<IdleBinRecord>,
}

#[derive(Serialize)]
struct IdleBinRecord {
    from_us: u64,
    to_us: Option<u64>,
    reused: u64,
    failed: u64,
    closed_by_upstream: u64,
    closed_by_gateway: u64,
    open: u64,
}

#[derive(Serialize)]
pub(super) struct HabitsRecord {
    idle_limit_us: Vec<SpreadRecord>,
    connect_timeout_us: Vec<SpreadRecord>,
    read_timeout_us: Vec<SpreadRecord>,
    hold_down_us: Vec<SpreadRecord>,
    retries: RetriesRecord,
}

#[derive(Serialize)]
struct RetriesRecord {
    idempotent: RetryRecord,
    other: RetryRecord,
}

#[derive(Serialize)]
struct RetryRecord {
    failed: u64,
    retried: u64,
}

#[derive(Serialize)]
pub(super) struct LimitRecord {
    pub(super) n: u64,
    pub(super) min: u32,
    pub(super) max: u32,
}

pub(super) fn warning<'a>(warning: &'a Warning, style: &Style) -> WarningRecord<'a> {
    WarningRecord {
        kind: warning.kind,
        upstreams: &warning.upstreams,
        gateway: warning.gateway,
        idle_close_us: cluster(&warning.idle_close),
        gateway_idle_limit_us: warning.idle_limit.as_ref().map(cluster),
        announced_timeout_us: warning.announced_timeout.map(us),
        longest_reuse_us: warning.longest_reuse.map(us),
        summary: style.cut_prose(&warning.summary),
    }
}

pub(super) fn difference<'a>(difference: &'a Difference, style: &Style) -> DifferenceRecord<'a> {
    DifferenceRecord {
        facet: difference.facet,
        value: style.cut_target(&difference.value),
        failed: difference.failed,
        failed_of: difference.failed_of,
        others: difference.others,
        others_of: difference.others_of,
    }
}

pub(super) fn idle_times(times: &IdleTimes) -> IdleTimesRecord {
    let bin = |bin: &IdleBin| IdleBinRecord {
        from_us: us(bin.from),
        to_us: bin.to.map(us),
        reused: bin.reused,
        failed: bin.failed,
        closed_by_upstream: bin.closed_by_upstream,
        closed_by_gateway: bin.closed_by_gateway,
        open: bin.open,
    };
    IdleTimesRecord { upstream: times.upstream, bins: times.bins.iter().map(bin).collect() }
}

pub(super) fn habits(habits: &Habits) -> HabitsRecord {
    let all = |spreads: &[crate::report::Spread]| spreads.iter().copied().map(spread).collect();
    let retry = |(failed, retried)| RetryRecord { failed, retried };
    let [idempotent, other] = habits.retries;
    HabitsRecord {
        idle_limit_us: all(&habits.idle_limit),
        connect_timeout_us: all(&habits.connect_timeout),
        read_timeout_us: all(&habits.read_timeout),
        hold_down_us: all(&habits.hold_down),
        retries: RetriesRecord { idempotent: retry(idempotent), other: retry(other) },
    }
}

fn cluster(cluster: &Cluster) -> SpreadRecord {
    let [min, median, max] = [cluster.min_us, cluster.median_us(), cluster.max_us].map(Duration::from_micros).map(us);
    SpreadRecord { n: cluster.n, min, median, max }
}
