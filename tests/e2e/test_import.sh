#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Files of older systems, as a person takes them over: import, check, run, look. Usage: test_import.sh HD
set -u
hd=$1
dir=$(mktemp -d) || exit 1
trap 'cd / && rm -rf "$dir"' EXIT
cd "$dir" || exit 1
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || { echo "not ok $number - $2"; sed 's/^/# /' ./*.out; }
}
# As mlframework's own examples have it.
cat >parameters.yml <<'FILE'
# comments stay possible
epoch: !!python/tuple [10,30,5]
batchsize: 100
gpu: "-1"
unit: [1000]
decay: !!python/tuple [0,0.8,0.2]
tfdif: True
nodif: False
FILE
# As Hyperdock's database gives it away, and as its form sends it.
cat >stored.json <<'FILE'
{"_id": "5b1e2f", "name": "MNIST sweep", "start_time": -1, "end_time": -1, "created_on": {"$date": "2018-06-01T00:00:00Z"},
 "data": {"docker": {"image": "erikgartner/hyperdock-demo:latest", "runtime": "", "environment": ["FUNCTION=a+b"]},
          "volumes": {"results": "/home/me/results", "data": ""}},
 "param_space": [{"a": {"hdock_distr": "expon", "hdock_samples": 2, "hdock_seed": 1, "hdock_distr_kwargs": {"scale": 5}}, "b": [1, 2, 3]}],
 "retries": 5, "priority": 0}
FILE
cat >sent.json <<'FILE'
{"name": "x", "docker_image": "erikgartner/hyperdock-demo:latest", "docker_runtime": "", "results_path": "./results", "data_path": "",
 "param_space": "{\n \"learning_rate\": [0.1, 0.01],\n \"solver\": \"adam\", \"layers\": [16, 32]}",
 "docker_environment": ["FUNCTION=learning_rate*2"], "retries": 5, "priority": 1}
FILE
echo 1..8
"$hd" import parameters.yml --command 'echo train' --output p.yaml >import.out 2>&1 && "$hd" check p.yaml >check.out 2>&1 &&
    grep -q '^5 params, 16 configs$' check.out && grep -q '^ends when every config has been tried, all 16$' check.out
verdict $? "mlframework's parameters.yml is an experiment with its 16 combinations, and an end"
"$hd" run p.yaml --state-dir state --engine process --workers 2 >run.out 2>&1 && grep -q '16 ok' run.out &&
    grep -q '^nothing is optimized' run.out && ! grep -q '^best' run.out
verdict $? "it runs, and nothing is called the best of what has no objective"
[ "$("$hd" logs 0 --state-dir state)" = "train --tfdif --epoch=10 --batchsize=100 --gpu=-1 --unit=1000 --decay=0.0" ]
verdict $? "each param is an option, a flag is bare, and the first one is the slowest"
"$hd" status --state-dir state >status.out 2>&1 && grep -q '^objective  *none' status.out && "$hd" best --state-dir state >best.out 2>&1 &&
    grep -q '^nothing is optimized here' best.out
verdict $? "hd status and hd best say so"
echo 'objective: loss' | cat p.yaml - >measured.yaml
"$hd" export --state-dir state >all.csv && [ "$(grep -c '^[0-9]*,"[^"]*",1,,ok,' all.csv)" -eq 16 ] &&
    ! "$hd" export --state-dir state --format json | grep -q '"loss":0' && ! "$hd" runs --state-dir state | grep -q loss &&
    ! "$hd" explain 3 --state-dir state | grep -qE 'loss|in its rung' &&
    "$hd" best --state-dir state --json | grep -q '"best": \[\]' && ! "$hd" show best --state-dir state >/dev/null 2>best.out &&
    grep -q 'no job has a result' best.out &&
    ! "$hd" run measured.yaml --state-dir other --warm-start state >warm.out 2>&1 && grep -q 'it has no objective' warm.out &&
    ! "$hd" run measured.yaml --state-dir other --warm-start all.csv >warm.out 2>&1 && grep -q 'left out: 16 that do not say all objectives' warm.out
verdict $? "no number is told as its result, and no other run learns one"
"$hd" import stored.json --output stored.yaml >import.out 2>&1 && "$hd" check stored.yaml >check.out 2>&1 && grep -q '6 configs$' check.out &&
    grep -q 2.698029186295927 check.out
verdict $? "a stored trial of Hyperdock is an experiment with the values that it drew"
"$hd" import sent.json --output sent.yaml >import.out 2>&1 && "$hd" check sent.yaml >check.out 2>&1 && grep -q '4 configs$' check.out
verdict $? "one as its form sends it, too"
! "$hd" import parameters.yml >import.out 2>&1 && grep -q 'add --command' import.out
verdict $? "what the file cannot say is asked for"
