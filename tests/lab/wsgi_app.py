"""An application for uWSGI that misbehaves, by path."""

import os
import signal
import time


def application(environ, start_response):
    """Answers, or does not."""
    path = environ["REQUEST_URI"]
    if path == "/killed":
        environ["wsgi.input"].read()
        os.kill(os.getpid(), signal.SIGKILL)
    if path == "/fails":
        raise RuntimeError("no such table: orders")
    if path in ("/hangs", "/slow"):
        time.sleep(10 if path == "/hangs" else 1.5)
    if path == "/short":
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "1000")])
        return [b"x" * 100]
    if path == "/large":
        start_response("200 OK", [("Set-Cookie", "y" * 9000)])
        return [b"large"]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"This is {path}\n".encode()]
