"""The gateway asks for its upstream's name, and is given no address."""

from lab import APP, get
from resolvers import dnsmasq, unbound
from stories.registry import story

RESOLVER = "10.50.2.2"
APP_LAB = "--host-record=app.lab,10.50.2.2"


def by_name(*settings):
    """An nginx that asks for a name with each request once it has forgotten the last answer: a second later."""
    return f"""
resolver {RESOLVER} valid=1s;
{chr(10).join(settings)}
location /shop/ {{
    set $app app.lab;
    proxy_pass http://$app:9000;
}}
location /old/ {{
    set $app gone.lab;
    proxy_pass http://$app:9000;
}}
"""


@story("The upstream's name does not exist")
def nginx_name_not_found(lab):
    """A location still names a server that was taken out of the zone; the other location's server is there."""
    lab.start_upstream()
    lab.start_resolver(dnsmasq(RESOLVER, APP_LAB))
    lab.start_nginx("", by_name())
    lab.session(get("/shop/1"), get("/old/1", 502), get("/shop/2"), get("/old/2", 502))
    lab.require(r"gone\.lab could not be resolved \(3: Host not found\)")
    lab.expect("502 GET /old/1 dns_nxdomain upstream=gone.lab", "502 GET /old/2 dns_nxdomain upstream=gone.lab")


@story("The name server is silent")
def nginx_resolver_silent(lab):
    """A firewall drops the queries. nginx repeats them after 5 s and gives up after its resolver_timeout."""
    lab.start_upstream()
    lab.start_resolver(dnsmasq(RESOLVER, APP_LAB))
    lab.start_nginx("", by_name("resolver_timeout 6s;"))
    lab.session(get("/shop/1"))
    lab.pause(2)
    lab.firewall("-I", "INPUT", "-p", "udp", "--dport", "53", "-j", "DROP")
    lab.session(get("/shop/2", 502))
    lab.firewall("-D", "INPUT", "-p", "udp", "--dport", "53", "-j", "DROP")
    lab.session(get("/shop/3"))
    lab.require(r"app\.lab could not be resolved \(110: Operation timed out\)")
    lab.expect("502 GET /shop/2 dns_timeout upstream=app.lab")


@story("The name server fails")
def nginx_resolver_fails(lab):
    """unbound is to forward to a server of its own host, which it will not do unless it is told so: it answers SERVFAIL."""
    lab.start_upstream()
    lab.start_resolver(unbound(RESOLVER, lab.directory, "127.0.0.1@5353"))
    # The other location needs no name, so that the capture shows what this gateway's attempts look like.
    lab.start_nginx("", f"location /status/ {{\n    proxy_pass http://{APP};\n}}\n{by_name()}")
    lab.session(get("/status/1"), get("/shop/1", 502), get("/status/2"))
    lab.require(r"app\.lab could not be resolved \(2: Server failure\)")
    lab.expect("502 GET /shop/1 dns_failure upstream=app.lab")


@story("The name has an IPv4 address, and the name server will not say whether it has others")
def nginx_one_family_refused(lab):
    """dnsmasq knows the address, but asks nobody for the rest and refuses. nginx asks for both families at once and takes the
    one error for the whole name."""
    lab.start_upstream()
    lab.start_resolver(dnsmasq(RESOLVER, "--address=/app.lab/10.50.2.2", zones=()))
    lab.start_nginx("", f"location /status/ {{\n    proxy_pass http://{APP};\n}}\n{by_name()}")
    lab.session(get("/status/1"), get("/shop/1", 502), get("/status/2"))
    lab.require(r"app\.lab could not be resolved \(5: Operation refused\)")
    lab.expect("502 GET /shop/1 dns_failure upstream=app.lab")


@story("No name server listens")
def nginx_resolver_gone(lab):
    """dnsmasq is stopped: its host answers the queries by ICMP "port unreachable", and nginx waits all the same."""
    lab.start_upstream()
    resolver = lab.start_resolver(dnsmasq(RESOLVER, APP_LAB))
    lab.start_nginx("", by_name("resolver_timeout 2s;"))
    lab.session(get("/shop/1"))
    lab.end(resolver)
    lab.pause(2)
    lab.session(get("/shop/2", 502))
    lab.start_resolver(dnsmasq(RESOLVER, APP_LAB))
    lab.session(get("/shop/3"))
    lab.require(r"app\.lab could not be resolved \(110: Operation timed out\)")
    lab.expect("502 GET /shop/2 dns_failure upstream=app.lab")


@story("Apache does not find its upstream's name, and says 500")
def apache_name_not_found(lab):
    """The C library tries the name in both search domains and then as it stands. Another one it finds in the second domain,
    which is no failure."""
    lab.start_upstream()
    lab.start_resolver(dnsmasq(RESOLVER, APP_LAB, "--address=/gone/"))
    lab.ask_for_names(RESOLVER, "shop.lab", "lab")
    workers = "disablereuse=on"
    lab.start_apache(f"ProxyPass /app/ http://app:9000/app/ {workers}\nProxyPass /old/ http://gone:9000/old/ {workers}")
    lab.session(get("/app/1"))
    lab.session(get("/old/1", 500))
    lab.session(get("/app/2"))
    lab.require(r"DNS lookup failure for: gone")
    lab.expect("500 GET /old/1 dns_nxdomain upstream=gone")


@story("The upstream's name disappears, and HAProxy takes its server out of service")
def haproxy_name_disappears(lab):
    """HAProxy looks the name up by itself, once a second. When it is gone from the zone, HAProxy answers 503 by itself; when
    it is back, it serves again."""
    lab.start_upstream()
    resolver = lab.start_resolver(dnsmasq(RESOLVER, APP_LAB))
    lab.start_haproxy(
        f"""
resolvers zone
    nameserver first {RESOLVER}:53
    hold valid 1s
    hold nx 1s
    timeout resolve 1s
    timeout retry 1s

defaults
    mode http
    log global
    option httplog
    timeout connect 2s
    timeout client 10s
    timeout server 10s

frontend front
    bind :8080
    default_backend app

backend app
    server app1 app.lab:9000 resolvers zone init-addr none resolve-prefer ipv4
"""
    )
    lab.pause(2.5)
    lab.session(get("/shop/1"))
    lab.end(resolver)
    resolver = lab.start_resolver(dnsmasq(RESOLVER))
    lab.pause(4)
    lab.session(get("/shop/2", 503))
    lab.end(resolver)
    lab.start_resolver(dnsmasq(RESOLVER, APP_LAB))
    lab.pause(4)
    lab.session(get("/shop/3"))
    lab.require(r"app/app1.*(DNS|resolution|NX)")
    lab.expect("503 GET /shop/2 dns_nxdomain")
