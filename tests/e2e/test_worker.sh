#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A real worker with real targets, killed and asked to leave at the worst moments. The targets keep
# a ledger of their own. Usage: test_worker.sh HD_NAMESERVER HD_MASTER HD_WORKER
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
cat >target.sh <<'TARGET'
echo "start $HYPERDOCK_JOB" >>ledger
until [ -e go ] || [ -e "go.$HYPERDOCK_JOB" ]; do sleep 0.05; done
echo 1 >"$HYPERDOCK_DIR/loss.json"
echo "end $HYPERDOCK_JOB" >>ledger
TARGET
cat >experiment.yaml <<'EXPERIMENT'
name: t
target: {command: [sh, target.sh], retries: 0, stop_grace: 1s}
objective: {name: loss, direction: minimize}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 5}
EXPERIMENT

"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
"$master" --run-id t --nameserver "$address" --token-file token --state-dir state \
    --ping-interval 200ms experiment.yaml >master.out 2>master.log &
pids="$pids $!"

run_worker() {
    "$worker" --nameserver "$address" --token-file token --run-id t --work-dir work \
        --engine process >>worker.log 2>&1 &
    pid=$!
    pids="$pids $pid"
}
started_once() { [ "$(grep -c "^start $1\$" ledger)" -eq 1 ]; }

echo "1..9"
run_worker
until_true grep -q "^start 0$" ledger
kill -9 "$pid" && wait "$pid" 2>/dev/null
run_worker
until_true grep -q "job 0, attempt 1: found again" worker.log
verdict $? "a worker that starts again takes up what runs"
touch go.0
until_true grep -q "job 0: ok" master.log && started_once 0
verdict $? "its result is accepted, and it ran once"

until_true grep -q "^start 1$" ledger
kill -9 "$pid" && wait "$pid" 2>/dev/null
touch go.1
until_true grep -q "^end 1$" ledger
run_worker
until_true grep -q "job 1: ok" master.log && started_once 1
verdict $? "what ended while no worker lived is harvested"

until_true grep -q "^start 2$" ledger
kill -TERM "$pid"
until_true grep -q "draining: 1 running" worker.log && kill -0 "$pid"
verdict $? "a worker that is asked to leave finishes what it runs"
touch go.2
wait "$pid"
verdict $? "then it leaves with status 0"
grep -q "job 2: ok" master.log && started_once 2
verdict $? "having reported it"

run_worker
until_true grep -q "^start 3$" ledger
# The one before has said so too, and two signals that come at once are one.
times_said() { [ "$(grep -c "once more to stop" worker.log)" -eq "$1" ]; }
kill -TERM "$pid"
until_true times_said 2
kill -TERM "$pid"
wait "$pid"
verdict $? "asked twice it stops its target and leaves with status 0"
grep -q "job 3: preempted" master.log
verdict $? "and says that it had to"
touch go
run_worker
wait "$pid" && until_true grep -q "finished: 5 configs done" master.out &&
    [ "$(grep -c "^start 3$" ledger)" -eq 2 ] && [ -z "$(ls -A work/.hyperdock-workers/*/attempts)" ] &&
    [ -z "$(ls -A work/.hyperdock-workers/*/process)" ]
verdict $? "the next worker ends the run, which charges nothing, and nothing is left to remember"
