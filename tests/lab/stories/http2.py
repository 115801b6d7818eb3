"""HTTP/2 in clear: on the clients' leg, and on the upstream's."""

from lab import APP, SECOND_APP, get, post
from stories.haproxy import DEFAULTS, settings
from stories.nginx_settings import POOL, location
from stories.registry import story


@story("Clients speak HTTP/2, and nobody listens at the upstream's port")
def haproxy_h2_refused(lab):
    """Two clients send requests together on one connection of HTTP/2. While the application is stopped HAProxy answers 503 on
    each of their streams."""
    application = lab.start_upstream()
    lab.start_haproxy(settings())
    lab.http2_session(get("/orders/1"), get("/orders/2"), get("/orders/3"), together=True)
    lab.end(application)
    lab.http2_session(get("/orders/4", 503), post("/orders", 503), together=True)
    lab.start_upstream()
    lab.http2_session(get("/orders/5"), get("/orders/6"))
    lab.require(r" app/app1 .* 503 .* SC-- .*GET \S*/orders/4 HTTP/2.0")
    lab.require(r" app/app1 .* 503 .* SC-- .*POST \S*/orders HTTP/2.0")
    lab.expect(f"503 GET /orders/4 connect_refused upstream={APP}", f"503 POST /orders connect_refused upstream={APP}")


@story("Clients speak HTTP/2, and the upstream closes on one of three streams")
def nginx_h2_closed_without_response(lab):
    """Three requests come together on one connection of HTTP/2. The application is slow with one, closes without a word on
    another, and serves the third."""
    lab.start_upstream(behave={"/pay": "close", "/events": "slow:0.6"})
    lab.start_nginx(POOL, location(), protocol="http2")
    lab.http2_session(get("/events"), post("/pay", 502), get("/home"), together=True)
    lab.http2_session(get("/home"), get("/home/news"))
    lab.require(r"POST /pay HTTP/2.0.*status=502")
    lab.require(r"upstream prematurely closed connection while reading response header")
    lab.expect(f"502 POST /pay closed_without_response upstream={APP}")


@story("The upstream speaks HTTP/2, and gives up streams in three ways")
def haproxy_h2_upstream_streams(lab):
    """HAProxy speaks HTTP/2 to the application, which refuses one stream, gives up another with an error, and the third in the
    middle of its content. On a connection that was used before, HAProxy closes the client's without a word."""
    lab.start_http2_upstream("serve", "reset:7", "serve", "reset:2", "serve", "cut:2", "serve")
    lab.start_haproxy(settings(server="proto h2"))
    lab.session(get("/mails/1"), get("/mails/2", None))
    lab.session(get("/mails/3"), post("/mails", None))
    lab.session(get("/mails/4"), get("/mails/5"))
    lab.session(get("/mails/6"))
    lab.require(r"sent RST_STREAM, code 7", of="upstream")
    lab.require(r"sent RST_STREAM, code 2", of="upstream")
    lab.expect(
        f"null GET /mails/2 h2_refused_stream upstream={APP}",
        f"null POST /mails h2_stream_error upstream={APP}",
        f"200 GET /mails/5 h2_stream_error upstream={APP}",
    )


@story("The upstream speaks HTTP/2, and is slow, goes away, and closes")
def haproxy_h2_upstream_connection(lab):
    """Clients and upstream both speak HTTP/2. The application does not answer in HAProxy's time, sends GOAWAY for a stream that it
    does not take, and closes on another one without a word. HAProxy tells the clients of these two to repeat their requests,
    by RST_STREAM with REFUSED_STREAM."""
    lab.start_http2_upstream("serve", "slow:4", "serve", "goaway:0", "serve", "close", "serve")
    lab.start_haproxy(settings("timeout server 2s", "http-reuse never", server="proto h2"))
    lab.http2_session(get("/mails/1"), get("/mails/2", 504), get("/mails/3"))
    lab.http2_session(get("/mails/4", None), get("/mails/5"))
    lab.http2_session(get("/mails/6", None), get("/mails/7"))
    lab.require(r" app/app1 .* 504 .* sH-- .*GET \S*/mails/2 ")
    lab.require(r"sent GOAWAY", of="upstream")
    lab.require(r"closing without an answer", of="upstream")
    lab.expect(
        f"504 GET /mails/2 response_timeout upstream={APP}",
        f"null GET /mails/4 h2_goaway upstream={APP}",
        f"null GET /mails/6 closed_without_response upstream={APP}",
    )


@story("The gateway speaks HTTP/2 to an upstream that does not")
def apache_h2_upstream_speaks_http1(lab):
    """Apache is told that the application speaks HTTP/2 in clear, and it speaks HTTP/1.1."""
    lab.start_http2_upstream("serve")
    lab.start_upstream(address=SECOND_APP)
    lab.start_apache(f"ProxyPass /old/ h2c://{SECOND_APP}/\nProxyPass / h2c://{APP}/")
    lab.session(get("/mails/1"), get("/mails/2"))
    lab.session(get("/old/mails", 503))
    lab.session(get("/mails/3"))
    lab.require(r"GET /old/mails .*status=503")
    lab.expect(f"503 GET /old/mails h2_protocol_error upstream={SECOND_APP}")


@story("Clients speak HTTP/2, and one gives up its stream")
def nginx_h2_client_abort(lab):
    """A client gives up one stream after 0.5 s, and goes on with another on the same connection."""
    lab.start_upstream(behave={"/report": "slow:3"})
    lab.start_nginx(POOL, location(), protocol="http2")
    lab.http2_session(get("/home"), get("/report", None, leave_after_s=0.5), get("/home/news"))
    lab.require(r"GET /report HTTP/2.0.*status=499")
    lab.expect(f"null GET /report client_abort upstream={APP}")


@story("All speak HTTP/2, and all is well")
def haproxy_h2_healthy(lab):
    """Requests together and one after the other, an upload, and connections that end."""
    lab.start_http2_upstream("slow:0.5")
    lab.start_haproxy(settings(server="proto h2"))
    lab.http2_session(get("/mails/1"), get("/mails/2"), get("/mails/3"), get("/mails/4"), together=True)
    lab.http2_session(get("/mails/5"), post("/mails", body_bytes=3000), get("/mails/6"))
    lab.session(get("/mails/7"), get("/mails/8"))
    lab.expect("none")
