# SPDX-License-Identifier: Apache-2.0
"""HpBandSter: its config generators, its brackets (get_next_iteration of BOHB and HyperBand) and
its iterations, with their defaults; the master's network is left out. A config keeps its id from
rung to rung, so that a worker with checkpoints would go on."""
import math
from types import SimpleNamespace

import numpy as np
from hpbandster.core.dispatcher import Job as TheirJob
from hpbandster.optimizers import BOHB, HyperBand
from hpbandster.optimizers.config_generators.bohb import BOHB as Model
from hpbandster.optimizers.config_generators.random_sampling import RandomSampling

from virtual import Job
from wrappers.overlap import Overlap
from wrappers.spaces import make_space, values_of


class HpBandSter:
    reports = False

    def __init__(self, problem, seed, workers, full_evaluations, folder, model):
        np.random.seed(seed)  # it draws from the global generator
        self.problem = problem
        space = make_space(problem, seed)
        self.generator = Model(configspace=space) if model else RandomSampling(configspace=space)
        rungs = -int(np.log(problem.budget_min / problem.budget_max) / np.log(problem.eta)) + 1
        # What get_next_iteration reads of the master.
        master = SimpleNamespace(
            eta=problem.eta,
            max_SH_iter=rungs,
            budgets=problem.budget_max * np.power(float(problem.eta), -np.linspace(rungs - 1, 0, rungs)),
            config_generator=self.generator,
        )
        kind = BOHB if model else HyperBand
        self.overlap = Overlap(lambda number: kind.get_next_iteration(master, number, {}))

    def ask(self):
        bracket, number, config, budget = self.overlap.next_run()
        job = TheirJob(number, config=config, budget=budget)
        return Job(number, values_of(self.problem, config), float(budget), (bracket, job))

    def tell(self, job, loss, stopped):
        bracket, theirs = job.tag
        theirs.result = {"loss": math.inf if loss is None else loss, "info": {}}
        bracket.register_result(theirs)
        self.generator.new_result(theirs)
