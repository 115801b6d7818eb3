use std::fs;
use std::io::Cursor;
use std::path::Path;

use super::Source;
use super::ahead::Readers;
use super::input::{Input, Refused};
use super::stretch::Stretch;
use crate::report;
use crate::wire::pcap::Order::{Big, Little};
use build::{
    Packet, block, enhanced, gzip, interface, pcap, pcap_pieces, section, u16s, u32s, zstd, zstd_frame, zstd_skippable,
};

mod build;
mod properties;

/// What a test looks at: number, nanoseconds, link type, interface, octets.
type Seen = (u64, i64, u16, u32, Vec<u8>);

/// Reads a stream to its end: packet by packet, and by stretches, which gives the same.
fn read(octets: &[u8]) -> (Vec<Seen>, report::Input, bool) {
    let open = || match Input::open(Box::new(Cursor::new(octets.to_vec())), None, &Readers::default()) {
        Ok(input) => input,
        Err(Refused::NotACapture(found)) => panic!("{found}"),
        Err(Refused::Io(error)) => panic!("{error}"),
    };
    let (seen, described, complete) = walk(open());
    let in_steps = step_by_step(open());
    assert_eq!((&seen, described.packets, complete), (&in_steps.0, in_steps.1.packets, in_steps.2));
    (seen, described, complete)
}

fn walk(mut input: Input) -> (Vec<Seen>, report::Input, bool) {
    let mut seen = Vec::new();
    while input.advance() {
        let mut stretch = input.stretch(0, true);
        loop {
            seen.push(look(&stretch));
            if !stretch.advance() {
                break;
            }
        }
        let taken = stretch.taken();
        input.took(taken);
    }
    assert!(!input.advance() && input.stretch(0, true).frame().octets.is_empty());
    (seen, input.describe("test".to_owned()), input.complete())
}

/// The same without stretches.
fn step_by_step(mut input: Input) -> (Vec<Seen>, report::Input, bool) {
    let mut seen = Vec::new();
    while input.advance() {
        seen.push(look(&input.stretch(0, false)));
    }
    (seen, input.describe("test".to_owned()), input.complete())
}

fn look(stretch: &Stretch<'_>) -> Seen {
    let frame = stretch.frame();
    let (kept, range) = stretch.kept();
    assert_eq!(&kept[range], frame.octets);
    (frame.frame.number(), frame.at.as_nanos(), frame.link.0, frame.interface, frame.octets.to_vec())
}

fn refusal(octets: &[u8]) -> String {
    match Input::open(Box::new(Cursor::new(octets.to_vec())), None, &Readers::default()) {
        Err(Refused::NotACapture(found)) => found,
        _ => panic!("accepted"),
    }
}

/// How reading ends: packets, and the sentence.
fn check_end(octets: &[u8], packets: u64, expected: &str) {
    let (seen, input, complete) = read(octets);
    assert_eq!((seen.len() as u64, input.packets, input.ended.as_str()), (packets, packets, expected));
    assert_eq!(complete, expected == "complete");
}

fn packets(times: &[i64]) -> Vec<Packet> {
    times.iter().map(|&at| (at, format!("packet at {at}").into_bytes())).collect()
}

const T: i64 = 1_700_000_000_000_000_000;

#[test]
fn a_file_of_several_sections_is_one_numbered_stream() {
    let p = packets(&[T + 1, T + 2, T + 3]);
    let file = [
        section(Big),
        interface(Big, 1),
        interface(Big, 276),
        enhanced(Big, 1, &p[0]),
        block(Big, 10, b"keys"),
        block(Big, 0xbad, b"custom"),
        block(Big, 3, &[u32s(Big, &[4]), b"simp".to_vec()].concat()),
        section(Little),
        interface(Little, 113),
        block(Little, 4, &[0; 100_000]),
        enhanced(Little, 0, &p[1]),
    ]
    .concat();
    let (seen, input, complete) = read(&file);
    assert_eq!(
        seen,
        [
            (1, T + 1, 276, 1, p[0].1.clone()),
            // The custom block takes number 2 in Wireshark; a simple packet has the time before it.
            (3, T + 1, 1, 0, b"simp".to_vec()),
            (4, T + 2, 113, 2, p[1].1.clone()),
        ]
    );
    assert!(complete);
    assert_eq!((input.format.as_str(), input.packets, input.bytes), ("pcapng", 3, file.len() as u64));
    assert_eq!(input.link_types, ["ETHERNET", "LINUX_SLL", "LINUX_SLL2"]);
    assert_eq!((input.first.unwrap().as_nanos(), input.last.unwrap().as_nanos()), (T + 1, T + 2));
}

