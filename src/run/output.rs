//! Where reports go: standard output or a file, and the file of all exchanges.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::cli::{Cli, Color};
use crate::report::{ExchangeRow, Style, exchanges};
use crate::run::Error;

/// Whether everything was written, or the reader left.
pub(super) enum Written {
    Whole,
    PipeClosed,
}

/// Where the report goes.
pub(super) struct Output {
    path: Option<PathBuf>,
    writer: BufWriter<Box<dyn Write>>,
}

impl Output {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Error> {
        let writer: Box<dyn Write> = match path {
            Some(path) => {
                Box::new(File::create(path).map_err(|source| Error::Write { path: path.to_owned(), source })?)
            }
            None => Box::new(io::stdout()),
        };
        Ok(Self { path: path.map(Path::to_owned), writer: BufWriter::new(writer) })
    }

    pub(super) fn out(&mut self) -> &mut dyn Write {
        &mut self.writer
    }

    /// A reader that left is content with what it has: SIGPIPE is success.
    pub(super) fn finished(&mut self, done: io::Result<()>) -> Result<Written, Error> {
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
pub(super) struct ExchangeTable {
    path: PathBuf,
    writer: exchanges::Writer<BufWriter<File>>,
    failed: Option<io::Error>,
}

impl ExchangeTable {
    pub(super) fn open(path: &Path, style: &Style) -> Result<Self, Error> {
        let layout = exchanges::Layout::of(path).ok_or_else(|| Error::Exchanges(path.to_owned()))?;
        let fail = |source| Error::Write { path: path.to_owned(), source };
        let file = File::create(path).map_err(fail)?;
        let writer = exchanges::Writer::new(layout, *style, BufWriter::new(file)).map_err(fail)?;
        Ok(Self { path: path.to_owned(), writer, failed: None })
    }

    pub(super) fn row(&mut self, row: &ExchangeRow) {
        if self.failed.is_none() {
            self.failed = self.writer.row(row).err();
        }
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        let Self { path, writer, failed } = self;
        let done = failed.map_or(Ok(()), Err).and_then(|()| writer.finish());
        done.map_err(|source| Error::Write { path, source })
    }
}

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
