//! Captures of several hosts, and of several interfaces of one, given together: what is found is what one capture of all shows.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod packets;
mod story;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use netwatch502::analysis::Analysis;
use netwatch502::capture::Source;
use netwatch502::correlate::gateway::Gateways;
use netwatch502::diagnose::Question;
use netwatch502::limits::Limits;
use netwatch502::report::Report;
use netwatch502::wire::link::LinkType;
use netwatch502::wire::packet::{self, Content};
use packets::Packet;
use tempfile::TempDir;

/// What is found in files that are read together.
fn read_together(files: &[String]) -> Report {
    let mut source = Source::open(files).unwrap();
    let limits = Limits::default().of_inputs(files.len() > 1);
    let mut analysis = Analysis::new(&limits, Gateways::told(&[]), Question::default(), None);
    while let Some(captured) = source.next() {
        analysis.take(&captured);
    }
    Report { inputs: source.inputs(), ..analysis.finish() }
}

fn written(folder: &Path, name: &str, packets: &[Packet]) -> String {
    let path = folder.join(name);
    fs::write(&path, packets::pcapng(packets)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The packets of a story: all, those of no gateway's upstream leg, and those of one.
fn legs(name: &str) -> [Vec<Packet>; 3] {
    let all = story::packets(name);
    let report = packets::analyse(&all, &Limits::default());
    let upstreams: BTreeSet<SocketAddr> = report.upstreams.iter().map(|upstream| upstream.endpoint).collect();
    let is_upstream = |packet: &Packet| {
        let Ok(decoded) = packet::decode(LinkType(packet.link), &packet.octets, packet.length) else { return false };
        let Content::Tcp(segment) = &decoded.content else { return false };
        let has = |address: IpAddr, port| upstreams.contains(&SocketAddr::new(address, port));
        has(decoded.source, segment.source_port) || has(decoded.destination, segment.destination_port)
    };
    let (behind, before) = all.iter().cloned().partition(is_upstream);
    [all, before, behind]
}

fn later(packets: &[Packet], nanoseconds: i64) -> Vec<Packet> {
    packets.iter().map(|packet| Packet { at_ns: packet.at_ns + nanoseconds, ..packet.clone() }).collect()
}

#[test]
fn a_leg_in_a_file_of_its_own_is_the_same_leg() {
    let folder = TempDir::new().unwrap();
    for name in story::names() {
        let [_, before, behind] = legs(&name);
        let (before, behind) =
            (written(folder.path(), "before.pcapng", &before), written(folder.path(), "behind.pcapng", &behind));
        for files in [[before.clone(), behind.clone()], [behind, before]] {
            assert_eq!(story::found(&read_together(&files)), story::expected(&name), "{name}");
        }
    }
}

#[test]
fn the_clock_of_another_host_may_be_wrong() {
    let folder = TempDir::new().unwrap();
    // What a host translates it shows itself, a moment later than it came.
    for name in story::names().iter().filter(|name| !name.starts_with("contained")) {
        let [all, _, behind] = legs(name);
        let gateway = written(folder.path(), "gateway.pcapng", &all);
        for microseconds in [-5_000_000, -20_000, -3_000, -300, 300, 20_000, 700_000] {
            let ahead = microseconds * 1000;
            let upstream = written(folder.path(), "upstream.pcapng", &later(&behind, ahead));
            let report = read_together(&[gateway.clone(), upstream]);
            assert_eq!(story::found(&report), story::expected(name), "{name}, {microseconds} us");
            let clock = report.inputs[1].clock.expect("both were read at once");
            assert_eq!(clock.ahead, Some((ahead, ahead)), "{name}");
            assert!(clock.packets > 2 && report.inputs[0].clock.is_none());
        }
    }
}

#[test]
fn the_rings_of_two_hosts_are_read_as_their_files() {
    let folder = TempDir::new().unwrap();
    let in_pieces = |name: &str, packets: &[Packet], pieces: usize| -> Vec<String> {
        let parts = packets.chunks(packets.len().div_ceil(pieces).max(1)).enumerate();
        parts.map(|(part, packets)| written(folder.path(), &format!("{name}-{part}.pcapng"), packets)).collect()
    };
    for name in ["nginx-deploy-wave", "nginx-path-outage", "haproxy-race-silent-close", "apache-fastcgi-killed"] {
        let [all, _, behind] = legs(name);
        let gateway = in_pieces("gateway", &all, 3);
        let upstream = in_pieces("upstream", &later(&behind, -40_000_000), 2);
        let report = read_together(&[gateway, upstream].concat());
        assert_eq!(story::found(&report), story::expected(name), "{name}");
        let ahead = report.inputs.iter().map(|input| input.clock.and_then(|clock| clock.ahead));
        let corrected = ahead.flatten().filter(|ahead| *ahead == (-40_000_000, -40_000_000)).count();
        assert!(corrected > 0, "{name}: {:?}", report.inputs);
    }
}

#[test]
fn a_pipe_is_read_ahead_as_a_file_is() {
    let folder = TempDir::new().unwrap();
    let [all, _, behind] = legs("nginx-deploy-wave");
    let gateway = written(folder.path(), "gateway.pcapng", &all);
    let upstream = packets::gzip(&packets::pcapng(&later(&behind, 2_000_000_000)));
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_netwatch502"));
    let run = command.args(["-r", &gateway, "-r", "-", "--json"]).write_stdin(upstream).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(report["inputs"][1]["clock"]["ahead_us"]["min"], 2_000_000, "{}", report["inputs"]);
    let causes = |incidents: &[serde_json::Value]| -> Vec<String> {
        incidents.iter().map(|incident| incident["cause"].as_str().unwrap().to_owned()).collect()
    };
    let mut found = causes(report["incidents"].as_array().unwrap());
    found.sort();
    let mut expected: Vec<String> = story::expected("nginx-deploy-wave").into_iter().map(|one| one.cause).collect();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn what_rests_on_files_whose_clocks_may_differ_is_no_proof() {
    let folder = TempDir::new().unwrap();
    let [all, before, behind] = legs("nginx-keepalive-race-post");
    let file = |name: &str, packets: &[Packet]| written(folder.path(), name, packets);
    let (all, before, behind) = (file("all", &all), file("before", &before), file("behind", &behind));
    let graded = |files: &[&str]| -> (String, bool) {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_netwatch502"));
        let run = command.args(files.iter().flat_map(|file| ["-r", file])).arg("--json").output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
        let incident = &report["incidents"][0];
        assert_eq!(incident["cause"], "keepalive_race", "{incident}");
        let says_so = incident["not_known"].to_string().contains("whether the clocks of the files agree");
        (incident["grade"].as_str().unwrap().to_owned(), says_so)
    };
    assert_eq!(graded(&[&all]), ("proven".to_owned(), false));
    assert_eq!(graded(&[&before, &behind]), ("consistent".to_owned(), true));
    // Packets that stand in both say that they agree.
    assert_eq!(graded(&[&all, &behind]), ("proven".to_owned(), false));
}
