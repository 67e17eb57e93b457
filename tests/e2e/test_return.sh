#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What workers find when they come back, and what is left of those that do not: a master that was away,
# a lease that is gone, a target that nobody owns, a disk that is too small. Usage: test_return.sh HD_NAMESERVER HD_MASTER HD_WORKER
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
cat >target.sh <<'TARGET'
echo "start $HYPERDOCK_RUN_ID $HYPERDOCK_JOB $HYPERDOCK_ATTEMPT $$" >>ledger
until [ -e "go.$HYPERDOCK_RUN_ID" ]; do sleep 0.05; done
echo 1 >"$HYPERDOCK_DIR/loss.json"
echo "end $HYPERDOCK_RUN_ID $HYPERDOCK_JOB $HYPERDOCK_ATTEMPT" >>ledger
TARGET
touch ledger
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
lease=30s
run_master() { # run_master NAME [OPTION...]: the run NAME, one config
    name=$1
    shift
    cat >"$name.yaml" <<EXPERIMENT
name: $name
target: {command: [sh, target.sh], retries: {infra: 5}, stop_grace: 1s}
objective: {name: loss, direction: minimize}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 1}
lease: $lease
ping: 200ms
EXPERIMENT
    "$master" --run-id "$name" --nameserver "$address" --token-file token --state-dir "state-$name" \
        "$name.yaml" "$@" >>"$name.out" 2>>"$name.log" &
    master_pid=$!
    pids="$pids $!"
}
run_worker() { # run_worker RUN WORK-DIR ID
    "$worker" --nameserver "$address" --token-file token --run-id "$1" --work-dir "$2" --worker-id "$3" \
        --engine process >>"worker-$3.log" 2>&1 &
    worker_pid=$!
    pids="$pids $!"
}
kill_now() { kill -9 "$1" && wait "$1" 2>/dev/null; }
pid_of() { sed -n "s/^start $1 0 $2 //p" ledger; }

echo "1..10"
run_master away
run_worker away work-a a
until_true grep -q "^start away 0 1 " ledger
kill_now "$master_pid"
touch go.away
until_true grep -q "job 0, attempt 1: ok" worker-a.log
kill_now "$worker_pid"
run_worker away work-a a
until_true grep -q "job 0, attempt 1: its result waits for master" worker-a.log
verdict $? "a result waits on disk while the master is away, through the worker's own death"
run_master away --resume
until_true grep -q "finished: 1 configs done" away.out && [ "$(grep -c "^start away" ledger)" -eq 1 ]
verdict $? "and is accepted when it is back: nothing ran twice"

lease=1s
run_master gone
run_worker gone work-a b
until_true grep -q "^start gone 0 1 " ledger
first=$(pid_of gone 1)
kill_now "$worker_pid"
until_true grep -q "the lease on b expired" gone.log
run_worker gone work-b c
second_pid=$worker_pid
until_true grep -q "^start gone 0 2 " ledger
kill -0 "$first"
verdict $? "a dead worker's target runs on until somebody sees to it"
run_worker gone work-a b
until_true gone "$first"
verdict $? "the worker that comes back ends the target whose lease is gone"
touch go.gone
wait "$second_pid"
until_true grep -q "finished: 1 configs done" gone.out && ! grep -q "^end gone 0 1$" ledger
verdict $? "and the later attempt counts"

run_master left
run_worker left work-d d
until_true grep -q "^start left 0 1 " ledger
first=$(pid_of left 1)
kill_now "$worker_pid"
until_true grep -q "the lease on d expired" left.log
run_worker left work-d e
until_true grep -q "^start left 0 2 " ledger
kill -0 "$first"
verdict $? "a worker that has just died may come back: its neighbour leaves its target alone"
kill_now "$worker_pid"
touch -d '1 hour ago' work-d/.hyperdock-workers/d/alive
(cd work-d/.hyperdock-workers/d && mkdir -p incoming/copy-c0-1-1 pieces && touch travelling.tar pieces/x)
half_made_is_gone() { [ -z "$(cd work-d/.hyperdock-workers/d && ls -d incoming pieces travelling.tar 2>/dev/null)" ]; }
run_worker left work-d f
until_true gone "$first" && grep -q "worker d died and left it running" worker-f.log
verdict $? "when it has been dead for long, the next one ends what it left"
until_true half_made_is_gone
verdict $? "and removes what it had half made"
touch go.left

cat >small.sh <<'TARGET'
echo "$HYPERDOCK_BUDGET" >"$HYPERDOCK_WORK_DIR/state"
echo "$HYPERDOCK_JOB" >"$HYPERDOCK_DIR/loss.json"
TARGET
cat >small.yaml <<'EXPERIMENT'
name: small
target: {command: [sh, small.sh]}
objective: {name: loss, direction: minimize}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: successive_halving, eta: 2}
budget: {min: 1, max: 4}
stop: {iterations: 2}
EXPERIMENT
"$master" --run-id small --nameserver "$address" --token-file token --state-dir state-small small.yaml \
    >small.out 2>small.log &
pids="$pids $!"
"$worker" --nameserver "$address" --token-file token --run-id small --work-dir work-s --work-limit 1KiB --engine process \
    >worker-s.log 2>&1 &
pids="$pids $!"
until_true grep -q "finished: all iterations done" small.out &&
    until_true rmdir work-s/small/cfg && grep -q "work-limit: .* is removed" worker-s.log
verdict $? "with no room for states the run ends all the same, and none is left"

# keep_work: what no config goes on from is removed as the run goes on, and when it is over.
sed -e 's/name: small/name: kept/' small.yaml >kept.yaml
echo "keep_work: incumbent" >>kept.yaml
"$master" --run-id kept --nameserver "$address" --token-file token --state-dir state-kept kept.yaml \
    >kept.out 2>kept.log &
pids="$pids $!"
"$worker" --nameserver "$address" --token-file token --run-id kept --work-dir work-k --engine process \
    >worker-k.log 2>&1 &
pids="$pids $!"
one_is_left() {
    [ "$(find work-k/kept/cfg -mindepth 1 -type d | wc -l)" -eq 1 ]
}
until_true grep -q "finished: all iterations done" kept.out && until_true one_is_left &&
    best=$(find work-k/kept/cfg -mindepth 1 -type d) && [ "$(cat "$best/state")" = 4 ] &&
    grep -q "keep_work: .* is removed" worker-k.log
verdict $? "of configs that cannot go on any more the incumbent's directory alone is left"
