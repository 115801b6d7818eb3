//! Every encapsulation is laid by hand around the same segment.

use etherparse::PacketBuilder;

use super::*;

mod properties;

const PAYLOAD: &[u8] = b"GET / HTTP/1.1\r\n\r\n";
const CLIENT: [u8; 4] = [10, 0, 0, 1];
const SERVER: [u8; 4] = [10, 0, 0, 2];

fn v4() -> Vec<u8> {
    let mut octets = Vec::new();
    PacketBuilder::ipv4(CLIENT, SERVER, 61).tcp(40_000, 80, 7, 512).ack(9).psh().write(&mut octets, PAYLOAD).unwrap();
    octets
}

fn v6() -> Vec<u8> {
    let mut octets = Vec::new();
    let [client, server] = [6, 7].map(|last| [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    PacketBuilder::ipv6(client, server, 61).tcp(40_000, 80, 7, 512).ack(9).psh().write(&mut octets, PAYLOAD).unwrap();
    octets
}

/// `header`, given in hexadecimal, in front of `rest`.
fn behind(header: &str, rest: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = header.bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    let octets = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
    octets.chain(rest.iter().copied()).collect()
}

fn ethernet(ether_type: &str, rest: &[u8]) -> Vec<u8> {
    behind(&format!("020000000001 020000000002 {ether_type}"), rest)
}

/// An IPv4 header with `protocol` in front of `rest`.
fn carrier(protocol: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + rest.len()).unwrap();
    behind(&format!("4500 {length:04x} 0001 0000 40 {protocol:02x} 0000 c0a80001 c0a80002"), rest)
}

fn udp(port: u16, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + rest.len()).unwrap();
    carrier(17, &behind(&format!("ffff {port:04x} {length:04x} 0000"), rest))
}

fn whole(link: LinkType, octets: &[u8]) -> Result<Packet<'_>, Undecodable> {
    decode(link, octets, u32::try_from(octets.len()).unwrap())
}

#[track_caller]
fn check(link: LinkType, octets: &[u8]) -> Packet<'_> {
    let packet = whole(link, octets).unwrap();
    let Content::Tcp(segment) = packet.content else { panic!("{packet:?}") };
    assert_eq!((segment.source_port, segment.destination_port), (40_000, 80));
    assert_eq!((segment.sequence, segment.acknowledgement, segment.window), (7, 9, 512));
    assert_eq!(segment.flags, Flags(Flags::ACK | Flags::PSH));
    assert_eq!((segment.payload, segment.length), (PAYLOAD, 18));
    assert_eq!(packet.ttl, 61);
    match packet.source {
        IpAddr::V4(source) => assert_eq!((source.octets(), packet.destination), (CLIENT, IpAddr::from(SERVER))),
        IpAddr::V6(source) => assert_eq!(source.octets()[15], 6),
    }
    packet
}

const ETHERNET: LinkType = LinkType::ETHERNET;

#[test]
fn ethernet_and_its_tags() {
    for (ether_type, ip) in [("0800", v4()), ("86dd", v6())] {
        check(ETHERNET, &ethernet(ether_type, &ip));
        check(ETHERNET, &ethernet("8100 0064", &behind(ether_type, &ip)));
        check(ETHERNET, &ethernet("88a8 0064 8100 0065", &behind(ether_type, &ip)));
        check(ETHERNET, &ethernet("9100 0064 8100 0065 8100 0066", &behind(ether_type, &ip)));
        check(ETHERNET, &ethernet("8903 0000", &ethernet(ether_type, &ip)));
    }
    let tags = "81000001".repeat(9);
    assert_eq!(whole(ETHERNET, &ethernet(&tags, &[0x08, 0])).unwrap_err(), Undecodable::Malformed);
    assert_eq!(whole(ETHERNET, &ethernet("0806", &[0; 28])).unwrap_err(), Undecodable::NotIp);
}

