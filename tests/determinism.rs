//! The same packets give the same report, whatever file they came in.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use netwatch502::analysis::{Analysis, News};
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::diagnose::cause::Cause;
use netwatch502::diagnose::incident::{Incident, Kind};
use netwatch502::limits::Limits;
use netwatch502::report::Report;
use netwatch502::time::Timestamp;
use netwatch502::wire::link::LinkType;
use packets::{Packet, Talk};
use tempfile::TempDir;

/// What the program prints as JSON.
fn printed(files: &[String], stdin: &[u8]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwatch502"));
    for file in files {
        command.args(["-r", file]);
    }
    let output = command.arg("--json").write_stdin(stdin).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The report without what it says of the files.
fn judged(json: &str) -> serde_json::Value {
    let mut report: serde_json::Value = serde_json::from_str(json).unwrap();
    report.as_object_mut().unwrap().remove("inputs").unwrap();
    report
}

fn written(folder: &Path, name: &str, octets: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, octets).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The numbers of the frames cut down to what does not depend on the file that they stand in.
fn without_frames(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::Object(object) => {
            object.retain(|key, _| key != "frame" && !key.ends_with("_frame"));
            object.values_mut().for_each(without_frames);
        }
        serde_json::Value::Array(array) => array.iter_mut().for_each(without_frames),
        _ => {}
    }
}

#[test]
fn the_same_capture_gives_the_same_bytes() {
    for name in story::names() {
        let path = story::path(&name);
        let first = printed(std::slice::from_ref(&path), b"");
        assert_eq!(first, printed(&[path], b""), "{name}");
    }
}

/// The report of one shard, which must be that of several, on all processors and on a single one: threads are divided among
/// them in other ways.
fn of_any_number_of_shards(files: &[&str]) -> String {
    let of_each = [("1", false), ("2", false), ("3", true), ("16", false)].map(|(shards, is_pinned)| {
        let program = env!("CARGO_BIN_EXE_netwatch502");
        let mut command = Command::new(if is_pinned { "taskset" } else { program });
        if is_pinned {
            command.args(["--cpu-list", &first_processor(), program]);
        }
        command.args(files).args(["--json", "--shards", shards]).timeout(PATIENCE);
        let output = command.output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    });
    let [one, several @ ..] = of_each;
    assert!(several.iter().all(|report| *report == one), "{files:?}");
    one
}

/// No capture here takes nearly as long.
const PATIENCE: Duration = Duration::from_secs(120);

/// The number of a processor that may be used.
fn first_processor() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split(['-', ',']).next().unwrap().to_owned()
}

#[test]
fn the_number_of_shards_changes_nothing() {
    let stories: Vec<_> = story::names().iter().map(|name| story::path(name)).collect();
    stories.iter().for_each(|path| drop(of_any_number_of_shards(&["-r", path])));
    // All at once as well: inputs take turns, and connections of one meet those of others.
    let all: Vec<&str> = stories.iter().flat_map(|path| ["-r", path]).collect();
    of_any_number_of_shards(&all);
}

#[test]
fn what_is_open_at_the_end_comes_from_every_shard_in_parts() {
    let mut talk = Talk::default();
    let gateway = ([10, 50, 1, 1], 8080);
    for number in 0..12_000_u32 {
        let client = ([10, 60, (number >> 8) as u8, number as u8], 40_000);
        talk.send((client, gateway), "S", (999, 0), b"");
    }
    let folder = TempDir::new().unwrap();
    let file = written(folder.path(), "open.pcapng", &packets::pcapng(&talk.packets));
    let report = judged(&of_any_number_of_shards(&["-r", &file]));
    assert_eq!(report["totals"]["tcp_connections"], 12_000);
}

