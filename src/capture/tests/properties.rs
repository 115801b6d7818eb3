use std::collections::BTreeMap;
use std::io::Cursor;

use pcap_parser::{Block, PcapBlockOwned, PcapError};
use proptest::prelude::*;

use super::build::{Packet, Pieces, gzip, pcap_pieces, pcapng_pieces, zstd, zstd_skippable};
use super::{Seen, read, walk, write};
use crate::capture::Source;
use crate::capture::ahead::Readers;
use crate::capture::input::Input;
use crate::wire::pcap::Order;

/// A valid file, in the pieces between which it may be cut unseen. The first ones are no packets.
#[derive(Clone, Debug)]
struct File {
    pieces: Vec<Vec<u8>>,
    pcapng: bool,
}

impl File {
    fn octets(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

fn packet() -> impl Strategy<Value = Packet> {
    (1..4_000_000_000_000_000_000_i64, prop::collection::vec(any::<u8>(), 0..200))
}

fn file() -> impl Strategy<Value = File> {
    let order = prop_oneof![Just(Order::Little), Just(Order::Big)];
    let link = prop::sample::select(vec![0_u16, 1, 101, 113, 276]);
    (order, link, prop::collection::vec(packet(), 0..20), any::<bool>()).prop_map(|(order, link, packets, pcapng)| {
        File {
            pieces: if pcapng { pcapng_pieces(order, link, &packets) } else { pcap_pieces(order, link, &packets) },
            pcapng,
        }
    })
}

/// What pcap-parser makes of a file.
fn oracle(octets: &[u8], pcapng: bool) -> Vec<Seen> {
    let mut reader = pcap_parser::create_reader(1 << 20, Cursor::new(octets)).unwrap();
    let mut seen = Vec::new();
    let mut link = 0;
    loop {
        match reader.next() {
            Ok((used, block)) => {
                match block {
                    PcapBlockOwned::LegacyHeader(header) => link = header.network.0 as u16,
                    PcapBlockOwned::Legacy(record) => seen.push((
                        seen.len() as u64 + 1,
                        i64::from(record.ts_sec) * 1_000_000_000 + i64::from(record.ts_usec),
                        link,
                        0,
                        record.data.to_vec(),
                    )),
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        assert_eq!(interface.if_tsresol, 9);
                        link = interface.linktype.0 as u16;
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => seen.push((
                        seen.len() as u64 + 1,
                        i64::from(packet.ts_high) << 32 | i64::from(packet.ts_low),
                        link,
                        packet.if_id,
                        packet.data[..packet.caplen as usize].to_vec(),
                    )),
                    PcapBlockOwned::NG(_) => {}
                }
                reader.consume(used);
            }
            Err(PcapError::Eof) => return seen,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("pcapng {pcapng}: {error:?}"),
        }
    }
}

proptest! {
    #[test]
    fn files_are_read_as_pcap_parser_reads_them(file in file()) {
        let (seen, input, complete) = read(&file.octets());
        prop_assert!(complete, "{}", input.ended);
        prop_assert_eq!(seen, oracle(&file.octets(), file.pcapng));
    }

    #[test]
    fn a_cut_file_yields_a_prefix_and_is_complete_only_between_records(file in file(), cut in any::<prop::sample::Index>()) {
        let octets = file.octets();
        let whole = read(&octets).0;
        let cut = cut.index(octets.len() + 1);
        let (seen, _, complete) = read(&octets[..cut]);
        prop_assert_eq!(&seen[..], &whole[..seen.len()]);
        let mut end = 0;
        let ends: Vec<usize> = file.pieces.iter().map(|piece| { end += piece.len(); end }).collect();
        prop_assert_eq!(complete, ends.contains(&cut));
        let before = ends.iter().filter(|&&end| end <= cut).count().saturating_sub(if file.pcapng { 2 } else { 1 });
        prop_assert_eq!(seen.len(), before);
    }

    #[test]
    fn the_pieces_in_which_octets_arrive_do_not_matter(
        file in file(),
        sizes in prop::collection::vec(1_usize..300, 1..10),
        packing in 0..3,
        cut in 0_usize..30,
    ) {
        let mut octets = file.octets();
        octets.truncate(octets.len().saturating_sub(cut));
        let octets = match packing {
            0 => octets,
            1 => octets.chunks(500).flat_map(gzip).collect(),
            _ => octets.chunks(500).flat_map(|chunk| [zstd_skippable(b"x"), zstd(chunk)].concat()).collect(),
        };
        let pieces = Pieces { octets: Cursor::new(octets.clone()), sizes, turn: 0 };
        let Ok(input) = Input::open(Box::new(pieces), None, &Readers::default()) else { panic!("refused") };
        let ((seen, input, complete), expected) = (walk(input), read(&octets));
        prop_assert_eq!((seen, input.ended, complete), (expected.0, expected.1.ended, expected.2));
    }

    #[test]
    fn octets_of_any_kind_are_read_to_an_end(
        begin in prop::sample::select(vec![
            &b""[..],
            b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0",
            b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0",
            b"\x1f\x8b\x08\0\0\0\0\0\0\0",
            b"\x28\xb5\x2f\xfd",
        ]),
        octets in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        if let Ok(input) = Input::open(Box::new(Cursor::new([begin, &octets].concat())), None, &Readers::default()) {
            walk(input);
        }
    }

    #[test]
    fn changed_octets_are_read_to_an_end(
        file in file(),
        packing in 0..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let mut octets = match packing {
            0 => file.octets(),
            1 => gzip(&file.octets()),
            _ => zstd(&file.octets()),
        };
        for (at, value) in changes {
            let at = at.index(octets.len());
            octets[at] = value;
        }
        if let Ok(input) = Input::open(Box::new(Cursor::new(octets)), None, &Readers::default()) {
            walk(input);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_merge_is_ordered_by_the_latest_stamp_and_keeps_each_inputs_order(
        inputs in prop::collection::vec(prop::collection::vec(1_i64..50, 0..30), 1..6),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let names: Vec<String> = inputs
            .iter()
            .enumerate()
            .map(|(index, stamps)| {
                let packets: Vec<Packet> = stamps.iter().map(|&at| (at, at.to_le_bytes().to_vec())).collect();
                write(directory.path(), &index.to_string(), &pcap_pieces(Order::Little, 1, &packets).concat())
            })
            .collect();
        let mut source = Source::open(&names).unwrap();
        let mut merged: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        let (mut turns, mut moments) = (Vec::new(), Vec::new());
        while let Some(frame) = source.next() {
            let index = usize::from(frame.frame.input());
            let stamps = merged.entry(index).or_default();
            stamps.push(i64::from_le_bytes(frame.octets.try_into().unwrap()));
            prop_assert_eq!(frame.frame.number(), stamps.len() as u64);
            let latest = stamps.iter().copied().max();
            prop_assert_eq!(Some(frame.at.as_nanos()), if inputs.len() > 1 { latest } else { stamps.last().copied() });
            turns.push((latest, index));
            moments.push(frame.moment());
        }
        prop_assert!(turns.is_sorted() && moments.is_sorted());
        for (index, stamps) in inputs.iter().enumerate() {
            prop_assert_eq!(merged.get(&index).map_or(&[][..], Vec::as_slice), &stamps[..]);
        }
        prop_assert!(source.complete());
    }
}
