//! Link types (<https://www.tcpdump.org/linktypes.html>) and their headers: a frame goes in, the network packet in it
//! comes out.

use crate::wire::octets::Octets;
use crate::wire::packet::{Passage, Undecodable};
use crate::wire::wifi;

/// A link type as capture files number them (`LINKTYPE_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkType(pub u16);

impl LinkType {
    /// BSD loopback: the address family in the byte order of the capturing host.
    pub const NULL: Self = Self(0);
    /// Ethernet (IEEE 802.3).
    pub const ETHERNET: Self = Self(1);
    /// PPP, with or without the HDLC octets in front (RFC 1661, RFC 1662).
    pub const PPP: Self = Self(9);
    /// PPP in HDLC-like framing (RFC 1662), or Cisco's PPP (RFC 1547 section 4.3.1).
    pub const PPP_HDLC: Self = Self(50);
    /// A PPPoE header (RFC 2516) without the Ethernet header.
    pub const PPP_ETHER: Self = Self(51);
    /// IPv4 or IPv6 without a link header.
    pub const RAW: Self = Self(101);
    /// Cisco HDLC (RFC 1547 section 4.3.1).
    pub const C_HDLC: Self = Self(104);
    /// IEEE 802.11.
    pub const IEEE802_11: Self = Self(105);
    /// OpenBSD loopback: the address family in network byte order.
    pub const LOOP: Self = Self(108);
    /// Linux cooked capture v1.
    pub const LINUX_SLL: Self = Self(113);
    /// IEEE 802.11 behind a radiotap header.
    pub const IEEE802_11_RADIOTAP: Self = Self(127);
    /// IPv4 without a link header.
    pub const IPV4: Self = Self(228);
    /// IPv6 without a link header.
    pub const IPV6: Self = Self(229);
    /// Linux cooked capture v2.
    pub const LINUX_SLL2: Self = Self(276);

    /// `DLT_RAW` of most systems, written into files by programs that confuse the two number spaces.
    const DLT_RAW: Self = Self(12);
    /// The same of OpenBSD.
    const DLT_RAW_OPENBSD: Self = Self(14);
}

/// A frame without its link header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stripped<'a> {
    pub(super) network: Network<'a>,
    pub(super) point: Point,
}

/// Where the frame passed, as far as its link header tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub(super) passage: Passage,
    pub(super) interface: Option<u32>,
}

