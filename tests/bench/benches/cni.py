# SPDX-License-Identifier: Apache-2.0
"""Latency of attaching a pod: conode-cni against the reference plugins, through the same cnitool."""
import json
import os
import pathlib
import subprocess

from clusters import BenchError
from report import Goal, Sample

ROUNDS = 5
BASELINE = "reference"
BUDGET = {"ADD": 0.5, "DEL": 0.3}
HOW = ("through cnitool", "32 at once", "direct")
# Row's name: our mode, the reference plugin with host-local.
PAIRS = {"ptp": ("routed", "ptp"), "bridge": ("bridged", "bridge")}
GOALS = {f"{verb} {how}, p50 ({pair})": Goal("ratio", bound)
         for verb, bound in BUDGET.items() for how in HOW[:2] for pair in PAIRS}


def program():
    """The benchmark of one plugin; `./dev bench` builds it."""
    directory = os.environ.get("CONODE_TEST_SUPPORT")
    path = pathlib.Path(directory or "/nonexistent") / "cni_bench"
    if not path.exists():
        raise BenchError(f"cni: '{path}' is missing: CONODE_TEST_SUPPORT names the directory of the "
                         "tests' programs")
    return str(path)


def quantile(values, q):
    return sorted(values)[int(q * (len(values) - 1))]


def measure(setup, plugin):
    conode = pathlib.Path(os.environ.get("CONODE", "conode"))
    plugin_program = conode.parent.parent / "libexec/conode/conode-cni"
    command = [program(), "--plugin", plugin, "--conode-cni", str(plugin_program),
               "--reference", f"{setup.bundle}/extras"]
    restrict = ["taskset", "-c", setup.cpus] if setup.cpus else []
    done = subprocess.run(restrict + command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise BenchError(f"cni: {plugin}: {done.stderr}")
    return json.loads(done.stdout)


def samples(setup, side):
    found = []
    for pair, plugins in PAIRS.items():
        measured = measure(setup, plugins[side])
        for verb in BUDGET:
            for how in HOW:
                values = measured[verb][how]
                found += [Sample(f"{verb} {how}, {name} ({pair})", "ms", quantile(values, q))
                          for name, q in (("p50", 0.5), ("p99", 0.99))]
    return found


def ours(setup, _):
    return samples(setup, 0)


def baseline(setup, _):
    return samples(setup, 1)
