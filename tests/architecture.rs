//! The rules of the layout, held against the sources: who may import whom, what stays at the rims, which file alone names
//! a foreign crate, and what no file may have.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// A module imports from the rows above its own here, which lie below it in the hourglass, and from itself.
const ROWS: &[&[&str]] = &[
    &["time", "limits", "mark", "texts"],
    &["wire"],
    &["event"],
    &["flow"],
    &["observe"],
    &["shard"],
    &["correlate"],
    &["stats"],
    &["diagnose"],
    &["report"],
    &["analysis"],
    &["capture", "cli", "privileges", "serve"],
    &["run"],
    &["lib", "main"],
];

/// The two halves of the hourglass: what lies above the waist knows nothing of these.
const BELOW_THE_WAIST: &[&str] = &["wire", "flow", "observe", "shard"];
const ABOVE_THE_WAIST: &[&str] = &["correlate", "stats", "diagnose", "report"];

/// The modules that may do input and output, read the clock and start threads.
const RIMS: &[&str] = &["capture", "cli", "privileges", "run", "serve", "main", "lib"];

/// What only rims may name.
const IMPURE: &[&str] = &[
    "std::fs",
    "fs::File",
    "std::net::Tcp",
    "std::net::Udp",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::thread",
    "thread::spawn",
    "std::env",
    "env::var",
    "std::process",
    "tokio",
    "Instant::now",
    "SystemTime",
    "io::stdin",
    "io::stdout",
    "io::stderr",
    "println!",
    "print!",
    "eprintln!",
    "eprint!",
];

/// A foreign crate, and the files or folders that may name it.
const FOREIGN: &[(&str, &[&str])] = &[
    ("etherparse", &["wire/ip.rs"]),
    ("httparse", &["wire/http1.rs"]),
    ("clap", &["cli.rs", "main.rs"]),
    ("hdrhistogram", &["stats.rs"]),
    ("flate2", &["capture/decompress.rs"]),
    ("zstd", &["capture/decompress.rs"]),
    ("indicatif", &["run/progress.rs"]),
    ("terminal_size", &["run/output.rs"]),
    ("jiff", &["time.rs"]),
    ("landlock", &["privileges.rs"]),
    (
        "rustix",
        &[
            "privileges.rs",
            "run/own.rs",
            "capture/live.rs",
            "capture/live/collector.rs",
            "capture/live/handle.rs",
            "capture/mapped.rs",
        ],
    ),
    ("libc", &["capture/mapped.rs"]),
    ("socket2", &["capture/live/socket_filter.rs"]),
    ("prometheus", &["report/metrics.rs"]),
    ("tokio", &["serve.rs"]),
    ("hyper", &["serve.rs"]),
    ("hyper_util", &["serve.rs"]),
    ("http_body_util", &["serve.rs"]),
    ("bytes", &["serve.rs"]),
    ("aes_gcm", &["wire/tls/protect/aead.rs"]),
    ("ccm", &["wire/tls/protect/aead.rs"]),
    ("chacha20poly1305", &["wire/tls/protect/aead.rs"]),
    ("aes", &["wire/tls/protect/aead.rs", "wire/tls/protect/block.rs"]),
    ("cbc", &["wire/tls/protect/block.rs"]),
    ("hmac", &["wire/tls/protect/block.rs", "wire/tls/protect/schedule.rs", "wire/tls/protect/stream.rs"]),
    ("sha1", &["wire/tls/protect/block.rs", "wire/tls/protect/schedule.rs", "wire/tls/protect/stream.rs"]),
    ("sha2", &["wire/tls/ja4.rs", "wire/tls/protect/block.rs", "wire/tls/protect/schedule.rs"]),
    ("hkdf", &["wire/tls/protect/schedule.rs"]),
    ("md5", &["wire/tls/protect/schedule.rs", "wire/tls/protect/stream.rs"]),
    ("rc4", &["wire/tls/protect/stream.rs"]),
    ("tls_parser", &["wire/tls/hello.rs", "wire/tls/suite.rs"]),
    ("loona_hpack", &[]),
    ("x509_parser", &["wire/tls/certificate.rs"]),
];

/// What no file may have, tests included. Written in two halves, so that this file does not have it either.
const NOWHERE: &[(&str, &str)] =
    &[("TO", "DO"), ("FIX", "ME"), ("X", "XX:"), ("#[ig", "nore"), ("db", "g!("), ("todo", "!(")];

/// Names that say nothing of what is in a module.
const SAY_NOTHING: &[&str] = &["util", "utils", "common", "helper", "helpers", "types", "model", "misc"];

const MOST_LINES: usize = 500;

/// A source file, without comments where `code` is asked for, and without its tests.
struct Source {
    /// Relative to `src/`.
    path: String,
    text: String,
}

impl Source {
    /// `wire` of `wire/packet.rs` and of `wire.rs`.
    fn module(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.ends_with("tests.rs") || self.path.contains("/tests/")
    }

    /// Lines of code with their numbers: no comments, and nothing from the module of tests on.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.lines().position(|line| line.trim() == "mod tests {").unwrap_or(usize::MAX);
        self.text
            .lines()
            .enumerate()
            .take_while(move |(index, _)| *index < tests)
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }
}

fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    collect(Path::new("src"), &mut sources);
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    assert!(sources.len() > 20, "the sources were not found");
    sources
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push(Source { path: path.strip_prefix("src").unwrap().to_string_lossy().replace('\\', "/"), text });
        }
    }
}

/// Every place that breaks a rule, all at once.
fn check(broken: &[String]) {
    assert!(broken.is_empty(), "\n  {}\n", broken.join("\n  "));
}

/// The modules of this crate that a line names: `crate::wire::…`, and each of `crate::{wire, event}`.
fn imports(line: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for (at, marker) in line.match_indices("crate::") {
        let rest = &line[at + marker.len()..];
        match rest.strip_prefix('{') {
            Some(group) => named.extend(group.split([',', '}']).map(|part| word(part.trim_start()))),
            None => named.push(word(rest)),
        }
    }
    named.retain(|name| !name.is_empty());
    named
}

fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

/// Whether `line` names `name` as a whole word.
fn names(line: &str, name: &str) -> bool {
    line.match_indices(name).any(|(at, _)| {
        let edge = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let begins = name.starts_with(|c: char| !c.is_alphanumeric()) || edge(line[..at].chars().next_back());
        let ends = !name.ends_with(|c: char| c.is_alphanumeric()) || edge(line[at + name.len()..].chars().next());
        begins && (ends || name.starts_with("std::"))
    })
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

#[test]
fn every_module_has_its_row() {
    let unknown = sources().into_iter().map(|source| source.module().to_owned()).filter(|name| row(name).is_none());
    check(&unknown.map(|name| format!("{name}: stands in no row of tests/architecture.rs")).collect::<Vec<_>>());
}

#[test]
fn a_module_imports_only_downwards() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        let own = source.module();
        for (number, line) in source.code() {
            for other in imports(line) {
                let downwards = row(other) < row(own) || other == own;
                if !downwards && row(other).is_some() {
                    broken.push(format!("src/{}:{number}: {own} imports {other}, which is not below it", source.path));
                }
            }
        }
    }
    check(&broken);
}

#[test]
fn the_halves_meet_in_event_alone() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| ABOVE_THE_WAIST.contains(&source.module()) && !source.is_test()) {
        for (number, line) in source.code() {
            for other in imports(line).into_iter().filter(|other| BELOW_THE_WAIST.contains(other)) {
                broken.push(format!("src/{}:{number}: {other} lies below the waist", source.path));
            }
        }
    }
    check(&broken);
}

#[test]
fn input_output_clock_and_threads_are_at_the_rims_only() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !RIMS.contains(&source.module()) && !source.is_test()) {
        for (number, line) in source.code() {
            for name in IMPURE.iter().filter(|name| names(line, name)) {
                broken.push(format!("src/{}:{number}: names {name}", source.path));
            }
        }
    }
    check(&broken);
}

#[test]
fn a_foreign_crate_is_named_in_one_place() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| !source.is_test()) {
        for (number, line) in source.code() {
            for (name, places) in FOREIGN {
                let begins = line.trim_start().trim_start_matches("pub ").starts_with(&format!("use {name}"));
                let named = begins || line.contains(&format!("{name}::"));
                if named && !places.contains(&source.path.as_str()) && names(line, name) {
                    broken.push(format!("src/{}:{number}: {name} belongs into {}", source.path, places.join(", ")));
                }
            }
        }
    }
    check(&broken);
}

/// The crate has the name of our own `wire::pcap`: what tells them apart is what is taken from it.
#[test]
fn libpcap_is_named_in_capture_only() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.module() != "capture" && !source.is_test()) {
        for (number, line) in source.code() {
            let line = line.trim_start();
            if line.starts_with("use pcap::") || line.contains("::pcap::Capture") || line.contains("BpfProgram") {
                broken.push(format!("src/{}:{number}: libpcap belongs into capture/", source.path));
            }
        }
    }
    check(&broken);
}

#[test]
fn no_file_is_longer_than_one_idea_needs() {
    let long = sources().into_iter().filter(|source| !source.is_test()).filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > MOST_LINES).then(|| format!("src/{}: {lines} lines, and {MOST_LINES} are the most", source.path))
    });
    check(&long.collect::<Vec<_>>());
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    let mut broken = Vec::new();
    for source in sources() {
        for (index, line) in source.text.lines().enumerate() {
            for name in NOWHERE.iter().map(|(one, other)| format!("{one}{other}")).filter(|name| line.contains(name)) {
                broken.push(format!("src/{}:{}: has {name}", source.path, index + 1));
            }
        }
    }
    check(&broken);
}

#[test]
fn modules_are_named_for_what_is_in_them() {
    let nothing = sources()
        .into_iter()
        .filter(|source| source.path.trim_end_matches(".rs").split('/').any(|part| SAY_NOTHING.contains(&part)));
    check(&nothing.map(|source| format!("src/{}: the name says nothing", source.path)).collect::<Vec<_>>());
}

#[test]
fn the_rules_see_what_they_forbid() {
    assert_eq!(imports("use crate::{wire::tcp, event};"), ["wire", "event"]);
    assert_eq!(imports("pub(super) fn f(x: crate::flow::Table) {}"), ["flow"]);
    assert!(names("let t = std::time::Instant::now();", "Instant::now"));
    assert!(names("use std::net::TcpStream;", "std::net::Tcp"));
    assert!(!names("self.tokio_like()", "tokio"));
}
