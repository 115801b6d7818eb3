//! What is kept on disk: files that other programs read, bounds that hold, and disks that fail.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use etherparse::PacketBuilder;
use netwatch502::capture::Source;
use netwatch502::capture::keep::recorder::Recorder;
use netwatch502::capture::keep::ring::{Ring, Turn};
use netwatch502::capture::keep::{Error, Interfaces};
use netwatch502::event::{Endpoint, Frame};
use netwatch502::flow::steer::Captured;
use netwatch502::limits::Limits;
use netwatch502::time::Timestamp;
use netwatch502::wire::link::LinkType;
use netwatch502::wire::pcapng::write::{Counted, Interface};
use proptest::prelude::*;

/// A frame of a test: when, and its octets.
#[derive(Clone, Debug)]
struct Kept {
    at: Timestamp,
    octets: Vec<u8>,
}

impl Kept {
    fn captured(&self, number: u64) -> Captured<'_> {
        Captured {
            frame: Frame::new(0, number),
            at: self.at,
            link: LinkType::ETHERNET,
            interface: 0,
            length: self.octets.len() as u32,
            focused: true,
            octets: &self.octets,
        }
    }
}

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
const GATEWAY: ([u8; 4], u16) = ([10, 0, 0, 2], 80);
const ANOTHER: ([u8; 4], u16) = ([10, 0, 0, 3], 40_001);

fn endpoint((address, port): ([u8; 4], u16)) -> Endpoint {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), port)
}

