//! The report as one JSON object. Keys are a contract: new ones may come, none goes.

mod learned;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;

use serde::{Serialize, Serializer};
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};

use crate::diagnose::cause::Cause;
use crate::diagnose::incident::Incident;
use crate::event::Endpoint;
use crate::report::json::learned::{DifferenceRecord, HabitsRecord, IdleTimesRecord, LimitRecord, WarningRecord};
use crate::report::record::{self, EpisodeRecord, IncidentRecord, Time, us};
use crate::report::{
    Clock, Coverage, Gateway, HalfClosed, Input, Latency, Quantiles, Report, Spread, Style, Totals, Upstream, escape,
};
use crate::stats::RoundTrips;

/// Name and version of the keys.
pub const SCHEMA: &str = "netwatch502/report/1";

/// Writes the report as one object, indented.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let document = Document { incidents: Some(Incidents { list: &report.incidents, style }), ..summary(report, style) };
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Visible(PrettyFormatter::new()));
    document.serialize(&mut serializer)?;
    writeln!(out)
}

/// Writes one object on one line.
pub(super) fn line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(&mut *out, Visible(CompactFormatter));
    value.serialize(&mut serializer)?;
    writeln!(out)
}

/// The report, or all of it but the incidents.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    schema: &'static str,
    inputs: Vec<InputRecord<'a>>,
    focus: Option<&'a str>,
    capture_filter: Option<&'a str>,
    coverage: &'a Coverage,
    totals: TotalsRecord<'a>,
    gateways: Vec<GatewayRecord<'a>>,
    translations: Vec<TranslationRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incidents: Option<Incidents<'a>>,
    episodes: Vec<EpisodeRecord<'a>>,
    upstreams: Vec<UpstreamRecord<'a>>,
    latency: &'a Latency,
    do_first: Vec<Cow<'a, str>>,
    warnings: Vec<WarningRecord<'a>>,
    differs: Vec<DifferenceRecord<'a>>,
    idle_times: Vec<IdleTimesRecord>,
}

/// All of the report but the incidents.
pub(super) fn summary<'a>(report: &'a Report, style: &Style) -> Document<'a> {
    Document {
        schema: SCHEMA,
        inputs: report.inputs.iter().map(input).collect(),
        focus: report.focus.as_deref(),
        capture_filter: report.capture_filter.as_deref(),
        coverage: &report.coverage,
        totals: totals(&report.totals),
        gateways: report.gateways.iter().map(gateway).collect(),
        translations: report
            .translations
            .iter()
            .map(|(asked, own)| TranslationRecord { asked: *asked, endpoint: *own })
            .collect(),
        incidents: None,
        episodes: report.episodes.iter().map(|episode| record::episode(episode, style)).collect(),
        upstreams: report.upstreams.iter().map(upstream).collect(),
        latency: &report.latency,
        do_first: record::sentences(&report.do_first, style),
        warnings: report.warnings.iter().map(|one| learned::warning(one, style)).collect(),
        differs: report.differs.iter().map(|one| learned::difference(one, style)).collect(),
        idle_times: report.idle_times.iter().map(learned::idle_times).collect(),
    }
}

struct Incidents<'a> {
    list: &'a [Incident],
    style: &'a Style,
}

impl Serialize for Incidents<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let record = |incident| -> IncidentRecord<'_> { record::incident(incident, self.style) };
        serializer.collect_seq(self.list.iter().map(record))
    }
}

#[derive(Serialize)]
struct InputRecord<'a> {
    name: &'a str,
    format: &'a str,
    link_types: &'a [String],
    packets: u64,
    bytes: u64,
    first: Option<Time>,
    last: Option<Time>,
    ended: &'a str,
    clock: Option<ClockRecord>,
}

/// An input's clock beside that of the first one.
#[derive(Serialize)]
struct ClockRecord {
    ahead_us: Option<AheadRecord>,
    shared_packets: u64,
}

/// How far it is ahead; behind where it is negative. Its times are given without that.
#[derive(Serialize)]
struct AheadRecord {
    min: i64,
    max: i64,
}

/// A server behind address translation.
#[derive(Serialize)]
struct TranslationRecord {
    asked: Endpoint,
    endpoint: Endpoint,
}

#[derive(Serialize)]
struct TotalsRecord<'a> {
    tcp_connections: u64,
    exchanges: u64,
    responses: &'a BTreeMap<u16, u64>,
    requests_seen: &'a BTreeMap<String, u64>,
    responses_seen: &'a BTreeMap<u16, u64>,
    gateway_errors: u64,
    upstream_failures: u64,
    masked: u64,
    broken: u64,
    client_aborts: u64,
    resets: u64,
    half_closed: u64,
    tls_handshake_failures: u64,
    health_probes: Probes,
    unlisted_incidents: u64,
    unused_connections: u64,
}

#[derive(Serialize)]
struct Probes {
    sent: u64,
    failed: u64,
}

#[derive(Serialize)]
struct GatewayRecord<'a> {
    addresses: &'a [IpAddr],
    product: Option<&'a str>,
    product_evidence: Option<&'a str>,
    habits: HabitsRecord,
}

