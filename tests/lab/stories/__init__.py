"""The stories: each is a function that makes its failure happen, asserts that it did, and says what must be found.

A story's docstring opens its story.md; its name, with dashes, is its folder's.
"""

from stories import (
    apache, beside, bridge, chain, connect, contained, fastcgi, front, habits, haproxy, http2, ipv6, local, origin, outages, path,
    request, resolve, response, tls, wsgi,
)
from stories.registry import STORIES

__all__ = [
    "STORIES", "apache", "beside", "bridge", "chain", "connect", "contained", "fastcgi", "front", "habits", "haproxy", "http2", "ipv6",
    "local", "origin", "outages", "path", "request", "resolve", "response", "tls", "wsgi",
]
