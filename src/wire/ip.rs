//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers: what the packet says of itself comes out, with its payload behind all
//! extension headers. Checksums are not looked at: on the sending host the network card computes them after the capture.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpAuthHeaderSlice, IpNumber, Ipv6FragmentHeaderSlice, Ipv6RawExtHeaderSlice};

use crate::wire::octets::Octets;
use crate::wire::packet::Undecodable;

/// An IP packet's header, and its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ip<'a> {
    pub(super) addresses: Addresses<'a>,
    pub(super) ttl: u8,
    pub(super) identification: u16,
    pub(super) protocol: u8,
    /// Set if the payload is not the whole datagram.
    pub(super) part: Option<Part>,
    pub(super) payload: Octets<'a>,
}

/// Source and destination. An `IpAddr` is 17 octets; to build one here and copy it on costs more than all other decoding.
#[derive(Clone, Copy, Debug)]
pub(super) enum Addresses<'a> {
    V4(&'a [u8; 4], &'a [u8; 4]),
    V6(&'a [u8; 16], &'a [u8; 16]),
    Known(&'a IpAddr, &'a IpAddr),
}

impl Addresses<'_> {
    #[inline]
    pub(super) fn source(self) -> IpAddr {
        match self {
            Self::V4(source, _) => IpAddr::V4(Ipv4Addr::from(*source)),
            Self::V6(source, _) => IpAddr::V6(Ipv6Addr::from(*source)),
            Self::Known(source, _) => *source,
        }
    }

    #[inline]
    pub(super) fn destination(self) -> IpAddr {
        match self {
            Self::V4(_, destination) => IpAddr::V4(Ipv4Addr::from(*destination)),
            Self::V6(_, destination) => IpAddr::V6(Ipv6Addr::from(*destination)),
            Self::Known(_, destination) => *destination,
        }
    }
}

/// Which part of its datagram a fragment is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) identification: u32,
    pub(super) offset: u32,
    pub(super) more: bool,
}

/// Reads the header of a packet.
#[inline]
pub(super) fn parse(octets: Octets<'_>) -> Result<Ip<'_>, Undecodable> {
    read(octets, Lengths::Declared)
}

/// Reads the header of a packet that an ICMP error quotes. The packet is cut, and some senders have by then changed its
/// length field to host byte order or taken the header off it, so that field says nothing.
pub(super) fn quoted(octets: Octets<'_>) -> Result<Ip<'_>, Undecodable> {
    read(octets, Lengths::Ignored)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lengths {
    Declared,
    Ignored,
}

#[inline]
fn read(octets: Octets<'_>, lengths: Lengths) -> Result<Ip<'_>, Undecodable> {
    let [first] = *octets.head()?;
    match first >> 4 {
        4 => v4(octets, lengths),
        6 => v6(octets, lengths),
        _ => Err(Undecodable::Malformed),
    }
}

#[inline]
fn v4(octets: Octets<'_>, lengths: Lengths) -> Result<Ip<'_>, Undecodable> {
    let [first, _, l0, l1, i0, i1, f0, f1, ttl, protocol, _, _, addresses @ ..] = octets.head::<20>()?;
    let (Some(source), Some(destination)) = (addresses.first_chunk(), addresses.last_chunk()) else {
        return Err(Undecodable::Malformed);
    };
    let header = usize::from(first & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([*l0, *l1]));
    let octets = match lengths {
        // Segmentation offload leaves 0 in the field: the packet is as long as the frame. Of less than a header there is
        // no reading.
        Lengths::Declared if total != 0 && total < header => return Err(Undecodable::Malformed),
        Lengths::Declared if total != 0 => octets.declared(total),
        _ => octets,
    };
    if header < 20 {
        return Err(Undecodable::Malformed);
    }
    let place = u16::from_be_bytes([*f0, *f1]);
    let (offset, more) = (u32::from(place & 0x1fff) * 8, place & 0x2000 != 0);
    let identification = u16::from_be_bytes([*i0, *i1]);
    let ip = Ip {
        addresses: Addresses::V4(source, destination),
        ttl: *ttl,
        identification,
        protocol: *protocol,
        part: (offset != 0 || more).then_some(Part { identification: u32::from(identification), offset, more }),
        payload: octets.after(header)?,
    };
    if *protocol == IpNumber::AUTHENTICATION_HEADER.0 && ip.part.is_none() { behind_extensions(ip) } else { Ok(ip) }
}

#[inline]
fn v6(octets: Octets<'_>, lengths: Lengths) -> Result<Ip<'_>, Undecodable> {
    let [_, _, _, _, l0, l1, protocol, ttl, addresses @ ..] = octets.head::<40>()?;
    let (Some(source), Some(destination)) = (addresses.first_chunk(), addresses.last_chunk()) else {
        return Err(Undecodable::Malformed);
    };
    let declared = usize::from(u16::from_be_bytes([*l0, *l1]));
    let payload = octets.after(40)?;
    let payload = match lengths {
        // 0 stands in jumbograms (RFC 2675 section 3) and in what offload has not cut yet: as long as the frame.
        Lengths::Declared if declared != 0 => payload.declared(declared),
        _ => payload,
    };
    let ip = Ip {
        addresses: Addresses::V6(source, destination),
        ttl: *ttl,
        identification: 0,
        protocol: *protocol,
        part: None,
        payload,
    };
    match IpNumber(*protocol) {
        IpNumber::TCP | IpNumber::UDP | IpNumber::IPV6_ICMP => Ok(ip),
        _ => behind_extensions(ip),
    }
}

/// Follows the chain of extension headers (RFC 8200 section 4) up to what is none, or to a fragment header: what follows
/// one is in the datagram, not in the packet. Each header is checked by itself: etherparse's iterator over a chain that
/// its lax reader gave back reads past the end where the chain was cut.
#[cold]
fn behind_extensions(mut ip: Ip<'_>) -> Result<Ip<'_>, Undecodable> {
    loop {
        let payload = ip.payload;
        let (length, next) = match IpNumber(ip.protocol) {
            IpNumber::IPV6_HEADER_HOP_BY_HOP | IpNumber::IPV6_ROUTE_HEADER | IpNumber::IPV6_DESTINATION_OPTIONS => {
                Ipv6RawExtHeaderSlice::from_slice(payload.captured)
                    .map(|header| (header.slice().len(), header.next_header()))
                    .map_err(|_| broken(payload))?
            }
            IpNumber::AUTHENTICATION_HEADER => IpAuthHeaderSlice::from_slice(payload.captured)
                .map(|header| (header.slice().len(), header.next_header()))
                .map_err(|_| broken(payload))?,
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                let header = Ipv6FragmentHeaderSlice::from_slice(payload.captured).map_err(|_| broken(payload))?;
                let (length, next) = (header.slice().len(), header.next_header());
                // A fragment that is the whole datagram (RFC 6946) is none.
                if header.is_fragmenting_payload() {
                    let part = Some(Part {
                        identification: header.identification(),
                        offset: u32::from(header.fragment_offset().value()) * 8,
                        more: header.more_fragments(),
                    });
                    return Ok(Ip { protocol: next.0, part, payload: payload.after(length)?, ..ip });
                }
                (length, next)
            }
            _ => return Ok(ip),
        };
        ip = Ip { protocol: next.0, payload: payload.after(length)?, ..ip };
    }
}

fn broken(payload: Octets<'_>) -> Undecodable {
    if payload.is_cut() { Undecodable::Truncated } else { Undecodable::Malformed }
}
