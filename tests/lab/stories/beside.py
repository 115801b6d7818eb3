"""nginx asks others beside the application: whether the client may have the page, and with a copy of the request."""

from lab import APP, SECOND_APP, get
from stories.nginx_settings import POOL, location
from stories.registry import story

MIRROR = "10.50.2.3:9100"
BESIDE = f"""
location = /authorised {{
    internal;
    proxy_pass http://{SECOND_APP};
}}
location = /copied {{
    internal;
    proxy_pass http://{MIRROR}$request_uri;
}}"""


@story("Others are asked beside the application: for an authorisation, and with a copy of each request", one_way_ms=2)
def nginx_authorised_and_mirrored(lab):
    """nginx asks an authorisation service before each request, and sends a copy of it to a new version of the application,
    whose answers nobody gets. All three get the client's X-Request-ID. The new version answers 500 to one page, which the
    client is served all the same; the application breaks down on another, which it is not."""
    lab.start_upstream(behave={"/fails": "close"})
    lab.start_upstream(SECOND_APP)
    lab.start_upstream(MIRROR, behave={"/news/2": "say:500 Internal Server Error"})
    lab.start_nginx(POOL, location("auth_request /authorised;", "mirror /copied;") + BESIDE)

    def named(path, status=200):
        return get(path, status, headers={"X-Request-ID": f"request-for{path.replace('/', '-')}"})

    lab.session(named("/news/1"), named("/news/2"), named("/fails", 502), named("/news/3"))
    lab.require(r"upstream prematurely closed connection while reading response header.*GET /fails")
    lab.require(r"sent 500 Internal Server Error", of="upstream")
    lab.expect(f"502 GET /fails closed_without_response upstream={APP}")
