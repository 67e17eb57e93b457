#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Work directories that travel: two workers whose disks have nothing in common, one of which is lost with
# all that it had. Usage: test_travel.sh HD_NAMESERVER HD_MASTER HD_WORKER
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
# An epoch is one line of the ledger; how many are done stands in the work directory.
cat >target.sh <<'TARGET'
echo "start $HYPERDOCK_JOB $HYPERDOCK_ATTEMPT $HP_WHERE $$" >>ledger
budget=${HYPERDOCK_BUDGET%.*}
[ "$budget" -eq 1 ] || until [ -e go ]; do sleep 0.05; done
epoch=$(cat "$HYPERDOCK_WORK_DIR/epoch" 2>/dev/null || echo 0)
while [ "$epoch" -lt "$budget" ]; do
    epoch=$((epoch + 1))
    echo "epoch $HYPERDOCK_CONFIG_ID $epoch" >>ledger
    head -c 700000 /dev/urandom >"$HYPERDOCK_WORK_DIR/weights.$epoch"
    echo "$epoch" >"$HYPERDOCK_WORK_DIR/epoch.new"
    mv "$HYPERDOCK_WORK_DIR/epoch.new" "$HYPERDOCK_WORK_DIR/epoch"
done
[ "$(cat "$HYPERDOCK_WORK_DIR"/weights.* | wc -c)" -eq $((700000 * budget)) ] || echo "torn $HYPERDOCK_CONFIG_ID" >>ledger
echo "$HP_X" >"$HYPERDOCK_DIR/loss.json"
TARGET
touch ledger
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
cat >travel.yaml <<EXPERIMENT
name: travel
target: {command: [sh, target.sh], retries: {infra: 5}, stop_grace: 1s}
objective: {name: loss, direction: minimize}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: successive_halving, brackets: [[[4, 1], [2, 3], [1, 9]]]}
budget: {min: 1, max: 9}
stop: {iterations: 1}
seed: 7
holder_wait: 1h
lease: 5s
ping: 200ms
EXPERIMENT
"$master" --run-id travel --nameserver "$address" --token-file token --state-dir state --min-workers 2 \
    travel.yaml >master.out 2>master.log &
master_pid=$!
pids="$pids $!"
run_worker() { # run_worker ID [RUN]: the targets say where they are
    "$worker" --nameserver "$address" --token-file token --run-id "${2:-travel}" \
        --work-dir "disk-$1" --worker-id "$1" --env "HP_WHERE=$1" --engine process >>"worker-$1.log" 2>&1 &
    worker_pid=$!
    pids="$pids $!"
}
copies() { [ "$(grep -c "is here for other workers" master.log)" -ge "$1" ]; }
counted() { [ "$(grep -c "$1" ledger)" -ge "$2" ]; }

echo "1..5"
run_worker a
a=$worker_pid
until_true grep -q "hello" master.log
run_worker b
until_true counted "^epoch" 4
until_true copies 4
verdict $? "what may be gone on with has a copy at the master"

# The machine of a is lost, with its disk and with whatever ran there.
until_true counted "^start [45] " 2
kill -9 "$a"
wait "$a" 2>/dev/null
for pid in $(sed -n 's/^start [0-9]* [0-9]* a //p' ledger); do kill -9 "$pid" 2>/dev/null; done
until_true rm -rf disk-a
touch go
until_true grep -q "finished: " master.out
verdict $? "a run goes on when a machine is lost that held its directories"
grep -q "its state has come from another worker" worker-?.log && ! grep -q "from the start" master.log
verdict $? "and its configs go on from the copies"
wait "$master_pid"
[ -z "$(grep "^epoch" ledger | sort | uniq -d)" ] && ! grep -q "^torn" ledger &&
    [ "$(grep -c "^epoch" ledger)" -eq $((4 + 2 * 2 + 6)) ] && [ ! -e state/state.db.depot ]
verdict $? "no epoch is computed twice, and nothing is left of the copies"

# One worker alone has nobody to send to; then another comes, while the first is busy for long.
rm go
sed 's/^name: .*/name: late/; s/brackets: .*/brackets: [[[3, 1], [1, 9]]]}/' travel.yaml >late.yaml
"$master" --run-id late --nameserver "$address" --token-file token --state-dir state-late late.yaml >late.out 2>late.log &
pids="$pids $!"
run_worker c late
until_true grep -q "^start 3 [0-9]* c" ledger
early=$(grep -c "is here for other workers" late.log)
run_worker d late
late_copies() { [ "$(grep -c "is here for other workers" late.log)" -ge 2 ]; }
until_true late_copies && [ "$early" -eq 0 ]
verdict $? "states of before a worker came have copies when it has come"
touch go
until_true grep -q "finished: " late.out
