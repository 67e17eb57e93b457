# SPDX-License-Identifier: Apache-2.0
"""What the loop of the peers promises, on problems small enough to count by hand; and the figures
of compare. Standard library only."""
import importlib.machinery
import importlib.util
import math
import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

from virtual import Exhausted, Job, Run
from wrappers.plain import Hyperband
from problem import Param


def load_compare():
    loader = importlib.machinery.SourceFileLoader("compare", os.path.join(HERE, "compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
    loader.exec_module(module)
    return module


class Curves:
    """Step k of a config with value v costs v and has the loss -v * k."""

    steps, budget_min, budget_max, eta = 9, 1, 9, 3
    params = [Param("x", "float", 1, 2, False)]

    def curve(self, values, last):
        return [-values[0] * k for k in range(1, last + 1)], [values[0] * k for k in range(1, last + 1)]


class Function:
    """A job sees 1 / budget; what is exact does not depend on it."""

    steps, budget_min, budget_max, eta = 0, 1, 9, 3

    def value(self, values, budget, noise_seed):
        return values[0] / budget, values[0]


class Script:
    """Gives these jobs in order; stops a job at the step of `stops`."""

    def __init__(self, jobs, stops=None):
        self.jobs, self.stops, self.told = list(jobs), stops or {}, []
        self.reports = stops is not None

    def ask(self):
        if not self.jobs:
            raise Exhausted()
        return self.jobs.pop(0)

    def step(self, job, step, loss):
        return self.stops.get(job.key) == step

    def tell(self, job, loss, stopped):
        self.told.append((job.key, loss, stopped))


def go(problem, peer, workers=1, full_evaluations=100):
    run = Run(problem, peer, 1, workers, full_evaluations)
    run.go()
    return run


class Loop(unittest.TestCase):
    def test_a_config_that_goes_on_pays_only_its_new_steps(self):
        run = go(Curves(), Script([Job("a", [2.0], 3), Job("a", [2.0], 9)]))
        self.assertAlmostEqual(run.spent, 1)
        self.assertAlmostEqual(run.now, 18)
        self.assertEqual([step[2] for step in run.trace], [-6, -18])
        self.assertTrue(run.exhausted)

    def test_another_config_with_the_same_values_starts_again(self):
        self.assertAlmostEqual(go(Curves(), Script([Job("a", [2.0], 3), Job("b", [2.0], 9)])).spent, 12 / 9)

    def test_workers_run_side_by_side_and_results_come_in_the_order_of_time(self):
        peer = Script([Job("slow", [2.0], 9), Job("fast", [1.0], 9)])
        run = go(Curves(), peer, workers=2)
        self.assertEqual([told[0] for told in peer.told], ["fast", "slow"])
        self.assertAlmostEqual(run.now, 18)
        self.assertEqual([step[0] for step in run.trace], [1, 2])

    def test_a_stopped_job_pays_until_it_was_stopped(self):
        peer = Script([Job("a", [1.0], 9), Job("b", [1.0], 9)], stops={"a": 2})
        run = go(Curves(), peer)
        self.assertEqual(peer.told, [("a", -2, True), ("b", -9, False)])
        self.assertAlmostEqual(run.spent, 11 / 9)
        self.assertAlmostEqual(run.now, 11)

    def test_the_run_ends_when_all_is_spent(self):
        run = go(Curves(), Script([Job(i, [1.0], 9) for i in range(9)]), full_evaluations=3)
        self.assertEqual((run.jobs, run.spent, run.exhausted), (3, 3, False))

    def test_a_function_pays_each_job_in_full_and_keeps_the_best_at_the_largest_budget(self):
        run = go(Function(), Script([Job("a", [5.0], 9), Job("b", [1.0], 3), Job("c", [7.0], 9)]))
        self.assertAlmostEqual(run.spent, 1 + 1 / 3 + 1)
        self.assertEqual(run.exact, 5)

    def test_hyperband_has_the_sizes_of_its_brackets_and_pays_a_config_once(self):
        run = Run(Curves(), Hyperband(Curves(), 1, 1, 0, None), 1, 1, 1)
        asked = []
        ask = run.peer.ask
        run.peer.ask = lambda: asked.append(ask()) or asked[-1]
        run.full_evaluations = (9 + 3 * 2 + 6) / 9  # 9 configs to 1, 3 of them to 3, one to 9
        run.go()
        self.assertEqual([job.budget for job in asked], [1.0] * 9 + [3.0] * 3 + [9.0])
        best = max(asked[:9], key=lambda job: job.values[0])
        self.assertEqual(asked[-1].key, best.key)


class Compare(unittest.TestCase):
    def test_the_signed_rank_test_is_exact(self):
        wilcoxon = load_compare().wilcoxon
        self.assertAlmostEqual(wilcoxon([1, 2, 3, 4, 5]), 2 / 32)
        self.assertAlmostEqual(wilcoxon([-1, 2, 3, 4, 5, 0]), 4 / 32)
        self.assertAlmostEqual(wilcoxon([1, -1]), 1)

    def test_pairs_share_task_and_seed(self):
        count, mean, half, _ = load_compare().paired(
            {("t", 1): 3.0, ("t", 2): 5.0, ("u", 1): 9.0}, {("t", 1): 1.0, ("t", 2): 1.0, ("u", 2): 1.0}
        )
        self.assertEqual((count, mean), (2, 3))
        self.assertGreater(half, 3)

    def test_a_checkpoint_beyond_what_a_run_may_spend_has_no_value(self):
        compare = load_compare()
        run = {"full_evaluations": 2, "trace": [[0.5, 1, 4.0], [1.5, 2, 3.0]]}
        self.assertEqual(compare.regret_at(run, 1, None), 4)
        self.assertEqual(compare.regret_at(run, 2, None), 3)
        self.assertTrue(math.isnan(compare.regret_at(run, 5, None)))
        self.assertTrue(math.isnan(compare.regret_at(run, 0.1, None)))

    def test_regrets_of_tasks_of_any_size_are_parts_of_the_other_method_s(self):
        compare = load_compare()
        other = {("small", 1): 0.1, ("small", 2): 0.3, ("large", 1): 1000.0, ("solved", 1): 0.0}
        own = {("small", 1): 0.1, ("small", 2): 0.1, ("large", 1): 500.0, ("solved", 1): 0.0}
        scaled = compare.relative(own, other)
        self.assertEqual(set(scaled[0]), {("small", 1), ("small", 2), ("large", 1)})
        self.assertAlmostEqual(scaled[0]["small", 2], 0.5)
        self.assertAlmostEqual(scaled[1]["small", 2], 1.5)
        self.assertAlmostEqual(scaled[0]["large", 1], 0.5)

    def test_a_task_is_won_by_its_own_seeds(self):
        other = {(task, seed): 1.0 + seed / 100 for task in ("won", "even", "lost") for seed in range(8)}
        own = {pair: value + {"won": -0.5, "even": 0.0, "lost": 0.5}[pair[0]] for pair, value in other.items()}
        self.assertEqual(load_compare().verdicts(own, other), [1, 1, 1])


if __name__ == "__main__":
    unittest.main()
