"""Events of which several failures are parts: a path, a name server, a server that has too much to do."""

from lab import ANY, APP, SECOND_APP, get
from resolvers import dnsmasq
from stories.nginx_settings import location
from stories.registry import story
from stories.resolve import APP_LAB, RESOLVER, by_name

# Two applications on two hosts, each with a pool of its own.
TWO_POOLS = f"""
upstream shop {{
    server {APP};
    keepalive 8;
}}
upstream stock {{
    server {SECOND_APP};
    keepalive 8;
}}
"""
TWO_LOCATIONS = """
proxy_http_version 1.1;
proxy_set_header Connection "";
proxy_set_header X-Request-ID $request_id;
proxy_connect_timeout 2s;
proxy_read_timeout 3s;
location /shop/ {
    proxy_pass http://shop;
}
location /stock/ {
    proxy_pass http://stock;
}
"""


@story("The way to both upstreams breaks for six seconds")
def nginx_path_outage(lab):
    """A line to the rack breaks, as when somebody pulls a cable, and is put back. Requests on kept connections and SYNs are
    unanswered alike, to both hosts; nginx gives up after its proxy_read_timeout and its proxy_connect_timeout."""
    lab.start_upstream(idle_close=600.0)
    lab.start_upstream(SECOND_APP, idle_close=600.0)
    lab.start_nginx(TWO_POOLS, TWO_LOCATIONS)
    lab.session(get("/shop/1"), get("/stock/1"), get("/shop/2"), get("/stock/2"))
    lab.change_line("broken")
    waiting = []
    for path in ("/shop/kept", "/stock/kept", "/shop/new/1", "/stock/new/1"):
        waiting.append(lab.begin_session(get(path, 504)))
        lab.pause(0.4)
    for session in waiting:
        lab.finish(session)
    lab.session(get("/shop/new/2", 504))
    lab.change_line("whole again")
    lab.session(get("/shop/3"), get("/stock/3"), get("/shop/4"), get("/stock/4"))
    # Until the kernel has repeated once more what nginx has given up.
    lab.pause(3.0)
    lab.require(r"upstream timed out .* while reading response header from upstream.*GET /shop/kept")
    lab.require(r"upstream timed out .* while connecting to upstream.*GET /shop/new/2")
    lab.expect(f"504 GET /shop/kept request_lost upstream={APP}", f"504 GET /stock/kept request_lost upstream={SECOND_APP}")
    lab.expect(*(f"504 GET /shop/new/{number} connect_timeout upstream={APP}" for number in (1, 2)))
    lab.expect(f"504 GET /stock/new/1 connect_timeout upstream={SECOND_APP}")


@story("A router loses everything to both upstreams, and nginx asks the other one in vain")
def nginx_path_outage_retried(lab):
    """Both servers are of one pool. A client asks one thing after the other. What failed on one server is tried on the other,
    and gets a 504 when that does not answer either."""
    lab.start_upstream()
    lab.start_upstream(SECOND_APP)
    servers = "".join(f"    server {app} fail_timeout=1s;\n" for app in (APP, SECOND_APP))
    lab.start_nginx(f"upstream app {{\n{servers}}}\n", location("proxy_connect_timeout 2s;"))
    lab.session(get("/a/1"), get("/a/2"), get("/a/3"))
    lose = ["PREROUTING", "-t", "raw", "-p", "tcp", "--dport", "9000", "-j", "DROP"]
    lab.firewall("-I", *lose)
    lost = [f"/b/{number}" for number in (1, 2, 3)]
    lab.session(*(get(path, 504, pause_s=2.5) for path in lost))
    lab.firewall("-D", *lose)
    lab.pause(2.5)
    lab.session(get("/a/4"), get("/a/5"), get("/a/6"))
    lab.require(r"upstream timed out .* while connecting to upstream.*GET /b/3")
    lab.expect(*(f"504 GET {path} connect_timeout upstream={APP},{SECOND_APP}" for path in lost))


@story("The name server is away for nine seconds")
def nginx_resolver_outage(lab):
    """A firewall drops the queries, as while the name server is moved. nginx needs the name for every request once it has
    forgotten the last answer. Then the firewall lets them pass again."""
    lab.start_upstream()
    lab.start_resolver(dnsmasq(RESOLVER, APP_LAB))
    lab.start_nginx("", by_name("resolver_timeout 2s;"))
    lab.session(*(get(f"/shop/{number}", pause_s=2.2) for number in (1, 2, 3, 4)))
    lab.pause(2.2)
    drop = ["INPUT", "-p", "udp", "--dport", "53", "-j", "DROP"]
    lab.firewall("-I", *drop)
    lab.session(*(get(f"/shop/lost/{number}", 502) for number in (1, 2, 3, 4)))
    lab.firewall("-D", *drop)
    lab.session(get("/shop/5", pause_s=4.0), get("/shop/6", pause_s=2.2))
    lab.require(r"app\.lab could not be resolved \(110: Operation timed out\).*GET /shop/lost/4")
    lab.expect(*(f"502 GET /shop/lost/{number} dns_timeout upstream=app.lab" for number in (1, 2, 3, 4)))


@story("An application with two workers gets more requests than it can serve, and later fewer")
def nginx_saturation(lab):
    """Each request takes a worker for 0.8 s. At first there is one at a time. Then come many at once: they wait in the
    accept queue, where nginx gives up on their answers, and when that is full the kernel drops what would open a connection.
    When fewer come, all are served again. Nothing was changed or restarted."""
    paths = [f"/report/{number}" for number in range(1, 20)]
    lab.start_upstream(workers=2, backlog=3, behave={path: "slow:0.8" for path in paths})
    pool = f"upstream app {{\n    server {APP};\n}}\n"
    lab.start_nginx(pool, location("proxy_connect_timeout 2s;", "proxy_read_timeout 2s;", request_id=True))
    lab.session(*(get(path) for path in paths[:2]))
    many = []
    for nth, path in enumerate(paths[2:16]):
        lab.pause(0.05 if nth < 10 else 0.4)
        many.append(lab.begin_session(get(path, ANY)))
    for session in many:
        lab.finish(session)
    lab.pause(5)
    lab.session(*(get(path) for path in paths[16:]))
    target = r".*\"GET (/report/\d+) .*upstream: \"http://([\d.:]+)/"
    lab.expect_logged(rf"timed out .* while reading response header{target}", 504, "response_timeout")
    lab.expect_logged(rf"timed out .* while connecting{target}", 504, "accept_queue_full")
