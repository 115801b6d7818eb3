//! The program as it watches: each failure is told once it has settled, a signal ends it with the summary, and what it kept
//! of the packets gives the same verdicts when it is read.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_netwatch502");

/// Runs a test in a network of its own, as root: the program has to give up rights that only root has.
fn as_root(test: &str, body: impl FnOnce()) {
    if geteuid().is_root() {
        world::alone(test, || {
            world::set_up("lo", true);
            body();
        });
    } else {
        eprintln!("{test}: not run, for it needs root: sudo -E env PATH=\"$PATH\" cargo test");
    }
}

/// A header section, or nothing where the connection ended.
fn head(stream: &mut TcpStream) -> String {
    let mut octets = Vec::new();
    let mut octet = [0];
    while !octets.ends_with(b"\r\n\r\n") && stream.read(&mut octet).is_ok_and(|read| read == 1) {
        octets.push(octet[0]);
    }
    String::from_utf8(octets).unwrap()
}

/// A server that closes without an answer where the target says so, or answers after the gateway has given up.
fn upstream() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:9000").unwrap();
    let accepting = listener.try_clone().unwrap();
    thread::spawn(move || {
        for mut stream in accepting.incoming().flatten() {
            let request = head(&mut stream);
            if request.contains("/late-") {
                thread::sleep(LATE);
            }
            if request.contains("/whole-") || request.contains("/late-") {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
            }
        }
    });
    listener
}

/// When the upstream's late answer comes: the first verdict has been given by then, and the last one has not.
const LATE: Duration = Duration::from_millis(900);
/// For how long the gateway waits.
const GATEWAY_WAITS: Duration = Duration::from_millis(300);

/// A gateway that passes a request on, on another connection, and answers 502 where the answer is empty, 504 where none comes
/// in time; then it lets the upstream finish.
fn gateway() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let accepting = listener.try_clone().unwrap();
    thread::spawn(move || {
        for mut stream in accepting.incoming().flatten() {
            let request = head(&mut stream);
            let mut answer = Vec::new();
            let mut upstream = TcpStream::connect("127.0.0.1:9000").unwrap();
            upstream.write_all(request.as_bytes()).unwrap();
            upstream.set_read_timeout(Some(GATEWAY_WAITS)).unwrap();
            let in_time = upstream.read_to_end(&mut answer).is_ok();
            if answer.is_empty() {
                let status = if in_time { "502 Bad Gateway" } else { "504 Gateway Timeout" };
                answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes();
            }
            stream.write_all(&answer).unwrap();
            drop(stream);
            upstream.set_read_timeout(None).unwrap();
            upstream.read_to_end(&mut answer).unwrap();
        }
    });
    listener
}

