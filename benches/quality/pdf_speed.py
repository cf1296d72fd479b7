#!/usr/bin/env python3
"""Text of PDFs: our workers against `pdftotext`, on the same files in the same run, in turn.

usage: pdf_speed.py PROGRAM EXTRACT DIRECTORY [--runs N] [--processes 1,2]

PROGRAM is the built `shelflist`, EXTRACT the built example `extract` (`cargo build --release --bins --examples`), DIRECTORY holds PDFs
(the `pdf` of what `collect.py` made). Needs poppler-utils and poppler-data.

Both sides get the same number of processes and take the next file from one list. Ours are long-lived workers that answer with text
and fields, the start of program and workers included; theirs is `pdftotext FILE /dev/null`, a process a file, since it takes no more.
One warm-up of each side, then N rounds of both in turn. CPU is user and system time of all processes of a side, children included;
the medians of the rounds are quoted. Pages are counted by `pdfinfo`. Then each kind of producer by itself, with one process and fewer rounds.
"""

import argparse
import collections
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from compare import information, producer_of

# Waits for all processes below it, orphans included, so that their time is counted.
TIMED = """
import ctypes, os, resource, subprocess, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
with open(sys.argv[1]) as names:
    code = subprocess.call(sys.argv[2:], stdin=names, stdout=subprocess.DEVNULL)
try:
    while True:
        os.wait()
except ChildProcessError:
    pass
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
# xargs says 123 where a file could not be opened.
sys.exit(0 if code == 123 else code)
"""


def timed(names, command):
    """Wall and CPU seconds, and the memory of the largest process in MB."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", TIMED, names, *command], capture_output=True, text=True, check=True)
    wall = time.perf_counter() - start
    cpu, memory = done.stdout.split()
    return wall, float(cpu), int(memory) / 1024


def sides(arguments, processes):
    theirs = ["xargs", "-d", "\n", "-I", "{}", "-P", str(processes), "pdftotext", "-q", "-enc", "UTF-8", "{}", "/dev/null"]
    return {"shelflist": [arguments.extract, arguments.program, str(processes)], "pdftotext": theirs}


def measure(arguments, paths, processes, runs):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as names:
        names.write("".join(f"{path}\n" for path in paths))
        names.flush()
        results = collections.defaultdict(list)
        for round_ in range(-1, runs):
            for side, command in sides(arguments, processes).items():
                result = timed(names.name, command)
                if round_ >= 0:
                    results[side].append(result)
    return {side: [statistics.median(column) for column in zip(*rows)] for side, rows in results.items()}


def facts(path):
    info = information(path)
    return int(info.get("Pages", 0)), producer_of(info)


def row(name, count, pages, result):
    ours, theirs = result["shelflist"], result["pdftotext"]
    per_page = [f"{side[0] / pages * 1000:.2f} / {side[1] / pages * 1000:.2f}" for side in (ours, theirs)]
    print(f"| {name} | {count} | {pages} | {per_page[0]} | {per_page[1]} | {ours[0] / theirs[0]:.2f} | {ours[1] / theirs[1]:.2f} |", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("program")
    arguments.add_argument("extract")
    arguments.add_argument("directory", type=pathlib.Path)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--processes", default="1,2")
    arguments.add_argument("--producers", action=argparse.BooleanOptionalAction, default=True)
    arguments = arguments.parse_args()
    known = {path.absolute(): facts(path) for path in sorted(arguments.directory.glob("*.pdf"))}
    # What pdftotext cannot open is not compared.
    known = {path: fact for path, fact in known.items() if fact[0] > 0}
    print("| files | number | pages | ours, ms a page (wall / CPU) | pdftotext | wall, ratio | CPU, ratio |")
    print("|---|---|---|---|---|---|---|")
    pages = sum(count for count, _ in known.values())
    for processes in map(int, arguments.processes.split(",")):
        result = measure(arguments, known, processes, arguments.runs)
        row(f"all, {processes} process{'es' if processes > 1 else ''} each", len(known), pages, result)
        print(f"largest process: ours {result['shelflist'][2]:.0f} MB, pdftotext {result['pdftotext'][2]:.0f} MB", file=sys.stderr)
    by_producer = collections.defaultdict(list)
    for path, (count, producer) in known.items():
        by_producer[producer].append((path, count))
    for producer, several in sorted(by_producer.items(), key=lambda pair: -len(pair[1])) if arguments.producers else ():
        count = sum(pages for _, pages in several)
        row(producer, len(several), count, measure(arguments, [path for path, _ in several], 1, 3))


if __name__ == "__main__":
    main()