#[test]
fn ieee_802_3_with_llc() {
    let length = |rest: &[u8]| format!("{:04x}", rest.len());
    let snap = behind("aaaa03 000000 0800", &v4());
    check(ETHERNET, &ethernet(&length(&snap), &snap));
    let bridged = behind("aaaa03 0000f8 86dd", &v6());
    check(ETHERNET, &ethernet(&length(&bridged), &bridged));
    let sap = behind("060603", &v4());
    check(ETHERNET, &ethernet(&length(&sap), &sap));
    let spanning_tree = behind("424203 0000000000", &[0; 30]);
    assert_eq!(whole(ETHERNET, &ethernet("0026", &spanning_tree)).unwrap_err(), Undecodable::NotIp);
}

#[test]
fn mpls_and_its_pseudowires() {
    check(ETHERNET, &ethernet("8847 00010140", &v4()));
    check(ETHERNET, &ethernet("8848 00010040 00020040 00030140", &v6()));
    check(ETHERNET, &ethernet("8847 00010140", &ethernet("0800", &v4())));
    check(ETHERNET, &ethernet("8847 00010140 00000000", &ethernet("8100 0001 0800", &v4())));
    check(ETHERNET, &ethernet("8847 00010140", &behind("420000000001 020000000002 0800", &v4())));
}

#[test]
fn ppp_and_pppoe() {
    let session = |rest: &[u8]| behind(&format!("11 00 0001 {:04x}", rest.len()), rest);
    check(ETHERNET, &ethernet("8864", &session(&behind("0021", &v4()))));
    check(ETHERNET, &ethernet("8100 0001 8864", &session(&behind("0057", &v6()))));
    check(LinkType::PPP_ETHER, &session(&behind("0021", &v4())));
    check(LinkType::PPP, &behind("0021", &v4()));
    check(LinkType::PPP, &behind("21", &v4()));
    check(LinkType::PPP, &behind("ff03 0057", &v6()));
    check(LinkType::PPP, &behind("ff03 0281 00010140", &v6()));
    check(LinkType::PPP_HDLC, &behind("ff03 0021", &v4()));
    check(LinkType::PPP_HDLC, &behind("0f00 0800", &v4()));
    check(LinkType::C_HDLC, &behind("8f00 86dd", &v6()));
    assert_eq!(whole(LinkType::PPP, &behind("c021", &[1; 20])).unwrap_err(), Undecodable::NotIp);
}

#[test]
fn linux_cooked_captures_tell_passage_and_interface() {
    let v1 = |kind: u8| behind(&format!("00{kind:02x} 0001 0006 0200000000010000 0800"), &v4());
    let v2 = |kind: u8| behind(&format!("86dd 0000 00000007 0001 {kind:02x} 06 0200000000010000"), &v6());
    let passages = [Passage::Incoming, Passage::Other, Passage::Other, Passage::Other, Passage::Outgoing];
    for (kind, passage) in (0..).zip(passages) {
        let (v1, v2) = (v1(kind), v2(kind));
        let packet = check(LinkType::LINUX_SLL, &v1);
        assert_eq!((packet.passage, packet.interface), (passage, None));
        let packet = check(LinkType::LINUX_SLL2, &v2);
        assert_eq!((packet.passage, packet.interface), (passage, Some(7)));
    }
    // Loopback (ARPHRD 772), a VLAN tag that libpcap put back, and an LLC frame.
    check(LinkType::LINUX_SLL, &behind("0000 0304 0006 0000000000000000 0800", &v4()));
    check(LinkType::LINUX_SLL2, &behind("8100 0000 00000007 0001 00 06 0200000000010000 0005 0800", &v4()));
    check(LinkType::LINUX_SLL, &behind("0000 0001 0006 0000000000000000 0004 aaaa03 000000 0800", &v4()));
}

#[test]
fn bsd_loopback_in_both_byte_orders() {
    for link in [LinkType::NULL, LinkType::LOOP] {
        check(link, &behind("02000000", &v4()));
        check(link, &behind("00000002", &v4()));
        for family in [10, 24, 28, 30] {
            check(link, &behind(&format!("{family:02x}000000"), &v6()));
            check(link, &behind(&format!("000000{family:02x}"), &v6()));
        }
        assert_eq!(whole(link, &behind("07000000", &v4())).unwrap_err(), Undecodable::NotIp);
    }
}

