//! Live: interfaces in, a line for each failure as it settles, a summary at the end.
//!
//! ```text
//!  open, listen ─► give up privileges ─► start threads ─► frames ─► keep, record, analyse ─► lines
//!                                                           │ idle ─► time passes              ▲
//!                                                           └ each second ─► filter, metrics ──┘
//! ```

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use crate::analysis::{Analysis, News, TakeRow};
use crate::capture::filter::Filter;
use crate::capture::keep::recorder::Recorder;
use crate::capture::keep::ring::{Ring, Turn};
use crate::capture::keep::{self, Interfaces};
use crate::capture::keylog::KeyLogs;
use crate::capture::live::{Batch, Ended, Live, Next, Options};
use crate::capture::reach::Legs;
use crate::cli::{Cli, Format, SNAPLEN};
use crate::correlate::gateway::Gateways;
use crate::diagnose::incident::{Attempt, Incident, Kind};
use crate::event::Endpoint;
use crate::flow::share::Share;
use crate::limits;
use crate::privileges::{self, Kept};
use crate::report::metrics::{self, Snapshot};
use crate::report::{ExchangeRow, Input, Report, Style, ndjson, text};
use crate::run::aim::Aim;
use crate::run::output::{ExchangeTable, Output, Written};
use crate::run::{Error, own, question, say, status, style, write_report};
use crate::serve::{self, Serve, Wake};
use crate::time::Timestamp;
use crate::wire::pcapng::write::{Counted, Interface};

