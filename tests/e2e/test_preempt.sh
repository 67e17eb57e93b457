#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Workers that have to leave: by a signal with a grace, by their own end; what they hand back is gone on
# with. Usage: test_preempt.sh HD_NAMESERVER HD_MASTER HD_WORKER
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
# Counts to ten, one a step, and keeps how far it came; looks for the wish to stop at every step.
cat >counting.sh <<'TARGET'
kept=$HYPERDOCK_WORK_DIR/kept
at=$(cat "$kept" 2>/dev/null || echo 0)
echo "$HYPERDOCK_ATTEMPT from $at" >>ledger
while [ "$at" -lt 10 ]; do
    if [ -e "$HYPERDOCK_DIR/control/stop" ]; then
        echo "stopped at $at" >>ledger
        echo 5 >"$HYPERDOCK_DIR/loss.json"
        exit 0
    fi
    until [ -e "go.$at" ] || [ -e "$HYPERDOCK_DIR/control/stop" ]; do sleep 0.05; done
    [ -e "go.$at" ] && at=$((at + 1))
    echo "$at" >"$kept.new" && mv "$kept.new" "$kept"
done
echo 1 >"$HYPERDOCK_DIR/loss.json"
TARGET
cat >deaf.sh <<'TARGET'
echo "deaf $HYPERDOCK_ATTEMPT" >>ledger
until [ -e go ]; do sleep 0.05; done
echo 1 >"$HYPERDOCK_DIR/loss.json"
TARGET
cat >slow.sh <<'TARGET'
echo "slow $HYPERDOCK_JOB" >>ledger
sleep 8
echo 1 >"$HYPERDOCK_DIR/loss.json"
TARGET
experiment() { # experiment NAME CHECKPOINT CONFIGS
    cat >"$1.yaml" <<EXPERIMENT
name: $1
target: {command: [sh, $1.sh], retries: 0, stop_grace: 1s, checkpoint: $2}
objective: {name: loss, direction: minimize}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: $3}
EXPERIMENT
}
experiment counting true 1
experiment deaf true 1
experiment slow false 3

"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
run_master() { # run_master NAME
    "$master" --run-id "$1" --nameserver "$address" --token-file token --state-dir "state-$1" \
        --ping-interval 200ms "$1.yaml" >"$1.out" 2>"$1.log" &
    pids="$pids $!"
}
run_worker() { # run_worker NAME OPTION...
    run=$1
    shift
    "$worker" --nameserver "$address" --token-file token --run-id "$run" --work-dir work \
        --engine process "$@" >>worker.log 2>&1 &
    pid=$!
    pids="$pids $pid"
}
count() { grep -c "$1" "$2"; }

echo "1..9"
run_master counting
run_worker counting --grace 1h
until_true grep -q "^1 from 0$" ledger
touch go.0 go.1 go.2
until_true grep -q 3 work/counting/cfg/c0-0-1/kept
kill -TERM "$pid"
wait "$pid"
verdict $? "told that its machine goes away, a worker leaves with status 0 as soon as its target has stopped"
grep -q "^stopped at 3$" ledger && grep -q "job 0: preempted on attempt 1" counting.log
verdict $? "its target was asked before any signal, and what it left is no result"
touch go.3 go.4 go.5 go.6 go.7 go.8 go.9
run_worker counting
wait "$pid" && grep -q "^2 from 3$" ledger
verdict $? "the next worker goes on from what was kept"
until_true grep -q "finished: 1 configs done" counting.out && grep -q "loss 1 " counting.log
verdict $? "and nothing was charged: the run, which allows no retry, ends well"

run_master deaf
run_worker deaf --grace 1h
until_true grep -q "^deaf 1$" ledger
kill -TERM "$pid"
until_true test -e work/deaf/run/0-1/control/stop && kill -0 "$pid" && ! grep -q "deaf.*preempted" deaf.log
verdict $? "a target that does not listen has the grace for itself"
kill -TERM "$pid"
wait "$pid" && grep -q "job 0: preempted on attempt 1" deaf.log
verdict $? "a second signal ends it"
run_worker deaf --until 12s --grace 2s
wait "$pid" && grep -q "time is over" worker.log && grep -q "job 0: preempted on attempt 2" deaf.log
verdict $? "a worker that knows its end stops its targets and is gone by itself"

run_master slow
run_worker slow
until_true grep -q "job 0: ok" slow.log && until_true grep -q "^slow 1$" ledger
kill -9 "$pid" && wait "$pid" 2>/dev/null
"$worker" --nameserver "$address" --token-file token --run-id slow --work-dir other --engine process \
    --until 17s --grace 10s >>short.log 2>&1
[ $? -eq 0 ] && ! grep -q started short.log && grep -q "wait for another" slow.log
verdict $? "a worker that leaves before a job can end takes none"
SLURM_JOB_END_TIME=$(($(date +%s) + 20)) "$worker" --nameserver "$address" --token-file token --run-id slow \
    --work-dir third --engine process --grace 60s >slurm.log 2>&1
[ $? -eq 0 ] && grep -q "leaving in" slurm.log && grep -q "time is over" slurm.log
verdict $? "Slurm's word for the end is taken"
