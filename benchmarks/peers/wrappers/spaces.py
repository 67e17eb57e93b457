# SPDX-License-Identifier: Apache-2.0
"""Spaces for ConfigSpace, in its releases from 1.0 on and in 0.4, and values back from configs."""
import ConfigSpace as cs


def make_space(problem, seed):
    space = cs.ConfigurationSpace(seed=seed)
    for p in problem.params:
        if p.kind == "choice":
            param = cs.CategoricalHyperparameter(p.name, list(range(p.count)))
        elif p.kind == "int":
            param = cs.UniformIntegerHyperparameter(p.name, int(p.low), int(p.high), log=p.log)
        else:
            param = cs.UniformFloatHyperparameter(p.name, float(p.low), float(p.high), log=p.log)
        add = getattr(space, "add_hyperparameter", None) if not hasattr(space, "add") else space.add
        add(param)
    return space


def values_of(problem, config):
    values = []
    for p in problem.params:
        value = float(config[p.name])
        values.append(min(max(value, p.low), p.high))
    return values
