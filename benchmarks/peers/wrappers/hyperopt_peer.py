# SPDX-License-Identifier: Apache-2.0
"""hyperopt through tpe.suggest and Trials, defaults. Its fmin waits for results; here trials that
run are in Trials as such, which is how its MongoDB workers see them."""
import logging
import math

import numpy as np
from hyperopt import JOB_STATE_DONE, JOB_STATE_RUNNING, STATUS_FAIL, STATUS_OK, Trials, hp, tpe
from hyperopt.base import Domain

from virtual import Job


def node(param):
    if param.kind == "choice":
        return hp.choice(param.name, list(range(param.count)))
    if param.kind == "int":
        low, high = param.low - 0.5, param.high + 0.5
        if param.log:
            return hp.qloguniform(param.name, math.log(low), math.log(high), 1)
        return hp.quniform(param.name, low, high, 1)
    if param.log:
        return hp.loguniform(param.name, math.log(param.low), math.log(param.high))
    return hp.uniform(param.name, param.low, param.high)


class Hyperopt:
    reports = False

    def __init__(self, problem, seed, workers, full_evaluations, folder):
        logging.getLogger("hyperopt").setLevel(logging.WARNING)
        self.problem, self.rng, self.trials = problem, np.random.default_rng(seed), Trials()
        self.domain = Domain(lambda config: 0.0, {param.name: node(param) for param in problem.params})

    def ask(self):
        ids = self.trials.new_trial_ids(1)
        self.trials.refresh()
        docs = tpe.suggest(ids, self.domain, self.trials, int(self.rng.integers(2**31 - 1)), verbose=False)
        docs[0]["state"] = JOB_STATE_RUNNING
        self.trials.insert_trial_docs(docs)
        self.trials.refresh()
        found = docs[0]["misc"]["vals"]
        values = []
        for param in self.problem.params:
            value = found[param.name][0]
            value = round(float(value)) if param.kind != "float" else float(value)
            values.append(min(max(value, param.low), param.high))
        return Job(ids[0], values, self.problem.budget_max, self.trials._dynamic_trials[-1])

    def tell(self, job, loss, stopped):
        job.tag["state"] = JOB_STATE_DONE
        job.tag["result"] = {"status": STATUS_FAIL} if loss is None else {"status": STATUS_OK, "loss": loss}
        self.trials.refresh()
