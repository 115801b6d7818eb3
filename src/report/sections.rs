//! The tables of the text report: causes, episodes, upstreams, latency.

use std::io::{self, Write};

use crate::diagnose::cause::Cause;
use crate::event::Endpoint;
use crate::report::style::Paint;
use crate::report::table::{self, Cell, Column};
use crate::report::tally::{self, Tallies, Tally};
use crate::report::{Latency, Quantiles, Report, Spread, Style, Upstream, units};
use crate::time::Timestamp;

/// Rows of a table, beyond which the rest is counted.
pub(super) const ROWS: usize = 20;

/// In place of an example, where none is listed.
const NOT_KNOWN: &str = "-";

/// Upstreams named in a cell.
const NAMED: usize = 2;

/// Each cause: how often, how sure, where, when, and an incident to look at.
pub(super) fn causes(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut tallies = Tallies::new();
    report.incidents.iter().for_each(|incident| tally::add(&mut tallies, incident));
    tally::merge(&mut tallies, &report.unlisted);
    if tallies.is_empty() {
        return Ok(());
    }
    let mut tallies: Vec<(Cause, Tally)> = tallies.into_iter().collect();
    tallies.sort_by_key(|(_, tally)| std::cmp::Reverse((tally.failed, tally.masked, tally.other)));
    let dates = tallies.iter().flat_map(|(_, tally)| [tally.first, tally.last].map(units::date));
    let one_day = dates.clone().min() == dates.max();
    let columns = [
        Column::left("CAUSE"),
        Column::right("FAILED"),
        Column::right("MASKED"),
        Column::right("OTHER"),
        Column::left("GRADE"),
        Column::left("UPSTREAMS"),
        Column::left("FIRST"),
        Column::left("LAST"),
        Column::left("EXAMPLE"),
    ];
    let other = tallies.iter().any(|(_, tally)| tally.other > 0);
    let rows = tallies.iter().map(|(cause, tally)| {
        let number = |n: u64, paint| Cell::painted(units::thousands(n), if n > 0 { paint } else { Paint::Dim });
        vec![
            Cell::painted(cause.id(), Paint::Bold),
            number(tally.failed, Paint::Red),
            number(tally.masked, Paint::Yellow),
            if other { number(tally.other, Paint::Plain) } else { Cell::default() },
            grades(tally).into(),
            named_upstreams(tally, report.upstreams.len(), style).into(),
            when(tally.first, one_day).into(),
            when(tally.last, one_day).into(),
            tally.example.map_or_else(|| NOT_KNOWN.to_owned(), |(_, id)| format!("--show {id}")).into(),
        ]
    });
    writeln!(out)?;
    table::write(&columns, rows.collect(), style, out)?;
    if other {
        let note = "OTHER: broken after a success status, or given up by the client";
        writeln!(out, "{}", style.paint(Paint::Dim, note))?;
    }
    Ok(())
}

fn when(instant: Timestamp, one_day: bool) -> String {
    let time = units::time_to_the_second(instant);
    if one_day { time } else { format!("{} {time}", units::date(instant)) }
}

/// How sure the verdicts are.
fn grades(tally: &Tally) -> String {
    units::join(tally.grades.iter().map(|(grade, n)| format!("{} {}", units::thousands(*n), grade.0.id())), ", ")
}

/// The upstreams, the most frequent first; of one alone, among how many.
fn named_upstreams(tally: &Tally, known: usize, style: &Style) -> String {
    let mut upstreams: Vec<_> = tally.upstreams.iter().collect();
    upstreams.sort_by_key(|(upstream, n)| (std::cmp::Reverse(**n), *upstream));
    let name = |(endpoint, name): &(Option<Endpoint>, Option<Box<str>>)| match (endpoint, name) {
        (Some(endpoint), _) => endpoint.to_string(),
        (None, name) => style.prose(name.as_deref().unwrap_or("-")),
    };
    let named = units::join(upstreams.iter().take(NAMED).map(|(upstream, _)| name(upstream)), " ");
    match upstreams.len() {
        1 if known > 1 && upstreams.iter().all(|((endpoint, _), _)| endpoint.is_some()) => {
            format!("{named} (1 of {known})")
        }
        n if n > NAMED => format!("{named} +{}", n - NAMED),
        _ => named,
    }
}

/// Failures that are one event.
pub(super) fn episodes(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if report.episodes.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let columns = [
        Column::left("EPISODE"),
        Column::left("UPSTREAM"),
        Column::left("FROM"),
        Column::right("LASTED"),
        Column::left("INCIDENTS"),
        Column::prose("WHAT HAPPENED"),
    ];
    let rows = report.episodes.iter().take(ROWS).map(|episode| {
        let more =
            if episode.incidents.len() > 6 { format!(" … ({})", episode.incidents.len()) } else { String::new() };
        vec![
            Cell::painted(episode.kind, Paint::Bold),
            episode.upstream.map(|upstream| upstream.to_string()).unwrap_or_default().into(),
            units::time_of_day(episode.first).into(),
            units::span(episode.last.since(episode.first)).into(),
            format!("{}{more}", units::join(episode.incidents.iter().take(6), " ")).into(),
            style.prose(&episode.summary).into(),
        ]
    });
    table::write(&columns, rows.collect(), style, out)?;
    rest(report.episodes.len(), "episode", style, out)
}

