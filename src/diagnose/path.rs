//! What the network itself says of a connection, and what its silence fits: ICMP errors, packets too large for the way, and
//! devices that forget what has been idle.

use std::time::Duration;

use crate::diagnose::cause::Cause;
use crate::diagnose::evidence::{Attempt, Verdict, span};
use crate::diagnose::incident::Actor;
use crate::event::{Moment, Side, Unreachable};

/// What an ICMP error says about a packet, and what that is to a SYN. `None` where it says nothing of the way.
pub(super) fn meaning(error: &Unreachable) -> Option<(Cause, &'static str)> {
    use Cause::{ConnectProhibited, ConnectUnreachable};
    Some(match (error.v6, error.icmp_type, error.code) {
        (false, 3, 0) => (ConnectUnreachable, "net unreachable"),
        (false, 3, 1) => (ConnectUnreachable, "host unreachable"),
        (false, 3, 2) => (ConnectProhibited, "protocol unreachable"),
        (false, 3, 3) => (ConnectProhibited, "port unreachable"),
        (false, 3, 5) => (ConnectUnreachable, "source route failed"),
        (false, 3, 6) => (ConnectUnreachable, "destination network unknown"),
        (false, 3, 7) => (ConnectUnreachable, "destination host unknown"),
        (false, 3, 8) => (ConnectUnreachable, "source host isolated"),
        (false, 3, 11) => (ConnectUnreachable, "network unreachable for the type of service"),
        (false, 3, 12) => (ConnectUnreachable, "host unreachable for the type of service"),
        (false, 3, 9) => (ConnectProhibited, "net administratively prohibited"),
        (false, 3, 10) => (ConnectProhibited, "host administratively prohibited"),
        (false, 3, 13) => (ConnectProhibited, "communication administratively prohibited"),
        (false, 3, 14) => (ConnectProhibited, "host precedence violation"),
        (false, 3, 15) => (ConnectProhibited, "precedence cutoff in effect"),
        (true, 1, 0) => (ConnectUnreachable, "no route to destination"),
        (true, 1, 1) => (ConnectProhibited, "administratively prohibited"),
        (true, 1, 2) => (ConnectUnreachable, "beyond scope of source address"),
        (true, 1, 3) => (ConnectUnreachable, "address unreachable"),
        (true, 1, 4) => (ConnectProhibited, "port unreachable"),
        (true, 1, 5) => (ConnectProhibited, "source address failed policy"),
        (true, 1, 6) => (ConnectProhibited, "reject route to destination"),
        (true, 1, 7) => (ConnectUnreachable, "error in source routing header"),
        (false, 11, 0) => (ConnectUnreachable, "time to live exceeded"),
        (true, 3, 0) => (ConnectUnreachable, "hop limit exceeded"),
        _ => return None,
    })
}

/// The size that an ICMP error says a packet must not exceed; 0 where a router that does not know of RFC 1191 says none.
fn too_big(error: &Unreachable) -> Option<u32> {
    let says_so = matches!((error.v6, error.icmp_type, error.code), (false, 3, 4) | (true, 2, _));
    says_so.then(|| error.mtu.unwrap_or(0))
}

/// With the ICMP errors about packets of an established connection that came after its request began.
pub(super) fn rejected(attempt: &Attempt<'_>, until: Moment, mut verdict: Verdict) -> Verdict {
    let since = attempt.exchange.started;
    let errors = attempt.conversation.unreachable.iter();
    let of_request =
        errors.filter(|(moment, error)| error.quoted == Side::Client && *moment > since && moment.at <= until.at);
    for (moment, error) in of_request {
        let Some((_, said)) = meaning(error) else { continue };
        let from = error.from;
        if verdict.detail.is_none() {
            verdict.detail = Some("icmp");
            verdict.why.push_str(&format!("; ICMP {said} from {from}"));
            verdict.summary.push_str(&format!(": {from} says {said} of its packets"));
        }
        verdict =
            verdict.proof(*moment, Actor::Network, format!("ICMP from {from}: {said}; quotes a packet of the request"));
    }
    verdict
}

