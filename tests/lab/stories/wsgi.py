"""Gateways that speak uwsgi or SCGI to uWSGI."""

from lab import APP, get, post
from stories.registry import story

# What nginx's own uwsgi_params and scgi_params have of it.
VARIABLES = (
    ("REQUEST_METHOD", "request_method"), ("REQUEST_URI", "request_uri"), ("PATH_INFO", "document_uri"),
    ("QUERY_STRING", "query_string"), ("CONTENT_TYPE", "content_type"), ("SERVER_PROTOCOL", "server_protocol"),
    ("REMOTE_ADDR", "remote_addr"), ("REMOTE_PORT", "remote_port"), ("SERVER_NAME", "server_name"),
    ("SERVER_PORT", "server_port"),
)
LENGTH = ("CONTENT_LENGTH", "content_length")


def location(protocol, *directives):
    """A location that sends everything to the application. The first variable of SCGI is the length, which nginx puts there."""
    variables = VARIABLES if protocol == "scgi" else (LENGTH, *VARIABLES)
    params = [f"{protocol}_param {name} ${variable};" for name, variable in variables]
    lines = [*params, *directives, f"{protocol}_pass {APP};"]
    return "location / {\n" + "".join(f"    {line}\n" for line in lines) + "}"


@story("uWSGI's worker dies, meets an exception, or takes longer than harakiri")
def nginx_uwsgi_killed(lab):
    """nginx logs one line for all three: the upstream closed the connection. uWSGI's log tells them apart."""
    lab.start_uwsgi("socket")
    lab.start_nginx("", location("uwsgi"))
    lab.session(get("/home"), post("/killed", 502))
    lab.session(get("/fails", 502), get("/home"))
    lab.session(get("/hangs", 502))
    lab.session(get("/home"))
    for path in ("POST /killed", "GET /fails", "GET /hangs"):
        lab.require(rf"upstream prematurely closed connection while reading response header.*{path} ")
    lab.require(r"DAMN ! worker \d+ \(pid: \d+\) died, killed by signal 9", of="upstream")
    lab.require(r"RuntimeError: no such table: orders", of="upstream")
    lab.require(r"HARAKIRI ON WORKER", of="upstream")
    lab.expect(
        f"502 POST /killed closed_without_response upstream={APP}",
        f"502 GET /fails closed_without_response upstream={APP}",
        f"502 GET /hangs closed_without_response upstream={APP}",
    )


@story("What uWSGI answers is too large for nginx, too short, or too late")
def nginx_uwsgi_large_short_late(lab):
    """A header section of 9000 octets, of which nginx reads 4096; a response that promises 1000 octets and has 100; and one that
    comes after 1.5 s, of which nginx waits for one."""
    lab.start_uwsgi("socket")
    lab.start_nginx("", location("uwsgi", "uwsgi_read_timeout 1s;"))
    lab.session(get("/large", 502), get("/home"))
    lab.session(get("/short"))
    lab.session(get("/slow", 504))
    lab.pause(1)
    lab.session(get("/home"))
    lab.require(r"upstream sent too big header while reading response header.*GET /large ")
    lab.require(r"upstream timed out \(110: Connection timed out\) while reading response header.*GET /slow ")
    lab.expect(
        f"502 GET /large response_header_too_large upstream={APP}",
        f"200 GET /short truncated_body upstream={APP}",
        f"504 GET /slow response_timeout upstream={APP}",
    )


@story("nginx speaks SCGI: an application dies, and what is no longer there refuses")
def nginx_scgi_killed(lab):
    """A worker of uWSGI's is killed when it has read the request. Later uWSGI itself ends."""
    application = lab.start_uwsgi("scgi-socket")
    lab.start_nginx("", location("scgi"))
    lab.session(get("/home"), post("/killed", 502))
    lab.session(get("/short"))
    lab.require(r"DAMN ! worker \d+ \(pid: \d+\) died, killed by signal 9", of="upstream")
    lab.end(application)
    lab.session(get("/home", 502))
    lab.require(r"upstream prematurely closed connection while reading response header.*POST /killed ")
    lab.require(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream")
    lab.expect(
        f"502 POST /killed closed_without_response upstream={APP}",
        f"200 GET /short truncated_body upstream={APP}",
        f"502 GET /home connect_refused upstream={APP}",
    )


@story("Apache speaks uwsgi: a worker dies, and Apache says 500")
def apache_uwsgi_killed(lab):
    """Apache answers 500 to an application that closes the connection without an answer, where other gateways answer 502."""
    lab.start_uwsgi("socket")
    lab.start_apache(f"ProxyPass / uwsgi://{APP}/")
    lab.session(get("/home"), post("/killed", 500))
    lab.session(get("/home"))
    lab.require(r"DAMN ! worker \d+ \(pid: \d+\) died, killed by signal 9", of="upstream")
    lab.expect(f"500 POST /killed closed_without_response upstream={APP}")
