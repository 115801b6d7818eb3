//! Reports as their readers see them: golden files, reviewed like code.

mod fixtures;

use std::path::Path;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::exchanges::{Layout, Writer};
use super::{Clock, ExchangeRow, FORMATS, Report, Style, csv, escape, json, ladder, ndjson, text};
use crate::diagnose::incident::{Incident, Kind, Pairing};

fn printed(write: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn as_text(report: &Report, style: &Style) -> String {
    printed(|out| text::write(report, style, out))
}

fn as_ladder(report: &Report, index: usize, style: &Style) -> String {
    printed(|out| ladder::write(report, &report.incidents[index], style, out))
}

fn only(incident: Incident) -> Report {
    Report { incidents: vec![incident], ..fixtures::report() }
}

#[test]
fn a_report_as_text() {
    assert_snapshot!(as_text(&fixtures::report(), &Style::default()));
}

#[test]
fn a_report_without_failures_is_calm() {
    assert_snapshot!(as_text(&fixtures::calm(), &Style::default()));
}

#[test]
fn nothing_seen_is_not_called_healthy() {
    assert_snapshot!(as_text(&Report::default(), &Style::default()));
}

#[test]
fn many_like_failures_are_counted_and_the_odd_one_stands_out() {
    assert_snapshot!(as_text(&fixtures::many(), &Style::default()));
}

#[test]
fn with_several_inputs_a_frame_names_its_file() {
    let (report, style) = fixtures::two_files();
    assert_snapshot!(as_text(&report, &style));
    assert_snapshot!(as_ladder(&report, 0, &style));
}

#[test]
fn what_was_found_of_a_clock_is_said() {
    let said = |clock: Clock| {
        let mut report = fixtures::report();
        report.inputs[0].clock = Some(clock);
        let printed = as_text(&report, &Style { width: 400, ..Style::default() });
        printed.lines().find(|line| line.contains("clock")).map(|line| line.trim().to_owned())
    };
    let told = |ahead| said(Clock { ahead: Some(ahead), packets: 300 });
    assert_eq!(told((0, 0)), None);
    let rest = ", told from 300 packets that the files share; its times are corrected by that";
    assert_eq!(told((20_000_000, 20_000_000)), Some(format!("its clock is 20ms ahead{rest}")));
    assert_eq!(told((-1_500_000_000, 400_000)), Some(format!("its clock is 1.50s behind to 0.4ms ahead{rest}")));
    let unknown = "no packet of it stands in the files before: whether their clocks agree cannot be told";
    assert_eq!(said(Clock::default()).as_deref(), Some(unknown));
}

#[test]
fn lines_while_live_stand_in_fixed_columns() {
    let style = Style::default();
    let report = fixtures::report();
    let mut lines = vec![text::incident_head(&style)];
    lines.extend(report.incidents.iter().map(|incident| text::incident_line(incident, &style)));
    lines.push(text::amended_line(&report.incidents[0], &style));
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn on_a_narrow_terminal_tables_and_reasons_are_wrapped() {
    for columns in [80, 100, 140] {
        let style = Style::default().within(Some(columns));
        let printed = as_text(&fixtures::report(), &style) + &as_ladder(&fixtures::report(), 1, &style);
        let lines = printed.lines().filter(|line| !line.contains("tcp.stream"));
        assert!(lines.clone().all(|line| line.chars().count() <= columns), "{columns}:\n{printed}");
    }
    assert_snapshot!(as_text(&fixtures::report(), &Style::default().within(Some(80))));
    assert_snapshot!(as_ladder(&fixtures::report(), 0, &Style::default().within(Some(80))));
    assert_snapshot!(as_text(&fixtures::report(), &Style::default().within(Some(120))));
}

#[test]
fn what_the_marks_mean_fits_as_well() {
    let mut report = fixtures::report();
    report.incidents.push(Incident { status: Some(200), kind: Kind::BrokenSuccess, ..fixtures::race() });
    report.incidents.push(Incident { status: None, ..fixtures::race() });
    let printed = as_text(&report, &Style::default().within(Some(80)));
    assert!(
        printed.contains("OUT: * a retry served the client   closed: no answer was sent\n     ! broken"),
        "{printed}"
    );
    assert!(printed.lines().all(|line| line.chars().count() <= 80), "{printed}");
}

#[test]
fn a_long_reason_is_not_cut() {
    let mut incident = fixtures::race();
    incident.why = "word ".repeat(40).trim_end().to_owned();
    let line = |columns| as_text(&only(incident.clone()), &Style::default().within(columns));
    assert!(line(None).lines().any(|line| line.contains(&incident.why)));
    assert_eq!(line(Some(80)).matches("word").count(), 40);
}

#[test]
fn without_the_clients_leg_the_gateways_request_is_named() {
    let incident = Incident { downstream: None, kind: Kind::UpstreamFailure, ..fixtures::race() };
    assert!(text::incident_line(&incident, &Style::default()).contains("?       POST /victim?card=…"));
}

#[test]
fn a_race_in_full() {
    assert_snapshot!(as_ladder(&fixtures::report(), 0, &Style::default()));
}

#[test]
fn of_a_recognised_product_no_other_log_is_quoted() {
    let mut report = fixtures::report();
    let incident = &mut report.incidents[0];
    incident.log_lines.retain(|(product, _)| Some(*product) != incident.product);
    assert_eq!(incident.log_lines.len(), 2);
    let text = as_ladder(&report, 0, &Style::default());
    assert!(text.contains("GATEWAY LOG   nginx (this gateway): what it logs of this is not known\n"), "{text}");
    assert!(text.contains("2 other products: --format json\n") && !text.contains("SH--"), "{text}");
}

#[test]
fn a_retry_in_full() {
    assert_snapshot!(as_ladder(&fixtures::report(), 1, &Style::default()));
}

#[test]
fn a_timeout_in_full() {
    assert_snapshot!(as_ladder(&fixtures::report(), 2, &Style::default()));
}

#[test]
fn no_attempt_in_full() {
    assert_snapshot!(as_ladder(&fixtures::report(), 3, &Style::default()));
}

#[test]
fn a_report_as_json() {
    assert_snapshot!(printed(|out| json::write(&fixtures::report(), &Style::default(), out)));
}

#[test]
fn a_report_as_ndjson() {
    let (style, two) = (Style::default(), fixtures::two_files());
    let whole = printed(|out| ndjson::write(&fixtures::report(), &style, out));
    let amended = printed(|out| ndjson::amended(&two.0.incidents[0], &two.1, out));
    assert_snapshot!(format!("{whole}{amended}"));
}

#[test]
fn a_report_as_csv() {
    let mut report = fixtures::report();
    report.incidents.push(fixtures::hostile());
    assert_snapshot!(printed(|out| csv::write(&report, &Style::default(), out)));
}

#[test]
fn exchanges_as_csv_and_as_ndjson() {
    let written = ["all.csv", "ALL.NDJSON"].map(|name| {
        let mut out = Vec::new();
        let mut writer = Writer::new(Layout::of(Path::new(name)).unwrap(), Style::default(), &mut out).unwrap();
        exchanges().iter().for_each(|row| writer.row(row).unwrap());
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    });
    assert_snapshot!(written.join("\n"));
    assert_eq!(Layout::of(Path::new("all.xlsx")), None);
}

#[test]
fn nothing_hostile_reaches_a_terminal() {
    let report = only(fixtures::hostile());
    let mut all: Vec<String> =
        FORMATS.iter().map(|format| printed(|out| (format.write)(&report, &Style::default(), out))).collect();
    all.push(as_ladder(&report, 0, &Style { show_secrets: true, ..Style::default() }));
    for printed in all {
        assert!(!printed.chars().any(|character| escape::acts(character) && character != '\n'), "{printed}");
    }
}

#[test]
fn json_escapes_lose_nothing() {
    let report = only(fixtures::hostile());
    let style = Style { show_secrets: true, ..Style::default() };
    let parsed: serde_json::Value = serde_json::from_str(&printed(|out| json::write(&report, &style, out))).unwrap();
    let leg = &parsed["incidents"][0]["downstream"];
    assert_eq!(leg["host"], "evil\u{9b}31m\u{202e}.example");
    assert_eq!(leg["target"], "/\u{1b}[2J?a=b");
    assert_eq!(leg["responder"], "\u{7f}\u{2066}\r\n");
}

#[test]
fn secrets_are_in_no_format_unless_asked_for() {
    let report = fixtures::report();
    for (show_secrets, color) in [(false, false), (false, true), (true, false)] {
        let style = Style { show_secrets, color, ..Style::default() };
        let mut all: Vec<String> =
            FORMATS.iter().map(|format| printed(|out| (format.write)(&report, &style, out))).collect();
        all.push(as_ladder(&report, 0, &style));
        assert!(all.iter().all(|printed| printed.contains("4111") == show_secrets));
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    let report = fixtures::report();
    let plain = as_text(&report, &Style::default()) + &as_ladder(&report, 0, &Style::default());
    let style = Style { color: true, ..Style::default() };
    let coloured = as_text(&report, &style) + &as_ladder(&report, 0, &style);
    assert_ne!(plain, coloured);
    let mut stripped = String::new();
    for (index, part) in coloured.split('\u{1b}').enumerate() {
        stripped.push_str(if index == 0 { part } else { part.split_once('m').unwrap().1 });
    }
    assert_eq!(plain, stripped);
}

#[test]
fn every_key_of_the_contract_is_there() {
    let parsed: serde_json::Value =
        serde_json::from_str(&printed(|out| json::write(&fixtures::report(), &Style::default(), out))).unwrap();
    let keys = |pointer: &str, expected: &str| {
        let object = parsed.pointer(pointer).unwrap_or_else(|| panic!("{pointer}")).as_object().unwrap();
        for key in expected.split(' ') {
            assert!(object.contains_key(key), "{pointer} has no {key}");
        }
    };
    keys("", "schema inputs focus capture_filter coverage totals gateways incidents episodes upstreams latency");
    keys("/inputs/0", "name format link_types packets bytes first last ended");
    keys(
        "/coverage",
        "kernel_drops duplicates truncated_packets gaps undecodable evicted opaque_tls_connections notes",
    );
    keys(
        "/totals",
        "tcp_connections exchanges responses gateway_errors masked resets half_closed tls_handshake_failures",
    );
    keys("/totals/health_probes", "sent failed");
    keys("/gateways/0", "addresses product product_evidence");
    keys(
        "/incidents/0",
        "id kind status cause detail phase proxy_status grade summary time downstream attempts evidence",
    );
    keys("/incidents/0", "ruled_out candidates not_known episode log_lines advice");
    keys("/incidents/0/downstream", "client gateway stream exchange method target host status responder");
    keys("/incidents/0/downstream", "request_frame response_frame wait_us");
    keys("/incidents/0/attempts/0", "gateway upstream stream exchange reused protocol status outcome grade pairing");
    keys("/incidents/0/attempts/0", "idle_us request_frame first_frame last_frame method target");
    keys("/incidents/0/evidence/0", "frame leg from what");
    keys("/incidents/0/ruled_out/0", "cause because frame");
    keys("/incidents/3/candidates/0", "cause what");
    keys("/episodes/0", "id kind upstream first last incidents");
    keys("/upstreams/1", "endpoint attempts failed idle_close_us half_closed retransmitted zero_windows latency");
    keys("/upstreams/0/health_probes", "sent failed");
    keys("/upstreams/1/idle_close_us", "n min median max");
    keys("/upstreams/1/half_closed", "n by longest_us");
    keys("/upstreams/1/latency/connect", "n p50_us p90_us p99_us p999_us max_us");
    keys("/latency", "client_wait upstream_connect upstream_tls upstream_wait gateway_added failed_wait");
    assert_eq!(parsed["incidents"][0]["downstream"]["request_frame"], serde_json::json!({"n": 21}));
}

/// One that was served, and one without an answer.
fn exchanges() -> [ExchangeRow; 2] {
    let us = |us| Some(Duration::from_micros(us));
    let served = ExchangeRow {
        time: fixtures::at(0),
        client: fixtures::end(fixtures::CLIENT),
        gateway: fixtures::end(fixtures::GATEWAY),
        method: Some("GET".into()),
        target: Some("/cart?session=8f3c&lang=en".into()),
        status: Some(200),
        attempts: 1,
        upstream: Some(fixtures::end("[2001:db8::1]:9600")),
        gateway_port: Some(43246),
        upstream_status: Some(200),
        pairing: Some(Pairing::Certain),
        client_wait: us(4_100),
        connect: us(300),
        tls: us(1_200),
        upstream_wait: us(3_800),
        gateway_added: us(300),
        request_bytes: 152,
        response_bytes: 1_024,
        frames: [(4, 0), (9, 4_100), (6, 200), (8, 4_000)].map(|(n, us)| Some(fixtures::moment(n, us))),
    };
    let lost = ExchangeRow {
        method: Some("@SUM(1,2)".into()),
        target: None,
        status: None,
        attempts: 0,
        upstream: None,
        gateway_port: None,
        upstream_status: None,
        pairing: None,
        client_wait: None,
        connect: None,
        tls: None,
        upstream_wait: None,
        gateway_added: None,
        response_bytes: 0,
        frames: [Some(fixtures::moment(11, 9_000)), None, None, None],
        ..served.clone()
    };
    [served, lost]
}

proptest! {
    #[test]
    fn no_text_of_the_wire_acts(wire in any::<String>()) {
        let mut incident = fixtures::race();
        let leg = incident.downstream.as_mut().unwrap();
        leg.method = Some(wire.as_str().into());
        leg.target = Some(wire.as_str().into());
        leg.host = Some(wire.as_str().into());
        leg.responder = Some(wire.as_str().into());
        incident.why.clone_from(&wire);
        incident.summary.clone_from(&wire);
        incident.advice.push(wire.clone());
        incident.ladder[1].what = wire;
        let report = only(incident);
        for format in FORMATS {
            let printed = printed(|out| (format.write)(&report, &Style::default(), out));
            prop_assert!(!printed.chars().any(|character| escape::acts(character) && character != '\n'), "{}", format.id);
        }
        let full = as_ladder(&report, 0, &Style::default());
        prop_assert!(!full.chars().any(|character| escape::acts(character) && character != '\n'));
        let line = text::incident_line(&report.incidents[0], &Style::default());
        prop_assert!(!line.contains('\n'));
    }
}