/// With what tells that the way refuses packets for their size: a router's word, or that only large ones are lost.
pub(super) fn too_large(attempt: &Attempt<'_>, until: Moment, mut verdict: Verdict) -> Verdict {
    let since = attempt.exchange.started;
    let errors = attempt.conversation.unreachable.iter();
    let told = errors
        .filter(|(moment, error)| error.quoted == Side::Client && *moment > since && moment.at <= until.at)
        .find_map(|(moment, error)| Some((*moment, error.from, too_big(error)?)));
    if let Some((moment, from, mtu)) = told {
        let limit = if mtu == 0 { "an MTU that it does not name".to_owned() } else { format!("MTU {mtu}") };
        verdict.detail = Some("mtu");
        verdict.why.push_str(&format!("; {from} wants packets smaller: {limit}"));
        verdict.summary.push_str(&format!(
            ": {from} told the gateway that its packets are too large ({limit}), and they did not become smaller"
        ));
        return verdict.proof(moment, Actor::Network, format!("ICMP from {from}: packet too big, {limit}"));
    }
    let repeats = attempt.conversation.repeats.iter();
    let lost = repeats.filter(|repeat| repeat.sender == Side::Client && repeat.moment > since);
    let Some(least) = lost.map(|repeat| repeat.length).min().filter(|least| *least >= LARGE) else { return verdict };
    verdict.detail = Some("large_segments");
    verdict.why.push_str(&format!("; only segments of {least} octets and more were lost"));
    verdict.or_else(
        None,
        format!(
            "a path MTU black hole: packets of {} octets do not pass, smaller ones did, and no router says so (`ping -M do -s {} HOST`)",
            least + HEADERS,
            least + HEADERS - ECHO_HEADERS
        ),
    )
}

/// Whether a device is known that forgets what has been idle for so long.
pub(super) fn may_be_forgotten(idle: Duration) -> bool {
    DEVICES.iter().any(|(limit, _)| *limit <= idle.as_secs())
}

/// With the devices that are known to forget connections after no longer than they had been idle, as candidates.
pub(super) fn forgotten_by(idle: Duration, verdict: Verdict) -> Verdict {
    let mut known = DEVICES.iter().rev().filter(|(limit, _)| *limit <= idle.as_secs());
    match known.next() {
        Some((limit, device)) => {
            let others: Vec<String> = known.map(|(limit, device)| format!("{limit} s: {device}")).collect();
            let others = if others.is_empty() { String::new() } else { format!("; or sooner ({})", others.join("; ")) };
            verdict.or_else(
                Some(Cause::IdleFlowDropped),
                format!("{device} on the way: it forgets what has been idle for {limit} s{others}"),
            )
        }
        None => verdict.unknown(format!(
            "which device forgets a connection after {}: the usual ones keep it for {} s at least",
            span(idle),
            DEVICES.first().map_or(0, |(limit, _)| *limit)
        )),
    }
}

/// After how many seconds devices forget an idle connection, as they are shipped.
const DEVICES: &[(u64, &str)] = &[
    (240, "Azure's load balancer or NAT"),
    (350, "AWS's network load balancer or NAT gateway"),
    (600, "Google Cloud's firewall"),
    (900, "IPVS (Docker Swarm, kube-proxy in its IPVS mode)"),
    (3600, "a firewall with an hour's limit, as many have"),
];

/// Segments as large as this come near to what a link takes.
const LARGE: u64 = 1000;
/// Octets of IPv4 and TCP headers, and of IPv4 and echo request headers.
const HEADERS: u64 = 40;
const ECHO_HEADERS: u64 = 28;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::incident::Grade;

    fn candidates(idle_s: u64) -> Vec<String> {
        let verdict = Verdict::new(Cause::IdleFlowDropped, Grade::Consistent, "", "");
        forgotten_by(Duration::from_secs(idle_s), verdict).candidates.into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn the_device_whose_limit_is_the_nearest_below_comes_first() {
        assert!(candidates(361)[0].starts_with("AWS's network load balancer"));
        assert!(candidates(250)[0].starts_with("Azure's"));
        assert!(candidates(905)[0].starts_with("IPVS"));
        assert_eq!(candidates(120), Vec::<String>::new());
    }
}