#[test]
fn ip_without_a_link_header() {
    for link in [101, 12, 14, 228].map(LinkType) {
        check(link, &v4());
    }
    check(LinkType(229), &v6());
    assert_eq!(whole(LinkType(147), &v4()).unwrap_err(), Undecodable::LinkType(LinkType(147)));
}

#[test]
fn wireless_data_frames() {
    const MAC: &str = "0000 020000000001 020000000002 020000000003 0000";
    const SNAP: &str = "aaaa03 000000 0800";
    let radiotap = |header: &str, mac: &str| check_owned(127, behind(&format!("{header} {mac} {SNAP}"), &v4()));
    check_owned(105, behind(&format!("0802 {MAC} {SNAP}"), &v4()));
    check_owned(105, behind(&format!("0803 {MAC} 020000000004 {SNAP}"), &v4()));
    check_owned(105, behind(&format!("8801 {MAC} 0000 {SNAP}"), &v4()));
    check_owned(105, behind(&format!("8881 {MAC} 0000 00000000 {SNAP}"), &v4()));
    radiotap("0000 0800 00000000", &format!("0802 {MAC}"));
    // Timestamp and flags; the flags say that the header is padded.
    radiotap("0000 1200 03000000 0000000000000000 20 00", &format!("8802 {MAC} 0000 0000"));
    radiotap("0000 1a00 030000a0 00000000 00000000 0000000000000000 20 00", &format!("8802 {MAC} 0000 0000"));
    for no_data in ["8000", "4802", "0842", "8801"] {
        let frame = behind(&format!("{no_data} {MAC} 8000 {SNAP}"), &v4());
        assert_eq!(whole(LinkType(105), &frame).unwrap_err(), Undecodable::NotIp, "{no_data}");
    }
}

#[track_caller]
fn check_owned(link: u16, octets: Vec<u8>) {
    check(LinkType(link), &octets);
}

#[test]
fn tunnels_of_ip() {
    check(LinkType::RAW, &carrier(4, &v4()));
    check(LinkType::RAW, &carrier(41, &v6()));
    check(LinkType::RAW, &carrier(137, &behind("00010140", &v4())));
    let in_v6 = |protocol: u8, inner: &[u8]| {
        let length = inner.len();
        behind(&format!("60000000 {length:04x} {protocol:02x} 40 {} {}", "fe80".repeat(8), "fe81".repeat(8)), inner)
    };
    check(LinkType::RAW, &in_v6(41, &v6()));
    check(LinkType::RAW, &in_v6(4, &v4()));
}

#[test]
fn gre() {
    for header in ["0000 0800", "8000 0800 00000000", "2000 0800 00000001", "b000 0800 00000000 00000001 00000002"] {
        check(LinkType::RAW, &carrier(47, &behind(header, &v4())));
    }
    check(LinkType::RAW, &carrier(47, &behind("0000 86dd", &v6())));
    check(LinkType::RAW, &carrier(47, &behind("0000 8847 00010140", &v6())));
    check(LinkType::RAW, &carrier(47, &behind("2000 6558 00000100", &ethernet("0800", &v4()))));
    check(LinkType::RAW, &carrier(47, &behind("0000 88be", &ethernet("0800", &v4()))));
    check(LinkType::RAW, &carrier(47, &behind("1000 88be 00000001 1000000000000000", &ethernet("0800", &v4()))));
    check(
        LinkType::RAW,
        &carrier(47, &behind(&format!("1000 22eb 00000001 {}", "00".repeat(12)), &ethernet("86dd", &v6()))),
    );
    let with_subheader = format!("1000 22eb 00000001 {} 01 {}", "00".repeat(11), "00".repeat(8));
    check(LinkType::RAW, &carrier(47, &behind(&with_subheader, &ethernet("86dd", &v6()))));
    check(LinkType::RAW, &carrier(47, &behind("3081 880b 0000 0000 00000001 00000001 ff03 0021", &v4())));
    let with_routing = carrier(47, &behind("4000 0800", &v4()));
    assert!(matches!(whole(LinkType::RAW, &with_routing).unwrap().content, Content::Other(47)));
}

