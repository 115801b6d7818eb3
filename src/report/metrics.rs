//! Metrics for Prometheus: in comes what was counted so far, out goes its text exposition format 0.0.4.
//!
//! Every counter only grows while the program runs, and every set of labels is bounded: which upstreams and statuses have
//! labels of their own is settled when they are first seen, and the rest are `other`.
//!
//! Buckets of latencies end at powers of 2, and between these at powers of the square root of 2, of a second: as those of a
//! native histogram of schema 1 (of schema 0 for a single upstream).

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::diagnose::cause::Cause;
use crate::diagnose::incident::{Grade, Incident, Kind};
use crate::event::Endpoint;
use crate::report::{Coverage, Totals};
use crate::stats::{Spans, Stats};

/// What was counted since the program began. It lives as long, so that labels stay what they are.
///
/// Memory: 0.8 KB for each of [`MOST_UPSTREAMS`], and what their incidents differ in.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Packets that were looked at.
    pub packets: u64,
    /// What the interfaces counted, by name.
    pub interfaces: BTreeMap<String, Interface>,
    /// The part of the connections that is followed: less than 1 where there is not processor time for all.
    pub followed: f64,
    /// Processor time that the program has taken.
    pub cpu: Duration,
    /// Octets of memory that the program has in use.
    pub resident_bytes: u64,
    /// When the program began, seconds since 1970.
    pub started: Duration,
    coverage: [u64; 5],
    connections: u64,
    incidents: BTreeMap<(Cause, Kind, Grade, String), u64>,
    exchanges: BTreeMap<String, u64>,
    latency: BTreeMap<&'static str, Latency>,
    upstreams: BTreeMap<String, Upstream>,
    named_upstreams: Vec<Endpoint>,
    named_statuses: Vec<u16>,
}

/// What an interface counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Interface {
    /// Packets received.
    pub received: u64,
    /// Packets that the kernel dropped for want of room.
    pub dropped_by_kernel: u64,
    /// Packets that the interface or its driver dropped.
    pub dropped_by_interface: u64,
}

#[derive(Clone, Debug, Default)]
struct Upstream {
    attempts: u64,
    /// Segments, repeated ones, repeated SYNs, and windows shut.
    path: [u64; 4],
    latency: BTreeMap<&'static str, Latency>,
}

/// A latency's cumulative counts at each of the bounds, and over all.
#[derive(Clone, Debug)]
struct Latency {
    within: [u64; BOUNDS],
    count: u64,
    sum: Duration,
}

impl Default for Latency {
    fn default() -> Self {
        Self { within: [0; BOUNDS], count: 0, sum: Duration::ZERO }
    }
}

impl Snapshot {
    /// Takes over what an analysis has counted by now.
    pub fn update(&mut self, stats: &Stats, totals: &Totals, coverage: &Coverage) {
        self.connections = totals.tcp_connections;
        self.coverage =
            [coverage.duplicates, coverage.truncated_packets, coverage.undecodable, coverage.gaps, coverage.evicted];
        self.exchanges.clear();
        for (status, count) in &totals.responses {
            let status = label(&mut self.named_statuses, *status, MOST_STATUSES);
            *self.exchanges.entry(status).or_default() += count;
        }
        let unanswered = totals.exchanges.saturating_sub(totals.responses.values().sum());
        self.exchanges.insert(NONE.to_owned(), unanswered);
        self.latency = BTreeMap::from(
            [
                ("client_wait", &stats.client_wait),
                ("upstream_resolve", &stats.upstream_resolve),
                ("upstream_connect", &stats.upstream_connect()),
                ("upstream_tls", &stats.upstream_tls()),
                ("upstream_wait", &stats.upstream_wait()),
                ("gateway_added", &stats.gateway_added),
                ("failed_wait", &stats.failed_wait),
            ]
            .map(|(phase, spans)| (phase, Latency::of(spans))),
        );
        self.upstreams.clear();
        for (endpoint, numbers) in stats.upstreams.sorted() {
            let name = label(&mut self.named_upstreams, *endpoint, MOST_UPSTREAMS);
            let upstream = self.upstreams.entry(name).or_default();
            upstream.attempts += numbers.attempts;
            if let Some(server) = stats.of_server(*endpoint) {
                let own = [server.segments, server.repeated, server.syns_repeated, server.windows_closed];
                upstream.path.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
            }
            for (phase, spans) in [("connect", &numbers.connect), ("tls", &numbers.tls), ("wait", &numbers.wait)] {
                if let Some(spans) = spans {
                    upstream.latency.entry(phase).or_default().add(&Latency::of(spans));
                }
            }
        }
    }

