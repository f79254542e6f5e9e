# SPDX-License-Identifier: Apache-2.0
"""In a batch job (real Slurm, Kubernetes on one node): from sbatch to the first instruction of the
workload, and from its last one to a node that is clean. The baseline is `conode exec` without Slurm.
Slurm's own wait before it looks at a new batch job (batch_sched_delay, 3 s) is off; what a job without
conode takes is a row, too."""
import os
import pathlib
import subprocess
import time

from clusters import BenchError, remove_tree
from report import Goal, Sample

ROUNDS = 5
BASELINE = "exec alone"
GOALS = {"first instruction": Goal("ratio", 1.3), "node clean": Goal("ours", 1)}

SUPPORT = pathlib.Path(__file__).resolve().parents[2] / "support"
TIMEOUT = 120  # seconds
WORKLOAD = 'date +%s.%N > first; date +%s.%N > last'


def environment(setup, state):
    return dict(os.environ) | {"CONODE_STATE_DIR": str(state), "CONODE_BUNDLE": setup.bundle}


def command():
    return [os.environ.get("CONODE", "conode"), "exec", "--k8s-cores", "1", "--", "sh", "-c",
            WORKLOAD]


def samples(directory, begun):
    """`clean` is written when conode's own audit has found nothing left."""
    stamps = {name: float((directory / name).read_text()) for name in ("first", "last", "clean")}
    return [Sample("first instruction", "s", stamps["first"] - begun),
            Sample("node clean", "s", stamps["clean"] - stamps["last"])]


def run(argv, **options):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=False,
                          **options)
    if done.returncode != 0:
        raise BenchError(f"'{' '.join(argv)}' failed: {done.stdout}{done.stderr}")
    return done.stdout


def ours(setup, _):
    directory = setup.scratch / "batch"
    slurm = directory / "slurm"
    slurm.mkdir(parents=True)
    helper = str(SUPPORT / "slurm_cluster.sh")
    conf = run([helper, "start", str(slurm)]).strip()
    try:
        own = environment(setup, directory / "state") | {"SLURM_CONF": conf}
        script = directory / "job.sh"
        quoted = " ".join(f"'{word}'" for word in command())
        script.write_text(f"#!/bin/bash\n{quoted} && date +%s.%N > clean\n")
        submit = ["sbatch", "--wait", "--nodes=1", "--output=job.out"]
        begun = time.time()
        run([*submit, "--wrap", "date +%s.%N > first"], env=own, cwd=directory)
        slurm_alone = float((directory / "first").read_text()) - begun
        begun = time.time()
        run([*submit, str(script)], env=own, cwd=directory)
        return [*samples(directory, begun),
                Sample("job without conode", "s", slurm_alone)]
    finally:
        run([helper, "stop", str(slurm)])
        remove_tree(directory)


def baseline(setup, _):
    directory = setup.scratch / "alone"
    directory.mkdir()
    try:
        begun = time.time()
        run(command(), env=environment(setup, directory / "state"), cwd=directory)
        (directory / "clean").write_text(str(time.time()))
        return samples(directory, begun)
    finally:
        remove_tree(directory)
