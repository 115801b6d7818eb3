//! The report as text, for the person who was woken: what was looked at, what failed and why, what to do first.

use std::io::{self, Write};
use std::time::Duration;

use crate::report::style::Paint;
use crate::report::{Clock, Report, Style, learned, lines, sections, units};

pub use crate::report::lines::{amended_line, incident_head, incident_line};

/// Columns of the label before a paragraph.
pub(super) const LABEL: usize = 14;

/// Writes the whole report.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    opening(report, style, out)?;
    let many = report.incidents.len() > lines::FEW;
    if many {
        verdict(report, style, out)?;
    }
    if !report.incidents.is_empty() {
        writeln!(out)?;
        lines::list(report, style, out)?;
    }
    if !many {
        verdict(report, style, out)?;
    }
    measured(report, style, out)
}

/// Writes the report without the lines of the incidents, for a run that printed them as they happened.
///
/// # Errors
///
/// Those of `out`.
pub fn summary(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    opening(report, style, out)?;
    verdict(report, style, out)?;
    measured(report, style, out)
}

fn opening(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    paragraph("LOOKED AT", &looked_at(report, style), style, out)?;
    paragraph("NOT SEEN", &not_seen(report, style), style, out)?;
    paragraph("FOUND", &[found(report)], style, out)
}

fn verdict(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    sections::causes(report, style, out)?;
    sections::episodes(report, style, out)?;
    learned::differs(report, style, out)?;
    if !report.do_first.is_empty() {
        writeln!(out)?;
        let sentences: Vec<String> = report.do_first.iter().map(|sentence| style.prose(sentence)).collect();
        paragraph("DO FIRST", &sentences, style, out)?;
    }
    learned::warnings(report, style, out)?;
    learned::idle_times(report, style, out)
}

fn measured(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    sections::upstreams(report, style, out)?;
    learned::habits(report, style, out)?;
    sections::latency(&report.latency, style, out)
}

/// A label, and sentences that begin on lines of their own, wrapped and indented behind it.
pub(super) fn paragraph(label: &str, sentences: &[String], style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut label = label;
    for line in sentences.iter().flat_map(|one| units::wrap(one, style.width.saturating_sub(LABEL).max(40))) {
        let blanks = " ".repeat(LABEL.saturating_sub(label.len()));
        writeln!(out, "{}{blanks}{line}", style.paint(Paint::Bold, label))?;
        label = "";
    }
    Ok(())
}

/// What is to be said of an input's clock.
fn clock(Clock { ahead, packets }: Clock) -> Option<String> {
    let Some((least, most)) = ahead else {
        return Some(
            "no packet of it stands in the files before: whether their clocks agree cannot be told".to_owned(),
        );
    };
    let told = |ahead: i64| {
        let order = if ahead < 0 { "behind" } else { "ahead" };
        format!("{} {order}", units::span(Duration::from_nanos(ahead.unsigned_abs())))
    };
    let by = match (told(least), told(most)) {
        (least, most) if least == most => least,
        (least, most) => format!("{least} to {most}"),
    };
    let of = units::count(packets, "packet");
    let corrected = "its times are corrected by that";
    (least != 0 || most != 0).then(|| format!("its clock is {by}, told from {of} that the files share; {corrected}"))
}

fn looked_at(report: &Report, style: &Style) -> Vec<String> {
    let mut said = Vec::new();
    let named = report.inputs.len().min(sections::ROWS);
    for (index, input) in report.inputs.iter().take(named).enumerate() {
        let mark = if style.several_inputs { format!("{index}: ") } else { String::new() };
        let kind =
            units::join([input.format.as_str()].into_iter().chain(input.link_types.iter().map(String::as_str)), ", ");
        let span = match (input.first, input.last) {
            (Some(first), Some(last)) => {
                let day = if units::date(first) == units::date(last) {
                    String::new()
                } else {
                    format!("{} ", units::date(last))
                };
                let (from, to) = (units::time_to_the_second(first), units::time_to_the_second(last));
                format!(", {} {from} to {day}{to} UTC ({})", units::date(first), units::span(last.since(first)))
            }
            _ => String::new(),
        };
        said.push(style.prose(&format!(
            "{mark}{} ({kind}): {}{span}",
            input.name,
            units::count(input.packets, "packet")
        )));
        said.extend(input.clock.and_then(clock).map(|said| format!("{mark}{said}")));
    }
    if report.inputs.len() > named {
        said.push(format!(
            "… and {} (all: --format json)",
            units::count((report.inputs.len() - named) as u64, "more input")
        ));
    }
    let totals = &report.totals;
    let unanswered = totals.exchanges.saturating_sub(totals.responses.values().sum::<u64>() + totals.encrypted);
    let others = [(unanswered, "no answer seen"), (totals.encrypted, "hidden by TLS")];
    let others = others.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{what} × {}", units::thousands(*n)));
    let statuses = totals.responses.iter().map(|(status, n)| format!("{status} × {}", units::thousands(*n)));
    let statuses = units::join(statuses.chain(others), ", ");
    let statuses = if statuses.is_empty() { String::new() } else { format!(": {statuses}") };
    said.push(format!(
        "{} on {}{statuses}",
        units::count(totals.exchanges, "exchange"),
        units::count(totals.tcp_connections, "TCP connection")
    ));
    match report.coverage.duplicates {
        0 => {}
        1 => said.push("1 copy of a packet left out".to_owned()),
        copies => said.push(format!("{} copies of packets left out", units::thousands(copies))),
    }
    for (asked, own) in report.translations.iter().take(MOST_TRANSLATIONS) {
        said.push(format!("{asked} is {own} behind address translation"));
    }
    if let Some(more @ 1..) = report.translations.len().checked_sub(MOST_TRANSLATIONS) {
        said.push(format!(
            "… and {} behind address translation (all: --format json)",
            units::count(more as u64, "more server")
        ));
    }
    for gateway in &report.gateways {
        let product = match (&gateway.product, &gateway.product_evidence) {
            (Some(product), Some(evidence)) => format!(": {product} ({evidence})"),
            (Some(product), None) => format!(": {product}"),
            _ => String::new(),
        };
        said.push(style.prose(&format!("gateway {}{product}", units::join(&gateway.addresses, " = "))));
    }
    if let (sent @ 1.., failed) = totals.health_probes {
        said.push(format!(
            "{} failed of {} by the gateway",
            units::thousands(failed),
            units::count(sent, "health probe")
        ));
    }
    for (what, filter) in
        [("judged: exchanges that match", &report.focus), ("captured: packets that match", &report.capture_filter)]
    {
        said.extend(filter.iter().map(|filter| style.prose(&format!("{what} “{filter}”"))));
    }
    said
}

