use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::flow::steer::{Keys, ends, is_lesser};
use crate::wire::packet::{Datagram, Flags, IcmpError, Passage, Segment};

const OPTIONS: &[u8] = &[1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 7];

fn segment() -> Segment<'static> {
    Segment {
        source_port: 40_000,
        destination_port: 80,
        sequence: 7,
        acknowledgement: 9,
        flags: Flags(Flags::ACK),
        window: 512,
        options: OPTIONS,
        length: 18,
        payload: b"GET / HTTP/1.1\r\n\r\n",
    }
}

fn packet(content: Content<'_>) -> Packet<'_> {
    Packet {
        source: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        destination: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)),
        ttl: 64,
        identification: 77,
        passage: Passage::Unknown,
        interface: None,
        content,
    }
}

fn tcp() -> Packet<'static> {
    packet(Content::Tcp(segment()))
}

/// Without identification, as in a SYN-ACK or in IPv6.
fn unidentified(content: Content<'_>) -> Packet<'_> {
    Packet { identification: 0, ..packet(content) }
}

fn at(microseconds: i64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + microseconds * 1000)
}

/// Whether each packet is a copy; given are its microsecond and its interface. Every second one is asked of as a plain one, if it
/// may be: that makes no difference.
#[track_caller]
fn check(packets: &[(i64, u32, Packet<'_>, bool)]) {
    for may_be_plain in [0, 1, 2] {
        let (mut duplicates, keys) = (Duplicates::new(&Limits::default()), Keys::default());
        for (index, (microsecond, interface, packet, expected)) in packets.iter().enumerate() {
            let whose = whose(packet, &keys);
            let sighting = match plain(packet).filter(|_| index % 2 == may_be_plain) {
                Some(plain) => duplicates.see_plain(at(*microsecond), *interface, &plain, whose),
                None => duplicates.see(at(*microsecond), *interface, packet, whose),
            };
            assert_eq!(sighting != Sighting::First, *expected, "packet {index}");
        }
    }
}

fn whose(packet: &Packet<'_>, keys: &Keys) -> Whose {
    let of = |ends| Whose { key: keys.of(ends), from_lesser: is_lesser(ends) };
    ends(packet).map_or(Whose::NOBODY, of)
}

fn plain<'a>(packet: &Packet<'a>) -> Option<Plain<'a>> {
    let (IpAddr::V4(source), IpAddr::V4(destination), Content::Tcp(segment)) =
        (packet.source, packet.destination, &packet.content)
    else {
        return None;
    };
    let Packet { ttl, identification, passage, interface, .. } = *packet;
    Some(Plain { source, destination, ttl, identification, passage, interface, segment: *segment })
}

#[test]
fn the_same_packet_twice_on_one_interface_is_a_copy() {
    check(&[(0, 0, tcp(), false), (4, 0, tcp(), true), (4000, 0, tcp(), true), (6000, 0, tcp(), false)]);
}

#[test]
fn the_same_packet_on_another_interface_is_a_copy() {
    let routed = Packet { ttl: 63, ..tcp() };
    check(&[(0, 0, tcp(), false), (900, 1, tcp(), true), (1000, 2, routed, true)]);
    let here = Packet { interface: Some(2), ..unidentified(Content::Tcp(segment())) };
    let there = Packet { interface: Some(3), ..here.clone() };
    check(&[(0, 0, here, false), (900, 0, there, true)]);
}

#[test]
fn a_routed_packet_on_the_same_interface_is_a_copy() {
    let original = unidentified(Content::Tcp(segment()));
    let routed = Packet { ttl: 63, ..original.clone() };
    check(&[(0, 0, original, false), (900, 0, routed, true)]);
}

#[test]
fn a_packet_from_far_elsewhere_is_no_copy() {
    let reset = Segment { flags: Flags(Flags::RST), length: 0, payload: &[], options: &[], ..segment() };
    let genuine = packet(Content::Tcp(reset));
    let forged = Packet { ttl: 120, ..genuine.clone() };
    check(&[(0, 0, forged, false), (900, 0, genuine, false)]);
}

