#!/usr/bin/env python3
"""Reading captures: netwatch502 beside tcpdump, tshark and capinfos, on the same files.

    sudo benches/compare.py --make DIR              makes the inputs, some 6 GB; --scale 0.1 makes them a tenth as large
    benches/compare.py DIR/*.pcap                   measures, and prints the tables of BENCHMARKS.md
    benches/compare.py --rounds 5 --tools netwatch502,tcpdump DIR/small.pcap

The inputs are real traffic, nginx in front of nginx with wrk as fast as it goes (curl for TLS), captured by tcpdump on `any`:

    small   responses of 200 octets on kept connections          mtu     4 and 64 KiB in segments of 1448 octets, every
    big     64 KiB in segments as large as the loopback's                hundredth of them out of order
    short   a connection for each request, on both legs          tls     small pages and large ones, the client's leg inside
    varied  as small, but no header section like another:                of TLS, with the keys beside it
            each has the id of its request

Every file is read once before it is measured, so that it is in memory. Tools take turns, and medians are printed: seconds by
the clock, processor seconds, memory, nanoseconds for a packet, and how many times as long as `tcpdump -w /dev/null`.

Making needs root and the packages iproute2, nginx, tcpdump, wrk, curl and openssl; tools that are not installed are left out.
"""

import argparse
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import struct
import subprocess
import tempfile
import time

import world

PROGRAM = pathlib.Path(__file__).parent.parent / "target/release/netwatch502"
# Sizes that the inputs grow to, in octets.
SIZES = {"small": 1.0e9, "varied": 1.0e9, "mtu": 2.0e9, "big": 1.7e9, "short": 0.5e9, "tls": 0.5e9}
PAGES = {"small": [200], "varied": [200], "mtu": [4096, 65536], "big": [65536], "short": [200], "tls": [200, 65536]}
LOAD_S = 5
# What each of wrk's connections pauses between requests, where tcpdump could not keep up with them: no packet may be missing.
PAUSES_MS = {"big": 20}
# Of a hundred segments with content one changes places with the next.
REORDERED = 100