#[test]
fn vxlan_and_geneve() {
    for port in [4789, 8472] {
        check(LinkType::RAW, &udp(port, &behind("08000000 00000100", &ethernet("0800", &v4()))));
    }
    check(LinkType::RAW, &udp(6081, &behind("0000 6558 00000100", &ethernet("86dd", &v6()))));
    check(LinkType::RAW, &udp(6081, &behind("0240 0800 00000100 0102 0301 00000000", &v4())));
    // A name server's answer to a client that chose such a port.
    for port in [4789, 6081, 8472] {
        let answer = udp(port, &[0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 3, b'a', b'p', b'p', 0, 0, 1, 0, 1]);
        let packet = whole(LinkType::RAW, &answer).unwrap();
        assert!(
            matches!(packet.content, Content::Udp(datagram) if datagram.length == 21 && datagram.payload.len() == 21)
        );
    }
}

#[test]
fn tunnels_are_entered_to_a_depth_of_eight() {
    let nested = |depth| (0..depth).fold(v4(), |inner, _| carrier(4, &inner));
    check(LinkType::RAW, &nested(8));
    let deeper = nested(9);
    assert!(matches!(whole(LinkType::RAW, &deeper).unwrap().content, Content::Other(4)));
}

#[test]
fn ethernet_padding_is_not_payload() {
    let mut octets = Vec::new();
    PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4(CLIENT, SERVER, 61)
        .tcp(40_000, 80, 7, 512)
        .write(&mut octets, &[])
        .unwrap();
    octets.extend([0xee; 6]);
    let packet = whole(ETHERNET, &octets).unwrap();
    assert!(matches!(packet.content, Content::Tcp(segment) if segment.length == 0 && segment.payload.is_empty()));
}

#[test]
fn a_length_of_zero_means_the_whole_frame() {
    let mut octets = v4();
    octets[2..4].fill(0);
    check(LinkType::RAW, &octets);
    check(LinkType::RAW, &carrier(4, &octets));
    let mut octets = v6();
    octets[4..6].fill(0);
    check(LinkType::RAW, &octets);
    // The same with the jumbo payload option (RFC 2675 section 2), as Linux writes it.
    octets[6] = 0;
    octets.splice(40..40, [6, 0, 0xc2, 4, 0, 1, 0, 0]);
    check(LinkType::RAW, &octets);
    let packet = decode(LinkType::RAW, &octets, 100_000).unwrap();
    assert!(matches!(packet.content, Content::Tcp(segment) if segment.length == 100_000 - 68));
}

