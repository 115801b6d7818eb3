//! Damaged captures: no panic, and above all no verdict that claims to be proven and is wrong.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod denied;
#[path = "fuzz/logic.rs"]
#[expect(unreachable_pub, reason = "to the fuzz targets it is a library")]
mod logic;
mod packets;
mod story;

use std::fs;
use std::time::Duration;

use assert_cmd::Command;
use denied::{Denied, stories};
use netwatch502::capture::Source;
use netwatch502::limits::Limits;
use netwatch502::report::{self, Report, Style};
use packets::{Dice, End, Packet, segment};
use tempfile::TempDir;

/// The two ends of a packet's connection, in one order for both directions.
fn ends(packet: &Packet) -> Option<[String; 2]> {
    let mut ends = denied::ends(packet)?;
    ends.sort();
    Some(ends)
}

#[test]
fn a_whole_capture_proves_nothing_wrong() {
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        wrong.judge(&name, &|| "nothing".to_owned(), &packets, &expected);
    }
    wrong.check();
}

#[test]
fn a_capture_without_its_first_part_proves_nothing_wrong() {
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        for first in 1..packets.len() {
            wrong.judge(
                &name,
                &|| format!("beginning at frame {}", packets[first].number),
                &packets[first..],
                &expected,
            );
        }
    }
    wrong.check();
}

#[test]
fn a_capture_without_its_last_part_proves_nothing_wrong() {
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        for after in 0..packets.len() {
            wrong.judge(
                &name,
                &|| format!("ending before frame {}", packets[after].number),
                &packets[..after],
                &expected,
            );
        }
    }
    wrong.check();
}

#[test]
fn a_connection_that_was_not_captured_proves_nothing_wrong() {
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        let mut connections: Vec<[String; 2]> = packets.iter().filter_map(ends).collect();
        connections.sort();
        connections.dedup();
        for connection in connections {
            let kept = packets.iter().filter(|packet| ends(packet).as_ref() != Some(&connection));
            wrong.judge(&name, &|| format!("not capturing {}", connection.join(" – ")), kept, &expected);
        }
    }
    wrong.check();
}

#[test]
fn a_leg_that_was_not_captured_proves_nothing_wrong() {
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        let servers = ["10.50.1.1:8080", "127.0.0.1:8081", "10.50.2.2:9000", "10.50.2.3:9000"];
        for server in servers {
            // Where what lies behind the second gateway is not captured, that it answered 502 is all there is to prove.
            if name == "chain-haproxy-nginx-refused" && server == "10.50.2.2:9000" {
                continue;
            }
            let of_leg = |packet: &&Packet| ends(packet).is_some_and(|ends| ends.iter().any(|end| end == server));
            let kept = packets.iter().filter(|packet| !of_leg(packet));
            wrong.judge(&name, &|| format!("not capturing {server}"), kept, &expected);
        }
    }
    wrong.check();
}

#[test]
fn packets_cut_by_the_snaplen_prove_nothing_wrong() {
    let mut wrong = Denied::default();
    for (name, packets, expected) in stories() {
        for snaplen in [40, 54, 64, 68, 96, 128, 200, 256] {
            let cut: Vec<Packet> = packets
                .iter()
                .map(|packet| {
                    let mut packet = packet.clone();
                    packet.octets.truncate(snaplen);
                    packet
                })
                .collect();
            wrong.judge(&name, &|| format!("a snaplen of {snaplen}"), &cut, &expected);
        }
    }
    wrong.check();
}

#[test]
fn copies_of_packets_change_no_verdict() {
    for (name, packets, _) in stories() {
        let mut twice: Vec<Packet> = Vec::new();
        for packet in &packets {
            twice.push(packet.clone());
            twice.push(Packet { at_ns: packet.at_ns + 2_000, ..packet.clone() });
        }
        let (whole, doubled) =
            (packets::analyse(&packets, &Limits::default()), packets::analyse(&twice, &Limits::default()));
        assert_eq!(story::found(&doubled), story::found(&whole), "{name}");
    }
}

#[test]
fn packets_out_of_order_are_survived() {
    let mut dice = Dice(503);
    for (_, packets, _) in stories() {
        for _ in 0..20 {
            let mut packets = packets.clone();
            for _ in 0..packets.len() / 2 {
                let (one, other) = (dice.below(packets.len()), dice.below(packets.len()));
                packets.swap(one, other);
            }
            print(&packets::analyse(&packets, &Limits::default()));
        }
    }
}

/// Every format writes the report without an error.
fn print(report: &Report) {
    for format in report::FORMATS {
        (format.write)(report, &Style::default(), &mut Vec::new()).unwrap();
    }
}

#[test]
fn flipped_octets_in_packets_are_survived() {
    let mut dice = Dice(504);
    for (_, packets, _) in stories() {
        for _ in 0..40 {
            let mut packets = packets.clone();
            for _ in 0..=dice.below(20) {
                let index = dice.below(packets.len());
                let octets = &mut packets[index].octets;
                let at = dice.below(octets.len());
                octets[at] ^= 1 << dice.below(8);
            }
            print(&packets::analyse(&packets, &Limits::default()));
        }
    }
}

