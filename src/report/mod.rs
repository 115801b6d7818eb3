//! Reports: in comes what the analysis found, out goes text, JSON or CSV. Nothing is judged here.
//!
//! Whatever came off the wire is hostile until shown otherwise. It passes `redact` (secrets are cut) and `escape`
//! (a terminal obeys nothing that is printed), or [`json`]'s own formatter, which hides no octet and lets none act.

pub mod csv;
mod drawing;
mod escape;
pub mod exchanges;
pub mod json;
pub mod ladder;
mod learned;
mod lines;
pub mod metrics;
pub mod ndjson;
mod record;
mod redact;
mod sections;
mod style;
mod table;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod text;
mod units;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use crate::diagnose::cause::Cause;
use crate::diagnose::differ::Difference;
use crate::diagnose::incident::{Episode, Incident, Pairing};
use crate::diagnose::warning::Warning;
use crate::event::{Endpoint, Moment};
use crate::stats::RoundTrips;
use crate::time::Timestamp;

pub use style::Style;

/// A format of the whole report.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// Its name on the command line.
    pub id: &'static str,
    /// Writes the report in it.
    pub write: fn(&Report, &Style, &mut dyn io::Write) -> io::Result<()>,
}

/// All formats; the first one is what a person gets who asks for none.
pub const FORMATS: &[Format] = &[
    Format { id: "text", write: text::write },
    Format { id: "json", write: json::write },
    Format { id: "ndjson", write: ndjson::write },
    Format { id: "csv", write: csv::write },
];

/// All that a run found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The inputs, in the order of the command line.
    pub inputs: Vec<Input>,
    /// The focus expression.
    pub focus: Option<String>,
    /// The filter that the capture itself ran with, where it was taken live.
    pub capture_filter: Option<String>,
    /// What could be seen, and what could not.
    pub coverage: Coverage,
    /// Counts.
    pub totals: Totals,
    /// The gateways that were found.
    pub gateways: Vec<Gateway>,
    /// Servers behind address translation: the name under which each is asked, and its own.
    pub translations: Vec<(Endpoint, Endpoint)>,
    /// The failures, in the order of time.
    pub incidents: Vec<Incident>,
    /// Incidents beyond the bound: counted, not listed.
    pub unlisted: tally::Tallies,
    /// Failures that are one event.
    pub episodes: Vec<Episode>,
    /// What is known of each upstream.
    pub upstreams: Vec<Upstream>,
    /// Latency of every phase, over all upstreams.
    pub latency: Latency,
    /// The paragraphs that name what to do first, most frequent failure first.
    pub do_first: Vec<String>,
    /// What has not failed yet, and will.
    pub warnings: Vec<Warning>,
    /// What failing exchanges have in common that the others do not.
    pub differs: Vec<Difference>,
    /// For how long connections to an upstream were idle, and what became of them: where reuse failed, or waits to fail.
    pub idle_times: Vec<IdleTimes>,
}

/// One input.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// Its name as given; `-` for standard input.
    pub name: String,
    /// `pcap` or `pcapng`, with the compression: `pcap+zstd`. `none` where nothing could be recognised.
    pub format: String,
    /// Names of its link types.
    pub link_types: Vec<String>,
    /// Packets read.
    pub packets: u64,
    /// Octets of the file, before decompression where known.
    pub bytes: u64,
    /// Time of the first packet.
    pub first: Option<Timestamp>,
    /// Time of the last packet.
    pub last: Option<Timestamp>,
    /// `complete`, or how it ended before its end.
    pub ended: String,
    /// How its clock compares with that of the inputs before; `None` where it was read with no other.
    pub clock: Option<Clock>,
}

/// What was found of an input's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// How far it is ahead of the first input's, in nanoseconds, at least and at most; its times are corrected by that. `None`
    /// where too few packets stand in both to tell.
    pub ahead: Option<(i64, i64)>,
    /// How many packets that is told from.
    pub packets: u64,
}

