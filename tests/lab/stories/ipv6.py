"""The same failures where the legs are IPv6, and those that only IPv6 has."""

from lab import get, post
from stories.nginx_settings import location
from stories.path import lose_large_answers
from stories.registry import story

GATEWAY_6 = "[fd50:1::1]:8080"
APP_6 = "[fd50:2::2]:9000"
# Nobody has this address.
GONE_6 = "[fd50:2::9]:9000"
# Behind the upstream's host, which forwards.
BEHIND_6 = "[fd50:3::2]:9000"
NOWHERE_6 = "[fd50:4::2]:9000"
POOL_6 = f"upstream app {{\n    server {APP_6};\n}}\n"


@story("Both legs are IPv6, and nobody listens at the upstream's port", leg="dual")
def nginx_ipv6_refused(lab):
    """The application closes without an answer, and is stopped; its host answers the SYN with a RST. Then it is back."""
    behave = {"/orders/2": "close"}
    application = lab.start_upstream(APP_6, behave=behave)
    lab.start_nginx(POOL_6, location(request_id=True), dual=True)
    lab.session(get("/orders/1"), get("/orders/2", 502), address=GATEWAY_6)
    lab.end(application)
    lab.session(get("/orders/3", 502), get("/orders/4", 502), address=GATEWAY_6)
    lab.start_upstream(APP_6, behave=behave)
    lab.session(get("/orders/5"), address=GATEWAY_6)
    lab.require(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream.*fd50:2::2")
    lab.expect(f"502 GET /orders/2 closed_without_response upstream={APP_6}")
    lab.expect(f"502 GET /orders/3 connect_refused upstream={APP_6}", f"502 GET /orders/4 connect_refused upstream={APP_6}")


@story("An application on the gateway's own host listens on IPv4, and its name means IPv6 first", leg="dual")
def nginx_ipv6_localhost(lab):
    """As with "localhost", which has both ::1 and 127.0.0.1. nginx goes from one to the other, and the clients notice
    nothing."""
    local = "127.0.0.1:9000"
    lab.start_upstream(local, "gateway")
    lab.know_hosts(app="::1 127.0.0.1")
    lab.start_nginx("upstream app {\n    server app.lab:9000 max_fails=0;\n}\n", location(), dual=True)
    lab.session(get("/menu/1"), get("/menu/2"), post("/menu/3"), address=GATEWAY_6)
    lab.session(get("/menu/4"), get("/menu/5"))
    retried = r".*upstream=(\S+), \S+ upstream_status=502, 200"
    lab.expect_masked(rf"GET (/menu/\d) {retried}", "connect_refused")
    lab.expect("masked POST /menu/3 connect_refused upstream=[::1]:9000")


@story("Nobody on the link has the upstream's address of IPv6", leg="dual")
def nginx_ipv6_nobody_there(lab):
    """A server of the configuration does not exist any more. The gateway's kernel solicits its neighbour, three times, a
    second apart. nginx does not wait for that at first, and no SYN ever leaves; then it does, and the kernel tells it."""
    lab.start_upstream(APP_6)
    gone = f"location /soon {{ proxy_connect_timeout 2s; proxy_pass http://{GONE_6}; }}\n"
    gone += f"location /later {{ proxy_connect_timeout 9s; proxy_pass http://{GONE_6}; }}\n"
    lab.start_nginx(POOL_6, gone + location(request_id=True))
    lab.session(get("/menu"), get("/soon", 504), get("/menu"))
    lab.pause(3.0)
    lab.session(get("/later", 502), get("/menu"))
    lab.require(r"upstream timed out .* while connecting to upstream.*GET /soon")
    lab.require(r"connect\(\) failed \(113: .*\) while connecting to upstream.*GET /later")
    lab.expect("504 GET /soon connect_unreachable upstream=fd50:2::9")
    lab.expect(f"502 GET /later connect_unreachable upstream={GONE_6}")


@story("A router says by ICMPv6 that it may not, and that it knows no way", leg="dual")
def nginx_ipv6_router_refuses(lab):
    """Two applications are behind a router. Its firewall answers what goes to one of them with "administratively prohibited";
    of the other one's net it has no route any more. Both answers are the router's own."""
    lab.start_upstream(APP_6)
    lab.route_ipv6("fd50:3::/64", "fd50:4::/64")
    closed = f"location /closed {{ proxy_pass http://{BEHIND_6}; }}\nlocation /nowhere {{ proxy_pass http://{NOWHERE_6}; }}\n"
    lab.start_nginx(POOL_6, closed + location(request_id=True), dual=True)
    lab.firewall(
        "-I", "FORWARD", "-d", "fd50:3::/64", "-j", "REJECT", "--reject-with", "icmp6-adm-prohibited", tool="ip6tables"
    )
    lab.session(get("/menu"), get("/closed", 502), get("/nowhere", 502), get("/menu"), address=GATEWAY_6)
    lab.require(r"connect\(\) failed \(13: .*\) while connecting to upstream.*GET /closed")
    lab.require(r"connect\(\) failed \(101: .*\) while connecting to upstream.*GET /nowhere")
    lab.expect(f"502 GET /closed connect_prohibited upstream={BEHIND_6}")
    lab.expect(f"502 GET /nowhere connect_unreachable upstream={NOWHERE_6}")


@story("The way back loses large packets of IPv6, and small ones pass", leg="dual")
def nginx_ipv6_response_black_hole(lab):
    """The way to the upstream becomes narrow, as when a route moves into a tunnel, and no "packet too big" comes back. Of
    the application's answer only the small last segment arrives. nginx gives up after its proxy_read_timeout."""
    lose_large_answers(lab, APP_6)