/// A segment `ms` milliseconds into the capture.
fn segment(ms: u64, from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Kept {
    let mut octets = Vec::new();
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4(from.0, to.0, 64).tcp(from.1, to.1, 1, 100).ack(1);
    builder.write(&mut octets, payload).unwrap();
    Kept { at: second(1_795_176_552) + Duration::from_millis(ms), octets }
}

fn second(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

fn interfaces() -> Interfaces {
    let mut interfaces = Interfaces::default();
    interfaces.describe(0, 0, Interface { name: "eth0".into(), link: LinkType::ETHERNET, snaplen: 2048 });
    interfaces
}

/// All frames of capture files, as this program reads them.
fn read<P: AsRef<Path>>(paths: &[P]) -> (Vec<(Timestamp, Vec<u8>)>, u64) {
    let names: Vec<String> = paths.iter().map(|path| path.as_ref().to_str().unwrap().to_owned()).collect();
    let mut source = Source::open(&names).unwrap();
    let mut frames = Vec::new();
    while let Some(captured) = source.next() {
        frames.push((captured.at, captured.octets.to_vec()));
    }
    assert!(source.complete(), "{:?}", source.inputs());
    (frames, source.kernel_drops())
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn seen(frames: &[Kept]) -> Vec<(Timestamp, Vec<u8>)> {
    frames.iter().map(|frame| (frame.at, frame.octets.clone())).collect()
}

/// What a program of Wireshark prints of a file; `None` where it is not installed.
fn wireshark(program: &str, arguments: &[&str], path: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).arg(path).output().ok()?;
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn a_ring_keeps_the_newest_files_within_their_size() {
    let directory = tempfile::tempdir().unwrap();
    let turn = Turn { file_bytes: Some(4096), files: Some(3) };
    let mut ring = Ring::create(&directory.path().join("kept.pcapng"), turn, interfaces()).unwrap();
    let frames: Vec<Kept> = (0..200).map(|n| segment(n, CLIENT, GATEWAY, &vec![n as u8; n as usize])).collect();
    for (number, frame) in (1..).zip(&frames) {
        ring.keep(&frame.captured(number)).unwrap();
        ring.counted(0, 0, Counted { received: number, dropped_by_kernel: number / 10, dropped_by_interface: 0 });
    }
    ring.finish().unwrap();
    let files = files(directory.path());
    assert_eq!(files.len(), 3, "{files:?}");
    let mut dropped = 0;
    for file in &files {
        let metadata = fs::metadata(file).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(metadata.len() <= 4096 + 100, "{}", metadata.len());
        let name = file.file_name().unwrap().to_str().unwrap();
        let (number, date) =
            name.strip_prefix("kept_").unwrap().strip_suffix(".pcapng").unwrap().split_once('_').unwrap();
        assert!(number.len() == 5 && date.len() == 14 && date.starts_with("20"), "{name}");
        // Each file is a capture of its own.
        let (frames, drops) = read(std::slice::from_ref(file));
        assert!(!frames.is_empty());
        dropped += drops;
        if let Some(said) = wireshark("capinfos", &["-M"], file) {
            assert!(said.contains("pcapng") && said.contains("nanosecond") && said.contains("eth0"), "{said}");
            assert!(said.contains(&format!("Number of packets:   {}", frames.len())), "{said}");
        }
        if let Some(said) = wireshark("tshark", &["-T", "fields", "-e", "frame.time_epoch", "-r"], file) {
            let expected: Vec<String> = frames.iter().map(|(at, _)| epoch(*at)).collect();
            assert_eq!(said.lines().collect::<Vec<_>>(), expected);
        }
    }
    let (kept, _) = read(&files);
    assert_eq!(kept, seen(&frames[frames.len() - kept.len()..]));
    assert!((kept.len() as u64 / 10).abs_diff(dropped) <= 1, "{dropped} of {}", kept.len());
}

/// As tshark prints it.
fn epoch(at: Timestamp) -> String {
    format!("{}.{:09}", at.as_nanos() / 1_000_000_000, at.as_nanos() % 1_000_000_000)
}

#[test]
fn without_bounds_one_file_has_the_name_that_was_given() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("all.pcapng");
    fs::write(&path, "something that was there").unwrap();
    let mut ring = Ring::create(&path, Turn::default(), interfaces()).unwrap();
    // From the begin on it can be read.
    assert_eq!(read(&[&path]).0, []);
    let frames: Vec<Kept> = (0..3).map(|n| segment(n, CLIENT, GATEWAY, b"x")).collect();
    for (number, frame) in (1..).zip(&frames) {
        ring.keep(&frame.captured(number)).unwrap();
    }
    ring.flush().unwrap();
    assert_eq!(read(&[&path]).0, seen(&frames));
    ring.finish().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_interface_that_comes_up_later_is_described_before_its_packets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("two.pcapng");
    let mut ring = Ring::create(&path, Turn::default(), interfaces()).unwrap();
    let frame = segment(0, CLIENT, GATEWAY, b"x");
    ring.keep(&frame.captured(1)).unwrap();
    ring.keep(&Captured { interface: 7, link: LinkType::RAW, octets: &frame.octets[14..], ..frame.captured(2) })
        .unwrap();
    ring.finish().unwrap();
    let mut source = Source::open(&[path.to_str().unwrap().to_owned()]).unwrap();
    let mut links = Vec::new();
    while let Some(captured) = source.next() {
        links.push((captured.interface, captured.link));
    }
    assert_eq!(links, [(0, LinkType::ETHERNET), (1, LinkType::RAW)]);
}

#[test]
fn bounds_that_contradict_each_other_are_refused() {
    let refused = |path: &str, turn| Ring::create(Path::new(path), turn, interfaces()).unwrap_err().to_string();
    let files = Turn { file_bytes: None, files: Some(3) };
    assert!(refused("x.pcapng", files).contains("filesize"));
    assert!(refused("-", Turn { file_bytes: Some(1), files: None }).contains("standard output"));
    assert!(refused("/nowhere/at/all.pcapng", Turn::default()).contains("/nowhere/at/all.pcapng"));
}

#[test]
fn a_device_that_is_full_ends_the_writing_with_one_sentence() {
    let error = Ring::create(Path::new("/dev/full"), Turn::default(), interfaces()).unwrap_err();
    assert!(error.to_string().starts_with("/dev/full: cannot write: No space left on device"), "{error}");

    let mut recorder = Recorder::new(Path::new("/dev/full"), &Limits::default(), interfaces()).unwrap();
    for round in 0..2 {
        recorder.note(&segment(round, CLIENT, GATEWAY, b"x").captured(round));
        recorder.write_incident(second(i64::MAX / 1_000_000_000), &[(endpoint(CLIENT), endpoint(GATEWAY))], "one");
        assert_eq!(recorder.flush().is_err(), round == 0, "the first failure, once");
    }
}

/// A file system of its own with room for `kib`; `None` where it cannot be mounted.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(kib: u32) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self(directory))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn what_was_written_to_a_file_system_until_it_was_full_can_be_read() {
    let Some(mounted) = Mounted::new(256) else { return };
    let path = mounted.0.path().join("all.pcapng");
    let mut ring = Ring::create(&path, Turn::default(), interfaces()).unwrap();
    let frames: Vec<Kept> = (0..1000).map(|n| segment(n, CLIENT, GATEWAY, &[7; 999])).collect();
    let errors: Vec<Error> =
        (1..).zip(&frames).filter_map(|(number, frame)| ring.keep(&frame.captured(number)).err()).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().contains("No space left on device"), "{}", errors[0]);
    assert_eq!(ring.current(), None);
    ring.finish().unwrap();
    let (kept, _) = read(&[path]);
    assert!((150..256).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept, seen(&frames[..kept.len()]));
}