#[test]
fn extension_headers_are_skipped() {
    let mut octets = v6();
    octets[5] += 8 + 16 + 24 + 8;
    octets[6] = 0;
    let chain = behind(
        "3c00 010400000000  2b01 010c000000000000000000000000  2c02 0000 000000000000000000000000000000000000000000",
        &[],
    );
    octets.splice(40..40, chain.into_iter().take(48).chain([6, 0, 0, 0, 0, 0, 0, 1]));
    check(LinkType::RAW, &octets);
    let mut octets = v4();
    octets[3] += 12;
    octets[9] = 51;
    octets.splice(20..20, [6, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
    check(LinkType::RAW, &octets);
}

#[test]
fn a_chain_of_extension_headers_may_end_in_the_middle() {
    for next in [0, 43, 44, 51, 60] {
        let mut octets = v6();
        octets.truncate(40);
        (octets[5], octets[6]) = (8, 0);
        octets.extend([next, 0, 1, 4, 0, 0, 0, 0]);
        assert_eq!(whole(LinkType::RAW, &octets).unwrap_err(), Undecodable::Malformed);
        octets[5] = 40;
        assert_eq!(decode(LinkType::RAW, &octets, 80).unwrap_err(), Undecodable::Truncated);
    }
}

#[test]
fn wrong_checksums_are_normal() {
    let mut octets = v4();
    octets[10..12].fill(0x5a);
    octets[36..38].fill(0x5a);
    check(LinkType::RAW, &octets);
}

#[test]
fn fragments_carry_the_ip_payload() {
    let mut octets = v4();
    octets[6..8].copy_from_slice(&[0x20, 0]);
    let packet = whole(LinkType::RAW, &octets).unwrap();
    let Content::Fragment(fragment) = packet.content else { panic!("{packet:?}") };
    assert!((fragment.offset, fragment.more, fragment.protocol, fragment.cut) == (0, true, 6, false));
    assert_eq!(fragment.octets, &octets[20..]);

    let mut octets = v6();
    octets[5] += 8;
    octets[6] = 44;
    octets.splice(40..40, [6, 0, 0x05, 0xa8, 0, 0, 0, 9]);
    let packet = decode(LinkType::RAW, &octets[..60], 100).unwrap();
    let Content::Fragment(fragment) = packet.content else { panic!("{packet:?}") };
    assert!((fragment.offset, fragment.more, fragment.identification, fragment.cut) == (1448, false, 9, true));
    assert_eq!(fragment.octets, &octets[48..60]);
}

#[test]
fn a_tcp_header_that_the_snaplen_cut_still_tells_ports_numbers_and_length() {
    let octets = v4();
    for captured in 34..40 {
        let packet = decode(LinkType::RAW, &octets[..captured], 58).unwrap();
        let Content::Tcp(segment) = packet.content else { panic!("{packet:?}") };
        assert_eq!((segment.source_port, segment.sequence, segment.length), (40_000, 7, 18));
        assert!(segment.options.is_empty() && segment.payload.is_empty());
    }
    assert_eq!(decode(LinkType::RAW, &octets[..33], 58).unwrap_err(), Undecodable::Truncated);
}

#[test]
fn headers_that_contradict_themselves_are_malformed() {
    for (at, value) in [(0, 0x44), (0, 0x75), (3, 19), (3, 39), (32, 0x40), (32, 0xf0)] {
        let mut octets = v4();
        octets[at] = value;
        assert_eq!(whole(LinkType::RAW, &octets).unwrap_err(), Undecodable::Malformed, "octet {at}");
    }
}

#[test]
fn icmp_errors_are_laid_at_the_packet_that_they_quote() {
    let quoted = v4();
    for (icmp_type, code, expected) in [(3, 1, None), (3, 4, Some(1400)), (4, 0, None), (11, 0, None), (12, 0, None)] {
        // RFC 792: the IP header and 8 octets.
        let octets = carrier(1, &behind(&format!("{icmp_type:02x}{code:02x} 0000 0000 0578"), &quoted[..28]));
        let packet = whole(LinkType::RAW, &octets).unwrap();
        let Content::IcmpError(error) = packet.content else { panic!("{packet:?}") };
        assert_eq!((error.icmp_type, error.code, error.mtu, error.v6), (icmp_type, code, expected, false));
        assert_eq!((error.source, error.destination), (IpAddr::from(CLIENT), IpAddr::from(SERVER)));
        assert_eq!((error.protocol, error.ports, error.sequence), (6, (40_000, 80), Some(7)));
    }
    let echo = behind("0800 0000 0001 0001", &quoted);
    for message in [echo, behind("0301 0000 0000 0000", &quoted[..10])] {
        assert!(matches!(whole(LinkType::RAW, &carrier(1, &message)).unwrap().content, Content::Other(1)));
    }
}

#[test]
fn icmpv6_errors_may_quote_extension_headers() {
    let mut quoted = v6();
    quoted[6] = 60;
    quoted.splice(40..40, [6, 0, 1, 4, 0, 0, 0, 0]);
    for (icmp_type, expected) in [(1, None), (2, Some(1280)), (3, None), (4, None)] {
        let message = behind(&format!("{icmp_type:02x}00 0000 00000500"), &quoted);
        let length = message.len();
        let octets =
            behind(&format!("60000000 {length:04x} 3a 40 {} {}", "fe80".repeat(8), "fe81".repeat(8)), &message);
        let packet = whole(LinkType::RAW, &octets).unwrap();
        let Content::IcmpError(error) = packet.content else { panic!("{packet:?}") };
        assert_eq!((error.v6, error.icmp_type, error.mtu), (true, icmp_type, expected));
        assert_eq!((error.protocol, error.ports, error.sequence), (6, (40_000, 80), Some(7)));
    }
}
