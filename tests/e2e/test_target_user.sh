#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Commands of a worker that is root, as another user: who they are, what they may write, whose it is
# afterwards, and who may not ask for it. Usage: test_target_user.sh HD_NAMESERVER HD_MASTER HD_WORKER
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
if [ "$(id -u)" -ne 0 ] || ! id nobody >/dev/null 2>&1; then
    echo "1..0 # SKIP only root may start programs as nobody"
    exit 0
fi
chmod 755 .
mkdir books && chmod 777 books
cat >target.sh <<'TARGET'
books=${0%/*}/books
{ id -un && id -G && echo "$HOME $USER"; } >"$books/who"
touch "$HYPERDOCK_DIR/../../mine" 2>/dev/null && exit 3
[ -e "$HYPERDOCK_WORK_DIR/before" ] && stat -c %U "$HYPERDOCK_WORK_DIR/before" >>"$books/owners"
echo "$HYPERDOCK_BUDGET" >"$HYPERDOCK_WORK_DIR/before" || exit 4
echo 1 >"$HYPERDOCK_DIR/loss.json"
TARGET
chmod 755 target.sh
cat >experiment.yaml <<EXPERIMENT
name: t
target: {command: [sh, $PWD/target.sh], retries: 0}
objective: loss
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: successive_halving, eta: 2}
budget: {min: 1, max: 2}
stop: {iterations: 1}
EXPERIMENT
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
run_worker() { "$worker" --nameserver "$address" --token-file token --run-id t --work-dir work --engine process "$@"; }

echo "1..5"
run_worker --target-user no.such.user >refused.log 2>&1
verdict $(($? == 0)) "a user that is not there is refused"
grep -q "target-user no.such.user: there is no such user" refused.log
verdict $? "and named"
"$master" --run-id t --nameserver "$address" --token-file token --state-dir state experiment.yaml >master.out 2>master.log &
master_pid=$!
pids="$pids $master_pid"
run_worker --target-user nobody >worker.log 2>&1 &
pid=$!
pids="$pids $pid"
wait "$master_pid" && grep -q "finished.*3 jobs (3 ok, 0 failed)" master.out
verdict $? "the run ends well, over two budgets in one directory"
[ "$(sed -n 1p books/who)" = nobody ] && [ "$(sed -n 2p books/who)" = "$(id -G nobody)" ] &&
    [ "$(sed -n 3p books/who)" = "$(getent passwd nobody | cut -d: -f6) nobody" ]
verdict $? "targets are that user, with his groups and home"
[ "$(cat books/owners)" = root ]
verdict $? "what they left is the owner's, and the next budget's target may write it all the same"
until_true gone "$pid"
