#!/usr/bin/env python3
"""A target in Python: "trains" for the budget's epochs, and goes on where it was.

Replace train() by your own work. Params that a config does not have are not in params.json."""
import json
import math
import os

here, work = os.environ["HYPERDOCK_DIR"], os.environ["HYPERDOCK_WORK_DIR"]
with open(os.environ["HYPERDOCK_PARAMS_FILE"], encoding="utf-8") as file:
    params = json.load(file)
budget = int(float(os.environ["HYPERDOCK_BUDGET"]))
checkpoint = os.path.join(work, "state.json")


def train(epoch):
    a = math.log(params["rate"] / 0.02) / 4
    b = math.log(params["width"] / 100) / 3
    c = params.get("momentum", 0) - 0.8
    return 0.1 + a * a + b * b + 0.2 * c * c + 1 / (1 + epoch)


state = {"epoch": 0, "loss": None}
if os.path.exists(checkpoint):
    with open(checkpoint, encoding="utf-8") as file:
        state = json.load(file)
while state["epoch"] < budget:
    state["epoch"] += 1
    state["loss"] = train(state["epoch"])
    print("epoch", state["epoch"], "loss", state["loss"], flush=True)
    with open(os.path.join(here, "metrics.jsonl"), "a", encoding="utf-8") as file:  # for early stopping, and for people
        file.write(json.dumps({"step": state["epoch"], "loss": state["loss"]}) + "\n")
    with open(checkpoint + ".new", "w", encoding="utf-8") as file:
        json.dump(state, file)
    os.replace(checkpoint + ".new", checkpoint)  # whole, or not at all
    if os.path.exists(os.path.join(here, "control", "stop")):
        break  # asked to stop: what there is counts
with open(os.path.join(here, "loss.json"), "w", encoding="utf-8") as file:
    json.dump({"loss": state["loss"], "epochs": state["epoch"]}, file)
