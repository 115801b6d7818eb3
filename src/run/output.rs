//! Where reports go: standard output or a file, and the file of all exchanges.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::cli::{Cli, Color};
use crate::report::{ExchangeRow, Style, exchanges};
use crate::run::{Error, say};

/// Whether everything was written, or the reader left.
pub(super) enum Written {
    Whole,
    PipeClosed,
}

/// Where the report goes.
pub(super) struct Output {
    path: Option<PathBuf>,
    lines: Lines,
    /// Whether what one place does not take goes to the next one.
    goes_on: bool,
    /// Whether that happened.
    failed: bool,
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let to = match path {
            Some(path) => {
                To::File(File::create(path).map_err(|source| Error::Write { path: path.to_owned(), source })?)
            }
            None => To::Stdout(io::stdout()),
        };
        Ok(Self { path: path.map(Path::to_owned), lines: Lines::new(to), goes_on: false, failed: false })
    }

    /// What cannot be written goes to standard output instead of the file, or to standard error instead of standard output, or
    /// is lost: for a run that is not to end with its disk or its terminal.
    pub(super) fn going_on(mut self) -> Self {
        self.goes_on = true;
        self
    }

    /// Whether not all of it is where it was asked for.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    pub(super) fn out(&mut self) -> &mut dyn Write {
        self
    }

    /// A reader that left is content with what it has: SIGPIPE is success.
    pub(super) fn finished(&mut self, done: io::Result<()>) -> Result<Written, Error> {
        match done.and_then(|()| self.flush()) {
            Ok(()) => Ok(Written::Whole),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::PipeClosed),
            Err(source) => Err(match &self.path {
                Some(path) => Error::Write { path: path.clone(), source },
                None => Error::Stdout(source),
            }),
        }
    }

    /// Goes on to the next place with the lines that were not written.
    fn go_on(&mut self, error: io::Error) -> io::Result<()> {
        let is_left = error.kind() == io::ErrorKind::BrokenPipe && self.path.is_none() && !self.failed;
        if !self.goes_on || is_left {
            return Err(error);
        }
        self.failed = true;
        let (to, from, next) = match (&self.lines.to, &self.path) {
            (To::File(_), Some(path)) => {
                (To::Stdout(io::stdout()), path.display().to_string(), "what follows is printed on standard output")
            }
            (To::Stdout(_), _) => {
                let next = "what follows is printed on standard error";
                (To::Stderr(io::stderr()), "standard output".to_owned(), next)
            }
            _ => (To::Nowhere, "standard error".to_owned(), "what follows is lost"),
        };
        say(format_args!("{from}: cannot write: {error}; {next}"));
        self.lines.to = to;
        self.flush()
    }
}

impl Write for Output {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let done = self.lines.write(octets);
        done.or_else(|error| self.go_on(error).map(|()| octets.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        let done = self.lines.flush();
        done.or_else(|error| self.go_on(error))
    }
}

/// Lines on their way to a place. Where it takes no more, a file ends with its last whole line.
struct Lines {
    to: To,
    /// What is not written yet.
    waiting: Vec<u8>,
    /// Octets that were written.
    written: u64,
}

enum To {
    File(File),
    Stdout(io::Stdout),
    Stderr(io::Stderr),
    Nowhere,
}

impl Lines {
    const fn new(to: To) -> Self {
        Self { to, waiting: Vec::new(), written: 0 }
    }

    /// Forgets what was written, and takes an unfinished line back.
    fn settle(&mut self, done: usize) {
        let whole = self.waiting.get(..done).and_then(|written| memchr::memrchr(b'\n', written));
        let whole = whole.map_or(0, |end| end + 1);
        if let To::File(file) = &self.to
            && whole < done
            && file.metadata().is_ok_and(|metadata| metadata.is_file())
        {
            // Cutting needs no room; where even that fails the line stays as it is.
            let _ = file.set_len(self.written + whole as u64);
        }
        self.written += whole as u64;
        self.waiting.drain(..whole);
    }
}

impl Write for Lines {
    /// Takes all octets. An error is one of octets before them, too: they wait.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(octets);
        if self.waiting.len() >= MOST_WAITING {
            self.flush()?;
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = self.waiting.get(done..).filter(|rest| !rest.is_empty()) {
            let written = match &mut self.to {
                To::File(file) => file.write(rest),
                To::Stdout(stdout) => stdout.write(rest).and_then(|octets| stdout.flush().map(|()| octets)),
                To::Stderr(stderr) => stderr.write(rest),
                To::Nowhere => Ok(rest.len()),
            };
            let failed = match written {
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Ok(octets) => {
                    done += octets;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            self.settle(done);
            return Err(failed);
        }
        self.written += done as u64;
        self.waiting.clear();
        Ok(())
    }
}

/// The file of all exchanges. Its first failure is said, and ends it.
pub(super) struct ExchangeTable {
    path: PathBuf,
    writer: exchanges::Writer<Lines>,
    failed: bool,
}

impl ExchangeTable {
    pub(super) fn open(path: &Path, style: &Style) -> Result<Self, Error> {
        let layout = exchanges::Layout::of(path).ok_or_else(|| Error::Exchanges(path.to_owned()))?;
        let fail = |source| Error::Write { path: path.to_owned(), source };
        let lines = Lines::new(To::File(File::create(path).map_err(fail)?));
        let writer = exchanges::Writer::new(layout, *style, lines).map_err(fail)?;
        Ok(Self { path: path.to_owned(), writer, failed: false })
    }

    pub(super) fn row(&mut self, row: &ExchangeRow) {
        if !self.failed
            && let Err(error) = self.writer.row(row)
        {
            self.failed = true;
            complain(&self.path, &error);
        }
    }

    /// Whether all exchanges are in it.
    pub(super) fn finish(self) -> bool {
        let Self { path, writer, failed } = self;
        if failed {
            return false;
        }
        let done = writer.finish();
        done.inspect_err(|error| complain(&path, error)).is_ok()
    }
}

fn complain(path: &Path, error: &io::Error) {
    say(format_args!("{}: cannot write: {error}; no more exchanges are written", path.display()));
}

/// Octets that wait before they are written.
const MOST_WAITING: usize = 64 << 10;

/// Columns that a line may have: what COLUMNS says, else the terminal. A pipe and a file take lines of any length.
pub(super) fn columns(output: &Output) -> Option<usize> {
    if output.path.is_some() {
        return None;
    }
    let told = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let terminal = || terminal_size::terminal_size_of(io::stdout()).map(|(columns, _)| usize::from(columns.0));
    told.or_else(terminal).filter(|columns| *columns > 0)
}

pub(super) fn colored(cli: &Cli, output: &Output) -> bool {
    match cli.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            output.path.is_none() && io::stdout().is_terminal() && !unwanted
        }
    }
}