fn not_seen(report: &Report, style: &Style) -> Vec<String> {
    let coverage = &report.coverage;
    let counted = [
        (coverage.kernel_drops, "packet", "dropped by the kernel while capturing: their absence may look like loss"),
        (coverage.truncated_packets, "packet", "cut by the snaplen"),
        (coverage.gaps, "hole", "in streams that the capture missed: the receiver had the bytes"),
        (coverage.undecodable, "frame", "that could not be decoded"),
        (coverage.evicted, "connection or segment", "given up for want of memory"),
        (
            coverage.opaque_tls_connections,
            "connection",
            "with TLS inside: neither requests nor statuses of them are visible",
        ),
        (report.totals.unlisted_incidents, "incident", "beyond the limit: counted in FOUND, not listed"),
    ];
    let mut said: Vec<String> = counted
        .iter()
        .filter(|(n, ..)| *n > 0)
        .map(|(n, what, how)| format!("{} {how}", units::count(*n, what)))
        .collect();
    let cut_short = report.inputs.iter().filter(|input| !input.ended.is_empty() && input.ended != "complete");
    said.extend(cut_short.map(|input| {
        let rest = if input.packets > 0 { "the rest of " } else { "" };
        style.prose(&format!("{rest}{}: {}", input.name, input.ended))
    }));
    said.extend(coverage.notes.iter().map(|note| style.prose(note)));
    if said.is_empty() && report.totals.exchanges > 0 {
        said.push("nothing is known to be missing: no drops, no cut packets, no gaps".to_owned());
    }
    said
}

fn found(report: &Report) -> String {
    let totals = &report.totals;
    let exchanges = totals.exchanges;
    if report.incidents.is_empty() && totals.unlisted_incidents == 0 {
        return match (exchanges, totals.tcp_connections) {
            (0, 0) => {
                "nothing to judge: not one TCP connection was seen; check the interface and the filter".to_owned()
            }
            (0, connections) => format!(
                "nothing to judge: no HTTP exchange of a gateway was seen on {}",
                units::count(connections, "TCP connection")
            ),
            (n, _) => format!("no gateway failure found in {}", units::count(n, "exchange")),
        } + as_far_as_seen(report);
    }
    let rate = match (totals.gateway_errors, exchanges) {
        (_, 0) => String::new(),
        (errors, exchanges) => format!(" in {} ({})", units::count(exchanges, "exchange"), share(errors, exchanges)),
    };
    let parts = [
        (totals.gateway_errors, format!("clients saw {}{rate}", units::count(totals.gateway_errors, "failure"))),
        (
            totals.upstream_failures,
            format!(
                "{} whose outcome for the client is not visible",
                units::count(totals.upstream_failures, "failed attempt")
            ),
        ),
        (totals.masked, format!("{} masked by a retry", units::count(totals.masked, "failure"))),
        (totals.broken, format!("{} broken after a success status", units::count(totals.broken, "response"))),
        (totals.client_aborts, format!("{} given up by the client", units::count(totals.client_aborts, "request"))),
    ];
    units::join(parts.iter().filter_map(|(n, part)| (*n > 0).then_some(part)), "; ")
}

/// What an absence of findings does not prove where packets were cut.
fn as_far_as_seen(report: &Report) -> &'static str {
    if report.coverage.truncated_packets > 0 { ", as far as packets tell that the snaplen cut" } else { "" }
}

/// A share of the exchanges in percent, rounded to two digits behind the point; never a `0.00%` for something that is.
fn share(part: u64, whole: u64) -> String {
    let whole = u128::from(whole.max(1));
    match (u128::from(part) * 10_000 + whole / 2) / whole {
        0 if part > 0 => "under 0.01%".to_owned(),
        hundredths => format!("{}.{:02}%", hundredths / 100, hundredths % 100),
    }
}

/// Servers behind address translation that are named.
const MOST_TRANSLATIONS: usize = 8;
