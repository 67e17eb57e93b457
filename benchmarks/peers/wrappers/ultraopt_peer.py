# SPDX-License-Identifier: Apache-2.0
"""UltraOpt: ETPEOptimizer with its HyperBandIterGenerator, or alone with full evaluations; defaults;
the master's network is left out. A config keeps its id from rung to rung."""
import logging
import math

import pandas

# tabular_nn, which UltraOpt imports, looks for it where pandas had it before 1.5.
pandas.core.common.SettingWithCopyWarning = pandas.errors.SettingWithCopyWarning

from ultraopt.multi_fidelity import HyperBandIterGenerator
from ultraopt.optimizer import ETPEOptimizer
from ultraopt.structure import Job as TheirJob

from virtual import Job
from wrappers.overlap import Overlap
from wrappers.spaces import make_space, values_of


class UltraOpt:
    reports = False

    def __init__(self, problem, seed, workers, full_evaluations, folder, hyperband):
        logging.disable(logging.ERROR)
        self.problem, self.overlap, self.count = problem, None, 0
        self.optimizer = ETPEOptimizer()
        space = make_space(problem, seed)
        if not hyperband:
            self.optimizer.initialize(space, (problem.budget_max,), random_state=seed)
            return
        generator = HyperBandIterGenerator(problem.budget_min, problem.budget_max, problem.eta)
        self.optimizer.initialize(space, generator.get_budgets(), random_state=seed)
        generator.initialize(self.optimizer)
        self.overlap = Overlap(generator.get_next_iteration)

    def ask(self):
        if self.overlap is None:
            bracket, number, budget = None, self.count, self.problem.budget_max
            config, _ = self.optimizer.ask(budget)
            self.count += 1
        else:
            bracket, number, config, budget = self.overlap.next_run()
        job = TheirJob(number, config=config, budget=budget, config_info={})
        return Job(number, values_of(self.problem, config), float(budget), (bracket, job))

    def tell(self, job, loss, stopped):
        bracket, theirs = job.tag
        theirs.result = {"loss": math.inf if loss is None else loss}
        if bracket is not None:
            bracket.register_result(theirs)
        self.optimizer.new_result(theirs)
