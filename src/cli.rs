//! The command line: every flag, one derive.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use crate::limits::{Limits, MOST_SHARDS};

/// Names the cause of every 502 from the packets on both legs of a reverse proxy.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100, args_conflicts_with_subcommands = true, arg_required_else_help = true)]
#[command(
    subcommand_negates_reqs = true,
    after_help = "Exit status: 0 no gateway failure found; 1 at least one; 2 could not look, or write, or the input ended in the middle."
)]
pub struct Cli {
    /// What to do instead of analysing.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Read packets from FILE: pcap or pcapng, plain, gzip or zstd; - is standard input. Repeat it, or use * and ?, for several files as one stream in time order.
    #[arg(short = 'r', value_name = "FILE", required_unless_present_any = ["interface", "list_interfaces"])]
    pub read: Vec<String>,

    /// Capture on IFACE while packets pass; any is all interfaces. Repeat it for several. Needs sudo, or setcap once.
    #[arg(short = 'i', value_name = "IFACE", conflicts_with = "read")]
    pub interface: Vec<String>,

    /// List the interfaces that can be captured on.
    #[arg(short = 'D', long, conflicts_with_all = ["read", "interface"])]
    pub list_interfaces: bool,

    /// Octets to keep of a packet [default: 2048]; 0 is all of them.
    #[arg(short = 's', value_name = "LEN", value_parser = snaplen, conflicts_with = "read")]
    pub snaplen: Option<u32>,

    /// The kernel's capture buffer, in KiB, for each interface [default: 32768].
    #[arg(short = 'B', value_name = "KIB", value_parser = clap::value_parser!(u32).range(1..=BUFFER_KIB), conflicts_with = "read")]
    pub buffer: Option<u32>,

    /// Do not ask interfaces for packets to other hosts (promiscuous mode).
    #[arg(short = 'p', conflicts_with = "read")]
    pub not_promiscuous: bool,

    /// Stop capturing after S seconds.
    #[arg(short = 'a', value_name = "duration:S", value_parser = duration, conflicts_with = "read")]
    pub duration: Option<Duration>,

    /// Stop after N packets.
    #[arg(short = 'c', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,

    /// Use EXPR as it stands: packets that do not match are not looked at. Without it EXPR is the focus: which exchanges to judge.
    #[arg(long, requires = "expression")]
    pub exact_filter: bool,

    /// These addresses are one gateway. Without it gateways are found out.
    #[arg(long, value_name = "ADDR,…", value_delimiter = ',')]
    pub proxy: Vec<IpAddr>,

    /// Decrypt TLS with the secrets in FILE, which a client or server wrote (SSLKEYLOGFILE). Repeat it for several. While capturing it may grow.
    #[arg(long, value_name = "FILE")]
    pub keylog: Vec<PathBuf>,

    /// Keep what is captured: write every packet to FILE, as pcapng; - is standard output.
    #[arg(short = 'w', value_name = "FILE", conflicts_with = "read")]
    pub write: Option<PathBuf>,

    /// Turn -w into a ring of files: filesize:KIB begins the next file before one grows beyond, files:N keeps the newest N of them. Repeat it for both.
    #[arg(short = 'b', value_name = "BOUND", requires = "write", value_parser = ring_bound)]
    pub ring: Vec<RingBound>,

    /// Keep what belongs to incidents: write the packets of both legs from the last half minute to FILE, as pcapng, when an incident settles.
    #[arg(long, value_name = "FILE", conflicts_with = "read")]
    pub record: Option<PathBuf>,

    /// While live: processor time that may be used, in per cent of one core. Beyond it whole connections are left out.
    #[arg(long, value_name = "PERCENT", conflicts_with = "read", value_parser = clap::value_parser!(u32).range(1..=6400))]
    pub max_cpu: Option<u32>,

    /// Connections to follow at once [default: 18432], some 2 KB each. Beyond it the one that was silent longest is given up.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..))]
    pub max_connections: Option<u32>,

    /// Exchanges to keep at once, open or not settled [default: 18432], some 2 KB each. Beyond it they are judged early.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..))]
    pub max_exchanges: Option<u32>,

    /// Incidents to list [default: 4000], some 8 KB each. Beyond it they are counted.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_incidents: Option<u32>,

    /// Threads among which the connections of files are divided; the report is the same for any number. Default: one less than
    /// there are processors, and as many as there are with --keylog.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=i64::from(MOST_SHARDS)), conflicts_with = "interface")]
    pub shards: Option<u8>,

