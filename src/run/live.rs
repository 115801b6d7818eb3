//! Live: interfaces in, a line for each failure as it settles, a summary at the end.
//!
//! ```text
//!  open, listen ─► give up privileges ─► start threads ─► frames ─► keep, record, analyse ─► lines
//!                                                           │ idle ─► time passes              ▲
//!                                                           └ each second ─► filter, metrics ──┘
//! ```

use std::io::{self, IsTerminal};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use crate::analysis::Analysis;
use crate::capture::filter::Filter;
use crate::capture::keep::recorder::Recorder;
use crate::capture::keep::ring::{Ring, Turn};
use crate::capture::keep::{self, Interfaces};
use crate::capture::keylog::KeyLogs;
use crate::capture::live::{Batch, Ended, Live, Next, Options};
use crate::capture::reach::{self, Legs};
use crate::cli::{Cli, Format, SNAPLEN};
use crate::correlate::gateway::Gateways;
use crate::diagnose::incident::{Incident, Kind};
use crate::event::Endpoint;
use crate::limits::Limits;
use crate::privileges::{self, Kept};
use crate::report::metrics::{self, Snapshot};
use crate::report::{ExchangeRow, Input, Report, Style, ndjson, text};
use crate::run::output::{ExchangeTable, Output, Written};
use crate::run::{Error, own, question, style, write_report};
use crate::serve::{self, Serve, Wake};
use crate::time::Timestamp;
use crate::wire::pcapng::write::{Counted, Interface};

/// Captures until it is told to stop, then reports.
pub(super) fn watch(cli: &Cli) -> Result<ExitCode, Error> {
    let expression = cli.expression.join(" ");
    let focused = !expression.is_empty() && !cli.exact_filter;
    let focus = if focused { Some(Filter::compile(&expression)?) } else { None };
    let mut output = Output::open(cli.output.as_deref())?;
    let style = style(cli, &output, false);
    let mut table = cli.exchanges.as_ref().map(|path| ExchangeTable::open(path, &style)).transpose()?;
    let filter = if cli.exact_filter { expression.clone() } else { reach::wide() };
    let options = options(cli, filter.clone());
    let key_logs = KeyLogs::open(&cli.keylog, true)?;
    let opened = Live::open(&options)?;
    let listener = cli.metrics.map(serve::listen).transpose()?;
    let written: Vec<PathBuf> = [&cli.write, &cli.record].into_iter().flatten().cloned().collect();
    let dropped = privileges::drop(&Kept { write: written, read: Vec::new() })?;
    let mut interfaces = Interfaces::default();
    for (index, interface) in (0..).zip(opened.interfaces()) {
        let described = Interface { name: interface.name.clone(), link: interface.link, snaplen: options.snaplen };
        interfaces.describe(0, index, described);
    }
    let (file_bytes, files) = cli.ring_bounds();
    let ring = |path: &PathBuf| Ring::create(path, Turn { file_bytes, files }, interfaces.clone());
    let ring = cli.write.as_ref().map(ring).transpose()?;
    let limits = Limits::default();
    let recorder = cli.record.as_ref().map(|path| Recorder::new(path, &limits, interfaces.clone())).transpose()?;
    let serve = Serve::start(listener)?;
    if cli.verbose {
        eprintln!("netwatch502: {dropped}");
    }
    let mut write_row = |row: &ExchangeRow| {
        if let Some(table) = &mut table {
            table.row(row);
        }
    };
    let question = question(cli, focused);
    let mut analysis = Analysis::new(&limits, Gateways::told(&cli.proxy), question, Some(&mut write_row)).live();
    if !cli.keylog.is_empty() {
        analysis.may_learn_late();
    }
    let mut watch = Watch {
        cli,
        style,
        live: opened.start()?,
        analysis,
        key_logs,
        output: &mut output,
        focus,
        expression,
        filter,
        legs: Legs::default(),
        ring,
        recorder,
        snapshot: cli.metrics.map(|_| begun()),
        failures: 0,
        printed: 0,
        frames: 0,
        octets: 0,
        first: None,
        last: None,
        gone: Vec::new(),
        left: false,
    };
    watch.opening()?;
    let ended = watch.run(&serve)?;
    drop(serve);
    let (report, printed, left) = watch.finish(&ended);
    if let Some(table) = table {
        table.finish()?;
    }
    if !left {
        close(&report, printed, cli, &style, &mut output)?;
    }
    if ended == Ended::Stopped {
        let failed = report.incidents.iter().any(|incident| incident.kind != Kind::ClientAbort);
        Ok(ExitCode::from(u8::from(failed)))
    } else {
        eprintln!("netwatch502: {ended}; what was seen until then is reported");
        Ok(ExitCode::from(2))
    }
}

