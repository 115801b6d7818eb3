"""An origin behind a gateway that one rents: only the origin's side can be seen. A client of the lab sends what such a gateway
sends, and closes as it does; the statuses that must be found are those that its maker documents."""

import signal

from lab import GATEWAY, get
from stories.registry import story

ORIGIN = f"{GATEWAY}:8080"
CLOUDFLARE = {
    "CF-Ray": "8f1c2d3e4a5b6c7d-FRA",
    "CF-Connecting-IP": "192.0.2.7",
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "https",
    "CDN-Loop": "cloudflare",
}
BALANCER = {
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
    "X-Amzn-Trace-Id": "Root=1-6745f0a1-1b2c3d4e5f60718293a4b5c6",
}
APPLICATION_GATEWAY = {
    "X-Forwarded-For": "192.0.2.7:50110",
    "X-Original-Host": "shop.example",
    "X-Original-URL": "/",
    "X-AppGW-Trace-Id": "5d0f1c7a9be34f6f8a2f0d0c1b2a3948",
}
# As Go's library writes the names.
TUNNEL = {
    "Cf-Ray": "8f1c2d3e4a5b6c7d-FRA",
    "Cf-Connecting-Ip": "192.0.2.7",
    "Cdn-Loop": "cloudflare; loops=1",
    "X-Forwarded-For": "192.0.2.7",
    "X-Forwarded-Proto": "https",
}


@story("An origin behind Cloudflare fails in every phase")
def origin_cloudflare(lab):
    """Seen at the origin. Requests bear Cloudflare's fields. The application answers, answers 503, closes and resets without
    an answer, and is stopped."""
    behave = {"/empty": "close", "/torn": "reset", "/half": "cut_head", "/sorry": "say:503 Service Unavailable"}
    application = lab.start_upstream(ORIGIN, "gateway", behave=behave)
    lab.ask_origin(get("/menu", headers=CLOUDFLARE), get("/sorry", 503, headers=CLOUDFLARE))
    for path in ("/empty", "/torn"):
        lab.ask_origin(get(path, None, headers=CLOUDFLARE))
    lab.ask_origin(get("/half", 200, headers=CLOUDFLARE))
    lab.end(application, signal.SIGTERM)
    lab.ask_origin(get("/down", None, headers=CLOUDFLARE))
    lab.require(r"closing the connection, nothing sent", of="upstream")
    lab.expect(f"503? GET /sorry relayed_error upstream={ORIGIN}")
    lab.expect(f"520? GET /empty closed_without_response upstream={ORIGIN}")
    lab.expect(f"520? GET /torn reset_without_response upstream={ORIGIN}")
    lab.expect(f"520? GET /half truncated_header upstream={ORIGIN}")
    lab.expect(f"521? - - connect_refused upstream={ORIGIN}")


@story("An origin behind an AWS Application Load Balancer fails")
def origin_load_balancer(lab):
    """Seen at the target. The application closes without an answer, and its firewall drops what opens a connection; the
    balancer gives up after ten seconds."""
    lab.start_upstream(ORIGIN, "gateway", behave={"/empty": "close"})
    lab.ask_origin(get("/menu", headers=BALANCER))
    lab.ask_origin(get("/empty", None, headers=BALANCER))
    drop = ["INPUT", "-p", "tcp", "--dport", "8080", "--syn", "-j", "DROP"]
    lab.firewall("-I", *drop, place="gateway")
    lab.ask_origin(get("/menu", None, leave_after_s=10.0, headers=BALANCER))
    lab.firewall("-D", *drop, place="gateway")
    lab.require(r"closing the connection, nothing sent", of="upstream")
    lab.expect(f"502? GET /empty closed_without_response upstream={ORIGIN}")
    lab.expect(f"504? - - connect_timeout upstream={ORIGIN}")


@story("An origin behind Azure's Application Gateway is too slow for it")
def origin_application_gateway(lab):
    """Seen at the backend. The application takes 22 seconds; the gateway waits for twenty, as it is shipped."""
    lab.start_upstream(ORIGIN, "gateway", behave={"/report": "slow:22"})
    lab.ask_origin(get("/menu", headers=APPLICATION_GATEWAY))
    lab.ask_origin(get("/report", None, leave_after_s=20.0, headers=APPLICATION_GATEWAY))
    lab.pause(2.5)
    lab.require(r"read GET /report", of="upstream")
    lab.expect(f"504? GET /report response_timeout upstream={ORIGIN}")


@story("An origin behind Cloudflare's tunnel, which runs on its own host")
def origin_tunnel(lab):
    """Seen at the origin: the requests come from the loopback interface."""
    local = "127.0.0.1:8080"
    lab.start_upstream(local, "gateway", behave={"/empty": "close"})
    lab.ask_origin(get("/menu", headers=TUNNEL), place="gateway", address=local)
    lab.ask_origin(get("/empty", None, headers=TUNNEL), place="gateway", address=local)
    lab.require(r"closing the connection, nothing sent", of="upstream")
    lab.expect(f"502? GET /empty closed_without_response upstream={local}")