/// What could be seen, and what could not.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Coverage {
    /// Packets that the kernel dropped, where the capture says so.
    pub kernel_drops: u64,
    /// Copies removed.
    pub duplicates: u64,
    /// Packets cut by the snaplen.
    pub truncated_packets: u64,
    /// Holes in streams that the capture is to blame for.
    pub gaps: u64,
    /// Frames that could not be decoded.
    pub undecodable: u64,
    /// Connections and waiting segments given up for want of memory.
    pub evicted: u64,
    /// Connections that carry TLS.
    pub opaque_tls_connections: u64,
    /// What the reader must know.
    pub notes: Vec<String>,
}

/// Counts over all.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// TCP connections.
    pub tcp_connections: u64,
    /// HTTP exchanges of the downstream legs.
    pub exchanges: u64,
    /// Of these, those that are inside TLS, without keys.
    pub encrypted: u64,
    /// Final responses by status, all legs on which a gateway answered (all responses where no gateway was found).
    pub responses: BTreeMap<u16, u64>,
    /// HTTP requests seen on any connection, by method.
    pub requests_seen: BTreeMap<String, u64>,
    /// HTTP responses seen on any connection, by status.
    pub responses_seen: BTreeMap<u16, u64>,
    /// Incidents that the client saw.
    pub gateway_errors: u64,
    /// Failed attempts whose outcome for the client is not visible.
    pub upstream_failures: u64,
    /// Incidents that a retry hid.
    pub masked: u64,
    /// Successes that were broken.
    pub broken: u64,
    /// Requests that the client gave up.
    pub client_aborts: u64,
    /// RST segments, copies excluded.
    pub resets: u64,
    /// Connections that stayed half-closed.
    pub half_closed: u64,
    /// TLS handshakes that failed.
    pub tls_handshake_failures: u64,
    /// Health probes sent by gateways, and those that failed.
    pub health_probes: (u64, u64),
    /// Incidents beyond the bound: counted, not listed.
    pub unlisted_incidents: u64,
    /// Connections that a gateway opened and never used.
    pub unused_connections: u64,
}

/// A gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The product, where it was recognised.
    pub product: Option<String>,
    /// What it was recognised by.
    pub product_evidence: Option<String>,
    /// What it does by habit.
    pub habits: Habits,
}

/// What a gateway does by habit, as far as it was seen: the settings that it seems to have.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    /// Idle times after which it closes connections to upstreams, in clusters.
    pub idle_limit: Vec<Spread>,
    /// Spans after which it gives up on a connection, in clusters.
    pub connect_timeout: Vec<Spread>,
    /// Spans after which it gives up on a response, in clusters.
    pub read_timeout: Vec<Spread>,
    /// For how long it does not ask an upstream that has failed, in clusters.
    pub hold_down: Vec<Spread>,
    /// Failed attempts after which it could have tried again, and those after which it did: of idempotent requests, and of
    /// others.
    pub retries: [(u64, u64); 2],
}

/// For how long connections to an upstream were idle, and what became of them.
#[derive(Clone, Debug)]
pub struct IdleTimes {
    /// The upstream.
    pub upstream: Endpoint,
    /// The shortest spans first.
    pub bins: Vec<IdleBin>,
}

/// What became of connections after such an idle time.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdleBin {
    /// From so long.
    pub from: Duration,
    /// To so long; `None` for all that is longer.
    pub to: Option<Duration>,
    /// Reused with success.
    pub reused: u64,
    /// Reused in vain.
    pub failed: u64,
    /// Closed by the upstream.
    pub closed_by_upstream: u64,
    /// Closed by the gateway.
    pub closed_by_gateway: u64,
    /// Seen last, and still open.
    pub open: u64,
}

