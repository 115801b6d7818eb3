"""Holds what the program told against what the gateway logged, and reads what it kept.

    agreement.py DIRECTORY PROGRAM
"""

import collections
import json
import pathlib
import subprocess
import sys


def main():
    """Compares the failures by status, then the files."""
    directory, program = pathlib.Path(sys.argv[1]), sys.argv[2]
    logged = collections.Counter(int(line.split()[0]) for line in (directory / "failed.log").read_text().splitlines())
    lines = [json.loads(line) for line in (directory / "told.ndjson").read_text().splitlines()]
    *incidents, summary = [line for line in lines if line["type"] != "amended"]
    if summary["type"] != "summary":
        sys.exit("soak: the summary is missing")
    errors = [incident for incident in incidents if incident["kind"] == "gateway_error"]
    told = collections.Counter(incident["status"] for incident in errors)
    causes = collections.Counter((incident["cause"], incident["grade"]) for incident in errors)
    drops = summary["coverage"]["kernel_drops"]
    print(f"nginx logged {dict(logged)}, told were {dict(told)}; {drops} packets were dropped")
    for (cause, grade), count in causes.most_common():
        print(f"  {count:7,} {cause} {grade}")
    for note in summary["coverage"]["notes"]:
        print(f"  {note}")
    if drops == 0 and told != logged:
        sys.exit("soak: the failures told are not those logged")
    if any(told[status] > count for status, count in logged.items()) or set(told) - set(logged):
        sys.exit("soak: failures were told that are not logged")
    if summary["totals"]["gateway_errors"] != len(errors):
        sys.exit(f"soak: the summary counts {summary['totals']['gateway_errors']} failures, and {len(errors)} were told")
    numbers = [incident["id"] for incident in incidents]
    if len(set(numbers)) != len(numbers):
        sys.exit("soak: two incidents have one number")
    read_again(directory / "kept", program)


def read_again(kept, program):
    """Every file can be read by others and by the program, and the recorder's holds the failures."""
    files = sorted(kept.glob("*.pcapng"))
    print(f"kept: {len(files)} files, {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")
    for file in files:
        subprocess.run(["capinfos", "-M", file], check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run([program, "-r", file, "--json", "port", "8080"], stdout=subprocess.PIPE, check=False)
        if done.returncode == 2:
            sys.exit(f"soak: {file.name} cannot be read again")
        if file.name == "failures.pcapng" and done.returncode != 1:
            sys.exit(f"soak: {file.name} holds no failure")


if __name__ == "__main__":
    main()
