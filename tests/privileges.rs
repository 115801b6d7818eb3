//! Nothing is left of root's rights, and capturing goes on. Privileges belong to threads, and the test harness has several:
//! this test has none, and runs on the first thread of a process of its own.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod world;

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use netwatch502::capture::live::{Ended, Live, Next, Options};
use netwatch502::privileges::{self, Kept, Landlock};

fn main() {
    world::as_oneself("a_process_gives_up_all_it_can_and_captures_on", give_up);
    println!("test a_process_gives_up_all_it_can_and_captures_on ... ok\n\ntest result: ok. 1 passed; 0 failed");
}

fn give_up() {
    let root = rustix::process::geteuid().is_root();
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept { write: vec![folder.path().join("ring.pcapng")], ..Kept::default() };
    if let Some(identity) = privileges::identity(&kept) {
        std::os::unix::fs::chown(folder.path(), Some(identity.uid), Some(identity.gid)).unwrap();
    }
    let opened = root.then(|| {
        world::set_up("lo", true);
        let options = Options { interfaces: vec!["any".to_owned()], ..Options::default() };
        (
            Live::open(&options).unwrap(),
            TcpListener::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        )
    });
    let outside = std::env::current_dir().unwrap().join("Cargo.toml");
    let dropped = privileges::drop(&kept).unwrap();

    let status = fs::read_to_string("/proc/self/status").unwrap();
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    for set in ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"] {
        assert_eq!(of(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(of("NoNewPrivs:"), ["1"]);
    assert!(of("Uid:").iter().chain(&of("Gid:")).all(|id| !root || id != "0"), "{status}");
    assert!(of("Uid:").iter().all(|id| id != "0"));
    assert_eq!(dropped.bounded, of("CapBnd:") == ["0000000000000000"], "{dropped}");
    if root {
        assert!(dropped.bounded && of("Groups:").is_empty(), "{dropped}: {status}");
    }

    let inside = folder.path().join("ring.1.pcapng");
    fs::write(&inside, b"packets").unwrap();
    fs::write(&inside, b"others").unwrap();
    fs::remove_file(&inside).unwrap();
    assert!(fs::File::options().append(true).open(&outside).is_err());
    if dropped.landlock != Landlock::Absent {
        assert!(fs::write("/var/tmp/netwatch502-outside", b"").is_err(), "a place where everybody may write");
        assert!(fs::read("/proc/self/status").is_ok());
        assert!(fs::read_dir("/home").is_err(), "what is not needed cannot be read");
        assert!(std::process::Command::new("true").status().is_err(), "no programs");
    }

    let Some((opened, listener, receiver)) = opened else { return };
    if dropped.landlock == Landlock::Full {
        assert!(TcpStream::connect(listener.local_addr().unwrap()).is_err(), "no connections");
    }
    let mut live = opened.start().unwrap();
    live.refilter("udp".to_owned()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    // While libpcap replaces a filter the kernel lets nothing through, so the first ones may be missing.
    let mut frames = 0;
    for _ in 0..500 {
        socket.send_to(b"datagram", receiver.local_addr().unwrap()).unwrap();
        match live.next(Duration::from_millis(10)) {
            Next::Batch(batch) => frames += batch.len(),
            Next::Idle => {}
            other => panic!("{other:?}"),
        }
        if frames > 0 {
            break;
        }
    }
    assert!(frames > 0, "what passes the new filter is captured");
    live.stop();
    loop {
        match live.next(Duration::from_secs(5)) {
            Next::Batch(batch) => frames += batch.len(),
            Next::Ended(ended) => break assert_eq!(ended, Ended::Stopped),
            other => panic!("{other:?}"),
        }
    }
    assert!(live.counters()[0].received >= frames as u64, "counters can be read as well");

    let options = Options { interfaces: vec!["lo".to_owned()], ..Options::default() };
    let error = Live::open(&options).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("lo: capturing is not permitted; run it with sudo, or permit it once: sudo setcap cap_net"));
    assert!(error.contains(std::env::current_exe().unwrap().to_str().unwrap()), "{error}");
}
