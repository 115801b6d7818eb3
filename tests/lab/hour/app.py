"""The same application for gunicorn: pages, assets, forms, slow answers and streams."""

import hashlib
import json
import random
import time
import urllib.parse


def application(environ, start_response):
    """Answers a request by the last part of its path."""
    content = environ["wsgi.input"].read()
    query = {name: values[0] for name, values in urllib.parse.parse_qs(environ["QUERY_STRING"]).items()}
    # The application's own work.
    time.sleep(random.uniform(0.001, 0.04))
    status, headers, pieces = ANSWERS[environ["PATH_INFO"].rpartition("/")[2]](environ, query, content)
    start_response(status, headers)
    return pieces


def page(_environ, query, _content):
    """Without its length, so chunked, or ended by the connection's end."""
    return "200 OK", [("Content-Type", "text/html")], iter([b"<!doctype html>", b"x" * int(query.get("bytes", 5000))])


def asset(environ, query, _content):
    """With its length, and a tag by which it need not be sent again."""
    octets = b"a" * int(query.get("bytes", 8000))
    tag = f'"{hashlib.sha1(octets).hexdigest()}"'
    if environ.get("HTTP_IF_NONE_MATCH") == tag:
        return "304 Not Modified", [("ETag", tag)], []
    return "200 OK", [("ETag", tag), ("Content-Length", str(len(octets)))], [octets]


def old(_environ, _query, _content):
    """A page that is elsewhere now."""
    return "302 Found", [("Location", "/app/page"), ("Content-Length", "0")], []


def form(_environ, _query, content):
    """Something was made of what was sent."""
    said = json.dumps({"octets": len(content)}).encode()
    return "201 Created", [("Content-Type", "application/json"), ("Content-Length", str(len(said)))], [said]


def beacon(_environ, _query, _content):
    """Nothing to say."""
    return "204 No Content", [], []


def slow(_environ, query, _content):
    """It takes a while."""
    time.sleep(float(query.get("seconds", 2)))
    return "200 OK", [("Content-Length", "8")], [b"at last\n"]


def events(_environ, query, _content):
    """A line every half second."""

    def lines():
        for _ in range(int(float(query.get("seconds", 5)) * 2)):
            time.sleep(0.5)
            yield b"data: it goes on\n\n"

    return "200 OK", [("Content-Type", "text/event-stream")], lines()


def download(_environ, query, _content):
    """Much, in pieces."""
    count = int(query.get("bytes", 1000000)) // 50000
    return "200 OK", [], (b"d" * 50000 for _ in range(count))


ANSWERS = {answer.__name__: answer for answer in (page, asset, old, form, beacon, slow, events, download)}