GATEWAY_TLS = """
    upstream app {{ server 127.0.0.1:9000; keepalive 64; keepalive_requests 100000; }}
    server {{
        listen 127.0.0.1:8443 ssl; ssl_certificate {directory}/cert.pem; ssl_certificate_key {directory}/key.pem;
        location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""
ANSWER_WITH_ID = "add_header X-Request-Id $http_x_request_id; "
GATEWAY_SHORT = """
    keepalive_timeout 0;
    server {{ listen 127.0.0.1:8080; location / {{ proxy_pass http://127.0.0.1:9000; }} }}
"""


def main():
    """Reads the command line, makes or measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--make", type=pathlib.Path, metavar="DIR", help="make the inputs there")
    parser.add_argument("--scale", type=float, default=1.0, help="how large the inputs are made")
    parser.add_argument("--inputs", default=",".join(SIZES), help="which of them are made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tools", default="", help="only these, by the beginning of their name")
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    options = parser.parse_args()
    if bool(options.make) == bool(options.files):
        parser.error("either --make DIR or files to measure")
    if options.make:
        if os.geteuid() != 0:
            parser.error("a network namespace and a capture need root")
        options.make.mkdir(parents=True, exist_ok=True)
        for name in options.inputs.split(","):
            if name not in SIZES:
                parser.error(f"no input is called {name}: {', '.join(SIZES)}")
            make(name, options.make.resolve(), SIZES[name] * options.scale)
        return
    if not options.program.exists():
        parser.error(f"{options.program}: not built: cargo build --release")
    print(machine())
    for path in options.files:
        measure(path, options)


# Making.


def make(name, where, size):
    """Captures traffic until the file has a size: first in memory, since disks are slower than loopback, and what they are too slow
    for would be missing."""
    memory = pathlib.Path("/dev/shm")
    room = shutil.disk_usage(memory).free if memory.is_dir() else 0
    with tempfile.TemporaryDirectory(prefix="netwatch502-", dir=memory if room > 3 * size else where) as fast:
        made = pathlib.Path(fast) / f"{name}.pcap"
        capture(name, made, where, size)
        shutil.move(made, where / made.name)


def capture(name, made, where, size):
    """Captures into the file `made`."""
    with world.loopback() as (life, directory):
        if name == "mtu":
            world.inside("ip", "link", "set", "lo", "mtu", "1500", "gso_max_size", "1500", "gso_max_segs", "1")
        has_ids = name == "varied"
        answer = ANSWER_WITH_ID if has_ids else ""
        world.start_nginx(life, directory / "app", answer + world.APP)
        more = {"tls": GATEWAY_TLS, "short": GATEWAY_SHORT}.get(name, world.GATEWAY)
        if name == "tls":
            certificate(directory / "gateway")
        world.start_nginx(life, directory / "gateway", answer + more)
        world.pages(directory / "app/www", PAGES[name])
        script = directory / "load.lua"
        script.write_text(world.lua(len(PAGES[name]), has_ids, PAUSES_MS.get(name, 0)))
        said = directory / "tcpdump.err"
        with open(said, "wb") as err:
            command = ["tcpdump", "-i", "any", "-s", "0", "-B", "262144", "-Z", "root", "-w", made]
            tcpdump = subprocess.Popen(world.enter(*command), stderr=err, stdin=subprocess.DEVNULL)
        world.wait_until(lambda: "listening on" in said.read_text(), tcpdump, said)
        rounds = 0
        while made.stat().st_size < size and rounds < 200:
            if name == "tls":
                ask_inside_tls(directory, where / "tls.keys", len(PAGES[name]))
            else:
                flags = ["-H", "Connection: close"] if name == "short" else []
                world.load(script, LOAD_S, *flags)
            rounds += 1
        time.sleep(1)
        tcpdump.send_signal(signal.SIGINT)
        tcpdump.wait(60)
        print(f"{where / made.name}: {', '.join(re.findall(r'[0-9]+ packets (?:captured|dropped by kernel)', said.read_text()))}")
    if name == "mtu":
        reorder(made)


def certificate(directory):
    """A certificate for the gateway."""
    directory.mkdir()
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", directory / "key.pem"]
    out = ["-out", directory / "cert.pem", "-days", "2", "-subj", "/CN=gateway"]
    world.run(["openssl", "req", "-x509", *key, *out])


def ask_inside_tls(directory, keys, pages):
    """Many requests on a few connections, by a client that writes down its secrets."""
    curl = ["curl", "-sk", "--http1.1", "-Z", "--parallel-max", "20"]
    for page in range(pages):
        curl += [f"https://127.0.0.1:8443/{page}.html?[1-4000]", "-o", "/dev/null"]
    environment = os.environ | {"SSLKEYLOGFILE": str(keys)}
    subprocess.run(world.enter(*curl), check=True, timeout=300, env=environment, stderr=subprocess.DEVNULL)


def reorder(capture):
    """Lets every hundredth packet with much content change places with the next one, their stamps left where they stood."""
    header, record = 24, struct.Struct("<IIII")
    rest = capture.with_suffix(".ordered")
    capture.rename(rest)
    with open(rest, "rb") as source, open(capture, "wb") as target:
        target.write(source.read(header))
        held, counted = None, 0
        while head := source.read(record.size):
            *stamp, length, wire = record.unpack(head)
            packet = (length, wire, source.read(length))
            counted += length > 1000
            if held is None and length > 1000 and counted % REORDERED == 0:
                held = (stamp, packet)
                continue
            first = held[0] if held else stamp
            target.write(record.pack(*first, length, wire) + packet[2])
            if held:
                _, (length, wire, octets) = held
                target.write(record.pack(*stamp, length, wire) + octets)
                held = None
        if held:
            (stamp, (length, wire, octets)) = held
            target.write(record.pack(*stamp, length, wire) + octets)
    rest.unlink()


# Measuring.


def tools(path, program):
    """The tools' names and commands."""
    keys = path.with_suffix(".keys")
    own = [program, "-r", path, "--json", "-o", "/dev/null", *(["--keylog", keys] if keys.exists() else [])]
    preferences = ["-o", f"tls.keylog_file:{keys}"] if keys.exists() else []
    return {
        "netwatch502 --json": own,
        "netwatch502 --json, one core": ["taskset", "-c", "0", *own],
        "tcpdump -w /dev/null": ["tcpdump", "-r", path, "-w", "/dev/null"],
        "tshark -q -z http,tree": ["tshark", "-r", path, "-q", "-z", "http,tree", *preferences],
        "capinfos": ["capinfos", path],
        "capinfos -c": ["capinfos", "-c", path],
    }


def measure(path, options):
    """Prints the table of a file."""
    wanted = [name for name in options.tools.split(",") if name]
    chosen = {
        name: command
        for name, command in tools(path, options.program).items()
        if shutil.which(str(command[0])) and (not wanted or any(name.startswith(start) for start in wanted))
    }
    with open(path, "rb") as file:
        subprocess.run(["cat"], stdin=file, stdout=subprocess.DEVNULL, check=True)
    packets = counted(path)
    results = {name: [] for name in chosen}
    for _ in range(options.rounds):
        for name, command in chosen.items():
            results[name].append(once(command))
    medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in results.items()}
    base = medians.get("tcpdump -w /dev/null", [None])[0]
    print(f"\n### {path.stem}: {packets:,} packets, {path.stat().st_size / 1e9:.2f} GB\n")
    print("| tool | seconds | CPU s | MB | ns a packet | × tcpdump |\n|---|---:|---:|---:|---:|---:|")
    for name, (seconds, cpu, resident) in medians.items():
        ratio = f"{seconds / base:.2f}" if base else ""
        print(f"| {name} | {seconds:.2f} | {cpu:.2f} | {resident:.0f} | {seconds / packets * 1e9:.0f} | {ratio} |")


def once(command):
    """Seconds by the clock, processor seconds and resident MB of a command."""
    began = time.monotonic()
    tool = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(tool.pid, 0)
    took = time.monotonic() - began
    tool.returncode = os.waitstatus_to_exitcode(status)
    if tool.returncode not in (0, 1):
        raise SystemExit(f"{command[0]}: exit status {tool.returncode}")
    return took, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def counted(path):
    """Packets in a file, by its records."""
    packets = 0
    with open(path, "rb", buffering=1 << 20) as file:
        file.seek(24)
        while head := file.read(16):
            packets += 1
            file.seek(struct.unpack_from("<I", head, 8)[0], 1)
    return packets


def machine():
    """What this was measured on."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    names = f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}"
    versions = []
    for tool in ("tcpdump", "tshark"):
        if shutil.which(tool):
            said = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=30, check=False)
            versions.append((said.stdout + said.stderr).strip().splitlines()[0])
    return f"{names}. {'; '.join(versions)}."


if __name__ == "__main__":
    main()
