//! The program as harm comes to it while it watches: floods, upstreams that die, file systems that are full, interfaces that go
//! away, terminals that close, users without rights. It says so in a line, goes on if it can, and loses nothing it has seen.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod packets;
mod watching;
mod world;

use std::fs::{self, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use packets::{Talk, segment};
use rustix::process::Signal;
use watching::{Ended, NOBODY, PROGRAM, Watching, ask, causes, gateway, head, told, upstream};
use world::as_root;

#[test]
fn a_flood_of_syns_hides_no_failure() {
    as_root("a_flood_of_syns_hides_no_failure", || {
        let _servers = (upstream(), gateway());
        let mut watching = Watching::start(&[]);
        ask("/silent-before");
        let flood: Vec<Vec<u8>> = (0..FLOOD).map(|n| syn(n).split_off(ETHERNET)).collect();
        for (turn, part) in flood.chunks(flood.len() / 10).enumerate() {
            world::inject(part.iter().map(Vec::as_slice), Ipv4Addr::LOCALHOST);
            if turn % 3 == 0 {
                ask(&format!("/silent-{turn}"));
            }
        }
        ask("/silent-after");
        // A line for each, while it watches.
        let wanted = ["/silent-before", "/silent-0", "/silent-3", "/silent-6", "/silent-9", "/silent-after"];
        let lines: Vec<_> = wanted.iter().map(|_| watching.line()).collect();
        let expected: Vec<_> = wanted.map(|target| ("closed_without_response".to_owned(), target.to_owned())).into();
        assert_eq!(told(&lines), expected);
        let peak_kib: u64 = watching.status("VmHWM").trim_end_matches(" kB").parse().unwrap();
        assert!(peak_kib < MOST_KIB, "{peak_kib} KiB");
        watching.signal(Signal::INT);
        let ended = watching.end();
        assert_eq!((ended.status, ended.incidents.len()), (Some(1), 0), "{}", ended.said);
        assert!(ended.summary["totals"]["tcp_connections"].as_u64().unwrap() >= u64::from(FLOOD));
        assert_eq!(ended.summary["coverage"]["kernel_drops"], 0);
    });
}

/// A SYN from one of many addresses.
fn syn(n: u32) -> Vec<u8> {
    let [_, b, c, d] = n.to_be_bytes();
    segment(0, (([10, b, c, d], 1024 + (n % 50_000) as u16), ([127, 0, 0, 1], 8080)), "S", (n, 0), b"").octets
}

const FLOOD: u32 = 60_000;
const ETHERNET: usize = 14;
/// What a run may take, the kernel's buffer of 32 MiB with it.
const MOST_KIB: u64 = 150_000_000 / 1024;

#[test]
fn an_upstream_that_dies_is_one_episode() {
    as_root("an_upstream_that_dies_is_one_episode", || {
        let _gateway = gateway();
        let dying = TcpListener::bind("127.0.0.1:9000").unwrap();
        let watching = Watching::start(&[]);
        let asking = ["/read-1", "/read-2", "/queued-1", "/queued-2"].map(|target| {
            let asked = thread::spawn(move || ask(target));
            thread::sleep(Duration::from_millis(50));
            asked
        });
        // It has read two requests, and two wait in its queue: what its kernel does now is what it does at any death.
        let read = [(); 2].map(|()| {
            let (mut stream, _) = dying.accept().unwrap();
            assert!(head(&mut stream).starts_with("GET /read-"));
            stream
        });
        drop((read, dying));
        for asked in asking {
            assert!(asked.join().unwrap().starts_with("HTTP/1.1 502"));
        }
        ask("/late-1");
        ask("/late-2");
        thread::sleep(Duration::from_secs(2));
        watching.signal(Signal::TERM);
        let ended = watching.end();
        let mut causes = told(&ended.incidents);
        causes.sort_by_key(|(_, target)| target.clone());
        let expected = [
            ("connect_refused", "/late-1"),
            ("connect_refused", "/late-2"),
            ("reset_without_response", "/queued-1"),
            ("reset_without_response", "/queued-2"),
            ("closed_without_response", "/read-1"),
            ("closed_without_response", "/read-2"),
        ];
        assert_eq!(causes, expected.map(|(cause, target)| (cause.to_owned(), target.to_owned())));
        let episodes = ended.summary["episodes"].as_array().unwrap();
        assert_eq!(episodes.len(), 1, "{episodes:#?}");
        assert_eq!(episodes[0]["kind"], "backend_died");
        assert_eq!(episodes[0]["incidents"].as_array().unwrap().len(), 6, "{episodes:#?}");
        assert_eq!(ended.status, Some(1));
    });
}

#[test]
fn a_file_system_that_is_full_ends_the_keeping_and_not_the_run() {
    as_root("a_file_system_that_is_full_ends_the_keeping_and_not_the_run", || {
        let _servers = (upstream(), gateway());
        let ended = on_a_full_disk(&["-w", "small/all.pcapng"], |disk| {
            while fs::metadata(disk.join("all.pcapng")).unwrap().len() < 200 << 10 {
                (0..20).for_each(|_| drop(ask("/whole-to-fill-it")));
            }
            (0..100).for_each(|_| drop(ask("/whole-to-fill-it")));
        });
        assert_eq!(complaints(&ended), ["small/all.pcapng: cannot write: No space left on device"]);
        // What was written can be read to its end.
        let file = ended.folder.path().join("small/all.pcapng");
        let done = Command::new(PROGRAM).arg("-r").arg(&file).output().unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
        if let Ok(done) = Command::new("capinfos").arg(&file).output() {
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        }

        let ended = on_a_full_disk(&["--record", "small/failures.pcapng"], fill);
        assert_eq!(complaints(&ended), ["small/failures.pcapng: cannot write: No space left on device"]);

        let ended = on_a_full_disk(&["--exchanges", "small/all.csv"], |disk| {
            fill(disk);
            (0..500).for_each(|_| drop(ask("/whole-with-a-row")));
        });
        assert_eq!(complaints(&ended), ["small/all.csv: cannot write: No space left on device"]);
    });
}

#[test]
fn lines_that_their_file_cannot_hold_are_printed_all_the_same() {
    as_root("lines_that_their_file_cannot_hold_are_printed_all_the_same", || {
        let _servers = (upstream(), gateway());
        let ended = on_a_full_disk(&["-o", "small/lines.ndjson"], |disk| {
            ask("/silent-first");
            wait_for(|| fs::read_to_string(disk.join("lines.ndjson")).unwrap().ends_with('\n'));
            fill(disk);
            // What is left of the last page.
            (0..8).for_each(|n| drop(ask(&format!("/silent-{n}"))));
        });
        assert_eq!(complaints(&ended), ["small/lines.ndjson: cannot write: No space left on device"]);
        // The file holds whole lines, and the rest is here.
        let lines = fs::read_to_string(ended.folder.path().join("small/lines.ndjson")).unwrap();
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap());
        let all: Vec<_> = lines.chain(ended.incidents).collect();
        let numbers = all.iter().map(|line| line["id"].as_u64().unwrap());
        assert!(numbers.eq(1..=10), "{:?}", told(&all));
    });
}

