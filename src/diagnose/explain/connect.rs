//! Finding the upstream and opening a connection to it.

use crate::diagnose::explain::Explanation;

pub(super) const DNS_NXDOMAIN: Explanation = Explanation {
    meaning: "The gateway asked for the upstream's name, and the final answer was that there is no such name, or no \
        address under it. It never had anywhere to connect to.",
    proof: "A query from the gateway, answered NXDOMAIN or with no address record, and no SYN for this request \
        afterwards.",
    look_alikes: "Search domains: `app.default.svc` is tried as several names, and NXDOMAIN for the first ones is \
        normal when a later one succeeds. Only the last answer counts. A gateway that remembers such an answer fails \
        later requests without asking (detail `remembered`, never proven).",
    todo: "Ask the same server the same question: `dig @RESOLVER NAME A` and AAAA. Look for a typo, a \
        deleted service or record, or a split-horizon zone. In Kubernetes: `kubectl get svc,endpoints`, and write \
        the name in full.",
};

pub(super) const DNS_FAILURE: Explanation = Explanation {
    meaning: "The gateway's name server answered, but with an error of its own (SERVFAIL, REFUSED), or its host \
        reported that nothing listens there.",
    proof: "The final answer to the gateway's query has rcode 2 or 5, or an ICMP unreachable quotes the query; no \
        SYN follows.",
    look_alikes: "A wrong name gives NXDOMAIN, which is dns_nxdomain; silence is dns_timeout. An error for one family \
        (AAAA) beside an address of the other is enough to fail nginx, but not other gateways.",
    todo: "Check the resolver itself: `dig @RESOLVER NAME`, then the same with `+cd`; if that works, DNSSEC \
        validation fails. REFUSED means that its access list does not know the gateway.",
};

pub(super) const DNS_TIMEOUT: Explanation = Explanation {
    meaning: "The gateway asked for the upstream's name and got no answer until it gave up on the request.",
    proof: "The query and its repetitions stay unanswered up to the gateway's answer to its client; no SYN follows.",
    look_alikes: "A late error of the resolver that the capture misses: a query that was put only once proves less \
        than a repeated one, and the verdict says so.",
    todo: "`dig @RESOLVER NAME` from the gateway's host. Look for a firewall on port 53, an overloaded resolver, a \
        full conntrack table (`conntrack -S`), or too many search domains.",
};

pub(super) const CONNECT_REFUSED: Explanation = Explanation {
    meaning: "The upstream's host answered the attempt to connect with a reset: nothing listens on that address and \
        port.",
    proof: "SYN from the gateway, answered by a RST that acknowledges exactly the SYN, from the upstream's address, \
        with a TTL and a delay that fit that host.",
    look_alikes: "A firewall that rejects with a reset sends the same packet; its TTL or its delay usually differs, \
        and then the verdict says so. A reset after the handshake is connect_reset.",
    todo: "On the upstream: `ss -ltn` (is it listening, on that port, and not on 127.0.0.1 only?), then why it was \
        down: `systemctl status`, `journalctl -u SERVICE`, `kubectl get pods`. On the gateway: compare address and \
        port with its configuration.",
};

pub(super) const CONNECT_TIMEOUT: Explanation = Explanation {
    meaning: "The gateway tried to connect, usually several times, and got no answer at all.",
    proof: "The SYN and its repetitions (after 1, 3, 7 s …) stay unanswered until the gateway gives up.",
    look_alikes: "A firewall that drops, a dead host, a wrong route back and a full accept queue are the same \
        packets here. If other connections to the same port succeed in the same seconds, suspect accept_queue_full.",
    todo: "From the gateway: `nc -vz HOST PORT`. On the upstream: `tcpdump port PORT` shows whether the SYN \
        arrives; if it does, `ss -ltn` (Recv-Q at Send-Q means a full queue) and `nstat -az TcpExtListenDrops`. If \
        not: firewalls, security groups, routes.",
};

pub(super) const CONNECT_UNREACHABLE: Explanation = Explanation {
    meaning: "The network reported that it cannot reach the upstream: the host is down, or a route is missing.",
    proof: "An ICMP network or host unreachable that quotes the gateway's SYN; or the gateway's ARP or neighbour \
        requests for the upstream, or for the router towards it, stay unanswered and no SYN leaves, or none is answered \
        (detail no_neighbour; capture `arp` as well).",
    look_alikes: "A firewall's refusal has other ICMP codes: that is connect_prohibited. Errors of the same router \
        about other flows are not counted.",
    todo: "Who sent the ICMP is in the evidence: look there first. `ip route get UPSTREAM` and `ip neigh` on the \
        gateway; is the upstream's host up, was it moved or re-addressed?",
};

pub(super) const CONNECT_PROHIBITED: Explanation = Explanation {
    meaning: "A firewall rejected the connection, and reported that by ICMP.",
    proof: "An ICMP administratively prohibited or port unreachable that quotes the gateway's SYN. A TCP stack \
        itself never answers a SYN like that.",
    look_alikes: "A host that is down gives host or network unreachable (connect_unreachable); a rule that rejects \
        with a TCP reset looks like connect_refused.",
    todo: "The sender of the ICMP is the firewall: on it, `nft list ruleset` or `iptables -S | grep REJECT`. Let \
        the gateway's address through to that port.",
};

pub(super) const ACCEPT_QUEUE_FULL: Explanation = Explanation {
    meaning: "The upstream is alive, but its program does not accept new connections as fast as they arrive, and \
        its accept queue overflowed.",
    proof: "The upstream repeats its SYN-ACK although the gateway acknowledged it, and does not acknowledge the \
        request that follows. Or SYNs are dropped while others to the same port succeed: then it is consistent, not \
        proven.",
    look_alikes: "Packet loss also repeats SYN-ACKs, but hits established connections as well. A firewall drops \
        every SYN, not some.",
    todo: "On the upstream: `ss -ltn` (Recv-Q near Send-Q), `nstat -az TcpExtListenOverflows TcpExtListenDrops`. \
        Find out why it accepts slowly (all workers busy?), then raise the backlog of the program and \
        `net.core.somaxconn`, or let the gateway queue.",
};

pub(super) const CONNECT_RESET: Explanation = Explanation {
    meaning: "The connection was accepted and reset at once, before the upstream had read any of the request.",
    proof: "A complete handshake on a fresh connection, then a RST from the upstream's side that acknowledges no \
        octet of the request.",
    look_alikes: "A crash on the request acknowledges the request first (reset_without_response). On a connection \
        that had served before, it is keepalive_race.",
    todo: "Look for something that accepts connections in the program's place: a layer-4 balancer or Kubernetes service without ready \
        members, `sysctl net.ipv4.tcp_abort_on_overflow`, TCP wrappers, a SYN proxy. On the upstream: `nstat -az \
        TcpExtTCPAbortOnClose TcpExtListenOverflows`.",
};
