#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs benchmarks: ours and a baseline in turn, several rounds, medians.

usage: bench.py --bundle DIR --image FILE --output DIR [OPTION...] [NAME...]

Each file of benches/ is a benchmark: its docstring; ROUNDS; BASELINE, the baseline's name; GOALS,
{metric: Goal}; ours(setup, options) and baseline(setup, options), each one round's [Sample].
Writes OUTPUT/NAME.json and prints the same as a table. Exits with 1 where a benchmark could not run;
a goal that is missed is no failure. $CONODE is the program; `./dev bench` calls this.
"""
import argparse
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import processes
import report
from clusters import BenchError, Setup

HERE = pathlib.Path(__file__).resolve().parent
FAILURES = (BenchError, OSError, ValueError, KeyError, subprocess.SubprocessError)


def names():
    return sorted(path.stem for path in (HERE / "benches").glob("[a-z]*.py"))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--image", required=True, help="OCI archive of busybox")
    parser.add_argument("--output", required=True, type=pathlib.Path)
    parser.add_argument("--rounds", type=int, help="instead of the benchmark's own number")
    parser.add_argument("--cpus", default="", help="list of CPUs for both sides")
    parser.add_argument("--settle", type=float, default=30, help="idle: seconds before measuring")
    parser.add_argument("--seconds", type=float, default=60, help="idle: seconds of measuring")
    options = parser.parse_args()
    unknown = set(options.names) - set(names())
    if unknown:
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}; there are: "
                     f"{', '.join(names())}")
    return options


def run_rounds(bench, setup, options):
    """Who begins alternates: what the first one leaves in caches serves each side equally."""
    rounds = []
    count = options.rounds or bench.ROUNDS
    for i in range(count):
        one = {}
        for side in ("ours", "baseline") if i % 2 == 0 else ("baseline", "ours"):
            print(f"{bench.__name__.rsplit('.', 1)[-1]}: round {i + 1}/{count}, {side}",
                  file=sys.stderr, flush=True)
            one[side] = getattr(bench, side)(setup, options)
        rounds.append(one)
    return rounds


def run_bench(name, setup, options):
    bench = importlib.import_module(f"benches.{name}")
    machine = report.machine()
    rounds = run_rounds(bench, setup, options)
    document = {"bench": name, "machine": machine, "rounds": len(rounds),
                "rows": report.rows_of(rounds, bench.BASELINE, bench.GOALS)}
    (options.output / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n")
    print(report.table(document), flush=True)


def main():
    options = arguments()
    options.output.mkdir(parents=True, exist_ok=True)  # before minutes are spent
    processes.adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGHUP):  # the clusters are ended on the way out
        signal.signal(number, lambda n, _: sys.exit(128 + n))
    failed = False
    with tempfile.TemporaryDirectory(prefix="bench.") as scratch:
        os.chmod(scratch, 0o711)  # the floor's sandbox maps other ids
        setup = Setup(os.path.realpath(options.bundle), os.path.realpath(options.image),
                      pathlib.Path(scratch), options.cpus)
        for name in options.names or names():
            try:
                run_bench(name, setup, options)
            except FAILURES as error:
                print(f"bench '{name}' could not run: {error}", file=sys.stderr)
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
