//! The same packets give the same report, whatever file they came in.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use std::fs;
use std::path::Path;
use std::time::Duration;

use assert_cmd::Command;
use netwatch502::analysis::Analysis;
use netwatch502::capture::Source;
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::diagnose::incident::Incident;
use netwatch502::limits::Limits;
use netwatch502::time::Timestamp;
use packets::Packet;
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

/// What a report says of an incident, in a word each.
fn told(incident: &Incident) -> (Timestamp, &'static str, &'static str) {
    (incident.time, incident.cause.id(), incident.grade.id())
}

#[test]
fn what_is_told_while_live_is_what_the_report_on_the_file_says() {
    for name in story::names() {
        let analysis = || Analysis::new(&Limits::default(), Gateways::default(), Question::default(), None);
        let (mut whole, mut live) = (analysis(), analysis().live());
        let mut source = Source::open(&[story::path(&name)]).unwrap();
        let mut lines = Vec::new();
        let mut last = None;
        while let Some(frame) = source.next() {
            whole.take(&frame);
            // Between two frames nothing happens, and time passes.
            live.pass_time(frame.at);
            live.take(&frame);
            lines.extend(live.news());
            last = Some(frame.at);
        }
        let later = last.unwrap() + Duration::from_secs(30);
        live.pass_time(later);
        lines.extend(live.news());
        let of_file = whole.finish().incidents;
        let of_live = live.finish().incidents;
        assert_eq!(
            of_file.iter().map(told).collect::<Vec<_>>(),
            of_live.iter().map(told).collect::<Vec<_>>(),
            "{name}"
        );
        let mut ids: Vec<u32> = lines.iter().map(|line| line.id).collect();
        assert_eq!(ids, (1..).take(ids.len()).collect::<Vec<_>>(), "{name}: in the order of settlement");
        // What can be told only at the end comes with the report.
        ids.extend(of_live.iter().map(|incident| incident.id).filter(|id| *id as usize > lines.len()));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), of_live.len(), "{name}");
    }
}
