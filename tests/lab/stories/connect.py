"""nginx cannot open a connection to its upstream."""

import signal

from lab import APP, SECOND_APP, get
from stories.nginx_settings import POOL, location
from stories.registry import story


@story("Nobody listens at the upstream's port")
def nginx_connect_refused(lab):
    """The application is stopped, as in a deployment; its host answers the SYN with a RST. Then it is back."""
    application = lab.start_upstream()
    lab.start_nginx(POOL, location(request_id=True))
    lab.session(get("/orders/1"), get("/orders/2"))
    lab.end(application)
    lab.session(get("/orders/3", 502), get("/orders/4", 502))
    lab.start_upstream()
    lab.session(get("/orders/5"))
    lab.require(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream")
    lab.expect(f"502 GET /orders/3 connect_refused upstream={APP}")
    lab.expect(f"502 GET /orders/4 connect_refused upstream={APP}")


@story("The SYN is never answered")
def nginx_syn_unanswered(lab):
    """A firewall in front of the application drops the SYNs; nginx gives up after its proxy_connect_timeout."""
    lab.start_upstream()
    # Without a kept connection every request needs a new one, also the one that the firewall is there for.
    pool = f"upstream app {{\n    server {APP};\n}}\n"
    lab.start_nginx(pool, location("proxy_connect_timeout 2s;"))
    lab.session(get("/login"))
    lab.firewall("-I", "INPUT", "-p", "tcp", "--dport", "9000", "--syn", "-j", "DROP")
    lab.session(get("/login?again", 504))
    lab.firewall("-D", "INPUT", "-p", "tcp", "--dport", "9000", "--syn", "-j", "DROP")
    lab.session(get("/login?once-more"))
    lab.require(r"upstream timed out \(110: Connection timed out\) while connecting to upstream")
    lab.expect(f"504 GET /login?again connect_timeout upstream={APP}")


@story("The upstream's firewall forbids the connection and says so by ICMP")
def nginx_icmp_reject(lab):
    """A firewall in front of the application answers the SYN with ICMP "communication administratively prohibited"."""
    lab.start_upstream()
    pool = f"upstream app {{\n    server {APP};\n}}\n"
    lab.start_nginx(pool, location(request_id=True))
    reject = ["-p", "tcp", "--dport", "9000", "--syn", "-j", "REJECT", "--reject-with", "icmp-admin-prohibited"]
    lab.session(get("/prices/eur"))
    lab.firewall("-I", "INPUT", *reject)
    lab.session(get("/prices/usd", 502))
    lab.firewall("-D", "INPUT", *reject)
    lab.session(get("/prices/chf"))
    lab.require(r"connect\(\) failed \(113: .*\) while connecting to upstream")
    lab.expect(f"502 GET /prices/usd connect_prohibited upstream={APP}")


@story("Every server of the pool has failed, and nginx does not try any more")
def nginx_no_live_upstreams(lab):
    """Both servers refuse once and are then out for fail_timeout: nginx answers by itself. Later they are back."""
    both = [lab.start_upstream(), lab.start_upstream(SECOND_APP)]
    lab.start_nginx(
        f"""
upstream app {{
    server {APP} max_fails=1 fail_timeout=10s;
    server {SECOND_APP} max_fails=1 fail_timeout=10s;
}}
""",
        location(),
    )
    lab.session(get("/basket/1"), get("/basket/2"))
    for application in both:
        lab.end(application, signal.SIGTERM)
    lab.session(get("/basket/3", 502), get("/basket/4", 502), get("/basket/5", 502))
    lab.start_upstream()
    lab.start_upstream(SECOND_APP)
    lab.pause(10.5)
    lab.session(get("/basket/6"), get("/basket/7"))
    lab.require(r"no live upstreams while connecting to upstream.*GET /basket/5")
    lab.expect(f"502 GET /basket/3 connect_refused upstream={APP},{SECOND_APP}")
    lab.expect("502 GET /basket/4 no_upstream_attempt", "502 GET /basket/5 no_upstream_attempt")