    /// Serve metrics for Prometheus at http://ADDR/metrics, for example 127.0.0.1:9502.
    #[arg(long, value_name = "ADDR", value_parser = socket_address, conflicts_with = "read")]
    pub metrics: Option<SocketAddr>,

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
    #[arg(long, value_name = "N", conflicts_with = "interface")]
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

/// A bound of the ring of files that packets are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingBound {
    /// Octets of a file.
    FileBytes(u64),
    /// Files that are kept.
    Files(u32),
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

impl Cli {
    /// The bounds of the analysis, as far as they are options.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let standard = Limits::default();
        let chosen = |option: Option<u32>, standard: usize| option.map_or(standard, |n| n as usize);
        let exchanges = chosen(self.max_exchanges, standard.exchanges);
        Limits {
            connections: chosen(self.max_connections, standard.connections),
            exchanges,
            exchange_bytes: standard.exchange_bytes.saturating_mul(exchanges) / standard.exchanges,
            incidents: chosen(self.max_incidents, standard.incidents),
            ..standard
        }
    }

    /// Octets that a file of the ring may have, and how many are kept. Of a bound that is repeated the last one counts.
    #[must_use]
    pub fn ring_bounds(&self) -> (Option<u64>, Option<u32>) {
        self.ring.iter().fold((None, None), |(file_bytes, files), bound| match bound {
            RingBound::FileBytes(bytes) => (Some(*bytes), files),
            RingBound::Files(count) => (file_bytes, Some(*count)),
        })
    }
}

/// `filesize:1000`, or `files:10`.
fn ring_bound(text: &str) -> Result<RingBound, String> {
    let wanted = "write filesize:KIB or files:N, such as -b filesize:10240 -b files:5";
    let Some((name, number)) = text.split_once(':') else {
        return Err(wanted.to_owned());
    };
    let number = number.parse::<u64>().ok().filter(|number| *number > 0);
    let number = number.ok_or_else(|| format!("“{text}” has no number above 0 behind the colon; {wanted}"));
    match name {
        "filesize" => {
            let bytes = number?.checked_mul(1024);
            bytes.map(RingBound::FileBytes).ok_or_else(|| format!("“{text}” is more than a file can hold"))
        }
        "files" => u32::try_from(number?).map(RingBound::Files).map_err(|_| format!("“{text}” are too many files")),
        _ => Err(format!("“{name}” bounds no ring here; {wanted}")),
    }
}

/// `127.0.0.1:9502`.
fn socket_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:9502 or [::1]:9502".to_owned())
}
/// Octets of a packet; as in tcpdump 0 is the most there can be.
fn snaplen(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(0) => Ok(SNAPLEN),
        Ok(octets @ 1..=SNAPLEN) => Ok(octets),
        _ => Err(format!("a number of octets from 1 to {SNAPLEN}, or 0 for whole packets")),
    }
}

/// `duration:60`, as in tshark.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = match text.split_once(':') {
        Some(("duration", seconds)) => seconds,
        Some((condition @ ("filesize" | "files" | "packets"), _)) => {
            return Err(format!("“{condition}” is no condition here, only duration:S is, such as duration:60"));
        }
        _ => return Err("say duration:S, such as duration:60 for a minute".to_owned()),
    };
    let span = seconds.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    span.filter(|span| !span.is_zero() && *span <= DURATION)
        .ok_or_else(|| format!("“{seconds}” is no number of seconds greater than 0, such as 60 or 0.5"))
}

/// What libpcap allows for one packet, in octets.
pub const SNAPLEN: u32 = 262_144;

/// What libpcap's number of octets can hold, which has 31 bits.
const BUFFER_KIB: i64 = (1 << 21) - 1;

