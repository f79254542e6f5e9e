# SPDX-License-Identifier: Apache-2.0
"""Samples of a benchmark into rows, a JSON document and a table."""
import os
import pathlib
import platform
import statistics
import time
from typing import NamedTuple, Optional


class Goal(NamedTuple):
    """`what` (the median "ours" or the "ratio" ours/baseline) is at most `bound`, or at least."""
    what: str
    bound: float
    at_least: bool = False

    def __str__(self):
        return f"{self.what} {'>=' if self.at_least else '<='} {self.bound:g}"

    def met_by(self, value):
        return value >= self.bound if self.at_least else value <= self.bound


class Sample(NamedTuple):
    """One value of one round."""
    metric: str
    unit: str
    value: float


def machine():
    """The machine that the numbers come from."""
    cpuinfo = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")]
    release = platform.freedesktop_os_release()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": models[0] if models else platform.machine(),
            "cpus": len(os.sched_getaffinity(0)),
            "memory_gib": round(memory / 2**30, 1),
            "kernel": platform.release(),
            "system": release.get("PRETTY_NAME", ""),
            "load_before": round(os.getloadavg()[0], 2),
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def rounded(value):
    return None if value is None else float(f"{value:.4g}")


def row_of(metric, unit, ours, baseline, baseline_name, goal: Optional[Goal]):
    medians = {"ours": statistics.median(ours) if ours else None,
               "baseline": statistics.median(baseline) if baseline else None}
    medians["ratio"] = (medians["ours"] / medians["baseline"]
                        if ours and medians["baseline"] else None)
    reached = medians[goal.what] if goal else None
    return {"metric": metric, "unit": unit, "ours": rounded(medians["ours"]),
            "baseline": rounded(medians["baseline"]), "baseline_name": baseline_name,
            "ratio": rounded(medians["ratio"]), "goal": str(goal) if goal else None,
            "met": None if reached is None else goal.met_by(reached),
            "samples": {"ours": [rounded(v) for v in ours],
                        "baseline": [rounded(v) for v in baseline]}}


def rows_of(rounds, baseline_name, goals):
    """Rows of [{"ours": [Sample], "baseline": [Sample]}], in the order of first appearance."""
    units, values = {}, {}
    for one in rounds:
        for side in ("ours", "baseline"):
            for sample in one[side]:
                units.setdefault(sample.metric, sample.unit)
                values.setdefault((sample.metric, side), []).append(sample.value)
    return [row_of(metric, unit, values.get((metric, "ours"), []),
                   values.get((metric, "baseline"), []), baseline_name, goals.get(metric))
            for metric, unit in units.items()]


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def table(document):
    columns = ("metric", "unit", "ours", "baseline", "ratio", "goal", "met")
    lines = [columns] + [tuple(cell(row[c]) for c in columns) for row in document["rows"]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    names = sorted({row["baseline_name"] for row in document["rows"]})
    title = f"{document['bench']}: medians of {document['rounds']} rounds, baseline: {', '.join(names)}"
    text = ["  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip()
            for line in lines]
    return "\n".join([title, *text])