#[test]
fn fragments_and_copies_find_the_shard_of_their_connection() {
    let folder = TempDir::new().unwrap();
    let incidents = |report: &str| judged(report)["incidents"].as_array().unwrap().len();
    let mut cut = 0;
    for name in story::names() {
        let packets = story::packets(&name);
        let pieces: Vec<Packet> = packets.iter().flat_map(fragments).collect();
        cut += pieces.len() - packets.len();
        let twice: Vec<Packet> = pieces.into_iter().flat_map(|piece| [piece.clone(), piece]).collect();
        let file = written(folder.path(), "pieces.pcapng", &packets::pcapng(&twice));
        let report = of_any_number_of_shards(&["-r", &file]);
        assert_eq!(incidents(&report), incidents(&printed(&[story::path(&name)], b"")), "{name}");
    }
    assert!(cut > 500, "hardly anything was cut: {cut}");
}

/// A packet in two fragments, where it is IPv4 behind Ethernet or a cooked header, was captured whole, and is long enough.
fn fragments(packet: &Packet) -> Vec<Packet> {
    let begin = match LinkType(packet.link) {
        LinkType::ETHERNET => 14,
        LinkType::LINUX_SLL => 16,
        LinkType::LINUX_SLL2 => 20,
        _ => return vec![packet.clone()],
    };
    let as_it_is = || vec![packet.clone()];
    let Some((link, ip)) = packet.octets.split_at_checked(begin) else { return as_it_is() };
    let Some((header, payload)) = ip.split_first_chunk::<20>() else { return as_it_is() };
    let [0x45, tos, long, short, one, two, 0 | 0x40, 0, ttl, 6, rest @ ..] = header else { return as_it_is() };
    let length = usize::from(u16::from_be_bytes([*long, *short]));
    if length != ip.len() || payload.len() < 64 || ip.len() + begin != packet.length as usize {
        return as_it_is();
    }
    let half = payload.len() / 16 * 8;
    let (front, back) = payload.split_at(half);
    [(front, 0, 0x20), (back, half / 8, 0)]
        .into_iter()
        .map(|(part, offset, goes_on)| {
            let [long, short] = (20 + part.len() as u16).to_be_bytes();
            let [high, low] = (offset as u16).to_be_bytes();
            let header = [0x45, *tos, long, short, *one, *two, high | goes_on, low, *ttl, 6];
            let octets = [link, &header, rest, part].concat();
            Packet { length: octets.len() as u32, octets, ..packet.clone() }
        })
        .collect()
}

#[test]
fn standard_input_and_compression_change_nothing() {
    let folder = TempDir::new().unwrap();
    for name in story::names() {
        let path = story::path(&name);
        let octets = fs::read(&path).unwrap();
        let expected = judged(&printed(&[path], b""));
        let gzip = written(folder.path(), "capture.gz", &packets::gzip(&octets));
        let zstd = written(folder.path(), "capture.zst", &packets::zstd(&octets));
        for (file, stdin) in [("-", &octets[..]), (&gzip, b""), (&zstd, b"")] {
            assert_eq!(judged(&printed(&[file.to_owned()], stdin)), expected, "{name} by way of {file}");
        }
    }
}

#[test]
fn pcap_and_pcapng_of_the_same_packets_give_the_same_report() {
    let folder = TempDir::new().unwrap();
    for name in story::names() {
        // A pcap file has no interfaces: what is compared is the same packets without them.
        let packets: Vec<Packet> =
            story::packets(&name).into_iter().map(|packet| Packet { interface: 0, ..packet }).collect();
        let pcap = written(folder.path(), "capture.pcap", &packets::pcap(&packets));
        let pcapng = written(folder.path(), "capture.pcapng", &packets::pcapng(&packets));
        assert_eq!(judged(&printed(&[pcap], b"")), judged(&printed(&[pcapng], b"")), "{name}");
    }
}

#[test]
fn what_the_tests_write_is_what_they_read() {
    let folder = TempDir::new().unwrap();
    let packets = story::packets("nginx-connect-refused");
    let file = written(folder.path(), "capture.pcapng", &packets::pcapng(&packets));
    assert_eq!(story::read(&[file]), packets);
}