    /// Counts an incident. Once: what is counted stays so, and what a later verdict amends does not change it.
    pub fn incident(&mut self, incident: &Incident) {
        let of_cause = |outcome: &Option<Cause>| *outcome == Some(incident.cause);
        let attempts = || incident.attempts.iter().rev().filter(|attempt| attempt.outcome.is_some());
        let attempt = attempts().find(|attempt| of_cause(&attempt.outcome)).or_else(|| attempts().next());
        let upstream = attempt
            .and_then(|attempt| attempt.upstream)
            .map_or_else(|| NONE.to_owned(), |upstream| label(&mut self.named_upstreams, upstream, MOST_UPSTREAMS));
        *self.incidents.entry((incident.cause, incident.kind, incident.grade, upstream)).or_default() += 1;
    }
}

/// Writes the exposition of a snapshot.
pub fn write(snapshot: &Snapshot, out: &mut String) {
    let mut families = [judged(snapshot), paths(snapshot), latencies(snapshot), seen(snapshot), own(snapshot)].concat();
    families.retain(|family| !family.get_metric().is_empty());
    // It fails for families without a metric alone, and there is none.
    let _ = TextEncoder::new().encode_utf8(&families, out);
}

fn judged(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let incidents = snapshot.incidents.iter().map(|((cause, kind, grade, upstream), count)| {
        let labels = [("cause", cause.id()), ("grade", grade.id()), ("kind", kind.id()), ("upstream", upstream)];
        counter(&labels, *count as f64)
    });
    let exchanges = snapshot.exchanges.iter().map(|(status, count)| counter(&[("status", status)], *count as f64));
    let attempts = snapshot.upstreams.iter();
    let attempts = attempts.map(|(name, upstream)| counter(&[("upstream", name)], upstream.attempts as f64));
    vec![
        family(
            "netwatch502_exchanges_total",
            "HTTP exchanges of gateways with their clients, by the status that the client saw.",
            MetricType::COUNTER,
            exchanges.collect(),
        ),
        family(
            "netwatch502_incidents_total",
            "Failures at gateways, by cause.",
            MetricType::COUNTER,
            incidents.collect(),
        ),
        family(
            "netwatch502_upstream_attempts_total",
            "Attempts of gateways at an upstream, health probes excluded.",
            MetricType::COUNTER,
            attempts.collect(),
        ),
    ]
}

/// What the ways to the upstreams are like. Connections count once they are over.
fn paths(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let told = [
        ("netwatch502_upstream_segments_total", "Data segments to and from an upstream, repeated ones included."),
        ("netwatch502_upstream_retransmitted_segments_total", "Data segments that were sent again."),
        ("netwatch502_upstream_retransmitted_syns_total", "SYNs that were sent again."),
        ("netwatch502_upstream_zero_windows_total", "Times that an upstream closed its receive window."),
    ];
    let of = |(index, (name, help)): (usize, (&str, &str))| {
        let upstreams = snapshot.upstreams.iter();
        let value = |upstream: &Upstream| upstream.path.get(index).copied().unwrap_or_default() as f64;
        let counted = upstreams.map(|(label, upstream)| counter(&[("upstream", label)], value(upstream)));
        family(name, help, MetricType::COUNTER, counted.collect())
    };
    told.into_iter().enumerate().map(of).collect()
}

fn latencies(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let by_phase = snapshot.latency.iter().map(|(phase, latency)| latency.metric(&[("phase", phase)], 1));
    let by_upstream = snapshot.upstreams.iter().flat_map(|(name, upstream)| {
        let of = move |(phase, latency): (&&str, &Latency)| latency.metric(&[("phase", phase), ("upstream", name)], 2);
        upstream.latency.iter().map(of)
    });
    vec![
        family(
            "netwatch502_latency_seconds",
            "Time taken by each phase of an exchange, over all upstreams.",
            MetricType::HISTOGRAM,
            by_phase.collect(),
        ),
        family(
            "netwatch502_upstream_latency_seconds",
            "Time taken to connect to an upstream (SYN to SYN-ACK), and waited for its response to begin.",
            MetricType::HISTOGRAM,
            by_upstream.collect(),
        ),
    ]
}

