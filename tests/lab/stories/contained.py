"""Gateways in containers: their host publishes a port of theirs, gives an upstream a service's address, and masquerades, so
that a capture on all its interfaces sees each packet under two names."""

import signal

from lab import APP, SECOND_APP, SERVICE, get, post
from stories.haproxy import settings
from stories.nginx_settings import location
from stories.registry import story

SERVICE_AND_APP = f"""
upstream app {{
    server {SERVICE} max_fails=0;
    server {SECOND_APP} max_fails=0;
    keepalive 8;
}}
"""


@story("A container's upstreams: one resets a connection; one is stopped, and tried in vain", leg="contained")
def contained_nginx_reset_and_masked(lab):
    """nginx, in a container, sends requests to a service's address and to another application in turn. The latter resets a
    connection instead of answering, and closes another one amid a header section; then the service's only application is
    stopped, and nginx tries the other one after it. The capture holds every packet twice, with other addresses or ports."""
    first = lab.start_upstream()
    lab.start_upstream(SECOND_APP, place="second", behave={"/invoices": "reset", "/avatar": "cut_head"})
    lab.start_nginx(SERVICE_AND_APP, location(request_id=True))
    lab.session(get("/files/1"), get("/files/2"), get("/files/3"), get("/files/4"))
    lab.session(get("/files/5"), post("/invoices", 502), get("/files/6"), post("/avatar", 502))
    lab.end(first, signal.SIGTERM)
    lab.session(get("/files/7"))
    lab.start_upstream()
    lab.session(get("/files/8"), get("/files/9"))
    lab.require(r"recv\(\) failed \(104: Connection reset by peer\) while reading response header.*POST /invoices")
    lab.require(r"GET /files/7 .*status=200 .*upstream=10.50.9.1:80, .*upstream_status=502, 200 ")
    lab.require(r"upstream prematurely closed connection while reading response header.*POST /avatar")
    lab.expect(f"502 POST /invoices reset_without_response upstream={SECOND_APP}")
    lab.expect(f"502 POST /avatar truncated_header upstream={SECOND_APP}")
    lab.expect(f"masked GET /files/7 connect_refused upstream={APP}")


@story("A service's application ends its response inside the header section; then it is gone", leg="contained")
def contained_haproxy_truncated_head(lab):
    """HAProxy, in a container, knows its application by a service's address. The application sends half a header section and
    closes; later it is stopped, and connections to the service are refused. The capture holds every packet twice."""
    app = lab.start_upstream(behave={"/avatar": "cut_head"})
    lab.start_haproxy(settings().replace(APP, SERVICE))
    lab.session(get("/files/1"), get("/files/2"))
    lab.session(get("/avatar", 502))
    lab.end(app, signal.SIGTERM)
    lab.session(get("/files/3", 503))
    lab.require(r" app/app1 .* 502 .*GET /avatar ")
    lab.require(r"sent half a header section", of="upstream")
    lab.require(r" app/app1 .* 503 .*GET /files/3 ")
    lab.expect(f"502 GET /avatar truncated_header upstream={APP}")
    lab.expect(f"503 GET /files/3 connect_refused upstream={APP}")
