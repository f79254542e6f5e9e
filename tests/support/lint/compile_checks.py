#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that need a compiler, of those files only that changed since they last passed.

usage: compile_checks.py tidy|analyzer|headers BUILD CACHE [FOLDER...]

Only files below the FOLDERs, if any are named; one job for each CPU that we may use (taskset).
tidy      clang-tidy on every source of ours in BUILD/compile_commands.json
analyzer  the same with clang's static analyzer instead of the checks in .clang-tidy; without
          coroutines, whose frame it takes for memory that was never written
headers   every header of ours compiles on its own

A file that passes leaves an empty file in CACHE, named by all that the result depends on: the tool's
version, the command, the installed packages, .clang-tidy, and the content of the file and of every
file of ours that it includes.
"""
import concurrent.futures
import functools
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

TOP = pathlib.Path(__file__).resolve().parents[3]
# Older ones do not know std::source_location of GCC's library, or check all system headers too.
CLANG_TIDY = "clang-tidy-22"
FOLDERS = ("agent", "cgroup", "netplug", "batch_hooks", "tests")
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)


class Job(NamedTuple):
    name: str  # of the file, below TOP
    command: list
    directory: str
    stdin: str  # what the tool reads there


def include_directories(command):
    """-I and -isystem directories of a compiler's command."""
    words = iter(command)
    found = []
    for word in words:
        if word in ("-I", "-isystem"):
            found.append(pathlib.Path(next(words)))
        elif word.startswith("-I"):
            found.append(pathlib.Path(word[2:]))
    return tuple(d for d in found if TOP in (d, *d.parents))


@functools.lru_cache(maxsize=None)
def included(path, directories):
    """Files of ours that `path` includes itself."""
    names = INCLUDE.findall(path.read_text(errors="replace"))
    found = set()
    for name in names:
        for directory in (path.parent, *directories):
            candidate = directory / name
            if candidate.is_file():
                found.add(candidate)
                break
    return found


def closure(path, directories):
    seen, todo = set(), [path]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += included(current, directories)
    return sorted(seen)


@functools.lru_cache(maxsize=None)
def digest_of_file(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.lru_cache(maxsize=None)
def surroundings(tool):
    """What every result of a tool depends on."""
    version = subprocess.run([tool, "--version"], check=True, capture_output=True).stdout
    packages = subprocess.run(["dpkg-query", "-W", "lib*-dev", "*-dev"], check=False,
                              capture_output=True).stdout
    return version + packages + (TOP / ".clang-tidy").read_bytes()


def key_of(job, directories):
    digest = hashlib.sha256(surroundings(job.command[0]))
    digest.update(repr(job.command).encode())
    for path in closure(TOP / job.name, directories):
        digest.update(f"{path} {digest_of_file(path)}\n".encode())
    return digest.hexdigest()


def compile_commands(build):
    """{file below TOP: (compiler's words without a launcher, directory)} of our sources."""
    entries = json.loads((build / "compile_commands.json").read_text())
    commands = {}
    for entry in entries:
        path = pathlib.Path(entry["file"])
        if not any(TOP / folder in path.parents for folder in FOLDERS):
            continue
        words = shlex.split(entry["command"])
        while not re.search(r"(\+\+|cc|clang)(-\d+)?$", words[0]) or "ccache" in words[0]:
            words.pop(0)
        commands[str(path.relative_to(TOP))] = (words, entry["directory"])
    return commands


def tidy_jobs(build, commands):
    return [(Job(name, [CLANG_TIDY, "--quiet", "-p", str(build), name], str(TOP), ""),
             include_directories(words)) for name, (words, _) in sorted(commands.items())]


def analyzer_jobs(build, commands):
    jobs = []
    for name, (words, _) in sorted(commands.items()):
        if "co_await" in (TOP / name).read_text():
            continue
        command = [CLANG_TIDY, "--quiet", "--checks=-*,clang-analyzer-*", "-p", str(build), name]
        jobs.append((Job(name, command, str(TOP), ""), include_directories(words)))
    return jobs


def command_for_header(header, commands):
    """The flags of a source beside the header, else below the same top folder, else of any."""
    def distance(name):
        return len(os.path.relpath(os.path.dirname(name), os.path.dirname(header)).split("/")) if (
            os.path.dirname(name) != os.path.dirname(header)) else 0
    return commands[min(sorted(commands), key=distance)]


def without_output(words):
    """A compiler's words without the source and the output."""
    kept, skip = [], False
    for word in words:
        if skip or word in ("-o", "-c"):
            skip = not skip
            continue
        kept.append(word)
    return kept


def header_jobs(_, commands):
    jobs = []
    for folder in FOLDERS:
        for path in sorted((TOP / folder).rglob("*.h")):
            header = str(path.relative_to(TOP))
            words, directory = command_for_header(header, commands)
            command = without_output(words) + ["-fsyntax-only", "-x", "c++", "-"]
            jobs.append((Job(header, command, directory, f'#include "{header}"\n'),
                         include_directories(words)))
    return jobs


def run(job, passed):
    result = subprocess.run(job.command, cwd=job.directory, input=job.stdin, text=True,
                            capture_output=True, check=False)
    if result.returncode == 0:
        passed.touch()
        return ""
    messages = result.stdout + result.stderr
    return f"{job.name}:\n{messages}"


JOBS_OF = {"tidy": tidy_jobs, "analyzer": analyzer_jobs, "headers": header_jobs}


def main(check, build, cache, *folders):
    jobs_of = JOBS_OF[check]
    build, cache = pathlib.Path(build).resolve(), pathlib.Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    todo = []
    jobs = jobs_of(build, compile_commands(build))
    if folders:
        jobs = [(job, d) for job, d in jobs if job.name.startswith(folders)]
    for job, directories in jobs:
        passed = cache / f"{check}-{key_of(job, directories)}"
        if not passed.exists():
            todo.append((job, passed))
    print(f"{check}: {len(todo)} of {len(jobs)} files to check", flush=True)
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for output in pool.map(lambda item: run(*item), todo):
            if output:
                failures += 1
                print(output, flush=True)
    if failures:
        print(f"{check}: {failures} of {len(todo)} files failed")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) < 4 or sys.argv[1] not in JOBS_OF:
        sys.exit("usage: compile_checks.py tidy|analyzer|headers BUILD CACHE [FOLDER...]")
    sys.exit(main(*sys.argv[1:]))