fn seen(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let [duplicates, truncated, undecodable, gaps, evicted] = snapshot.coverage;
    let single = [
        ("netwatch502_packets_total", "Packets that were looked at.", snapshot.packets),
        ("netwatch502_duplicate_packets_total", "Copies of a packet that were left out.", duplicates),
        ("netwatch502_truncated_packets_total", "Packets cut by the snaplen.", truncated),
        ("netwatch502_undecodable_packets_total", "Packets that could not be decoded.", undecodable),
        ("netwatch502_gaps_total", "Holes in streams that the capture is to blame for.", gaps),
        ("netwatch502_evictions_total", "Connections given up for want of memory.", evicted),
        ("netwatch502_connections_total", "TCP connections seen.", snapshot.connections),
    ];
    let mut families: Vec<MetricFamily> = single
        .into_iter()
        .map(|(name, help, count)| family(name, help, MetricType::COUNTER, vec![counter(&[], count as f64)]))
        .collect();
    let received = snapshot.interfaces.iter();
    let received = received.map(|(name, interface)| counter(&[("interface", name)], interface.received as f64));
    families.push(family(
        "netwatch502_received_packets_total",
        "Packets that the kernel received for the capture.",
        MetricType::COUNTER,
        received.collect(),
    ));
    let dropped = snapshot.interfaces.iter().flat_map(|(name, interface)| {
        let by = [("kernel", interface.dropped_by_kernel), ("interface", interface.dropped_by_interface)];
        by.map(|(by, count)| counter(&[("by", by), ("interface", name)], count as f64))
    });
    families.push(family(
        "netwatch502_dropped_packets_total",
        "Packets that did not reach the program: the kernel had no room, or the interface dropped them.",
        MetricType::COUNTER,
        dropped.collect(),
    ));
    families.push(family(
        "netwatch502_followed_ratio",
        "The part of the connections that is followed, less than 1 where --max-cpu does not allow for all.",
        MetricType::GAUGE,
        vec![gauge(&[], snapshot.followed)],
    ));
    families
}

/// What every program says of itself, under the names that all use.
fn own(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let gauge_of = |value| vec![gauge(&[], value)];
    vec![
        family(
            "netwatch502_build_info",
            "The version that runs.",
            MetricType::GAUGE,
            vec![gauge(&[("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        ),
        family(
            "process_cpu_seconds_total",
            "Processor time that the program has taken.",
            MetricType::COUNTER,
            vec![counter(&[], snapshot.cpu.as_secs_f64())],
        ),
        family(
            "process_resident_memory_bytes",
            "Memory that the program has in use.",
            MetricType::GAUGE,
            gauge_of(snapshot.resident_bytes as f64),
        ),
        family(
            "process_start_time_seconds",
            "When the program began, since 1970.",
            MetricType::GAUGE,
            gauge_of(snapshot.started.as_secs_f64()),
        ),
    ]
}

impl Latency {
    fn of(spans: &Spans) -> Self {
        let mut within = [0; BOUNDS];
        spans.count_within((0..BOUNDS).map(|index| Duration::from_secs_f64(bound(index))), &mut within);
        Self { within, count: spans.count(), sum: spans.sum() }
    }

    fn add(&mut self, other: &Self) {
        self.within.iter_mut().zip(other.within).for_each(|(count, more)| *count += more);
        self.count += other.count;
        self.sum += other.sum;
    }

    /// With every `step`th bound; the last one is among them.
    fn metric(&self, labels: &[(&str, &str)], step: usize) -> Metric {
        let buckets = self.within.iter().enumerate().skip(step - 1).step_by(step).map(|(index, count)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound(index));
            bucket.set_cumulative_count(*count);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(self.count);
        histogram.set_sample_sum(self.sum.as_secs_f64());
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        metric
    }
}

/// The bound with an index, seconds.
fn bound(index: usize) -> f64 {
    f64::exp2((index as f64 + FIRST_HALF_POWER) / 2.0)
}

/// A name of its own for each of the first `most` values.
fn label<T: Copy + PartialEq + ToString>(named: &mut Vec<T>, value: T, most: usize) -> String {
    if named.contains(&value) {
        return value.to_string();
    }
    if named.len() >= most {
        return "other".to_owned();
    }
    named.push(value);
    value.to_string()
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn counter(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut counter = Counter::default();
    counter.set_value(value);
    let mut metric = labelled(labels);
    metric.set_counter(counter);
    metric
}

fn gauge(labels: &[(&str, &str)], value: f64) -> Metric {
    let mut gauge = Gauge::default();
    gauge.set_value(value);
    let mut metric = labelled(labels);
    metric.set_gauge(gauge);
    metric
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

/// Upstreams that have a label of their own.
pub const MOST_UPSTREAMS: usize = 64;
/// Statuses that have a label of their own.
const MOST_STATUSES: usize = 64;
/// The label of what has no upstream, or no status.
const NONE: &str = "none";
/// The bounds: 40 of them, from 86 µs to 64 s.
const BOUNDS: usize = 40;
/// The first bound is 2 to the power of half of this: √2 × 2⁻¹⁴ s.
const FIRST_HALF_POWER: f64 = -27.0;
