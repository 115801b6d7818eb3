"""What programs do by habit, and what restarts look like: what can be learned from many exchanges together."""

import signal

from lab import APP, SECOND_APP, get, post
from stories.nginx_settings import POOL, location
from stories.registry import story

BOTH = """
upstream app {{
    server 10.50.2.2:9000{options};
    server 10.50.2.3:9000{options};
    keepalive 8;
}}
"""


@story("Nothing has failed yet, but Node closes idle connections long before nginx does")
def nginx_node_race_waits(lab):
    """Node's HTTP server with its default settings announces that it keeps idle connections for 5 s, and closes them then,
    or up to a second later in some versions; nginx with its default settings keeps them for 60 s. The second server keeps
    them for longer, and so shows what nginx does. Every request is answered: none was under way when Node closed."""
    lab.start_node(APP)
    slow = [f"/slow/{number}" for number in (1, 2, 3, 4)]
    lab.start_upstream(SECOND_APP, idle_close=600.0, behave={path: "slow:0.8" for path in slow})
    lab.start_nginx(BOTH.format(options=""), location())
    for first in ("/a", "/b"):
        both = [
            lab.begin_session(get(f"{first}/1"), get(f"{first}/2", pause_s=1.0), get(f"{first}/3", pause_s=3.0)),
            lab.begin_session(get(f"{first}/4"), get(f"{first}/5", pause_s=1.5), get(f"{first}/6", pause_s=2.0)),
        ]
        for session in both:
            lab.finish(session)
        lab.pause(7.0)
    # Two of these at once go to the second server, which so gets a second connection.
    sessions = []
    for path in slow:
        sessions.append(lab.begin_session(get(path)))
        lab.pause(0.15)
    for session in sessions:
        lab.finish(session)
    lab.pause(61.5)
    lab.require(r"keepAliveTimeout is 5000 ms", of="upstream")
    lab.require(r"closed by node after [56].0", of="upstream")
    lab.require(r"(?s)the gateway closed.*the gateway closed", of="upstream")
    lab.expect("none")


@story("Nothing is wrong, and nothing waits to be: nginx lets go of idle connections before the application does")
def nginx_healthy_lets_go_first(lab):
    """nginx closes idle connections to the application after 2 s, the application after 5 s. Bursts, pauses of all lengths,
    slow answers and errors of the application's own: every request gets its answer, and no connection is closed by the
    application."""
    behave = {"/slow": "slow:1", "/missing": "say:404 Not Found"}
    lab.start_upstream(idle_close=5.0, behave=behave)
    lab.start_nginx(POOL.replace("keepalive 8;", "keepalive 8;\n    keepalive_timeout 2s;"), location())
    for pause_s in (0.3, 1.7, 2.1, 3.0, 5.1, 0.9):
        burst = [
            lab.begin_session(get("/a/1"), post("/a/2", pause_s=0.1), get("/missing", 404)),
            lab.begin_session(get("/slow"), get("/b/1", pause_s=0.6)),
            lab.begin_session(post("/c/1"), post("/c/2", pause_s=1.2, body_bytes=900)),
        ]
        for session in burst:
            lab.finish(session)
        lab.pause(pause_s)
    lab.require(r"the gateway closed", of="upstream")
    lab.expect("none")


@story("The upstream is restarted under traffic")
def nginx_restart_under_traffic(lab):
    """The process ends with a request in work, is away for a second, and is started again while clients go on asking:
    one event with two signatures, between requests that were answered."""
    application = lab.start_upstream(behave={"/orders/slow": "slow:20"})
    lab.start_nginx(POOL, location(request_id=True))
    lab.session(get("/orders/1"), get("/orders/2"))
    in_work = lab.begin_session(post("/orders/slow", 502))
    lab.pause(0.5)
    lab.end(application, signal.SIGTERM)
    lab.finish(in_work)
    refused = [f"/orders/{number}" for number in (3, 4, 5)]
    lab.session(*(get(path, 502, pause_s=0.25) for path in refused))
    lab.start_upstream()
    lab.session(*(get(f"/orders/{number}") for number in (6, 7, 8)))
    lab.require(r"upstream prematurely closed connection .*POST /orders/slow")
    lab.require(r"connect\(\) failed \(111: Connection refused\) .*GET /orders/5")
    lab.expect(f"502 POST /orders/slow closed_without_response upstream={APP}")
    lab.expect(*(f"502 GET {path} connect_refused upstream={APP}" for path in refused))


@story("Two upstreams are restarted one after the other")
def nginx_deploy_wave(lab):
    """A new version is rolled out: each server is ended with a request in work, is away for two seconds, and comes back
    before the next one is ended. nginx asks the other server in its place, and so the clients see nothing of it."""
    behave = {f"/slow/{wave}/{number}": "slow:2" for wave in (1, 2) for number in (1, 2)}
    servers = {address: lab.start_upstream(address, behave=behave) for address in (APP, SECOND_APP)}
    lab.start_nginx(BOTH.format(options=" max_fails=0"), location())
    lab.session(*(get(f"/home/{number}") for number in (1, 2, 3, 4)))
    for wave, address in enumerate((APP, SECOND_APP), 1):
        # In turn: one goes to either server.
        in_work = [lab.begin_session(get(f"/slow/{wave}/{number}")) for number in (1, 2)]
        lab.pause(0.5)
        lab.end(servers[address], signal.SIGTERM)
        lab.session(*(get(f"/away/{wave}/{number}") for number in (1, 2, 3, 4, 5, 6)))
        for session in in_work:
            lab.finish(session)
        lab.start_upstream(address, behave=behave)
        lab.session(*(get(f"/back/{wave}/{number}") for number in (1, 2, 3, 4)))
    retried = r".*upstream=([\d.:]+), [\d.:]+ upstream_status=502, 200"
    lab.expect_masked(rf"GET (/slow/1/\d) {retried}", "closed_without_response")
    lab.expect_masked(rf"GET (/slow/2/\d) {retried}", "closed_without_response")
    lab.expect_masked(rf"GET (/away/1/\d) {retried}", "connect_refused")
    lab.expect_masked(rf"GET (/away/2/\d) {retried}", "connect_refused")
