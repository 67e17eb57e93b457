#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""summarize.py DIR STAGE...: counts what scripts/test ran.

Reads DIR/STAGE/meson-logs/testlog.json of each stage and DIR/stages.result (lines "passed|failed|skipped NAME").
A test's own TAP lines count one each, any other test as one; a test that ended badly without a
line that says so counts as one failure more. Prints the names of what failed and was skipped with the
last lines that a failed test printed (a log's end is what people and machines keep), and writes
"PASSED FAILED SKIPPED SKIPPED_DOCKER" to DIR/counts.result.
"""
import json, os, re, sys

work, stages = sys.argv[1], sys.argv[2:]
TAIL_LINES, TAIL_CHARACTERS = 60, 8000
passed, failed, skipped, said = [], [], [], []
bins = {"passed": passed, "failed": failed, "skipped": skipped}
tap = re.compile(r"^(not )?ok\b(?: +\d+)?(?: +-)? *([^#\n]*?) *(?:# *(?:SKIP|TODO)\b *(.*))?$", re.I | re.M)

def last_words(record):
    text = (record.get("stdout") or "") + (record.get("stderr") or "")
    return "\n".join(text[-TAIL_CHARACTERS:].splitlines()[-TAIL_LINES:])

def add_test(stage, record):
    before = len(failed)
    count_test(stage, record)
    if len(failed) > before:
        said.append((stage + ": " + record["name"].removeprefix("hyperdock:"), last_words(record)))

def count_test(stage, record):
    name = stage + ": " + record["name"].removeprefix("hyperdock:")
    result = record["result"]
    lines = [match.groups() for match in tap.finditer(record.get("stdout") or "")]
    if not lines:
        kind = {"OK": passed, "EXPECTEDFAIL": passed, "SKIP": skipped}.get(result, failed)
        kind.append(name + (" (" + result.lower() + ")" if kind is failed else ""))
        return
    failures = 0
    for bad, label, directive in lines:
        case = name + ": " + (label or directive or "")
        if directive is not None:
            skipped.append(case)
        elif bad:
            failed.append(case)
            failures += 1
        else:
            passed.append(case)
    # meson calls a skipped case a failed one; the program itself ended well.
    only_skips = record.get("returncode") == 0 and result == "FAIL"
    if result not in ("OK", "SKIP") and failures == 0 and not only_skips:  # crashed, timed out, bad plan
        failed.append(name + " (" + result.lower() + ")")

if os.path.exists(work + "/stages.result"):
    for line in open(work + "/stages.result"):
        kind, name = line.rstrip("\n").split(" ", 1)
        bins[kind].append(name)
for stage in stages:
    path = work + "/" + stage + "/meson-logs/testlog.json"
    if os.path.exists(path):
        for line in open(path):
            add_test(stage, json.loads(line))
for title, names in (("Failed", failed), ("Skipped", skipped)):
    if names:
        print(title + ":")
        for name in names:
            print("  " + name)
for name, words in said:
    print("---- " + name + " said at the end:")
    print(words)
docker = sum("docker" in name.lower() for name in skipped)
with open(work + "/counts.result", "w") as out:
    print(len(passed), len(failed), len(skipped), docker, file=out)
