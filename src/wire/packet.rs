//! A frame decoded down to its TCP segment, UDP datagram or ICMP error.

use std::net::IpAddr;

use crate::wire::link::LinkType;

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
    /// What it carries.
    pub content: Content<'a>,
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
    /// A fragment of a datagram; its octets are `Packet`'s whole IP payload.
    Fragment(Fragment<'a>),
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
    /// Not IP: ARP, LLDP, spanning tree and so on. Nothing is wrong with it.
    NotIp,
    /// The link type is not known to this program.
    LinkType(LinkType),
    /// Fewer octets than the headers need.
    Truncated,
    /// The headers contradict the RFC.
    Malformed,
}

/// Decodes a frame of `length` octets on the wire, of which `octets` were captured.
///
/// # Errors
///
/// Where no IP packet can be found, or its headers cannot be read.
pub fn decode(_link: LinkType, _octets: &[u8], _length: u32) -> Result<Packet<'_>, Undecodable> {
    Err(Undecodable::NotIp)
}