/// A run in a folder with a file system of 256 KiB that `filled` leaves no room in, and with a failure after that.
fn on_a_full_disk(arguments: &[&str], filled: impl FnOnce(&Path)) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("small");
    fs::create_dir(&disk).unwrap();
    world::mount(256, &disk);
    chown(&disk, Some(NOBODY), Some(NOBODY)).unwrap();
    let mut program = Command::new(PROGRAM);
    program.args(["-i", "lo"]).args(arguments);
    let mut watching = Watching::run(program, folder);
    filled(&disk);
    ask("/silent-at-last");
    let is_last = |line: &serde_json::Value| line["downstream"]["target"] == "/silent-at-last";
    let mut before = Vec::new();
    while before.last().is_none_or(|line| !is_last(line)) {
        before.push(watching.line());
    }
    watching.signal(Signal::INT);
    let mut ended = watching.end();
    assert_eq!(ended.status, Some(2), "{}", ended.said);
    before.append(&mut ended.incidents);
    Ended { incidents: before, ..ended }
}

/// Takes all the room that a file system has.
fn fill(disk: &Path) {
    let mut file = fs::File::create(disk.join("filler")).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}

/// The lines that say that something cannot be written, as far as the system's words.
fn complaints(ended: &Ended) -> Vec<&str> {
    let lines = ended.said.lines().filter(|line| line.contains("cannot write"));
    lines.map(|line| line.trim_start_matches("netwatch502: ").split(" (os error").next().unwrap()).collect()
}

