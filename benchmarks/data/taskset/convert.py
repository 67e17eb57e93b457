#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns TaskSet tables (JSON, as releaunifreiburg/DPL has them) into NAME.f32 files.

Usage: convert.py OUT_DIR FILE.json...

Each row is a config: learning_rate, 1 - beta1, 1 - beta2, epsilon, l1, l2, linear_decay,
exponential_decay, then the validation loss at the 51 points; little-endian float32. What is no
number becomes NaN.
"""
import json
import os
import struct
import sys

PARAMS = ["learning_rate", "beta1", "beta2", "epsilon", "l1", "l2", "linear_decay", "exponential_decay"]


def number(x):
    return float(x) if isinstance(x, (int, float)) and abs(x) < 3e38 else float("nan")


def main(out_dir, paths):
    for path in paths:
        name = os.path.basename(path).removesuffix(".json").removeprefix("FixedTextRNNClassification_")
        with open(path, encoding="utf-8") as file, open(os.path.join(out_dir, name + ".f32"), "wb") as out:
            for row in json.load(file):
                hp = [1 - row["hp"][p] if p.startswith("beta") else row["hp"][p] for p in PARAMS]
                out.write(struct.pack("<59f", *hp, *map(number, row["valid"]["loss"])))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
