"""Lists the stories, or takes one: runs it in a world that run.sh has made, and writes its folder.

    story.py list
    story.py take NAME --world PREFIX --into DIRECTORY
"""

import argparse
import inspect
import os
import pathlib
import signal
import sys
import tempfile

from lab import DidNotHappen, Lab
from stories import STORIES

# run.sh tries again on this one (EX_TEMPFAIL).
DID_NOT_HAPPEN = 75


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    take_options = commands.add_parser("take")
    take_options.add_argument("name", choices=sorted(STORIES))
    take_options.add_argument("--world", required=True)
    take_options.add_argument("--into", required=True, type=pathlib.Path)
    options = parser.parse_args()
    if options.command == "list":
        for name, story in STORIES.items():
            print(name, story.one_way_ms)
        return 0
    # All logs are in the capture's own time, wherever the lab runs.
    os.environ["TZ"] = "UTC"
    # A story that is called off cleans up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    return take(STORIES[options.name], options.world, options.into)


def take(story, world, into):
    """Runs a story; writes its folder only if it happened as told."""
    with tempfile.TemporaryDirectory(prefix="netwatch502-lab-") as directory:
        # Gateways drop their privileges, and need their files all the same.
        os.chmod(directory, 0o755)
        lab = Lab(world, directory)
        pcapng = lab.directory / "capture.pcapng"
        try:
            with lab.processes, lab.capture(pcapng):
                story.run(lab)
        except DidNotHappen as reason:
            print(f"{story.name}: {reason}", file=sys.stderr)
            return DID_NOT_HAPPEN
        into.mkdir(parents=True, exist_ok=True)
        (into / "capture.pcapng").write_bytes(pcapng.read_bytes())
        (into / "story.md").write_text(tell(story, lab))
    print(f"{story.name}: taken")
    return 0


def tell(story, lab):
    """The text of story.md."""
    parts = [f"# {story.title}", inspect.cleandoc(story.run.__doc__)]
    parts.append("## What was set up")
    parts.append(
        "Client 10.50.1.2, gateway 10.50.1.1 and 10.50.2.1, upstream 10.50.2.2 (and .3); captured at the gateway, on "
        f"all its interfaces. The way to the upstream takes {story.one_way_ms} ms, and as long back. All times are UTC."
    )
    for gateway in lab.gateways:
        parts += [f"Gateway: {gateway.version}, with", fenced(gateway.settings)]
    parts += ["## What was done", fenced("\n".join(sorted(lab.timeline)))]
    parts.append("## What the gateway logged")
    for gateway in lab.gateways:
        for name, what in gateway.logs.items():
            parts += [f"{what}:", fenced(gateway.log_text(lab.directory / name))]
    parts.append("## What the upstream logged")
    parts += [fenced(path.read_text()) for path in lab.upstreams]
    for program, path in lab.resolvers:
        parts += [f"## What {program} logged", fenced(path.read_text())]
    parts += ["## What netwatch502 has to find", fenced("\n".join(lab.expected), "expect")]
    return "\n\n".join(parts) + "\n"


def fenced(text, kind="text"):
    """A block of text that Markdown leaves alone."""
    return f"```{kind}\n{text.strip() or '(nothing)'}\n```"


if __name__ == "__main__":
    sys.exit(main())
