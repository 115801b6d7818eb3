#!/usr/bin/env python3
"""What open connections cost: resident memory with many of them, each idle after one exchange.

    benches/idle.py                                  a million connections; prints the rows of BENCHMARKS.md
    benches/idle.py --connections 100000             fewer
    benches/idle.py --make FILE --kind both          only makes the capture, 0.7 GB for a million

The captures are made up, not taken: TCP handshake, a request of 90 octets, its acknowledgement, a response of 200, its
acknowledgement, then nothing; a connection begins each half millisecond, so that all lie within the limits of idleness.

    clients   every connection is a client's to the gateway
    both      every second one is the gateway's to one of sixteen upstreams, on which it passed the request on

Octets for a connection are the resident peak, less that of a capture with a hundredth of the connections, by the difference in
connections. No privileges are needed.
"""

import argparse
import os
import pathlib
import struct
import subprocess
import tempfile
import time

PROGRAM = pathlib.Path(__file__).parent.parent / "target/release/netwatch502"
KINDS = ("clients", "both")
FEW = 100
# A little-endian pcap of microseconds, Ethernet.
HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
BEGIN_S = 1_772_000_000
STEP_US = 500
GATEWAY, UPSTREAMS = 0xC0000201, 0xCB007100
SYN, SYN_ACK, ACK, PSH_ACK = 0x02, 0x12, 0x10, 0x18

RECORD = struct.Struct("<IIII")
HEADERS = struct.Struct("!12xHBBHHHBBHIIHHIIBBHHH")


def main():
    """Reads the command line, makes or measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", type=pathlib.Path, metavar="FILE", help="make a capture, and no more")
    parser.add_argument("--kind", choices=KINDS, help="which capture; when measuring, both if not given")
    parser.add_argument("--connections", type=int, default=1_000_000)
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    options = parser.parse_args()
    if options.make:
        make(options.make, options.kind or KINDS[0], options.connections)
        return
    if not options.program.exists():
        parser.error(f"{options.program}: not built: cargo build --release")
    print("| connections | of them open | resident MB | octets each | seconds |\n|---|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as directory:
        for kind in [options.kind] if options.kind else KINDS:
            row(kind, options.connections, options.program, pathlib.Path(directory) / "idle.pcap")


def row(kind, connections, program, path):
    """Measures a kind of connections, and prints its row."""
    measured = []
    for count in (connections // FEW, connections):
        make(path, kind, count)
        measured.append(resident(program, path, count))
        path.unlink()
    (least, _), (most, seconds) = measured
    each = (most - least) / (connections - connections // FEW)
    print(f"| {kind} | {connections:,} | {most / 1e6:.0f} | {each:.0f} | {seconds:.1f} |")


def resident(program, path, connections):
    """The peak of resident octets, and seconds."""
    command = [program, "-r", path, "--json", "-o", "/dev/null", "--max-connections", connections + 1000]
    began = time.monotonic()
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{program}: exit status {process.returncode}")
    return usage.ru_maxrss * 1024, time.monotonic() - began


# Making.


def make(path, kind, connections):
    """Writes the capture."""
    with open(path, "wb", buffering=1 << 20) as out:
        out.write(HEADER)
        if kind == "clients":
            for number in range(connections):
                at = number * STEP_US
                opened = open_one(out, at, client(number), (GATEWAY, 80))
                ask(out, at, opened, request(number))
                answer(out, at + 300, opened)
            return
        for number in range(connections // 2):
            at = number * STEP_US * 2
            downstream = open_one(out, at, client(number), (GATEWAY, 80))
            ask(out, at, downstream, request(number))
            upstream = open_one(out, at + 150, (GATEWAY, 5_000 + number // 16 % 60_000), (UPSTREAMS + number % 16, 8080))
            ask(out, at + 150, upstream, request(number))
            answer(out, at + 450, upstream)
            answer(out, at + 600, downstream)


def client(number):
    """The end of a client: four connections from each address."""
    return 0x0A000000 + number // 4, 20_000 + number % 4 * 1000 + number // 4 % 1000


def request(number):
    """A request that no other one is like."""
    return b"GET /items/%012d HTTP/1.1\r\nHost: shop.example.org\r\nX-Request-Id: %016x\r\n\r\n" % (
        number,
        number * 0x9E3779B97F4A7C15 % (1 << 64),
    )


RESPONSE = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\nContent-Length: 120\r\n\r\n" + b"x" * 120


def open_one(out, at, here, there):
    """Opens a connection: its ends and what each sends next."""
    first = (here[0] * 0x9E3779B1 + here[1]) % (1 << 32)
    packet(out, at, here, there, (first, 0), SYN)
    packet(out, at + 40, there, here, (first, first + 1), SYN_ACK)
    packet(out, at + 80, here, there, (first + 1, first + 1), ACK)
    return here, there, first + 1


def ask(out, at, opened, octets):
    """The request, and its acknowledgement."""
    here, there, begin = opened
    packet(out, at + 100, here, there, (begin, begin), PSH_ACK, octets)
    packet(out, at + 110, there, here, (begin, begin + len(octets)), ACK)


def answer(out, at, opened):
    """The response, and its acknowledgement."""
    here, there, begin = opened
    asked = begin + len(request(0))
    packet(out, at, there, here, (begin, asked), PSH_ACK, RESPONSE)
    packet(out, at + 10, here, there, (asked, begin + len(RESPONSE)), ACK)


def packet(out, at, source, destination, numbers, flags, octets=b""):
    """Writes a packet; checksums are left out."""
    length = HEADERS.size + len(octets)
    seconds, microseconds = divmod(at, 1_000_000)
    out.write(RECORD.pack(BEGIN_S + seconds, microseconds, length, length))
    addresses = (source[0], destination[0], source[1], destination[1])
    sequence, acknowledged = (number % (1 << 32) for number in numbers)
    tcp = (sequence, acknowledged, 5 << 4, flags, 64_240, 0, 0)
    out.write(HEADERS.pack(0x0800, 0x45, 0, length - 14, 0, 0x4000, 64, 6, 0, *addresses, *tcp))
    out.write(octets)


if __name__ == "__main__":
    main()
