//! The program as it watches, and small servers for it to look at: a gateway and its upstream on loopback.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_netwatch502");
/// Whom the program becomes where nothing else tells.
pub(crate) const NOBODY: u32 = 65_534;

/// A header section, or nothing where the connection ended.
pub(crate) fn head(stream: &mut TcpStream) -> String {
    let mut octets = Vec::new();
    let mut octet = [0];
    while !octets.ends_with(b"\r\n\r\n") && stream.read(&mut octet).is_ok_and(|read| read == 1) {
        octets.push(octet[0]);
    }
    String::from_utf8(octets).unwrap()
}

/// A server that closes without an answer where the target says so, or answers after the gateway has given up.
pub(crate) fn upstream() -> TcpListener {
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

/// A gateway that passes each request on, on another connection, and answers 502 where the answer is empty, 504 where none
/// comes in time; then it lets the upstream finish.
pub(crate) fn gateway() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
    let accepting = listener.try_clone().unwrap();
    thread::spawn(move || {
        for stream in accepting.incoming().flatten() {
            thread::spawn(move || pass_on(stream));
        }
    });
    listener
}

fn pass_on(mut stream: TcpStream) {
    let request = head(&mut stream);
    let mut answer = Vec::new();
    let mut upstream = TcpStream::connect("127.0.0.1:9000").ok();
    let mut is_late = false;
    if let Some(upstream) = &mut upstream {
        upstream.set_read_timeout(Some(GATEWAY_WAITS)).unwrap();
        // One that dies meanwhile has not answered.
        let read = upstream.write_all(request.as_bytes()).and_then(|()| upstream.read_to_end(&mut answer));
        is_late = read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    }
    if answer.is_empty() {
        let status = if is_late { "504 Gateway Timeout" } else { "502 Bad Gateway" };
        answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes();
    }
    stream.write_all(&answer).unwrap();
    drop(stream);
    if let Some(mut upstream) = upstream {
        upstream.set_read_timeout(None).unwrap();
        let _ = upstream.read_to_end(&mut answer);
    }
}

pub(crate) fn ask(target: &str) -> String {
    let mut stream = TcpStream::connect("127.0.0.1:8080").unwrap();
    stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: app.example\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The program under way, with a folder that the user it becomes may write to.
pub(crate) struct Watching {
    pub(crate) child: Child,
    pub(crate) folder: TempDir,
    lines: BufReader<ChildStdout>,
    said: JoinHandle<String>,
}

impl Watching {
    /// Watches loopback.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut program = Command::new(PROGRAM);
        program.args(["-i", "lo"]).args(arguments);
        Self::run(program, TempDir::new().unwrap())
    }

    /// Watches as the command says, in `folder`.
    pub(crate) fn run(mut program: Command, folder: TempDir) -> Self {
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let mut child = program
            .args(["--ndjson", "port", "8080"])
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
        assert!(first.starts_with("netwatch502: capturing on "), "{first}");
        let said = thread::spawn(move || {
            let mut rest = String::new();
            said.read_to_string(&mut rest).unwrap();
            rest
        });
        Self { child, folder, lines, said }
    }

    pub(crate) fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// A number of `/proc/PID/status`.
    pub(crate) fn status(&self, name: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":"));
        line.unwrap_or_else(|| panic!("{name} in {status}")).trim().to_owned()
    }

    /// What comes until it ends: the incidents, the summary, the exit status, and what it said besides.
    pub(crate) fn end(mut self) -> Ended {
        let mut incidents = Vec::new();
        let summary = loop {
            let line = self.line();
            match line["type"].as_str() {
                Some("summary") => break line,
                Some("incident") => incidents.push(line),
                _ => {}
            }
        };
        let status = self.child.wait().unwrap().code();
        Ended { incidents, summary, status, said: self.said.join().unwrap(), folder: self.folder }
    }
}

/// A run that is over.
pub(crate) struct Ended {
    pub(crate) incidents: Vec<Value>,
    pub(crate) summary: Value,
    pub(crate) status: Option<i32>,
    pub(crate) said: String,
    pub(crate) folder: TempDir,
}

/// Cause and target of each incident in a file.
pub(crate) fn causes(file: &Path) -> Vec<(String, String)> {
    let Output { stdout, .. } =
        Command::new(PROGRAM).arg("-r").arg(file).args(["--json", "port", "8080"]).output().unwrap();
    let report: Value = serde_json::from_slice(&stdout).unwrap();
    told(report["incidents"].as_array().unwrap())
}

/// Cause and target of each incident.
pub(crate) fn told(incidents: &[Value]) -> Vec<(String, String)> {
    incidents.iter().map(|incident| (text(&incident["cause"]), text(&incident["downstream"]["target"]))).collect()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
