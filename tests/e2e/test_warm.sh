#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Warm targets under hd run: the examples, and one whose processes and workers are killed in the middle of jobs.
# Usage: test_warm.sh HD WARM EXAMPLE_DIR
set -u
hd=$1
warm=$2
example=$3
dir=$(mktemp -d) || exit 1
trap 'cd / && rm -rf "$dir"' EXIT
cd "$dir" || exit 1
cp "$warm" warm && cp "$example/warm.py" "$example/experiment.yaml" . || exit 1
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || { echo "not ok $number - $2"; sed 's/^/# /' run.out run.err; }
}
echo 1..6

"$hd" run experiment.yaml --state-dir c --workers 2 --seed 3 >run.out 2>run.err && grep -q '^jobs: 100 done, 100 ok' run.out
verdict $? "the example in C evaluates 100 configs"
sed 's|\[./warm\].*|[python3, warm.py]|; s|configs: 100|configs: 40|' experiment.yaml >python.yaml
echo 'budget: {min: 1, max: 3}' >>python.yaml
"$hd" run python.yaml --state-dir python --workers 1 --seed 3 >run.out 2>run.err && grep -q '^jobs: 40 done, 40 ok' run.out
verdict $? "the example in Python too"
[ -n "$(find "$dir" -name metrics.jsonl -size +0 | head -n 1)" ]
verdict $? "its points are in the files of the attempts"

# Each process counts itself. The first dies in its 10th job and the second kills the worker in its 10th, who is known from the socket.
cat >killer.py <<'END'
import json, os, signal, socket, struct
with open("processes", "a+") as file:
    file.write("%d\n" % os.getpid())
    file.seek(0)
    count = len(file.readlines())
connection = socket.socket(socket.AF_UNIX)
connection.connect(os.environ["HYPERDOCK_SOCKET"])
worker = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
lines = connection.makefile("rw")
for done, line in enumerate(lines):
    job = json.loads(line)
    if done == 9 and count <= 2:
        os.kill(os.getpid() if count == 1 else worker, signal.SIGKILL)
    print(json.dumps({"id": job["id"], "loss": job["params"]["x"]}), file=lines, flush=True)
END
cat >killer.yaml <<'END'
target: {command: [python3, killer.py], warm: true, retries: {infra: 0, failed: 0}}
objective: loss
space: {x: {type: float, low: 0, high: 1}}
sampler: {name: random}
stop: {configs: 40}
END
"$hd" run killer.yaml --state-dir killer --workers 1 --seed 3 >run.out 2>run.err && grep -q '^jobs: 40 done, 40 ok' run.out
verdict $? "a killed target and a killed worker cost no result, and no retry"
[ "$(wc -l <processes)" -eq 3 ]
verdict $? "three processes did it"
alive=0
while read -r pid; do kill -0 "$pid" 2>/dev/null && alive=1; done <processes
verdict $alive "none of them is left"
