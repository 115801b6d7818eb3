//! What many exchanges taught: warnings, what differs, the picture of idle times, the gateway's habits. A section that has
//! nothing to say is not there.

use std::io::{self, Write};

use crate::diagnose::differ::Difference;
use crate::report::style::Paint;
use crate::report::table::{self, Cell, Column};
use crate::report::text::paragraph;
use crate::report::{Gateway, IdleBin, IdleTimes, Report, Spread, Style, units};

/// What has not failed yet, and will.
pub(super) fn warnings(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if report.warnings.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    // Where one happened already, what to do first is said.
    let most = if report.idle_times.iter().any(has_failed) { 1 } else { MOST_WARNINGS };
    let mut said: Vec<String> =
        report.warnings.iter().take(most).map(|warning| style.prose(&warning.summary)).collect();
    if report.warnings.len() > said.len() {
        let more = (report.warnings.len() - said.len()) as u64;
        said.push(format!("… and {} (all: --format json)", units::count(more, "more warning")));
    }
    paragraph("WARNING", &said, style, out)
}

/// What failing exchanges have in common that the others do not.
pub(super) fn differs(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if report.differs.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let columns = [
        Column::left("WHAT DIFFERS"),
        Column::left(""),
        Column::right("OF THE FAILING"),
        Column::right("OF THE OTHERS"),
    ];
    let share = |n: u64, of: u64| format!("{} of {}", units::thousands(n), units::thousands(of));
    let rows = report.differs.iter().map(|differs| {
        let Difference { facet, value, failed, failed_of, others, others_of } = differs;
        vec![
            words(facet).into(),
            Cell::painted(style.target(value), Paint::Bold),
            Cell::painted(share(*failed, *failed_of), Paint::Red),
            share(*others, *others_of).into(),
        ]
    });
    table::write(&columns, rows.collect(), style, out)
}

fn words(facet: &str) -> &str {
    match facet {
        "request_size" => "size of the request",
        "connection_age" => "age of the connection",
        "exchange_on_connection" => "exchange on the connection",
        "idle" => "connection idle for",
        "hour_of_day" => "hour of the day",
        "minute_of_hour" => "minute of the hour",
        other => other,
    }
}

/// For how long connections were idle, and what became of them.
pub(super) fn idle_times(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for IdleTimes { upstream, bins } in &report.idle_times {
        writeln!(out)?;
        let columns = [
            Column::left("IDLE FOR"),
            Column::left("REUSED ."),
            Column::right(""),
            Column::left("CLOSED BY UPSTREAM |"),
            Column::left("FAILED x"),
            Column::right("CLOSED BY GATEWAY"),
        ];
        let [reused, closed] =
            [bins.iter().map(|bin| bin.reused).max(), bins.iter().map(|bin| bin.closed_by_upstream).max()];
        let some = |n: u64| if n > 0 { units::thousands(n) } else { String::new() };
        let rows = bins.iter().map(|bin| {
            let counted = |mark, n, most, width| {
                let bar = bar(mark, n, most, width);
                if n > 0 { format!("{bar} {}", units::thousands(n)) } else { bar }
            };
            vec![
                range(bin).into(),
                bar('.', bin.reused, reused, 24).into(),
                some(bin.reused).into(),
                counted('|', bin.closed_by_upstream, closed, 12).into(),
                Cell::painted(counted('x', bin.failed, Some(bin.failed.max(12)), 12), Paint::Red),
                some(bin.closed_by_gateway).into(),
            ]
        });
        writeln!(out, "{}", style.paint(Paint::Bold, &format!("IDLE CONNECTIONS to {upstream}")))?;
        table::write(&columns, rows.collect(), style, out)?;
    }
    Ok(())
}

fn has_failed(times: &IdleTimes) -> bool {
    times.bins.iter().any(|bin| bin.failed > 0)
}

fn range(bin: &IdleBin) -> String {
    match bin.to {
        Some(to) => format!("{} to {}", short(bin.from), short(to)),
        None => format!("{} or more", short(bin.from)),
    }
}

/// `0`, `200ms`, `1s`, `1m`: bounds are round.
fn short(span: std::time::Duration) -> String {
    match span.as_millis() {
        0 => "0".to_owned(),
        millis if millis % 60_000 == 0 => format!("{}m", millis / 60_000),
        millis if millis % 1_000 == 0 => format!("{}s", millis / 1_000),
        millis if millis > 1_000 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        millis => format!("{millis}ms"),
    }
}

/// As long as the number is great, next to the greatest; what is there at all shows.
fn bar(mark: char, n: u64, most: Option<u64>, width: u64) -> String {
    let most = most.unwrap_or(0).max(1);
    let columns = if n == 0 { 0 } else { (n * width / most).max(1) };
    (0..columns.min(width)).map(|_| mark).collect()
}

/// What the gateways do by habit: the settings that they seem to have.
pub(super) fn habits(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let said: Vec<String> = report.gateways.iter().filter_map(learned).take(MOST_GATEWAYS).collect();
    if said.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let said: Vec<String> = said.iter().map(|one| style.prose(one)).collect();
    paragraph("LEARNED", &said, style, out)
}

fn learned(gateway: &Gateway) -> Option<String> {
    let habits = &gateway.habits;
    let told = |what: &str, spreads: &[Spread]| {
        let most = spreads.iter().filter(|spread| spread.n >= FEWEST).max_by_key(|spread| spread.n)?;
        let all: u64 = spreads.iter().map(|spread| spread.n).sum();
        let of = if all > most.n { format!("{} of {all}", most.n) } else { format!("n={all}") };
        let narrow = most.max - most.min <= most.median / 10;
        (narrow && most.n * 2 >= all).then(|| format!("{what} {} ({of})", units::span(most.median)))
    };
    let [idempotent, other] = habits.retries;
    // Where it never does there may be nothing else to try.
    let tries = idempotent.1 + other.1 > 0;
    let retried = |(failed, retried): (u64, u64), what: &str| {
        (failed >= FEWEST && tries).then(|| format!("tried again after {retried} of {failed} failures of {what}"))
    };
    let facts: Vec<String> = [
        told("closes idle connections to upstreams after", &habits.idle_limit),
        told("gives up connecting after", &habits.connect_timeout),
        told("gives up on a response after", &habits.read_timeout),
        told("leaves out an upstream that failed for", &habits.hold_down),
        retried(idempotent, "GET and the like"),
        retried(other, "POST and the like"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let address = gateway.addresses.first()?;
    (!facts.is_empty()).then(|| format!("gateway {address}: {}", facts.join("; ")))
}

/// Warnings in words at most.
const MOST_WARNINGS: usize = 3;
/// Gateways whose habits are told.
const MOST_GATEWAYS: usize = 4;
/// What was seen once is no habit.
const FEWEST: u64 = 2;
