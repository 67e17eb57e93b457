# SPDX-License-Identifier: Apache-2.0
"""Our own yardsticks, without any package: random search and Hyperband (Li and others 2017) with
pause and resume. Brackets as HpBandSter counts them; a new one begins when all others wait."""
import math
import random

from virtual import Job


def draw(params, rng):
    values = []
    for param in params:
        if param.kind == "choice":
            values.append(rng.randrange(param.count))
            continue
        margin = 0.5 if param.kind == "int" else 0
        low, high = param.low - margin, param.high + margin
        if param.log:
            value = math.exp(rng.uniform(math.log(low), math.log(high)))
        else:
            value = rng.uniform(low, high)
        value = round(value) if param.kind == "int" else value
        values.append(min(max(value, param.low), param.high))
    return values


class Random:
    reports = False

    def __init__(self, problem, seed, workers, full_evaluations, folder):
        self.problem, self.rng, self.count = problem, random.Random(seed), 0

    def ask(self):
        self.count += 1
        return Job(self.count, draw(self.problem.params, self.rng), self.problem.budget_max)

    def tell(self, job, loss, stopped):
        pass


class Bracket:
    def __init__(self, sizes, budgets):
        self.sizes, self.budgets = sizes, budgets
        self.rung = 0
        self.queue = []  # jobs of this rung that wait for a worker
        self.ended = []  # (loss, number, job)
        self.to_draw = sizes[0]

    def advance(self):
        """The rung is complete: its best go on."""
        if self.rung + 1 == len(self.sizes):
            return
        self.rung += 1
        best = sorted(self.ended, key=lambda item: item[:2])[: self.sizes[self.rung]]
        self.ended = []
        self.queue = [Job(job.key, job.values, self.budgets[self.rung], self) for _, _, job in best]


class Hyperband:
    reports = False

    def __init__(self, problem, seed, workers, full_evaluations, folder):
        self.problem, self.rng, self.count = problem, random.Random(seed), 0
        eta = problem.eta
        self.rungs = int(math.log(problem.budget_max / problem.budget_min) / math.log(eta) + 1e-9) + 1
        self.budgets = [problem.budget_max * eta ** (k + 1 - self.rungs) for k in range(self.rungs)]
        self.brackets, self.made = [], 0

    def make_bracket(self):
        eta, s = self.problem.eta, self.rungs - 1 - self.made % self.rungs
        first = (self.rungs // (s + 1)) * eta**s
        self.made += 1
        bracket = Bracket([max(first // eta**i, 1) for i in range(s + 1)], self.budgets[-s - 1 :])
        self.brackets.append(bracket)
        return bracket

    def ask(self):
        waiting = [b for b in self.brackets if b.queue or b.to_draw]
        bracket = waiting[0] if waiting else self.make_bracket()
        if bracket.queue:
            return bracket.queue.pop(0)
        bracket.to_draw -= 1
        self.count += 1
        return Job(self.count, draw(self.problem.params, self.rng), bracket.budgets[0], bracket)

    def tell(self, job, loss, stopped):
        bracket = job.tag
        bracket.ended.append((math.inf if loss is None else loss, job.key, job))
        if len(bracket.ended) == bracket.sizes[bracket.rung]:
            bracket.advance()
            if not bracket.queue:
                self.brackets.remove(bracket)
