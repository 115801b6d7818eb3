//! The incidents as a table (RFC 4180, but for lines that end in LF alone), for spreadsheets.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

use crate::diagnose::incident::Incident;
use crate::report::record::us;
use crate::report::{Report, Style, escape, lines, units};

/// Names of the columns. Absent is empty.
pub const COLUMNS: &[&str] = &[
    "id",
    "time",
    "kind",
    "status",
    "cause",
    "detail",
    "grade",
    "phase",
    "proxy_status",
    "client",
    "gateway",
    "method",
    "host",
    "target",
    "wait_us",
    "attempts",
    "gateway_upstream_side",
    "upstream",
    "upstream_status",
    "reused",
    "idle_us",
    "pairing",
    "episode",
    "request_frame",
    "response_frame",
    "evidence_frames",
    "why",
    "summary",
    "upstream_name",
];

/// Writes a line of names, then a line for each incident.
///
/// # Errors
///
/// Those of `out`.
pub fn write(report: &Report, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", COLUMNS.join(","))?;
    report.incidents.iter().try_for_each(|incident| row(incident, style).end(out))
}

fn row(incident: &Incident, style: &Style) -> Row {
    let downstream = incident.downstream.as_ref();
    let blamed = lines::blamed(incident);
    let evidence = incident.evidence.iter().map(|one| style.frame(one.moment.frame));
    let mut row = Row::default();
    row.value(Some(incident.id))
        .value(Some(incident.time))
        .value(Some(incident.kind.id()))
        .value(incident.status)
        .value(Some(incident.cause))
        .value(incident.detail)
        .value(Some(incident.grade.id()))
        .value(Some(incident.cause.phase().id()))
        .value(incident.cause.proxy_status())
        .value(downstream.map(|leg| leg.client))
        .value(downstream.map(|leg| leg.gateway))
        .text(downstream.and_then(|leg| leg.method.as_deref()))
        .text(downstream.and_then(|leg| leg.host.as_deref()).map(|host| style.cut_host(host)))
        .text(downstream.and_then(|leg| leg.target.as_deref()).map(|target| style.cut_target(target)))
        .value(downstream.and_then(|leg| leg.wait).map(us))
        .value(Some(incident.attempts.len()))
        .value(blamed.map(|attempt| attempt.gateway))
        .value(blamed.and_then(|attempt| attempt.upstream))
        .value(blamed.and_then(|attempt| attempt.status))
        .value(blamed.map(|attempt| attempt.reused))
        .value(blamed.and_then(|attempt| attempt.idle).map(us))
        .value(blamed.map(|attempt| attempt.pairing.id()))
        .value(incident.episode)
        .value(downstream.and_then(|leg| leg.request).map(|moment| style.frame(moment.frame)))
        .value(downstream.and_then(|leg| leg.response).map(|moment| style.frame(moment.frame)))
        .value(Some(units::join(evidence, " ")))
        .text(Some(style.cut_prose(&incident.why)))
        .text(Some(style.cut_prose(&incident.summary)))
        .text(blamed.and_then(|attempt| attempt.name.as_deref()).map(|name| style.cut_host(name)));
    row
}

/// A line under construction.
#[derive(Debug, Default)]
pub(super) struct Row(String);

impl Row {
    /// A field that is ours: numbers, times, names of the closed lists, endpoints, frames.
    pub(super) fn value(&mut self, value: Option<impl Display>) -> &mut Self {
        if let Some(value) = value {
            // A String takes whatever is written to it.
            let _ = write!(self.0, "{value}");
        }
        self.0.push(',');
        self
    }

    /// A field that came off the wire, or quotes what did. A spreadsheet would compute what begins with `=`, `+`, `-`
    /// or `@`, so an apostrophe stands before it. Where the comma is the decimal point, `;` parts the fields.
    pub(super) fn text(&mut self, text: Option<impl AsRef<str>>) -> &mut Self {
        let text = text.as_ref().map_or("", AsRef::as_ref);
        let seen = escape::text(text);
        let guard =
            if seen.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) { "'" } else { "" };
        if seen.contains(['"', ',', ';']) {
            let _ = write!(self.0, "\"{guard}{}\",", seen.replace('"', "\"\""));
        } else {
            let _ = write!(self.0, "{guard}{seen},");
        }
        self
    }

    /// Writes the line.
    pub(super) fn end(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.0.strip_suffix(',').unwrap_or(&self.0))
    }
}
