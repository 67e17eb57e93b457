#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""targets.py BUILD SUITE... [-SUITE...]: what ninja has to make for the tests of these suites, without those of the ones with a minus."""
import json, os, sys

build, wanted = sys.argv[1], {word for word in sys.argv[2:] if word[0] != "-"}
unwanted = {word[1:] for word in sys.argv[2:] if word[0] == "-"}

def read(name):
    with open(os.path.join(build, "meson-info", name)) as file:
        return json.load(file)

files = {target["id"]: target["filename"] for target in read("intro-targets.json")}
owners = {name: target for target, names in files.items() for name in names}
needed = set()
for test in read("intro-tests.json"):
    suites = {suite.split(":")[-1] for suite in test["suite"]}
    if suites & wanted and not suites & unwanted:
        needed.update(test["depends"])
        words = test["cmd"] + list(test["env"].values())
        needed.update(owners[word] for word in words if word in owners)
top = os.path.realpath(build)
for target in sorted(needed):
    for name in files[target]:
        print(os.path.relpath(name, top))
