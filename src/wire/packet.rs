//! A frame decoded down to its TCP segment, UDP datagram or ICMP error.
//!
//! Nothing is copied and nothing allocated. etherparse reads the chains of IPv6 extension headers, and is what the tests
//! compare all of this with; plain Ethernet and cooked frames never reach it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::ip::{self, Addresses, Ip};
use crate::wire::link::{self, LinkType, Network, Point, Stripped};
use crate::wire::neighbour::{self, Neighbour};
use crate::wire::octets::Octets;
use crate::wire::{icmp, tcp, tunnel};

/// An IP packet and what it carries.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv4 identification; 0 for IPv6.
    pub identification: u16,
    /// Which way it passed the capturing host, where the link layer says so.
    pub passage: Passage,
    /// Index of the interface on the capturing host, where the link layer says so (Linux cooked captures v2).
    pub interface: Option<u32>,
    /// What it carries.
    pub content: Content<'a>,
}

/// A TCP segment as nearly all frames hold one: all headers were captured, that of IPv4 has no options and is none of a fragment's,
/// and nothing but an Ethernet or a cooked header stands before it. It is kept apart from [`Packet`] so that it need not be laid
/// down in memory to be looked at.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Identification.
    pub identification: u16,
    /// Which way it passed the capturing host.
    pub passage: Passage,
    /// Index of the interface on the capturing host.
    pub interface: Option<u32>,
    /// The segment.
    pub segment: Segment<'a>,
}

impl<'a> From<Plain<'a>> for Packet<'a> {
    fn from(plain: Plain<'a>) -> Self {
        Self {
            source: IpAddr::V4(plain.source),
            destination: IpAddr::V4(plain.destination),
            ttl: plain.ttl,
            identification: plain.identification,
            passage: plain.passage,
            interface: plain.interface,
            content: Content::Tcp(plain.segment),
        }
    }
}

/// Which way a packet passed the capturing host (the packet type of Linux cooked captures).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// The link layer does not tell.
    Unknown,
    /// Sent to the host itself.
    Incoming,
    /// Sent by the host.
    Outgoing,
    /// Sent to somebody else: broadcast, multicast, or seen in promiscuous mode.
    Other,
}

/// What an IP packet carries.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A UDP datagram.
    Udp(Datagram<'a>),
    /// An ICMP or ICMPv6 error that quotes a packet.
    IcmpError(IcmpError),
    /// A fragment of a datagram; its octets are the packet's whole IP payload.
    Fragment(Fragment<'a>),
    /// ARP, or neighbour discovery.
    Neighbour(Neighbour),
    /// Another protocol, by its number.
    Other(u8),
}

/// A TCP segment (RFC 9293 section 3.1).
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number; meaningful with the ACK flag.
    pub acknowledgement: u32,
    /// Control bits.
    pub flags: Flags,
    /// Window, unscaled.
    pub window: u16,
    /// Options, as sent; empty where the snaplen cut them.
    pub options: &'a [u8],
    /// Octets of payload on the wire; `payload` may hold fewer.
    pub length: u32,
    /// The captured payload.
    pub payload: &'a [u8],
}

/// TCP's control bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// FIN.
    pub const FIN: u8 = 0x01;
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// RST.
    pub const RST: u8 = 0x04;
    /// PSH.
    pub const PSH: u8 = 0x08;
    /// ACK.
    pub const ACK: u8 = 0x10;

    /// Whether FIN is set.
    #[must_use]
    pub const fn fin(self) -> bool {
        self.0 & Self::FIN != 0
    }

    /// Whether SYN is set.
    #[must_use]
    pub const fn syn(self) -> bool {
        self.0 & Self::SYN != 0
    }

    /// Whether RST is set.
    #[must_use]
    pub const fn rst(self) -> bool {
        self.0 & Self::RST != 0
    }

    /// Whether ACK is set.
    #[must_use]
    pub const fn ack(self) -> bool {
        self.0 & Self::ACK != 0
    }
}

/// A UDP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Source port.
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Octets of payload on the wire.
    pub length: u32,
    /// The captured payload.
    pub payload: &'a [u8],
}

/// An ICMP error and the packet that it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Whether it is ICMPv6.
    pub v6: bool,
    /// Type.
    pub icmp_type: u8,
    /// Code.
    pub code: u8,
    /// Next-hop MTU, for "fragmentation needed" and "packet too big".
    pub mtu: Option<u32>,
    /// Source of the quoted packet.
    pub source: IpAddr,
    /// Destination of the quoted packet.
    pub destination: IpAddr,
    /// Its protocol number.
    pub protocol: u8,
    /// Its ports; 0 where it has none.
    pub ports: (u16, u16),
    /// Its TCP sequence number, for TCP.
    pub sequence: Option<u32>,
    /// Whether it is a SYN that opens a connection; `None` where the flags are not quoted.
    pub syn: Option<bool>,
    /// For UDP the first two octets that it carries: of DNS the number of the message.
    pub query: Option<u16>,
}