fn ask(target: &str) -> String {
    let mut stream = TcpStream::connect("127.0.0.1:8080").unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: app.example\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The program under way, with a folder that the user it becomes may write to.
struct Watching {
    child: Child,
    lines: BufReader<ChildStdout>,
    folder: TempDir,
}

impl Watching {
    fn start(arguments: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
        let mut child = Command::new(PROGRAM)
            .args(["-i", "lo", "--ndjson"])
            .args(arguments)
            .args(["port", "8080"])
            .current_dir(folder.path())
            .env_remove("SUDO_UID")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        // What it says first, it says once it captures.
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        said.read_line(&mut first).unwrap();
        assert!(first.starts_with("netwatch502: capturing on lo"), "{first}");
        thread::spawn(move || said.read_to_string(&mut String::new()));
        Self { child, lines, folder }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

/// Cause and target of each incident in a file.
fn causes(file: &Path) -> Vec<(String, String)> {
    let Output { stdout, .. } =
        Command::new(PROGRAM).arg("-r").arg(file).args(["--json", "port", "8080"]).output().unwrap();
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    let incidents = report["incidents"].as_array().unwrap();
    incidents.iter().map(|incident| (text(&incident["cause"]), text(&incident["downstream"]["target"]))).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

#[test]
fn a_failure_is_told_while_it_is_watched_and_can_be_read_again() {
    as_root("a_failure_is_told_while_it_is_watched_and_can_be_read_again", || {
        let _servers = (upstream(), gateway());
        let mut watching = Watching::start(&["-w", "all.pcapng", "--record", "failures.pcapng"]);
        assert!(ask("/whole-0d6c1f").starts_with("HTTP/1.1 200"));
        assert!(ask("/silent-8b1c07").starts_with("HTTP/1.1 502"));
        let incident = watching.line();
        assert_eq!((&incident["type"], &incident["status"]), (&Value::from("incident"), &Value::from(502)));
        assert_eq!((&incident["cause"], &incident["grade"]), (&"closed_without_response".into(), &"proven".into()));
        assert_eq!(incident["downstream"]["target"], "/silent-8b1c07");

        let status = fs::read_to_string(format!("/proc/{}/status", watching.child.id())).unwrap();
        for wanted in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t65534\t65534"]
        {
            assert!(status.contains(wanted), "{wanted} in {status}");
        }
        watching.signal(Signal::INT);
        let summary = watching.line();
        assert_eq!((&summary["type"], &summary["totals"]["exchanges"]), (&Value::from("summary"), &Value::from(2)));
        assert_eq!(watching.child.wait().unwrap().code(), Some(1));

        let expected = vec![("closed_without_response".to_owned(), "/silent-8b1c07".to_owned())];
        for file in ["all.pcapng", "failures.pcapng"] {
            let path = watching.folder.path().join(file);
            assert_eq!(causes(&path), expected, "{file}");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        }
    });
}

#[test]
fn a_verdict_that_later_packets_change_is_told_again_under_its_identifier() {
    as_root("a_verdict_that_later_packets_change_is_told_again_under_its_identifier", || {
        let _servers = (upstream(), gateway());
        let mut watching = Watching::start(&[]);
        assert!(ask("/late-51c0de").starts_with("HTTP/1.1 504"));
        let (first, amended) = (watching.line(), watching.line());
        assert_eq!((&first["type"], &amended["type"]), (&"incident".into(), &"amended".into()));
        for (line, late) in [(&first, false), (&amended, true)] {
            assert_eq!((&line["id"], &line["cause"]), (&1.into(), &"response_timeout".into()));
            assert_eq!(line["why"].as_str().unwrap().contains("upstream answered"), late, "{line}");
        }
        watching.signal(Signal::INT);
        assert_eq!(watching.line()["type"], "summary");
    });
}

#[test]
fn an_idle_link_ends_in_time_and_by_signal() {
    as_root("an_idle_link_ends_in_time_and_by_signal", || {
        let mut watching = Watching::start(&["-a", "duration:0.3"]);
        assert_eq!(watching.line()["type"], "summary");
        assert_eq!(watching.child.wait().unwrap().code(), Some(0));
        let mut watching = Watching::start(&[]);
        watching.signal(Signal::TERM);
        assert_eq!(watching.line()["type"], "summary");
        assert_eq!(watching.child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn metrics_are_served_while_it_watches() {
    as_root("metrics_are_served_while_it_watches", || {
        let _servers = (upstream(), gateway());
        let mut watching = Watching::start(&["--metrics", "127.0.0.1:9502"]);
        ask("/silent-77aa01");
        assert_eq!(watching.line()["type"], "incident");
        let wanted = "netwatch502_incidents_total{cause=\"closed_without_response\",grade=\"proven\"";
        let scraped = (0..50).any(|_| {
            thread::sleep(Duration::from_millis(100));
            let mut stream = TcpStream::connect("127.0.0.1:9502").unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.contains(wanted)
        });
        assert!(scraped, "{wanted}");
        watching.signal(Signal::INT);
        assert_eq!(watching.line()["type"], "summary");
    });
}