/// What was observed of each upstream, those with failures first.
pub(super) fn upstreams(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if report.upstreams.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let columns = [
        Column::left("UPSTREAM"),
        Column::right("ATTEMPTS"),
        Column::right("FAILED"),
        Column::left("HEALTH PROBES"),
        Column::left("CLOSED IDLE AFTER"),
        Column::left("ANNOUNCES"),
        Column::left("REUSED UP TO"),
        Column::left("GATEWAY GAVE UP"),
        Column::left("HALF-CLOSED"),
        Column::right("ROUND TRIP"),
        Column::left("REPEATED"),
        Column::right("WINDOW SHUT"),
        Column::right("CONNECT p99"),
        Column::right("WAIT p50"),
        Column::right("WAIT p99"),
    ];
    let mut upstreams: Vec<&Upstream> = report.upstreams.iter().collect();
    upstreams.sort_by_key(|upstream| std::cmp::Reverse(upstream.failed.values().sum::<u64>()));
    let rows = upstreams.iter().take(ROWS).map(|upstream| {
        let failed: u64 = upstream.failed.values().sum();
        let some = |n: u64| if n > 0 { units::thousands(n) } else { String::new() };
        let quantile = |phase: &str, pick: fn(&Quantiles) -> u64| {
            let found = upstream.latency.iter().find(|(name, quantiles)| *name == phase && quantiles.n > 0);
            found.map(|(_, quantiles)| units::span_us(pick(quantiles))).unwrap_or_default()
        };
        let half = upstream.half_closed.as_ref();
        let half = half.map(|half| format!("{} by {}, up to {}", half.n, half.by, units::span(half.longest)));
        vec![
            upstream.endpoint.to_string().into(),
            units::thousands(upstream.attempts).into(),
            Cell::painted(some(failed), Paint::Red),
            probes(upstream.health_probes).into(),
            upstream.idle_close.map(spread).unwrap_or_default().into(),
            upstream.announced_timeout.map(units::span).unwrap_or_default().into(),
            upstream.longest_reuse.map(units::span).unwrap_or_default().into(),
            upstream.gave_up.map(spread).unwrap_or_default().into(),
            half.unwrap_or_default().into(),
            upstream.round_trip.map(|taken| units::span(taken.min)).unwrap_or_default().into(),
            repeated(upstream).into(),
            some(upstream.zero_windows).into(),
            quantile("connect", |quantiles| quantiles.p99_us).into(),
            quantile("wait", |quantiles| quantiles.p50_us).into(),
            quantile("wait", |quantiles| quantiles.p99_us).into(),
        ]
    });
    table::write(&columns, rows.collect(), style, out)?;
    rest(report.upstreams.len(), "upstream", style, out)
}

/// Segments repeated, and how many of all that are; beside them the SYNs that were.
fn repeated(upstream: &Upstream) -> String {
    let mut text = match (upstream.retransmitted, upstream.segments) {
        (0, _) => String::new(),
        (n, all) if all >= n => {
            format!("{} ({:.1} %)", units::thousands(n), n as f64 * 100.0 / all as f64)
        }
        (n, _) => units::thousands(n),
    };
    if upstream.syns_retransmitted > 0 {
        let comma = if text.is_empty() { "" } else { ", " };
        text.push_str(&format!("{comma}{} SYN", units::thousands(upstream.syns_retransmitted)));
    }
    text
}

fn probes((sent, failed): (u64, u64)) -> String {
    match (sent, failed) {
        (0, _) => String::new(),
        (sent, 0) => units::thousands(sent),
        (sent, failed) => format!("{} ({} failed)", units::thousands(sent), units::thousands(failed)),
    }
}

/// The middle, and in brackets how far it spreads over how many.
fn spread(spread: Spread) -> String {
    let n = units::thousands(spread.n);
    let [min, median, max] = [spread.min, spread.median, spread.max].map(units::span);
    if spread.n == 1 {
        return format!("{median} (once)");
    }
    if min == max { format!("{median} (n={n})") } else { format!("{median} ({min}-{max}, n={n})") }
}

/// Each phase's latency, and between what it was measured.
pub(super) fn latency(latency: &Latency, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let phases = [
        ("client wait", &latency.client_wait, "last byte of the request to first byte of the response, downstream"),
        ("upstream resolve", &latency.upstream_resolve, "query to the first answer with an address"),
        ("upstream connect", &latency.upstream_connect, "SYN to SYN-ACK"),
        ("upstream TLS", &latency.upstream_tls, "ClientHello to the end of the handshake"),
        ("upstream wait", &latency.upstream_wait, "as client wait, upstream"),
        ("gateway added", &latency.gateway_added, "client wait less upstream wait, pair by pair"),
        ("failed", &latency.failed_wait, "client wait of what failed"),
    ];
    let rows = phases.iter().filter(|(_, quantiles, _)| quantiles.n > 0).map(|(name, quantiles, between)| {
        vec![
            (*name).into(),
            units::thousands(quantiles.n).into(),
            units::span_us(quantiles.p50_us).into(),
            units::span_us(quantiles.p90_us).into(),
            units::span_us(quantiles.p99_us).into(),
            units::span_us(quantiles.p999_us).into(),
            units::span_us(quantiles.max_us).into(),
            Cell::painted(*between, Paint::Dim),
        ]
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let columns = [
        Column::left("LATENCY"),
        Column::right("n"),
        Column::right("p50"),
        Column::right("p90"),
        Column::right("p99"),
        Column::right("p99.9"),
        Column::right("max"),
        Column::prose(""),
    ];
    table::write(&columns, rows, style, out)
}

fn rest(rows: usize, what: &str, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if rows <= ROWS {
        return Ok(());
    }
    let more = format!("… and {} (all: --format json)", units::count((rows - ROWS) as u64, &format!("more {what}")));
    writeln!(out, "{}", style.paint(Paint::Dim, &more))
}
