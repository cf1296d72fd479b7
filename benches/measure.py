#!/usr/bin/env python3
"""Time commands against each other and print a Markdown table.

usage: measure.py --runs N --title TEXT < COMMANDS

COMMANDS is a JSON list of {"name", "command", "prepare"}: shell lines; "prepare" (may be null) runs before each
timed run, untimed. The first command is the one that the others are compared with. In every round each command runs
once, the order shifting by one from round to round, so that a machine that slows down slows all of them; the first
round only warms up and is not counted. A command that fails ends it all: a figure of a failed run is no figure.

Wall and CPU seconds are medians; the CPU time is user and system time of the command and its children, the peak is
the largest resident set of any one process of it, in MB (10^6 bytes).
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time


def run(name, line, timed_by):
    """Runs a shell line; (wall s, cpu s, peak bytes). With GNU time the peak leaves out this interpreter, which forks
    the command and whose own size the kernel counts in as the least a child can have had."""
    with tempfile.NamedTemporaryFile("r", prefix="measure-") as peak, tempfile.TemporaryFile() as said:
        wrapped = ["bash", "-c", "exec " + line]
        if timed_by:
            wrapped = [timed_by, "-q", "-f", "%M", "-o", peak.name] + wrapped
        begin = time.monotonic()
        process = subprocess.Popen(wrapped, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace"))
            sys.exit(f"measure.py: {name} failed with {process.returncode}: {line}")
        unit = 1 if sys.platform == "darwin" else 1024
        peak_bytes = int(peak.read()) * 1024 if timed_by else usage.ru_maxrss * unit
    return wall, usage.ru_utime + usage.ru_stime, peak_bytes


def gnu_time():
    path = shutil.which("time") or shutil.which("gtime")
    if path is None:
        return None
    probe = subprocess.run([path, "-q", "-f", "%M", "true"], capture_output=True, text=True)
    return path if probe.returncode == 0 and probe.stderr.strip().isdigit() else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--title", required=True)
    args = parser.parse_args()
    commands = json.load(sys.stdin)
    if args.runs < 1 or not commands:
        sys.exit("measure.py: nothing to measure")
    timed_by = gnu_time()
    results = {command["name"]: [] for command in commands}
    for round_ in range(args.runs + 1):
        shift = round_ % len(commands)
        for command in commands[shift:] + commands[:shift]:
            if command.get("prepare"):
                subprocess.run(["bash", "-ec", command["prepare"]], check=True, stdin=subprocess.DEVNULL, stdout=2)
            result = run(command["name"], command["command"], timed_by)
            if round_ > 0:
                results[command["name"]].append(result)

    def median(name, column):
        return statistics.median(result[column] for result in results[name])

    first = commands[0]["name"]
    print(f"| {args.title} | wall s | (from-to) | CPU s | peak MB | {first} takes |")
    print("|---|---|---|---|---|---|")
    for command in commands:
        name = command["name"]
        walls = [result[0] for result in results[name]]
        ratio = "" if name == first else f"{median(first, 0) / median(name, 0):.2f} x"
        print(
            f"| {name} | {median(name, 0):.3f} | {min(walls):.3f}-{max(walls):.3f} | {median(name, 1):.3f} "
            f"| {max(result[2] for result in results[name]) / 1e6:.1f} | {ratio} |"
        )
    if timed_by is None:
        print("\n(No GNU time on this machine: peaks below about 15 MB are this script's own.)")


main()
