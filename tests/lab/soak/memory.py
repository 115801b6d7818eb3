"""Watches a process's memory for a while, and fails where it grows.

    memory.py PID SECONDS

Prints a row every few seconds: resident megabytes, what of it is the process's own, and what its metrics say.
"""

import pathlib
import re
import statistics
import sys
import time
import urllib.request

METRICS = "http://127.0.0.1:9502/metrics"
MOST_MB = 150
MOST_GROWTH_MB = 4
# In a shorter run the recorder and the list of incidents fill until its end.
SHORTEST_JUDGED_S = 300


def main():
    """Prints the rows, then judges them."""
    process, seconds = sys.argv[1], float(sys.argv[2])
    every = max(1.0, min(5.0, seconds / 20))
    print(f"{'SECOND':>7} {'RSS MB':>7} {'OWN MB':>7} {'PEAK MB':>7} {'PACKETS':>11} {'EXCHANGES':>10} {'FAILED':>7} {'DROPPED':>8}")
    samples = []
    began = time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        time.sleep(every)
        rss, own, peak = memory(process)
        samples.append((passed, rss))
        print(f"{passed:7.0f} {rss:7.1f} {own:7.1f} {peak:7.1f} {counts()}", flush=True)
    before = statistics.median(rss for passed, rss in samples if seconds / 4 <= passed < seconds / 2)
    after = statistics.median(rss for passed, rss in samples if passed >= seconds * 3 / 4)
    print(f"second quarter: {before:.1f} MB, last quarter: {after:.1f} MB, peak: {peak:.1f} MB")
    if peak > MOST_MB:
        sys.exit(f"soak: it took {peak:.1f} MB, more than {MOST_MB}")
    if seconds >= SHORTEST_JUDGED_S and after - before > MOST_GROWTH_MB:
        sys.exit(f"soak: its memory grew by {after - before:.1f} MB")


def memory(process):
    """Resident octets, those of them that are no file's, and the peak, in millions."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    kib = {name: int(number) for name, number in re.findall(r"^(\w+):\s+(\d+) kB$", status, re.MULTILINE)}
    return [kib[name] * 1024 / 1e6 for name in ("VmRSS", "RssAnon", "VmHWM")]


def counts():
    """Packets, exchanges, failures and drops, as columns."""
    with urllib.request.urlopen(METRICS, timeout=10) as answer:
        text = answer.read().decode()
    total = dict.fromkeys(("packets", "exchanges", "incidents", "dropped_packets"), 0.0)
    for name, number in re.findall(r"^netwatch502_(\w+)_total(?:{.*})? ([0-9.e+]+)$", text, re.MULTILINE):
        if name in total:
            total[name] += float(number)
    widths = (11, 10, 7, 8)
    return " ".join(f"{number:{width},.0f}" for number, width in zip(total.values(), widths, strict=True))


if __name__ == "__main__":
    main()
