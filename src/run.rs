//! What the command line means: a source, an analysis, a report.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::analysis::Analysis;
use crate::capture::filter::Filter;
use crate::capture::{self, Source};
use crate::cli::{Cli, Color, Command, Format};
use crate::correlate::gateway::Gateways;
use crate::diagnose::Question;
use crate::diagnose::cause::Cause;
use crate::diagnose::explain;
use crate::diagnose::incident::{Incident, Kind};
use crate::limits::Limits;
use crate::report::{ExchangeRow, Report, Style, csv, exchanges, json, ladder, ndjson, text};

/// Why the program could not do what it was asked for. `Display` is a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An input cannot be read, or the expression not be understood.
    #[error(transparent)]
    Capture(#[from] capture::Error),
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
    match &cli.command {
        Some(Command::Explain { cause }) => explain(cause.as_deref(), cli),
        None => analyse(cli),
    }
}

fn analyse(cli: &Cli) -> Result<ExitCode, Error> {
    match (cli.show, cli.chosen_format()) {
        (None, _) | (_, Format::Text) => {}
        (_, Format::Json) => return Err(Error::Show("json")),
        (_, Format::Ndjson) => return Err(Error::Show("ndjson")),
        (_, Format::Csv) => return Err(Error::Show("csv")),
    }
    let expression = cli.expression.join(" ");
    let mut filter = if expression.is_empty() { None } else { Some(Filter::compile(&expression)?) };
    let mut source = Source::open(&cli.read)?;
    let mut output = Output::open(cli.output.as_deref())?;
    let mut style = Style {
        color: colored(cli, &output),
        show_secrets: cli.show_secrets,
        several_inputs: source.inputs().len() > 1,
        ..Style::default().within(columns(&output))
    };
    let mut table = match &cli.exchanges {
        Some(path) => Some(ExchangeTable::open(path, &style)?),
        None => None,
    };
    let mut question = Question { focused: filter.is_some() && !cli.exact_filter, ..Question::default() };
    if !cli.status.is_empty() {
        question.statuses.clone_from(&cli.status);
    }
    let mut write_row = |row: &ExchangeRow| {
        if let Some(table) = &mut table {
            table.row(row);
        }
    };
    let began = Instant::now();
    let limits = Limits::default();
    let mut analysis = Analysis::new(&limits, Gateways::told(&cli.proxy), question, Some(&mut write_row));
    let mut progress = Progress::new(cli);
    let mut frames = 0_u64;
    while let Some(mut captured) = source.next() {
        frames += 1;
        if let Some(filter) = &mut filter {
            captured.focused = filter.matches(&captured);
        }
        if captured.focused || !cli.exact_filter {
            analysis.take(&captured);
        }
        if cli.count == Some(frames) {
            break;
        }
        if frames.is_multiple_of(65_536) {
            progress.show(source.progress());
        }
    }
    progress.finish();
    let mut report = analysis.finish();
    report.inputs = source.inputs();
    style.several_inputs = report.inputs.len() > 1;
    report.focus = (!expression.is_empty()).then_some(expression);
    report.coverage.kernel_drops = source.kernel_drops();
    report.coverage.notes.extend(filter.iter().flat_map(Filter::notes).cloned());
    if let Some(table) = table {
        table.finish()?;
    }
    if cli.verbose {
        let took = began.elapsed();
        eprintln!(
            "{frames} packets in {:.3} s, {:.2} million a second",
            took.as_secs_f64(),
            frames as f64 / took.as_secs_f64() / 1e6
        );
    }
    let complete = source.complete() || cli.count.is_some();
    match write_report(&report, cli, &style, &mut output)? {
        Written::Whole | Written::PipeClosed => {}
    }
    if !complete {
        for input in report.inputs.iter().filter(|input| input.ended != "complete") {
            let reported = if input.packets > 0 { "; what was read until then is reported" } else { "" };
            eprintln!("netwatch502: {}: {}{reported}", input.name, input.ended);
        }
        return Ok(ExitCode::from(2));
    }
    let failed = report.incidents.iter().any(|incident| incident.kind != Kind::ClientAbort);
    Ok(ExitCode::from(u8::from(failed)))
}

