//! What is inside of TLS, with the secrets: captures of nginx, asked by curl and openssl, in every suite and with every turn
//! that a handshake takes. `tests/decrypt/make.sh` makes them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod packets;

use std::fs;

use assert_cmd::Command;
use netwatch502::analysis::Analysis;
use netwatch502::capture::Source;
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::diagnose::incident::Grade;
use netwatch502::limits::Limits;
use netwatch502::report::{ExchangeRow, Report};
use netwatch502::wire::tls::agreed;
use netwatch502::wire::tls::keylog::{Entry, Label, Reader};
use packets::Packet;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const PROGRAM: &str = env!("CARGO_BIN_EXE_netwatch502");
const HANDSHAKES: &str = "tests/decrypt/handshakes.pcapng.zst";
const KEYS: &str = "tests/decrypt/handshakes.keys";

/// Status and path of each exchange, sorted.
fn exchanges(rows: &[ExchangeRow]) -> Vec<String> {
    let status = |row: &ExchangeRow| row.status.map_or("-".to_owned(), |status| status.to_string());
    let mut exchanges: Vec<String> =
        rows.iter().map(|row| format!("{} {}", status(row), row.target.as_deref().unwrap_or("-"))).collect();
    exchanges.sort();
    exchanges
}

/// What the clients got.
fn expected(name: &str) -> Vec<String> {
    let text = fs::read_to_string(format!("tests/decrypt/{name}.expect")).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn secrets(text: &str) -> Vec<Entry> {
    let (mut reader, mut entries) = (Reader::default(), Vec::new());
    reader.feed(text.as_bytes(), &mut |entry| entries.push(entry));
    entries
}

fn packets(path: &str) -> (Vec<Packet>, Vec<Entry>) {
    let mut source = Source::open(&[path.to_owned()]).unwrap();
    let (mut packets, mut secrets) = (Vec::new(), Vec::new());
    while source.advance() {
        secrets.extend(source.take_secrets());
        packets.extend(source.frame().as_ref().map(Packet::of));
    }
    (packets, secrets)
}

/// The exchanges that were read, and the report; those that were but inferred from outside are left out. `learn` may give secrets before each, by its index.
fn analyse(packets: &[Packet], late: bool, learn: impl FnMut(usize, &mut Analysis<'_>)) -> (Vec<ExchangeRow>, Report) {
    analyse_within(&Limits::default(), packets, late, learn)
}

fn analyse_within(
    limits: &Limits,
    packets: &[Packet],
    late: bool,
    mut learn: impl FnMut(usize, &mut Analysis<'_>),
) -> (Vec<ExchangeRow>, Report) {
    let mut rows = Vec::new();
    let mut keep = |row: &ExchangeRow| rows.push(row.clone());
    let mut analysis = Analysis::new(limits, Gateways::default(), Question::default(), Some(&mut keep));
    if late {
        analysis.may_learn_late();
    }
    for (index, packet) in packets.iter().enumerate() {
        learn(index, &mut analysis);
        analysis.take(&packet.captured());
    }
    let report = analysis.finish();
    rows.retain(|row| row.target.is_some());
    (rows, report)
}

fn handshakes() -> (Vec<Packet>, Vec<Entry>) {
    let (packets, none) = packets(HANDSHAKES);
    assert!(none.is_empty());
    (packets, secrets(&fs::read_to_string(KEYS).unwrap()))
}

/// All secrets at once, at the beginning.
fn with(secrets: &[Entry]) -> impl FnMut(usize, &mut Analysis<'_>) {
    move |index, analysis| {
        if index == 0 {
            analysis.learn(secrets);
        }
    }
}

/// The secrets of TLS 1.2 and before, by the session's id in the ServerHello instead of the random in the ClientHello before it,
/// and the same by the random.
fn by_session(packets: &[Packet], secrets: &[Entry]) -> [Vec<Entry>; 2] {
    let mut client = None;
    let mut named = [Vec::new(), Vec::new()];
    for packet in packets {
        for record in (0..packet.octets.len()).filter_map(|at| packet.octets.get(at..)?.strip_prefix(&[22, 3])) {
            let message = record.get(3..).unwrap_or_default();
            client = agreed::client_random(message).or(client);
            let chosen = agreed::chosen(message).filter(|chosen| chosen.version < 0x0304);
            let Some((random, session)) = client.zip(chosen.and_then(|chosen| chosen.session)) else { continue };
            for entry in secrets.iter().filter(|entry| entry.random == random && entry.label == Label::Master) {
                named[0].push(Entry { random: session, of_session: true, ..*entry });
                named[1].push(*entry);
            }
        }
    }
    named
}

#[test]
fn secrets_that_sessions_name_open_the_same() {
    let (packets, secrets) = handshakes();
    let [by_session, by_random] = by_session(&packets, &secrets);
    assert!(!by_session.is_empty());
    let [found, expected] = [by_session, by_random].map(|some| exchanges(&analyse(&packets, false, with(&some)).0));
    assert!(!found.is_empty());
    assert_eq!(found, expected);
}

#[test]
fn every_suite_of_every_version_is_read() {
    let (packets, secrets) = packets("tests/decrypt/suites.pcapng.zst");
    let (rows, report) = analyse(&packets, false, with(&secrets));
    assert_eq!(exchanges(&rows), expected("suites"));
    assert_eq!(report.coverage.opaque_tls_connections, 0);
    assert!(report.incidents.is_empty(), "404s are no failure: {:?}", report.incidents);
}

#[test]
fn resumption_retry_early_data_key_updates_and_padding_are_followed() {
    let (packets, secrets) = handshakes();
    let (rows, report) = analyse(&packets, false, with(&secrets));
    assert_eq!(exchanges(&rows), expected("handshakes"));
    assert!(report.incidents.is_empty(), "{:?}", report.incidents);
}

#[test]
fn offsets_are_those_of_the_stream() {
    let (packets, secrets) = handshakes();
    let (rows, _) = analyse(&packets, false, with(&secrets));
    let large = rows.iter().filter(|row| row.target.as_deref() == Some("/large"));
    for row in large {
        assert!(row.response_bytes > 12_000, "the records' headers and tags count: {}", row.response_bytes);
        assert!(row.response_bytes < 14_000, "nothing else does: {}", row.response_bytes);
    }
}

#[test]
fn connections_without_secrets_are_counted_and_not_read() {
    let (packets, secrets) = handshakes();
    let (rows, report) = analyse(&packets, false, |_, _| {});
    assert_eq!((rows.len(), report.coverage.opaque_tls_connections), (0, 11));
    let of_secrets = |report: &Report| {
        let notes = report.coverage.notes.iter().filter(|note| note.contains("secrets"));
        notes.cloned().collect::<Vec<_>>()
    };
    assert_eq!(of_secrets(&report), Vec::<String>::new());
    // The first connection alone.
    let (first, _) = secrets.split_at(1);
    let (rows, report) = analyse(&packets, false, with(first));
    assert_eq!(exchanges(&rows), ["200 /first-1_2"]);
    assert_eq!(report.coverage.opaque_tls_connections, 10);
    assert_eq!(of_secrets(&report), ["1 of 11 TLS connections were decrypted with the secrets given"]);
}

#[test]
fn secrets_of_one_direction_alone_tell_no_story() {
    let (packets, secrets) = handshakes();
    let of_clients: Vec<Entry> =
        secrets.into_iter().filter(|entry| !format!("{:?}", entry.label).starts_with("Server")).collect();
    let (rows, report) = analyse(&packets, false, with(&of_clients));
    assert!(rows.iter().all(|row| row.status == Some(200)), "{:?}", exchanges(&rows));
    assert!(report.incidents.is_empty(), "{:?}", report.incidents);
}

#[test]
fn wrong_secrets_open_nothing() {
    let (packets, secrets) = handshakes();
    let mut wrong = secrets.clone();
    let others = secrets.iter().map(|entry| entry.secret).rev();
    wrong.iter_mut().zip(others).for_each(|(entry, secret)| entry.secret = secret);
    wrong.retain(|entry| !secrets.contains(entry));
    let (rows, report) = analyse(&packets, false, with(&wrong));
    assert_eq!(exchanges(&rows), Vec::<String>::new());
    assert!(report.incidents.is_empty(), "{:?}", report.incidents);
}

#[test]
fn secrets_that_come_late_find_what_waited_for_them() {
    let (packets, secrets) = handshakes();
    let (early, _) = analyse(&packets, false, with(&secrets));
    let key = |row: &ExchangeRow| (row.time, row.target.clone(), row.status, row.client_wait, row.response_bytes);
    let mut early: Vec<_> = early.iter().map(key).collect();
    early.sort();
    for behind in [1, 2, 5, 9] {
        // Everything that is known a tenth of a second, and so many packets, after it was needed.
        let (late, report) = analyse(&packets, true, |index, analysis| {
            if index % behind == 0 {
                analysis.learn(&secrets);
            }
        });
        let mut late: Vec<_> = late.iter().map(key).collect();
        late.sort();
        assert_eq!(late, early, "{behind} packets behind");
        assert!(report.incidents.is_empty(), "{:?}", report.incidents);
    }
}

#[test]
fn what_waits_for_secrets_in_vain_is_given_up() {
    let (packets, secrets) = handshakes();
    let (rows, report) = analyse(&packets, true, |index, analysis| {
        if index + 1 == packets.len() {
            analysis.learn(&secrets);
        }
    });
    assert!(rows.len() < 5, "connections wait for a second at most: {:?}", exchanges(&rows));
    assert!(report.coverage.opaque_tls_connections > 8);
}

/// Every packet in turn is missing: nothing is made up, and what does not hang on it is read.
#[test]
fn a_packet_that_is_missing_makes_no_failure() {
    let (packets, secrets) = handshakes();
    for missing in 0..packets.len() {
        let rest: Vec<Packet> = packets
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != missing)
            .map(|(_, packet)| packet.clone())
            .collect();
        let (rows, report) = analyse(&rest, false, with(&secrets));
        assert!(rows.len() >= 14, "without packet {}: {:?}", missing + 1, exchanges(&rows));
        let proven = report.incidents.iter().filter(|incident| incident.grade == Grade::Proven).count();
        assert_eq!(proven, 0, "without packet {}: {:?}", missing + 1, report.incidents);
    }
}

/// A hole within content of a known length hides nothing of what comes behind it.
#[test]
fn content_may_have_holes() {
    let (packets, secrets) = handshakes();
    let large: Vec<usize> = (0..packets.len()).filter(|index| packets[*index].length > 1400).collect();
    assert!(large.len() > 20);
    let mut whole = 0;
    for missing in &large {
        let rest: Vec<Packet> = packets
            .iter()
            .enumerate()
            .filter(|(index, _)| index != missing)
            .map(|(_, packet)| packet.clone())
            .collect();
        let (rows, _) = analyse(&rest, false, with(&secrets));
        whole += usize::from(exchanges(&rows) == expected("handshakes"));
    }
    assert!(whole * 2 > large.len(), "{whole} of {}", large.len());
}

#[test]
fn what_the_snaplen_cuts_is_no_failure() {
    let (packets, secrets) = handshakes();
    for snaplen in [90, 200, 400, 700, 1000, 1300, 1450] {
        let cut: Vec<Packet> = packets
            .iter()
            .map(|packet| {
                let octets = packet.octets.get(..snaplen).unwrap_or(&packet.octets).to_vec();
                Packet { octets, ..packet.clone() }
            })
            .collect();
        let (_, report) = analyse(&cut, false, with(&secrets));
        let proven = report.incidents.iter().filter(|incident| incident.grade == Grade::Proven).count();
        assert_eq!(proven, 0, "{snaplen}: {:?}", report.incidents);
    }
}

/// Octets that are not what was sent open nothing, and nothing is made of that.
#[test]
fn flipped_octets_make_no_failure() {
    let (packets, secrets) = handshakes();
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    for _ in 0..300 {
        let flips = prop::collection::vec((0..packets.len(), 0_usize..1500, 1_u8..), 1..6);
        let mut flipped = packets.clone();
        for (packet, at, with) in flips.new_tree(&mut runner).unwrap().current() {
            // Behind the headers of Ethernet, IPv4 and TCP with time stamps.
            if let Some(octet) = flipped[packet].octets.get_mut(66 + at) {
                *octet ^= with;
            }
        }
        let (_, report) = analyse(&flipped, false, with(&secrets));
        let proven = report.incidents.iter().filter(|incident| incident.grade == Grade::Proven).count();
        assert_eq!(proven, 0, "{:?}", report.incidents);
    }
}

/// With hardly any room what waits is given up: read are connections, or they are counted.
#[test]
fn bounds_hold_for_what_waits() {
    let (packets, secrets) = handshakes();
    let limits = Limits { waiting_bytes: 4096, secret_bytes: 2000, ..Limits::default() };
    for late in [false, true] {
        let (rows, report) = analyse_within(&limits, &packets, late, |index, analysis| {
            if index % 40 == 0 {
                analysis.learn(&secrets);
            }
        });
        let note = report.coverage.notes.join(" ");
        assert!(note.contains("were forgotten for want of memory"), "{note}");
        assert!(rows.len() < 17 && report.coverage.opaque_tls_connections > 0);
        assert!(report.incidents.iter().all(|incident| incident.grade != Grade::Proven), "{:?}", report.incidents);
    }
}

#[test]
fn the_key_log_is_a_flag_and_its_secrets_are_in_no_output() {
    let table = tempfile::tempdir().unwrap().keep().join("exchanges.csv");
    let run = |arguments: &[&str]| Command::new(PROGRAM).args(["-r", HANDSHAKES]).args(arguments).output().unwrap();
    for format in ["text", "json", "ndjson", "csv"] {
        let table = table.to_str().unwrap();
        let output = run(&["--keylog", KEYS, "--format", format, "--show-secrets", "-v", "--exchanges", table]);
        assert_eq!(output.status.code(), Some(0));
        let written = [output.stdout, output.stderr, fs::read(table).unwrap()].concat();
        let written = String::from_utf8(written).unwrap().to_lowercase();
        assert!(written.contains("/resumed-1_3"));
        for line in fs::read_to_string(KEYS).unwrap().lines().filter(|line| !line.starts_with('#')) {
            let secret = line.rsplit(' ').next().unwrap().to_lowercase();
            assert!(!written.contains(&secret[..16]), "{format}");
        }
    }
    let output = run(&["--keylog", "/nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "netwatch502: /nowhere: no such file\n");
}