/// Reads a file as the program does, and takes whatever comes of it.
fn survive(path: &str) {
    let Ok(mut source) = Source::open(&[path.to_owned()]) else { return };
    let mut packets = Vec::new();
    while let Some(captured) = source.next() {
        packets.push(Packet::of(&captured));
    }
    print(&packets::analyse(&packets, &Limits::default()));
}

#[test]
fn files_with_flipped_octets_are_survived() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("damaged").to_str().unwrap().to_owned();
    let mut dice = Dice(505);
    for name in story::names() {
        let whole = fs::read(story::path(&name)).unwrap();
        for round in 0..30 {
            let mut octets = whole.clone();
            for _ in 0..=dice.below(10) {
                // Half of the damage is in the headers of the file, where it matters most.
                let at = dice.below(if round % 2 == 0 { octets.len() } else { 400 });
                octets[at] = dice.below(256) as u8;
            }
            fs::write(&path, &octets).unwrap();
            survive(&path);
        }
    }
}

#[test]
fn files_cut_anywhere_end_with_a_status_and_a_sentence() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("cut").to_str().unwrap().to_owned();
    let whole = fs::read(story::path("nginx-connect-refused")).unwrap();
    let mut dice = Dice(506);
    for _ in 0..40 {
        fs::write(&path, &whole[..dice.below(whole.len())]).unwrap();
        survive(&path);
        let run = Command::new(env!("CARGO_BIN_EXE_netwatch502")).args(["-r", &path]).output().unwrap();
        let (code, said) = (run.status.code().expect("no signal"), String::from_utf8(run.stderr).unwrap());
        // A cut between two blocks cannot be told from an end.
        assert!(code < 2 && said.is_empty() || code == 2 && said.contains("cut"), "{code}: {said}");
        assert!(!said.contains("panicked"));
    }
}

#[test]
fn what_is_fuzzed_holds_for_random_and_for_damaged_octets() {
    let mut dice = Dice(507);
    let targets: [fn(&[u8]); 10] = [
        logic::read_pcap,
        logic::read_pcapng,
        logic::decode_packet,
        logic::read_http1,
        logic::read_http2,
        logic::read_fastcgi,
        logic::read_variables,
        logic::read_dns,
        logic::read_tls,
        logic::follow,
    ];
    let head: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let uwsgi: &[u8] = b"\x00\x28\x00\x00\x0e\x00REQUEST_METHOD\x04\x00POST\x0c\x00QUERY_STRING\x02\x00ab";
    let scgi: &[u8] = b"38:CONTENT_LENGTH\x0027\0REQUEST_METHOD\0POST\0,what is the answer";
    let packets = story::packets("nginx-connect-refused");
    let frames: Vec<u8> = packets
        .iter()
        .flat_map(|packet| {
            let length = packet.octets.len().min(255);
            let kind = match packet.link {
                113 => 1,
                276 => 2,
                _ => 0,
            };
            [vec![kind, length as u8, 1], packet.octets[..length].to_vec()].concat()
        })
        .collect();
    let (pcap, pcapng) = (packets::pcap(&packets), packets::pcapng(&packets));
    for _ in 0..400 {
        let random: Vec<u8> = (0..dice.below(300)).map(|_| dice.below(256) as u8).collect();
        for target in targets {
            target(&random);
            for seed in [&pcap[..], &pcapng, &frames, head, uwsgi, scgi] {
                let mut octets = seed[..dice.below(seed.len().min(2000)) + 1].to_vec();
                for _ in 0..=dice.below(6) {
                    let at = dice.below(octets.len());
                    octets[at] = dice.below(256) as u8;
                }
                target(&octets);
            }
        }
    }
}

/// Bounds that a flood reaches at once.
fn tight() -> Limits {
    Limits {
        connections: 200,
        waiting_bytes_per_direction: 16 << 10,
        waiting_bytes: 256 << 10,
        head_bytes: 8 << 10,
        handshake_bytes: 8 << 10,
        outstanding_requests: 16,
        idle: Duration::from_secs(60),
        fragments: 32,
        duplicate_memory: 256,
        incidents: 100,
        exchanges: 1024,
        ..Limits::default()
    }
}

/// The packet number `n` of a flood; the round decides the addresses and ports.
type Flood = fn(u64) -> Packet;

