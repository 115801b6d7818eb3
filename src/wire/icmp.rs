//! ICMP (RFC 792) and ICMPv6 (RFC 4443) errors: which packet of which flow they are about. Other ICMP messages quote
//! nothing and are not read.

use crate::wire::ip;
use crate::wire::octets::Octets;
use crate::wire::packet::{Flags, IcmpError};

/// Reads an error:
///
/// ```text
/// | type (1) | code (1) | checksum (2) | unused, or the MTU (4) | as much as fits of the packet that it is about …
/// ```
pub(super) fn error(octets: Octets<'_>, v6: bool) -> Option<IcmpError> {
    let [icmp_type, code, _, _, mtu @ ..] = *octets.head::<8>().ok()?;
    let mtu = match (v6, icmp_type, code) {
        (true, 2, _) => Some(u32::from_be_bytes(mtu)),
        // RFC 1191 section 4: the lower half; 0 from routers that do not know of it.
        (false, 3, 4) => Some(u32::from_be_bytes(mtu) & 0xffff).filter(|mtu| *mtu != 0),
        (true, 1 | 3 | 4, _) | (false, 3 | 4 | 11 | 12, _) => None,
        _ => return None,
    };
    let quoted = ip::quoted(octets.after(8).ok()?).ok()?;
    let is_first = quoted.part.is_none_or(|part| part.offset == 0);
    let transport = quoted.payload.captured;
    let ports = match (quoted.protocol, transport) {
        (TCP | UDP | DCCP | SCTP | UDP_LITE, [s0, s1, d0, d1, ..]) if is_first => {
            (u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1]))
        }
        _ => (0, 0),
    };
    let sequence = match (quoted.protocol, transport) {
        (TCP, [_, _, _, _, s0, s1, s2, s3, ..]) if is_first => Some(u32::from_be_bytes([*s0, *s1, *s2, *s3])),
        _ => None,
    };
    let syn = match (sequence, transport) {
        (Some(_), [_, _, _, _, _, _, _, _, _, _, _, _, _, flags, ..]) => {
            let flags = Flags(*flags);
            Some(flags.syn() && !flags.ack())
        }
        _ => None,
    };
    let query = match (quoted.protocol, transport) {
        (UDP, [_, _, _, _, _, _, _, _, i0, i1, ..]) if is_first => Some(u16::from_be_bytes([*i0, *i1])),
        _ => None,
    };
    Some(IcmpError {
        v6,
        icmp_type,
        code,
        mtu,
        source: quoted.addresses.source(),
        destination: quoted.addresses.destination(),
        protocol: quoted.protocol,
        ports,
        sequence,
        syn,
        query,
    })
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;
