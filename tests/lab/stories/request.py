"""nginx has a connection, but its request does not get through."""

from lab import APP, get, post
from stories.nginx_settings import POOL, location
from stories.registry import story

# Each request of a race leaves as the upstream's FIN does: idle time, less one way for the answer before it.
IDLE_CLOSE_S = 2.0
CROSSING_S = IDLE_CLOSE_S - 0.020


@story("A POST crosses the FIN of the idle connection it is sent on", one_way_ms=20)
def nginx_keepalive_race_post(lab):
    """The application closes connections after 2 s idle; the request is under way when it does. nginx does not repeat
    a POST, and so the client sees a 502."""
    lab.start_upstream(idle_close=IDLE_CLOSE_S)
    lab.start_nginx(POOL, location(request_id=True))
    lab.session(get("/cart"), post("/cart/items"), post("/cart/pay", 502, pause_s=CROSSING_S), get("/cart"))
    lab.require(r"upstream prematurely closed connection while reading response header.*POST /cart/pay")
    lab.require(r"idle for 2.0 s: closing, no request has been read", of="upstream")
    lab.expect(f"502 POST /cart/pay keepalive_race upstream={APP}")


@story("A GET crosses the FIN of the idle connection it is sent on, and is repeated", one_way_ms=20)
def nginx_keepalive_race_get_masked(lab):
    """As with the POST, but nginx repeats a GET on a new connection: the client sees a 200, only later."""
    lab.start_upstream(idle_close=IDLE_CLOSE_S)
    lab.start_nginx(POOL, location())
    lab.session(get("/news/1"), get("/news/2"), get("/news/3", pause_s=CROSSING_S), get("/news/4"))
    lab.require(r"GET /news/3 .*status=200 .*upstream_status=502, 200 ")
    lab.require(r"idle for 2.0 s: closing, no request has been read", of="upstream")
    lab.expect(f"masked GET /news/3 keepalive_race upstream={APP}")


@story("The way to the upstream loses the request, and the idle close that follows looks like a race", one_way_ms=20)
def nginx_request_lost(lab):
    """A firewall begins to drop what goes to the application. The request is repeated by TCP and never acknowledged;
    the application's idle timer then closes the connection, and nginx logs the same words as for a race. It is none:
    the request was lost long before."""
    lab.start_upstream(idle_close=IDLE_CLOSE_S)
    lab.start_nginx(POOL, location(request_id=True))
    drop = ["INPUT", "-p", "tcp", "--dport", "9000", "-j", "DROP"]
    lab.session(get("/cart"), post("/cart/items"))
    # The acknowledgement of the answer still gets through; the application could not close in order without it.
    lab.pause(0.2)
    lab.firewall("-I", *drop)
    lab.session(post("/cart/pay", 502))
    lab.firewall("-D", *drop)
    lab.session(get("/cart"))
    lab.require(r"upstream prematurely closed connection while reading response header.*POST /cart/pay")
    lab.require(r"idle for 2.0 s: closing, no request has been read", of="upstream")
    lab.expect(f"502 POST /cart/pay request_lost upstream={APP}")


@story("The upstream answers 413 before it has the whole request, and the answer is lost", one_way_ms=10)
def nginx_early_413(lab):
    """The application refuses an upload on sight of its header section and closes with the content unread, so that its
    kernel sends a RST after the answer. nginx's worker is busy for that moment (the lab stops it for 0.4 s); it then
    goes on sending before it looks for an answer, fails, and makes a 502 of it."""
    lab.start_upstream(behave={"/upload": "early_413"})
    lab.start_nginx(POOL, location("proxy_request_buffering off;", request_id=True))
    upload = lab.begin_session(get("/files"), post("/upload", 502, body_bytes=10000, piece_gap_s=0.04))
    lab.require(r"read POST /upload", of="upstream")
    # Some of the content has to arrive unread: without it, the application's kernel would send a FIN only.
    lab.pause(0.15)
    with lab.busy_nginx_worker():
        lab.pause(0.4)
    lab.finish(upload)
    lab.session(get("/files"))
    lab.require(r"(writev|sendfile)\(\) failed .* while sending request to upstream")
    lab.require(r"sent 413", of="upstream")
    lab.expect(f"502 POST /upload early_response upstream={APP}")


@story("The client gives up and closes first")
def nginx_client_abort(lab):
    """The application needs 2 s; the client closes after half a second. nginx logs 499."""
    lab.start_upstream(behave={"/report": "slow:2"})
    lab.start_nginx(POOL, location())
    lab.session(get("/menu"))
    lab.session(get("/report", None, leave_after_s=0.5))
    lab.pause(2.0)
    lab.session(get("/menu"))
    lab.require(r"GET /report .*status=499")
    lab.expect(f"null GET /report client_abort upstream={APP}")