fn options(cli: &Cli, filter: String) -> Options {
    let usual = Options::default();
    Options {
        interfaces: cli.interface.clone(),
        // A record that is cut cannot be decrypted.
        snaplen: cli.snaplen.unwrap_or(if cli.keylog.is_empty() { usual.snaplen } else { SNAPLEN }),
        buffer: cli.buffer.map_or(usual.buffer, |kib| kib.saturating_mul(1024)),
        promiscuous: !cli.not_promiscuous,
        filter: Some(filter),
    }
}

/// A live run.
struct Watch<'a, 'r> {
    cli: &'a Cli,
    style: Style,
    live: Live,
    analysis: Analysis<'r>,
    key_logs: KeyLogs,
    output: &'a mut Output,
    focus: Option<Filter>,
    expression: String,
    /// What the kernel hands over now.
    filter: String,
    legs: Legs,
    ring: Option<Ring>,
    recorder: Option<Recorder>,
    snapshot: Option<Snapshot>,
    failures: u64,
    /// The greatest identifier that has a line.
    printed: u32,
    frames: u64,
    octets: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    /// What happened to interfaces.
    gone: Vec<String>,
    /// The reader of the output left.
    left: bool,
}

impl Watch<'_, '_> {
    /// What is captured, with what filter, and what cannot be seen.
    fn opening(&mut self) -> Result<(), Error> {
        let told = !self.cli.quiet;
        if told {
            let names: Vec<String> = self
                .live
                .interfaces()
                .iter()
                .map(|interface| format!("{} ({})", interface.name, crate::capture::link_name(interface.link)))
                .collect();
            eprintln!("netwatch502: capturing on {}: {}", names.join(", "), self.filter);
            if !self.expression.is_empty() && !self.cli.exact_filter {
                eprintln!(
                    "netwatch502: judged is what matches “{}”; the rest is captured for the gateway's other legs, and less of it once they are known",
                    self.expression
                );
            }
            eprintln!(
                "netwatch502: not seen: what is encrypted on its leg, and what passes in other network namespaces; Ctrl-C ends with a summary"
            );
        }
        if self.cli.chosen_format() == Format::Text {
            let head = text::incident_head(&self.style);
            self.print(|out, _| writeln!(out, "{head}"))?;
        }
        Ok(())
    }

    fn run(&mut self, serve: &Serve) -> Result<Ended, Error> {
        let end = self.cli.duration.and_then(|span| Instant::now().checked_add(span));
        let mut status = Instant::now();
        loop {
            match self.live.next(PATIENCE) {
                Next::Batch(batch) => self.take(&batch),
                Next::Notice(notice) => {
                    eprintln!("netwatch502: {notice}");
                    self.gone.push(notice.to_string());
                }
                Next::Idle => {
                    self.learn();
                    self.analysis.pass_time(now() - LATEST_DELIVERY);
                }
                Next::Ended(ended) => return Ok(ended),
            }
            self.tell()?;
            let enough = self.cli.count.is_some_and(|count| self.frames >= count)
                || end.is_some_and(|end| Instant::now() >= end)
                || self.left;
            if enough || serve.is_stopping() {
                self.live.stop();
            }
            while let Ok(wake) = serve.events().try_recv() {
                if wake == Wake::Tick {
                    self.second(serve, &mut status);
                }
            }
        }
    }

    fn take(&mut self, batch: &Batch) {
        // Packets come a while after they were captured: mostly their secrets are there by now.
        self.learn();
        for mut captured in batch {
            if self.cli.count.is_some_and(|count| self.frames >= count) {
                return;
            }
            self.frames += 1;
            self.octets += captured.octets.len() as u64;
            self.first = self.first.or(Some(captured.at));
            self.last = Some(captured.at);
            if let Some(ring) = &mut self.ring {
                complain(ring.keep(&captured));
            }
            if let Some(recorder) = &mut self.recorder {
                recorder.note(&captured);
            }
            if let Some(focus) = &mut self.focus {
                captured.focused = focus.matches(&captured);
            }
            self.analysis.take(&captured);
        }
    }

    /// What was appended to the key logs.
    fn learn(&mut self) {
        let Self { key_logs, analysis, .. } = self;
        key_logs.read(&mut |secrets| analysis.learn(secrets));
    }

