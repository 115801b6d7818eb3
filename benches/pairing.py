#!/usr/bin/env python3
"""How well pairing does as concurrency grows, and what an exchange costs: real nginx, its upstreams' own account as truth.

    benches/pairing.py NETWATCH502 [--requests 3000] [--concurrency 1,3,10,30,100,300,1000]

For each concurrency, that many clients send requests through nginx to three upstreams on loopback, on connections that
both legs keep. tcpdump takes all of it. Each upstream notes which port of nginx's every request came from; nginx's own
log has to name the same upstream. netwatch502 reads the capture, and its table of exchanges (`--exchanges`) is held
against that: `plain` as captured, `blind` with every identifier on the upstream leg overwritten, so that order, size and
time have to do.

Prints, for each: the share of exchanges whose upstream and port are right, of how many, how often it said that it was not
certain, and the user CPU time of the analysis for each exchange. Needs root for tcpdump, and nginx; sends nothing past
loopback.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import re
import resource
import subprocess
import tempfile
import time

# As many addresses of loopback as hosts would have.
CLIENT, GATEWAY, GATEWAY_OUT, UPSTREAM = "127.0.0.9", "127.0.0.1", "127.0.0.2", "127.0.0.3"
FRONT = 18080
UPSTREAMS = [19001, 19002, 19003]
ID_DIGITS = 16
ID_IN_TARGET = re.compile(rb"/item/([0-9a-f]{%d})" % ID_DIGITS)
START_LIMIT_S = 10
RING_FLUSH_S = 1.5
# Three answers of four are quick, the fourth takes its time: exchanges overtake each other.
QUICK_S = (0.001, 0.01)
SLOW_S = (0.03, 0.12)


def main():
    """Runs the series."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--concurrency", default="1,3,10,30,100,300,1000")
    parser.add_argument("--seed", type=int, default=502)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    print(f"{'at once':>7}  {'req/s':>6}  {'':5}  {'right':>8}  {'of':>6}  {'certain':>7}  {'ns/exchange':>11}")
    for concurrency in map(int, options.concurrency.split(",")):
        random.seed(options.seed + concurrency)
        with tempfile.TemporaryDirectory(prefix="netwatch502-pairing-") as directory:
            os.chmod(directory, 0o755)
            measure(options, concurrency, pathlib.Path(directory))


def measure(options, concurrency, directory):
    """One concurrency: takes the capture, reads it twice, prints two lines."""
    requests = min(options.requests, max(concurrency * 20, 600))
    capture = directory / "plain.pcap"
    rate, truth = asyncio.run(take(capture, directory, concurrency, max(requests, concurrency * 3)))
    agree(directory / "access.log", truth)
    blind = directory / "blind.pcap"
    blind.write_bytes(blinded(capture.read_bytes()))
    for name, path in (("plain", capture), ("blind", blind)):
        rows, nanoseconds = read(options.program, path, directory)
        right = sum(1 for identifier, made in truth.items() if rows.get(identifier, (None,))[0] == made)
        certain = sum(1 for _, pairing in rows.values() if pairing == "certain")
        print(
            f"{concurrency:7}  {rate:6.0f}  {name:5}  {100 * right / len(truth):7.3f}%  {len(truth):6}  "
            f"{100 * certain / max(len(rows), 1):6.1f}%  {nanoseconds / len(truth):11.0f}",
            flush=True,
        )


async def take(capture, directory, concurrency, requests):
    """Runs the world once; returns the rate, and by identifier the upstream's port and nginx's port there."""
    truth = {}
    servers = [await asyncio.start_server(upstream(port, truth), UPSTREAM, port, backlog=4096) for port in UPSTREAMS]
    configuration = directory / "nginx.conf"
    configuration.write_text(nginx_configuration(directory, concurrency))
    nginx = subprocess.Popen(["nginx", "-e", str(directory / "error.log"), "-c", str(configuration)])
    ports = " or ".join(f"tcp port {port}" for port in [FRONT, *UPSTREAMS])
    said = directory / "tcpdump.err"
    with open(said, "wb") as complaints:
        tcpdump = subprocess.Popen(
            ["tcpdump", "-i", "lo", "-n", "-s", "0", "-B", "65536", "-U", "-Z", "root", "-w", str(capture), ports],
            stderr=complaints,
        )
    try:
        await until(lambda: "listening" in said.read_text(), "tcpdump listens")
        await until(lambda: connects(FRONT), "nginx listens")
        todo = [f"{random.getrandbits(4 * ID_DIGITS):0{ID_DIGITS}x}" for _ in range(requests)]
        began = time.monotonic()
        await asyncio.gather(*(client(todo) for _ in range(concurrency)))
        rate = requests / (time.monotonic() - began)
        await asyncio.sleep(RING_FLUSH_S)
    finally:
        for process in (tcpdump, nginx):
            process.terminate()
            process.wait(START_LIMIT_S)
        for server in servers:
            server.close()
    if "\n0 packets dropped by kernel" not in said.read_text():
        raise SystemExit(f"the capture is not whole: {said.read_text()}")
    return rate, truth


