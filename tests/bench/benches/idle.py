# SPDX-License-Identifier: Apache-2.0
"""What a node with a control plane and one pod costs when nothing happens."""
import collections
import time

import processes
from clusters import Floor, Ours
from report import Goal, Sample

ROUNDS = 5
BASELINE = "floor"
OWN = ("conode", "conode-init", "conode-oci")  # what we add to upstream's programs
OWN_NAME = "conode's own"
COMMON = "all but DNS and egress"  # which the floor does not have
NOT_COMMON = ("coredns", "pasta", "slirp4netns")
GOALS = {f"PSS of {OWN_NAME}": Goal("ours", 20), f"CPU of {OWN_NAME}": Goal("ours", 0.1),
         "PSS of all": Goal("ratio", 1), "CPU of all": Goal("ratio", 1),
         "context switches of all": Goal("ratio", 1), f"PSS of {COMMON}": Goal("ratio", 1)}


def by_group(before, after, seconds):
    """{group: [% of a core, switches/s, MiB]} of the processes that lived all the time."""
    groups = collections.defaultdict(lambda: [0.0, 0.0, 0.0])
    for pid, now in after.items():
        if pid not in before or before[pid].name != now.name:
            continue
        names = {"all", now.name} | ({OWN_NAME} if now.name in OWN else set())
        names |= set() if now.name.startswith(NOT_COMMON) else {COMMON}
        for name in names:
            group = groups[name]
            group[0] += 100 * (now.cpu_seconds - before[pid].cpu_seconds) / seconds
            group[1] += (now.switches - before[pid].switches) / seconds
            group[2] += now.pss_mib
    return groups


def samples(cluster, options):
    with cluster as running:
        time.sleep(options.settle)
        before, begun = processes.usage(), time.monotonic()
        time.sleep(options.seconds)
        groups = by_group(before, processes.usage(), time.monotonic() - begun)
        running.stop()
    first = ["all", COMMON, OWN_NAME]
    order = sorted(groups, key=lambda name: (first + [name]).index(name))
    metrics = (("CPU", "% of a core"), ("context switches", "1/s"), ("PSS", "MiB"))
    return [Sample(f"{metric} of {name}", unit, groups[name][i])
            for i, (metric, unit) in enumerate(metrics) for name in order]


def ours(setup, options):
    return samples(Ours(setup), options)


def baseline(setup, options):
    return samples(Floor(setup), options)