#[test]
fn a_recorder_writes_the_frames_of_an_incident_once_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("incidents.pcapng");
    let frames: Vec<Kept> = (0..30)
        .map(|n| match n % 3 {
            0 => segment(n, CLIENT, GATEWAY, b"request"),
            1 => segment(n, ANOTHER, GATEWAY, b"healthy"),
            _ => segment(n, GATEWAY, CLIENT, b"response"),
        })
        .collect();
    let mut recorder = Recorder::new(&path, &Limits::default(), interfaces()).unwrap();
    let incident = (endpoint(GATEWAY), endpoint(CLIENT));
    for (number, frame) in (1..).zip(&frames) {
        recorder.note(&frame.captured(number));
    }
    recorder.flush().unwrap();
    assert!(!path.exists(), "without an incident nothing touches the disk");
    recorder.write_incident(frames[14].at, &[incident], "incident 1");
    recorder.write_incident(frames[29].at, &[incident], "incident 2");
    recorder.flush().unwrap();
    recorder.write_incident(frames[29].at, &[incident], "incident 3");
    recorder.flush().unwrap();
    let expected: Vec<Kept> =
        frames.iter().enumerate().filter(|(n, _)| n % 3 != 1).map(|(_, frame)| frame.clone()).collect();
    assert_eq!(read(&[&path]).0, seen(&expected));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    if let Some(said) =
        wireshark("tshark", &["-Y", "frame.comment", "-T", "fields", "-e", "frame.comment", "-r"], &path)
    {
        assert_eq!(said.lines().collect::<Vec<_>>(), ["incident 1", "incident 2"]);
    }
}

#[test]
fn a_recorder_appends_to_its_file_behind_what_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("incidents.pcapng");
    let frame = segment(0, CLIENT, GATEWAY, b"x");
    let record = || {
        let mut recorder = Recorder::new(&path, &Limits::default(), interfaces()).unwrap();
        recorder.note(&frame.captured(1));
        recorder.write_incident(frame.at, &[(endpoint(CLIENT), endpoint(GATEWAY))], "");
        recorder.flush().unwrap();
    };
    record();
    let once = fs::read(&path).unwrap();
    // The power failed within a block.
    fs::write(&path, [&once[..], &[6, 0, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]].concat()).unwrap();
    record();
    assert_eq!(read(&[&path]).0, seen(&[frame.clone(), frame.clone()]));
    fs::write(&path, "a letter to my mother").unwrap();
    assert!(matches!(Recorder::new(&path, &Limits::default(), interfaces()), Err(Error::Foreign(_))));
}

#[test]
fn a_recorder_forgets_what_is_old_and_stops_where_its_file_is_large_enough() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("incidents.pcapng");
    let limits = Limits { recorder_file_bytes: 1000, ..Limits::default() };
    let mut recorder = Recorder::new(&path, &limits, interfaces()).unwrap();
    let incident = [(endpoint(CLIENT), endpoint(GATEWAY))];
    let (old, new) = (segment(0, CLIENT, GATEWAY, b"old"), segment(31_000, CLIENT, GATEWAY, b"new"));
    recorder.note(&old.captured(1));
    recorder.note(&new.captured(2));
    recorder.write_incident(new.at, &incident, "");
    recorder.flush().unwrap();
    assert_eq!(read(&[&path]).0, seen(std::slice::from_ref(&new)));
    let large = segment(31_001, CLIENT, GATEWAY, &[1; 900]);
    recorder.note(&large.captured(3));
    recorder.write_incident(large.at, &incident, "");
    assert!(matches!(recorder.flush(), Err(Error::Full { .. })));
    recorder.note(&large.captured(4));
    recorder.write_incident(large.at, &incident, "");
    recorder.flush().unwrap();
    assert_eq!(read(&[path]).0, seen(&[new]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever comes between: the frames that are written are frames of the incident, in their order, and each once.
    #[test]
    fn what_a_small_recorder_writes_is_in_order_and_of_the_incident(
        steps in prop::collection::vec((0..3_u8, 0..400_usize, prop::bool::weighted(0.1), prop::bool::weighted(0.1)), 1..120),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("incidents.pcapng");
        let limits = Limits { recorder_bytes: 6000, ..Limits::default() };
        let mut recorder = Recorder::new(&path, &limits, interfaces()).unwrap();
        let mut of_incident = Vec::new();
        for (number, (whose, size, incident, flush)) in (0..).zip(steps) {
            let frame = match whose {
                0 => segment(number, CLIENT, GATEWAY, &vec![1; size]),
                1 => segment(number, GATEWAY, CLIENT, &vec![2; size]),
                _ => segment(number, ANOTHER, GATEWAY, &vec![3; size]),
            };
            recorder.note(&frame.captured(number));
            if whose < 2 {
                of_incident.push((frame.at, frame.octets.clone()));
            }
            if incident {
                recorder.write_incident(frame.at, &[(endpoint(CLIENT), endpoint(GATEWAY))], "incident");
            }
            if flush {
                recorder.flush().unwrap();
            }
        }
        recorder.flush().unwrap();
        if path.exists() {
            let (written, _) = read(&[path]);
            prop_assert!(written.is_sorted_by(|one, other| one.0 < other.0));
            prop_assert!(written.iter().all(|frame| of_incident.contains(frame)));
        }
    }
}