impl IcmpError {
    /// Whether it says that the destination cannot be reached, and not merely that the packet was too big.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        match self.v6 {
            true => self.icmp_type == 1,
            false => self.icmp_type == 3 && self.code != 4,
        }
    }
}

/// A fragment of an IP datagram.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// Identification.
    pub identification: u32,
    /// Protocol of the datagram (for IPv6: the next header of the fragment header).
    pub protocol: u8,
    /// Offset in octets.
    pub offset: u32,
    /// Whether more follow.
    pub more: bool,
    /// The fragment's octets.
    pub octets: &'a [u8],
    /// Whether the snaplen cut it.
    pub cut: bool,
}

/// Why a frame could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undecodable {
    /// Not IP: LLDP, spanning tree and so on. Nothing is wrong with it.
    NotIp,
    /// The link type is not known to this program.
    LinkType(LinkType),
    /// Fewer octets than the headers need.
    Truncated,
    /// The headers contradict the RFC.
    Malformed,
}

/// Decodes a frame of `length` octets on the wire, of which `octets` were captured. Of packets in tunnels the innermost
/// one that can be read is given back.
///
/// # Errors
///
/// Where no IP packet can be found, or its headers cannot be read.
pub fn decode(link: LinkType, octets: &[u8], length: u32) -> Result<Packet<'_>, Undecodable> {
    match plain(link, octets) {
        Some(plain) => Ok(plain.into()),
        None => decode_other(link, octets, length),
    }
}

/// What a frame holds, where that is as plain as can be: [`decode`] gives the same back for it.
#[inline(always)] // What is asked of it next is at hand then.
#[must_use]
pub fn plain(link: LinkType, octets: &[u8]) -> Option<Plain<'_>> {
    let (octets, point) = link::plain(link, Octets::new(octets, octets.len()))?;
    let (ip, behind) = octets.captured.split_first_chunk::<20>()?;
    // By the rows in which RFC 791 section 3.1 draws the header: version, lengths; identification, fragmentation; time to live,
    // protocol; the addresses.
    let (rows, _) = ip.as_chunks::<4>();
    let [lengths, fragmentation, protocol, ..] = rows.first_chunk::<3>()?.map(u32::from_be_bytes);
    let is_plain = lengths >> 24 == 0x45 && fragmentation & 0xbfff == 0 && protocol >> 16 & 0xff == u32::from(TCP);
    let length = (lengths & 0xffff).checked_sub(20).filter(|_| is_plain)?;
    let addresses = u64::from_be_bytes(*ip.last_chunk::<8>()?);
    Some(Plain {
        segment: tcp::plain(behind, length as usize)?,
        source: Ipv4Addr::from_bits((addresses >> 32) as u32),
        destination: Ipv4Addr::from_bits(addresses as u32),
        ttl: (protocol >> 24) as u8,
        identification: (fragmentation >> 16) as u16,
        passage: point.passage,
        interface: point.interface,
    })
}

/// Decodes what [`plain`] does not find.
///
/// # Errors
///
/// As those of [`decode`].
#[inline(never)]
pub fn decode_other(link: LinkType, octets: &[u8], length: u32) -> Result<Packet<'_>, Undecodable> {
    let frame = Octets::new(octets, usize::try_from(length).unwrap_or(usize::MAX));
    if let Some((octets, point)) = link::plain(link, frame)
        && let Some(packet) = plain_v6(octets, point)
    {
        return Ok(packet);
    }
    general(link, frame)
}

fn general(link: LinkType, frame: Octets<'_>) -> Result<Packet<'_>, Undecodable> {
    let Stripped { network, point } = link::strip(link, frame)?;
    inside(network, point, MAX_TUNNELS)
}

/// TCP in IPv6 without extensions, of which all headers were captured.
fn plain_v6(octets: Octets<'_>, point: Point) -> Option<Packet<'_>> {
    let (ip, behind) = octets.captured.split_first_chunk::<40>()?;
    let [0x60..=0x6f, _, _, _, l0, l1, TCP, ttl, addresses @ ..] = ip else { return None };
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    Some(Packet {
        content: Content::Tcp(tcp::plain(behind, length)?),
        source: IpAddr::V6(Ipv6Addr::from(*addresses.first_chunk::<16>()?)),
        destination: IpAddr::V6(Ipv6Addr::from(*addresses.last_chunk::<16>()?)),
        ttl: *ttl,
        identification: 0,
        passage: point.passage,
        interface: point.interface,
    })
}

/// Decodes the whole payload of an IP packet whose header reads as `carrier`'s: what reassembly gives back.
///
/// # Errors
///
/// Where the headers of `protocol` cannot be read.
pub fn decode_payload<'a>(carrier: &'a Packet<'_>, protocol: u8, octets: &'a [u8]) -> Result<Packet<'a>, Undecodable> {
    let ip = Ip {
        addresses: Addresses::Known(&carrier.source, &carrier.destination),
        ttl: carrier.ttl,
        identification: carrier.identification,
        protocol,
        part: None,
        payload: Octets::new(octets, octets.len()),
    };
    carried(ip, Point { passage: carrier.passage, interface: carrier.interface }, MAX_TUNNELS)
}

