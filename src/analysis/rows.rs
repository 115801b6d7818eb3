//! What was counted and measured, as the report has it.

use std::time::Duration;

use crate::analysis::learned::spreads;
use crate::correlate::Case;
use crate::correlate::conversation::Exchange;
use crate::diagnose::Diagnoser;
use crate::report::{self, ExchangeRow, HalfClosed, Latency, Quantiles, Spread};
use crate::stats::{Spans, Stats};

pub(super) fn row(case: &Case<'_>) -> ExchangeRow {
    let exchange = case.root.exchange;
    let own = |attempt: &&crate::correlate::Try<'_>| attempt.hop == 0;
    let last = case.attempts.iter().rev().find(own);
    let attempt = last.map(|attempt| attempt.party.exchange);
    let client_wait = exchange.wait();
    let upstream_wait = attempt.and_then(Exchange::wait);
    let octets = |exchange: &Exchange| {
        let start = exchange.response_start.as_ref().map_or(0, |start| start.at);
        exchange.response_end.map_or(0, |end| end.end.saturating_sub(start))
    };
    ExchangeRow {
        time: exchange.started.at,
        client: exchange.client,
        gateway: exchange.server,
        method: exchange.request.as_ref().map(|request| request.method().into()),
        target: exchange.request.as_ref().map(|request| request.target().into()),
        status: exchange.status(),
        attempts: u32::try_from(case.attempts.iter().filter(own).count()).unwrap_or(u32::MAX),
        upstream: attempt.map(|attempt| attempt.server),
        gateway_port: attempt.map(|attempt| attempt.client.port()),
        upstream_status: attempt.and_then(Exchange::status),
        pairing: last.map(|attempt| attempt.pairing),
        client_wait,
        connect: last.filter(|last| !last.party.exchange.reused).and_then(|last| last.party.conversation.connect()),
        tls: last.filter(|last| !last.party.exchange.reused).and_then(|last| last.party.conversation.secured()),
        upstream_wait,
        gateway_added: client_wait.zip(upstream_wait).map(|(client, upstream)| client.saturating_sub(upstream)),
        request_bytes: exchange.request_size().unwrap_or(0),
        response_bytes: octets(exchange),
        frames: [
            exchange.request_start.map(|_| exchange.started),
            exchange.response_start.as_ref().map(|start| start.moment),
            attempt.filter(|attempt| attempt.request_start.is_some()).map(|attempt| attempt.started),
            attempt.and_then(|attempt| attempt.response_start.as_ref()).map(|start| start.moment),
        ],
    }
}

pub(super) fn upstreams(stats: &Stats, diagnoser: &Diagnoser) -> Vec<report::Upstream> {
    let of = |(endpoint, upstream): (&crate::event::Endpoint, &crate::stats::Upstream)| {
        let server = stats.of_server(*endpoint);
        let half_closed = server.filter(|server| server.half_closed.iter().any(|n| *n > 0)).map(|server| {
            let [gateway, own] = server.half_closed;
            HalfClosed {
                n: gateway + own,
                by: if own >= gateway { "upstream" } else { "gateway" },
                longest: server.half_closed_longest,
                octets_after: server.half_closed_octets,
            }
        });
        let latency = [("connect", &upstream.connect), ("tls", &upstream.tls), ("wait", &upstream.wait)];
        report::Upstream {
            endpoint: *endpoint,
            attempts: upstream.attempts,
            health_probes: upstream.probes,
            failed: diagnoser.failed(*endpoint),
            idle_close: server.and_then(|server| server.idle_close.as_deref()).and_then(spread),
            longest_reuse: upstream.longest_reuse,
            gave_up: upstream.gave_up.as_deref().and_then(spread),
            announced_timeout: upstream.announced_timeout,
            idle_close_clusters: server.map(|server| spreads(&server.idle_clusters)).unwrap_or_default(),
            exchanges_before_close: upstream.idle.as_deref().and_then(|idle| idle.exchanges),
            half_closed,
            round_trip: server.map(|server| server.round_trip).filter(|round_trip| round_trip.n > 0),
            segments: server.map_or(0, |server| server.segments),
            retransmitted: server.map_or(0, |server| server.repeated),
            syns_retransmitted: server.map_or(0, |server| server.syns_repeated),
            zero_windows: server.map_or(0, |server| server.windows_closed),
            latency: latency
                .into_iter()
                .filter_map(|(name, spans)| spans.as_deref().map(|spans| (name, quantiles(spans))))
                .collect(),
        }
    };
    stats.upstreams.sorted().into_iter().map(of).collect()
}

pub(super) fn latency(stats: &Stats) -> Latency {
    Latency {
        client_wait: quantiles(&stats.client_wait),
        upstream_resolve: quantiles(&stats.upstream_resolve),
        upstream_connect: quantiles(&stats.upstream_connect()),
        upstream_tls: quantiles(&stats.upstream_tls()),
        upstream_wait: quantiles(&stats.upstream_wait()),
        gateway_added: quantiles(&stats.gateway_added),
        failed_wait: quantiles(&stats.failed_wait),
    }
}

fn spread(spans: &Spans) -> Option<Spread> {
    (spans.count() > 0).then(|| Spread {
        n: spans.count(),
        min: spans.min(),
        median: Duration::from_micros(spans.quantile_us(0.5)),
        max: spans.max(),
    })
}

fn quantiles(spans: &Spans) -> Quantiles {
    Quantiles {
        n: spans.count(),
        p50_us: spans.quantile_us(0.5),
        p90_us: spans.quantile_us(0.9),
        p99_us: spans.quantile_us(0.99),
        p999_us: spans.quantile_us(0.999),
        max_us: u64::try_from(spans.max().as_micros()).unwrap_or(u64::MAX),
    }
}
