#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The schemas of docs/schemas say what the worker says: of what targets write by a table, both ways,
and of what it writes itself. Usage: test_schemas.py SCHEMAS READER HD"""
import json
import os
import subprocess
import sys
import tempfile

try:
    from jsonschema import Draft202012Validator
except ImportError:
    print("1..0 # SKIP python3-jsonschema is not installed")
    sys.exit(0)

schemas, reader, hd = sys.argv[1:]
ROWS = [
    ("loss", "0.25", True), ("loss", "-3", True), ("loss", '"0.25"', True), ("loss", '"nan"', True),
    ("loss", '{"loss": 0.25}', True), ("loss", '{"value": 1e3, "note": [1]}', True),
    ("loss", '{"loss": "0.5"}', True), ("loss", '{"metrics": {"loss": 2}}', True),
    ("loss", '{"state": "failed", "message": "no such solver"}', True),
    ("loss", '{"status": "ERROR"}', True), ("loss", '{"loss": "x", "value": 1}', True),
    ("loss", '{}', False), ("loss", '{"state": "ok"}', False), ("loss", '{"loss": null}', False),
    ("loss", '{"loss": "low"}', False), ("loss", '[0.25]', False), ("loss", 'true', False),
    ("loss", 'null', False), ("loss", '"low"', False), ("loss", '{"metrics": 3}', False),
    ("loss", '{"metrics": {"other": 2}}', False), ("loss", '{"accuracy": 0.9}', False),
    ("metrics", '{"step": 3, "loss": 0.4}', True), ("metrics", '{"value": 0.4}', True),
    ("metrics", '{"epoch": "x", "loss": 1}', True), ("metrics", '{"loss": null, "value": 1}', True),
    ("metrics", '{"step": 3}', False), ("metrics", '{"loss": "0.4"}', False),
    ("metrics", '0.4', False), ("metrics", '[]', False),
    ("graphs", '[]', True), ("graphs", '{"name": "a", "series": []}', True),
    ("graphs", '[{"name": "a", "y_axis": "v", "series": [{"label": "b", "x": [1, 2], "y": [3, 4]}]}]', True),
    ("graphs", '{"name": "a", "series": {"label": "b", "x": 1, "y": 2}}', True),
    ("graphs", '{"name": "a"}', False), ("graphs", '{"name": "", "series": []}', False),
    ("graphs", '{"name": "a", "x_axis": 1, "series": []}', False), ("graphs", '3', False),
    ("graphs", '{"name": "a", "series": [{"label": "b", "x": [], "y": []}]}', False),
    ("graphs", '{"name": "a", "series": [{"x": 1, "y": 2}]}', False),
    ("graphs", '{"name": "a", "series": [{"label": "b", "x": 1, "y": "2"}]}', False),
]
EXPERIMENT = """
name: written
target:
  command: [/bin/sh, -c, 'cat params.json job.json; echo 1 >loss.json']
  resources: {memory: 64MiB}
budget: {min: 1, max: 3}
objective: {name: error, direction: maximize}
constraints: [{name: seconds, max: 10}]
space:
  x: {type: float, low: 0, high: 1}
  n: {type: int, low: 1, high: 3}
  kind: {type: categorical, choices: [a, true, 3]}
  on: {type: bool}
"""


def load(name):
    with open(os.path.join(schemas, name + ".schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def verdict(number, good, promise, why=()):
    print("%s %d - %s" % ("ok" if good else "not ok", number, promise))
    for line in why:
        print("# " + line)


with tempfile.TemporaryDirectory() as directory:
    print("1..3")
    validators = {name: load(name) for name in ("params", "job", "loss", "metrics", "graphs")}
    verdict(1, len(validators) == 5, "each file is a schema of draft 2020-12")
    asked = "".join("%s %s\n" % (kind, text) for kind, text, _ in ROWS)
    heard = subprocess.run([reader, directory], input=asked, capture_output=True, text=True,
                           check=True).stdout.split()
    wrong = ["%s %s: reader %s, schema %s" % (kind, text, answer, validators[kind].is_valid(json.loads(text)))
             for (kind, text, good), answer in zip(ROWS, heard)
             if (answer == "yes") != good or validators[kind].is_valid(json.loads(text)) != good]
    verdict(2, not wrong and len(heard) == len(ROWS), "schemas and readers take and refuse the same", wrong)
    with open(os.path.join(directory, "e.yaml"), "w", encoding="utf-8") as file:
        file.write(EXPERIMENT.replace("params.json job.json", '"$HYPERDOCK_DIR/params.json" "$HYPERDOCK_DIR/job.json"')
                   .replace(">loss.json", '>"$HYPERDOCK_DIR/loss.json"'))
    out = subprocess.run([hd, "try", "e.yaml"], cwd=directory, capture_output=True, text=True, check=False)
    wrong, rest, written = [], out.stdout.lstrip(), []
    while rest and len(written) < 2:
        try:
            value, end = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            break
        written.append(value)
        rest = rest[end:].lstrip()
    if len(written) != 2:
        wrong = (out.stdout + out.stderr).splitlines()
    else:
        for name, value in zip(("params", "job"), written):
            wrong += [name + ": " + error.message for error in validators[name].iter_errors(value)]
        unknown = set(written[1]) - set(validators["job"].schema["properties"])
        wrong += ["job: the schema does not know " + key for key in unknown]
    verdict(3, not wrong, "what the worker writes is as its schemas say, and they know each key", wrong)
