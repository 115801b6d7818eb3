use super::*;

/// Writes blocks in one octet order.
#[derive(Clone, Copy)]
struct Writer(Order);

impl Writer {
    fn u16(self, number: u16) -> Vec<u8> {
        match self.0 {
            Order::Little => number.to_le_bytes().to_vec(),
            Order::Big => number.to_be_bytes().to_vec(),
        }
    }

    fn u32(self, number: u32) -> Vec<u8> {
        match self.0 {
            Order::Little => number.to_le_bytes().to_vec(),
            Order::Big => number.to_be_bytes().to_vec(),
        }
    }

    fn u64(self, number: u64) -> Vec<u8> {
        match self.0 {
            Order::Little => number.to_le_bytes().to_vec(),
            Order::Big => number.to_be_bytes().to_vec(),
        }
    }

    fn block(self, block: u32, body: &[&[u8]]) -> Vec<u8> {
        let mut body = body.concat();
        body.resize(body.len().next_multiple_of(4), 0);
        let length = self.u32(body.len() as u32 + 12);
        [self.u32(block), length.clone(), body, length].concat()
    }

    fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [self.u16(code), self.u16(value.len() as u16), value.to_vec()].concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    fn section(self) -> Vec<u8> {
        self.block(SECTION_HEADER, &[&self.u32(0x1a2b_3c4d), &self.u16(1), &self.u16(0), &[0xff; 8]])
    }

    fn interface(self, link: u16, snaplen: u32, options: &[&[u8]]) -> Vec<u8> {
        let options = if options.is_empty() { Vec::new() } else { [&options.concat()[..], &[0; 4]].concat() };
        self.block(INTERFACE_DESCRIPTION, &[&self.u16(link), &[0; 2], &self.u32(snaplen), &options])
    }

    fn enhanced(self, interface: u32, stamp: u64, original: u32, octets: &[u8]) -> Vec<u8> {
        let head = [interface, (stamp >> 32) as u32, stamp as u32, octets.len() as u32, original];
        let head: Vec<u8> = head.iter().flat_map(|&number| self.u32(number)).collect();
        self.block(ENHANCED_PACKET, &[&head, octets])
    }

    fn statistics(self, interface: u32, options: &[Vec<u8>]) -> Vec<u8> {
        self.block(INTERFACE_STATISTICS, &[&self.u32(interface), &[0; 8], &options.concat(), &[0; 4]])
    }
}

const LITTLE: Writer = Writer(Order::Little);
const BIG: Writer = Writer(Order::Big);

/// A packet as a test names it: nanoseconds, link, interface, length on the wire, octets.
type Seen = (Option<i64>, u16, u32, u32, Vec<u8>);

/// All packets, and how it ended: `None` at the end of the octets.
fn walk(blocks: &mut Blocks, mut window: &[u8]) -> (Vec<Seen>, Option<Unreadable>) {
    let mut packets = Vec::new();
    while !window.is_empty() {
        match blocks.next(window) {
            Ok((block, octets)) => {
                if let Block::Packet(packet) = block {
                    packets.push((
                        packet.at.map(Timestamp::as_nanos),
                        packet.link.0,
                        packet.interface,
                        packet.length,
                        window[packet.octets].to_vec(),
                    ));
                }
                window = &window[octets..];
            }
            Err(unreadable) => return (packets, Some(unreadable)),
        }
    }
    (packets, None)
}

fn check(file: &[Vec<u8>], expected: &[Seen]) {
    assert_eq!(walk(&mut Blocks::default(), &file.concat()), (expected.to_vec(), None));
}

fn check_malformed(file: &[Vec<u8>], packets: usize, expected: Malformed) {
    let (seen, end) = walk(&mut Blocks::default(), &file.concat());
    assert_eq!((seen.len(), end), (packets, Some(expected.into())));
}

