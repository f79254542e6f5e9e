# SPDX-License-Identifier: Apache-2.0
"""Seven real nodes on this machine until all are Ready, beside one; thousands of simulated agents
through bootstrap, one broadcast and one gather, beside a quarter of them."""
import json
import os
import pathlib
import subprocess

from clusters import BenchError, Ours
from report import Goal, Sample

ROUNDS = 3
BASELINE = "1 node, 1024 agents"
NODES = {"ours": 7, "baseline": 1}
AGENTS = {"ours": 4096, "baseline": 1024}
GOALS = {"all nodes Ready": Goal("ours", 15), "bootstrap, broadcast, gather": Goal("ours", 2)}


class Nodes(Ours):
    """`conode up --nodes N`: no Deployment, only the nodes."""

    def __init__(self, setup, nodes):
        super().__init__(setup)
        self.commands = Ours.commands | {"up": [*Ours.commands["up"], "--nodes", str(nodes)]}

    def start(self):
        with self.popen(self.conode("up")) as up:
            self.follow(up)
        self.passed("up returns")


def of_agents(count):
    directory = pathlib.Path(os.environ.get("CONODE_TEST_SUPPORT", "/nonexistent"))
    if not (directory / "bus_bench").exists():
        raise BenchError(f"scale: '{directory}/bus_bench' is missing: CONODE_TEST_SUPPORT names the "
                         "directory of the tests' programs")
    done = subprocess.run([directory / "bus_bench", "--runs", "1", str(count)], text=True,
                          capture_output=True, timeout=300, check=False)
    if done.returncode != 0:
        raise BenchError(f"scale: {count} agents: {done.stderr}")
    times = json.loads(done.stdout)[0]
    return [Sample("bootstrap", "s", times["bootstrap_seconds"]),
            Sample("broadcast", "s", times["broadcast_seconds"]),
            Sample("gather", "s", times["gather_seconds"]),
            Sample("bootstrap, broadcast, gather", "s", times["total_seconds"]),
            Sample("CPU of an agent", "ms", 1000 * times["cpu_seconds_each"])]


def samples(setup, side):
    with Nodes(setup, NODES[side]) as running:
        found = [Sample("all nodes Ready", "s", running.phases["up returns"]),
                 Sample("teardown", "s", running.stop())]
    return found + of_agents(AGENTS[side])


def ours(setup, _):
    return samples(setup, "ours")


def baseline(setup, _):
    return samples(setup, "baseline")
