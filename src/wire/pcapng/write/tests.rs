use pcap_parser::traits::PcapNGPacketBlock;
use pcap_parser::{Block as Parsed, OptionCode, PcapError, PcapNGReader, traits::PcapReaderIterator};
use proptest::prelude::*;

use super::*;
use crate::wire::pcapng::{Block, Blocks};

const ETHERNET: Interface = interface_of(String::new(), LinkType::ETHERNET, 0);

const fn interface_of(name: String, link: LinkType, snaplen: u32) -> Interface {
    Interface { name, link, snaplen }
}

/// What a packet is in these tests: interface, nanoseconds, octets on the wire, octets, comment.
type Seen = (u32, i64, u32, Vec<u8>, Option<String>);

/// A file with two interfaces, the packets, and what the interfaces counted.
fn file(packets: &[Seen], counted: [Counted; 2]) -> Vec<u8> {
    let mut out = Vec::new();
    section("netwatch502", &mut out);
    interface(&ETHERNET, &mut out);
    interface(&interface_of("lo".into(), LinkType::RAW, 2048), &mut out);
    for (interface, at, length, octets, comment) in packets {
        let (at, comment) = (Timestamp::from_nanos(*at), comment.as_deref());
        packet(&Packet { interface: *interface, at, length: *length, octets, comment }, &mut out);
    }
    for (number, counted) in (0..).zip(counted) {
        statistics(number, Timestamp::from_nanos(9), counted, &mut out);
    }
    out
}

/// Our own reader gives back what was written.
fn check(packets: &[Seen], counted: [Counted; 2]) {
    let octets = file(packets, counted);
    let (mut blocks, mut window, mut seen) = (Blocks::default(), &octets[..], Vec::new());
    while !window.is_empty() {
        let (block, step) = blocks.next(window).unwrap();
        if let Block::Packet(packet) = block {
            let link = if packet.interface == 0 { LinkType::ETHERNET } else { LinkType::RAW };
            assert_eq!(packet.link, link);
            let octets = window[packet.octets].to_vec();
            seen.push((packet.interface, packet.at.unwrap().as_nanos(), packet.length, octets));
        }
        window = &window[step..];
    }
    let expected = packets.iter().cloned().map(|(number, at, length, octets, _)| (number, at, length, octets));
    assert_eq!(seen, expected.collect::<Vec<_>>());
    let drops: u64 = counted.iter().map(|counted| counted.dropped_by_kernel + counted.dropped_by_interface).sum();
    assert_eq!(blocks.drops(), drops);
    assert_eq!(comments(&octets), packets.iter().map(|(.., comment)| comment.clone()).collect::<Vec<_>>());
}

/// The packets' comments, as another reader finds them; it checks paddings and both lengths of every block too.
fn comments(octets: &[u8]) -> Vec<Option<String>> {
    let mut reader = PcapNGReader::new(1 << 20, octets).unwrap();
    let mut comments = Vec::new();
    loop {
        match reader.next() {
            Ok((step, block)) => {
                if let pcap_parser::PcapBlockOwned::NG(Parsed::EnhancedPacket(packet)) = block {
                    assert!(packet.orig_len() as usize >= packet.packet_data().len());
                    let comment = packet.options.iter().find(|option| option.code == OptionCode::Comment);
                    comments.push(comment.map(|comment| comment.as_str().unwrap().to_owned()));
                }
                reader.consume(step);
            }
            Err(PcapError::Eof) => return comments,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back_the_same(
        packets in prop::collection::vec(
            (
                0..2_u32,
                0..i64::MAX,
                0..2000_u32,
                prop::collection::vec(any::<u8>(), 0..70),
                prop::option::of("[ -~é]{1,9}"),
            ),
            0..20,
        ),
        drops in any::<[u32; 4]>(),
    ) {
        let packets: Vec<Seen> = packets
            .into_iter()
            .map(|(number, at, more, octets, comment)| (number, at, octets.len() as u32 + more, octets, comment))
            .collect();
        let [a, b, c, d] = drops.map(u64::from);
        let counted = |kernel, interface| Counted { received: 7, dropped_by_kernel: kernel, dropped_by_interface: interface };
        check(&packets, [counted(a, b), counted(c, d)]);
    }
}

#[test]
fn a_time_before_1970_is_written_as_of_then() {
    let octets = file(&[(0, -5, 1, vec![1], None)], [Counted::default(); 2]);
    let mut blocks = Blocks::default();
    let mut window = &octets[..];
    loop {
        let (block, step) = blocks.next(window).unwrap();
        if let Block::Packet(packet) = block {
            assert_eq!(packet.at, Some(Timestamp::from_nanos(0)));
            return;
        }
        window = &window[step..];
    }
}

#[test]
fn a_long_comment_is_cut_between_characters() {
    for lead in ["", "a"] {
        let long = format!("{lead}{}", "é".repeat(40_000));
        let octets = file(&[(0, 0, 1, vec![1], Some(long.clone()))], [Counted::default(); 2]);
        let [Some(comment)] = &comments(&octets)[..] else { panic!("no comment") };
        assert!(long.starts_with(comment.as_str()));
        assert!((65_530..=65_532).contains(&comment.len()), "{}", comment.len());
    }
}

#[test]
fn a_packet_takes_the_octets_that_are_announced() {
    for captured in 0..9 {
        let mut out = Vec::new();
        let octets = vec![0; captured];
        packet(&Packet { interface: 0, at: Timestamp::default(), length: 9, octets: &octets, comment: None }, &mut out);
        assert_eq!(out.len(), packet_octets(captured));
    }
}
