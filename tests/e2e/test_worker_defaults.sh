#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a worker's owner says for experiments that say nothing, on the command line or by the environment
# as workers of Hyperdock took it. Usage: test_worker_defaults.sh HD_NAMESERVER HD_MASTER HD_WORKER
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
mkdir mine theirs
cat >target.sh <<'TARGET'
echo "$HYPERDOCK_RUN_ID $HYPERDOCK_DATA_DIR" >>"$LEDGER"
echo 1 >"$HYPERDOCK_DIR/loss.json"
TARGET
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
run() { # run NAME DATA: one job of an experiment with this data
    cat >"$1.yaml" <<EXPERIMENT
name: $1
target: {command: [sh, target.sh], data: $2, env: {LEDGER: $dir/ledger}}
objective: loss
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: random
stop: {configs: 1}
EXPERIMENT
    "$master" --run-id "$1" --nameserver "$address" --token-file token --state-dir "state-$1" \
        "$1.yaml" >"$1.out" 2>"$1.log" &
    pids="$pids $!"
    until_true grep -q "finished: " "$1.out"
}
says() { # says TEXT OPTION...: the worker refuses to start, and says why
    text=$1
    shift
    "$worker" --nameserver "$address" --token-file token "$@" >refused.log 2>&1
    [ $? -eq 2 ] && grep -q "$text" refused.log
}

echo "1..4"
HYPERDOCK_RESULT_DIR=results HYPERDOCK_DATA_DIR=mine "$worker" --nameserver "$address" \
    --token-file token --engine process >worker.log 2>&1 &
pids="$pids $!"
run plain null && grep -q "^plain $dir/mine$" ledger
verdict $? "an experiment without data gets that of the worker"
run own ./theirs && grep -q "^own $dir/theirs$" ledger
verdict $? "and one with data its own"
[ -d results/plain/run/0-1 ] && [ ! -e hyperdock-work ]
verdict $? "results are where the worker was told"
says "nowhere is no directory here" --data-dir nowhere && says '"a b" is no name of a runtime' --runtime "a b"
verdict $? "what cannot be is refused at the start"
