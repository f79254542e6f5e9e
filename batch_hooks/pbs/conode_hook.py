# SPDX-License-Identifier: Apache-2.0
"""A hook of conode for OpenPBS, on every node of a job (execjob_launch, execjob_end, execjob_abort).

OpenPBS makes no cgroup for a job on cgroup v2. Before the job's shell and before each task that
pbs_tmrsh starts, this has conode-hook make one, move the process there (pbs_mom's child, which waits
for this hook, and then becomes the shell), and give a part of it to the job's user. When the job has
ended, conode-hook removes it with all that is left in it. A job goes without what does not succeed.
"""

import os
import pwd
import re
import subprocess

import pbs  # of pbs_mom

HOOK = os.environ.get("CONODE_HOOK", "/usr/libexec/conode/conode-hook")
LIMIT = 20  # seconds; PBS ends a hook after 30


def run(job_id, words):
    """What conode-hook says goes to pbs_mom's log."""
    # As conode's agents call the job: "12[3].server" is 12_3_.server.
    argv = [HOOK, words[0], "--job", re.sub(r"[^A-Za-z0-9.-]", "_", job_id)] + words[1:]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=LIMIT, check=False)
        said = done.stdout.decode(errors="replace").strip()
    except (OSError, subprocess.TimeoutExpired) as error:
        said = "conode: %s" % error
    if said:
        pbs.logjobmsg(job_id, said)


def main():
    event = pbs.event()
    job = event.job
    user = pwd.getpwnam(str(job.euser))
    ids = ["--uid", str(user.pw_uid), "--gid", str(user.pw_gid)]
    if event.type == pbs.EXECJOB_LAUNCH:
        run(job.id, ["delegate"] + ids + ["--pid", str(os.getppid()), "--make-in", "/"])
    else:
        run(job.id, ["cleanup"] + ids)
    event.accept()


try:
    main()
except SystemExit:  # that is how accept() ends
    pass
except Exception as error:  # pylint: disable=broad-except # none of ours may fail a job
    pbs.logmsg(pbs.EVENT_ERROR, "conode: %s" % error)
    pbs.event().accept()
