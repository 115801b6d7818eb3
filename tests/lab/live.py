"""The program under way while a story happens, and what it says held against the story and against the capture's reading.

Three things have to hold:

1. the failures told are those that the story expects, and no others;
2. the capture that tcpdump took meanwhile, read with `-r`, gives the same incidents, field by field but for those that
   are named here;
3. each failure's line came within its settling time.
"""

import contextlib
import datetime
import json
import re
import signal
import subprocess
import threading
import time

from lab import START_LIMIT_S, STEP_LIMIT_S, wait_until

# The stories name the gateway's port; the upstreams listen on another one.
FOCUS = ["port", "8080"]
# How long a verdict takes to settle: so long, or three round trips.
SETTLE_S = 0.25
ROUND_TRIPS = 3
# From the wire to the line: the kernel's blocks, the wait for frames that may still come, and a busy machine.
DELIVERY_S = 0.7
# How long a line that is due may be waited for, before the capture ends without it.
LINES_LIMIT_S = 10
# How long it is waited for a line that amends one.
AMENDED_S = 1

# Each capture stamps the packets itself, one after the other.
STAMPS_APART_S = 0.0005
# Which of two attempts is the better guess may hang on a few microseconds of that, and so which of them is the likely one.
GUESSES = {"likely", "possible"}
# A span in a sentence.
SPAN = re.compile(r"([0-9.]+) (µs|ms|s)\b")
ROUNDED_S = 0.001
UNITS_S = {"µs": 1e-6, "ms": 1e-3, "s": 1.0}

# What a line cannot have in common with the capture's reading: the order of settlement numbers the lines and the order of
# time the report; the file has frames that the kernel's filter keeps from the program; and what several incidents make
# together is told at the end.
TOLD_OTHERWISE = {"id", "frame", "request_frame", "response_frame", "first_frame", "last_frame"}
TOLD_AT_THE_END = {"episode", "advice"}
# Counts that the kernel's filter does not touch. Health probes go on while both are told to stop.
COUNTED = ("exchanges", "responses", "gateway_errors", "masked", "upstream_failures")


class Run:
    """One run of the program on the gateway's host."""

    def __init__(self, lab, program, name, *arguments):
        self.lab = lab
        self.said = lab.directory / f"netwatch502-{name}.err"
        self.name = name
        self.command = lab.inside("gateway", [str(program), *arguments, "--show-secrets", *FOCUS])
        self.process = None
        self.reader = None
        # When each line came, and its octets.
        self.lines = []

    def start(self):
        """The program begins to watch."""
        with open(self.said, "wb") as err:
            self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=err)
        self.lab.end_with_the_lab(self.process)
        self.reader = threading.Thread(target=self.read, args=(self.process.stdout,), daemon=True)
        self.reader.start()
        wait_until(lambda: "capturing on" in self.said.read_text(), START_LIMIT_S, "netwatch502 to capture")

    def finish(self):
        """Waits for the end of the program, which has been told to stop."""
        status = self.process.wait(STEP_LIMIT_S)
        self.reader.join(STEP_LIMIT_S)
        if status not in (0, 1):
            raise RuntimeError(f"netwatch502 ended with {status}: {self.said.read_text()}")

    def read(self, stream):
        """Notes each line, and when it came."""
        for line in stream:
            self.lines.append((time.time(), line))

    def of_type(self, *types):
        """The objects of some types, one a line, with when they came."""
        objects = [(at, json.loads(line)) for at, line in list(self.lines)]
        return [(at, line) for at, line in objects if line["type"] in types]

    def report(self):
        """The one object that all lines are."""
        return json.loads(b"".join(line for _, line in self.lines))


class Watch:
    """All that watches a story: the program twice, for its lines and for its report."""

    def __init__(self, lab, story, program):
        self.lab, self.story, self.program = lab, story, program
        self.stopped = None
        self.lines = Run(lab, program, "lines", "-i", "any", "--ndjson")
        self.reports = [Run(lab, program, "report", "-i", "any", "--json")]
        if story.bridged:
            named = [word for name in ("to-client", "br0", "to-upstream") for word in ("-i", name)]
            self.reports.append(Run(lab, program, "named", *named, "--json"))

    @contextlib.contextmanager
    def running(self):
        """Watches while the block runs, and until what is due has come."""
        runs = (self.lines, *self.reports)
        for run in runs:
            run.start()
        yield
        with contextlib.suppress(TimeoutError):
            due = sum(line != "none" for line in self.lab.expected)
            wait_until(lambda: len(self.lines.of_type("incident")) >= due, LINES_LIMIT_S, "the lines")
        time.sleep(AMENDED_S)
        self.stopped = time.time()
        for run in runs:
            run.process.send_signal(signal.SIGINT)
        for run in runs:
            run.finish()

    def judge(self, pcapng):
        """Says how each failure was told; returns what does not hold."""
        told = {}
        for _, line in self.lines.of_type("incident", "amended"):
            told[line["id"]] = {key: value for key, value in line.items() if key != "type"}
        told = list(told.values())
        expected = sorted(line for line in self.lab.expected if line != "none")
        found = sorted(map(in_a_line, told))
        problems = [] if found == expected else [f"expected {expected}, told {found}"]
        read = self.read_again(pcapng)
        problems += same_incidents("told", told, "read", read["incidents"], TOLD_AT_THE_END)
        [(_, summary)] = self.lines.of_type("summary")
        problems += [
            f"{name}: {summary['totals'][name]} when watched, {read['totals'][name]} when read"
            for name in COUNTED
            if summary["totals"][name] != read["totals"][name]
        ]
        for run in self.reports:
            report = run.report()
            problems += same_incidents("read", read["incidents"], run.name, report["incidents"], {"stream"})
            problems += self.copies(run.name, report)
        problems += self.copies("read", read)
        return problems + self.late()

    def read_again(self, pcapng):
        """The report on the capture that tcpdump took, up to the instant at which the program was told to stop."""
        cut = pcapng.with_name("cut.pcapng")
        subprocess.run(["editcap", "-B", f"{self.stopped:.6f}", pcapng, cut], check=True, timeout=STEP_LIMIT_S)
        command = [str(self.program), "-r", str(cut), "--json", "--show-secrets", *FOCUS]
        done = subprocess.run(command, capture_output=True, check=False, timeout=STEP_LIMIT_S)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"netwatch502 -r ended with {done.returncode}: {done.stderr.decode()}")
        return json.loads(done.stdout)

    def late(self):
        """Prints when each line came; returns those that came too late."""
        problems = []
        limit = max(SETTLE_S, ROUND_TRIPS * 2 * self.story.one_way_ms / 1000) + DELIVERY_S
        for at, line in self.lines.of_type("incident", "amended"):
            waited = at - happened(line)
            print(f"  {line['type']:8} {line['id']} after {waited:.2f} s: {in_a_line(line)} ({line['grade']})")
            if line["type"] == "incident" and waited > limit:
                problems.append(f"incident {line['id']} was told after {waited:.2f} s; {limit:.2f} s are allowed")
        return problems

    def copies(self, name, report):
        """Each packet is seen several times behind a bridge, or where it is routed, and none of these is a retransmission."""
        if not self.story.doubled:
            return []
        problems = [
            f"{name}: {upstream['retransmitted']} segments to {upstream['endpoint']} are called repeated"
            for upstream in report["upstreams"]
            if upstream["retransmitted"]
        ]
        if not report["coverage"]["duplicates"]:
            problems.append(f"{name}: no packet was seen twice")
        return problems


