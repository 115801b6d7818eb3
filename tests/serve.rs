//! Signals, ticks and scrapes, by way of the system: real signals, real connections, and a real Prometheus where there is one.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netwatch502::report::metrics::{self, Snapshot};
use netwatch502::serve::{self, Error, Serve, Wake};

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn serving() -> (Serve, SocketAddr) {
    let serve = Serve::start(Some(serve::listen(ANY_PORT).unwrap())).unwrap();
    let address = serve.metrics_address().unwrap();
    (serve, address)
}

/// What comes back for a request, until the connection is closed.
fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn check(address: SocketAddr, request: &str, status: &str, contains: &str) {
    let answer = ask(address, request);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.contains(contains), "{request}: {answer}");
}

#[test]
fn the_latest_text_is_served_at_its_path_alone() {
    let (serve, address) = serving();
    check(address, "GET /metrics", "503", "nothing has been counted yet");
    serve.publish("first 1\n".to_owned());
    serve.publish("second 2\n".to_owned());
    check(address, "GET /metrics", "200", "\r\n\r\nsecond 2\n");
    check(address, "GET /metrics?x=y", "200", "content-type: text/plain; version=0.0.4");
    check(address, "HEAD /metrics", "200", "content-length: 9");
    check(address, "GET /", "404", "GET /metrics");
    check(address, "POST /metrics", "405", "allow: GET, HEAD");
    check(address, "?", "400", "");
    // Large enough that it does not fit into the system's buffers.
    serve.publish("x 1\n".repeat(4 << 20));
    assert!(ask(address, "GET /metrics").len() > 16 << 20);
}

#[test]
fn clients_that_say_nothing_keep_nobody_waiting_and_lose_their_place() {
    let (serve, address) = serving();
    serve.publish("x 1\n".to_owned());
    let silent: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(address).unwrap()).collect();
    // Whoever comes now is sent away.
    assert_eq!(ask(address, "GET /metrics"), "");
    for mut stream in silent {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0);
    }
    check(address, "GET /metrics", "200", "x 1");
}

#[test]
fn an_address_that_is_taken_is_a_sentence() {
    let (_serve, address) = serving();
    let error = serve::listen(address).unwrap_err();
    assert!(matches!(error, Error::Listen { .. }));
    let text = error.to_string();
    assert!(text.starts_with(&format!("--metrics {address}: cannot listen there: ")), "{text}");
    assert!(text.ends_with("another program does; name another port"), "{text}");
}

#[test]
fn a_tick_comes_each_second_and_those_without_a_reader_are_left_out() {
    let serve = Serve::start(None).unwrap();
    let begun = Instant::now();
    assert_eq!([(); 2].map(|()| serve.events().recv().unwrap()), [Wake::Tick; 2]);
    assert!((1900..10_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

const CHILD: &str = "NETWATCH502_TEST_SIGNALS_ITSELF";

#[test]
fn the_first_signal_is_a_wake_and_the_second_one_the_end() {
    if std::env::var_os(CHILD).is_some() {
        return signals_itself();
    }
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let name = "the_first_signal_is_a_wake_and_the_second_one_the_end";
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args(["--exact", name, "--nocapture"]).env(CHILD, signal).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains("was asked to stop"), "{said}");
        assert_eq!(output.status.code(), Some(status), "{said}");
    }
}

/// In a process of its own.
fn signals_itself() {
    let serve = Serve::start(None).unwrap();
    assert!(!serve.is_stopping());
    let kill = || {
        let signal = format!("-{}", std::env::var(CHILD).unwrap());
        assert!(Command::new("kill").args([signal, std::process::id().to_string()]).status().unwrap().success());
    };
    kill();
    while serve.events().recv().unwrap() == Wake::Tick {}
    assert!(serve.is_stopping());
    println!("was asked to stop");
    kill();
    while serve.events().recv_timeout(Duration::from_secs(20)).is_ok() {}
    panic!("the second signal did not end the process");
}

/// A Prometheus that scrapes; it ends when this is dropped.
struct Prometheus {
    process: Child,
    address: SocketAddr,
}

impl Prometheus {
    /// `None` where it is not installed.
    fn scraping(target: SocketAddr, directory: &std::path::Path) -> Option<Self> {
        let config = directory.join("prometheus.yml");
        let jobs = format!(
            "scrape_configs: [{{job_name: n, scrape_interval: 1s, static_configs: [{{targets: ['{target}']}}]}}]"
        );
        fs::write(&config, jobs).unwrap();
        let address = TcpListener::bind(ANY_PORT).unwrap().local_addr().unwrap();
        let mut prometheus = Command::new("prometheus");
        prometheus.arg(format!("--config.file={}", config.display())).arg(format!("--web.listen-address={address}"));
        prometheus.arg(format!("--storage.tsdb.path={}", directory.join("data").display()));
        let process = prometheus.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Self { process, address })
    }

    /// What Prometheus answers, once it does.
    fn get(&self, target: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        write!(stream, "GET {target} HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn prometheus_scrapes_it() {
    let (serve, address) = serving();
    let mut snapshot = Snapshot::default();
    snapshot.packets = 4711;
    let mut text = String::new();
    metrics::write(&snapshot, &mut text);
    serve.publish(text);
    let directory = tempfile::tempdir().unwrap();
    let Some(prometheus) = Prometheus::scraping(address, directory.path()) else { return };
    for _ in 0..20 {
        if prometheus
            .get("/api/v1/query?query=netwatch502_packets_total")
            .is_some_and(|answer| answer.contains("\"4711\""))
        {
            return;
        }
        serve.events().recv().unwrap();
    }
    panic!("{:?}", prometheus.get("/api/v1/targets"));
}
