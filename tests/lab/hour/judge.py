"""Was it healthy by the logs of gateways and origins, and did the program say so, live and from the file?

    judge.py DIRECTORY PROGRAM
"""

import collections
import json
import pathlib
import re
import subprocess
import sys

# Lines that no healthy gateway or origin writes.
COMPLAINTS = {
    "nginx-error.log": r"\[(error|crit|alert|emerg)\]",
    "origin-error.log": r"\[(error|crit|alert|emerg)\]",
    "apache-error.log": r":(error|crit|alert|emerg)\]",
    "haproxy.log": r"is DOWN|no server available|\[ALERT\]|\[WARNING\]",
    "node.log": r"Error|\bat .*:\d+:\d+",
    "gunicorn.log": r"\[(ERROR|CRITICAL|WARNING)\]|Traceback",
}
# Status, how the exchange ended, and the request.
HAPROXY_LINE = re.compile(r"\] \S+ \S+ \S+ (\d+|-1) \d+ \S+ \S+ (\S{4}) .*\"(.*)\"$")
# What HAProxy answers to a connection that never asked, when the client leaves it or its time is up.
NEVER_ASKED = {("400", "CR--", "<BADREQ>"), ("408", "cR--", "<BADREQ>")}


def main():
    """Prints what each says, and ends with status 1 where anything failed, or was told to have."""
    directory, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    problems = list(of_logs(directory))
    problems += of_program("live", live(directory))
    problems += of_program("read again", read_again(directory, program))
    for problem in problems:
        print(f"NOT SO: {problem}")
    sys.exit(bool(problems))


def of_logs(directory):
    """What the logs complain of."""
    for name, complaint in COMPLAINTS.items():
        lines = (directory / name).read_text(errors="backslashreplace").splitlines()
        yield from (f"{name}: {line}" for line in lines if re.search(complaint, line))
    statuses = collections.Counter()
    for name in ("nginx-access.log", "apache-access.log"):
        for line in (directory / name).read_text().splitlines():
            statuses[name, line.split()[0]] += 1
    for line in (directory / "haproxy.log").read_text().splitlines():
        match = HAPROXY_LINE.search(line)
        if match and match.groups() not in NEVER_ASKED:
            statuses["haproxy.log", match[1]] += 1
            if match[2] != "----":
                yield f"haproxy.log: {line}"
    # More than one attempt.
    for line in (directory / "nginx-access.log").read_text().splitlines():
        if "," in line.partition(" upstream=")[2]:
            yield f"nginx-access.log: {line}"
    for (name, status), count in sorted(statuses.items()):
        print(f"{name}: {count:7,} with {status}")
        if not 200 <= int(status) < 400:
            yield f"{name}: {count} with {status}"


def live(directory):
    """The summary that the program ended with, and the incidents that it told."""
    lines = [json.loads(line) for line in (directory / "told.ndjson").read_text().splitlines()]
    *told, summary = lines
    summary["incidents"] = [line for line in told if line["type"] in ("incident", "amended")]
    summary["episodes"] = [line for line in told if line["type"] == "episode"]
    return summary


def read_again(directory, program):
    """The report on what tcpdump captured."""
    command = [program, "-r", directory / "capture.pcap", "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout)


def of_program(name, report):
    """What the program should not have told; prints its totals."""
    totals, coverage = report["totals"], report["coverage"]
    packets = sum(source["packets"] for source in report["inputs"])
    print(f"{name}: {packets:,} packets, {totals['tcp_connections']:,} connections, {totals['exchanges']:,} exchanges")
    for kind in ("requests_seen", "responses_seen", "health_probes"):
        print(f"  {kind}: {totals[kind]}")
    print(f"  failures: {', '.join(f'{kind} {totals[kind]}' for kind in FAILURES)}")
    print(f"  beside them: {', '.join(f'{kind} {totals[kind]}' for kind in BESIDE)}")
    print(f"  coverage: {coverage}")
    for advice in [*report["do_first"], *report["warnings"]]:
        print(f"  advice: {json.dumps(advice)}")
    if coverage["kernel_drops"]:
        yield f"{name}: the capture is not whole"
    for incident in report["incidents"]:
        yield f"{name}: {json.dumps(incident)}"
    for episode in report["episodes"]:
        yield f"{name}: {json.dumps(episode)}"
    for kind in FAILURES:
        if totals[kind]:
            yield f"{name}: {kind}: {totals[kind]}"


FAILURES = (
    "gateway_errors", "upstream_failures", "masked", "broken", "client_aborts", "unlisted_incidents", "tls_handshake_failures",
)
BESIDE = ("resets", "half_closed", "unused_connections")

main()
