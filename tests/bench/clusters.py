# SPDX-License-Identifier: Apache-2.0
"""The two clusters that are compared: conode's and the floor, behind one interface.

A cluster is a context manager: inside of it a Deployment's pod answers through its ClusterIP.
`phases` is {name: seconds since start} by this process's own clock, for both alike.
`stop()` ends the cluster and returns how many seconds it took until all processes were gone.
"""
import json
import os
import pathlib
import shutil
import subprocess
import time
from typing import NamedTuple

import processes

HERE = pathlib.Path(__file__).resolve().parent
WEB = HERE / "web.yaml"
WEB_URL = "http://10.96.0.80/"
JOB = "bench"
START_TIMEOUT = 120  # seconds
STOP_TIMEOUT = 20


class BenchError(Exception):
    """A benchmark could not run: what failed, and the end of the output."""


class Setup(NamedTuple):
    bundle: str
    image: str
    scratch: pathlib.Path  # on a local file system, short: sockets lie below it
    cpus: str              # restricts both sides to this list; empty: all


def tail(path, lines=20):
    return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-lines:])


class Cluster:
    def __init__(self, setup):
        self.setup = setup
        self.phases = {}
        self.state = setup.scratch / self.name
        self.log = setup.scratch / f"{self.name}.log"
        self.environment = dict(os.environ)
        self.restrict = ["taskset", "-c", setup.cpus] if setup.cpus else []
        self.begun = 0.0

    def __enter__(self):
        self.begun = time.monotonic()
        try:
            self.start()
        except BaseException:
            self.abandon()
            raise
        return self

    def __exit__(self, *_):
        self.abandon()

    def passed(self, phase):
        self.phases.setdefault(phase, time.monotonic() - self.begun)

    def popen(self, command, **options):
        with open(self.log, "a") as log:
            return subprocess.Popen(self.restrict + command, stdout=subprocess.PIPE, stderr=log,
                                    text=True, env=self.environment, **options)

    def follow(self, process, until=None):
        """Reads {"phase": NAME} lines until that phase, or until the output ends."""
        for line in process.stdout:
            phase = json.loads(line).get("phase")
            if phase:
                self.passed(phase)
            if until and phase == until:
                return
        if until or process.wait(START_TIMEOUT) != 0:
            raise BenchError(f"{self.name}: '{' '.join(process.args[:3])} ...' failed; the end of "
                             f"'{self.log}':\n{tail(self.log)}")

    def run(self, command, **options):
        with self.popen(command, **options) as process:
            output = process.communicate(timeout=START_TIMEOUT)[0]
        if process.returncode != 0:
            raise BenchError(f"{self.name}: '{' '.join(command)}' failed; the end of '{self.log}':\n"
                             f"{output}{tail(self.log)}")
        return output

    def stop(self):
        pids = processes.descendants()
        begun = time.monotonic()
        self.shut_down()
        left = processes.wait_until_gone(pids, STOP_TIMEOUT)
        seconds = time.monotonic() - begun
        processes.reap()
        if left:
            raise BenchError(f"{self.name}: processes {left} did not end in {STOP_TIMEOUT} s")
        return seconds


class Floor(Cluster):
    """Upstream Kubernetes by hand: floor.sh."""
    name = "floor"
    process = None

    def start(self):
        self.environment["FLOOR_CPUS"] = ""
        self.process = self.popen([str(HERE / "floor.sh"), "--hold", self.setup.bundle,
                                   self.setup.image, str(self.state)], stdin=subprocess.PIPE)
        self.follow(self.process, until="service answers")

    def shut_down(self):
        self.process.stdin.close()
        self.process.wait(STOP_TIMEOUT)

    def abandon(self):
        """After a failure, or when it is stopped already."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
        remove_tree(self.state)


class Ours(Cluster):
    """conode, with all cores for Kubernetes, since the floor has no other part either."""
    name = "conode"
    commands = {
        "up": ["up", "--k8s-share", "100%", "--json"],
        "apply": ["kubectl", "apply", "-f", str(WEB)],
        "down": ["down", "--json"],
        "sweep": ["sweep", "--json"],
    }

    def __init__(self, setup):
        super().__init__(setup)
        self.program = self.environment.get("CONODE", "conode")
        self.environment |= {"CONODE_STATE_DIR": str(self.state), "CONODE_JOB": JOB,
                             "CONODE_BUNDLE": self.setup.bundle,
                             "CONODE_IMAGES": self.setup.image}

    def conode(self, verb):
        return [self.program, *self.commands[verb]]

    def start(self):
        # The pipe's other end is closed when `up` has ended; the agent lives on.
        with self.popen(self.conode("up")) as up:
            self.follow(up)
        self.passed("up returns")
        self.run(self.conode("apply"))
        self.wait_for_answer()
        self.passed("service answers")

    def wait_for_answer(self):
        """Polls as the floor does, in the sandbox's network."""
        instance = json.loads((self.state / JOB / "instance.json").read_text())
        poll = ("until [ \"$(curl -s --connect-timeout 0.1 -m 1 -o /dev/null -w '%{http_code}' "
                f"{WEB_URL})\" = 404 ]; do sleep 0.02; done")
        self.run(["nsenter", "--target", str(instance["init_pid"]), "--user", "--net",
                  "--preserve-credentials", "timeout", str(START_TIMEOUT), "sh", "-c", poll])

    def shut_down(self):
        audit = json.loads(self.run(self.conode("down")))
        if audit["left"]:
            raise BenchError(f"conode down: its audit found {audit['left']}")

    def abandon(self):
        if (self.state / JOB).exists():
            for verb in ("down", "sweep"):
                subprocess.run(self.conode(verb), env=self.environment, check=False,
                               capture_output=True)
        processes.reap()
        remove_tree(self.state)


def remove_tree(path):
    """Files of subordinate ids are removed in a user namespace that maps them."""
    if path.exists():
        shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        subprocess.run(["unshare", "--user", "--map-auto", "--map-root-user", "rm", "-rf",
                        str(path)], check=True)