#[derive(Serialize)]
struct UpstreamRecord<'a> {
    endpoint: Endpoint,
    attempts: u64,
    failed: &'a BTreeMap<Cause, u64>,
    health_probes: Probes,
    idle_close_us: Option<SpreadRecord>,
    idle_close_clusters_us: Vec<SpreadRecord>,
    exchanges_before_close: Option<LimitRecord>,
    longest_reuse_us: Option<u64>,
    gave_up_us: Option<SpreadRecord>,
    announced_timeout_us: Option<u64>,
    half_closed: Option<HalfClosedRecord>,
    rtt_us: Option<RoundTripRecord>,
    segments: u64,
    retransmitted: u64,
    syns_retransmitted: u64,
    zero_windows: u64,
    #[serde(serialize_with = "phases")]
    latency: &'a [(&'static str, Quantiles)],
}

#[derive(Serialize)]
struct SpreadRecord {
    n: u64,
    min: u64,
    median: u64,
    max: u64,
}

#[derive(Serialize)]
struct RoundTripRecord {
    n: u64,
    min: u64,
    mean: u64,
    max: u64,
}

fn round_trip(taken: RoundTrips) -> RoundTripRecord {
    RoundTripRecord { n: taken.n, min: us(taken.min), mean: us(taken.mean()), max: us(taken.max) }
}

#[derive(Serialize)]
struct HalfClosedRecord {
    n: u64,
    by: &'static str,
    longest_us: u64,
    octets_after: u64,
}

fn input(input: &Input) -> InputRecord<'_> {
    InputRecord {
        name: &input.name,
        format: &input.format,
        link_types: &input.link_types,
        packets: input.packets,
        bytes: input.bytes,
        first: input.first.map(Time),
        last: input.last.map(Time),
        ended: &input.ended,
        clock: input.clock.map(|Clock { ahead, packets }| ClockRecord {
            ahead_us: ahead.map(|(least, most)| AheadRecord { min: least / 1000, max: most / 1000 }),
            shared_packets: packets,
        }),
    }
}

fn totals(totals: &Totals) -> TotalsRecord<'_> {
    TotalsRecord {
        tcp_connections: totals.tcp_connections,
        exchanges: totals.exchanges,
        responses: &totals.responses,
        requests_seen: &totals.requests_seen,
        responses_seen: &totals.responses_seen,
        gateway_errors: totals.gateway_errors,
        upstream_failures: totals.upstream_failures,
        masked: totals.masked,
        broken: totals.broken,
        client_aborts: totals.client_aborts,
        resets: totals.resets,
        half_closed: totals.half_closed,
        tls_handshake_failures: totals.tls_handshake_failures,
        health_probes: probes(totals.health_probes),
        unlisted_incidents: totals.unlisted_incidents,
        unused_connections: totals.unused_connections,
    }
}

const fn probes((sent, failed): (u64, u64)) -> Probes {
    Probes { sent, failed }
}

fn gateway(gateway: &Gateway) -> GatewayRecord<'_> {
    GatewayRecord {
        addresses: &gateway.addresses,
        product: gateway.product.as_deref(),
        product_evidence: gateway.product_evidence.as_deref(),
        habits: learned::habits(&gateway.habits),
    }
}

fn upstream(upstream: &Upstream) -> UpstreamRecord<'_> {
    UpstreamRecord {
        endpoint: upstream.endpoint,
        attempts: upstream.attempts,
        failed: &upstream.failed,
        health_probes: probes(upstream.health_probes),
        idle_close_us: upstream.idle_close.map(spread),
        idle_close_clusters_us: upstream.idle_close_clusters.iter().copied().map(spread).collect(),
        exchanges_before_close: upstream.exchanges_before_close.map(|(n, min, max)| LimitRecord { n, min, max }),
        longest_reuse_us: upstream.longest_reuse.map(us),
        gave_up_us: upstream.gave_up.map(spread),
        announced_timeout_us: upstream.announced_timeout.map(us),
        half_closed: upstream.half_closed.as_ref().map(half_closed),
        rtt_us: upstream.round_trip.map(round_trip),
        segments: upstream.segments,
        retransmitted: upstream.retransmitted,
        syns_retransmitted: upstream.syns_retransmitted,
        zero_windows: upstream.zero_windows,
        latency: &upstream.latency,
    }
}

fn spread(spread: Spread) -> SpreadRecord {
    SpreadRecord { n: spread.n, min: us(spread.min), median: us(spread.median), max: us(spread.max) }
}

fn half_closed(half: &HalfClosed) -> HalfClosedRecord {
    HalfClosedRecord { n: half.n, by: half.by, longest_us: us(half.longest), octets_after: half.octets_after }
}

fn phases<S: Serializer>(phases: &[(&'static str, Quantiles)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(phases.iter().copied())
}

/// JSON demands escapes for C0 alone. A report is read in terminals too, so what a terminal would obey is escaped as
/// well: the reader's parser gives back every character.
struct Visible<F>(F);

impl<F: Formatter> Formatter for Visible<F> {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        for part in fragment.split_inclusive(escape::acts) {
            let plain = part.trim_end_matches(escape::acts);
            self.0.write_string_fragment(writer, plain)?;
            for unit in part.get(plain.len()..).unwrap_or_default().encode_utf16() {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}
