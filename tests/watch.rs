//! The program as it watches: each failure is told once it has settled, a signal ends it with the summary, and what it kept
//! of the packets gives the same verdicts when it is read.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod watching;
mod world;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use watching::{Watching, ask, causes, gateway, upstream};
use world::as_root;

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
        // Nobody was answered in clear there before: the port may expect TLS.
        let wanted = "netwatch502_incidents_total{cause=\"closed_without_response\",grade=\"consistent\"";
        let mut answer = String::new();
        let scraped = (0..50).any(|_| {
            thread::sleep(Duration::from_millis(100));
            let mut stream = TcpStream::connect("127.0.0.1:9502").unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
            answer.clear();
            stream.read_to_string(&mut answer).unwrap();
            answer.contains(wanted)
        });
        assert!(scraped, "{wanted} is not in {answer}");
        watching.signal(Signal::INT);
        assert_eq!(watching.line()["type"], "summary");
    });
}
