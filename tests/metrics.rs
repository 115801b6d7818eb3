//! The exposition of metrics, as others read it: a parser that is a library, and promtool where it is installed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::expect_used, clippy::panic, reason = "the modules of other tests use it")]

mod packets;
mod story;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use netwatch502::correlate::conversation::Place;
use netwatch502::diagnose::incident::Incident;
use netwatch502::event::Endpoint;
use netwatch502::limits::Limits;
use netwatch502::report::metrics::{self, Interface, Snapshot};
use netwatch502::report::{Coverage, Totals};
use netwatch502::stats::{Spans, Stats, Upstream};
use prometheus_parse::{Scrape, Value};

fn incidents() -> Vec<Incident> {
    let of = |name: &str| packets::analyse(&story::packets(name), &Limits::default()).incidents;
    ["nginx-connect-refused", "nginx-keepalive-race-post", "nginx-no-live-upstreams"].into_iter().flat_map(of).collect()
}

fn spans(waits: &[Duration]) -> Spans {
    let mut spans = Spans::default();
    waits.iter().for_each(|wait| spans.note(*wait));
    spans
}

fn upstream(number: u16) -> Endpoint {
    Endpoint::from(([10, 0, 0, 1], number))
}

const WAITS: [Duration; 4] =
    [Duration::from_micros(10), Duration::from_millis(3), Duration::from_millis(400), Duration::from_secs(100)];

/// Numbers as a run might have them, at so many upstreams.
fn stats(upstreams: std::ops::Range<u16>) -> Stats {
    let mut stats = Stats::default();
    stats.client_wait = spans(&WAITS);
    for number in upstreams {
        let wait = Some(Box::new(spans(&WAITS)));
        let kept = stats.upstreams.entry(Place::default(), upstream(number), usize::MAX).unwrap();
        *kept = Upstream { attempts: 4, wait, ..Upstream::default() };
    }
    stats
}

fn filled(upstreams: std::ops::Range<u16>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    (snapshot.packets, snapshot.cpu) = (77, Duration::from_millis(1500));
    let counted = Interface { received: 90, dropped_by_kernel: 3, dropped_by_interface: 1 };
    snapshot.interfaces.insert("we\"ird\\if".to_owned(), counted);
    incidents().iter().for_each(|incident| snapshot.incident(incident));
    let totals =
        Totals { exchanges: 12, responses: [(200, 5), (502, 6)].into(), tcp_connections: 9, ..Totals::default() };
    snapshot.update(&stats(upstreams), &totals, &Coverage { gaps: 2, ..Coverage::default() });
    snapshot
}

fn written(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    metrics::write(snapshot, &mut text);
    text
}

