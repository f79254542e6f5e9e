# SPDX-License-Identifier: Apache-2.0
"""Traffic between two nodes over the VXLAN that conode-hook makes for a job, against one that an
administrator makes by hand, both from a user's namespace over a bridge of root's to the kernel's
VXLAN, on the same fabric of MTU 1500."""
import json
import os
import pathlib
import subprocess

from clusters import BenchError
from report import Goal, Sample

ROUNDS = 5
BASELINE = "by hand"
PATHS = {"ours": "vxlan", "baseline": "bridge"}
GOALS = {"1 stream": Goal("ratio", 0.9, at_least=True),
         "4 streams": Goal("ratio", 0.9, at_least=True)}
# Of net_vxlan_bench: its metric, the statistic -> ours, unit.
METRICS = {("Gbit/s, 1 stream", "median"): ("1 stream", "Gbit/s"),
           ("Gbit/s, 4 streams", "median"): ("4 streams", "Gbit/s"),
           ("machine CPU s/Gbit, 1 stream", "median"): ("CPU of all, 1 stream", "s/Gbit"),
           ("RTT us", "median"): ("round trip, p50", "us"),
           ("RTT us", "p99"): ("round trip, p99", "us")}
measured = {}  # of this round, until both sides have taken theirs


def measure():
    """One round of all paths, interleaved by the program itself."""
    program = pathlib.Path(os.environ.get("CONODE_TEST_SUPPORT", "/nonexistent")) / "net_vxlan_bench"
    if not program.exists():
        raise BenchError(f"vxlan: '{program}' is missing: CONODE_TEST_SUPPORT names the directory of "
                         "the tests' programs")
    done = subprocess.run([program, "--rounds", "1"], text=True, capture_output=True, timeout=300,
                          check=False)
    if done.returncode != 0:
        raise BenchError(f"vxlan: {done.stderr}")
    return {(row["metric"], row["path"]): row for row in json.loads(done.stdout)["rows"]}


def samples(side):
    if side not in measured:
        rows = measure()
        measured.update({"ours": rows, "baseline": rows})
    rows = measured.pop(side)
    return [Sample(name, unit, rows[metric, PATHS[side]][statistic])
            for (metric, statistic), (name, unit) in METRICS.items()]


def ours(_setup, _options):
    return samples("ours")


def baseline(_setup, _options):
    return samples("baseline")
