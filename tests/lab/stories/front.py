"""nginx with TLS in front: what its clients ask and get is hidden, and what becomes of it upstream is not."""

from lab import APP, SECOND_APP, get, post
from stories.nginx_settings import POOL, location
from stories.registry import story

BOTH = """
upstream app {
    server 10.50.2.2:9000 max_fails=0;
    server 10.50.2.3:9000 backup max_fails=0;
    keepalive 8;
}
"""


@story("Clients inside TLS, and an upstream that fails in three ways")
def nginx_tls_front_failures(lab):
    """Over TLS 1.3 the application resets one connection, cuts one header section short, and says 503 once; between these it
    serves. What the clients got stands in no packet that can be read."""
    lab.start_upstream(behave={"/pay": "reset", "/avatar": "cut_head", "/quote": "say:503 Service Unavailable"})
    lab.start_nginx(POOL, location(), tls=True)
    lab.session(get("/home"), post("/pay", 502), get("/home/news"))
    lab.session(get("/home"), get("/avatar", 502), post("/home/upload", body_bytes=6000))
    lab.session(get("/quote", 503), get("/home"))
    lab.require(r"recv\(\) failed \(104: Connection reset by peer\) while reading response header")
    lab.require(r"upstream prematurely closed connection while reading response header")
    lab.require(r"sent 503 Service Unavailable", of="upstream")
    lab.expect(
        f"null POST /pay reset_without_response upstream={APP}",
        f"null GET /avatar truncated_header upstream={APP}",
        f"null GET /quote relayed_error upstream={APP}",
    )


@story("Clients inside TLS, and one whose idle connection upstream is closed at the wrong moment", one_way_ms=20)
def nginx_tls_front_race_masked(lab):
    """Over TLS 1.2 the application closes connections after 2 s idle; a GET is under way when it does, and nginx repeats it on
    a new connection. Nothing but times and lengths ties both attempts to the client's exchange."""
    lab.start_upstream(idle_close=2.0)
    lab.start_nginx(POOL, "ssl_protocols TLSv1.2;\n" + location(), tls=True)
    lab.session(get("/news/1"), get("/news/2"), get("/news/3", pause_s=1.98), get("/news/4"))
    lab.require(r"GET /news/3 .*status=200 .*upstream_status=502, 200 ")
    lab.require(r"idle for 2.0 s: closing, no request has been read", of="upstream")
    lab.expect(f"masked GET /news/3 keepalive_race upstream={APP}")


@story("Clients inside TLS, and a gateway that tries again")
def nginx_tls_front_tried_again(lab):
    """Over TLS 1.3 the first application says 503 to one request, resets another and both applications cut the header sections
    of a third short, while other clients wait for slow answers. nginx turns to the second application at once. What bears one
    request upstream belongs together; which client it was for, time and lengths alone tell."""
    failing = {"/basket": "say:503 Service Unavailable", "/stock": "reset", "/price": "cut_head"}
    slow = {"/events/1": "slow:0.6", "/events/2": "slow:0.6"}
    lab.start_upstream(behave={**failing, **slow})
    lab.start_upstream(address=SECOND_APP, behave={"/price": "cut_head", "/stock": "large:2000"})
    lab.start_nginx(BOTH, location("proxy_next_upstream error timeout http_503;"), tls=True)
    waiting = [lab.begin_session(get(f"/events/{nth}"), get("/home")) for nth in (1, 2)]
    lab.session(get("/basket"), get("/home"), get("/stock"), get("/home"), get("/price", 502))
    for session in waiting:
        lab.finish(session)
    lab.require(r"GET /price .*status=502 .*upstream_status=502, 502")
    lab.require(r"GET /basket .*status=200 .*upstream_status=503, 200 ")
    lab.require(r"GET /stock .*status=200 .*upstream_status=502, 200 ")
    lab.expect(
        f"masked GET /basket relayed_error upstream={APP}",
        f"masked GET /stock reset_without_response upstream={APP}",
        f"null GET /price truncated_header upstream={APP},{SECOND_APP}",
    )


@story("Clients inside TLS, and all is well")
def nginx_tls_front_healthy(lab):
    """Several exchanges on a connection, an upload, a large answer, one that is waited for, a page that nginx has not got, and
    connections that end idle."""
    lab.start_upstream(behave={"/events": "slow:1.5", "/film": "large:12000"})
    gone = "location /gone {\n    return 404;\n}"
    lab.start_nginx(POOL, f"keepalive_timeout 1s;\n{location()}\n{gone}", tls=True)
    waiting = lab.begin_session(get("/home"), get("/events"), get("/home"))
    lab.session(get("/home"), get("/home/news"), post("/home/upload", body_bytes=9000), get("/film"))
    lab.finish(lab.begin_session(get("/home"), get("/gone", 404), get("/home"), stay_s=3))
    lab.finish(waiting)
    lab.expect("none")