#[test]
fn compression_is_recognised_and_its_pieces_are_one_stream() {
    let p = packets(&[T, T + 5, T + 9]);
    let plain = pcap(Little, 101, &p);
    let (front, back) = plain.split_at(37);
    let expected = read(&plain).0;
    assert_eq!(expected.len(), 3);
    for (file, format) in [
        (gzip(&plain), "pcap+gzip"),
        ([gzip(front), gzip(b""), gzip(back)].concat(), "pcap+gzip"),
        (zstd(&plain), "pcap+zstd"),
        ([zstd_skippable(b"note"), zstd(front), zstd_skippable(b""), zstd(back)].concat(), "pcap+zstd"),
    ] {
        let (seen, input, complete) = read(&file);
        assert_eq!((seen, input.format.as_str(), complete), (expected.clone(), format, true));
        assert_eq!(input.bytes, file.len() as u64);
    }
}

#[test]
fn a_cut_compressed_stream_yields_what_came_before() {
    // Octets that do not compress, so that the cut falls near the end of the packets.
    let mut state = 1_u32;
    let noise = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let octets: Vec<u8> = (0..400_000).map(noise).collect();
    let p: Vec<Packet> = octets.chunks(1000).enumerate().map(|(i, chunk)| (T + i as i64, chunk.to_vec())).collect();
    let plain = pcap(Little, 1, &p);
    for (file, format) in [(gzip(&plain), "gzip"), (zstd(&plain), "zstd")] {
        let (seen, input, complete) = read(&file[..file.len() - 2000]);
        assert!(!complete);
        let cut = format!("the {format} stream is cut, after packet {}, at byte ", seen.len());
        assert!(input.ended.starts_with(&cut), "{}", input.ended);
        // A zstd block is 128 KiB, and a half one cannot be decoded.
        assert!(seen.len() > 250, "{format}: {}", seen.len());
        assert!(seen.iter().zip(&p).all(|(seen, (at, octets))| (seen.1, &seen.4) == (*at, octets)));
    }
}

#[test]
fn a_corrupt_compressed_stream_is_named() {
    let plain = pcap(Little, 1, &packets(&[T]));
    let mut file = gzip(&plain);
    let at = file.len() - 6;
    file[at] ^= 1;
    let (seen, input, complete) = read(&file);
    assert_eq!((seen.len(), complete), (1, false));
    assert!(input.ended.starts_with("the gzip stream is corrupt: "), "{}", input.ended);
    check_end(
        &[zstd(&plain), b"rest of disk".to_vec()].concat(),
        1,
        "the zstd stream is corrupt: no frame begins where one must, after packet 1, at byte 69 of the unpacked data",
    );
}