/// What a link or a tunnel carries.
#[derive(Clone, Copy, Debug)]
pub(super) enum Network<'a> {
    /// IPv4 or IPv6: the version field tells.
    Ip(Octets<'a>),
    /// An MPLS label stack (RFC 3032).
    Mpls(Octets<'a>),
    /// ARP (RFC 826).
    Arp(Octets<'a>),
}

/// The IP packet of a frame that has nothing but an Ethernet or a cooked header before it: most of all frames. What this
/// finds `strip` finds too.
#[inline]
pub(super) fn plain(link: LinkType, frame: Octets<'_>) -> Option<(Octets<'_>, Point)> {
    let (ether_type, header, point) = match link {
        LinkType::ETHERNET => {
            let [.., high, low] = frame.captured.first_chunk::<14>()?;
            (u16::from_be_bytes([*high, *low]), 14, Point { passage: Passage::Unknown, interface: None })
        }
        LinkType::LINUX_SLL2 => {
            let [high, low, _, _, i0, i1, i2, i3, _, _, packet_type, ..] = frame.captured.first_chunk::<20>()?;
            let interface = Some(u32::from_be_bytes([*i0, *i1, *i2, *i3]));
            (u16::from_be_bytes([*high, *low]), 20, Point { passage: passage(*packet_type), interface })
        }
        _ => return None,
    };
    match ether_type {
        ETHER_IPV4 | ETHER_IPV6 => Some((frame.after(header).ok()?, point)),
        _ => None,
    }
}

/// Takes the link header off a frame.
pub(super) fn strip(link: LinkType, frame: Octets<'_>) -> Result<Stripped<'_>, Undecodable> {
    let network = match link {
        LinkType::ETHERNET => ethernet(frame)?,
        LinkType::LINUX_SLL2 => return cooked_v2(frame),
        LinkType::LINUX_SLL => return cooked_v1(frame),
        LinkType::RAW | LinkType::DLT_RAW | LinkType::DLT_RAW_OPENBSD | LinkType::IPV4 | LinkType::IPV6 => {
            Network::Ip(frame)
        }
        LinkType::NULL | LinkType::LOOP => loopback(frame)?,
        LinkType::PPP => ppp(frame)?,
        LinkType::PPP_HDLC | LinkType::C_HDLC => hdlc(frame)?,
        LinkType::PPP_ETHER => pppoe(frame)?,
        LinkType::IEEE802_11 => llc(wifi::data(frame)?)?,
        LinkType::IEEE802_11_RADIOTAP => llc(wifi::radiotap(frame)?)?,
        unknown => return Err(Undecodable::LinkType(unknown)),
    };
    Ok(Stripped { network, point: Point { passage: Passage::Unknown, interface: None } })
}

/// ```text
/// | destination (6) | source (6) | EtherType or length (2) | …
/// ```
#[inline]
pub(super) fn ethernet(frame: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    let [.., high, low] = *frame.head::<14>()?;
    by_type(u16::from_be_bytes([high, low]), frame.after(14)?)
}

/// Linux cooked capture v1:
///
/// ```text
/// | packet type (2) | ARPHRD (2) | address length (2) | address (8) | protocol (2) | …
/// ```
fn cooked_v1(frame: Octets<'_>) -> Result<Stripped<'_>, Undecodable> {
    let [_, packet_type, .., high, low] = *frame.head::<16>()?;
    let network = by_protocol(u16::from_be_bytes([high, low]), frame.after(16)?)?;
    Ok(Stripped { network, point: Point { passage: passage(packet_type), interface: None } })
}

/// Linux cooked capture v2:
///
/// ```text
/// | protocol (2) | 0 (2) | interface index (4) | ARPHRD (2) | packet type (1) | address length (1) | address (8) | …
/// ```
#[inline]
fn cooked_v2(frame: Octets<'_>) -> Result<Stripped<'_>, Undecodable> {
    let [high, low, _, _, i0, i1, i2, i3, _, _, packet_type, ..] = *frame.head::<20>()?;
    let network = by_protocol(u16::from_be_bytes([high, low]), frame.after(20)?)?;
    let interface = Some(u32::from_be_bytes([i0, i1, i2, i3]));
    Ok(Stripped { network, point: Point { passage: passage(packet_type), interface } })
}

/// The `PACKET_…` constants of Linux.
#[inline]
fn passage(packet_type: u8) -> Passage {
    match packet_type {
        0 => Passage::Incoming,
        1..=3 => Passage::Other,
        4 => Passage::Outgoing,
        _ => Passage::Unknown,
    }
}

/// The protocol field of cooked captures: an EtherType, or one of the `ETH_P_…` numbers of Linux below 0x0600.
#[inline]
fn by_protocol(protocol: u16, octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    const ETH_P_802_2: u16 = 4;
    match protocol {
        ETH_P_802_2 => llc(octets),
        0..=MAX_LENGTH => Err(Undecodable::NotIp),
        ether_type => by_type(ether_type, octets),
    }
}

/// What an EtherType announces, behind any VLAN tags.
#[inline]
pub(super) fn by_type(ether_type: u16, octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    match ether_type {
        ETHER_IPV4 | ETHER_IPV6 => Ok(Network::Ip(octets)),
        _ => behind_tags(ether_type, octets),
    }
}

fn behind_tags(mut ether_type: u16, mut octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    for _ in 0..=MAX_TAGS {
        match ether_type {
            ETHER_IPV4 | ETHER_IPV6 => return Ok(Network::Ip(octets)),
            // IEEE 802.1Q, 802.1ad, and what came before 802.1ad.
            0x8100 | 0x88a8 | 0x9100 | 0x9200 => {
                let [_, _, high, low] = *octets.head()?;
                ether_type = u16::from_be_bytes([high, low]);
                octets = octets.after(4)?;
            }
            // Cisco FabricPath: an Ethernet header around a whole frame, and two octets between them.
            0x8903 => {
                let frame = octets.after(2)?;
                let [.., high, low] = *frame.head::<14>()?;
                ether_type = u16::from_be_bytes([high, low]);
                octets = frame.after(14)?;
            }
            ETHER_MPLS | 0x8848 => return Ok(Network::Mpls(octets)),
            0x0806 => return Ok(Network::Arp(octets)),
            0x8864 => return pppoe(octets),
            0..=MAX_LENGTH => return llc(octets.declared(usize::from(ether_type))),
            _ => return Err(Undecodable::NotIp),
        }
    }
    Err(Undecodable::Malformed)
}

/// IEEE 802.2 LLC, with SNAP (RFC 1042) or with the SAP of IP.
fn llc(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    match *octets.head::<3>()? {
        [0xaa, 0xaa, 0x03] => {
            let [_, _, _, oui @ .., high, low] = *octets.head::<8>()?;
            let ether_type = u16::from_be_bytes([high, low]);
            match oui {
                // RFC 1042, and the bridge tunnel encapsulation of IEEE 802.1H.
                [0, 0, 0] | [0, 0, 0xf8] if ether_type > MAX_LENGTH => by_type(ether_type, octets.after(8)?),
                _ => Err(Undecodable::NotIp),
            }
        }
        [0x06, 0x06, 0x03] => Ok(Network::Ip(octets.after(3)?)),
        _ => Err(Undecodable::NotIp),
    }
}

/// RFC 2516 section 4:
///
/// ```text
/// | version, type = 0x11 (1) | code (1) | session (2) | length (2) | PPP …
/// ```
fn pppoe(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    let [0x11, 0, _, _, high, low] = *octets.head::<6>()? else {
        return Err(Undecodable::NotIp);
    };
    ppp(octets.after(6)?.declared(usize::from(u16::from_be_bytes([high, low]))))
}

/// RFC 1661 section 2 and RFC 1662 section 3.1; address, control and the protocol's first octet may have been left out.
pub(super) fn ppp(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    let octets = match octets.captured {
        [0xff, 0x03, ..] => octets.after(2)?,
        _ => octets,
    };
    let [first] = *octets.head()?;
    let (protocol, octets) = if first & 1 == 1 {
        (u16::from(first), octets.after(1)?)
    } else {
        (u16::from_be_bytes(*octets.head()?), octets.after(2)?)
    };
    match protocol {
        0x0021 | 0x0057 => Ok(Network::Ip(octets)),
        0x0281 => Ok(Network::Mpls(octets)),
        _ => Err(Undecodable::NotIp),
    }
}

/// Cisco HDLC is `0x0f` or `0x8f`, 0 and an EtherType; anything else here is PPP.
fn hdlc(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    match *octets.head::<4>()? {
        [0x0f | 0x8f, 0, high, low] => by_protocol(u16::from_be_bytes([high, low]), octets.after(4)?),
        _ => ppp(octets),
    }
}

/// The address family is in the byte order of a host that need not be ours. `AF_INET` is 2 everywhere.
fn loopback(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    let family = match *octets.head::<4>()? {
        [0, 0, high, low] => u16::from_be_bytes([high, low]),
        [low, high, 0, 0] => u16::from_le_bytes([low, high]),
        _ => return Err(Undecodable::NotIp),
    };
    match family {
        // AF_INET6 of Linux, Windows, NetBSD and OpenBSD, FreeBSD, macOS.
        2 | 10 | 23 | 24 | 28 | 30 => Ok(Network::Ip(octets.after(4)?)),
        _ => Err(Undecodable::NotIp),
    }
}

const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;
const ETHER_MPLS: u16 = 0x8847;

/// IEEE 802.3 section 3.2.6: up to here the field is a length.
const MAX_LENGTH: u16 = 1500;
/// More VLAN tags than any network stacks.
const MAX_TAGS: usize = 8;
