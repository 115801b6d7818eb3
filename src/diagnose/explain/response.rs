//! Waiting for the response, and reading it.

use crate::diagnose::explain::Explanation;

pub(super) const CLOSED_WITHOUT_RESPONSE: Explanation = Explanation {
    meaning: "The upstream got the whole request and closed the connection cleanly, without a single octet of \
        a response. The work may have been done or not.",
    proof: "The upstream's FIN acknowledges the whole request; no octet of a response before it.",
    look_alikes: "A FIN that does not acknowledge the request is keepalive_race. Several connections that end in \
        the same millisecond mean that the process died: see the episode.",
    todo: "The upstream's log at that second: an unhandled exception, a worker killed by its time-out (gunicorn \
        `--timeout`, uWSGI `harakiri`, PHP-FPM `request_terminate_timeout`), a worker recycled after its maximum number of \
        requests, a shutdown that does not wait. Then `journalctl -k`.",
};

pub(super) const RESET_WITHOUT_RESPONSE: Explanation = Explanation {
    meaning: "The upstream got the request and reset the connection without answering. The work may have been \
        done or not.",
    proof: "A RST from the upstream after it had acknowledged the request, with no octet of a response before it.",
    look_alikes: "A RST that acknowledges nothing of the request, on a connection that served before, is \
        keepalive_race. A process that closes a reused connection with the request unread sends the same RST: then the \
        verdict is not proven. One with a foreign TTL is middlebox_reset.",
    todo: "On the upstream: `journalctl -k | grep -i -e oom -e segfault`, `dmesg`; a process killed with unread \
        data resets. So does a program that closes without reading the body: look at its log and its size limits.",
};

pub(super) const TRUNCATED_HEADER: Explanation = Explanation {
    meaning: "The upstream began to answer and broke off before the end of the header section.",
    proof: "Octets of a response without the empty line that ends the header section, then FIN or RST (that is the \
        detail).",
    look_alikes: "If the gateway closes first, its time-out or its size limit did it: response_timeout or \
        response_header_too_large.",
    todo: "The upstream's process died or was killed while it wrote: its log at that second, `journalctl -k`, its \
        memory limit. The last octets that it sent are in the evidence.",
};

pub(super) const RESPONSE_TIMEOUT: Explanation = Explanation {
    meaning: "The upstream got the request and did not answer before the gateway gave up.",
    proof: "The request is acknowledged, the response does not come or not completely, and the gateway closes \
        first, after the interval that the report gives. A late answer is reported as well.",
    look_alikes: "If the request was not acknowledged, it is idle_flow_dropped or request_lost. If the client went \
        first, client_abort.",
    todo: "The same round number each time means the gateway's time-out. Find out why the upstream is slow (a query, \
        a lock, a call of its own, no free worker) before you raise it; its latency just before is in the table.",
};

pub(super) const RESPONSE_LOST: Explanation = Explanation {
    meaning: "The upstream answered, but the answer did not reach the gateway: packets of one size, or one \
        direction, get lost.",
    proof: "Later sequence numbers of the upstream show that it sent octets which never arrived, and the gateway's \
        acknowledgements show that it misses them, not the capture.",
    look_alikes: "Drops in the capture: there the gateway acknowledges what the capture lacks. An upstream that \
        sends nothing is response_timeout.",
    todo: "The usual reason is a smaller MTU on the path with ICMP filtered: `ping -M do -s 1472 HOST` from the upstream to \
        the gateway (`-s 1452` by IPv6), `tracepath HOST`. Let ICMP type 3 code 4 and ICMPv6 type 2 pass, or clamp the MSS.",
};