#[test]
fn a_packet_that_another_host_captures_may_have_been_long_on_the_way() {
    let there = 1 << 28;
    let far = Packet { ttl: 50, ..tcp() };
    check(&[(0, 0, tcp(), false), (400_000, there, far.clone(), true), (1_500_000, there, far, false)]);
    // Whose host does not say which packet it is may be another one.
    let reset = Segment { flags: Flags(Flags::RST), length: 0, payload: &[], options: &[], ..segment() };
    let far = Packet { ttl: 50, ..unidentified(Content::Tcp(reset)) };
    check(&[(0, 0, unidentified(Content::Tcp(reset)), false), (400_000, there, far, false)]);
}

#[test]
fn what_is_like_no_other_packet_has_an_identity_that_no_router_changes() {
    let routed = Packet { ttl: 50, source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), ..tcp() };
    assert!(identity(&tcp()).is_some());
    assert_eq!(identity(&tcp()), identity(&routed));
    assert_ne!(identity(&tcp()), identity(&Packet { identification: 78, ..tcp() }));
    let bare = Segment { length: 0, payload: &[], ..segment() };
    assert_eq!(identity(&packet(Content::Tcp(bare))), None);
    let unmarked = Segment { options: &[], ..segment() };
    assert_eq!(identity(&unidentified(Content::Tcp(unmarked))), None);
    let syn = Segment { flags: Flags(Flags::SYN), options: &[], ..bare };
    assert!(identity(&unidentified(Content::Tcp(syn))).is_some());
}

#[test]
fn clocks_that_disagree_a_little_do_not_hide_a_copy() {
    check(&[(0, 0, tcp(), false), (-900, 1, tcp(), true)]);
    check(&[(0, 0, tcp(), false), (-9000, 1, tcp(), false)]);
}

#[test]
fn a_retransmission_is_no_copy() {
    let again = Packet { identification: 78, ..tcp() };
    check(&[(0, 0, tcp(), false), (900, 0, again, false)]);
    let original = unidentified(Content::Tcp(segment()));
    check(&[(0, 0, original.clone(), false), (900, 0, original.clone(), false)]);
    let later = Segment { options: &[1, 1, 8, 10, 0, 0, 0, 10, 0, 0, 0, 7], ..segment() };
    let later = unidentified(Content::Tcp(later));
    check(&[(0, 0, original.clone(), false), (4, 0, later.clone(), false)]);
    check(&[(0, 0, original, false), (900, 1, later, false)]);
}

#[test]
fn copies_of_a_retransmission_are_found_by_it() {
    let original = unidentified(Content::Tcp(segment()));
    check(&[
        (0, 0, original.clone(), false),
        (100, 1, original.clone(), true),
        (3000, 0, original.clone(), false),
        (6000, 1, original, true),
    ]);
}

#[test]
fn an_unidentified_packet_twice_at_once_is_a_copy_if_it_is_like_no_other() {
    let data = unidentified(Content::Tcp(segment()));
    check(&[(0, 0, data.clone(), false), (4, 0, data, true)]);
    let syn_ack = Segment { flags: Flags(Flags::SYN | Flags::ACK), length: 0, payload: &[], ..segment() };
    let syn_ack = unidentified(Content::Tcp(syn_ack));
    check(&[(0, 0, syn_ack.clone(), false), (4, 0, syn_ack, true)]);
}

