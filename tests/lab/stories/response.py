"""nginx got its request through, but no good response."""

from lab import APP, get, post
from stories.nginx_settings import POOL, location
from stories.registry import story


@story("The upstream resets the connection instead of answering")
def nginx_reset_without_response(lab):
    """The application reads the request and then resets the connection."""
    misbehave(lab, post("/invoices", 502), "reset", request_id=True)
    lab.require(r"recv\(\) failed \(104: Connection reset by peer\) while reading response header")
    lab.expect(f"502 POST /invoices reset_without_response upstream={APP}")


@story("The upstream closes the connection instead of answering")
def nginx_closed_without_response(lab):
    """The application reads the request and then closes the connection, as one does that crashes on it."""
    misbehave(lab, post("/invoices", 502), "close")
    lab.require(r"upstream prematurely closed connection while reading response header")
    lab.require(r"read POST /invoices", of="upstream")
    lab.expect(f"502 POST /invoices closed_without_response upstream={APP}")


@story("The response ends inside its header section")
def nginx_truncated_head(lab):
    """The application sends half a header section and closes."""
    misbehave(lab, post("/avatar", 502), "cut_head", request_id=True)
    lab.require(r"upstream prematurely closed connection while reading response header")
    lab.require(r"sent half a header section", of="upstream")
    lab.expect(f"502 POST /avatar truncated_header upstream={APP}")


@story("The response ends inside its content")
def nginx_truncated_body(lab):
    """The application promises 1000 bytes, sends 100 and closes. The client has its 200 already."""
    misbehave(lab, get("/avatar"), "cut_body")
    lab.require(r"upstream prematurely closed connection while reading upstream")
    lab.expect(f"200 GET /avatar truncated_body upstream={APP}")


@story("The response stops inside its content")
def nginx_stalled_body(lab):
    """The application promises 1000 bytes, sends 100 and then nothing; nginx waits for 1 s and closes both connections.
    The client has its 200 already."""
    lab.start_upstream(behave={"/video": "stall_body:2"})
    lab.start_nginx(POOL, location("proxy_read_timeout 1s;", request_id=True))
    lab.session(get("/home"), get("/video"))
    lab.session(get("/home"), get("/home/news", pause_s=1.5))
    lab.require(r"upstream timed out \(110: Connection timed out\) while reading upstream")
    lab.expect(f"200 GET /video stalled_body upstream={APP}")


@story("A field of the response holds a NUL")
def nginx_malformed_header(lab):
    """The application answers 200 with an octet in a field value that HTTP forbids; nginx rejects the response."""
    misbehave(lab, get("/trace", 502), "nul_in_header", request_id=True)
    lab.require(r"upstream sent invalid header")
    lab.expect(f"502 GET /trace malformed_response upstream={APP}")


@story("The response's header section is larger than nginx takes")
def nginx_header_too_large(lab):
    """The application sets a cookie of 9000 bytes; nginx has a buffer of 4 KiB for the header section."""
    misbehave(lab, get("/login", 502), "big_head:9000")
    lab.require(r"upstream sent too big header while reading response header")
    lab.expect(f"502 GET /login response_header_too_large upstream={APP}")


@story("The upstream answers, but too late")
def nginx_timeout_late_answer(lab):
    """The application needs 2.5 s, and nginx waits for 2 s."""
    lab.start_upstream(behave={"/search": "slow:2.5"})
    lab.start_nginx(POOL, location("proxy_read_timeout 2s;", request_id=True))
    lab.session(get("/"), get("/search", 504), get("/", pause_s=1.0))
    lab.require(r"upstream timed out \(110: Connection timed out\) while reading response header")
    lab.require(r"sent 200, .*", of="upstream")
    lab.expect(f"504 GET /search response_timeout upstream={APP}")


@story("The upstream itself answers 502")
def nginx_relayed_502(lab):
    """The application depends on something else that is broken, and says 502; nginx passes it on."""
    misbehave(lab, get("/quote", 502), "say:502 Bad Gateway")
    lab.require(r"GET /quote .*status=502 .*upstream_status=502 ")
    lab.require(r"sent 502 Bad Gateway", of="upstream")
    lab.expect(f"502 GET /quote relayed_error upstream={APP}")


def misbehave(lab, request, behaviour, request_id=False):
    """Sends one request that the application misbehaves on, between others that it does not."""
    lab.start_upstream(behave={request.path: behaviour})
    lab.start_nginx(POOL, location(request_id=request_id))
    lab.session(get("/home"), get("/home/news"))
    lab.session(get("/home"), request)
    lab.session(get("/home"), get("/home/news"))
