#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Work directories that travel, over links of a known rate.

Three workers, each in a network namespace with a disk of its own, and a master that they reach over
a link of RATE each. Machines are killed at random with all that they have, and others come with an
empty disk. Counted: epochs that a job did again although the master had a copy of them, which should
be none; and how long a target waited for a directory of SIZE that had to be fetched, beside what the
link alone would take. Needs root. Usage: travel.py BUILD [--kills N] [--rates MBIT,..] [--sizes MB,..]
[--depot-limit 0]
"""

import argparse
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from datetime import datetime
from pathlib import Path

MASTER = "10.201.255.1"
TARGET = """
epoch=$(cat "$HYPERDOCK_WORK_DIR/epoch" 2>/dev/null || echo 0)
echo "start $HYPERDOCK_JOB $HYPERDOCK_ATTEMPT $HYPERDOCK_CONFIG_ID $epoch $(date +%s.%N)" >>LEDGER
budget=${HYPERDOCK_BUDGET%.*}
while [ "$epoch" -lt "$budget" ]; do
    sleep PAUSE
    epoch=$((epoch + 1))
    head -c BYTES /dev/urandom >"$HYPERDOCK_WORK_DIR/weights.new"
    mv "$HYPERDOCK_WORK_DIR/weights.new" "$HYPERDOCK_WORK_DIR/weights"
    echo "$epoch" >"$HYPERDOCK_WORK_DIR/epoch.new"
    mv "$HYPERDOCK_WORK_DIR/epoch.new" "$HYPERDOCK_WORK_DIR/epoch"
    echo "epoch $HYPERDOCK_CONFIG_ID $epoch" >>LEDGER
done
echo "$HP_X" >"$HYPERDOCK_DIR/loss.json"
"""
EXPERIMENT = """
name: travel
target: {{command: [sh, {target}], retries: {{infra: 50}}, stop_grace: 1s}}
objective: {{name: loss, direction: minimize}}
space: {{x: {{type: float, low: 0.0, high: 1.0}}}}
sampler: {{name: random}}
iteration_generator: {{name: successive_halving, brackets: [{brackets}]}}
budget: {{min: 1, max: {top}}}
stop: {{iterations: {iterations}}}
seed: 7
lease: 3s
ping: 200ms
"""


def run(*command):
    subprocess.run(command, check=True)


class Link:
    """A namespace and its way to the master."""

    def __init__(self, number, mbit):
        self.name = f"hdtr{os.getpid()}-{number}"
        self.inside, self.outside = f"hdi{os.getpid() % 100000}{number}", f"hdo{os.getpid() % 100000}{number}"
        net = f"10.201.{number}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.outside, "type", "veth", "peer", "name", self.inside, "netns", self.name)
        run("ip", "addr", "add", f"{net}.1/24", "dev", self.outside)
        run("ip", "link", "set", self.outside, "up")
        self.within("ip", "addr", "add", f"{net}.2/24", "dev", self.inside)
        self.within("ip", "link", "set", self.inside, "up")
        self.within("ip", "link", "set", "lo", "up")
        self.within("ip", "route", "add", "default", "via", f"{net}.1")
        shape = ["root", "tbf", "rate", f"{mbit}mbit", "burst", "256kb", "latency", "200ms"]
        run("tc", "qdisc", "add", "dev", self.outside, *shape)
        self.within("tc", "qdisc", "add", "dev", self.inside, *shape)

    def within(self, *command):
        run("ip", "netns", "exec", self.name, *command)

    def kill_all(self):
        """Everything that runs in it, as when a machine loses its power."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        for pid in found.stdout.split():
            try:
                os.kill(int(pid), signal.SIGKILL)
            except ProcessLookupError:
                pass

    def close(self):
        self.kill_all()
        subprocess.run(["ip", "netns", "del", self.name], check=False)


