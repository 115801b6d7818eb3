"""Apache httpd with mod_proxy_http in front of a misbehaving upstream."""

from lab import APP, get
from stories.registry import story


@story("Nobody listens at the upstream's port, and Apache says 503")
def apache_refused_503(lab):
    """The application is stopped; its host answers the SYN with a RST. Apache tries once for each request, and says
    503, not 502."""
    application = lab.start_upstream()
    lab.start_apache(f"ProxyPass / http://{APP}/")
    lab.session(get("/wiki/1"))
    lab.end(application)
    # Apache closes the client's connection after its error page.
    lab.session(get("/wiki/2", 503))
    lab.session(get("/wiki/3", 503))
    lab.start_upstream()
    lab.session(get("/wiki/4"))
    failed = r"\(111\)Connection refused: AH00957.*"
    lab.require(f"(?s){failed}{failed}")
    lab.expect(f"503 GET /wiki/2 connect_refused upstream={APP}", f"503 GET /wiki/3 connect_refused upstream={APP}")


@story("Apache's only worker has failed, and Apache does not try any more")
def apache_worker_in_error(lab):
    """The balancer's only member is refused once and then out for 3 s (retry=3): meanwhile Apache answers by itself."""
    application = lab.start_upstream()
    lab.start_apache(
        f"""
<Proxy balancer://app>
    BalancerMember http://{APP} retry=3
    ProxySet forcerecovery=Off
</Proxy>
ProxyPass / balancer://app/
"""
    )
    lab.session(get("/wiki/1"))
    lab.end(application)
    lab.session(get("/wiki/2", 503))
    lab.session(get("/wiki/3", 503))
    lab.start_upstream()
    lab.pause(3.5)
    lab.session(get("/wiki/4"))
    lab.require(r"AH00959: ap_proxy_connect_backend disabling worker")
    lab.require(r"AH01167|AH01170")
    lab.expect(f"503 GET /wiki/2 connect_refused upstream={APP}", "503 GET /wiki/3 no_upstream_attempt")


@story("The upstream does not answer in Apache's time, and Apache says 502")
def apache_timeout_502(lab):
    """The application needs 5 s, and Apache waits for 2 s. It calls a timeout 502, not 504."""
    lab.start_upstream(behave={"/search": "slow:5"})
    lab.start_apache(f"ProxyPass / http://{APP}/ timeout=2")
    lab.session(get("/"), get("/search", 502))
    lab.session(get("/"))
    lab.require(r"\(70007\)The timeout specified has expired: .*AH01102: error reading status line")
    lab.expect(f"502 GET /search response_timeout upstream={APP}")


@story("A line of the response's header section is no field")
def apache_bad_header(lab):
    """The application sends a header line without a colon, and Apache rejects the response."""
    lab.start_upstream(behave={"/profile": "no_colon"})
    lab.start_apache(f"RequestHeader set X-Request-ID %{{UNIQUE_ID}}e\nProxyPass / http://{APP}/")
    lab.session(get("/home"), get("/profile", 502))
    lab.session(get("/home"))
    lab.require(r"AH01106: bad HTTP/1.1 header returned by /profile")
    lab.expect(f"502 GET /profile malformed_response upstream={APP}")


@story("The response's first chunk has no size")
def apache_chunk_broken(lab):
    """The application sends "zz" where a chunk's size must stand, and Apache rejects the response."""
    lab.start_upstream(behave={"/feed": "bad_chunk"})
    lab.start_apache(f"ProxyPass / http://{APP}/")
    lab.session(get("/home"), get("/feed", 502))
    lab.session(get("/home"))
    lab.require(r"GET /feed .*status=502")
    lab.expect(f"502 GET /feed malformed_response upstream={APP}")
