//! What the command line means: a source, an analysis, a report.

mod aim;
mod budget;
mod dealing;
mod explain;
mod halves;
mod live;
mod output;
mod own;
mod progress;
mod say;
mod shards;

use std::io;
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use crate::analysis::{Analysis, TakeRow};
use crate::capture::filter::Filter;
use crate::capture::keylog::KeyLogs;
use crate::capture::live::{Listed, State};
use crate::capture::{self, Source};
use crate::cli::{Cli, Command, Format};
use crate::correlate::gateway::Gateways;
use crate::diagnose::Question;
use crate::diagnose::incident::{Incident, clocks};
use crate::privileges;
use crate::report::{ExchangeRow, Report, Style, Totals, csv, json, ladder, ndjson, text};
use crate::run::halves::Feed;
use crate::run::output::{ExchangeTable, Output, Written, colored, columns};
use crate::run::progress::Progress;
use crate::serve;

pub use say::say;

/// Why the program could not do what it was asked for. `Display` is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input cannot be read, or the expression not be understood.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// Privileges cannot be given up.
    #[error(transparent)]
    Privileges(#[from] privileges::Error),
    /// Nothing can be waited for or served.
    #[error(transparent)]
    Serve(#[from] serve::Error),
    /// Packets cannot be kept.
    #[error(transparent)]
    Keep(#[from] capture::keep::Error),
    /// A file cannot be written.
    #[error("{}: cannot write: {source}", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Standard output cannot be written.
    #[error("standard output: cannot write: {0}")]
    Stdout(io::Error),
    /// The exchanges' file has no name that tells its format.
    #[error("{}: the exchanges are written as .csv or .ndjson, by the file's name", .0.display())]
    Exchanges(PathBuf),
    /// An incident in full is for people.
    #[error("--show prints text; for --format {0} leave it out: each incident is there in full")]
    Show(&'static str),
    /// There is no such incident.
    #[error("no incident {0}: the report has {1}")]
    NoIncident(u32, usize),
    /// There is no such cause.
    #[error("no cause “{0}”; `netwatch502 explain` lists them{1}")]
    NoCause(String, String),
}

/// Does what the command line asks for. The exit status is 0, 1 or 2 as the help says.
///
/// # Errors
///
/// Where it could not look, or not say what it saw.
pub fn run(cli: &Cli) -> Result<ExitCode, Error> {
    own::leave_huge_pages();
    match &cli.command {
        Some(Command::Explain { cause }) => explain::print(cause.as_deref(), cli),
        None if cli.list_interfaces => list_interfaces(cli),
        None => {
            refuse_show(cli)?;
            if cli.interface.is_empty() { analyse(cli) } else { live::watch(cli) }
        }
    }
}

fn refuse_show(cli: &Cli) -> Result<(), Error> {
    match (cli.show, cli.chosen_format()) {
        (None, _) | (_, Format::Text) => Ok(()),
        (_, Format::Json) => Err(Error::Show("json")),
        (_, Format::Ndjson) => Err(Error::Show("ndjson")),
        (_, Format::Csv) => Err(Error::Show("csv")),
    }
}

/// The interfaces that can be captured on, one a line.
fn list_interfaces(cli: &Cli) -> Result<ExitCode, Error> {
    let mut output = Output::open(cli.output.as_deref())?;
    let listed = capture::live::list_interfaces()?;
    let done = listed.iter().try_for_each(|interface| writeln!(output.out(), "{}", described(interface)));
    output.finished(done)?;
    Ok(ExitCode::SUCCESS)
}

fn described(interface: &Listed) -> String {
    let addresses: Vec<String> = interface.addresses.iter().map(ToString::to_string).collect();
    let link = interface.link.map_or(String::new(), |link| capture::link_name(link).into());
    let state = match interface.state {
        State::All => "all interfaces",
        State::Running if interface.loopback => "up, loopback",
        State::Running => "up",
        State::NoCarrier => "no carrier",
        State::Down => "down",
    };
    let line = format!("{:16}  {state:14}  {link:12}  {}", interface.name, addresses.join(", "));
    line.trim_end().to_owned()
}

/// How reports look.
fn style(cli: &Cli, output: &Output, several_inputs: bool) -> Style {
    Style {
        color: colored(cli, output),
        show_secrets: cli.show_secrets,
        several_inputs,
        ..Style::default().within(columns(output))
    }
}

/// What is to be explained.
fn question(cli: &Cli, focused: bool) -> Question {
    let mut question = Question { focused, ..Question::default() };
    if !cli.status.is_empty() {
        question.statuses.clone_from(&cli.status);
    }
    question
}

fn analyse(cli: &Cli) -> Result<ExitCode, Error> {
    let expression = cli.expression.join(" ");
    let mut filter = if expression.is_empty() { None } else { Some(Filter::compile(&expression)?) };
    let mut key_logs = KeyLogs::open(&cli.keylog, false)?;
    let mut source = Source::open(&cli.read)?;
    let mut output = Output::open(cli.output.as_deref())?;
    let mut style = style(cli, &output, source.inputs().len() > 1);
    let mut table = cli.exchanges.as_ref().map(|path| ExchangeTable::open(path, &style)).transpose()?;
    let question = question(cli, filter.is_some() && !cli.exact_filter);
    let mut write_row = table.as_mut().map(|table| |row: &ExchangeRow| table.row(row));
    let take_row = write_row.as_mut().map(|write| -> TakeRow<'_> { write });
    let began = Instant::now();
    let limits = cli.limits().of_inputs(style.several_inputs);
    let analysis = Analysis::new(&limits, Gateways::told(&cli.proxy), question, take_row);
    let mut reading = Reading { cli, source: &mut source, key_logs: &mut key_logs, filter: filter.as_mut(), frames: 0 };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let mut report = match cli.shards.map_or_else(|| shards::best(processors, !cli.keylog.is_empty()), usize::from) {
        // Threads that take turns would drive each other out of the caches.
        1 if processors == 1 => {
            let mut alone = analysis;
            reading.feed(&mut alone);
            alone.finish()
        }
        1 => halves::run(analysis, |lower| reading.feed(lower)),
        several => shards::run(analysis, &limits, several, processors, |deal| reading.feed(deal)),
    };
    let frames = reading.frames;
    report.inputs = source.inputs();
    let clock = |input: u16| report.inputs.get(usize::from(input)).and_then(|input| input.clock);
    clocks::doubt(&mut report.incidents, |input| clock(input).is_some_and(|clock| clock.ahead.is_none()));
    style.several_inputs = report.inputs.len() > 1;
    report.focus = (!expression.is_empty()).then_some(expression);
    report.coverage.kernel_drops = source.kernel_drops();
    report.coverage.notes.extend(filter.iter().flat_map(Filter::notes).cloned());
    report.coverage.notes.extend(key_logs.notes());
    let exchanges_complete = table.is_none_or(ExchangeTable::finish);
    if cli.verbose {
        let took = began.elapsed();
        say(format_args!(
            "{frames} packets in {:.3} s, {:.2} million a second",
            took.as_secs_f64(),
            frames as f64 / took.as_secs_f64() / 1e6
        ));
    }
    let complete = source.complete() || cli.count.is_some();
    match write_report(&report, cli, &style, &mut output)? {
        Written::Whole | Written::PipeClosed => {}
    }
    if !complete {
        for input in report.inputs.iter().filter(|input| input.ended != "complete") {
            let reported = if input.packets > 0 { "; what was read until then is reported" } else { "" };
            say(format_args!("{}: {}{reported}", input.name, input.ended));
        }
        return Ok(ExitCode::from(2));
    }
    Ok(status(&report, exchanges_complete))
}

/// What is read, and how far.
struct Reading<'a> {
    cli: &'a Cli,
    source: &'a mut Source,
    key_logs: &'a mut KeyLogs,
    filter: Option<&'a mut Filter>,
    frames: u64,
}

impl Reading<'_> {
    /// Reads to the end, or as far as it is asked for.
    fn feed(&mut self, feed: &mut impl Feed) {
        let Self { cli, source, key_logs, filter, frames } = self;
        let mut progress = Progress::new(cli);
        key_logs.finish(&mut |secrets| feed.learn(secrets));
        let mut is_enough = false;
        while !is_enough && source.advance() {
            if source.has_secrets() {
                feed.learn(&source.take_secrets());
            }
            let Some(mut stretch) = source.stretch() else { break };
            let before = *frames;
            loop {
                let mut captured = stretch.frame();
                *frames += 1;
                if let Some(filter) = filter {
                    captured.focused = filter.matches(&{ captured });
                }
                if captured.focused || !cli.exact_filter {
                    feed.take(&captured, &stretch);
                }
                is_enough = cli.count == Some(*frames);
                if is_enough || !stretch.advance() {
                    break;
                }
            }
            let taken = stretch.taken();
            source.took(taken);
            if *frames >> SHOWN_EACH > before >> SHOWN_EACH {
                progress.show(source.progress());
            }
        }
        progress.finish();
    }
}

/// How many frames go by until progress is shown again, as a power of two.
const SHOWN_EACH: u32 = 16;

/// The exit status of a run that looked at all there was; `whole` where all that was asked for is written.
fn status(report: &Report, whole: bool) -> ExitCode {
    let Totals { gateway_errors, upstream_failures, masked, broken, .. } = report.totals;
    match gateway_errors + upstream_failures + masked + broken {
        _ if !whole => ExitCode::from(2),
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(1),
    }
}

fn write_report(report: &Report, cli: &Cli, style: &Style, output: &mut Output) -> Result<Written, Error> {
    let done = match (cli.show, cli.chosen_format()) {
        (Some(id), _) => ladder::write(report, find(report, id)?, style, output.out()),
        (None, Format::Text) => text::write(report, style, output.out()),
        (None, Format::Json) => json::write(report, style, output.out()),
        (None, Format::Ndjson) => ndjson::write(report, style, output.out()),
        (None, Format::Csv) => csv::write(report, style, output.out()),
    };
    output.finished(done)
}

fn find(report: &Report, id: u32) -> Result<&Incident, Error> {
    let found = report.incidents.iter().find(|incident| incident.id == id);
    found.ok_or(Error::NoIncident(id, report.incidents.len()))
}