#[test]
fn a_rotated_set_gives_the_incidents_of_the_whole() {
    let folder = TempDir::new().unwrap();
    for name in story::names() {
        let packets = story::packets(&name);
        let mut whole = judged(&printed(&[story::path(&name)], b""));
        for parts in [2, 5] {
            let files: Vec<String> = packets
                .chunks(packets.len().div_ceil(parts))
                .enumerate()
                .map(|(index, part)| written(folder.path(), &format!("{index}.pcapng"), &packets::pcapng(part)))
                .collect();
            let mut set = judged(&printed(&files, b""));
            without_frames(&mut set);
            without_frames(&mut whole);
            for key in ["incidents", "episodes", "totals", "upstreams", "latency", "gateways"] {
                assert_eq!(set[key], whole[key], "{name} in {parts} parts: {key}");
            }
        }
    }
}

/// What there is to tell of a capture as it passes, time passing between two frames and for a while after the last, and the
/// report at its end.
fn watched(packets: &[Packet]) -> (Vec<(Timestamp, News)>, Report) {
    let mut live = Analysis::new(&Limits::default(), Gateways::default(), Question::default(), None).live();
    let mut told = Vec::new();
    let mut now = None;
    for frame in packets.iter().map(Packet::captured) {
        while now.is_some_and(|now| now + STEP < frame.at) {
            now = now.map(|now| now + STEP);
            live.pass_time(now.unwrap());
            told.extend(live.news().into_iter().map(|news| (now.unwrap(), news)));
        }
        live.take(&frame);
        told.extend(live.news().into_iter().map(|news| (frame.at, news)));
        now = Some(frame.at);
    }
    let mut end = now.unwrap();
    for _ in 0..Duration::from_secs(30).as_millis() / STEP.as_millis() {
        end = end + STEP;
        live.pass_time(end);
        told.extend(live.news().into_iter().map(|news| (end, news)));
    }
    live.end();
    told.extend(live.news().into_iter().map(|news| (end, news)));
    (told, live.finish())
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const STEP: Duration = Duration::from_millis(50);

/// An incident without its identifier, without what several make together, which is told at the end, and without its ladder,
/// which is not drawn while live.
fn alone(incident: &Incident) -> String {
    format!("{:?}", Incident { id: 0, episode: None, advice: Vec::new(), ladder: Vec::new(), ..incident.clone() })
}

#[test]
fn what_is_told_while_live_is_what_the_report_on_the_file_says() {
    for name in story::names() {
        check_watched(&name, &story::packets(&name));
    }
}

/// Holds what is told while live against the report on the file, and returns that.
fn check_watched(name: &str, packets: &[Packet]) -> Report {
    let whole = packets::analyse(packets, &Limits::default());
    let (told, report) = watched(packets);
    let settled: Vec<&Incident> = told
        .iter()
        .filter_map(|(_, news)| match news {
            News::Settled { incident, .. } => Some(incident),
            News::Provisional(_) => None,
        })
        .collect();
    let all = |incidents: &[&Incident]| incidents.iter().map(|incident| alone(incident)).collect::<BTreeSet<_>>();
    let (of_file, of_live) = (whole.incidents.iter().collect::<Vec<_>>(), report.incidents.iter().collect::<Vec<_>>());
    assert_eq!(all(&settled), all(&of_file), "{name}");
    assert_eq!(all(&of_live), all(&of_file), "{name}");
    assert_eq!(settled.len(), of_file.len(), "{name}: each settles once");
    whole
}

/// A gateway that gives an upstream up after a second and then has none left: nobody knows yet whether the SYN will be repeated when
/// it says so.
#[test]
fn what_follows_from_an_attempt_that_was_given_up_waits_until_that_has_settled() {
    let mut talk = Talk::default();
    let (back, upstream) = ([10, 50, 2, 1], ([10, 50, 2, 2], 9000));
    let mut answered = |nth: u16, attempt: &dyn Fn(&mut Talk, &[u8]), response: &[u8]| {
        let (client, front) = (([10, 50, 1, 2], 40_000 + nth), ([10, 50, 1, 1], 8080));
        let request = format!("GET /page/{nth} HTTP/1.1\r\nHost: app.lab\r\nX-Request-ID: of-{nth}-alone\r\n\r\n");
        talk.open(client, front);
        talk.send((client, front), "PA", (1000, 2000), request.as_bytes());
        attempt(&mut talk, request.as_bytes());
        talk.send((front, client), "PA", (2000, 1000 + request.len() as u32), response);
    };
    let served = |talk: &mut Talk, request: &[u8]| {
        let gateway = (back, 50_000);
        talk.open(gateway, upstream);
        talk.send((gateway, upstream), "PA", (1000, 2000), request);
        talk.send((upstream, gateway), "PA", (2000, 1000 + request.len() as u32), OK);
    };
    let unanswered = |talk: &mut Talk, _: &[u8]| {
        for pause_ms in [0, 1000] {
            talk.pause(pause_ms);
            talk.send(((back, 50_001), upstream), "S", (999, 0), b"");
        }
        talk.pause(1000);
    };
    answered(1, &served, OK);
    answered(2, &unanswered, b"HTTP/1.1 504 Gateway Time-out\r\nContent-Length: 3\r\n\r\nbad");
    answered(3, &|talk, _| talk.pause(50), b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad");
    let report = check_watched("given up", &talk.packets);
    let told: Vec<_> = report.incidents.iter().map(|incident| (incident.cause, incident.detail)).collect();
    let expected = [(Cause::ConnectTimeout, None), (Cause::NoUpstreamAttempt, Some("no_live_upstreams"))];
    assert_eq!(told, expected);
}

#[test]
fn a_failure_is_told_by_the_time_that_a_verdict_takes_and_keeps_its_identifier() {
    let mut amended = Vec::new();
    for name in story::names() {
        let (told, report) = watched(&story::packets(&name));
        let mut first: Vec<u32> = Vec::new();
        for (at, news) in told {
            let (incident, before) = match news {
                News::Provisional(incident) => (incident, None),
                News::Settled { incident, told } => (incident, told),
            };
            match before {
                None => {
                    let waited = at.since(over(&incident));
                    // Where the client's leg is not visible, nothing is told before it has settled; and whether a SYN will be
                    // repeated, nothing tells.
                    let settled = incident.downstream.is_none();
                    let most = if settled { VERDICT + SETTLED } else { VERDICT };
                    let open = settled && incident.cause == Cause::ConnectTimeout;
                    assert!(open || waited <= most, "{name}: {} was told after {waited:?}", incident.id);
                    first.push(incident.id);
                }
                Some(before) if alone(&before) != alone(&incident) => amended.push(name.clone()),
                Some(_) => {}
            }
        }
        assert_eq!(first, (1..).take(report.incidents.len()).collect::<Vec<_>>(), "{name}: in the order of telling");
    }
    // The answer that comes too late for the client comes too late for the first verdict as well.
    assert!(amended.contains(&"nginx-timeout-late-answer".to_owned()), "{amended:?}");
}

/// When a failure was over: what broke off after its status had been sent ends later than it was answered.
fn over(incident: &Incident) -> Timestamp {
    let latest = incident.evidence.iter().map(|proof| proof.moment.at).max();
    latest.filter(|_| incident.kind == Kind::BrokenSuccess).map_or(incident.time, |latest| latest.max(incident.time))
}

/// What failed settles after four times the least span.
const SETTLED: Duration = Duration::from_millis(750);
/// The least span that a verdict takes, a step, and three round trips of the stories that are furthest away.
const VERDICT: Duration = Duration::from_millis(250 + 50 + 130);