#[test]
fn what_stands_before_a_fault_of_a_zstd_frame_is_read() {
    let plain = pcap(Little, 1, &packets(&[T, T + 1]));
    let last: [u8; 3] = [1, 0, 0];
    let check = |octets: Vec<u8>, sentence: &str| {
        check_end(&octets, 2, &format!("{sentence}, after packet 2, at byte {} of the unpacked data", plain.len()));
    };
    for size in [1, 2, 3, 4, 5, 30, 1000] {
        let frame = |header: &[u8]| zstd_frame(header, plain.chunks(size).map(|octets| (0, octets)));
        let whole = [frame(&[0, 0]), last.to_vec()].concat();
        check_end(&whole, 2, "complete");
        for cut in 0..3 {
            check([frame(&[0, 0]), last[..cut].to_vec()].concat(), "the zstd stream is cut");
        }
        check([whole.clone(), zstd_skippable(b"note")[..10].to_vec()].concat(), "the zstd stream is cut");
        // Of a type that is reserved.
        let fault = [frame(&[0, 0]), vec![6, 0, 0]].concat();
        check(fault, "the zstd stream is corrupt: a block cannot be decoded");
        let checksum = [&frame(&[4, 0])[..], &last, b"none"].concat();
        check(checksum, "the zstd stream is corrupt: the checksum of a frame is wrong");
        check(
            [whole.clone(), zstd_frame(&[0, 17 << 3 | 1], [])].concat(),
            "the zstd stream needs a window of more than 128 MiB; unpack it first, with zstd -d --long=31",
        );
        check(
            [whole, zstd_frame(&[1, 0, 7], [])].concat(),
            "the zstd stream needs a dictionary; unpack it first, with zstd -d -D",
        );
        // The widest window that is taken.
        check_end(&[frame(&[0, 17 << 3]), last.to_vec()].concat(), 2, "complete");
    }
}

#[test]
fn a_file_that_ends_early_says_where() {
    let [ng_section, ng_interface] = [section(Little), interface(Little, 1)];
    let p = packets(&[T, T + 1]);
    let plain = pcap_pieces(Little, 1, &p).concat();
    let size = plain.len();
    let ng = [ng_section.clone(), ng_interface, enhanced(Little, 0, &p[0]), block(Little, 4, b"name")].concat();
    check_end(&plain, 2, "complete");
    check_end(b"", 0, "empty: zero bytes");
    check_end(&gzip(b""), 0, "empty: zero bytes in the gzip stream");
    check_end(&plain[..2], 0, "cut within the file header, at byte 2");
    check_end(&plain[..23], 0, "cut within the file header, at byte 23");
    check_end(&plain[..24], 0, "complete");
    check_end(&plain[..30], 0, "cut in the middle of packet 1 at byte 30");
    check_end(&plain[..size - 1], 1, &format!("cut in the middle of packet 2 at byte {}", size - 1));
    check_end(&ng, 1, "complete");
    check_end(&ng[..3], 0, "cut within the file header, at byte 3");
    check_end(&ng[..10], 0, "cut in the middle of a block after packet 0, at byte 10");
    check_end(&ng[..90], 0, "cut in the middle of packet 1 at byte 90");
    check_end(
        &ng[..ng.len() - 1],
        1,
        &format!("cut in the middle of a block after packet 1, at byte {}", ng.len() - 1),
    );
    check_end(
        &ng[..ng.len() - 8],
        1,
        &format!("cut in the middle of a block after packet 1, at byte {}", ng.len() - 8),
    );
    check_end(&gzip(&plain)[..5], 0, "the gzip stream is cut, before the first packet");
}

#[test]
fn a_corrupt_record_ends_the_input_there() {
    let p = packets(&[T]);
    let zeros = [pcap(Little, 1, &p), vec![0; 4096]].concat();
    check_end(
        &zeros,
        1,
        "corrupt after packet 1, at byte 69: a packet record's header is all zeros, as in a tail that was never written",
    );
    let huge = [pcap(Little, 1, &p), u32s(Little, &[1, 1, 0x7fff_ffff, 60])].concat();
    check_end(
        &huge,
        1,
        "corrupt after packet 1, at byte 69: a packet record declares 2147483647 captured octets, \
         and no packet may have more than 1048576 here",
    );
    let stranger = [section(Big), interface(Big, 1), enhanced(Big, 0, &p[0]), enhanced(Big, 1, &p[0])].concat();
    let at = stranger.len() - enhanced(Big, 1, &p[0]).len();
    check_end(
        &stranger,
        1,
        &format!(
            "corrupt after packet 1, at byte {at}: a packet names interface 1, which the section does not describe"
        ),
    );
}

