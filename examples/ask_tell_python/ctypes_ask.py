#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library without a compiler: ask and tell through ctypes. usage: ctypes_ask.py [LIBRARY]"""
import ctypes
import json
import sys

lib = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else "libhyperdock.so.0")
for name in ("hyperdock_error", "hyperdock_experiment_error", "hyperdock_version"):
    getattr(lib, name).restype = ctypes.c_char_p
ASK_JOB = 0


def check(code, error, handle):
    if code != 0:
        raise RuntimeError(getattr(lib, error)(handle).decode())


text = b"space: {x: {type: float, low: 0, high: 1}, y: {type: int, low: 1, high: 9}}\nstop: {configs: 40}\nseed: 1\n"
experiment, session = ctypes.c_void_p(), ctypes.c_void_p()
if lib.hyperdock_experiment_new(ctypes.byref(experiment)) != 0:
    raise MemoryError
check(lib.hyperdock_experiment_parse(experiment, text, ctypes.c_size_t(len(text))), "hyperdock_experiment_error", experiment)
check(lib.hyperdock_open(experiment, None, ctypes.byref(session)), "hyperdock_experiment_error", experiment)
answer, job, json_text, value = ctypes.c_int(), ctypes.c_uint32(), ctypes.c_char_p(), ctypes.c_double()
while True:
    check(lib.hyperdock_ask(session, ctypes.byref(answer), ctypes.byref(job)), "hyperdock_error", session)
    if answer.value != ASK_JOB:
        break
    check(lib.hyperdock_job_config(session, job, ctypes.byref(json_text)), "hyperdock_error", session)
    config = json.loads(json_text.value)
    loss = (config["x"] - 0.3) ** 2 + (config["y"] - 4) ** 2
    check(lib.hyperdock_tell(session, job, ctypes.c_double(loss)), "hyperdock_error", session)
check(lib.hyperdock_best(session, ctypes.byref(job), ctypes.byref(value)), "hyperdock_error", session)
print(json.dumps({"version": lib.hyperdock_version().decode(), "job": job.value, "loss": value.value}))
lib.hyperdock_close(session)
lib.hyperdock_experiment_free(experiment)