pub(super) const RESPONSE_HEADER_TOO_LARGE: Explanation = Explanation {
    meaning: "The response's header section is larger than the gateway accepts, so it rejected the whole response.",
    proof: "The gateway closes during or right after a header section that exceeds its limit; the report gives the \
        size and the limits of the known gateways.",
    look_alikes: "A header section of that size that the gateway passed on elsewhere in the capture excludes it; \
        then look at malformed_response.",
    todo: "Which fields are that long? Usually Set-Cookie, then Content-Security-Policy and Link. Make them \
        shorter, or raise the gateway's limit (nginx: `proxy_buffer_size`).",
};

pub(super) const MALFORMED_RESPONSE: Explanation = Explanation {
    meaning: "The upstream answered with something that HTTP does not allow, and the gateway rejected it.",
    proof: "The octet at which the response breaks the rules (the report gives its offset and which rule), followed \
        by the gateway's own answer.",
    look_alikes: "The first octets reveal mixed-up ports: 15 03 or 16 03 is TLS, 01 is FastCGI, 00 00 is HTTP/2. \
        Some gateways accept what others reject, so that the same response may be harmless elsewhere.",
    todo: "Fix what wrote it: an application that prints before its header, two layers that both set \
        Content-Length, a line feed in a field value. `curl -v --raw` straight to the upstream shows it.",
};

pub(super) const UNEXPECTED_UPGRADE: Explanation = Explanation {
    meaning: "The upstream answered 101 and switched protocols, but the request, as the gateway sent it, had not \
        asked for that.",
    proof: "A 101 on the upstream leg to a request without an Upgrade field.",
    look_alikes: "A 101 to a request that asked for it is an ordinary WebSocket; what fails later on it is another \
        cause.",
    todo: "Is the route set up for WebSockets in the gateway? It must pass on Upgrade and Connection. If the client \
        did not ask either, the upstream is at fault.",
};

pub(super) const UNSOLICITED_RESPONSE: Explanation = Explanation {
    meaning: "The upstream sent octets on an idle connection, although no request was outstanding. The next request on \
        it got the wrong answer, or none.",
    proof: "Octets from the upstream while no request was outstanding, and then a failure of the exchange that \
        follows.",
    look_alikes: "A 408 that announces the close of an idle connection is harmless where the gateway drops the \
        connection. Session tickets right after a TLS handshake are not a response.",
    todo: "Look at the response before it: a body longer than its Content-Length, or a body where none is allowed \
        (204, 304, HEAD), spills over. Fix the upstream's framing; it is a security problem as well.",
};

pub(super) const H2_REFUSED_STREAM: Explanation = Explanation {
    meaning: "The upstream refused the HTTP/2 stream before it did any work: it can be repeated safely.",
    proof: "RST_STREAM with error code 7 (REFUSED_STREAM) for the request's stream.",
    look_alikes: "Any other error code is h2_stream_error, and repeating is not known to be safe.",
    todo: "Compare the streams in flight with the upstream's SETTINGS_MAX_CONCURRENT_STREAMS; let the gateway open \
        more connections, and repeat refused streams.",
};

pub(super) const H2_GOAWAY: Explanation = Explanation {
    meaning: "The upstream was closing its HTTP/2 connection and had already said that it would not take this request.",
    proof: "GOAWAY whose last stream identifier is lower than the request's stream.",
    look_alikes: "A GOAWAY that covers the stream lets it finish; what fails then is another cause. Error code 0 is \
        a graceful end.",
    todo: "With code 0 it is a restart, a deployment or an age limit of connections: let the gateway repeat such \
        requests. With code 11 (ENHANCE_YOUR_CALM) the upstream defends itself against the gateway.",
};

pub(super) const H2_STREAM_ERROR: Explanation = Explanation {
    meaning: "The upstream cancelled this one HTTP/2 stream with an error, but kept the connection open.",
    proof: "RST_STREAM from the upstream for the request's stream; the error code is in the evidence.",
    look_alikes: "Code 7 is h2_refused_stream. A RST_STREAM from the gateway's side with code 8 (CANCEL) follows a \
        client that has gone.",
    todo: "Code 2 is an error inside the upstream: look at its log. Code 13 (HTTP_1_1_REQUIRED) wants HTTP/1.1 for \
        this path.",
};

