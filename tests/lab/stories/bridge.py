"""Upstreams in containers: behind a bridge of the gateway's host, so that a capture on all its interfaces sees each packet
to and from them twice, at the bridge and at its port."""

import signal

from lab import APP, SECOND_APP, get, post
from stories.haproxy import settings
from stories.nginx_settings import location
from stories.registry import story

TWO_CONTAINERS = f"""
upstream app {{
    server {APP} max_fails=0;
    server {SECOND_APP} max_fails=0;
    keepalive 8;
}}
"""
LARGE = {"/files/large": "large:16000"}


@story("Of two containers behind a bridge one resets a connection, and the other one is stopped", leg="bridged")
def bridge_nginx_reset_and_masked(lab):
    """nginx sends requests to two containers in turn. The second one resets a connection instead of answering; then the
    first one is stopped, and nginx tries the second one after it. The capture holds every packet of theirs twice."""
    first = lab.start_upstream(behave=LARGE)
    lab.start_upstream(SECOND_APP, place="second", behave={**LARGE, "/invoices": "reset"})
    lab.start_nginx(TWO_CONTAINERS, location(request_id=True))
    lab.session(get("/files/1"), get("/files/2"), get("/files/large"), get("/files/large"))
    lab.session(post("/upload", body_bytes=8000), post("/invoices", 502))
    lab.end(first, signal.SIGTERM)
    lab.session(get("/files/3"))
    lab.start_upstream(behave=LARGE)
    lab.session(get("/files/4"), get("/files/large"))
    lab.require(r"recv\(\) failed \(104: Connection reset by peer\) while reading response header.*POST /invoices")
    lab.require(r"GET /files/3 .*status=200 .*upstream_status=502, 200 ")
    lab.expect(f"502 POST /invoices reset_without_response upstream={SECOND_APP}")
    lab.expect(f"masked GET /files/3 connect_refused upstream={APP}")


@story("A container behind a bridge ends its response inside the header section", leg="bridged")
def bridge_haproxy_truncated_head(lab):
    """The application sends half a header section and closes. The capture holds every packet of its leg twice."""
    lab.start_upstream(behave={**LARGE, "/avatar": "cut_head"})
    lab.start_haproxy(settings())
    lab.session(get("/files/large"), post("/upload", body_bytes=8000), get("/files/large"))
    lab.session(get("/avatar", 502))
    lab.session(get("/files/1"))
    lab.require(r" app/app1 .* 502 .*GET /avatar ")
    lab.require(r"sent half a header section", of="upstream")
    lab.expect(f"502 GET /avatar truncated_header upstream={APP}")