/// A hundred years; beyond it clocks overflow.
const DURATION: Duration = Duration::from_secs(100 * 365 * 86_400);

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

    fn parsed(arguments: &str) -> Result<Cli, String> {
        let words = ["netwatch502"].into_iter().chain(arguments.split_whitespace());
        Cli::try_parse_from(words).map_err(|error| error.to_string())
    }

    /// The command line is refused, and the refusal names what is wrong.
    fn refused(arguments: &str, expected: &str) {
        let error = parsed(arguments).map(|_| ()).unwrap_err();
        assert!(error.contains(expected), "{arguments}: {error}");
    }

    #[test]
    fn packets_come_from_files_or_from_interfaces() {
        let cli = parsed("-i any -i eth0 -s 96 -B 1024 -p -a duration:2.5 port 8080").unwrap();
        assert_eq!(cli.interface, ["any", "eth0"]);
        assert_eq!((cli.snaplen, cli.buffer, cli.not_promiscuous), (Some(96), Some(1024), true));
        assert_eq!(
            (cli.duration, cli.expression),
            (Some(Duration::from_millis(2500)), vec!["port".into(), "8080".into()])
        );
        let cli = parsed("-r a -r b").unwrap();
        assert_eq!((cli.read.len(), cli.interface.len(), cli.snaplen), (2, 0, None));
        assert!(parsed("-D").unwrap().list_interfaces);
        assert!(parsed("explain").unwrap().command.is_some());
        refused("port 8080", "-r <FILE>");
        refused("-i any -r a", "cannot be used with");
        refused("-D -i any", "cannot be used with");
        refused("-r a -a duration:1", "cannot be used with");
        refused("-r a -s 96", "cannot be used with");
        refused("-s 96", "-r <FILE>");
        refused("-r a -w b", "cannot be used with");
        refused("-r a --record b", "cannot be used with");
        refused("-r a --metrics [::1]:9502", "cannot be used with");
        refused("-i any --show 1", "cannot be used with");
    }

    #[test]
    fn sizes_and_spans_are_within_what_can_be() {
        assert_eq!(snaplen("0"), Ok(262_144));
        assert_eq!(snaplen("262144"), Ok(262_144));
        refused("-i any -s 262145", "from 1 to 262144, or 0 for whole packets");
        refused("-i any -B 0", "0 is not in 1..=2097151");
        refused("-i any -B 2097152", "is not in 1..=2097151");
        assert_eq!(duration("duration:60"), Ok(Duration::from_secs(60)));
        for (text, expected) in [
            ("60", "say duration:S"),
            ("filesize:100", "“filesize” is no condition here"),
            ("duration:", "“” is no number of seconds"),
            ("duration:0", "greater than 0"),
            ("duration:-1", "greater than 0"),
            ("duration:1e300", "greater than 0"),
            ("duration:soon", "“soon” is no number of seconds"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    fn live(arguments: &[&str]) -> Result<Cli, String> {
        let arguments = ["netwatch502", "-i", "any"].iter().chain(arguments);
        Cli::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn a_ring_has_a_size_and_a_number_of_files() {
        let bounds = |arguments: &[&str]| live(arguments).map(|cli| cli.ring_bounds());
        assert_eq!(bounds(&["-w", "x"]), Ok((None, None)));
        assert_eq!(bounds(&["-w", "x", "-b", "filesize:2", "-b", "files:3"]), Ok((Some(2048), Some(3))));
        assert_eq!(bounds(&["-w", "x", "-b", "files:3", "-b", "files:4"]), Ok((None, Some(4))));
        for (wrong, said) in [
            (&["-b", "files:3"][..], "-w <FILE>"),
            (&["-w", "x", "-b", "10"], "filesize:KIB or files:N"),
            (&["-w", "x", "-b", "duration:10"], "“duration” bounds no ring here"),
            (&["-w", "x", "-b", "files:0"], "no number above 0"),
            (&["-w", "x", "-b", "files:5000000000"], "too many files"),
            (&["-w", "x", "-b", "filesize:18446744073709551615"], "more than a file can hold"),
        ] {
            let error = bounds(wrong).unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn bounds_of_memory_can_be_chosen() {
        let (standard, limits) = (Limits::default(), parsed("-r a").unwrap().limits());
        assert_eq!((limits.connections, limits.exchange_bytes), (standard.connections, standard.exchange_bytes));
        let limits = parsed("-r a --max-connections 1000000 --max-exchanges 36864 --max-incidents 7").unwrap().limits();
        assert_eq!((limits.connections, limits.exchanges, limits.incidents), (1_000_000, 36_864, 7));
        assert_eq!(limits.exchange_bytes, 2 * standard.exchange_bytes);
        refused("-r a --max-connections 0", "0 is not in 16..");
        refused("-r a --max-incidents none", "invalid value 'none'");
    }

    #[test]
    fn metrics_have_an_address_and_a_port() {
        let metrics = |address| live(&["--metrics", address]).map(|cli| cli.metrics);
        assert_eq!(metrics("[::1]:9502"), Ok(Some("[::1]:9502".parse().unwrap())));
        assert!(metrics("9502").unwrap_err().contains("127.0.0.1:9502"));
    }
}
