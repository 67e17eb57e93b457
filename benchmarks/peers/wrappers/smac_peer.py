# SPDX-License-Identifier: Apache-2.0
"""SMAC3 through ask and tell. The defaults of its facades, but the initial design: by default 10
configs per param (capped by the number of trials); here 20 with fidelities and 10 without, so that
the model begins earlier. A config asked for again at a larger budget is charged the difference."""
from smac import HyperparameterOptimizationFacade, MultiFidelityFacade, Scenario
from smac.runhistory.dataclasses import TrialValue
from smac.runhistory.enumerations import StatusType

from virtual import Exhausted, Job
from wrappers.spaces import make_space, values_of

# SMAC models the logarithm of the cost and takes all that is not above zero for the same tiny cost:
# an accuracy with its sign turned is told as an error, and minima below zero are lifted above it.
SHIFT = {"lcbench": 100, "functions": 4}

JOBS_PER_FULL_EVALUATION = 60  # more than there can be: the loop ends the run


class Smac:
    reports = False

    def __init__(self, problem, seed, workers, full_evaluations, folder, multi_fidelity):
        self.problem, self.multi_fidelity = problem, multi_fidelity
        self.shift = SHIFT.get(problem.suite, 0)
        facade = MultiFidelityFacade if multi_fidelity else HyperparameterOptimizationFacade
        budgets = {"min_budget": problem.budget_min, "max_budget": problem.budget_max} if multi_fidelity else {}
        scenario = Scenario(
            make_space(problem, seed),
            output_directory=folder,
            deterministic=True,
            n_trials=int(full_evaluations * JOBS_PER_FULL_EVALUATION),
            seed=seed,
            **budgets,
        )
        unused = (lambda config, seed, budget: 0.0) if multi_fidelity else (lambda config, seed: 0.0)
        self.smac = facade(
            scenario,
            unused,
            initial_design=facade.get_initial_design(scenario, n_configs=20 if multi_fidelity else 10),
            logging_level=False,
            overwrite=True,
        )

    def ask(self):
        try:
            info = self.smac.ask()
        except StopIteration:
            raise Exhausted() from None
        budget = float(info.budget) if self.multi_fidelity else self.problem.budget_max
        values = values_of(self.problem, info.config)
        return Job(tuple(values), values, budget, info)

    def tell(self, job, loss, stopped):
        if loss is None:
            value = TrialValue(cost=float("inf"), status=StatusType.CRASHED)
        else:
            value = TrialValue(cost=loss + self.shift)
        self.smac.tell(job.tag, value, save=False)
