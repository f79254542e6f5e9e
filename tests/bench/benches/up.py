# SPDX-License-Identifier: Apache-2.0
"""From nothing to a Deployment's pod that answers through its ClusterIP, and back to nothing."""
from clusters import BenchError, Floor, Ours
from report import Goal, Sample

ROUNDS = 5
BASELINE = "floor"
GOALS = {"node Ready": Goal("ratio", 1), "service answers": Goal("ratio", 1),
         "teardown": Goal("ours", 0.5)}

# Row, phase of `conode up --json`, phase of floor.sh: seconds since the start.
PHASES = (
    ("certificates", "kubeadm", "kubeconfigs"),
    ("images imported", "images", "images"),
    ("API server ready", "API ready", "API server ready"),
    ("node Ready", "node Ready", "node Ready"),
    ("up returns", "up returns", None),
    ("service answers", "service answers", "service answers"),
)


def samples(cluster, column):
    found = []
    with cluster as running:
        for row in PHASES:
            phase = row[column]
            if phase in running.phases:
                found.append(Sample(row[0], "s", running.phases[phase]))
            elif phase and row[0] in GOALS:
                raise BenchError(f"{running.name}: told no phase '{phase}', only: "
                                 f"{', '.join(running.phases)}")
        return found + [Sample("teardown", "s", running.stop())]


def ours(setup, _):
    return samples(Ours(setup), 1)


def baseline(setup, _):
    return samples(Floor(setup), 2)