    /// A line for each incident that settled.
    fn tell(&mut self) -> Result<(), Error> {
        for incident in self.analysis.news() {
            self.printed = self.printed.max(incident.id);
            self.failures += u64::from(incident.kind != Kind::ClientAbort);
            if let Some(snapshot) = &mut self.snapshot {
                snapshot.incident(&incident);
            }
            if let (Some(recorder), Some(last)) = (&mut self.recorder, self.last) {
                record(recorder, &incident, last);
            }
            self.line(&incident)?;
        }
        Ok(())
    }

    fn line(&mut self, incident: &Incident) -> Result<(), Error> {
        match self.cli.chosen_format() {
            Format::Text => self.print(|out, style| writeln!(out, "{}", text::incident_line(incident, style))),
            Format::Ndjson => self.print(|out, style| ndjson::incident(incident, style, out)),
            // These have one document, which comes at the end.
            Format::Json | Format::Csv => Ok(()),
        }
    }

    fn print(&mut self, write: impl FnOnce(&mut dyn io::Write, &Style) -> io::Result<()>) -> Result<(), Error> {
        let done = write(self.output.out(), &self.style);
        self.left |= matches!(self.output.finished(done)?, Written::PipeClosed);
        Ok(())
    }

    /// What is to be done once a second.
    fn second(&mut self, serve: &Serve, status: &mut Instant) {
        if let Some(ring) = &mut self.ring {
            complain(ring.flush());
        }
        if let Some(recorder) = &mut self.recorder {
            complain(recorder.flush());
        }
        // Where frames never cease to come, this is what lets go of what was held back. Not the clock's time: frames may wait.
        if let Some(last) = self.last {
            self.analysis.pass_time(last);
        }
        self.narrow();
        if status.elapsed() >= STATUS_EVERY && !self.cli.quiet && io::stderr().is_terminal() {
            *status = Instant::now();
            eprintln!("netwatch502: {}", self.status());
        }
        self.publish(serve);
    }

    /// Follows what was learned of the gateway with the kernel's filter.
    fn narrow(&mut self) {
        if self.expression.is_empty() || self.cli.exact_filter {
            return;
        }
        let legs = Legs { upstreams: self.analysis.upstreams(), backs: self.analysis.gateway_addresses() };
        if legs == self.legs {
            return;
        }
        let filter = reach::narrow(&self.expression, &legs, &ephemeral_ports());
        self.legs = legs;
        if filter != self.filter {
            match self.live.refilter(filter.clone()) {
                Ok(()) => {
                    if self.cli.verbose {
                        eprintln!("netwatch502: capturing now: {filter}");
                    }
                    self.filter = filter;
                }
                Err(error) => eprintln!("netwatch502: the filter stays as it is: {error}"),
            }
        }
    }

    fn status(&self) -> String {
        let (stats, totals, _) = self.analysis.measured();
        let drops: u64 = self.live.counters().iter().map(|counters| counters.lost()).sum();
        let own = own::usage();
        format!(
            "{} packets, {} exchanges, {} failures, {} upstreams, {} idle closes seen, {drops} packets dropped, {:.1} s of CPU, {} MiB",
            self.frames,
            totals.exchanges,
            self.failures,
            stats.upstreams.len(),
            stats.idle_closes(),
            own.cpu.as_secs_f64(),
            own.resident_bytes >> 20
        )
    }

    fn publish(&mut self, serve: &Serve) {
        let Some(snapshot) = &mut self.snapshot else { return };
        let (stats, totals, coverage) = self.analysis.measured();
        snapshot.update(stats, totals, &coverage);
        snapshot.packets = self.frames;
        for (interface, counters) in self.live.interfaces().iter().zip(self.live.counters()) {
            let counted = metrics::Interface {
                received: counters.delivered,
                dropped_by_kernel: counters.lost(),
                dropped_by_interface: counters.interface_dropped,
            };
            snapshot.interfaces.insert(interface.name.clone(), counted);
        }
        let own = own::usage();
        (snapshot.cpu, snapshot.resident_bytes) = (own.cpu, own.resident_bytes);
        let mut text = String::new();
        metrics::write(snapshot, &mut text);
        serve.publish(text);
    }