fn parsed(text: &str) -> Scrape {
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

/// The value of a sample with a label.
fn value(scrape: &Scrape, metric: &str, label: (&str, &str)) -> Option<Value> {
    let of = |sample: &&prometheus_parse::Sample| {
        sample.metric == metric && (label.0.is_empty() || sample.labels.get(label.0) == Some(label.1))
    };
    scrape.samples.iter().find(of).map(|sample| sample.value.clone())
}

fn check(scrape: &Scrape, metric: &str, label: (&str, &str), expected: f64) {
    assert_eq!(value(scrape, metric, label), Some(Value::Counter(expected)), "{metric} {label:?}");
}

#[test]
fn what_was_counted_is_in_the_exposition() {
    let snapshot = filled(0..2);
    let scrape = parsed(&written(&snapshot));
    check(&scrape, "netwatch502_packets_total", ("", ""), 77.0);
    check(&scrape, "netwatch502_gaps_total", ("", ""), 2.0);
    check(&scrape, "netwatch502_connections_total", ("", ""), 9.0);
    check(&scrape, "netwatch502_exchanges_total", ("status", "502"), 6.0);
    check(&scrape, "netwatch502_exchanges_total", ("status", "none"), 1.0);
    check(&scrape, "netwatch502_dropped_packets_total", ("by", "kernel"), 3.0);
    check(&scrape, "process_cpu_seconds_total", ("", ""), 1.5);
    let counted: f64 = scrape
        .samples
        .iter()
        .filter(|sample| sample.metric == "netwatch502_incidents_total")
        .map(|sample| if let Value::Counter(count) = sample.value { count } else { 0.0 })
        .sum();
    assert_eq!(counted as usize, incidents().len());
    assert!(value(&scrape, "netwatch502_incidents_total", ("cause", "keepalive_race")).is_some());
    assert!(value(&scrape, "netwatch502_incidents_total", ("upstream", "none")).is_some());
}

#[test]
fn a_latency_is_a_histogram_that_ascends() {
    let scrape = parsed(&written(&filled(0..1)));
    for (metric, label, bounds) in
        [("netwatch502_latency_seconds", "client_wait", 41), ("netwatch502_upstream_latency_seconds", "wait", 21)]
    {
        let Some(Value::Histogram(buckets)) = value(&scrape, metric, ("phase", label)) else {
            panic!("{metric} is no histogram");
        };
        assert_eq!(buckets.len(), bounds);
        assert!(buckets.is_sorted_by(|one, other| one.less_than < other.less_than && one.count <= other.count));
        let within = |bound: f64| buckets.iter().find(|bucket| bucket.less_than >= bound).map(|bucket| bucket.count);
        assert_eq!([0.001, 0.004, 0.5, 64.0, f64::INFINITY].map(within), [1.0, 2.0, 3.0, 3.0, 4.0].map(Some));
        let part = |part: &str| value(&scrape, &format!("{metric}_{part}"), ("phase", label));
        assert_eq!(part("count"), Some(Value::Untyped(4.0)));
        assert_eq!(part("sum"), Some(Value::Untyped(100.40301)));
    }
}

#[test]
fn labels_are_bounded_and_stay_what_they_are() {
    let mut snapshot = filled(1000..1050);
    let named = |snapshot: &Snapshot| -> BTreeSet<String> {
        let scrape = parsed(&written(snapshot));
        scrape.samples.iter().filter_map(|sample| sample.labels.get("upstream").map(str::to_owned)).collect()
    };
    let before = named(&snapshot);
    // More of them come up, which stand before the others in every order.
    snapshot.update(&stats(1..1050), &Totals::default(), &Coverage::default());
    let after = named(&snapshot);
    assert!(after.is_superset(&before));
    assert_eq!(after.len(), metrics::MOST_UPSTREAMS + ["other", "none"].len());
    let scrape = parsed(&written(&snapshot));
    let attempts = |sample: &prometheus_parse::Sample| match sample.value {
        Value::Counter(count) if sample.metric == "netwatch502_upstream_attempts_total" => count,
        _ => 0.0,
    };
    assert_eq!(scrape.samples.iter().map(attempts).sum::<f64>(), 4.0 * 1049.0);
    let most = Totals { responses: (100..1000).map(|status| (status, 1)).collect(), ..Totals::default() };
    snapshot.update(&Stats::default(), &most, &Coverage::default());
    check(&parsed(&written(&snapshot)), "netwatch502_exchanges_total", ("status", "other"), 900.0 - 64.0);
}

#[test]
fn promtool_finds_nothing_to_object_to() {
    for snapshot in [filled(0..100), Snapshot::default()] {
        let mut promtool = Command::new("promtool");
        let promtool = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let Ok(mut promtool) = promtool.stderr(Stdio::piped()).spawn() else { return };
        let text = written(&snapshot);
        assert!(text.contains("netwatch502_packets_total"), "{text}");
        promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = promtool.wait_with_output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
    }
}

#[test]
fn what_a_label_may_not_hold_is_escaped() {
    assert!(written(&filled(0..1)).contains(r#"interface="we\"ird\\if""#));
}
