"""Where the stories put themselves down."""

import dataclasses
from collections.abc import Callable

# By folder name, in the order in which they are defined.
STORIES = {}


@dataclasses.dataclass(frozen=True)
class Story:
    """A story, and how far away its upstream is."""

    name: str
    title: str
    one_way_ms: float
    # Whether the upstreams are behind a bridge of the gateway's host, each with a port of its own.
    bridged: bool
    run: Callable


def story(title, one_way_ms=3, bridged=False):
    """Makes a function a story."""

    def register(run):
        name = run.__name__.replace("_", "-")
        STORIES[name] = Story(name, title, one_way_ms, bridged, run)
        return run

    return register