/// Whether everything was written, or the reader left.
enum Written {
    Whole,
    PipeClosed,
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

fn explain(cause: Option<&str>, cli: &Cli) -> Result<ExitCode, Error> {
    let mut output = Output::open(cli.output.as_deref())?;
    let text = match cause {
        None => list_of_causes(columns(&output)),
        Some(id) => {
            let cause = Cause::from_id(id).ok_or_else(|| Error::NoCause(id.to_owned(), similar(id)))?;
            explanation(cause, columns(&output))
        }
    };
    let done = output.out().write_all(text.as_bytes());
    output.finished(done)?;
    Ok(ExitCode::SUCCESS)
}

fn list_of_causes(columns: Option<usize>) -> String {
    let mut text = String::new();
    let mut phase = None;
    for cause in Cause::ALL {
        if phase != Some(cause.phase()) {
            phase = Some(cause.phase());
            text.push_str(&format!("\n{}\n", cause.phase().id()));
        }
        let summary = explain::summary(*cause);
        let lines =
            columns.map_or(vec![summary.to_owned()], |limit| wrapped(summary, limit.saturating_sub(36).max(30)));
        text.push_str(&format!("  {:32}  {}\n", cause.id(), lines.join(&format!("\n{:36}", ""))));
    }
    text.trim_start().to_owned()
}

fn explanation(cause: Cause, columns: Option<usize>) -> String {
    let said = explain::explain(cause);
    let status = cause.proxy_status().map_or(String::new(), |kind| format!(", Proxy-Status error={kind}"));
    let mut text = format!("{cause}   (phase {}{status})\n", cause.phase().id());
    for (title, body) in [
        ("MEANS", said.meaning),
        ("PROVEN BY", said.proof),
        ("LOOKS LIKE IT", said.look_alikes),
        ("WHAT TO DO", said.todo),
    ] {
        text.push_str(&format!("\n{title}\n"));
        for line in wrapped(body, columns.map_or(96, |limit| limit.clamp(40, 100) - 4)) {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let full =
            lines.last().is_some_and(|line| !line.is_empty() && line.chars().count() + word.chars().count() >= width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A hint at causes whose id has a word in common.
fn similar(id: &str) -> String {
    let words: Vec<&str> = id.split(['_', '-', ' ']).filter(|word| word.len() > 3).collect();
    let near: Vec<&str> = Cause::ALL
        .iter()
        .map(|cause| cause.id())
        .filter(|known| words.iter().any(|word| known.contains(word)))
        .collect();
    if near.is_empty() { String::new() } else { format!("; near: {}", near.join(", ")) }
}

/// Where the report goes.
struct Output {
    path: Option<PathBuf>,
    writer: BufWriter<Box<dyn Write>>,
}

impl Output {
    fn open(path: Option<&Path>) -> Result<Self, Error> {
        let writer: Box<dyn Write> = match path {
            Some(path) => {
                Box::new(File::create(path).map_err(|source| Error::Write { path: path.to_owned(), source })?)
            }
            None => Box::new(io::stdout()),
        };
        Ok(Self { path: path.map(Path::to_owned), writer: BufWriter::new(writer) })
    }

    fn out(&mut self) -> &mut dyn Write {
        &mut self.writer
    }

    /// A reader that left is content with what it has: SIGPIPE is success.
    fn finished(&mut self, done: io::Result<()>) -> Result<Written, Error> {
        match done.and_then(|()| self.writer.flush()) {
            Ok(()) => Ok(Written::Whole),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::PipeClosed),
            Err(source) => Err(match &self.path {
                Some(path) => Error::Write { path: path.clone(), source },
                None => Error::Stdout(source),
            }),
        }
    }
}

/// The file of all exchanges; the first error is kept until the end.
struct ExchangeTable {
    path: PathBuf,
    writer: exchanges::Writer<BufWriter<File>>,
    failed: Option<io::Error>,
}

impl ExchangeTable {
    fn open(path: &Path, style: &Style) -> Result<Self, Error> {
        let layout = exchanges::Layout::of(path).ok_or_else(|| Error::Exchanges(path.to_owned()))?;
        let fail = |source| Error::Write { path: path.to_owned(), source };
        let file = File::create(path).map_err(fail)?;
        let writer = exchanges::Writer::new(layout, *style, BufWriter::new(file)).map_err(fail)?;
        Ok(Self { path: path.to_owned(), writer, failed: None })
    }

    fn row(&mut self, row: &ExchangeRow) {
        if self.failed.is_none() {
            self.failed = self.writer.row(row).err();
        }
    }

    fn finish(self) -> Result<(), Error> {
        let Self { path, writer, failed } = self;
        let done = failed.map_or(Ok(()), Err).and_then(|()| writer.finish());
        done.map_err(|source| Error::Write { path, source })
    }
}

/// Columns that a line may have: what COLUMNS says, else the terminal. A pipe and a file take lines of any length.
fn columns(output: &Output) -> Option<usize> {
    if output.path.is_some() {
        return None;
    }
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size_of(io::stdout()).map(|(columns, _)| usize::from(columns.0));
    told.or_else(terminal).filter(|columns| *columns > 0)
}

fn colored(cli: &Cli, output: &Output) -> bool {
    match cli.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            output.path.is_none() && io::stdout().is_terminal() && !unwanted
        }
    }
}

/// The progress bar: on standard error, on a terminal, for long work only.
struct Progress {
    bar: Option<ProgressBar>,
    wanted: bool,
    began: Instant,
}

impl Progress {
    fn new(cli: &Cli) -> Self {
        Self { bar: None, wanted: !cli.quiet && io::stderr().is_terminal(), began: Instant::now() }
    }

    fn show(&mut self, (done, all): (u64, Option<u64>)) {
        if !self.wanted || self.began.elapsed() < LONG {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(all, ProgressDrawTarget::stderr_with_hz(5));
            let template =
                if all.is_some() { "{wide_bar} {bytes}/{total_bytes} {eta}" } else { "{spinner} {bytes} {elapsed}" };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        bar.set_position(done);
    }

    fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

/// Work that takes longer than this gets a progress bar.
const LONG: Duration = Duration::from_millis(700);