#[test]
fn a_declared_length_is_not_allocated() {
    let header = [u32s(Little, &[0xa1b2_c3d4]), u16s(Little, &[2, 4]), u32s(Little, &[0, 0, 0, 1])].concat();
    let record = u32s(Little, &[1, 1, 250 << 20, 250 << 20]);
    check_end(&[header, record, vec![0; 100]].concat(), 0, "cut in the middle of packet 1 at byte 140");
}

#[test]
fn what_is_no_capture_is_refused_with_what_it_is() {
    assert_eq!(refusal(b"PK\x03\x04\x14\0"), "begins with 50 4b 03 04, which is a zip archive; unpack it first");
    assert_eq!(
        refusal(&gzip(b"ls -l\n")),
        "the gzip stream in it begins with 6c 73 20 2d, which is text; capture packets with tcpdump -w FILE, \
         not their printout"
    );
    assert!(refusal(&zstd(&gzip(b"ls -l\n"))).ends_with("which is compressed a second time; unpack it first"));
    let old = [u32s(Little, &[0xa1b2_c3d4]), u16s(Little, &[1, 0]), vec![0; 16]].concat();
    assert_eq!(refusal(&old), "the file header names version 1.0, and only version 2 is known");
}

fn write(directory: &Path, name: &str, octets: &[u8]) -> String {
    let path = directory.join(name);
    fs::write(&path, octets).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn several_files_are_one_stream_in_the_order_of_time() {
    let directory = tempfile::tempdir().unwrap();
    let name = |name, octets: &[u8]| write(directory.path(), name, octets);
    let names = [
        name("late.pcap", &pcap(Little, 1, &packets(&[T + 30, T + 40]))),
        name("mixed.pcapng", &build::pcapng_pieces(Big, 276, &packets(&[T + 5, T + 2, T + 10, T + 35])).concat()),
        name("early.pcap.gz", &gzip(&pcap(Big, 1, &packets(&[T, T + 5, T + 40])))),
        name("empty.pcap", b""),
    ];
    let mut source = Source::open(&names).unwrap();
    assert_eq!(source.progress().1, names.iter().map(|name| fs::metadata(name).unwrap().len()).sum::<u64>().into());
    let mut seen = Vec::new();
    while let Some(frame) = source.next() {
        assert!(frame.focused);
        seen.push((frame.frame.input(), frame.frame.number(), frame.at.as_nanos() - T));
    }
    assert_eq!(
        seen,
        [(2, 1, 0), (1, 1, 5), (1, 2, 5), (2, 2, 5), (1, 3, 10), (0, 1, 30), (1, 4, 35), (0, 2, 40), (2, 3, 40)]
    );
    let inputs = source.inputs();
    assert_eq!(inputs.iter().map(|input| &input.name).collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    assert_eq!(inputs.iter().map(|input| input.packets).collect::<Vec<_>>(), [2, 4, 3, 0]);
    assert_eq!(inputs.iter().filter(|input| input.ended == "complete").count(), 3);
    assert!(!source.complete());
    let (read, all) = source.progress();
    assert_eq!(Some(read), all);
}

#[test]
fn a_rotated_set_needs_one_open_file_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    for index in 0..2000_i64 {
        write(directory.path(), &format!("ring.{index:04}"), &pcap(Little, 1, &packets(&[T + index, T + index])));
    }
    let mut source = Source::open(&[directory.path().join("ring.*").to_string_lossy().into_owned()]).unwrap();
    let mut frames = 0;
    while let Some(frame) = source.next() {
        assert_eq!(frame.at.as_nanos(), T + frames / 2);
        frames += 1;
    }
    assert_eq!((frames, source.complete()), (4000, true));
    assert!(source.inputs().iter().all(|input| input.clock.is_none()), "one host has one clock");
}

/// Packets so large that a file of them is mapped once it has begun.
fn huge_packets() -> Vec<build::Packet> {
    (0..2000_usize).map(|number| (T + number as i64, (0..9000).map(|at| (at ^ number) as u8 | 1).collect())).collect()
}

#[test]
fn a_file_of_large_packets_is_read_as_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let packets = huge_packets();
    for file in [pcap(Little, 1, &packets), build::pcapng_pieces(Little, 1, &packets).concat()] {
        for length in [file.len(), file.len() - 4000] {
            let name = write(directory.path(), "huge", &file[..length]);
            let mut source = Source::open(&[name]).unwrap();
            let mut number = 0;
            while let Some(frame) = source.next() {
                let (at, octets) = &packets[number];
                assert!(frame.at.as_nanos() == *at && frame.octets == octets);
                number += 1;
            }
            assert_eq!((number, source.complete()), if length == file.len() { (2000, true) } else { (1999, false) });
            assert_eq!(source.progress(), (length as u64, Some(length as u64)));
        }
    }
}

