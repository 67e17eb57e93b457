#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A new run begins with what earlier ones know: taken from a run beside it, a checkpoint, an export, a
# table written by hand and HpBandSter's files; counted as no jobs of it, and durable with it.
# Usage: test_warm_start.sh NAMESERVER MASTER WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4

cat >target.sh <<'TARGET'
echo "$HP_X" | awk '{ printf "%.9f\n", ($1 - 0.3) * ($1 - 0.3) }' >"$HYPERDOCK_DIR/loss.json"
TARGET
experiment() { # experiment NAME HIGH
    cat <<EXPERIMENT
name: $1
target: {command: [sh, target.sh]}
objective: loss
space:
  x: {type: float, low: 0, high: $2}
  extra: {type: int, low: 1, high: 4, default: 2}
sampler: {name: tpe, n_startup: 5}
stop: {configs: 8}
seed: 3
EXPERIMENT
}
experiment first 1 >first.yaml
experiment second 0.9 >second.yaml
run() { "$hd" run "$@" --workers 1 >out.log 2>err.log; }
status() { "$hd" status "$1" --state-dir "$2" --json | tr -d ' ,'; }

run first.yaml --state-dir one
verdict $? "a first run finishes"
"$hd" export first --state-dir one >first.csv
"$hd" export first --state-dir one --format json >first.json

run second.yaml --state-dir one --warm-start first &&
    grep -q '^warm start: [1-8] results taken' err.log &&
    status second one | grep -q '^"known":[1-8]$' &&
    [ "$("$hd" jobs second --state-dir one --json | grep -c '"job":')" = 8 ] &&
    "$hd" jobs second --state-dir one --json | tr -d ' ,' | grep -q '"sampler":"tpe"'
verdict $? "a run begins with the results of a run beside it, which are no jobs of its own"

configs() { "$hd" export second --state-dir "$1" | tr -d '\r' | sed 's/.*Z,//'; }
configs one >expected
run second.yaml --state-dir again --previous-result one/state.db:first --previous-result first.csv &&
    configs again | cmp -s - expected &&
    run second.yaml --state-dir json --previous-result first.json && configs json | cmp -s - expected
verdict $? "a checkpoint and both exports teach the same: the same seed proposes the same"

mkdir hpbandster
echo '[[0,0,0],{"x":0.25},{"model_based_pick":false}]' >hpbandster/configs.json
echo '[[0,0,0],1.0,{},{"loss":0.5,"info":{}},null]' >hpbandster/results.json
printf 'params.x,loss\n0.5,0.25\n7,1\n' >hand.csv
run second.yaml --state-dir two --warm-start hpbandster --warm-start hand.csv &&
    grep -q '^warm start: 2 results taken; left out: 1 with params' err.log
verdict $? "results of HpBandSter and of a table by hand are taken together, and what does not fit is told"

! run second.yaml --state-dir three --warm-start nowhere && grep -q 'no run and no file of that name' err.log
verdict $? "a source that is not there is an error"
! run second.yaml --state-dir three --warm-start second.yaml && grep -q 'no table of results' err.log
verdict $? "a file that holds no results is an error"

"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
experiment live 1 >live.yaml
"$master" live.yaml --state-dir one --nameserver "$(tr " " ":" <address)" --token-file token >master.log 2>&1 &
server=$!
pids="$pids $server"
until_true grep -q 'hd-worker --nameserver' master.log
"$hd" submit second.yaml --run-id later --state-dir one --warm-start first >out.log 2>err.log &&
    grep -q '^warm start: [1-8] results taken' err.log && status later one | grep -q '^"known":[1-8]$'
verdict $? "a run that is submitted to a live master begins likewise"
kill -9 "$server"
until_true gone "$server"
rm first.csv first.json
"$hd" fsck one >out.log
verdict $? "what it knows is part of the checkpoint, which restores after a kill"
echo "1..$number"