#[test]
fn the_three_kinds_of_packet_blocks_are_read_in_both_octet_orders() {
    for writer in [LITTLE, BIG] {
        let obsolete: Vec<u8> =
            [writer.u16(0), writer.u16(9), writer.u32(0), writer.u32(8), writer.u32(2), writer.u32(60), b"op".to_vec()]
                .concat();
        check(
            &[
                writer.section(),
                writer.interface(1, 4, &[]),
                writer.enhanced(0, 7, 60, b"abcde"),
                writer.block(SIMPLE_PACKET, &[&writer.u32(60), b"simp"]),
                writer.block(SIMPLE_PACKET, &[&writer.u32(3), b"abc"]),
                writer.block(OBSOLETE_PACKET, &[&obsolete]),
            ],
            &[
                (Some(7000), 1, 0, 60, b"abcde".to_vec()),
                (None, 1, 0, 60, b"simp".to_vec()),
                (None, 1, 0, 3, b"abc".to_vec()),
                (Some(8000), 1, 0, 60, b"op".to_vec()),
            ],
        );
    }
}

#[test]
fn a_simple_packet_is_as_long_as_its_block_where_the_snaplen_is_unlimited() {
    check(
        &[LITTLE.section(), LITTLE.interface(1, 0, &[]), LITTLE.block(SIMPLE_PACKET, &[&LITTLE.u32(600), b"abcdefgh"])],
        &[(None, 1, 0, 600, b"abcdefgh".to_vec())],
    );
}

#[test]
fn a_packet_may_have_options_and_padding_behind_it() {
    let head: Vec<u8> = [0, 0, 1, 3, 3].iter().flat_map(|&number| BIG.u32(number)).collect();
    let packet = BIG.block(ENHANCED_PACKET, &[&head, b"abc\0", &BIG.option(1, b"comment"), &[0; 4]]);
    check(&[BIG.section(), BIG.interface(101, 0, &[]), packet], &[(Some(1000), 101, 0, 3, b"abc".to_vec())]);
}

#[test]
fn each_interface_has_its_own_resolution_and_offset() {
    for (writer, options, stamp, expected) in [
        (LITTLE, vec![], 5, 5_000),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[9])], 5, 5),
        (BIG, vec![BIG.option(IF_TSRESOL, &[0])], 5, 5_000_000_000),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[3])], 5, 5_000_000),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[12])], 5_999, 5),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[127])], u64::MAX, 0),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[0x80])], 5, 5_000_000_000),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[0x8a])], 1024 + 512, 1_500_000_000),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[0xff])], u64::MAX, 0),
        (LITTLE, vec![LITTLE.option(IF_TSOFFSET, &LITTLE.u64(100))], 5, 100_000_005_000),
        (BIG, vec![BIG.option(IF_TSOFFSET, &BIG.u64(-100_i64 as u64))], 5, -99_999_995_000),
        (LITTLE, vec![LITTLE.option(2, b"eth0"), LITTLE.option(IF_TSRESOL, &[9])], 5, 5),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[0])], u64::MAX, i64::MAX),
        (LITTLE, vec![LITTLE.option(IF_TSOFFSET, &[0, 0, 0, 0, 0, 0, 0, 0x80])], 0, i64::MIN),
        (LITTLE, vec![LITTLE.option(IF_TSRESOL, &[]), LITTLE.option(IF_TSOFFSET, &[1])], 5, 5_000),
    ] {
        let options: Vec<&[u8]> = options.iter().map(Vec::as_slice).collect();
        check(
            &[writer.section(), writer.interface(1, 0, &options), writer.enhanced(0, stamp, 1, b"a")],
            &[(Some(expected), 1, 0, 1, b"a".to_vec())],
        );
    }
}

