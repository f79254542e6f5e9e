# SPDX-License-Identifier: Apache-2.0
"""What /proc says about the processes that a benchmark has started."""
import collections
import ctypes
import os
import pathlib
import select
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """Since the process's start, but memory: now. `switches` are those of the threads that live."""
    name: str
    cpu_seconds: float
    switches: int
    pss_mib: float


def adopt_orphans():
    """Daemons stay our descendants: they are reparented to us and not to the machine's init."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def reap():
    """Orphans that ended are zombies until we wait for them."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def stat_fields(pid):
    """proc_pid_stat(5) from field 3 on: the state is [0], the parent [1], utime [11], stime [12]."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def descendants():
    """Pids of all processes below this one, without zombies."""
    children = collections.defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                state, parent = stat_fields(entry)[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if state not in "ZX":
                children[int(parent)].append(int(entry))
    found, todo = [], [os.getpid()]
    while todo:
        below = children[todo.pop()]
        found += below
        todo += below
    return found


def wait_until_gone(pids, seconds):
    """Returns those that live on after `seconds`."""
    poll, left = select.poll(), {}
    for pid in pids:
        try:
            left[os.pidfd_open(pid)] = pid
        except ProcessLookupError:
            pass
    for fd in left:
        poll.register(fd, select.POLLIN)
    while left:
        ready = poll.poll(seconds * 1000)
        if not ready:
            break
        for fd, _ in ready:
            poll.unregister(fd)
            os.close(fd)
            del left[fd]
    return list(left.values())


def name_of(pid):
    words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return os.path.basename(words[0].decode(errors="replace")).split(" ")[0].rstrip(":")


def switches_of(pid):
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if "ctxt_switches" in line:
                total += int(line.split()[1])
    return total


def pss_of(pid):
    try:
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    except PermissionError:  # it does not want to be looked at (pasta): what it shares with nobody
        resident, shared = pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1:3]
        return (int(resident) - int(shared)) * PAGE / (1 << 20)
    for line in rollup.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def usage():
    """{pid: Usage} of all descendants."""
    found = {}
    for pid in descendants():
        try:
            fields = stat_fields(pid)
            cpu = (int(fields[11]) + int(fields[12])) / TICKS
            found[pid] = Usage(name_of(pid), cpu, switches_of(pid), pss_of(pid))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
