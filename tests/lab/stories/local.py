"""What is no single connection's failure: an event of many, and one of none."""

import signal

from lab import APP, get
from stories.nginx_settings import POOL, location
from stories.registry import story


@story("The upstream's process is killed under load")
def nginx_process_death(lab):
    """Three requests are being worked on and two wait in the accept queue when the process gets SIGKILL: its kernel
    closes the first, resets the second, and refuses what comes after. One event, three signatures."""
    in_work = [f"/export/{number}" for number in (1, 2, 3)]
    waiting = ["/export/4", "/export/5"]
    application = lab.start_upstream(workers=3, behave={path: "slow:20" for path in in_work})
    # One connection a request: a kept one would be tried again on another.
    lab.start_nginx(f"upstream app {{\n    server {APP};\n}}\n", location(request_id=True))
    lab.session(get("/status"), get("/status"))
    sessions = []
    for path in [*in_work, *waiting]:
        sessions.append(lab.begin_session(get(path, 502)))
        if path in in_work:
            lab.require(f"read GET {path};", of="upstream")
        else:
            lab.pause(0.1)
    # Those that wait have been sent by then, and nobody reads them.
    lab.pause(1)
    lab.end(application, signal.SIGKILL)
    for session in sessions:
        lab.finish(session)
    lab.session(get("/status?now", 502))
    lab.start_upstream()
    lab.session(get("/status"))
    lab.require(r"upstream prematurely closed connection .*GET /export/3")
    lab.require(r"recv\(\) failed \(104: Connection reset by peer\) .*GET /export/5")
    lab.require(r"connect\(\) failed \(111: Connection refused\) .*GET /status\?now")
    lab.expect(*(f"502 GET {path} closed_without_response upstream={APP}" for path in in_work))
    lab.expect(*(f"502 GET {path} reset_without_response upstream={APP}" for path in waiting))
    lab.expect(f"502 GET /status?now connect_refused upstream={APP}")


@story("Nothing is wrong: kept connections are closed when nobody uses them")
def nginx_healthy_idle_closes(lab):
    """Both legs keep connections alive; the application closes its idle ones after 2 s, nginx the client's after 3 s.
    Every request is answered."""
    lab.start_upstream(idle_close=2.0, behave={"/slow": "slow:0.5"})
    lab.start_nginx(POOL, f"keepalive_timeout 3s;\n{location()}")
    both = [
        lab.begin_session(get("/a/1"), get("/slow"), get("/a/2", pause_s=2.5), get("/a/3", pause_s=1.0)),
        lab.begin_session(get("/b/1"), get("/b/2", pause_s=0.8), get("/b/3", pause_s=2.7), stay_s=5),
    ]
    for session in both:
        lab.finish(session)
    lab.session(get("/c/1"))
    lab.pause(3.5)
    lab.require(r"idle for 2.0 s: closing", of="upstream")
    lab.expect("none")


@story("A client asks again while the application still works on what nginx gave up, all on one host")
def nginx_one_host_asked_again(lab):
    """Client, nginx and application are on one machine and have one address. nginx gives up after 1 s, and the client asks for
    the same again. The application, which does not notice, still has the requests that nginx has let go of."""
    local = "127.0.0.1:9000"
    lab.start_upstream(local, "gateway", behave={"/report/full": "slow:6"})
    pool = f"upstream app {{\n    server {local} max_fails=0;\n    keepalive 8;\n}}\n"
    lab.start_nginx(pool, f"proxy_read_timeout 1s;\n{location()}")
    for _ in range(3):
        lab.session(get("/report/full", 504), get("/report/short"), place="gateway", address="127.0.0.1:8080")
    lab.require(r"upstream timed out .* while reading response header .*GET /report/full")
    # It sends its answers to nobody.
    lab.pause(4.5)
    lab.expect(*[f"504 GET /report/full response_timeout upstream={local}"] * 3)
