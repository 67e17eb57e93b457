# SPDX-License-Identifier: Apache-2.0
"""Syne Tune through suggest, on_trial_add, on_trial_result and on_trial_complete of its baselines,
defaults. Its asynchronous successive halving stops jobs: a result is given after every step."""
import datetime
import logging

import numpy as np
from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice, lograndint, loguniform, randint, uniform
from syne_tune.optimizer import baselines
from syne_tune.optimizer.scheduler import SchedulerDecision

from virtual import Exhausted, Job

SINGLE_FIDELITY = {"CQR"}


def domain(param):
    if param.kind == "choice":
        return choice([str(i) for i in range(param.count)])
    if param.kind == "int":
        return (lograndint if param.log else randint)(int(param.low), int(param.high))
    return (loguniform if param.log else uniform)(float(param.low), float(param.high))


class SyneTune:
    def __init__(self, problem, seed, workers, full_evaluations, folder, scheduler):
        logging.getLogger("syne_tune").setLevel(logging.ERROR)
        np.random.seed(seed)  # it draws brackets from the global generator
        self.problem, self.count = problem, 0
        self.reports = scheduler not in SINGLE_FIDELITY
        if self.reports and problem.steps == 0:
            raise ValueError(f"{scheduler} needs a learning curve")
        more = {}
        if self.reports:
            more = {
                "time_attr": "step",
                "max_t": problem.steps,
                "grace_period": int(problem.budget_min),
                "reduction_factor": problem.eta,
            }
        space = {param.name: domain(param) for param in problem.params}
        self.scheduler = getattr(baselines, scheduler)(space, metric="loss", do_minimize=True, random_seed=seed, **more)

    def ask(self):
        suggestion = self.scheduler.suggest()
        if suggestion is None:
            raise Exhausted()
        trial = Trial(self.count, suggestion.config, datetime.datetime(2000, 1, 1))
        self.count += 1
        self.scheduler.on_trial_add(trial)
        values = [float(suggestion.config[param.name]) for param in self.problem.params]
        return Job(trial.trial_id, values, self.problem.budget_max, trial)

    def step(self, job, step, loss):
        decision = self.scheduler.on_trial_result(job.tag, {"loss": loss, "step": step})
        return decision != SchedulerDecision.CONTINUE

    def tell(self, job, loss, stopped):
        if loss is None:
            self.scheduler.on_trial_error(job.tag)
        elif stopped:
            self.scheduler.on_trial_remove(job.tag)
        else:
            self.scheduler.on_trial_complete(job.tag, {"loss": loss, "step": self.problem.steps})
