"""Pieces of nginx configuration that many stories share."""

POOL = """
upstream app {
    server 10.50.2.2:9000;
    keepalive 8;
}
"""


def location(*directives, request_id=False):
    """A location that sends everything to the pool on connections that are kept alive."""
    lines = ["proxy_pass http://app;", "proxy_http_version 1.1;", 'proxy_set_header Connection "";']
    if request_id:
        lines.append("proxy_set_header X-Request-ID $request_id;")
        lines.append("add_header X-Request-ID $request_id always;")
    body = "".join(f"    {line}\n" for line in [*lines, *directives])
    return f"location / {{\n{body}}}"