const FLOODS: &[(&str, Flood)] = &[
    ("SYNs from everywhere", |n| {
        let client: End = ([172, (n >> 16) as u8, (n >> 8) as u8, n as u8], 1024 + (n % 60_000) as u16);
        flooding(n, client, "S", (1, 0), b"")
    }),
    ("SYNs to everywhere", |n| {
        let (back, upstream) =
            (([10, 50, 2, 1], 1024 + (n % 60_000) as u16), ([172, (n >> 16) as u8, (n >> 8) as u8, n as u8]));
        segment(at(n), (back, (upstream, 80)), "S", (1, 0), b"")
    }),
    ("heads without an end", |n| {
        let sequence = 1_u32.wrapping_add((n / 50) as u32 * 1000);
        flooding(
            n,
            ([172, 16, 0, (n % 50) as u8], 40_000),
            "A",
            (sequence, 1),
            &[b"GET / HTTP/1.1\r\nX: ", &[b'a'; 981][..]].concat(),
        )
    }),
    ("handshakes without an end", |n| {
        let sequence = 1_u32.wrapping_add((n / 50) as u32 * 1000);
        // A message that is just short enough to be waited for, in records of 1000 octets.
        let begin: &[u8] = if n % 350 < 50 { &[1, 0, 0x1f, 0x00] } else { &[7; 4] };
        let record = [&[22, 3, 1, 3, 0xe3], begin, &[7; 991]].concat();
        flooding(n, ([172, 16, 0, (n % 50) as u8], 40_000), "A", (sequence, 1), &record)
    }),
    ("data behind holes", |n| {
        let sequence = 1_u32.wrapping_add((n / 50) as u32 * 2000);
        flooding(n, ([172, 16, 0, (n % 50) as u8], 40_000), "A", (sequence, 1), &[b'x'; 1000])
    }),
    ("requests that nobody answers", |n| {
        let sequence = 1_u32.wrapping_add((n / 50) as u32 * 18);
        flooding(n, ([172, 16, 0, (n % 50) as u8], 40_000), "A", (sequence, 1), b"GET / HTTP/1.1\r\n\r\n")
    }),
    ("failures without end", |n| {
        let way: (End, End) =
            (([10, 50, 1, 1], 8080), ([172, 16, 0, (n / 100 % 50) as u8], 1024 + (n / 5000 % 60_000) as u16));
        let (request, response) =
            (format!("GET /{n:09} HTTP/1.1\r\n\r\n"), b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        let round = (n % 100 / 2) as u32;
        let (ask, say) = (1 + round * request.len() as u32, 1 + round * response.len() as u32);
        if n.is_multiple_of(2) {
            segment(at(n), (way.1, way.0), "A", (ask, say), request.as_bytes())
        } else {
            segment(at(n), way, "A", (say, ask + request.len() as u32), response)
        }
    }),
];

fn at(n: u64) -> i64 {
    1_795_181_638_000_000_000 + n as i64 * 100_000
}

fn flooding(n: u64, client: End, flags: &str, numbers: (u32, u32), data: &[u8]) -> Packet {
    segment(at(n), (client, ([10, 50, 1, 1], 8080)), flags, numbers, data)
}

const FLOOD: &str = "NETWATCH502_TEST_FLOOD";

/// Runs alone in a process of its own: `FLOOD` says which flood and how many packets.
#[test]
fn a_flood_is_followed() {
    let Ok(wanted) = std::env::var(FLOOD) else { return };
    let (index, count) = wanted.split_once(':').unwrap();
    let (_, flood) = FLOODS[index.parse::<usize>().unwrap()];
    let limits = tight();
    let mut analysis = netwatch502::analysis::Analysis::new(
        &limits,
        netwatch502::correlate::gateway::Gateways::told(&[]),
        netwatch502::diagnose::Question::default(),
        None,
    );
    for n in 0..count.parse().unwrap() {
        let packet = Packet { number: n + 1, ..flood(n) };
        analysis.take(&packet.captured());
    }
    print(&analysis.finish());
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    println!("peak {}", peak.trim().trim_end_matches(" kB"));
}

/// Most memory that a process had which followed `count` packets of a flood, in KiB.
fn peak_kib(index: usize, count: u64) -> Result<u64, String> {
    let run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_flood_is_followed", "--nocapture"])
        .env(FLOOD, format!("{index}:{count}"))
        .timeout(Duration::from_secs(10))
        .output()
        .unwrap();
    let said = String::from_utf8(run.stdout).unwrap();
    let peak = said.lines().find_map(|line| line.split("peak ").nth(1));
    peak.map(|peak| peak.parse().unwrap())
        .ok_or_else(|| format!("{count} packets: no end within 10 s, or a panic: {said}"))
}

/// Four times the traffic takes no more memory, and ends in bearable time: what a bound holds back does
/// not grow.
#[cfg(target_os = "linux")]
#[test]
fn floods_do_not_grow_beyond_the_limits() {
    let mut grown = Vec::new();
    for (index, (name, _)) in FLOODS.iter().enumerate() {
        match (peak_kib(index, 10_000), peak_kib(index, 40_000)) {
            (Ok(little), Ok(much)) if much <= little + 6 * 1024 => {}
            (little, much) => {
                grown.push(format!("{name}, KiB for 10,000 packets and for 40,000: {little:?}, {much:?}"))
            }
        }
    }
    assert!(grown.is_empty(), "\n  {}\n", grown.join("\n  "));
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_flood_pushes_out_is_counted() {
    let packets: Vec<Packet> = (0..2000).map(|n| Packet { number: n + 1, ..FLOODS[0].1(n) }).collect();
    let report = packets::analyse(&packets, &tight());
    assert!(report.coverage.evicted >= 1700, "{}", report.coverage.evicted);
    assert!(report.coverage.notes.iter().any(|note| note.contains("want of memory")), "{:?}", report.coverage.notes);
}