#[test]
fn two_resets_at_once_are_copies_only_where_packets_are_doubled() {
    let reset = Segment { flags: Flags(Flags::RST), length: 0, payload: &[], options: &[], ..segment() };
    let reset = unidentified(Content::Tcp(reset));
    check(&[(0, 0, tcp(), false), (10, 0, reset.clone(), false), (14, 0, reset.clone(), false)]);
    check(&[
        (0, 0, tcp(), false),
        (4, 0, tcp(), true),
        (10, 0, reset.clone(), false),
        (13, 0, reset.clone(), true),
        (16, 0, reset.clone(), false),
        (19, 0, reset.clone(), true),
        (20, 5, tcp(), true),
        (9_000_000, 0, reset.clone(), false),
        (9_000_004, 0, reset, false),
    ]);
}

#[test]
fn a_clamped_syn_on_another_interface_is_a_copy() {
    let syn = |options| {
        unidentified(Content::Tcp(Segment { flags: Flags(2), length: 0, payload: &[], options, ..segment() }))
    };
    check(&[(0, 0, syn(&[2, 4, 5, 180]), false), (900, 1, syn(&[2, 4, 5, 100]), true)]);
}

#[test]
fn what_no_hop_changes_tells_packets_apart() {
    for other in [
        Segment { sequence: 1, ..segment() },
        Segment { acknowledgement: 1, ..segment() },
        Segment { flags: Flags(1), ..segment() },
        Segment { window: 1, ..segment() },
        Segment { length: 19, ..segment() },
        Segment { payload: b"PUT / HTTP/1.1\r\n\r\n", ..segment() },
    ] {
        check(&[(0, 0, tcp(), false), (4, 1, packet(Content::Tcp(other)), false)]);
    }
    // Other addresses and ports are another connection's, unless it came further.
    let elsewhere = Packet { source: IpAddr::V4(Ipv4Addr::LOCALHOST), ..tcp() };
    let ports = [Segment { source_port: 1, ..segment() }, Segment { destination_port: 1, ..segment() }];
    for other in ports.map(|other| packet(Content::Tcp(other))).into_iter().chain([elsewhere]) {
        check(&[(0, 0, tcp(), false), (4, 0, other, false)]);
    }
}

#[test]
fn datagrams_errors_and_fragments_have_copies_too() {
    let datagram = Datagram { source_port: 5353, destination_port: 53, length: 3, payload: b"abc" };
    let error = IcmpError {
        syn: None,
        v6: true,
        icmp_type: 1,
        code: 4,
        mtu: None,
        source: IpAddr::V6(Ipv6Addr::LOCALHOST),
        destination: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        protocol: 6,
        ports: (1, 2),
        sequence: Some(3),
        query: None,
    };
    let fragment = crate::wire::packet::Fragment {
        identification: 4,
        protocol: 6,
        offset: 8,
        more: true,
        octets: b"12345678",
        cut: false,
    };
    for content in [Content::Udp(datagram), Content::IcmpError(error), Content::Fragment(fragment)] {
        check(&[(0, 0, packet(content.clone()), false), (900, 1, packet(content.clone()), true)]);
    }
    for content in [Content::Udp(datagram), Content::IcmpError(error)] {
        let repeated = Packet { identification: 78, ..packet(content.clone()) };
        check(&[(0, 0, packet(content), false), (900, 0, repeated, false)]);
    }
    let fragment = Content::Fragment(fragment);
    check(&[(0, 0, unidentified(fragment.clone()), false), (900, 0, unidentified(fragment), true)]);
    check(&[(0, 0, packet(Content::Other(50)), false), (900, 1, packet(Content::Other(50)), false)]);
}

#[test]
fn memory_is_bounded_and_the_oldest_are_forgotten() {
    let mut duplicates = Duplicates::new(&Limits { duplicate_memory: 64, ..Limits::default() });
    assert_eq!(duplicates.sets.len() * WAYS, 64);
    let numbered = |sequence| packet(Content::Tcp(Segment { sequence, ..segment() }));
    let mut see = |microsecond, packet| duplicates.see(at(microsecond), 0, &packet, Whose::NOBODY);
    for sequence in 0..10_000 {
        assert_eq!(see(i64::from(sequence) / 10, numbered(sequence)), Sighting::First);
    }
    assert_eq!(see(1000, numbered(9999)), Sighting::Copy);
    assert_eq!(see(1000, numbered(0)), Sighting::First);
}

