#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sums up what a test run left in its directory of results.

usage: tally.py RESULTS ALLOWED_SKIPS

Reads in RESULTS: ctest-TREE-TIER.xml (JUnit by ctest), gtest-TREE-TIER/PROGRAM.xml (the cases of a
GoogleTest program; they count in place of ctest's one line for it), bats-NAME.xml (JUnit by bats;
bats-NAME.failed says that it ended with a failure), checks.tsv ("passed|failed<TAB>NAME" a line).
A skip counts as a failure unless a pattern of ALLOWED_SKIPS matches its "TEST: REASON". Prints
failures and skips, and as the last line the sum. Exits with 1 where something failed or nothing ran.
"""
import fnmatch
import pathlib
import sys
import xml.etree.ElementTree as xml
from typing import NamedTuple


class Outcome(NamedTuple):
    kind: str  # passed, failed or skipped
    name: str
    detail: str = ""


def text_of(element):
    return " ".join(f"{element.get('message') or ''} {element.text or ''}".split())


def outcome_of(case, name):
    """Of a JUnit <testcase>, whether ctest, GoogleTest or bats wrote it."""
    for tag in ("failure", "error"):
        element = case.find(tag)
        if element is not None:
            return Outcome("failed", name, text_of(element))
    skipped = case.find("skipped")
    if skipped is not None:
        return Outcome("skipped", name, text_of(skipped))
    if case.get("status") in ("fail", "notrun", "disabled"):
        kind = "failed" if case.get("status") == "fail" else "skipped"
        return Outcome(kind, name, case.get("status"))
    return Outcome("passed", name)


def cases_of(path):
    return xml.parse(path).getroot().iter("testcase")


def gtest_outcomes(path, prefix):
    return [outcome_of(case, f"{prefix}{path.stem}.{case.get('classname')}.{case.get('name')}")
            for case in cases_of(path)]


def ctest_outcomes(path):
    tree_and_tier = path.stem.removeprefix("ctest-")
    prefix = tree_and_tier.rsplit("-", 1)[0] + ":"
    outcomes = []
    for case in cases_of(path):
        whole = outcome_of(case, prefix + case.get("name"))
        gtest = path.parent / f"gtest-{tree_and_tier}" / f"{case.get('name')}.xml"
        parts = gtest_outcomes(gtest, prefix) if gtest.exists() else []
        outcomes += parts or [whole]
        # It died after its cases had passed, or before they were written.
        if parts and whole.kind == "failed" and all(p.kind != "failed" for p in parts):
            outcomes.append(whole)
    return outcomes


def bats_outcomes(path):
    outcomes = [outcome_of(case, f"{case.get('classname')}: {case.get('name')}")
                for case in cases_of(path)]
    failed = path.with_suffix(".failed").exists()
    if failed and all(o.kind != "failed" for o in outcomes):
        outcomes.append(Outcome("failed", path.stem, "ended with a failure; see its output"))
    return outcomes


def check_outcomes(results):
    path = results / "checks.tsv"
    lines = path.read_text().splitlines() if path.exists() else []
    return [Outcome(*line.split("\t", 1)) for line in lines]


def patterns_of(path):
    lines = pathlib.Path(path).read_text().splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def main(directory, allowed_skips):
    results = pathlib.Path(directory)
    outcomes = [o for path in sorted(results.glob("ctest-*.xml")) for o in ctest_outcomes(path)]
    outcomes += [o for path in sorted(results.glob("bats-*.xml")) for o in bats_outcomes(path)]
    outcomes += check_outcomes(results)
    patterns = patterns_of(allowed_skips)
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for kind, name, detail in outcomes:
        allowed = any(fnmatch.fnmatchcase(f"{name}: {detail}", p) for p in patterns)
        if kind == "skipped" and not allowed:
            kind, detail = "failed", f"skipped, which {allowed_skips} does not allow: {detail}"
        counts[kind] += 1
        if kind != "passed":
            print(f"{kind}: {name}{': ' if detail else ''}{detail:.400}")
    print("{passed} passed, {failed} failed, {skipped} skipped".format(**counts))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: tally.py RESULTS ALLOWED_SKIPS")
    sys.exit(main(*sys.argv[1:]))
