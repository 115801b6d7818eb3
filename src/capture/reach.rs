//! What the kernel is to hand over while live: in come the focus and what was learned of the gateway, out comes an
//! expression in libpcap's language.
//!
//! A focus such as `port 8080` names one leg. The verdicts need the other legs of the same gateway, the errors that the
//! network sends about them, and the beginnings and ends of connections that carry no request at all. So the capture
//! begins wide, and narrows to what turned out to matter once the gateway's other leg is known; connections that the
//! gateway's host opens to endpoints not seen before stay in reach.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::capture::filter::words;
use crate::event::Endpoint;
use crate::flow::share::Share;
use crate::limits::LIVE_FILTER_WORDS;

/// What was learned of the gateway, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Legs {
    /// Endpoints at which it made attempts.
    pub upstreams: Vec<Endpoint>,
    /// Addresses that it made them from.
    pub backs: Vec<IpAddr>,
}

/// Everything that a verdict may need while nothing is known: all of TCP, errors, names, and fragments.
#[must_use]
pub fn wide() -> String {
    format!("tcp or {ALWAYS}")
}

/// The focus, the upstreams, and what the gateway's addresses open from `ephemeral` ports; of the rest the segments that
/// open and close connections. The wide expression where no leg was learned, or so many that the expression would grow too long.
#[must_use]
pub fn narrow(focus: &str, legs: &Legs, ephemeral: &RangeInclusive<u16>) -> String {
    if legs.upstreams.is_empty() {
        return wide();
    }
    let mut expression = format!("({focus}) or {ALWAYS} or {ENDS}");
    let mut ports: BTreeMap<IpAddr, Vec<u16>> = BTreeMap::new();
    for upstream in &legs.upstreams {
        ports.entry(upstream.ip()).or_default().push(upstream.port());
    }
    for (host, ports) in ports {
        let ports: Vec<String> = ports.iter().map(|port| format!("port {port}")).collect();
        // Writing to a String does not fail.
        let _ = write!(expression, " or (tcp and host {host} and ({}))", ports.join(" or "));
    }
    let (first, last) = (ephemeral.start(), ephemeral.end());
    for back in &legs.backs {
        let _ = write!(
            expression,
            " or (tcp and ((src host {back} and src portrange {first}-{last}) or (dst host {back} and dst portrange {first}-{last})))"
        );
    }
    // libpcap would take too long over more.
    if words(&expression).count() > LIVE_FILTER_WORDS { wide() } else { expression }
}

/// An expression, but of TCP only the connections that a share holds.
#[must_use]
pub fn within(expression: &str, share: Share) -> String {
    if share == Share::ALL {
        return expression.to_owned();
    }
    let held = |ports: [&str; 2]| {
        let [one, other] = ports;
        format!(
            "((({one} + {other}) * {} >> {}) & {} < {})",
            Share::FACTOR,
            Share::SHIFT,
            Share::PARTS - 1,
            share.parts()
        )
    };
    // libpcap knows where the ports of IPv4 stand, and of IPv6 only the place without extension headers.
    let (four, six) = (held(["tcp[0:2]", "tcp[2:2]"]), held(["ip6[40:2]", "ip6[42:2]"]));
    format!("({expression}) and (not tcp or (ip and {four}) or (ip6 and {six}))")
}

/// Neighbours that are asked for, errors about connections, names, and the later fragments of anything.
const ALWAYS: &str = "arp or icmp or icmp6 or port 53 or (ip[6:2] & 0x1fff != 0)";
/// Segments with SYN, FIN or RST. libpcap knows the flags of IPv4 by name, those of IPv6 by their place.
const ENDS: &str = "(tcp[tcpflags] & (tcp-syn|tcp-fin|tcp-rst) != 0) or (ip6[6] == 6 and ip6[53] & 0x07 != 0)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::filter::Filter;
    use crate::event::Frame;
    use crate::flow::steer::Captured;
    use crate::time::Timestamp;
    use crate::wire::link::LinkType;
    use etherparse::PacketBuilder;

    fn legs(upstreams: u16) -> Legs {
        let upstreams =
            (0..upstreams).map(|n| format!("10.0.{}.{}:{}", n / 200, n % 200, 3000 + n % 3).parse().unwrap());
        Legs { upstreams: upstreams.collect(), backs: vec!["10.0.9.1".parse().unwrap(), "fd00::1".parse().unwrap()] }
    }

    #[test]
    fn libpcap_takes_what_is_asked_of_it() {
        let ephemeral = 32768..=60999;
        Filter::compile(&wide()).unwrap();
        for upstreams in [1, 3, 30] {
            let narrow = narrow("port 8080 or host 192.0.2.1", &legs(upstreams), &ephemeral);
            assert!(narrow.starts_with("(port 8080 or host 192.0.2.1) or "), "{narrow}");
            Filter::compile(&narrow).unwrap();
        }
    }

    #[test]
    fn the_kernel_follows_the_connections_that_the_analysis_follows() {
        let share = Share::of(20);
        let mut filter = Filter::compile(&within("tcp or udp", share)).unwrap();
        let mut held = 0;
        for port in 40_000..40_500_u16 {
            for (source, destination) in [(port, 8080), (8080, port)] {
                for octets in [segment(true, source, destination), segment(false, source, destination)] {
                    let captured = Captured {
                        frame: Frame::new(0, 1),
                        at: Timestamp::default(),
                        link: LinkType::RAW,
                        interface: 0,
                        length: octets.len() as u32,
                        focused: true,
                        octets: &octets,
                    };
                    assert_eq!(filter.matches(&captured), share.holds(port, 8080), "port {port}");
                    held += u32::from(share.holds(port, 8080));
                }
            }
        }
        assert!((400..900).contains(&held), "{held} of 2000");
        assert_eq!(within("tcp", Share::ALL), "tcp");
    }

    /// A TCP segment over IPv4 or IPv6, without options and without data.
    fn segment(four: bool, source: u16, destination: u16) -> Vec<u8> {
        let builder = if four {
            PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        } else {
            PacketBuilder::ipv6([1; 16], [2; 16], 64)
        };
        let mut octets = Vec::new();
        builder.tcp(source, destination, 7, 1024).write(&mut octets, &[]).unwrap();
        octets
    }

    #[test]
    fn without_an_upstream_and_with_too_many_the_reach_stays_wide() {
        for upstreams in [0, 200] {
            assert_eq!(narrow("port 8080", &legs(upstreams), &(1024..=65535)), wide());
        }
    }

    #[test]
    fn the_ports_of_one_host_stand_together() {
        let upstreams = ["10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:80"].map(|endpoint| endpoint.parse().unwrap());
        let narrow = narrow("tcp", &Legs { upstreams: upstreams.into(), backs: Vec::new() }, &(1..=2));
        assert!(
            narrow
                .contains("(tcp and host 10.0.0.1 and (port 80 or port 81)) or (tcp and host 10.0.0.2 and (port 80))")
        );
    }
}
