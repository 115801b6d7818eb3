"""Gateways that speak FastCGI to php-fpm, or to what they take for it."""

from lab import APP, get, post
from stories.registry import story

SCRIPT = "/app.php"
# What nginx's own fastcgi.conf has of it.
PARAMS = "".join(
    f"fastcgi_param {name} ${variable};\n    "
    for name, variable in (
        ("REQUEST_METHOD", "request_method"), ("REQUEST_URI", "request_uri"), ("QUERY_STRING", "query_string"),
        ("CONTENT_TYPE", "content_type"), ("CONTENT_LENGTH", "content_length"), ("SERVER_PROTOCOL", "server_protocol"),
        ("REMOTE_ADDR", "remote_addr"), ("REMOTE_PORT", "remote_port"),
    )
)
POOL = f"""
upstream app {{
    server {APP};
    keepalive 4;
}}
"""


def location(*directives):
    """A location that sends everything to one script, on connections that are kept open."""
    lines = ["fastcgi_pass app;", "fastcgi_keep_conn on;", *directives]
    return "location / {\n    " + PARAMS + "".join(f"{line}\n    " for line in lines).rstrip() + "\n}"


@story("A FastCGI application ends requests without any output")
def nginx_fastcgi_no_output(lab):
    """The application says on STDERR why it has nothing to say to one request, and ends it; on another one it is killed."""
    application = lab.start_fastcgi_upstream()
    lab.start_nginx(POOL, location())
    lab.session(get("/home"), get("/nothing", 502), get("/home"))
    lab.session(post("/dies", 502))
    lab.await_end(application)
    lab.start_fastcgi_upstream()
    lab.session(get("/home"))
    lab.require(r"FastCGI sent in stderr: \"no template for /nothing\"")
    lab.require(r"upstream prematurely closed FastCGI stdout while reading response header.*GET /nothing ")
    lab.require(r"upstream prematurely closed connection while reading response header.*POST /dies ")
    lab.expect(
        f"502 GET /nothing fcgi_no_output upstream={APP}",
        f"502 POST /dies fcgi_no_output upstream={APP}",
    )


@story("php-fpm's worker dies before it has written anything")
def nginx_fastcgi_killed(lab):
    """The kernel kills a worker that has read the request, but not the empty record behind it: the connection is reset. php-fpm
    starts another worker."""
    start(lab)
    lab.session(get("/home"), post("/killed", 502))
    lab.session(get("/home"))
    lab.require(r"recv\(\) failed \(104: Connection reset by peer\) while reading response header.*POST /killed ")
    lab.require(r"exited on signal 9 \(SIGKILL\)", of="upstream")
    lab.expect(f"502 POST /killed reset_without_response upstream={APP}")


@story("A PHP script fails, one answers too late, and one ends too soon")
def nginx_fastcgi_script_fails(lab):
    """A script throws an exception, and php-fpm answers 500. Another one needs 3 s, of which nginx waits for one. A third
    promises 1000 bytes and ends when it has sent 100; its client has a 200 already."""
    start(lab, "fastcgi_read_timeout 1s;")
    lab.session(get("/home"), get("/fails", 500), get("/home"))
    lab.session(get("/short"))
    lab.session(get("/slow", 504))
    lab.pause(2.5)
    lab.session(get("/home"))
    lab.require(r"FastCGI sent in stderr: .*no such table: orders")
    lab.require(r"upstream timed out \(110: Connection timed out\) while reading response header.*GET /slow ")
    lab.expect(
        f"500 GET /fails relayed_error upstream={APP}",
        f"200 GET /short truncated_body upstream={APP}",
        f"504 GET /slow response_timeout upstream={APP}",
    )


@story("What nginx takes for a FastCGI application is a web server")
def nginx_fastcgi_to_http(lab):
    """nginx speaks FastCGI to the port of another nginx, which answers 400, in HTTP."""
    lab.start_nginx_upstream()
    lab.start_nginx(POOL, location())
    lab.session(get("/home", 502), get("/home", 502))
    lab.require(r"upstream sent unsupported FastCGI protocol version: 72")
    lab.expect(*[f"502 GET /home fcgi_protocol_error upstream={APP}"] * 2)


@story("php-fpm's worker dies, and Apache says 503")
def apache_fastcgi_killed(lab):
    """A script is killed when it has read the request. Apache says 503, not 502."""
    lab.start_php_fpm()
    lab.start_apache(f"ProxyFCGIBackendType FPM\nProxyPassMatch ^ fcgi://{APP}{SCRIPT}")
    lab.session(get("/home"), post("/killed", 503))
    lab.session(get("/home"))
    lab.require(r"AH01067: Failed to read FastCGI header")
    lab.require(r"exited on signal 9 \(SIGKILL\)", of="upstream")
    lab.expect(f"503 POST /killed reset_without_response upstream={APP}")


def start(lab, *directives):
    """Starts php-fpm, and nginx that asks it."""
    lab.start_php_fpm()
    lab.start_nginx(POOL, location(f"fastcgi_param SCRIPT_FILENAME {SCRIPT};", *directives))
