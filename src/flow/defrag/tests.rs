use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::wire::packet::Passage;

fn carrier(v6: bool) -> Packet<'static> {
    let address = if v6 { "2001:db8::1".parse().unwrap() } else { IpAddr::V4(Ipv4Addr::LOCALHOST) };
    Packet {
        source: address,
        destination: address,
        ttl: 9,
        identification: 0,
        passage: Passage::Unknown,
        interface: None,
        content: Content::Other(0),
    }
}

fn fragment(octets: &[u8], start: usize, end: usize) -> Fragment<'_> {
    Fragment {
        identification: 5,
        protocol: 17,
        offset: start as u32,
        more: end < octets.len(),
        octets: &octets[start..end],
        cut: false,
    }
}

/// A UDP datagram of `length` octets.
fn datagram(length: usize) -> Vec<u8> {
    let header = [0, 53, 0, 54, (length >> 8) as u8, length as u8, 0, 0];
    header.into_iter().chain((8..length).map(|at| (at % 251) as u8)).collect()
}

#[track_caller]
fn check(whole: &Reassembled, expected: &[u8]) {
    let packet = whole.packet().unwrap();
    let Content::Udp(datagram) = packet.content else { panic!("{packet:?}") };
    assert_eq!(datagram.payload, &expected[8..]);
    assert_eq!((packet.ttl, datagram.source_port), (9, 53));
}

fn defragmenter() -> Defragmenter {
    Defragmenter::new(&Limits::default())
}

const NOW: Timestamp = Timestamp::from_nanos(1_000_000_000);

#[test]
fn where_fragments_overlap_the_first_counts_in_ipv4() {
    let (octets, other) = (datagram(48), vec![0xff; 48]);
    let mut defragmenter = defragmenter();
    assert!(defragmenter.push(NOW, &carrier(false), &fragment(&octets, 8, 24)).is_none());
    assert!(defragmenter.push(NOW, &carrier(false), &fragment(&octets, 32, 48)).is_none());
    assert!(defragmenter.push(NOW, &carrier(false), &fragment(&octets, 0, 8)).is_none());
    let whole = defragmenter.push(NOW, &carrier(false), &fragment(&other, 16, 40)).unwrap();
    let expected: Vec<u8> = octets[..24].iter().chain(&other[24..32]).chain(&octets[32..]).copied().collect();
    check(&whole, &expected);
}

#[test]
fn where_fragments_overlap_an_ipv6_datagram_is_dropped() {
    let octets = datagram(48);
    let mut defragmenter = defragmenter();
    for (start, end) in [(0, 16), (8, 32), (0, 32), (32, 48)] {
        assert!(defragmenter.push(NOW, &carrier(true), &fragment(&octets, start, end)).is_none());
    }
    assert_eq!(defragmenter.abandoned(), 1);
}

#[test]
fn a_copy_of_an_ipv6_fragment_is_no_overlap() {
    let octets = datagram(48);
    let mut defragmenter = defragmenter();
    for _ in 0..2 {
        assert!(defragmenter.push(NOW, &carrier(true), &fragment(&octets, 0, 32)).is_none());
    }
    check(&defragmenter.push(NOW, &carrier(true), &fragment(&octets, 32, 48)).unwrap(), &octets);
}

#[test]
fn a_cut_or_contradictory_fragment_gives_its_datagram_up() {
    let octets = datagram(48);
    let whole = fragment(&octets, 0, 16);
    for bad in [
        Fragment { cut: true, ..whole },
        Fragment { octets: &octets[..15], ..whole },
        Fragment { octets: &[], ..whole },
        Fragment { offset: 65_528, ..whole },
        Fragment { offset: 48, ..whole },
        Fragment { offset: 8, more: false, ..whole },
    ] {
        let mut defragmenter = defragmenter();
        assert!(defragmenter.push(NOW, &carrier(false), &fragment(&octets, 32, 48)).is_none());
        assert!(defragmenter.push(NOW, &carrier(false), &bad).is_none());
        assert!(defragmenter.push(NOW, &carrier(false), &fragment(&octets, 0, 32)).is_none());
        assert_eq!(defragmenter.abandoned(), 1, "{bad:?}");
    }
}

#[test]
fn a_datagram_that_stays_incomplete_expires_by_capture_time() {
    let octets = datagram(48);
    let mut defragmenter = defragmenter();
    assert!(defragmenter.push(NOW, &carrier(false), &fragment(&octets, 0, 32)).is_none());
    let late = NOW + Duration::from_secs(61);
    assert!(defragmenter.push(late, &carrier(false), &fragment(&octets, 32, 48)).is_none());
    assert_eq!((defragmenter.abandoned(), defragmenter.partial.len()), (1, 1));
}

#[test]
fn the_oldest_datagram_gives_way() {
    let octets = datagram(48);
    let mut defragmenter = defragmenter();
    for identification in 0..1000 {
        let first = Fragment { identification, ..fragment(&octets, 0, 32) };
        assert!(defragmenter.push(NOW, &carrier(false), &first).is_none());
    }
    assert_eq!((defragmenter.abandoned(), defragmenter.partial.len()), (1000 - 256, 256));
    let last = Fragment { identification: 999, ..fragment(&octets, 32, 48) };
    check(&defragmenter.push(NOW, &carrier(false), &last).unwrap(), &octets);
}

proptest! {
    #[test]
    fn any_order_of_fragments_restores_the_datagram(
        length in 16_usize..3000,
        cuts in prop::collection::btree_set(1_usize..375, 0..12),
        order in any::<u64>(),
        v6 in any::<bool>(),
    ) {
        let octets = datagram(length);
        let inner = cuts.into_iter().map(|cut| cut * 8).filter(|cut| *cut < length);
        let bounds: Vec<usize> = [0].into_iter().chain(inner).chain([length]).collect();
        let mut pieces: Vec<(usize, usize)> = bounds.windows(2).map(|pair| (pair[0], pair[1])).collect();
        pieces.sort_by_key(|(start, _)| (*start as u64 + 1).wrapping_mul(order | 1).rotate_left(17));
        let mut defragmenter = defragmenter();
        let (last, others) = pieces.split_last().unwrap();
        for (start, end) in others {
            prop_assert!(defragmenter.push(NOW, &carrier(v6), &fragment(&octets, *start, *end)).is_none());
        }
        check(&defragmenter.push(NOW, &carrier(v6), &fragment(&octets, last.0, last.1)).unwrap(), &octets);
        prop_assert!(defragmenter.partial.is_empty());
    }

    #[test]
    fn arbitrary_fragments_never_panic(
        fragments in prop::collection::vec((0_u32..9000, 0_usize..200, any::<(bool, bool)>(), 0_u32..3), 0..200),
    ) {
        let octets = datagram(200);
        let mut defragmenter = defragmenter();
        for (offset, length, (more, v6), identification) in fragments {
            let octets = &octets[..length];
            let fragment = Fragment { identification, protocol: 6, offset: offset * 8, more, octets, cut: false };
            if let Some(whole) = defragmenter.push(NOW, &carrier(v6), &fragment) {
                let _ = whole.packet();
            }
        }
    }
}
