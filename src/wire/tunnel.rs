//! Headers of tunnels: what a tunnel packet carries comes out, if its header can be that of a tunnel.

use crate::wire::link::{self, Network};
use crate::wire::octets::Octets;
use crate::wire::packet::Undecodable;

/// What a UDP datagram to `port` carries, where that is the port of a tunnel. Anybody may use these ports for something
/// else: whether it was a tunnel is certain only when the packet inside can be read.
#[inline]
pub(super) fn over_udp(port: u16, octets: Octets<'_>) -> Option<Network<'_>> {
    match port {
        4789 | 8472 => vxlan(octets).ok(),
        6081 => geneve(octets).ok(),
        _ => None,
    }
}

/// RFC 7348 section 5; 8472 is what Linux used before the port was assigned.
///
/// ```text
/// | flags (1) | reserved (3) | VNI (3) | reserved (1) | Ethernet …
/// ```
fn vxlan(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    let [flags, ..] = *octets.head::<8>()?;
    if flags & 0x08 == 0 {
        return Err(Undecodable::Malformed);
    }
    link::ethernet(octets.after(8)?)
}

/// RFC 8926 section 3.4:
///
/// ```text
/// | version (2 bits), option length / 4 (6 bits) | flags (1) | protocol (2) | VNI (3) | reserved (1) | options | …
/// ```
fn geneve(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    let [first, _, high, low, ..] = *octets.head::<8>()?;
    if first >> 6 != 0 {
        return Err(Undecodable::Malformed);
    }
    by_type(u16::from_be_bytes([high, low]), octets.after(8 + usize::from(first & 0x3f) * 4)?)
}

/// RFC 2784 and RFC 2890; version 1 is that of PPTP (RFC 2637 section 4.1).
///
/// ```text
/// | C, K, S, version (2) | protocol (2) | checksum, reserved (0/4) | key (0/4) | sequence number (0/4) | …
/// ```
pub(super) fn gre(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    let [flags, version, high, low] = *octets.head::<4>()?;
    let [has_checksum, has_routing, has_key, has_sequence] = [0x80, 0x40, 0x20, 0x10].map(|bit| flags & bit != 0);
    // RFC 2784 section 2.3: packets with the routing bit of RFC 1701 are to be discarded.
    if has_routing {
        return Err(Undecodable::Malformed);
    }
    let has_acknowledgement = version & 0x80 != 0;
    let words = [has_checksum, has_key, has_sequence, has_acknowledgement].into_iter().filter(|has| *has).count();
    let payload = octets.after(4 + 4 * words)?;
    match (version & 0x07, u16::from_be_bytes([high, low])) {
        (1, 0x880b) => link::ppp(payload),
        (0, ERSPAN_II) if has_sequence => link::ethernet(payload.after(8)?),
        (0, ERSPAN_II) => link::ethernet(payload),
        (0, ERSPAN_III) => erspan_iii(payload),
        (0, protocol) => by_type(protocol, payload),
        _ => Err(Undecodable::Malformed),
    }
}

/// ERSPAN type III (draft-foschiano-erspan-03 section 4.3): 12 octets, and 8 more where the last bit says so.
fn erspan_iii(octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    let [.., last] = *octets.head::<12>()?;
    link::ethernet(octets.after(if last & 1 != 0 { 20 } else { 12 })?)
}

/// The protocol types of GRE and Geneve are EtherTypes; 0x6558 is Ethernet.
fn by_type(protocol: u16, octets: Octets<'_>) -> Result<Network<'_>, Undecodable> {
    match protocol {
        0x6558 => link::ethernet(octets),
        ether_type if ether_type >= 0x0600 => link::by_type(ether_type, octets),
        _ => Err(Undecodable::NotIp),
    }
}

/// Takes the label stack (RFC 3032 section 2.1) off; the S bit ends it.
pub(super) fn labels(mut octets: Octets<'_>) -> Result<Octets<'_>, Undecodable> {
    for _ in 0..MAX_LABELS {
        let [_, _, bottom, _] = *octets.head::<4>()?;
        octets = octets.after(4)?;
        if bottom & 1 != 0 {
            return Ok(octets);
        }
    }
    Err(Undecodable::Malformed)
}

/// MPLS does not say what it carries. Everybody looks at the first nibble (RFC 4928 section 3): 4 and 6 are IP, 0 is the
/// control word of a pseudowire (RFC 4385 section 3), and what is neither may be an Ethernet pseudowire without one.
/// An Ethernet address may begin like IP, so the candidates come in the order of their likelihood.
pub(super) fn below_labels(octets: Octets<'_>) -> impl Iterator<Item = Network<'_>> {
    let nibble = octets.captured.first().map_or(0, |octet| octet >> 4);
    let ip = matches!(nibble, 4 | 6).then_some(Network::Ip(octets));
    let behind_control_word = if nibble == 0 { octets.after(4).and_then(link::ethernet).ok() } else { None };
    let pseudowire = link::ethernet(octets).ok();
    [ip, behind_control_word, pseudowire].into_iter().flatten()
}

const ERSPAN_II: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;
/// More labels than any network stacks.
const MAX_LABELS: usize = 16;
