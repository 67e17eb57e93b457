#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""All runs of one peer, in the environment that has it; started by `run`. Appends a line of JSON
for each run to the file named last."""
import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import time
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import wrappers
from problem import LIBRARY, Problem
from virtual import Run


def versions(distribution):
    found = {"python": platform.python_version()}
    for name in filter(None, (distribution, "numpy")):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def run_one(args, task, seed):
    problem = Problem(args.suite, task, args.library)
    *_, distribution, resume = wrappers.PEERS[args.peer]
    with tempfile.TemporaryDirectory() as folder:
        peer = wrappers.make(args.peer, problem, seed, args.workers, args.full_evaluations, folder)
        run = Run(problem, peer, seed, args.workers, args.full_evaluations)
        before = time.monotonic()
        run.go()
        seconds = time.monotonic() - before
    problem.close()
    return {
        "suite": args.suite,
        "task": task,
        "method": args.peer,
        "seed": seed,
        "workers": args.workers,
        "accounting": "ended",
        "full_evaluations": args.full_evaluations,
        "resume": resume,
        "versions": versions(distribution),
        "date": datetime.date.today().isoformat(),
        "command": args.command,
        "wall_s": round(seconds, 1),
        **run.result(),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--suite", required=True)
    parser.add_argument("--task", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--seeds", required=True, help="comma separated")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--full-evaluations", type=float, required=True)
    parser.add_argument("--library", default=LIBRARY)
    parser.add_argument("--command", default="")
    parser.add_argument("out")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    # Seeds outside: when time runs out, all tasks have about as many runs.
    for seed in map(int, args.seeds.split(",")):
        for task in args.task.split(","):
            line = json.dumps(run_one(args, task, seed), separators=(",", ":"))
            with open(args.out, "a", encoding="ascii") as out:
                out.write(line + "\n")
            found = json.loads(line)
            last = found["losses"][-1][2] if found["losses"] else None
            print(f"{args.peer} {task} seed {seed}: {last} after {found['jobs']} jobs, {found['wall_s']} s", flush=True)


if __name__ == "__main__":
    main()
