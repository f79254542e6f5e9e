# SPDX-License-Identifier: Apache-2.0
"""Traffic between two nodes: the rootless relay, pod to pod, against TCP between their hosts on the
same veth pair of MTU 1500. Beside it what peers do: a kernel VXLAN through pasta or slirp4netns."""
import json
import os
import pathlib
import subprocess

from clusters import BenchError
from report import Goal, Sample

ROUNDS = 3
BASELINE = "host TCP"
CARRIERS = ("tcp", "udp")
PEERS = ("pasta-vxlan", "slirp4netns-vxlan")  # as Usernetes connects nodes: no path of ours
GOALS = {"1 stream (tcp)": Goal("ratio", 0.6, at_least=True),
         "4 streams (tcp)": Goal("ratio", 0.6, at_least=True),
         "round trip, p50 (tcp)": Goal("ratio", 2)}
# Of net_relay_bench: its metric -> ours, unit.
METRICS = {"Gbit/s, 1 stream": ("1 stream", "Gbit/s"),
           "Gbit/s, 4 streams": ("4 streams", "Gbit/s"),
           "machine CPU s/Gbit, 1 stream": ("CPU of all, 1 stream", "s/Gbit"),
           "machine CPU s/Gbit, 4 streams": ("CPU of all, 4 streams", "s/Gbit")}
ROUND_TRIP = "RTT us"
measured = {}  # of this round, until both sides have taken theirs


def measure():
    """One round of all paths, interleaved by the program itself."""
    directory = pathlib.Path(os.environ.get("CONODE_TEST_SUPPORT", "/nonexistent"))
    if not (directory / "net_relay_bench").exists():
        raise BenchError(f"net: '{directory}/net_relay_bench' is missing: CONODE_TEST_SUPPORT names "
                         "the directory of the tests' programs")
    done = subprocess.run([directory / "net_relay_bench", "--rounds", "1", "--seconds", "2", "--pods",
                           "host", *CARRIERS, *PEERS], text=True, capture_output=True, timeout=300,
                          check=False)
    if done.returncode != 0:
        raise BenchError(f"net: {done.stderr}")
    rows = json.loads(done.stdout)["rows"]
    return {(row["metric"], row["path"]): row for row in rows}


def samples(side):
    if side not in measured:
        rows = measure()
        measured.update({"ours": rows, "baseline": rows})
    rows = measured.pop(side)
    found = []
    for carrier in CARRIERS + PEERS:
        path = carrier if side == "ours" else "host"
        for metric, (name, unit) in METRICS.items():
            found.append(Sample(f"{name} ({carrier})", unit, rows[metric, path]["median"]))
        for name, key in (("p50", "median"), ("p99", "p99")):
            found.append(Sample(f"round trip, {name} ({carrier})", "us",
                                rows[ROUND_TRIP, path][key]))
    return found


def ours(_setup, _options):
    return samples("ours")


def baseline(_setup, _options):
    return samples("baseline")