/// What is known of one upstream endpoint.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Attempts at it, health probes excluded.
    pub attempts: u64,
    /// Health probes of it, and those that failed.
    pub health_probes: (u64, u64),
    /// Of these, failed, by cause.
    pub failed: BTreeMap<Cause, u64>,
    /// After what idle time it closed unused connections.
    pub idle_close: Option<Spread>,
    /// Greatest idle time after which the gateway reused a connection with success.
    pub longest_reuse: Option<Duration>,
    /// After what wait the gateway gave up on a response.
    pub gave_up: Option<Spread>,
    /// `timeout=` that it announces in Keep-Alive.
    pub announced_timeout: Option<Duration>,
    /// The idle times after which it closed, in clusters.
    pub idle_close_clusters: Vec<Spread>,
    /// Exchanges after which it closed a connection, as it had announced: times, least, most.
    pub exchanges_before_close: Option<(u64, u32, u32)>,
    /// Connections that stayed half-closed.
    pub half_closed: Option<HalfClosed>,
    /// Round trip to it, by its handshakes: how many, the shortest, the average, the longest.
    pub round_trip: Option<RoundTrips>,
    /// Data segments of connections that are over, both directions, the repeated ones included.
    pub segments: u64,
    /// Segments repeated, both directions.
    pub retransmitted: u64,
    /// SYNs repeated.
    pub syns_retransmitted: u64,
    /// Times that it closed its receive window.
    pub zero_windows: u64,
    /// Latency by phase: `connect`, `wait`.
    pub latency: Vec<(&'static str, Quantiles)>,
}

/// Connections that stayed half-closed at an endpoint.
#[derive(Clone, Debug)]
pub struct HalfClosed {
    /// How many.
    pub n: u64,
    /// `upstream` or `gateway`: who had closed.
    pub by: &'static str,
    /// For how long the longest one.
    pub longest: Duration,
    /// Octets sent by the other side after the FIN.
    pub octets_after: u64,
}

/// Least, middle and greatest of a set of spans.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// How many.
    pub n: u64,
    /// Least.
    pub min: Duration,
    /// Middle.
    pub median: Duration,
    /// Greatest.
    pub max: Duration,
}

/// Quantiles of a latency, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Quantiles {
    /// How many.
    pub n: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
    /// Greatest.
    pub max_us: u64,
}

/// Latency of every phase.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Latency {
    /// Last octet of the request to first octet of the response, downstream.
    pub client_wait: Quantiles,
    /// First query to the first answer with an address, of gateways' lookups.
    pub upstream_resolve: Quantiles,
    /// SYN to SYN-ACK, upstream.
    pub upstream_connect: Quantiles,
    /// ClientHello to the end of the handshake, upstream.
    pub upstream_tls: Quantiles,
    /// Last octet of the request to first octet of the response, upstream.
    pub upstream_wait: Quantiles,
    /// Client wait less upstream wait, per pair.
    pub gateway_added: Quantiles,
    /// Client wait of the failed exchanges.
    pub failed_wait: Quantiles,
}

/// One exchange, for the table of all exchanges.
#[derive(Clone, Debug)]
pub struct ExchangeRow {
    /// Time of the request's first octet.
    pub time: Timestamp,
    /// The client's end.
    pub client: Endpoint,
    /// The gateway's (or server's) end.
    pub gateway: Endpoint,
    /// Method.
    pub method: Option<Box<str>>,
    /// Target, as sent: reports cut its query values.
    pub target: Option<Box<str>>,
    /// Status; `None` without a response.
    pub status: Option<u16>,
    /// Attempts made for it.
    pub attempts: u32,
    /// The last attempt's upstream.
    pub upstream: Option<Endpoint>,
    /// The gateway's port there.
    pub gateway_port: Option<u16>,
    /// What that upstream answered.
    pub upstream_status: Option<u16>,
    /// How sure the pairing is.
    pub pairing: Option<Pairing>,
    /// Last octet of the request to first octet of the response, downstream.
    pub client_wait: Option<Duration>,
    /// SYN to SYN-ACK of the last attempt, where it opened a connection.
    pub connect: Option<Duration>,
    /// ClientHello to the end of the handshake of the last attempt, where it opened a connection.
    pub tls: Option<Duration>,
    /// Last octet of the request to first octet of the response, upstream.
    pub upstream_wait: Option<Duration>,
    /// Client wait less upstream wait.
    pub gateway_added: Option<Duration>,
    /// Octets of the request, header section included.
    pub request_bytes: u64,
    /// Octets of the response, header section included.
    pub response_bytes: u64,
    /// Frames of request and response downstream, then upstream.
    pub frames: [Option<Moment>; 4],
}
