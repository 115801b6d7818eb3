//! The command line: every flag, one derive.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Names the cause of every 502 from the packets on both legs of a reverse proxy.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
#[command(
    subcommand_negates_reqs = true,
    after_help = "Exit status: 0 no gateway failure found; 1 at least one; 2 could not look, or the input ended in the middle."
)]
pub struct Cli {
    /// What to do instead of analysing.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Read packets from FILE: pcap or pcapng, plain, gzip or zstd; - is standard input. Repeat it, or use * and ?, for several files as one stream in time order.
    #[arg(short = 'r', value_name = "FILE", required = true)]
    pub read: Vec<String>,

    /// Stop after N packets.
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Use EXPR as it stands: packets that do not match are not looked at. Without it EXPR is the focus: which exchanges to judge.
    #[arg(long, requires = "expression")]
    pub exact_filter: bool,

    /// These addresses are one gateway. Without it gateways are found out.
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    pub proxy: Vec<IpAddr>,

    /// Downstream statuses to explain, and ranges of them [default: 500,502-504,520-530].
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = status_range)]
    pub status: Vec<RangeInclusive<u16>>,

    /// How to print.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::Text)]
    pub format: Format,

    /// Short for --format json.
    #[arg(long, conflicts_with_all = ["format", "ndjson"])]
    pub json: bool,

    /// Short for --format ndjson: one object a line.
    #[arg(long, conflicts_with = "format")]
    pub ndjson: bool,

    /// Print to FILE instead of standard output.
    #[arg(short = 'o', value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Show incident N in full.
    #[arg(long, value_name = "N")]
    pub show: Option<u32>,

    /// Write every exchange as a row of FILE: .csv or .ndjson by its name.
    #[arg(long, value_name = "FILE")]
    pub exchanges: Option<PathBuf>,

    /// Do not cut query values and user information.
    #[arg(long)]
    pub show_secrets: bool,

    /// Colour: on a terminal, unless NO_COLOR is set; always; never.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,

    /// No progress bar.
    #[arg(short, long)]
    pub quiet: bool,

    /// Say on standard error what was read, and how fast.
    #[arg(short, long)]
    pub verbose: bool,

    /// A libpcap filter expression: the focus.
    #[arg(value_name = "EXPR", id = "expression")]
    pub expression: Vec<String>,
}

/// What to do instead of analysing.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What a cause means, how it is proven, what to do; without CAUSE the list of all.
    Explain {
        /// The cause's id.
        cause: Option<String>,
    },
}

/// How to print a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One object.
    Json,
    /// One object a line.
    Ndjson,
    /// The incidents as a table.
    Csv,
}

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Cli {
    /// The format asked for, by its long or short flag.
    #[must_use]
    pub fn chosen_format(&self) -> Format {
        match (self.json, self.ndjson) {
            (true, _) => Format::Json,
            (_, true) => Format::Ndjson,
            _ => self.format,
        }
    }
}

/// `502`, or `520-530`.
fn status_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let code = |text: &str| match text.trim().parse::<u16>() {
        Ok(status @ 100..=999) => Ok(status),
        _ => Err(format!("“{text}” is no status code: three digits, such as 502")),
    };
    match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (code(first)?, code(last)?);
            if first > last {
                return Err(format!("{first} comes after {last}"));
            }
            Ok(first..=last)
        }
        None => code(text).map(|status| status..=status),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn statuses_are_codes_and_ranges() {
        assert_eq!(status_range("502"), Ok(502..=502));
        assert_eq!(status_range("520-530"), Ok(520..=530));
        assert!(status_range("5xx").is_err());
        assert!(status_range("530-520").is_err());
    }
}
