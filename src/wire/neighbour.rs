//! Who has which address on a link: ARP (RFC 826) and neighbour discovery (RFC 4861). Of both only what is asked for, and
//! what is told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::octets::Octets;

/// A host's address on its link was asked for, or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Who asks; `None` where it is told.
    pub asker: Option<IpAddr>,
    /// Whose address on the link it is about.
    pub target: IpAddr,
}

/// Reads an ARP packet for IPv4 over Ethernet:
///
/// ```text
/// | hardware = 1 (2) | protocol = 0x0800 (2) | 6 (1) | 4 (1) | operation (2) |
/// | sender's hardware (6) | sender (4) | target's hardware (6) | target (4) |
/// ```
pub(super) fn arp(octets: Octets<'_>) -> Option<Neighbour> {
    let [0, 1, 0x08, 0, 6, 4, 0, operation, rest @ ..] = octets.head::<28>().ok()? else { return None };
    let [_, _, _, _, _, _, s0, s1, s2, s3, _, _, _, _, _, _, t0, t1, t2, t3] = *rest;
    let (sender, target) = (Ipv4Addr::new(s0, s1, s2, s3), Ipv4Addr::new(t0, t1, t2, t3));
    match *operation {
        // RFC 5227: who asks for itself tells that it is there; who has no address yet only makes sure that nobody is.
        REQUEST if sender == target => Some(Neighbour { asker: None, target: sender.into() }),
        REQUEST if !sender.is_unspecified() => Some(Neighbour { asker: Some(sender.into()), target: target.into() }),
        REPLY => Some(Neighbour { asker: None, target: sender.into() }),
        _ => None,
    }
}

/// Reads a neighbour solicitation or advertisement (RFC 4861 sections 4.3 and 4.4) from `source`:
///
/// ```text
/// | type = 135, 136 (1) | code = 0 (1) | checksum (2) | flags (4) | target (16) | …
/// ```
pub(super) fn discovery(octets: Octets<'_>, source: IpAddr) -> Option<Neighbour> {
    let [message, 0, _, _, _, _, _, _, target @ ..] = octets.head::<24>().ok()? else { return None };
    let target = IpAddr::V6(Ipv6Addr::from(*target));
    match *message {
        SOLICITATION if !source.is_unspecified() => Some(Neighbour { asker: Some(source), target }),
        ADVERTISEMENT => Some(Neighbour { asker: None, target }),
        _ => None,
    }
}

const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: [u8; 28] = [0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 9];

    fn read(octets: &[u8]) -> Option<(Option<String>, String)> {
        let found = arp(Octets::new(octets, octets.len()))?;
        Some((found.asker.map(|asker| asker.to_string()), found.target.to_string()))
    }

    #[test]
    fn arp_asks_and_tells() {
        assert_eq!(read(&ASKS), Some((Some("10.0.0.1".into()), "10.0.0.9".into())));
        let mut tells = ASKS;
        tells[7] = 2;
        assert_eq!(read(&tells), Some((None, "10.0.0.1".into())));
        let mut announces = ASKS;
        announces[27] = 1;
        assert_eq!(read(&announces), Some((None, "10.0.0.1".into())));
    }

    #[test]
    fn what_is_cut_or_of_another_kind_is_not_read() {
        assert_eq!(read(&ASKS[..27]), None);
        assert_eq!(read(&[0; 28]), None);
    }

    #[test]
    fn neighbour_discovery_asks_and_tells() {
        let source = IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]);
        let mut octets = [0; 24];
        octets[0] = 135;
        octets[23] = 9;
        let read = |octets: &[u8]| discovery(Octets::new(octets, octets.len()), source);
        let target = IpAddr::from([0, 0, 0, 0, 0, 0, 0, 9]);
        assert_eq!(read(&octets), Some(Neighbour { asker: Some(source), target }));
        octets[0] = 136;
        assert_eq!(read(&octets), Some(Neighbour { asker: None, target }));
        assert_eq!(discovery(Octets::new(&octets[..20], 20), source), None);
    }
}
