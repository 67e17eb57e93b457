# SPDX-License-Identifier: Apache-2.0
"""Optuna through study.ask and study.tell, samplers with their defaults. With the pruner a loss is
reported after every step and a job ends when should_prune says so."""
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from virtual import Job


def distribution(param):
    if param.kind == "choice":
        return CategoricalDistribution(list(range(param.count)))
    kind = IntDistribution if param.kind == "int" else FloatDistribution
    return kind(param.low, param.high, log=param.log)


class Optuna:
    def __init__(self, problem, seed, workers, full_evaluations, folder, sampler, prune=False):
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        make = {"tpe": optuna.samplers.TPESampler, "gp": optuna.samplers.GPSampler}[sampler]
        pruner = optuna.pruners.NopPruner()
        if prune:
            low, high = int(problem.budget_min), int(problem.budget_max)
            pruner = optuna.pruners.HyperbandPruner(min_resource=low, max_resource=high, reduction_factor=problem.eta)
        # The pruner draws brackets from the name of the study.
        self.study = optuna.create_study(
            study_name=f"{problem.suite}-{problem.task}-{seed}", sampler=make(seed=seed), pruner=pruner
        )
        self.reports = prune and problem.steps > 0
        self.problem = problem
        self.space = {param.name: distribution(param) for param in problem.params}

    def ask(self):
        trial = self.study.ask(self.space)
        values = [trial.params[param.name] for param in self.problem.params]
        return Job(trial.number, values, self.problem.budget_max, trial)

    def step(self, job, step, loss):
        job.tag.report(loss, step)
        return job.tag.should_prune()

    def tell(self, job, loss, stopped):
        if loss is None:
            self.study.tell(job.tag, state=TrialState.FAIL)
        elif stopped:
            self.study.tell(job.tag, state=TrialState.PRUNED)
        else:
            if self.reports:
                job.tag.report(loss, self.problem.steps)
            self.study.tell(job.tag, loss)
