# SPDX-License-Identifier: Apache-2.0
"""The peers by name. Each wrapper is made with (problem, seed, workers, full_evaluations, folder);
the folder is temporary and for what the peer writes.

resume: `own` the peer itself pauses and resumes configs or stops jobs that run; `credited` it asks
for a config again at a larger budget, as if from the start, and is charged the difference only;
`-` it runs full evaluations.
"""
from importlib import import_module

# name: environment, module, class, settings, distribution (None: our own code), resume
PEERS = {
    "random": ("main", "plain", "Random", {}, None, "-"),
    "hyperband-resume": ("main", "plain", "Hyperband", {}, None, "own"),
    "optuna-tpe": ("main", "optuna_peer", "Optuna", {"sampler": "tpe"}, "optuna", "-"),
    "optuna-gp": ("main", "optuna_peer", "Optuna", {"sampler": "gp"}, "optuna", "-"),
    "optuna-tpe-hyperband": ("main", "optuna_peer", "Optuna", {"sampler": "tpe", "prune": True}, "optuna", "own"),
    "hyperopt-tpe": ("main", "hyperopt_peer", "Hyperopt", {}, "hyperopt", "-"),
    "dehb": ("main", "dehb_peer", "Dehb", {}, "dehb", "credited"),
    "smac-hpo": ("main", "smac_peer", "Smac", {"multi_fidelity": False}, "smac", "-"),
    "smac-mf": ("main", "smac_peer", "Smac", {"multi_fidelity": True}, "smac", "credited"),
    "syne-tune-asha": ("main", "syne_tune_peer", "SyneTune", {"scheduler": "ASHA"}, "syne-tune", "own"),
    "syne-tune-bohb": ("main", "syne_tune_peer", "SyneTune", {"scheduler": "BOHB"}, "syne-tune", "own"),
    "syne-tune-asha-cqr": ("main", "syne_tune_peer", "SyneTune", {"scheduler": "ASHACQR"}, "syne-tune", "own"),
    "syne-tune-cqr": ("main", "syne_tune_peer", "SyneTune", {"scheduler": "CQR"}, "syne-tune", "-"),
    "hpbandster-bohb": ("old", "hpbandster_peer", "HpBandSter", {"model": True}, "hpbandster", "own"),
    "hpbandster-hyperband": ("old", "hpbandster_peer", "HpBandSter", {"model": False}, "hpbandster", "own"),
    "ultraopt-etpe-hyperband": ("old", "ultraopt_peer", "UltraOpt", {"hyperband": True}, "ultraopt", "own"),
    "ultraopt-etpe": ("old", "ultraopt_peer", "UltraOpt", {"hyperband": False}, "ultraopt", "-"),
}


def make(name, *args):
    _, module, cls, settings, _, _ = PEERS[name]
    return getattr(import_module(f"wrappers.{module}"), cls)(*args, **settings)