#[test]
fn sections_have_their_own_interfaces_and_octet_order() {
    check(
        &[
            LITTLE.section(),
            LITTLE.interface(1, 0, &[]),
            LITTLE.interface(276, 0, &[&LITTLE.option(IF_TSRESOL, &[9])]),
            LITTLE.enhanced(1, 1, 1, b"a"),
            LITTLE.enhanced(0, 2, 1, b"b"),
            BIG.section(),
            BIG.interface(113, 0, &[]),
            BIG.enhanced(0, 3, 1, b"c"),
            LITTLE.section(),
            LITTLE.interface(12, 0, &[]),
            LITTLE.enhanced(0, 4, 1, b"d"),
        ],
        &[
            (Some(1), 276, 1, 1, b"a".to_vec()),
            (Some(2000), 1, 0, 1, b"b".to_vec()),
            (Some(3000), 113, 2, 1, b"c".to_vec()),
            (Some(4000), 101, 3, 1, b"d".to_vec()),
        ],
    );
}

#[test]
fn an_interface_of_an_earlier_section_is_unknown() {
    check_malformed(
        &[LITTLE.section(), LITTLE.interface(1, 0, &[]), LITTLE.section(), LITTLE.enhanced(0, 1, 1, b"a")],
        0,
        Malformed::Interface(0),
    );
    check_malformed(&[LITTLE.section(), LITTLE.block(SIMPLE_PACKET, &[&[0; 4]])], 0, Malformed::Interface(0));
}

#[test]
fn other_blocks_are_stepped_over_and_those_that_wireshark_numbers_are_told() {
    let mut blocks = Blocks::default();
    let section = LITTLE.section();
    assert_eq!(walk(&mut blocks, &section), (vec![], None));
    for (block, expected) in [
        (4, Block::Other),
        (7, Block::Other),
        (0x7777, Block::Other),
        (JOURNAL, Block::Numbered),
        (SYSTEM_CALL, Block::Numbered),
        (CUSTOM, Block::Numbered),
        (CUSTOM_NOT_COPIED, Block::Numbered),
    ] {
        let octets = LITTLE.block(block, &[b"some text"]);
        // The window need not hold it, only its begin and then its end.
        assert_eq!(blocks.next(&octets[..8]), Ok((expected, octets.len() - 4)));
        assert!(!blocks.between_blocks());
        assert_eq!(blocks.next(&octets[octets.len() - 4..]), Ok((Block::Other, 4)));
        assert!(blocks.between_blocks());
    }
}

#[test]
fn the_last_statistics_of_each_interface_count() {
    let drops = |ifdrop: u64, osdrop: u64| {
        [
            LITTLE.option(4, &[9; 8]),
            LITTLE.option(ISB_IFDROP, &LITTLE.u64(ifdrop)),
            LITTLE.option(ISB_OSDROP, &LITTLE.u64(osdrop)),
        ]
    };
    let section = [
        LITTLE.section(),
        LITTLE.interface(1, 0, &[]),
        LITTLE.interface(1, 0, &[]),
        LITTLE.statistics(0, &drops(1, 2)),
        LITTLE.statistics(0, &drops(10, 20)),
        LITTLE.statistics(1, &drops(100, 200)),
        LITTLE.statistics(7, &drops(1000, 2000)),
    ]
    .concat();
    let mut blocks = Blocks::default();
    assert_eq!(walk(&mut blocks, &section).1, None);
    assert_eq!(blocks.drops(), 330);
    assert_eq!(walk(&mut blocks, &section).1, None);
    assert_eq!(blocks.drops(), 660);
}

