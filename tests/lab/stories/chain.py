"""One gateway behind another."""

from lab import APP, get
from stories.haproxy import settings
from stories.nginx_settings import POOL, location
from stories.registry import story


@story("HAProxy relays the 502 of an nginx that is refused")
def chain_haproxy_nginx_refused(lab):
    """HAProxy and nginx share a host and talk over the loopback interface; the application behind nginx is stopped. The
    cause is at the last hop: HAProxy only passes on what nginx says."""
    application = lab.start_upstream()
    lab.start_nginx(POOL, location("proxy_set_header X-Request-ID $http_x_request_id;"), port=8081)
    front = settings("http-request set-header X-Request-ID %[uuid()]").replace(APP, "127.0.0.1:8081")
    lab.start_haproxy(front)
    lab.session(get("/orders/1"), get("/orders/2"))
    lab.end(application)
    lab.session(get("/orders/3", 502))
    lab.start_upstream()
    lab.session(get("/orders/4"))
    lab.require(r"connect\(\) failed \(111: Connection refused\) while connecting to upstream")
    lab.require(r" app/app1 .* 502 .*GET /orders/3 ")
    lab.expect(f"502 GET /orders/3 connect_refused upstream={APP}")