def upstream(port, truth):
    """A server that notes which port of nginx's each request came from."""

    async def serve(reader, writer):
        peer = writer.get_extra_info("peername")[1]
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                truth[ID_IN_TARGET.search(head)[1].decode()] = (port, peer)
                span = QUICK_S if random.random() < 0.75 else SLOW_S
                await asyncio.sleep(random.uniform(*span))
                content = b"x" * random.choice((0, 20, 200, 200, 2000))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            writer.close()

    return serve


async def client(todo):
    """Sends requests, one after the other, on one connection, until none is left."""
    if not todo:
        return
    reader, writer = await asyncio.open_connection(GATEWAY, FRONT, local_addr=(CLIENT, 0))
    while todo:
        identifier = todo.pop()
        writer.write(b"GET /item/%s HTTP/1.1\r\nHost: bench\r\n\r\n" % identifier.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"nginx answered {head[:60]!r}")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]))
    writer.close()


def nginx_configuration(directory, concurrency):
    """Three upstreams, kept connections on both legs, a log that names the upstream of each request."""
    servers = "".join(f"        server {UPSTREAM}:{port};\n" for port in UPSTREAMS)
    temporary = "".join(
        f"    {module}_temp_path {directory}/{module};\n"
        for module in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"user root;\ndaemon off;\nworker_processes 2;\nworker_rlimit_nofile 16384;\npid {directory}/nginx.pid;\n"
        f"error_log {directory}/error.log error;\nevents {{ worker_connections 8192; }}\nhttp {{\n{temporary}"
        f"    log_format bench '$request_uri $upstream_addr';\n    access_log {directory}/access.log bench;\n"
        f"    keepalive_requests 100000;\n"
        f"    upstream app {{\n{servers}        keepalive {max(concurrency, 8)};\n    }}\n"
        f"    server {{\n        listen {GATEWAY}:{FRONT} backlog=4096;\n        location / {{\n"
        f"            proxy_bind {GATEWAY_OUT};\n            proxy_pass http://app;\n            proxy_http_version 1.1;\n"
        f'            proxy_set_header Connection "";\n        }}\n    }}\n}}\n'
    )


def agree(log, truth):
    """nginx's log and the upstreams' own account name the same upstream for every request."""
    logged = dict(line.split() for line in log.read_text().splitlines())
    for identifier, (port, _) in truth.items():
        if logged.get(f"/item/{identifier}") != f"{UPSTREAM}:{port}":
            raise SystemExit(f"nginx and the upstream disagree about {identifier}: {logged.get(f'/item/{identifier}')}")


def blinded(pcap):
    """The capture with every identifier on its upstream leg overwritten."""
    out = bytearray(pcap)
    at = 24
    while at + 16 <= len(out):
        length = int.from_bytes(out[at + 8 : at + 12], "little")
        start, end = at + 16, at + 16 + length
        # Ethernet, IPv4, TCP: the port that the packet goes to.
        transport = start + 14 + 4 * (out[start + 14] & 15)
        if int.from_bytes(out[transport + 2 : transport + 4], "big") in UPSTREAMS:
            found = ID_IN_TARGET.search(out, transport, end)
            if found:
                out[found.start(1) : found.end(1)] = b"0" * ID_DIGITS
        at = end
    return bytes(out)


def read(program, capture, directory):
    """Reads a capture; by identifier (upstream's port, gateway's port) and pairing, and the user CPU time it took."""
    table = directory / "exchanges.ndjson"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    command = [program, "-r", capture]
    command += ["--exchanges", table, "--format", "json", "-o", "/dev/null", "-q", "--proxy", f"{GATEWAY},{GATEWAY_OUT}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    rows = {}
    for line in table.read_text().splitlines():
        row = json.loads(line)
        found = ID_IN_TARGET.search((row["target"] or "").encode())
        if found and row["gateway"].endswith(f":{FRONT}") and row["upstream"]:
            upstream_port = int(row["upstream"].rsplit(":", 1)[1])
            rows[found[1].decode()] = ((upstream_port, row["gateway_port"]), row["pairing"])
    return rows, spent * 1e9


def connects(port):
    """Whether something listens."""
    look = subprocess.run(["ss", "-Hltn", f"sport = :{port}"], capture_output=True, check=True, timeout=5)
    return bool(look.stdout)


async def until(true, what):
    """Waits, within a bound, until a condition holds."""
    deadline = time.monotonic() + START_LIMIT_S
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"waited {START_LIMIT_S} s until {what}")
        await asyncio.sleep(0.02)


if __name__ == "__main__":
    main()
