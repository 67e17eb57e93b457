# SPDX-License-Identifier: Apache-2.0
"""DEHB through ask and tell, defaults. It asks for a promoted config as a job from the start; the
config's number is the key, so that it is charged the steps that are new (credited)."""
import math

from dehb import DEHB

from virtual import Job
from wrappers.spaces import make_space, values_of


class Dehb:
    reports = False

    def __init__(self, problem, seed, workers, full_evaluations, folder):
        if problem.budget_min == problem.budget_max:
            raise ValueError("DEHB needs a smallest budget below the largest")
        self.problem = problem
        # n_workers is for its own pool of processes, which is not used; ask may be called at will.
        self.dehb = DEHB(
            f=None,
            cs=make_space(problem, seed),
            min_fidelity=problem.budget_min,
            max_fidelity=problem.budget_max,
            eta=problem.eta,
            seed=seed,
            n_workers=1,
            save_freq="end",
            output_path=folder,
            log_level="ERROR",
        )

    def ask(self):
        job = self.dehb.ask()
        return Job(job["config_id"], values_of(self.problem, job["config"]), float(job["fidelity"]), job)

    def tell(self, job, loss, stopped):
        self.dehb.tell(job.tag, {"fitness": math.inf if loss is None else loss, "cost": job.budget})