fn wait_for(mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "waited in vain");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_interface_that_goes_away_is_named() {
    as_root("an_interface_that_goes_away_is_named", || {
        let _servers = (upstream(), gateway());
        world::make_pair("left", "right", Ipv4Addr::new(10, 9, 8, 1));
        let of = |interfaces: &[&str]| {
            let mut program = Command::new(PROGRAM);
            program.args(interfaces);
            Watching::run(program, tempfile::tempdir().unwrap())
        };
        let refused = Talk::refused(
            b"GET /refused-on-left HTTP/1.1\r\nHost: app.example\r\n\r\n",
            b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",
        );
        let refuse = || {
            for packet in &refused.packets {
                world::inject([&packet.octets[ETHERNET..]], Ipv4Addr::new(10, 9, 8, 255));
                // Nobody answers within microseconds.
                thread::sleep(Duration::from_millis(2));
            }
        };
        let said = "left: capturing ended: the interface was removed";

        // The others go on.
        let mut watching = of(&["-i", "left", "-i", "lo"]);
        refuse();
        assert_eq!(watching.line()["downstream"]["target"], "/refused-on-left");
        world::remove("left");
        thread::sleep(Duration::from_millis(500));
        ask("/silent-on-lo");
        assert_eq!(watching.line()["cause"], "closed_without_response");
        watching.signal(Signal::INT);
        let ended = watching.end();
        assert!(ended.said.contains(said), "{}", ended.said);
        assert_eq!(ended.summary["totals"]["gateway_errors"], 2);
        assert!(ended.summary["coverage"]["notes"].to_string().contains(said), "{}", ended.summary["coverage"]);
        assert_eq!(ended.status, Some(1));

        // Without others it ends, and what had not settled is told.
        world::make_pair("left", "right", Ipv4Addr::new(10, 9, 8, 1));
        let watching = of(&["-i", "left"]);
        refuse();
        world::remove("left");
        let ended = watching.end();
        assert_eq!(ended.incidents.len(), 1, "{}", ended.said);
        assert_eq!(ended.incidents[0]["downstream"]["target"], "/refused-on-left");
        assert!(ended.said.contains(said), "{}", ended.said);
        assert!(ended.said.ends_with("no interface is left to capture on; what was seen until then is reported\n"));
        assert_eq!(ended.status, Some(2));
    });
}

#[test]
fn a_terminal_that_closes_ends_it_with_all_it_has() {
    as_root("a_terminal_that_closes_ends_it_with_all_it_has", || {
        let _servers = (upstream(), gateway());
        let watching = Watching::start(&["-w", "all.pcapng", "-o", "report.ndjson"]);
        ask("/silent-before-it-closes");
        // The kernel sends one and the shell another.
        watching.signal(Signal::HUP);
        watching.signal(Signal::HUP);
        let Watching { mut child, folder, .. } = watching;
        assert_eq!(child.wait().unwrap().code(), Some(1));
        let report = fs::read_to_string(folder.path().join("report.ndjson")).unwrap();
        let lines: Vec<serde_json::Value> = report.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{report}");
        let expected = [("closed_without_response".to_owned(), "/silent-before-it-closes".to_owned())];
        assert_eq!((told(&lines[..1]).as_slice(), &lines[1]["type"]), (&expected[..], &"summary".into()));
        assert_eq!(causes(&folder.path().join("all.pcapng")), expected);
    });
}

