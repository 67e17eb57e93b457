#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Command lines and keys as people of HpBandSter and UltraOpt know them do what they did there.
# Usage: test_old_spellings.sh HD_NAMESERVER HD_MASTER HD_WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
XDG_CONFIG_HOME=$dir/config # the token is the user's
export XDG_CONFIG_HOME
mkdir -p config creds
cat >old.yaml <<'EXPERIMENT'
name: old
target: {command: [sh, -c, 'echo "$HP_X" >"$HYPERDOCK_DIR/loss.json"']}
objective: loss
space: {x: {type: float, low: 0, high: 1}}
optimizer: ETPE
iter_generator: HyperBand
ping: 200ms
EXPERIMENT
closed() { "$hd" jobs "$@" --json | grep -c '"state": "closed"'; }

echo "1..7"
"$nameserver" --nic_name lo --port 0 --working_directory creds --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
case $address in 127.0.0.1:*) true ;; *) false ;; esac
verdict $? "a nameserver listens on the interface named, and says where"
! "$master" old.yaml --run_id old --nameserver "$address" --token-file token --state-dir refused --min_budget 1 --max_budget 9 \
    --fixed_queue_size --job_queue_sizes=-1,0 \
    >refused.log 2>&1 && grep -q queue refused.log
verdict $? "a fixed queue without room, with which theirs waits for ever, is refused"
"$master" old.yaml --run_id old --nameserver "$address" --nic_name lo --token-file token --working_directory "$dir" --min_budget 1 --max_budget 9 \
    --eta 3 --n_iterations 1 --random_state 7 --time_left_for_this_task 90 --min_n_workers 1 --checkpoint_file state.db --ping_interval 1 \
    --job_queue_sizes=-1,0 --dynamic_queue_size --shutdown_workers >master.out 2>master.log &
runs=$!
pids="$pids $runs"
until_true test -s creds/hyperdock-old.json
"$worker" --run_id old --working_directory creds --id w-1 --timeout 60 --work-dir work --engine process >worker.log 2>&1 &
served=$!
pids="$pids $served"
wait "$runs"
verdict $? "a master takes every parameter of theirs that there is here, and its run ends"
[ "$(closed --state-dir state.db)" -eq 13 ] && "$hd" workers --state-dir state.db | grep -q '^w-1 '
verdict $? "one iteration of Hyperband from 1 to 9 is 13 jobs, by the worker of that name"
until_true gone "$served" && grep -q ' left$' worker.log
verdict $? "a worker finds its nameserver by the shared directory, and is told to leave"
"$hd" run old.yaml --n_jobs 1 --n_iterations 1 --random_state 7 --min_budget 1 --max_budget 9 --state-dir again --engine process >run.out 2>run.log &&
    [ "$(closed --state-dir again)" -eq 13 ]
verdict $? "hd run takes those of fmin"
"$hd" run old.yaml --run-id third --n_iterations 1 --min_budget 1 --max_budget 9 --previous_result state.db --state-dir third --engine process >third.out 2>third.log &&
    grep -q '13 results' third.log
verdict $? "earlier results are a prior"
