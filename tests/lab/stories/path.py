"""What lies between nginx and its upstream fails, and says nothing, or only to the host."""

from lab import APP, get, post
from stories.nginx_settings import location
from stories.registry import story

# Nobody has this address.
GONE = "10.50.2.9:9000"
# A new connection for each request: TCP learns of what gets lost.
POOL = f"upstream app {{\n    server {APP};\n}}\n"


def lose_large_answers(lab, app):
    """An application whose answers are lost while the way to it is narrow."""
    lab.start_upstream(app, behave={"/report": "large:6000"})
    lab.start_nginx(f"upstream app {{\n    server {app};\n}}\n", location("proxy_read_timeout 3s;", request_id=True))
    lab.session(get("/report"), get("/menu"))
    lab.change_line("narrow")
    lab.session(get("/menu"), get("/report", 504))
    lab.change_line("wide")
    lab.session(get("/report"))
    lab.require(r"upstream timed out .* while reading response header from upstream.*GET /report")
    lab.require(r"sent 200 with much content", of="upstream")
    lab.expect(f"504 GET /report response_lost upstream={app}")


@story("The way back loses large packets, and small ones pass")
def nginx_response_black_hole(lab):
    """The way to the upstream becomes narrow, as when a route moves into a tunnel whose ends send no ICMP. The application
    answers at once; of its answer only the small last segment arrives. nginx gives up after its proxy_read_timeout."""
    lose_large_answers(lab, APP)


@story("The way out loses large packets, and small ones pass")
def nginx_request_black_hole(lab):
    """The way to the upstream is narrow. An upload leaves in large segments that TCP repeats in vain, while small requests
    are served. nginx gives up after its proxy_read_timeout."""
    lab.start_upstream()
    lab.start_nginx(POOL, location("proxy_read_timeout 3s;", request_id=True))
    lab.session(get("/menu"), post("/upload", body_bytes=6000))
    lab.change_line("narrow")
    lab.session(get("/menu"), post("/upload", 504, body_bytes=6000))
    lab.change_line("wide")
    lab.session(post("/upload", body_bytes=6000))
    lab.require(r"upstream timed out .*POST /upload")
    lab.expect(f"504 POST /upload request_lost upstream={APP}")


@story("Nobody on the link has the upstream's address")
def nginx_nobody_there(lab):
    """A server of the configuration does not exist any more. The gateway's kernel asks the link for its address, three times,
    a second apart. nginx does not wait for that at first, and no SYN ever leaves; then it does, and the kernel tells it."""
    lab.start_upstream()
    gone = f"location /soon {{ proxy_connect_timeout 2s; proxy_pass http://{GONE}; }}\n"
    gone += f"location /later {{ proxy_connect_timeout 9s; proxy_pass http://{GONE}; }}\n"
    lab.start_nginx(POOL, gone + location(request_id=True))
    lab.session(get("/menu"), get("/soon", 504), get("/menu"))
    lab.pause(3.0)
    lab.session(get("/later", 502), get("/menu"))
    lab.require(r"upstream timed out .* while connecting to upstream.*GET /soon")
    lab.require(r"connect\(\) failed \(113: .*\) while connecting to upstream.*GET /later")
    lab.expect(f"504 GET /soon connect_unreachable upstream={GONE.split(':')[0]}")
    lab.expect(f"502 GET /later connect_unreachable upstream={GONE}")
