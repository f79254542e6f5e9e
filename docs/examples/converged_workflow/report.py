#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns what workflow.sh wrote into results.

report.py samples DIR                      prints the training samples as the service takes them
report.py results DIR RANKS STEPS SEED     writes results.json, results.csv and prediction.dat, and
                                           prints the errors; exit code 3 if a rank could run on a
                                           core of the Kubernetes part
"""

import csv
import json
import pathlib
import statistics
import sys

FIELDS = ("kind", "x", "y", "z", "atoms", "wall_seconds", "loop_seconds", "id")


def read_samples(directory):
    with open(directory / "samples.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file, fieldnames=FIELDS):
            integers = {name: int(row[name]) for name in ("x", "y", "z", "atoms")}
            floats = {name: float(row[name]) for name in ("wall_seconds", "loop_seconds")}
            yield {"kind": row["kind"], **integers, **floats, "id": row["id"]}


def cpus_of(text):
    """'0-2,5' -> {0, 1, 2, 5}"""
    cpus = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    return cpus


def check_ranks(directory):
    """Were all ranks of all runs inside the HPC part of their node?"""
    with open(directory / "ranks.txt", encoding="utf-8") as file:
        ranks = [line.split() for line in file]
    outside, on_k8s = [], []
    for rank in ranks:
        cpus, hpc, k8s = map(cpus_of, rank[2:])
        if not cpus <= hpc:
            outside.append(rank)
        if cpus & (k8s - hpc):  # they are equal only on a node with a single core
            on_k8s.append(rank)
    return {
        "hosts": sorted({rank[0] for rank in ranks}),
        "k8s_cpus": sorted({rank[4] for rank in ranks}),
        "rank_starts_checked": len(ranks),
        "outside_hpc_part": len(outside),
        "on_k8s_cores": len(on_k8s),
        "rank_masks": sorted({rank[2] for rank in ranks}),
    }


def errors(measured, predicted):
    differences = [p - m for m, p in zip(measured, predicted)]
    mean = statistics.fmean(measured)
    spread = sum((m - mean) ** 2 for m in measured)
    return {
        "mae_seconds": statistics.fmean(abs(d) for d in differences),
        "mape_percent": 100 * statistics.fmean(abs(d) / m for m, d in zip(measured, differences)),
        "r2": 1 - sum(d * d for d in differences) / spread if spread > 0 else None,
    }


def write_tables(directory, samples, predicted):
    with open(directory / "results.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([*FIELDS, "predicted_seconds"])
        for sample, seconds in zip(samples, predicted):
            table.writerow([*sample.values(), "" if seconds is None else f"{seconds:.4f}"])
    with open(directory / "prediction.dat", "w", encoding="utf-8") as file:
        file.write("# kind atoms measured predicted\n")
        for sample, seconds in zip(samples, predicted):
            predicted_text = "NaN" if seconds is None else f"{seconds:.4f}"
            file.write(f"{sample['kind']} {sample['atoms']} {sample['wall_seconds']} "
                       f"{predicted_text}\n")


def show(results):
    print(f"\n{'model':<20} {'MAE':>9} {'MAPE':>8} {'R2':>8}   on {results['held_out']} held-out sizes")
    for name, error in results["errors_by_model"].items():
        r2 = "-" if error["r2"] is None else f"{error['r2']:.4f}"
        chosen = "  <- chosen while training" if name == results["model"] else ""
        print(f"{name:<20} {error['mae_seconds']:>7.3f} s {error['mape_percent']:>6.1f} % {r2:>8}{chosen}")
    ranks = results["partition"]
    print(f"\n{ranks['rank_starts_checked']} MPI ranks on CPUs {', '.join(ranks['rank_masks'])} of "
          f"{', '.join(ranks['hosts'])}; {ranks['on_k8s_cores']} on cores of the Kubernetes part "
          f"({', '.join(ranks['k8s_cpus'])})")


def write_results(directory, ranks, steps, seed):
    samples = list(read_samples(directory))
    held_out = [s for s in samples if s["kind"] == "held_out"]
    answer = json.loads((directory / "predictions.json").read_text(encoding="utf-8"))
    measured = [s["wall_seconds"] for s in held_out]
    predictions = answer["predictions"]
    by_model = {
        name: errors(measured, [p["by_model"][name] for p in predictions])
        for name in predictions[0]["by_model"]
    }
    results = {
        "runs": len(samples) - len(held_out),
        "held_out": len(held_out),
        "ranks": ranks,
        "steps": steps,
        "seed": seed,
        "model": answer["model"],
        **by_model[answer["model"]],
        "errors_by_model": by_model,
        "partition": check_ranks(directory),
    }
    (directory / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    trained = len(samples) - len(held_out)
    write_tables(directory, samples, [None] * trained + [p["seconds"] for p in predictions])
    show(results)
    partition = results["partition"]
    if partition["outside_hpc_part"] or partition["on_k8s_cores"]:
        print("report: error: a rank was allowed outside the HPC part, see ranks.txt", file=sys.stderr)
        return 3
    return 0


def main(arguments):
    if len(arguments) == 2 and arguments[0] == "samples":
        training = [s for s in read_samples(pathlib.Path(arguments[1])) if s["kind"] == "train"]
        print(json.dumps([{**{n: s[n] for n in ("x", "y", "z", "id")}, "seconds": s["wall_seconds"]}
                          for s in training]))
        return 0
    if len(arguments) == 5 and arguments[0] == "results":
        return write_results(pathlib.Path(arguments[1]), *map(int, arguments[2:]))
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
