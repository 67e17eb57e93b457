# SPDX-License-Identifier: Apache-2.0
"""A warm target in Python: started once, it evaluates one job after another."""
import json
import os
import socket

# Load what all jobs need here: connecting says that jobs may come.
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["HYPERDOCK_SOCKET"])
worker = connection.makefile("rw", encoding="utf-8")
for line in worker:  # until the worker closes it
    job = json.loads(line)
    params, answer = job["params"], {"id": job["id"]}
    for step in range(1, int(job["budget"]) + 1):
        loss = (params["x"] - 0.3) ** 2 + (params["y"] + 0.2) ** 2 + 1 / step
        print(json.dumps({**answer, "step": step, "loss": loss}), file=worker, flush=True)
    # Files worth keeping go into job["dir"]/out, checkpoints into job["work_dir"].
    print(json.dumps({**answer, "loss": loss}), file=worker, flush=True)