/// Captures until it is told to stop, then reports.
pub(super) fn watch(cli: &Cli) -> Result<ExitCode, Error> {
    let aim = Aim::new(cli);
    let focus = if aim.is_focus() { Some(Filter::compile(&aim.expression)?) } else { None };
    let mut output = Output::open(cli.output.as_deref())?.going_on();
    let style = style(cli, &output, false);
    let mut table = cli.exchanges.as_ref().map(|path| ExchangeTable::open(path, &style)).transpose()?;
    let options = options(cli, aim.filter.clone());
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
    let limits = cli.limits();
    let recorder = cli.record.as_ref().map(|path| Recorder::new(path, &limits, interfaces.clone())).transpose()?;
    let serve = Serve::start(listener)?;
    if cli.verbose {
        say(&dropped);
    }
    let mut write_row = table.as_mut().map(|table| |row: &ExchangeRow| table.row(row));
    let take_row = write_row.as_mut().map(|write| -> TakeRow<'_> { write });
    let question = question(cli, aim.is_focus());
    let mut analysis = Analysis::new(&limits, Gateways::told(&cli.proxy), question, take_row).live();
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
        aim,
        focus,
        ring,
        recorder,
        snapshot: cli.metrics.map(|_| begun()),
        failures: 0,
        kept: true,
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
    // What can be said only now has its lines as well.
    watch.analysis.end();
    watch.tell()?;
    let Finished { report, left, kept } = watch.finish(&ended);
    let exchanges_complete = table.is_none_or(ExchangeTable::finish);
    if !left {
        close(&report, cli, &style, &mut output)?;
    }
    if ended == Ended::Stopped {
        Ok(status(&report, kept && exchanges_complete && !output.has_failed()))
    } else {
        say(format_args!("{ended}; what was seen until then is reported"));
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
    aim: Aim,
    focus: Option<Filter>,
    ring: Option<Ring>,
    recorder: Option<Recorder>,
    snapshot: Option<Snapshot>,
    failures: u64,
    /// All packets that were to be kept were.
    kept: bool,
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
            say(format_args!("capturing on {}: {}", names.join(", "), self.aim.filter));
            if self.aim.is_focus() {
                say(format_args!(
                    "judged is what matches “{}”; the rest is captured for the gateway's other legs, and less of it once they are known",
                    self.aim.expression
                ));
            }
            say(format_args!(
                "not seen: what is encrypted on its leg, and what passes in other network namespaces; Ctrl-C ends with a summary"
            ));
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
                    say(&notice);
                    // One that comes and goes is noted once.
                    let notice = notice.to_string();
                    if !self.gone.contains(&notice) {
                        self.gone.push(notice);
                    }
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
                self.kept &= complain(ring.keep(&captured));
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

    /// A line for each incident that happened, and another one where it settled as something else.
    fn tell(&mut self) -> Result<(), Error> {
        for news in self.analysis.news() {
            match news {
                News::Provisional(incident) => self.line(&incident, Line::First)?,
                News::Settled { incident, told } => {
                    if let Some(snapshot) = &mut self.snapshot {
                        snapshot.incident(&incident);
                    }
                    if let (Some(recorder), Some(last)) = (&mut self.recorder, self.last) {
                        record(recorder, &incident, last);
                    }
                    match told {
                        None => self.line(&incident, Line::First)?,
                        Some(told) if self.written(&told, Line::First)? != self.written(&incident, Line::First)? => {
                            self.line(&incident, Line::Amended)?;
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn line(&mut self, incident: &Incident, line: Line) -> Result<(), Error> {
        if line == Line::First {
            self.failures += u64::from(incident.kind != Kind::ClientAbort);
        }
        let written = self.written(incident, line)?;
        self.print(|out, _| out.write_all(&written))
    }

    /// An incident's line; nothing for formats that have one document, which comes at the end.
    fn written(&self, incident: &Incident, line: Line) -> Result<Vec<u8>, Error> {
        let (style, mut out) = (&self.style, Vec::new());
        let done = match (self.cli.chosen_format(), line) {
            (Format::Text, Line::First) => writeln!(out, "{}", text::incident_line(incident, style)),
            (Format::Text, Line::Amended) => writeln!(out, "{}", text::amended_line(incident, style)),
            (Format::Ndjson, Line::First) => ndjson::incident(incident, style, &mut out),
            (Format::Ndjson, Line::Amended) => ndjson::amended(incident, style, &mut out),
            (Format::Json | Format::Csv, _) => Ok(()),
        };
        done.map(|()| out).map_err(Error::Stdout)
    }

    fn print(&mut self, write: impl FnOnce(&mut dyn io::Write, &Style) -> io::Result<()>) -> Result<(), Error> {
        let done = write(self.output.out(), &self.style);
        self.left |= matches!(self.output.finished(done)?, Written::PipeClosed);
        Ok(())
    }

    /// What is to be done once a second.
    fn second(&mut self, serve: &Serve, status: &mut Instant) {
        if let Some(ring) = &mut self.ring {
            self.kept &= complain(ring.flush());
        }
        if let Some(recorder) = &mut self.recorder {
            self.kept &= complain(recorder.flush());
        }
        // Where frames never cease to come, this is what lets go of what was held back. Not the clock's time: frames may wait.
        if let Some(last) = self.last {
            self.analysis.pass_time(last);
        }
        self.aim.look(&self.live, &mut self.analysis);
        if status.elapsed() >= STATUS_EVERY && !self.cli.quiet && io::stderr().is_terminal() {
            *status = Instant::now();
            say(self.status());
        }
        self.publish(serve);
    }

    fn status(&self) -> String {
        let drops: u64 = self.live.counters().iter().map(|counters| counters.lost()).sum();
        let own = own::usage();
        self.analysis.measured(|stats, totals, _| {
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
        })
    }

    fn publish(&mut self, serve: &Serve) {
        let Some(snapshot) = &mut self.snapshot else { return };
        self.analysis.measured(|stats, totals, coverage| snapshot.update(stats, totals, coverage));
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
        snapshot.followed = f64::from(self.aim.share().parts()) / f64::from(Share::PARTS);
        let mut text = String::new();
        metrics::write(snapshot, &mut text);
        serve.publish(text);
    }

    /// Ends what is kept, and reports.
    fn finish(mut self, ended: &Ended) -> Finished {
        let counters = self.live.counters();
        if let Some(mut ring) = self.ring.take() {
            for (index, counted) in (0..).zip(&counters) {
                let counted = Counted {
                    received: counted.received,
                    dropped_by_kernel: counted.lost(),
                    dropped_by_interface: counted.interface_dropped,
                };
                ring.counted(0, index, counted);
            }
            self.kept &= complain(ring.finish());
        }
        let interfaces = self.live.interfaces();
        let mut report = self.analysis.finish();
        report.coverage.notes.extend(self.key_logs.notes());
        if let Some(mut recorder) = self.recorder {
            self.kept &= complain(recorder.flush());
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
            clock: None,
        }];
        report.coverage.notes.extend(self.aim.note());
        report.focus = (!self.aim.expression.is_empty()).then_some(self.aim.expression);
        report.capture_filter = Some(self.aim.filter);
        report.coverage.kernel_drops = counters.iter().map(|counters| counters.lost()).sum();
        report.coverage.notes.extend(self.gone);
        if self.aim.legs != Legs::default() && report.coverage.gaps > 0 {
            report.coverage.notes.push(
                "of connections outside the gateway's legs only the segments that open and close them were captured: holes in these are counted too".to_owned(),
            );
        }
        report.coverage.notes.extend(self.focus.iter().flat_map(Filter::notes).cloned());
        Finished { report, left: self.left, kept: self.kept }
    }
}

/// A run that is over.
struct Finished {
    report: Report,
    /// The reader of the output left.
    left: bool,
    /// All packets that were to be kept were.
    kept: bool,
}

/// What is left to print: the summary of what has lines, or the one document.
fn close(report: &Report, cli: &Cli, style: &Style, output: &mut Output) -> Result<(), Error> {
    let done = match cli.chosen_format() {
        Format::Text => writeln!(output.out()).and_then(|()| text::summary(report, style, output.out())),
        Format::Ndjson => ndjson::summary(report, style, output.out()),
        Format::Json | Format::Csv => return write_report(report, cli, style, output).map(|_| ()),
    };
    output.finished(done).map(|_| ())
}

/// Which line of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    First,
    /// The same again, since it settled as something else.
    Amended,
}

/// Records the packets of both legs of an incident, up to an instant.
fn record(recorder: &mut Recorder, incident: &Incident, until: Timestamp) {
    let downstream = incident.downstream.iter().map(|leg| (leg.client, leg.gateway));
    let asked = |attempt: &Attempt| Some((attempt.gateway, attempt.upstream.or(attempt.resolver)?));
    let upstream = incident.attempts.iter().filter_map(asked);
    let connections: Vec<(Endpoint, Endpoint)> = downstream.chain(upstream).collect();
    let comment = format!("incident {}: {}, {}", incident.id, incident.cause.id(), incident.grade.id());
    recorder.write_incident(until, &connections, &comment);
}

/// Says what cannot be kept any more, and whether all was; the run goes on without. A reader that left has all it wanted.
fn complain(done: Result<(), keep::Error>) -> bool {
    let failed = done.err().filter(|error| !error.is_broken_pipe());
    failed.iter().for_each(say);
    failed.is_none()
}

fn begun() -> Snapshot {
    let mut snapshot = Snapshot::default();
    (snapshot.started, snapshot.followed) = (since_epoch(), 1.0);
    snapshot
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

fn now() -> Timestamp {
    Timestamp::from_nanos(i64::try_from(since_epoch().as_nanos()).unwrap_or(i64::MAX))
}

/// How long nothing may come before time passes: where frames never cease to come, something does.
const PATIENCE: Duration = limits::LIVE_GATHER.saturating_add(Duration::from_millis(10));
/// Frames arrive no later than this after they were captured.
const LATEST_DELIVERY: Duration = Duration::from_millis(500);
/// A status line comes this often.
const STATUS_EVERY: Duration = Duration::from_secs(10);
