# SPDX-License-Identifier: Apache-2.0
"""A run of a peer in virtual time: the loop of benchmarks/suite/run.c with its accounting `ended`.

W simulated workers each hold one job. A job on a learning curve goes on from the step its config
has reached and takes the virtual time of the steps that are left; they are seen and charged when
it ends, as parts of a full evaluation. A job of a function pays its whole budget.

A peer is an object with
    reports             whether step(job, step, loss) is to be called while a job runs
    ask()               a Job; None: nothing before another job has ended; raises Exhausted
    tell(job, loss, stopped)   the last loss; None when it is no finite number
    step(job, step, loss)      true: stop this job now
`key` of a job names its config: jobs with equal keys go on where the one before them ended.
"""
import math
import time
from dataclasses import dataclass
from typing import Any

STEPS_MAX = 2000  # steps of a trace; many more than a run has improvements


class Exhausted(Exception):
    """The peer has nothing more to try."""


@dataclass
class Job:
    key: Any
    values: list
    budget: float
    tag: Any = None  # the peer's own


@dataclass
class Config:
    reached: int = 0
    losses: list = None
    costs: list = None


@dataclass
class Worker:
    job: Job
    number: int
    next_at: float
    config: Config = None
    first: int = 0
    last: int = 0
    next_step: int = 0


class Run:
    def __init__(self, problem, peer, seed, workers, full_evaluations):
        self.problem, self.peer, self.seed = problem, peer, seed
        self.full_evaluations = full_evaluations
        self.workers = [None] * workers
        self.configs = {}
        self.now = self.spent = self.optimizer_s = 0.0
        self.jobs = self.failed = self.stopped = 0
        self.exhausted = False
        self.seen = self.exact = math.inf
        self.incumbent = (-1.0, math.inf)  # functions: its budget and what was seen there
        self.trace = []

    def peer_call(self, call, *args):
        before = time.process_time()
        try:
            return call(*args)
        finally:
            self.optimizer_s += time.process_time() - before

    def note(self):
        found = self.seen if self.problem.steps > 0 else self.exact
        if not math.isfinite(found) or (self.trace and self.trace[-1][2] == found):
            return
        if len(self.trace) < STEPS_MAX:
            self.trace.append([self.spent, self.now, found])

    def start(self, index, job):
        self.jobs += 1
        worker = Worker(job, self.jobs - 1, self.now + job.budget)
        self.workers[index] = worker
        config = self.configs.setdefault(job.key, Config())
        if self.problem.steps == 0:
            return
        worker.config = config
        worker.first = config.reached
        worker.last = min(max(1, math.floor(job.budget + 0.5)), self.problem.steps)
        if config.losses is None or len(config.losses) < worker.last:
            config.losses, config.costs = self.problem.curve(job.values, worker.last)
        worker.next_step = worker.first + 1 if self.peer.reports else worker.last
        self.plan(worker, worker.first)

    def plan(self, worker, at):
        """When this worker, which is at this step, reaches next_step."""
        costs = worker.config.costs
        if worker.next_step > at:
            worker.next_at = self.now + costs[worker.next_step - 1] - (costs[at - 1] if at > 0 else 0)
        else:
            worker.next_at = self.now

    def tell(self, worker, loss, stopped):
        finite = math.isfinite(loss)
        self.failed += not finite
        self.stopped += stopped
        self.peer_call(self.peer.tell, worker.job, loss if finite else None, stopped)

    def end_curve(self, worker, last, stopped):
        config = worker.config
        for loss in config.losses[worker.first : last]:
            if loss < self.seen:
                self.seen = loss
        self.spent += max(0, last - worker.first) / self.problem.steps
        config.reached = max(config.reached, last)
        self.note()
        self.tell(worker, config.losses[last - 1], stopped)

    def end_function(self, worker):
        job = worker.job
        loss, exact = self.problem.value(job.values, job.budget, (self.seed << 32) + worker.number)
        self.spent += job.budget / self.problem.budget_max
        budget, best = self.incumbent
        if math.isfinite(loss) and (job.budget > budget or (job.budget == budget and loss < best)):
            self.incumbent, self.exact = (job.budget, loss), exact
        self.note()
        self.tell(worker, loss, False)

    def reach(self, index):
        """A worker is at its next step, or at the end of its job."""
        worker = self.workers[index]
        if self.problem.steps == 0:
            self.workers[index] = None
            return self.end_function(worker)
        step = worker.next_step
        if step >= worker.last:
            self.workers[index] = None
            return self.end_curve(worker, worker.last, False)
        loss = worker.config.losses[step - 1]
        if math.isfinite(loss) and self.peer_call(self.peer.step, worker.job, step, loss):
            self.workers[index] = None
            return self.end_curve(worker, step, True)
        worker.next_step = step + 1
        return self.plan(worker, step)

    def hand_out(self):
        for index, worker in enumerate(self.workers):
            if worker is not None:
                continue
            try:
                job = self.peer_call(self.peer.ask)
            except Exhausted:
                return False
            if job is None:
                return True
            self.start(index, job)
        return True

    def go(self):
        more = True
        while self.spent < self.full_evaluations - 1e-9:
            more = more and self.hand_out()
            busy = [i for i, worker in enumerate(self.workers) if worker is not None]
            if not busy:
                self.exhausted = True
                break
            index = min(busy, key=lambda i: self.workers[i].next_at)
            self.now = self.workers[index].next_at
            self.reach(index)

    def result(self):
        short = [[float(f"{spent:.6g}"), float(f"{now:.6g}"), float(f"{loss:.8g}")] for spent, now, loss in self.trace]
        return {
            "jobs": self.jobs,
            "configs": len(self.configs),
            "stopped": self.stopped,
            "failed": self.failed,
            "exhausted": self.exhausted,
            "spent": float(f"{self.spent:.6g}"),
            "time": float(f"{self.now:.6g}"),
            "optimizer_s": round(self.optimizer_s, 3),
            "losses": short,
        }
