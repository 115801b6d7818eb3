//! What etherparse can build is read as etherparse reads it; nothing panics, and nothing is made up.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::*;

/// The captured payload of a packet, and its length on the wire.
fn payload<'a>(packet: &Packet<'a>) -> (&'a [u8], u32) {
    match packet.content {
        Content::Tcp(segment) => (segment.payload, segment.length),
        Content::Udp(datagram) => (datagram.payload, datagram.length),
        Content::Fragment(fragment) => (fragment.octets, u32::MAX),
        Content::IcmpError(_) | Content::Neighbour(_) | Content::Other(_) => (&[], 0),
    }
}

fn any_packet() -> impl Strategy<Value = Vec<u8>> {
    let ports = any::<(u16, u16)>().prop_filter("no tunnel", |(_, port)| ![4789, 8472, 6081].contains(port));
    let options = prop::collection::vec(1_u8..2, 0..40);
    let body = prop::collection::vec(any::<u8>(), 0..100);
    (any::<([u8; 16], [u8; 16], u8, u32, u16)>(), ports, options, body, any::<(bool, bool)>(), 0_u8..3).prop_map(
        |((source, destination, ttl, sequence, window), ports, options, body, (is_v6, is_tcp), tags)| {
            let link = PacketBuilder::ethernet2([2; 6], [4; 6]);
            let [s, d] = [source, destination].map(|address| *address.first_chunk::<4>().unwrap());
            let network = match (tags, is_v6) {
                (0, false) => link.ipv4(s, d, ttl),
                (0, true) => link.ipv6(source, destination, ttl),
                (1, false) => link.single_vlan(5.try_into().unwrap()).ipv4(s, d, ttl),
                (1, true) => link.single_vlan(5.try_into().unwrap()).ipv6(source, destination, ttl),
                (_, false) => link.double_vlan(5.try_into().unwrap(), 6.try_into().unwrap()).ipv4(s, d, ttl),
                (_, true) => {
                    link.double_vlan(5.try_into().unwrap(), 6.try_into().unwrap()).ipv6(source, destination, ttl)
                }
            };
            let mut octets = Vec::new();
            if is_tcp {
                let transport = network.tcp(ports.0, ports.1, sequence, window).options_raw(&options).unwrap();
                transport.write(&mut octets, &body).unwrap();
            } else {
                network.udp(ports.0, ports.1).write(&mut octets, &body).unwrap();
            }
            octets
        },
    )
}

proptest! {
    #[test]
    fn what_etherparse_reads_is_read_the_same(octets in any_packet()) {
        let packet = whole(ETHERNET, &octets).unwrap();
        let expected = SlicedPacket::from_ethernet(&octets).unwrap();
        match expected.net.unwrap() {
            NetSlice::Ipv4(ip) => {
                prop_assert_eq!(packet.source, IpAddr::V4(ip.header().source_addr()));
                prop_assert_eq!(packet.destination, IpAddr::V4(ip.header().destination_addr()));
                prop_assert_eq!(packet.ttl, ip.header().ttl());
                prop_assert_eq!(packet.identification, ip.header().identification());
            }
            NetSlice::Ipv6(ip) => {
                prop_assert_eq!(packet.source, IpAddr::V6(ip.header().source_addr()));
                prop_assert_eq!(packet.destination, IpAddr::V6(ip.header().destination_addr()));
                prop_assert_eq!(packet.ttl, ip.header().hop_limit());
            }
            NetSlice::Arp(_) => unreachable!(),
        }
        match (packet.content, expected.transport.unwrap()) {
            (Content::Tcp(segment), TransportSlice::Tcp(tcp)) => {
                prop_assert_eq!(segment.source_port, tcp.source_port());
                prop_assert_eq!(segment.destination_port, tcp.destination_port());
                prop_assert_eq!(segment.sequence, tcp.sequence_number());
                prop_assert_eq!(segment.acknowledgement, tcp.acknowledgment_number());
                prop_assert_eq!(segment.window, tcp.window_size());
                prop_assert_eq!(segment.options, tcp.options());
                prop_assert_eq!(segment.payload, tcp.payload());
                prop_assert_eq!(segment.length as usize, tcp.payload().len());
            }
            (Content::Udp(datagram), TransportSlice::Udp(udp)) => {
                prop_assert_eq!(datagram.source_port, udp.source_port());
                prop_assert_eq!(datagram.destination_port, udp.destination_port());
                prop_assert_eq!(datagram.payload, udp.payload());
            }
            (ours, theirs) => panic!("{ours:?} {theirs:?}"),
        }
    }

    #[test]
    fn the_fast_path_agrees_with_the_general_one(octets in any_packet(), cut in 0_usize..200, flip in any::<(usize, u8)>()) {
        let mut octets = octets;
        let length = octets.len();
        octets[flip.0 % length] ^= flip.1;
        let octets = &octets[..cut.min(length)];
        let fast = decode(ETHERNET, octets, length as u32);
        let general = general(ETHERNET, Octets::new(octets, length));
        prop_assert_eq!(format!("{fast:?}"), format!("{general:?}"));
    }

    #[test]
    fn no_cut_yields_more_payload_than_was_captured(octets in any_packet(), cut in 0_usize..200) {
        let captured = &octets[..cut.min(octets.len())];
        let all = whole(ETHERNET, &octets).unwrap();
        if let Ok(packet) = decode(ETHERNET, captured, octets.len() as u32) {
            prop_assert!(payload(&packet).0.len() <= captured.len());
            prop_assert!(payload(&all).0.starts_with(payload(&packet).0));
            prop_assert_eq!(payload(&packet).1, payload(&all).1);
        }
    }

    #[test]
    fn arbitrary_octets_on_any_link_never_panic(
        octets in prop::collection::vec(any::<u8>(), 0..200),
        ip in prop::collection::vec(any::<u8>(), 0..200),
        length in any::<u32>(),
        protocol in any::<u8>(),
    ) {
        for link in [0, 1, 9, 12, 14, 50, 51, 101, 104, 105, 108, 113, 127, 228, 229, 276] {
            if let Ok(packet) = decode(LinkType(link), &octets, length) {
                prop_assert!(payload(&packet).0.len() <= octets.len());
            }
        }
        for protocol in [protocol, 0, 1, 4, 6, 17, 41, 43, 44, 47, 51, 58, 60, 137] {
            let octets = carrier(protocol, &ip);
            let _ = whole(LinkType::RAW, &octets);
            let mut octets = v6();
            octets[6] = protocol;
            octets.splice(40.., ip.iter().copied());
            let _ = decode(LinkType::RAW, &octets, length);
        }
        for port in [4789, 6081] {
            let octets = udp(port, &ip);
            let _ = whole(LinkType::RAW, &octets);
        }
    }
}
