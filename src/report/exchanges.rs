//! Every exchange, a row each, as CSV or as one JSON object a line.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

use crate::diagnose::incident::Pairing;
use crate::event::{Endpoint, Moment};
use crate::report::csv::Row;
use crate::report::record::{FrameRecord, Time, us};
use crate::report::{ExchangeRow, Style, json};

/// Names of the columns, and keys of the objects.
pub const COLUMNS: &[&str] = &[
    "time",
    "client",
    "gateway",
    "method",
    "target",
    "status",
    "attempts",
    "upstream",
    "gateway_port",
    "upstream_status",
    "pairing",
    "client_wait_us",
    "connect_us",
    "tls_us",
    "upstream_wait_us",
    "gateway_added_us",
    "request_bytes",
    "response_bytes",
    "request_frame",
    "response_frame",
    "upstream_request_frame",
    "upstream_response_frame",
];

/// How the rows are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A line of names, then a line a row.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl Layout {
    /// The layout that a file's name asks for: `.csv` or `.ndjson`.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "ndjson" => Some(Self::Ndjson),
            _ => None,
        }
    }
}

/// Writes rows as they come; keeps none.
#[derive(Debug)]
pub struct Writer<W> {
    layout: Layout,
    style: Style,
    out: W,
}

impl<W: Write> Writer<W> {
    /// A writer of rows to `out`, which ought to be buffered. CSV begins with the names of its columns.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn new(layout: Layout, style: Style, mut out: W) -> io::Result<Self> {
        if layout == Layout::Csv {
            writeln!(out, "{}", COLUMNS.join(","))?;
        }
        Ok(Self { layout, style, out })
    }

    /// Writes one row.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn row(&mut self, row: &ExchangeRow) -> io::Result<()> {
        match self.layout {
            Layout::Csv => csv(row, &self.style).end(&mut self.out),
            Layout::Ndjson => json::line(&object(row, &self.style), &mut self.out),
        }
    }

    /// Writes what is still buffered.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn csv(row: &ExchangeRow, style: &Style) -> Row {
    let frame = |moment: Option<Moment>| moment.map(|moment| style.frame(moment.frame));
    let [request, response, upstream_request, upstream_response] = row.frames;
    let mut line = Row::default();
    line.value(Some(row.time))
        .value(Some(row.client))
        .value(Some(row.gateway))
        .text(row.method.as_deref())
        .text(row.target.as_deref().map(|target| style.cut_target(target)))
        .value(row.status)
        .value(Some(row.attempts))
        .value(row.upstream)
        .value(row.gateway_port)
        .value(row.upstream_status)
        .value(row.pairing.map(Pairing::id))
        .value(row.client_wait.map(us))
        .value(row.connect.map(us))
        .value(row.tls.map(us))
        .value(row.upstream_wait.map(us))
        .value(row.gateway_added.map(us))
        .value(Some(row.request_bytes))
        .value(Some(row.response_bytes))
        .value(frame(request))
        .value(frame(response))
        .value(frame(upstream_request))
        .value(frame(upstream_response));
    line
}

#[derive(Serialize)]
struct Object<'a> {
    time: Time,
    client: Endpoint,
    gateway: Endpoint,
    method: Option<&'a str>,
    target: Option<Cow<'a, str>>,
    status: Option<u16>,
    attempts: u32,
    upstream: Option<Endpoint>,
    gateway_port: Option<u16>,
    upstream_status: Option<u16>,
    pairing: Option<&'static str>,
    client_wait_us: Option<u64>,
    connect_us: Option<u64>,
    tls_us: Option<u64>,
    upstream_wait_us: Option<u64>,
    gateway_added_us: Option<u64>,
    request_bytes: u64,
    response_bytes: u64,
    request_frame: Option<FrameRecord>,
    response_frame: Option<FrameRecord>,
    upstream_request_frame: Option<FrameRecord>,
    upstream_response_frame: Option<FrameRecord>,
}

fn object<'a>(row: &'a ExchangeRow, style: &Style) -> Object<'a> {
    let [request, response, upstream_request, upstream_response] = row.frames;
    Object {
        time: Time(row.time),
        client: row.client,
        gateway: row.gateway,
        method: row.method.as_deref(),
        target: row.target.as_deref().map(|target| style.cut_target(target)),
        status: row.status,
        attempts: row.attempts,
        upstream: row.upstream,
        gateway_port: row.gateway_port,
        upstream_status: row.upstream_status,
        pairing: row.pairing.map(Pairing::id),
        client_wait_us: row.client_wait.map(us),
        connect_us: row.connect.map(us),
        tls_us: row.tls.map(us),
        upstream_wait_us: row.upstream_wait.map(us),
        gateway_added_us: row.gateway_added.map(us),
        request_bytes: row.request_bytes,
        response_bytes: row.response_bytes,
        request_frame: FrameRecord::of(request, style),
        response_frame: FrameRecord::of(response, style),
        upstream_request_frame: FrameRecord::of(upstream_request, style),
        upstream_response_frame: FrameRecord::of(upstream_response, style),
    }
}
