#!/usr/bin/env python3
"""What watching costs: netwatch502 and tcpdump, side by side, on the same traffic.

    sudo benches/live.py                      three rounds of each, ten seconds a round
    sudo benches/live.py --rounds 5 --seconds 30 --loads small

nginx in front of nginx, both on the loopback of a network namespace that is made for it, and wrk as fast as two cores
go. The tools take turns, on `any`, with a kernel buffer of 64 MiB each; tcpdump writes to /dev/null. Printed are medians:
packets that the tool got, what the kernel dropped, CPU seconds (user and system) for a million packets, and how many
requests a second wrk got through, also without a capture.

Needs root, Linux, and the packages iproute2, nginx, tcpdump and wrk. Builds nothing: `cargo build --release` first.
"""

import argparse
import os
import pathlib
import re
import signal
import statistics
import subprocess
import time

import world

PROGRAM = pathlib.Path(__file__).parent.parent / "target/release/netwatch502"
# Content in octets, one after the other.
LOADS = {"small": [200], "pages": [4096, 65536], "empty": [0]}
BUFFER_KIB = 65536


def main():
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--loads", default="small,pages", help=f"of {', '.join(LOADS)}")
    parser.add_argument("--program", type=pathlib.Path, default=PROGRAM)
    parser.add_argument("--flags", default="", help="more flags for netwatch502, one string")
    options = parser.parse_args()
    loads = options.loads.split(",")
    if unknown := [load for load in loads if load not in LOADS]:
        parser.error(f"no load is called {unknown[0]}: {', '.join(LOADS)}")
    if os.geteuid() != 0:
        parser.error("a network namespace and a capture need root")
    if not options.program.exists():
        parser.error(f"{options.program}: not built: cargo build --release")
    with world.loopback() as (life, directory):
        world.start_nginx(life, directory / "app", world.APP)
        world.start_nginx(life, directory / "gateway", world.GATEWAY)
        watch = [options.program, "-i", "any", "-B", BUFFER_KIB, *options.flags.split(), "port", "8080"]
        tools = {
            "none": None,
            "tcpdump": ["tcpdump", "-i", "any", "-B", BUFFER_KIB, "-Z", "root", "-w", "/dev/null"],
            "netwatch502": watch,
        }
        for load in loads:
            measure(load, tools, directory, options)


def measure(load, tools, directory, options):
    """Prints the table of a load."""
    world.pages(directory / "app/www", LOADS[load])
    script = directory / "load.lua"
    script.write_text(world.lua(len(LOADS[load])))
    results = {tool: [] for tool in tools}
    for _ in range(options.rounds):
        for tool, command in tools.items():
            results[tool].append(one_round(command, script, directory, options.seconds))
    print(f"\n{load}: {options.rounds} rounds of {options.seconds} s")
    print(f"{'tool':<12}{'packets':>12}{'dropped':>9}{'CPU s':>8}{'CPU s/M':>9}{'MiB':>6}{'requests/s':>12}")
    costs = {}
    for tool, rounds in results.items():
        packets, dropped, cpu, resident, rate = (statistics.median(column) for column in zip(*rounds))
        costs[tool] = cpu / packets * 1e6 if packets else 0
        dropped = sum(one[1] for one in rounds)
        print(f"{tool:<12}{packets:>12.0f}{dropped:>9}{cpu:>8.2f}{costs[tool]:>9.2f}{resident:>6.0f}{rate:>12.0f}")
    print(f"netwatch502 : tcpdump, CPU for a packet: {costs['netwatch502'] / costs['tcpdump']:.2f}")


def one_round(command, script, directory, seconds):
    """Packets, drops, CPU seconds and resident MiB of a tool, and the requests that wrk got answered in a second."""
    tool = None
    said = directory / "tool.err"
    if command:
        with open(said, "wb") as err, open(directory / "tool.out", "wb") as out:
            tool = subprocess.Popen(world.enter(*command), stderr=err, stdout=out, stdin=subprocess.DEVNULL)
        world.wait_until(lambda: re.search("listening on|capturing on", said.read_text()), tool, said)
        time.sleep(0.5)
    rate = world.load(script, seconds)
    if not tool:
        return 0, 0, 0.0, 0, rate
    # Both hand over the last block within a second.
    time.sleep(1)
    resident = int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{tool.pid}/status").read_text()).group(1)) / 1024
    tool.send_signal(signal.SIGINT)
    _, _, usage = os.wait4(tool.pid, 0)
    tool.returncode = 0
    return *counted(said.read_text(), (directory / "tool.out").read_text()), usage.ru_utime + usage.ru_stime, resident, rate


def counted(err, out):
    """Packets taken and dropped, by what a tool said when it ended."""
    if found := re.search(r"(\d+) packets captured", err):
        return int(found.group(1)), int(re.search(r"(\d+) packets dropped by kernel", err).group(1))
    packets = int(re.search(r"\): ([\d,]+) packets", out).group(1).replace(",", ""))
    dropped = re.search(r"([\d,]+) packets? dropped", out)
    return packets, int(dropped.group(1).replace(",", "")) if dropped else 0


if __name__ == "__main__":
    main()