#[test]
fn a_file_that_is_cut_short_while_it_is_read_ends_there() {
    let directory = tempfile::tempdir().unwrap();
    let name = write(directory.path(), "huge", &pcap(Little, 1, &huge_packets()));
    let mut source = Source::open(std::slice::from_ref(&name)).unwrap();
    for _ in 0..400 {
        assert!(source.next().is_some());
    }
    let left = 5_000_000;
    fs::OpenOptions::new().write(true).open(name).unwrap().set_len(left).unwrap();
    let mut packets = 400;
    while source.next().is_some() {
        packets += 1;
    }
    let ended = &source.inputs()[0].ended;
    assert!(ended.starts_with("octets of it were gone when they were looked at"), "{ended}");
    // The packet in which it was cut is given: its header was there.
    assert!((left / 9016..=left / 9016 + 1).contains(&packets), "{packets}: {ended}");
}

#[test]
fn drops_of_all_inputs_are_summed() {
    let directory = tempfile::tempdir().unwrap();
    let statistics =
        [u32s(Little, &[0, 0, 0]), u16s(Little, &[7, 8]), vec![5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]].concat();
    let file = [section(Little), interface(Little, 1), block(Little, 5, &statistics)].concat();
    let names = [write(directory.path(), "a", &file), write(directory.path(), "b", &file)];
    for (names, expected) in [(&names[..1], 5), (&names[..], 10)] {
        let mut source = Source::open(names).unwrap();
        assert!(source.next().is_none());
        assert_eq!((source.kernel_drops(), source.complete()), (expected, true));
    }
}

#[test]
fn a_file_that_vanishes_before_its_turn_is_named_and_the_others_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let names = [
        write(directory.path(), "a", &pcap(Little, 1, &packets(&[T]))),
        write(directory.path(), "b", &pcap(Little, 1, &packets(&[T + 1]))),
    ];
    let mut source = Source::open(&names).unwrap();
    fs::remove_file(&names[1]).unwrap();
    assert!(source.next().is_some());
    assert!(source.next().is_none());
    let inputs = source.inputs();
    assert_eq!((inputs[0].ended.as_str(), inputs[1].packets, source.complete()), ("complete", 0, false));
    assert!(inputs[1].ended.starts_with("could not be opened a second time, before the first packet: "));
}

#[test]
fn errors_are_sentences_for_the_operator() {
    let directory = tempfile::tempdir().unwrap();
    let zip = write(directory.path(), "incident.pcap", b"PK\x03\x04\x14\0");
    let folder = directory.path().to_string_lossy().into_owned();
    let check = |name: &str, expected: String| {
        assert_eq!(Source::open(&[name.to_owned()]).map(|_| ()).unwrap_err().to_string(), expected);
    };
    check(&zip, format!("{zip}: not a capture file: begins with 50 4b 03 04, which is a zip archive; unpack it first"));
    check(&folder, format!("{folder}: is a directory; name the capture files in it, for example '{folder}/*.pcap'"));
    check(&format!("{folder}/none"), format!("{folder}/none: no such file"));
    check(&format!("{folder}/*.gz"), format!("{folder}/*.gz: no file matches this pattern"));
    assert_eq!(
        Source::open(&[]).map(|_| ()).unwrap_err().to_string(),
        "no input: name one or more capture files, or - for standard input"
    );
}