#[test]
fn lengths_that_cannot_be_are_malformed() {
    let begin = [LITTLE.section(), LITTLE.interface(1, 0, &[])];
    let with = |octets: &[u8]| [begin.concat(), octets.to_vec()];
    let raw = |block: u32, length: u32| [LITTLE.u32(block), LITTLE.u32(length), vec![0; 64]].concat();
    for (block, length) in [
        (0, 0),
        (4, 8),
        (4, 13),
        (ENHANCED_PACKET, 28),
        (ENHANCED_PACKET, 33),
        (ENHANCED_PACKET, 0xffff_fffc),
        (SIMPLE_PACKET, 12),
        (OBSOLETE_PACKET, 28),
        (INTERFACE_DESCRIPTION, 16),
        (INTERFACE_DESCRIPTION, 1 << 30),
        (INTERFACE_STATISTICS, 20),
    ] {
        check_malformed(&with(&raw(block, length)), 0, Malformed::Length { block, length });
    }
    let head: Vec<u8> = [0, 0, 1, 9, 9].iter().flat_map(|&number| LITTLE.u32(number)).collect();
    let packet = LITTLE.block(ENHANCED_PACKET, &[&head, b"abcdefgh"]);
    check_malformed(&with(&packet), 0, Malformed::Captured { captured: 9, room: 8 });
}

#[test]
fn the_length_at_the_end_must_agree() {
    let begin = [LITTLE.section(), LITTLE.interface(1, 0, &[])].concat();
    for mut block in [LITTLE.enhanced(0, 1, 1, b"a"), LITTLE.block(4, &[b"abcd"]), LITTLE.statistics(0, &[])] {
        let front = block.len() as u32;
        let at = block.len() - 4;
        block[at] ^= 0x80;
        check_malformed(&[begin.clone(), block], 0, Malformed::Trailer { front, back: front ^ 0x80 });
    }
}

#[test]
fn a_section_must_name_its_octet_order_and_version_1() {
    let mut section = LITTLE.section();
    section[8] = 0;
    check_malformed(&[section], 0, Malformed::ByteOrder([0, 0x3c, 0x2b, 0x1a]));
    let mut section = BIG.section();
    section[13] = 2;
    check_malformed(&[section], 0, Malformed::Version(2, 0));
}

#[test]
fn more_octets_never_change_what_fewer_said() {
    let file = [
        LITTLE.section(),
        LITTLE.interface(1, 0, &[&LITTLE.option(IF_TSRESOL, &[9])]),
        LITTLE.enhanced(0, 1, 60, b"abc"),
        LITTLE.block(SIMPLE_PACKET, &[&LITTLE.u32(4), b"abcd"]),
        LITTLE.statistics(0, &[]),
    ]
    .concat();
    let mut blocks = Blocks::default();
    let mut at = 0;
    while at < file.len() {
        let (whole, octets) = blocks.clone().next(&file[at..]).unwrap();
        let mut have = 0;
        let step = loop {
            match blocks.next(&file[at..at + have]) {
                Ok(step) => break step,
                Err(Unreadable::Truncated { needed }) => {
                    assert!(needed > have);
                    have = needed;
                }
                Err(malformed) => panic!("{malformed}"),
            }
        };
        assert_eq!(step, (whole, octets));
        at += octets;
    }
}

#[test]
fn key_logs_are_found_in_secrets_blocks_and_other_secrets_are_stepped_over() {
    for writer in [LITTLE, BIG] {
        let secrets = |kind: u32, length: usize, text: &[u8]| {
            writer.block(DECRYPTION_SECRETS, &[&writer.u32(kind), &writer.u32(length as u32), text])
        };
        for (block, expected) in [
            (secrets(TLS_KEY_LOG, 5, b"# log"), Some(b"# log".as_slice())),
            (secrets(TLS_KEY_LOG, 4000, b"# log..."), Some(b"# log...".as_slice())),
            (secrets(TLS_KEY_LOG, 0, b""), Some(b"".as_slice())),
            (secrets(0x5747_4b4c, 5, b"# log"), None),
        ] {
            let file = [writer.section(), block].concat();
            let (mut blocks, mut at, mut found) = (Blocks::default(), 0, None);
            while at < file.len() {
                let (block, octets) = blocks.next(&file[at..]).unwrap();
                if let Block::KeyLog(text) = block {
                    found = Some(&file[at..][text]);
                }
                at += octets;
            }
            assert_eq!(found, expected);
        }
    }
}