pub(super) const H2_PROTOCOL_ERROR: Explanation = Explanation {
    meaning: "One side sent frames that HTTP/2 does not allow, and the other ended the connection or the stream.",
    proof: "The offending frame, or the GOAWAY or RST_STREAM with code 1 that complains of it; the report says \
        whose fault it was.",
    look_alikes: "HTTP/1 spoken to an HTTP/2 port, or the reverse, shows in the first octets: the preface `PRI * \
        HTTP/2.0`, or an HTTP/1 status line.",
    todo: "Check that both sides mean the same protocol on this port, with or without TLS. Otherwise update the \
        side at fault; as a stopgap use HTTP/1.1 upstream.",
};

pub(super) const FCGI_NO_OUTPUT: Explanation = Explanation {
    meaning: "The FastCGI application ended, or its connection did, before it had written any header.",
    proof: "END_REQUEST or the end of the connection before the first header on STDOUT; with it appStatus, \
        protocolStatus and what stood on STDERR.",
    look_alikes: "An application that writes an error page of its own is relayed_error. Silence until the gateway \
        gives up is response_timeout.",
    todo: "Read the STDERR text in the report, then the PHP-FPM log: `terminating` (request_terminate_timeout), \
        `exited on signal` (crash), `pm.max_children`. protocolStatus 2 means that all workers are busy.",
};

pub(super) const FCGI_PROTOCOL_ERROR: Explanation = Explanation {
    meaning: "What came back on the FastCGI connection is not FastCGI: the port speaks another protocol, or the \
        answer is for another request.",
    proof: "Octets that are no FastCGI record where one must stand; the report says which protocol they belong to.",
    look_alikes: "A FastCGI server that dies in the middle of a record is fcgi_no_output or truncated_body.",
    todo: "Check the port, and how the gateway is told to speak: FastCGI, uwsgi, SCGI and HTTP are four different \
        things (nginx: `fastcgi_pass`, `uwsgi_pass`, `scgi_pass`, `proxy_pass`).",
};

pub(super) const RELAYED_ERROR: Explanation = Explanation {
    meaning: "The gateway only passed it on: the upstream itself answered with this status.",
    proof: "The same status on the upstream leg, in a complete response.",
    look_alikes: "Where the gateway puts its own page over an upstream's error, the page looks like its own; the \
        status on the upstream leg decides.",
    todo: "Go one hop further: if the upstream is a gateway too and its upstream leg is in the capture, the report \
        already does. Otherwise read the upstream's log, or capture there.",
};

pub(super) const TRUNCATED_BODY: Explanation = Explanation {
    meaning: "The header section was valid, but the body broke off. The client usually has a 200 already, with half \
        a body; some gateways even hide that.",
    proof: "Fewer octets than Content-Length, or no last chunk, then FIN or RST from the upstream (that is the \
        detail).",
    look_alikes: "If the gateway closes first after a pause, it is stalled_body; if the client goes first, \
        client_abort. A wrong Content-Length truncates every response of a kind at the same place.",
    todo: "The upstream's log at that second, `journalctl -k`, and its memory and time limits. If the place is \
        always the same: is Content-Length computed before compression?",
};

pub(super) const STALLED_BODY: Explanation = Explanation {
    meaning: "The body stopped in the middle, and the gateway gave up after an interval. The client has a 200 and \
        half a body.",
    proof: "Octets of the body, then a pause of the length that the report gives, and the gateway closes first.",
    look_alikes: "A closed receive window of the client stalls the upstream as well: look for window zero \
        downstream. Lost segments are response_lost.",
    todo: "Find out what the upstream does in that pause: a slow query, an idle stream? Have streams send something \
        more often than the gateway's read time-out, or raise it for this path.",
};
