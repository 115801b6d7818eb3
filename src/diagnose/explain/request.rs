//! Sending the request.

use crate::diagnose::explain::Explanation;

pub(super) const KEEPALIVE_RACE: Explanation = Explanation {
    meaning: "The upstream closed a connection that had been idle, at the very moment when the gateway sent a \
        request on it. The request was never read: it can be repeated safely.",
    proof: "The connection had served before; the upstream's FIN (or RST) does not acknowledge the request, and \
        left before the request can have arrived.",
    look_alikes: "A crash on the request acknowledges it first: closed_without_response or reset_without_response. \
        If the gateway had already acknowledged the FIN, it is stale_reuse; if nothing comes back at all, \
        idle_flow_dropped. A process that closes with the request unread resets: that looks like a crash.",
    todo: "Make the gateway close idle connections before the upstream does: set its idle limit a second or \
        more below the upstream's keep-alive time-out. Or raise the latter (defaults: Node.js 5 s, gunicorn 2 s, \
        uvicorn 5 s). If idle times are short, look for a limit of requests per connection.",
};

pub(super) const STALE_REUSE: Explanation = Explanation {
    meaning: "The upstream had closed the connection, the gateway's kernel had acknowledged that, and the gateway \
        used it nevertheless.",
    proof: "The upstream's FIN, the gateway's acknowledgement of it, and only then the request; a RST answers it.",
    look_alikes: "In keepalive_race the FIN and the request cross on the way. Here the gateway could have known about it.",
    todo: "The cure is the same as for a race: the gateway's idle limit below the upstream's. A gateway that does \
        this often has a blocked event loop: look at its CPU load and at slow disk writes, and for a newer version that fixes it.",
};

pub(super) const IDLE_FLOW_DROPPED: Explanation = Explanation {
    meaning: "The connection had been idle, and a device in between (NAT, firewall, balancer) has forgotten it. The \
        request is lost there.",
    proof: "After an idle gap the request and its repetitions stay unacknowledged while the upstream answers on \
        other connections; or a RST comes that only a device in between can have sent.",
    look_alikes: "A dead upstream answers on no connection. An upstream that has closed answers with a RST of its own at \
        once: keepalive_race.",
    todo: "Compare the idle gaps with the time-outs on the path (240 s at Azure's balancer and NAT, 350 s at AWS NLB and \
        NAT, 600 s in Google Cloud, 900 s with IPVS). Send TCP keep-alives sooner than that (`sysctl net.ipv4.tcp_keepalive_time` and the socket \
        option), or let the gateway drop idle connections sooner.",
};

pub(super) const MIDDLEBOX_RESET: Explanation = Explanation {
    meaning: "The connection was reset in the upstream's name by somebody else: a firewall, an intrusion prevention \
        system, a balancer.",
    proof: "The RST comes faster than a round trip to the upstream takes, or with a TTL that all its other packets \
        exclude.",
    look_alikes: "An upstream behind a proxy of the same address varies little in TTL, too; the verdict gives both \
        TTLs, and how many packets they rest on.",
    todo: "The TTL tells how far away the sender is: `traceroute -T -p PORT HOST` shows what is at that distance. Look at \
        that device's log for the connection's ports.",
};

pub(super) const REQUEST_LOST: Explanation = Explanation {
    meaning: "The gateway sent the request again and again, and the upstream never acknowledged it, on a connection \
        that had just worked.",
    proof: "Repetitions of the request without an acknowledgement until the gateway gives up; the connection was \
        not idle before. What routers say of it by ICMP stands beside it: detail icmp, or mtu with the size they want.",
    look_alikes: "After an idle gap it is idle_flow_dropped. If only large segments are lost and small ones arrive, \
        the MTU is too small somewhere (detail large_segments). An unacknowledged request after a repeated SYN-ACK is accept_queue_full.",
    todo: "Look for loss: `mtr -T -P PORT HOST`, `nstat -az TcpRetransSegs`, error counters of the interfaces. Try \
        `ping -M do -s 1472 HOST` for the MTU. Did the upstream's host disappear at that moment?",
};

pub(super) const UPSTREAM_NOT_READING: Explanation = Explanation {
    meaning: "The upstream's kernel is there, but its program stopped reading: the receive window closed and stayed \
        closed until the gateway gave up.",
    proof: "A window of zero from the upstream while the request is incomplete, the gateway's probes, and no \
        opening before the gateway closes.",
    look_alikes: "Loss leaves the window open. An upstream that has read everything and does not answer is \
        response_timeout. Where the upstream itself closes in the end, its window still shut, it may have died for another \
        reason: then the verdict is consistent.",
    todo: "The upstream's program is stuck or overloaded: `ss -tn` on it shows the octets waiting in Recv-Q; take a \
        stack trace of the worker. Large uploads to a slow disk do this as well.",
};

pub(super) const EARLY_RESPONSE: Explanation = Explanation {
    meaning: "The upstream answered (usually with 413 or 401) before the request was completely sent, and \
        closed. The reset that followed made the gateway lose the answer.",
    proof: "A response on the upstream leg that begins before the end of the request, then FIN or RST while the \
        gateway still sends; downstream another status. The report gives the one that the upstream sent.",
    look_alikes: "A crash during an upload sends no response first: reset_without_response.",
    todo: "The status that the upstream sent names the real problem: too large, not allowed. Let the gateway apply the \
        same size limit first, or let the upstream read the rest of the request before it closes.",
};
