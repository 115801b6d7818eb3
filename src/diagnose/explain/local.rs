//! What happened on the client's side, in the gateway, or where the capture does not reach.

use crate::diagnose::explain::Explanation;

pub(super) const CLIENT_ABORT: Explanation = Explanation {
    meaning: "The client closed its connection before the answer was complete. The upstream did nothing wrong, but \
        may have been slow.",
    proof: "The client's FIN or RST comes before the gateway's close of the upstream leg.",
    look_alikes: "If the gateway closes upstream first and the client reacts to that, it is a time-out of the gateway.",
    todo: "How long had the client waited? Equal, round waits point to a time-out of the client or of a proxy before this \
        one. Otherwise users leave: look at the latency table.",
};

pub(super) const NO_UPSTREAM_ATTEMPT: Explanation = Explanation {
    meaning: "The gateway answered on its own. For this request it sent nothing to any upstream, although its \
        upstream leg is visible in this capture.",
    proof: "No SYN, no request and no query that fits, between the client's request and the answer, while other \
        requests of the same gateway do show up upstream. That alone does not tell why.",
    look_alikes: "All servers of the pool held down after failures (then those are in the capture, or failed health \
        checks), a full queue, a circuit breaker, no free ports or descriptors, a unix socket, a rule in the \
        configuration, a cached error.",
    todo: "The gateway's log names it at this second: `no live upstreams`, `<NOSRV>`, `UH`, `AH00940`, \
        `worker_connections`. For ports and descriptors: `ss -s`, `cat /proc/PID/limits`, `sysctl \
        net.ipv4.ip_local_port_range`.",
};

pub(super) const GATEWAY_CRASH: Explanation = Explanation {
    meaning: "The gateway's process ended with requests in flight: it crashed, was killed, restarted, or reloaded \
        without waiting for them.",
    proof: "Within milliseconds the gateway's kernel closes or resets many connections on both legs, and no \
        upstream acted first. Packets cannot tell a crash from a restart, so it is never proven.",
    look_alikes: "An upstream that dies closes its own connections only. A network failure leaves silence, not FINs.",
    todo: "On the gateway's host: `journalctl -k | grep -i -e segfault -e oom`, `journalctl -u SERVICE`, \
        `coredumpctl list`; was there a deployment or a reload at that moment?",
};

pub(super) const UPSTREAM_NOT_CAPTURED: Explanation = Explanation {
    meaning: "This capture shows the gateway's clients but not its upstreams, so that it cannot tell why the \
        gateway failed.",
    proof: "Not one packet of an upstream leg of this gateway in the whole capture.",
    look_alikes: "If the upstream leg is there for other requests, the gateway did not ask for this one: \
        no_upstream_attempt.",
    todo: "Capture again with both legs: `-i any` on the gateway's host, no filter on the client's port alone; in \
        the gateway's network namespace (`nsenter -t PID -n`); unix sockets and HTTP/3 do not show at all.",
};

pub(super) const UNKNOWN: Explanation = Explanation {
    meaning: "Something failed, and none of the known causes fits what the packets show.",
    proof: "None: the report lists the frames of both legs, and what each known cause lacks.",
    look_alikes: "Missing packets make anything look unknown: read first what the report says about drops, the \
        snaplen and the legs that were seen.",
    todo: "Look at the frames in Wireshark with the filter that the report prints, and at the gateway's log at that \
        second. A capture without drops (`-B`, a larger `-s`) may be enough.",
};