/// A packet that is on its way to somebody else now, as one hop less shows.
fn translated(packet: Packet<'_>) -> Packet<'_> {
    Packet { destination: IpAddr::V4(Ipv4Addr::new(10, 9, 0, 9)), ttl: packet.ttl - 1, ..packet }
}

#[test]
fn a_packet_behind_a_router_that_translates_is_a_copy() {
    check(&[(0, 0, tcp(), false), (40, 0, translated(tcp()), true)]);
    check(&[(0, 0, tcp(), false), (40, 1, translated(tcp()), true), (60, 2, translated(translated(tcp())), true)]);
    // Too late, too early, too far away.
    check(&[(0, 0, tcp(), false), (6000, 0, translated(tcp()), false)]);
    check(&[(0, 0, translated(tcp()), false), (40, 0, tcp(), false)]);
    check(&[(0, 0, tcp(), false), (40, 0, Packet { ttl: 50, ..translated(tcp()) }, false)]);
    // The port alone.
    let masqueraded = Segment { source_port: 1024, ..segment() };
    check(&[(0, 0, tcp(), false), (40, 0, Packet { ttl: 63, ..packet(Content::Tcp(masqueraded)) }, true)]);
    let datagram = Datagram { source_port: 5353, destination_port: 53, length: 3, payload: b"abc" };
    check(&[(0, 0, packet(Content::Udp(datagram)), false), (40, 0, translated(packet(Content::Udp(datagram))), true)]);
}

#[test]
fn connections_that_begin_alike_are_none() {
    let other = |packet| Packet { ttl: 64, ..translated(packet) };
    check(&[(0, 0, tcp(), false), (1, 0, other(tcp()), false), (2, 0, tcp(), true), (3, 0, other(tcp()), true)]);
    // Nothing but the numbers of the stream, which anybody may choose.
    let bare = Segment { options: &[], ..segment() };
    let bare = unidentified(Content::Tcp(bare));
    check(&[(0, 0, bare.clone(), false), (1, 0, translated(bare), false)]);
}

#[test]
fn a_bridge_that_translates_sends_out_what_came_in() {
    let [incoming, outgoing] =
        [Passage::Incoming, Passage::Outgoing].map(|passage| move |packet| Packet { passage, ..packet });
    let other = |packet| Packet { ttl: 64, ..translated(packet) };
    check(&[(0, 0, incoming(tcp()), false), (5, 0, outgoing(other(tcp())), true)]);
    check(&[(0, 0, outgoing(tcp()), false), (5, 0, outgoing(other(tcp())), false)]);
    check(&[(0, 0, outgoing(tcp()), false), (5, 0, incoming(other(tcp())), false)]);
    check(&[(0, 0, tcp(), false), (5, 1, other(tcp()), true)]);
    let unstamped = packet(Content::Tcp(Segment { options: &[], ..segment() }));
    check(&[(0, 0, unstamped.clone(), false), (5, 1, other(unstamped), false)]);
}

#[test]
fn what_the_host_passes_on_is_told() {
    let (mut duplicates, keys) = (Duplicates::new(&Limits::default()), Keys::default());
    let first = Packet { passage: Passage::Incoming, interface: Some(1), ..tcp() };
    let routed = Packet { passage: Passage::Outgoing, interface: Some(2), ttl: 63, ..tcp() };
    let seen = [&first, &routed, &translated(routed.clone())]
        .map(|packet| duplicates.see(at(0), 0, packet, whose(packet, &keys)));
    let first = whose(&first, &keys);
    let beyond = |translated| Sighting::Routed(Routed { first, translated, forwarded: true });
    assert_eq!(seen, [Sighting::First, beyond(false), beyond(true)]);
}
