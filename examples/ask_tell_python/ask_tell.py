#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tunes a Python function with hd ask-tell: the standard library is enough.

usage: ask_tell.py [--hd PROGRAM] [--state FILE] [--jobs N] EXPERIMENT
"""
import argparse
import concurrent.futures
import json
import math
import subprocess
import threading


class AskTell:
    """One session: a line out, a line in."""

    def __init__(self, experiment, hd="hd", state=None):
        command = [hd, "ask-tell", experiment]
        if state is not None:
            command += ["--state", state]  # what was told survives this program
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def call(self, op, **arguments):
        print(json.dumps({"op": op, **arguments}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("hd ask-tell ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait()


def evaluate(session, lock, job):
    """Branin, told step by step: stands for a training with a value after each epoch."""
    x1, x2 = job["config"]["x1"], job["config"]["x2"]
    a = x2 - 5.1 / (4 * math.pi**2) * x1**2 + 5 / math.pi * x1 - 6
    end = a**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x1) + 10
    for epoch in range(1, int(job["budget"]) + 1):
        loss = end + 5 / epoch
        if epoch == job["budget"]:
            break
        with lock:
            decision = session.call("report", job=job["job"], budget=epoch, loss=loss)["decision"]
        if decision == "stop":
            return {"state": "stopped", "loss": loss}
    return {"loss": loss}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("experiment")
    parser.add_argument("--hd", default="hd")
    parser.add_argument("--state")
    parser.add_argument("--jobs", type=int, default=4, help="evaluated at the same time")
    options = parser.parse_args()
    session = AskTell(options.experiment, options.hd, options.state)
    lock = threading.Lock()  # a session answers one line at a time
    count = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        # Jobs of a session that was cut off are still tellable.
        running = {pool.submit(evaluate, session, lock, job): job for job in session.call("pending")["pending"]}
        done = False
        while running or not done:
            while not done and len(running) < options.jobs:
                with lock:
                    job = session.call("ask")
                done = job.get("done", False)
                if done or "wait" in job:
                    break
                running[pool.submit(evaluate, session, lock, job)] = job
            finished, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                with lock:
                    session.call("tell", job=job["job"], **future.result())
                count += 1
    best = session.call("best")
    print(json.dumps({"jobs": count, "best": best}))
    return session.close()


if __name__ == "__main__":
    raise SystemExit(main())