class Cluster:
    def __init__(self, build, mbit, size, pause, brackets, top, iterations, depot_limit="8GiB"):
        self.dir = Path(tempfile.mkdtemp(prefix="hd-travel-"))
        self.build, self.programs, self.links, self.born = build, [], [], 0
        (self.dir / "token").write_text("0123456789abcdef0123456789abcdef\n")
        (self.dir / "token").chmod(0o600)
        self.ledger = self.dir / "ledger"
        self.ledger.touch()
        target = self.dir / "target.sh"
        target.write_text(TARGET.replace("LEDGER", str(self.ledger)).replace("BYTES", str(size)).replace("PAUSE", str(pause)))
        (self.dir / "travel.yaml").write_text(
            EXPERIMENT.format(target=target, brackets=brackets, top=top, iterations=iterations))
        subprocess.run(["ip", "addr", "add", f"{MASTER}/32", "dev", "lo"], check=False, capture_output=True)
        self.links = [Link(number, mbit) for number in range(3)]
        self.start("nameserver", build / "nameserver/hd-nameserver", "--host", MASTER, "--port", "7499", "--plaintext")
        self.master = self.start("master", build / "dispatcher/hd-master", "travel.yaml", "--run-id", "travel", "--plaintext",
                                 "--nameserver", f"{MASTER}:7499", "--host", MASTER, "--state-dir", "state", "--min-workers", "3",
                                 "--depot-limit", depot_limit)
        for number in range(3):
            self.worker(number)

    def start(self, name, program, *arguments, within=None):
        command = [str(program), *arguments, "--token-file", str(self.dir / "token")]
        if within is not None:
            command = ["ip", "netns", "exec", within, *command]
        with open(self.dir / f"{name}.log", "ab") as log:
            process = subprocess.Popen(command, cwd=self.dir, stdout=log, stderr=log)
        self.programs.append(process)
        return process

    def worker(self, number):
        self.born += 1
        name = f"w{self.born}"
        self.start(name, self.build / "worker/hd-worker", "--nameserver", f"{MASTER}:7499", "--run-id", "travel", "--plaintext",
                   "--work-dir", str(self.dir / f"disk-{number}"), "--worker-id", name, "--engine", "process",
                   within=self.links[number].name)

    def lose(self, number):
        """The machine is gone for good; another one comes in its place."""
        self.links[number].kill_all()
        for _ in range(100):
            shutil.rmtree(self.dir / f"disk-{number}", ignore_errors=True)
            if not (self.dir / f"disk-{number}").exists():
                break
            time.sleep(0.05)
        self.worker(number)

    def log(self):
        return (self.dir / "master.log").read_text(errors="replace") if (self.dir / "master.log").exists() else ""

    def wait(self, condition, seconds=300):
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until or self.master.poll() is not None:
                raise SystemExit(f"gave up waiting; see {self.dir}:\n{self.log()[-2000:]}")
            time.sleep(0.02)

    def close(self):
        for link in self.links:
            link.close()
        for program in self.programs:
            program.kill()
            program.wait()
        subprocess.run(["ip", "addr", "del", f"{MASTER}/32", "dev", "lo"], check=False, capture_output=True)
        shutil.rmtree(self.dir, ignore_errors=True)


def read_starts(cluster):
    """Of each attempt: its config, the epoch that its directory was at, and when."""
    starts, epochs = {}, []
    for line in cluster.ledger.read_text().splitlines():
        words = line.split()
        if words[0] == "start":
            starts[int(words[1]), int(words[2])] = (words[3], int(words[4]), float(words[5]))
        else:
            epochs.append((words[1], words[2]))
    return starts, epochs