#[test]
fn it_goes_on_where_nobody_hears_what_it_says() {
    as_root("it_goes_on_where_nobody_hears_what_it_says", || {
        let output = Command::new(PROGRAM)
            .args(["-i", "lo", "-v", "-a", "duration:0.5", "--ndjson", "port", "8080"])
            .stderr(fs::File::options().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(output.stdout.starts_with(b"{\"type\":\"summary\""));

        // Nor what it prints: the packets are kept all the same.
        let _servers = (upstream(), gateway());
        let mut program = Command::new(PROGRAM);
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        program.args(["-i", "lo", "-w", "all.pcapng", "--metrics", "127.0.0.1:9502", "port", "8080"]);
        program.current_dir(folder.path()).env_remove("SUDO_UID").stdin(Stdio::null());
        let full = || fs::File::options().write(true).open("/dev/full").unwrap();
        let mut child = program.stdout(full()).stderr(full()).spawn().unwrap();
        wait_for(|| std::net::TcpStream::connect("127.0.0.1:9502").is_ok());
        wait_for(|| folder.path().join("all.pcapng").exists());
        for n in 0..3 {
            ask(&format!("/silent-{n}"));
            thread::sleep(Duration::from_secs(1));
        }
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(2));
        assert_eq!(causes(&folder.path().join("all.pcapng")).len(), 3);
    });
}

/// A copy of the program that an ordinary user may run, on a file system of its own: elsewhere set capabilities may count for
/// nothing (nosuid).
fn installed(folder: &Path, capabilities: bool) -> Command {
    world::mount(1 << 20, folder);
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let program = folder.join("netwatch502");
    fs::copy(PROGRAM, &program).unwrap();
    if capabilities {
        // setcap cap_net_raw,cap_net_admin=eip: struct vfs_cap_data of version 2, with the effective bit.
        let both = (1_u32 << 12 | 1 << 13).to_le_bytes();
        let value = [&0x0200_0001_u32.to_le_bytes()[..], &both, &both, &[0; 8]].concat();
        rustix::fs::setxattr(&program, "security.capability", &value, rustix::fs::XattrFlags::empty()).unwrap();
    }
    let mut command = Command::new(program);
    command.args(["-i", "lo"]).uid(NOBODY).gid(NOBODY);
    command
}

#[test]
fn an_ordinary_user_may_watch_where_setcap_permits_it() {
    as_root("an_ordinary_user_may_watch_where_setcap_permits_it", || {
        let _servers = (upstream(), gateway());
        let place = tempfile::tempdir().unwrap();
        let mut program = installed(place.path(), true);
        program.args(["-w", "all.pcapng", "--record", "failures.pcapng"]);
        let mut watching = Watching::run(program, tempfile::tempdir().unwrap());
        ask("/silent-for-a-user");
        assert_eq!(watching.line()["cause"], "closed_without_response");
        for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
            assert_eq!(watching.status(set), "0000000000000000", "{set}");
        }
        assert_eq!(watching.status("NoNewPrivs"), "1");
        assert!(watching.status("Uid").split_whitespace().all(|user| user == NOBODY.to_string()));
        watching.signal(Signal::INT);
        let ended = watching.end();
        assert_eq!(ended.status, Some(1), "{}", ended.said);
        let expected = [("closed_without_response".to_owned(), "/silent-for-a-user".to_owned())];
        for file in ["all.pcapng", "failures.pcapng"] {
            assert_eq!(causes(&ended.folder.path().join(file)), expected, "{file}");
        }
    });
}

#[test]
fn without_the_right_to_capture_the_setcap_line_is_told() {
    as_root("without_the_right_to_capture_the_setcap_line_is_told", || {
        let place = tempfile::tempdir().unwrap();
        let output = installed(place.path(), false).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let program = place.path().join("netwatch502");
        let line = format!("sudo setcap cap_net_raw,cap_net_admin=eip {}", program.display());
        assert!(said.contains(&line) && said.lines().count() == 1, "{said}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    });
}
