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
    # How the upstreams are joined to the gateway's host, and by which families: see namespaces.sh.
    leg: str
    run: Callable

    @property
    def bridged(self):
        """Whether the upstreams are behind a bridge of the gateway's host, each with a port of its own."""
        return self.leg == "bridged"

    @property
    def contained(self):
        """Whether the gateway is in a container, whose host translates addresses."""
        return self.leg == "contained"

    @property
    def doubled(self):
        """Whether a capture on all interfaces of the gateway's host sees packets more than once."""
        return self.bridged or self.contained


def story(title, one_way_ms=3, leg="lined"):
    """Makes a function a story."""

    def register(run):
        name = run.__name__.replace("_", "-")
        STORIES[name] = Story(name, title, one_way_ms, leg, run)
        return run

    return register