/// `depth` tunnels may still be entered.
#[inline]
fn inside(network: Network<'_>, point: Point, depth: u8) -> Result<Packet<'_>, Undecodable> {
    match network {
        Network::Ip(octets) => carried(ip::parse(octets)?, point, depth),
        Network::Mpls(octets) => {
            let below = tunnel::labels(octets)?;
            let depth = depth.checked_sub(1).ok_or(Undecodable::Malformed)?;
            tunnel::below_labels(below).find_map(|network| inside(network, point, depth).ok()).ok_or(Undecodable::NotIp)
        }
        Network::Arp(octets) => {
            let told = neighbour::arp(octets).ok_or(Undecodable::NotIp)?;
            Ok(Packet {
                source: told.asker.unwrap_or(told.target),
                destination: told.target,
                ttl: 0,
                identification: 0,
                passage: point.passage,
                interface: point.interface,
                content: Content::Neighbour(told),
            })
        }
    }
}

/// What an IP packet carries; the packet inside, where that is a tunnel's.
#[inline]
fn carried(ip: Ip<'_>, point: Point, depth: u8) -> Result<Packet<'_>, Undecodable> {
    let content = match (ip.part, ip.protocol) {
        (Some(part), protocol) => Content::Fragment(Fragment {
            identification: part.identification,
            protocol,
            offset: part.offset,
            more: part.more,
            octets: ip.payload.captured,
            cut: ip.payload.is_cut(),
        }),
        (None, TCP) => Content::Tcp(tcp::segment(ip.payload)?),
        (None, UDP) => {
            let (datagram, payload) = datagram(ip.payload)?;
            match tunnel::over_udp(datagram.destination_port, payload).and_then(|network| enter(network, point, depth))
            {
                Some(inner) => return Ok(inner),
                None => Content::Udp(datagram),
            }
        }
        (None, protocol) => match encapsulated(protocol, ip.payload).and_then(|network| enter(network, point, depth)) {
            Some(inner) => return Ok(inner),
            None => match icmp_error(&ip) {
                Some(error) => Content::IcmpError(error),
                None => told_by_discovery(&ip).map_or(Content::Other(protocol), Content::Neighbour),
            },
        },
    };
    Ok(Packet {
        source: ip.addresses.source(),
        destination: ip.addresses.destination(),
        ttl: ip.ttl,
        identification: ip.identification,
        passage: point.passage,
        interface: point.interface,
        content,
    })
}

/// The packet in a tunnel, if there is one that can be read.
#[cold]
fn enter(network: Network<'_>, point: Point, depth: u8) -> Option<Packet<'_>> {
    inside(network, point, depth.checked_sub(1)?).ok()
}

/// What the tunnels that have a protocol number of IP carry.
fn encapsulated(protocol: u8, payload: Octets<'_>) -> Option<Network<'_>> {
    match protocol {
        IPV4_IN_IP | IPV6_IN_IP => Some(Network::Ip(payload)),
        GRE => tunnel::gre(payload).ok(),
        MPLS_IN_IP => Some(Network::Mpls(payload)),
        _ => None,
    }
}

fn icmp_error(ip: &Ip<'_>) -> Option<IcmpError> {
    match (ip.protocol, ip.addresses.source()) {
        (ICMP, IpAddr::V4(_)) => icmp::error(ip.payload, false),
        (ICMPV6, IpAddr::V6(_)) => icmp::error(ip.payload, true),
        _ => None,
    }
}

fn told_by_discovery(ip: &Ip<'_>) -> Option<Neighbour> {
    let source = ip.addresses.source();
    (ip.protocol == ICMPV6 && source.is_ipv6()).then(|| neighbour::discovery(ip.payload, source)).flatten()
}

/// RFC 768. A length of 0 stands in jumbograms (RFC 2675 section 4): as long as the packet.
#[inline]
fn datagram(octets: Octets<'_>) -> Result<(Datagram<'_>, Octets<'_>), Undecodable> {
    let [s0, s1, d0, d1, l0, l1, _, _] = *octets.head::<8>()?;
    let octets = match usize::from(u16::from_be_bytes([l0, l1])) {
        0 => octets,
        1..8 => return Err(Undecodable::Malformed),
        length => octets.declared(length.min(octets.length)),
    };
    let payload = octets.after(8)?;
    let datagram = Datagram {
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port: u16::from_be_bytes([d0, d1]),
        length: payload.wire_length(),
        payload: payload.captured,
    };
    Ok((datagram, payload))
}

const ICMP: u8 = 1;
const IPV4_IN_IP: u8 = 4;
const TCP: u8 = 6;
const UDP: u8 = 17;
const IPV6_IN_IP: u8 = 41;
const GRE: u8 = 47;
const ICMPV6: u8 = 58;
const MPLS_IN_IP: u8 = 137;

/// Tunnels within tunnels that are entered; deeper ones are read as what carries them.
const MAX_TUNNELS: u8 = 8;

#[cfg(test)]
mod tests;
