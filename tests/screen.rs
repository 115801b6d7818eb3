//! The text as it stands on terminals of several widths and in pipes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use std::fs;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_netwatch502");

/// What is printed into a pipe.
fn piped(arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).env_remove("COLUMNS").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn json(path: &str) -> Value {
    serde_json::from_str(&piped(&["-r", path, "--json"])).unwrap()
}

/// What is printed for a terminal of so many columns.
fn within(columns: &str, arguments: &[&str]) -> String {
    let output = Command::new(PROGRAM).env("COLUMNS", columns).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_reason_is_cut() {
    for name in ["nginx-icmp-reject", "nginx-process-death", "haproxy-health-checks-down", "nginx-timeout-late-answer"]
    {
        let path = story::path(name);
        let report = json(&path);
        for columns in ["80", "100", "120"] {
            let limit: usize = columns.parse().unwrap();
            let whole = within(columns, &["-r", &path]);
            let full = within(columns, &["-r", &path, "--show", "1"]);
            for line in whole.lines().chain(full.lines()).filter(|line| !line.contains("tcp.stream")) {
                assert!(line.chars().count() <= limit, "{columns}: {line}");
            }
            let words: Vec<&str> = whole.split_whitespace().collect();
            for incident in report["incidents"].as_array().unwrap() {
                let why: Vec<&str> = incident["why"].as_str().unwrap().split_whitespace().collect();
                // Where the reason is wrapped in its column, the frames stand behind its first line.
                let first = words.windows(4.min(why.len())).any(|part| part == &why[..4.min(why.len())]);
                assert!(first && why.iter().all(|word| words.contains(word)), "{columns}: {why:?}\n{whole}");
            }
        }
    }
}

#[test]
fn through_a_pipe_an_incident_is_one_line() {
    let path = story::path("nginx-icmp-reject");
    let report = json(&path);
    let why = report["incidents"][0]["why"].as_str().unwrap();
    let printed = piped(&["-r", &path]);
    let line = printed.lines().find(|line| line.contains(why)).unwrap();
    assert!(line.contains("connect_prohibited") && line.ends_with("30,31>32"), "{line}");
}

#[test]
fn a_file_takes_lines_of_any_length() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("report.txt");
    let capture = story::path("nginx-icmp-reject");
    within("80", &["-r", &capture, "-o", path.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(&path).unwrap(), piped(&["-r", &capture]));
}

#[test]
fn a_frame_is_one_row_of_the_ladder() {
    for name in story::names() {
        let path = story::path(&name);
        let shown = piped(&["-r", &path, "--show", "1"]);
        let drawn: Vec<&str> = shown.lines().filter(|line| line.trim_start().starts_with('#')).collect();
        let mut frames: Vec<&str> = drawn.iter().filter_map(|line| line.split_whitespace().next()).collect();
        let rows = frames.len();
        frames.dedup();
        assert_eq!(frames.len(), rows, "{name}: {shown}");
        assert!(!shown.contains("… 0 octets") && !shown.contains("seq=0 ack=0"), "{name}: {shown}");
    }
}