    /// The report, the greatest identifier that has a line, and whether the reader left.
    fn finish(self, ended: &Ended) -> (Report, u32, bool) {
        let counters = self.live.counters();
        if let Some(mut ring) = self.ring {
            for (index, counted) in (0..).zip(&counters) {
                let counted = Counted {
                    received: counted.received,
                    dropped_by_kernel: counted.lost(),
                    dropped_by_interface: counted.interface_dropped,
                };
                ring.counted(0, index, counted);
            }
            complain(ring.finish());
        }
        let interfaces = self.live.interfaces();
        let mut report = self.analysis.finish();
        report.coverage.notes.extend(self.key_logs.notes());
        if let (Some(mut recorder), Some(last)) = (self.recorder, self.last) {
            let late = report.incidents.iter().filter(|incident| incident.id > self.printed);
            late.for_each(|incident| record(&mut recorder, incident, last));
            complain(recorder.flush());
        }
        let names: Vec<&str> = interfaces.iter().map(|interface| interface.name.as_str()).collect();
        let mut link_types: Vec<String> =
            interfaces.iter().map(|interface| crate::capture::link_name(interface.link).into()).collect();
        link_types.dedup();
        report.inputs = vec![Input {
            name: names.join(", "),
            format: "live".to_owned(),
            link_types,
            packets: self.frames,
            bytes: self.octets,
            first: self.first,
            last: self.last,
            ended: if *ended == Ended::Stopped { "complete".to_owned() } else { ended.to_string() },
        }];
        report.focus = (!self.expression.is_empty()).then_some(self.expression);
        report.capture_filter = Some(self.filter);
        report.coverage.kernel_drops = counters.iter().map(|counters| counters.lost()).sum();
        report.coverage.notes.extend(self.gone);
        if self.legs != Legs::default() && report.coverage.gaps > 0 {
            report.coverage.notes.push(
                "of connections outside the gateway's legs only the segments that open and close them were captured: holes in these are counted too".to_owned(),
            );
        }
        report.coverage.notes.extend(self.focus.iter().flat_map(Filter::notes).cloned());
        (report, self.printed, self.left)
    }
}

/// What is left to print: lines of what could be told only now, and the summary.
fn close(report: &Report, printed: u32, cli: &Cli, style: &Style, output: &mut Output) -> Result<(), Error> {
    let late = || report.incidents.iter().filter(|incident| incident.id > printed);
    let done = match cli.chosen_format() {
        Format::Text => late()
            .try_for_each(|incident| writeln!(output.out(), "{}", text::incident_line(incident, style)))
            .and_then(|()| writeln!(output.out()))
            .and_then(|()| text::summary(report, style, output.out())),
        Format::Ndjson => late()
            .try_for_each(|incident| ndjson::incident(incident, style, output.out()))
            .and_then(|()| ndjson::summary(report, style, output.out())),
        Format::Json | Format::Csv => return write_report(report, cli, style, output).map(|_| ()),
    };
    output.finished(done).map(|_| ())
}

/// Records the packets of both legs of an incident, up to an instant.
fn record(recorder: &mut Recorder, incident: &Incident, until: Timestamp) {
    let downstream = incident.downstream.iter().map(|leg| (leg.client, leg.gateway));
    let upstream = incident.attempts.iter().map(|attempt| (attempt.gateway, attempt.upstream));
    let connections: Vec<(Endpoint, Endpoint)> = downstream.chain(upstream).collect();
    let comment = format!("incident {}: {}, {}", incident.id, incident.cause.id(), incident.grade.id());
    recorder.write_incident(until, &connections, &comment);
}

/// Says what cannot be kept any more; the run goes on without.
fn complain(done: Result<(), keep::Error>) {
    if let Err(error) = done
        && !error.is_broken_pipe()
    {
        eprintln!("netwatch502: {error}");
    }
}

/// The ports that connections of this host come from.
fn ephemeral_ports() -> RangeInclusive<u16> {
    let told = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok();
    let range = told.and_then(|text| {
        let mut ports = text.split_whitespace().map(str::parse);
        Some(ports.next()?.ok()?..=ports.next()?.ok()?)
    });
    range.unwrap_or(1024..=u16::MAX)
}

fn begun() -> Snapshot {
    let mut snapshot = Snapshot::default();
    snapshot.started = since_epoch();
    snapshot
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn now() -> Timestamp {
    Timestamp::from_nanos(i64::try_from(since_epoch().as_nanos()).unwrap_or(i64::MAX))
}

/// How long nothing may come before time passes.
const PATIENCE: Duration = Duration::from_millis(50);
/// Frames arrive no later than this after they were captured.
const LATEST_DELIVERY: Duration = Duration::from_millis(500);
/// A status line comes this often.
const STATUS_EVERY: Duration = Duration::from_secs(10);