def read_log(cluster):
    """What was leased and copied, in the master's order."""
    for line in cluster.log().splitlines():
        leased = re.search(r"job (\d+): attempt (\d+) at budget (\S+) -> (\S+)(.*)", line)
        copied = re.search(r"job (\d+), attempt (\d+): its work directory is here", line)
        when = re.match(r"(\d{4}-\d\d-\d\dT[\d:.]+)Z", line)
        at = datetime.fromisoformat(when.group(1) + "+00:00").timestamp() if when else 0.0
        if leased:
            yield "leased", int(leased[1]), int(leased[2]), float(leased[3]), leased[5], at
        if copied:
            yield "copied", int(copied[1]), int(copied[2]), 0.0, "", at


def count(cluster):
    starts, epochs = read_starts(cluster)
    config_of = {job: start[0] for (job, _), start in starts.items()}
    budget_of, copies, again, travelled = {}, {}, 0, 0
    for kind, job, attempt, budget, note, _ in read_log(cluster):
        if kind == "leased":
            budget_of[job] = budget
            travelled += "travels" in note
            if (job, attempt) in starts:
                again += max(0, copies.get(config_of[job], 0) - starts[job, attempt][1])
        elif job in config_of:
            copies[config_of[job]] = max(copies.get(config_of[job], 0), int(budget_of[job]))
    return again, len(epochs) - len(set(epochs)), len(epochs), travelled


def bench_kills(build, kills, seed, depot_limit):
    dice = random.Random(seed)
    cluster = Cluster(build, 1000, 300000, 0.1, "[[9, 1], [5, 3], [3, 9], [1, 27]]", 27, 2, depot_limit)
    lost = 0
    try:
        while cluster.master.poll() is None and lost < kills:
            until = time.monotonic() + dice.uniform(1.0, 6.0)
            while time.monotonic() < until and cluster.master.poll() is None:
                time.sleep(0.05)
            if cluster.master.poll() is None:
                cluster.lose(dice.randrange(3))
                lost += 1
        cluster.master.wait(timeout=600)
        again, repeated, epochs, travelled = count(cluster)
        print(f"kills {lost}  epochs {epochs}  directories that travelled {travelled}  "
              f"epochs done twice {repeated}  of those beyond a copy that the master had {again}")
        return again
    finally:
        cluster.close()


def bench_delay(build, mbit, megabytes, rounds):
    delays = []
    for _ in range(rounds):
        cluster = Cluster(build, mbit, megabytes * 1000000, 0.1, "[[3, 1], [1, 60]]", 60, 1)
        try:
            cluster.wait(lambda: cluster.log().count("is here for other workers") >= 3 and
                         any(job == 3 for job, _ in read_starts(cluster)[0]))
            holder = re.search(r"job 3: attempt 1 at budget \S+ -> w(\d)", cluster.log())[1]
            cluster.lose(int(holder) - 1)
            cluster.wait(lambda: (3, 2) in read_starts(cluster)[0])
            leased = [at for kind, job, attempt, _, note, at in read_log(cluster)
                      if kind == "leased" and (job, attempt) == (3, 2) and "travels" in note]
            if leased:
                delays.append(read_starts(cluster)[0][3, 2][2] - leased[0])
        finally:
            cluster.close()
    if delays:
        ideal = megabytes * 8.0 / mbit
        print(f"link {mbit:5} Mbit/s  directory {megabytes:4} MB  start after {statistics.median(delays):7.2f} s  "
              f"size over rate {ideal:6.2f} s  ({len(delays)} of {rounds} travelled)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--depot-limit", default="8GiB", help="of the run with kills; 0: nothing travels")
    parser.add_argument("--rates", default="100,1000")
    parser.add_argument("--sizes", default="1,10,50")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    again = bench_kills(build, arguments.kills, arguments.seed, arguments.depot_limit) if arguments.kills > 0 else 0
    for mbit in (int(rate) for rate in arguments.rates.split(",") if rate):
        for megabytes in (int(size) for size in arguments.sizes.split(",") if size):
            bench_delay(build, mbit, megabytes, arguments.rounds)
    raise SystemExit(1 if again > 0 else 0)


if __name__ == "__main__":
    main()
