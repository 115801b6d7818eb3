"""Lists the stories, or runs one in a world that run.sh has made: takes it and writes its folder, or watches it live.

    story.py list
    story.py take NAME --world PREFIX --into DIRECTORY
    story.py watch NAME --world PREFIX --program NETWATCH502
"""

import argparse
import inspect
import os
import pathlib
import re
import signal
import sys
import tempfile

from lab import DidNotHappen, Lab
from live import Watch
from stories import STORIES

# Where the world has IPv6 too.
OTHER_FAMILY = "Each also has an address of IPv6: fd50:1::2, fd50:1::1 and fd50:2::1, fd50:2::2 (and ::3). "
# run.sh tries again on this one (EX_TEMPFAIL).
DID_NOT_HAPPEN = 75


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    take_options = commands.add_parser("take")
    take_options.add_argument("--into", required=True, type=pathlib.Path)
    watch_options = commands.add_parser("watch")
    watch_options.add_argument("--program", required=True, type=pathlib.Path)
    for runs in (take_options, watch_options):
        runs.add_argument("name", choices=sorted(STORIES))
        runs.add_argument("--world", required=True)
    options = parser.parse_args()
    if options.command == "list":
        for name, story in STORIES.items():
            print(name, story.one_way_ms, story.leg)
        return 0
    # All logs are in the capture's own time, wherever the lab runs.
    os.environ["TZ"] = "UTC"
    # A story that is called off cleans up as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    story = STORIES[options.name]
    with tempfile.TemporaryDirectory(prefix="netwatch502-lab-") as directory:
        # Gateways drop their privileges, and need their files all the same.
        os.chmod(directory, 0o755)
        lab = Lab(options.world, directory, "container" if story.contained else "gateway")
        try:
            if options.command == "take":
                return take(story, lab, options.into)
            return watch(story, lab, options.program)
        except DidNotHappen as reason:
            print(f"{story.name}: {reason}", file=sys.stderr)
            return DID_NOT_HAPPEN


def take(story, lab, into):
    """Runs a story; writes its folder only if it happened as told."""
    pcapng = lab.directory / "capture.pcapng"
    with lab.processes, lab.capture(pcapng):
        story.run(lab)
    into.mkdir(parents=True, exist_ok=True)
    (into / "capture.pcapng").write_bytes(pcapng.read_bytes())
    (into / "story.md").write_text(tell(story, lab))
    print(f"{story.name}: taken")
    return 0


def watch(story, lab, program):
    """Runs a story while netwatch502 and tcpdump watch it, and says whether both saw what it says."""
    pcapng = lab.directory / "capture.pcapng"
    live = Watch(lab, story, program)
    with lab.processes, lab.capture(pcapng, "nano"), live.running():
        story.run(lab)
    print(f"{story.name}:")
    problems = live.judge(pcapng)
    for problem in problems:
        print(f"  NOT SO: {problem}")
    if problems:
        kept = pathlib.Path(tempfile.mkdtemp(prefix=f"netwatch502-{story.name}-"))
        (kept / "capture.pcapng").write_bytes(pcapng.read_bytes())
        (kept / "story.md").write_text(tell(story, lab))
        print(f"  the capture is kept in {kept}")
    return 1 if problems else 0


def tell(story, lab):
    """The text of story.md."""
    parts = [f"# {story.title}", inspect.cleandoc(story.run.__doc__)]
    parts.append("## What was set up")
    parts.append(f"{set_up(story)}, on all its interfaces. All times are UTC.")
    for gateway in lab.gateways:
        parts += [f"Gateway: {gateway.version}, with", fenced(gateway.settings)]
    parts += ["## What was done", fenced("\n".join(sorted(lab.timeline)))]
    parts.append("## What the gateway logged")
    for gateway in lab.gateways:
        for name, what in gateway.logs.items():
            parts += [f"{what}:", fenced(gateway.log_text(lab.directory / name))]
    parts.append("## What the upstream logged")
    parts += [fenced(path.read_text(errors="backslashreplace")) for path in lab.upstreams]
    for program, path in lab.resolvers:
        parts += [f"## What {program} logged", fenced(path.read_text())]
    parts += ["## What netwatch502 has to find", fenced("\n".join(lab.expected), "expect")]
    return "\n\n".join(parts) + "\n"


def set_up(story):
    """Who is where, up to whose interfaces were captured."""
    if story.contained:
        return (
            "Client 10.50.1.2; the gateway is in a container, 10.50.3.2, and published by its host, 10.50.1.1, at port 8080; upstreams "
            "10.50.2.2:9000, which the gateway knows as the service 10.50.9.1:80, and 10.50.2.3:9000, to which the host masquerades "
            "(iptables: DNAT, DNAT, MASQUERADE). Captured on that host"
        )
    upstreams = (
        "behind a bridge of the gateway's host, each at a port of its own"
        if story.bridged
        else f"the way to it takes {story.one_way_ms} ms, and as long back"
    )
    other_family = OTHER_FAMILY if story.leg == "dual" else ""
    return (
        f"Client 10.50.1.2, gateway 10.50.1.1 and 10.50.2.1, upstream 10.50.2.2 (and .3): {upstreams}. {other_family}Captured at the "
        "gateway"
    )


def fenced(text, kind="text"):
    """A block of text that Markdown leaves alone."""
    printable = re.sub(r"[^\n\x20-\x7e]", lambda octet: f"\\x{ord(octet.group()):02x}", text.strip())
    return f"```{kind}\n{printable or '(nothing)'}\n```"


if __name__ == "__main__":
    sys.exit(main())