def in_a_line(incident):
    """An incident as the `expect` block has it (captures/README.md)."""
    leg = incident["downstream"] or {}
    last_hop = max((attempt["hop"] for attempt in incident["attempts"]), default=0)
    failed = sorted(
        {
            attempt["upstream"] or attempt["name"] or "-"
            for attempt in incident["attempts"]
            if attempt["hop"] == last_hop and (attempt["outcome"] or incident["kind"] == "client_abort")
        }
    )
    status = "masked" if incident["kind"] == "masked" else incident["status"] or "null"
    if incident["kind"] == "upstream_failure":
        likely = list(incident["likely_status"].values())
        status = f"{likely[0]}?" if len(likely) == 1 else "null"
        leg = incident["attempts"][-1]
    words = [str(status), leg.get("method") or "-", leg.get("target") or "-", incident["cause"]]
    return " ".join(words + ([f"upstream={','.join(failed)}"] if failed else []))


def same_incidents(one_name, one, other_name, other, apart):
    """What differs between two lists of incidents."""

    def bare(incidents):
        kept = [without(incident, TOLD_OTHERWISE | apart) for incident in incidents]
        return sorted(kept, key=lambda incident: (instant(incident["time"]), json.dumps(incident["downstream"])))

    problems = []
    if len(one) != len(other):
        problems.append(f"{len(one)} incidents {one_name}, {len(other)} {other_name}")
    for number, (ours, theirs) in enumerate(zip(bare(one), bare(other)), 1):
        ours, theirs = dict(leaves(ours, "")), dict(leaves(theirs, ""))
        problems += [
            f"incident {number}: {path}: {one_name} {ours.get(path)!r}, {other_name} {theirs.get(path)!r}"
            for path in ours | theirs
            if not alike(path, ours.get(path), theirs.get(path))
        ]
    return problems


def alike(path, one, other):
    """Whether two values are the same, up to the time that the kernel takes from one capture's stamp to the other's."""
    if path.endswith("time") and one and other:
        return abs(instant(one) - instant(other)) <= STAMPS_APART_S
    if path.endswith("_us") and one and other:
        return abs(one - other) <= STAMPS_APART_S * 1e6
    if path.endswith("pairing") and {one, other} <= GUESSES:
        return True
    if not isinstance(one, str) or not isinstance(other, str):
        return one == other
    spans = list(zip(SPAN.findall(one), SPAN.findall(other)))
    close = all(abs(seconds(ours) - seconds(theirs)) <= STAMPS_APART_S + ROUNDED_S for ours, theirs in spans)
    return SPAN.sub("…", one) == SPAN.sub("…", other) and close


def seconds(span):
    """A span as reports print it."""
    number, unit = span
    return float(number) * UNITS_S[unit]


def instant(text):
    """An instant as reports print it, in seconds since 1970."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    since = datetime.datetime.fromisoformat(whole).replace(tzinfo=datetime.timezone.utc)
    return since.timestamp() + float(f"0.{fraction or 0}")


def without(value, keys):
    """The value without some keys, at any depth."""
    if isinstance(value, dict):
        return {key: without(inner, keys) for key, inner in value.items() if key not in keys}
    if isinstance(value, list):
        return [without(inner, keys) for inner in value]
    return value


def leaves(value, path):
    """Every value in a tree, with its path."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, f"{path}.{key}")]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in leaves(inner, f"{path}.{index}")]
    return [(path.lstrip("."), value)]


def happened(incident):
    """When a failure was over, in seconds: what was broken after its status was sent ends later than it was answered."""
    instants = [incident["time"]]
    if incident["kind"] == "broken_success":
        instants += [proof["time"] for proof in incident["evidence"]]
    return max(map(instant, instants))
