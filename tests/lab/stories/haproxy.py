"""HAProxy in front of a misbehaving upstream."""

from lab import APP, get, post
from stories.registry import story
from stories.request import CROSSING_S, IDLE_CLOSE_S


@story("A POST crosses the FIN of the idle connection, and HAProxy closes without a word", one_way_ms=20)
def haproxy_race_silent_close(lab):
    """The application closes connections after 2 s idle; the request is under way when it does. On a server connection
    that was used before, HAProxy closes the client's connection without a response, so that the client may repeat. It
    logs nothing of it."""
    lab.start_upstream(idle_close=IDLE_CLOSE_S)
    lab.start_haproxy(settings())
    lab.session(get("/cart"), post("/cart/items"), post("/cart/pay", None, pause_s=CROSSING_S))
    lab.session(get("/cart"))
    lab.require(r"idle for 2.0 s: closing, no request has been read", of="upstream")
    lab.require(r"POST /cart/items .*\n.*GET /cart ")
    lab.forbid(r"POST /cart/pay")
    lab.expect(f"null POST /cart/pay keepalive_race upstream={APP}")


@story("The response's status line has no status")
def haproxy_bad_status_line(lab):
    """The application answers "HTTP/1.1 2xx OK", and HAProxy rejects the response."""
    lab.start_upstream(behave={"/beta": "bad_status_line"})
    lab.start_haproxy(settings("option forwardfor", "http-request set-header X-Request-ID %[uuid()]"))
    lab.session(get("/stable"), get("/beta", 502))
    lab.session(get("/stable"))
    lab.require(r" app/app1 .* 502 .* PH-- .*GET /beta ")
    lab.expect(f"502 GET /beta malformed_response upstream={APP}")


@story("The health checks fail, and HAProxy has no server left")
def haproxy_health_checks_down(lab):
    """The application answers requests, but from its second to its fifth second its health page fails. After two
    probes HAProxy takes the server out and answers by itself."""
    lab.start_upstream(behave={"/health": "ailing:2-5"})
    lab.start_haproxy(settings("option httpchk GET /health", server="check inter 500ms fall 2 rise 2"))
    lab.pause(0.7)
    lab.session(get("/tickets/1"), get("/tickets/2"))
    lab.pause(2.3)
    lab.session(get("/tickets/3", 503), get("/tickets/4", 503))
    lab.pause(2.5)
    lab.session(get("/tickets/5"))
    lab.require(r"Server app/app1 is DOWN")
    lab.require(r"app/<NOSRV> .* 503 .* SC-- .*GET /tickets/4 ")
    lab.expect("503 GET /tickets/3 no_upstream_attempt", "503 GET /tickets/4 no_upstream_attempt")


@story("The upstream does not answer in HAProxy's time")
def haproxy_timeout(lab):
    """The application needs 5 s, and HAProxy waits for 2 s."""
    lab.start_upstream(behave={"/search": "slow:5"})
    lab.start_haproxy(settings("timeout server 2s", "option forwardfor"))
    lab.session(get("/"), get("/search", 504))
    lab.session(get("/"))
    lab.require(r" app/app1 .* 504 .* sH-- .*GET /search ")
    lab.expect(f"504 GET /search response_timeout upstream={APP}")


@story("Nobody listens at the upstream's port, and HAProxy tries four times")
def haproxy_connect_refused(lab):
    """The application is stopped. HAProxy tries again three times, a second apart, and says 503."""
    application = lab.start_upstream()
    lab.start_haproxy(settings())
    lab.session(get("/orders/1"))
    lab.end(application)
    lab.session(get("/orders/2", 503))
    lab.start_upstream()
    lab.session(get("/orders/3"))
    lab.require(r" app/app1 .* 503 .* SC-- .*GET /orders/2 ")
    lab.expect(f"503 GET /orders/2 connect_refused upstream={APP}")


def settings(*backend, server=""):
    """A frontend and a backend with one server."""
    lines = "".join(f"    {line}\n" for line in [*backend, f"server app1 {APP} {server}".rstrip()])
    return f"""{DEFAULTS}    default_backend app

backend app
{lines}"""


# What stands before the backends; the frontend has to say which one it uses.
DEFAULTS = """
defaults
    mode http
    log global
    option httplog
    timeout connect 2s
    timeout client 10s
    timeout server 10s

frontend web
    bind :8080
"""
