# SPDX-License-Identifier: Apache-2.0
"""The problems of hd-bench, through libhdbench (benchmarks/suite/hdbench.h); standard library only.

Values are a list of numbers in the order of the space: a choice is its index.
"""
import ctypes
import json
import os
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = os.path.join(ROOT, "build", "benchmarks", "suite", "libhdbench.so")


@dataclass(frozen=True)
class Param:
    """kind is float, int or choice. A choice has `count` of them; low and high are then 0 and count - 1."""

    name: str
    kind: str
    low: float
    high: float
    log: bool
    count: int = 0


def read_param(name, spec):
    if "when" in spec:
        raise ValueError(f"{name} has a condition: the wrappers do not translate those")
    kind = spec["type"]
    if kind in ("float", "int"):
        beside = set(spec) - {"type", "low", "high", "log"}
        if beside:
            raise ValueError(f"{name} has {', '.join(sorted(beside))}: the wrappers do not translate those")
        return Param(name, kind, spec["low"], spec["high"], bool(spec.get("log", False)))
    if kind in ("categorical", "ordinal"):
        count = len(spec.get("choices") or spec["values"])
        return Param(name, "choice", 0, count - 1, False, count)
    if kind == "bool":
        return Param(name, "choice", 0, 1, False, 2)
    raise ValueError(f"{name} is of type {kind}: the wrappers do not translate that")


class Problem:
    """One problem of the suite; used by one run at a time."""

    def __init__(self, suite, task, library=LIBRARY):
        lib = ctypes.CDLL(library)
        doubles = ctypes.POINTER(ctypes.c_double)
        lib.hdbench_open.restype = ctypes.c_void_p
        lib.hdbench_open.argtypes = [ctypes.c_char_p] * 3
        lib.hdbench_close.argtypes = [ctypes.c_void_p]
        lib.hdbench_error.restype = ctypes.c_char_p
        lib.hdbench_space.restype = ctypes.c_char_p
        lib.hdbench_space.argtypes = [ctypes.c_void_p]
        lib.hdbench_steps.argtypes = [ctypes.c_void_p]
        lib.hdbench_reset.argtypes = [ctypes.c_void_p]
        for name in ("hdbench_budget_min", "hdbench_budget_max", "hdbench_best"):
            getattr(lib, name).restype = ctypes.c_double
            getattr(lib, name).argtypes = [ctypes.c_void_p]
        lib.hdbench_curve.argtypes = [ctypes.c_void_p, doubles, ctypes.c_int, doubles, doubles]
        lib.hdbench_value.argtypes = [ctypes.c_void_p, doubles, ctypes.c_double, ctypes.c_ulonglong, doubles, doubles]
        self.lib = lib
        self.handle = lib.hdbench_open(suite.encode(), task.encode(), None)
        if not self.handle:
            raise ValueError(lib.hdbench_error().decode())
        self.suite, self.task = suite, task
        space = json.loads(lib.hdbench_space(self.handle))
        self.params = [read_param(name, spec) for name, spec in space.items()]
        self.budget_min = lib.hdbench_budget_min(self.handle)
        self.budget_max = lib.hdbench_budget_max(self.handle)
        self.steps = lib.hdbench_steps(self.handle)
        self.best = lib.hdbench_best(self.handle)
        self.eta = 3

    def close(self):
        self.lib.hdbench_close(self.handle)
        self.handle = None

    def _array(self, values):
        if len(values) != len(self.params):
            raise ValueError(f"{len(values)} values for {len(self.params)} params")
        return (ctypes.c_double * len(values))(*values)

    def curve(self, values, last):
        """The losses and the cumulated costs after the steps 1 to last."""
        losses, costs = (ctypes.c_double * last)(), (ctypes.c_double * last)()
        if self.lib.hdbench_curve(self.handle, self._array(values), last, losses, costs) != 0:
            raise ValueError(self.lib.hdbench_error().decode())
        return list(losses), list(costs)

    def value(self, values, budget, noise_seed):
        """What a job sees at this budget, and the exact loss at the largest."""
        loss, exact = ctypes.c_double(), ctypes.c_double()
        code = self.lib.hdbench_value(
            self.handle, self._array(values), budget, noise_seed, ctypes.byref(loss), ctypes.byref(exact)
        )
        if code != 0:
            raise ValueError(self.lib.hdbench_error().decode())
        return loss.value, exact.value
