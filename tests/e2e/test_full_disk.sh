#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker whose disk is full: its jobs run elsewhere, it is left alone, and people are told why.
# Usage: test_full_disk.sh HD_NAMESERVER HD_MASTER HD_WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
# A small disk of its own, which that worker alone sees.
apart="unshare -m"
[ "$(id -u)" = 0 ] || apart="unshare -r -m"
if ! $apart mount -t tmpfs none "$dir" 2>/dev/null; then
    echo "1..0 # SKIP nothing can be mounted here"
    exit 0
fi
cat >full.yaml <<'EXPERIMENT'
name: full
target:
  command: [sh, -c, 'echo "$HP_X" >"$HYPERDOCK_DIR/loss.json"']
  retries: {infra: 1}
objective: loss
space: {x: {type: int, low: 1, high: 12}}
sampler: {name: grid}
iteration_generator: full
stop: {configs: 6}
ping: 200ms
EXPERIMENT
mkdir disk
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
# shellcheck disable=SC2086 # several words
$apart sh -c 'mount -t tmpfs -o size=1m none disk && exec "$@"' sh "$worker" --nameserver "$address" --token-file token \
    --run-id full --work-dir disk/work --worker-id small --engine process >small.log 2>&1 &
small=$!
pids="$pids $small"
until_true grep -q "worker small" small.log || exit 1
seen=/proc/$small/root$PWD/disk
head -c 2000000 /dev/zero >"$seen/filler" 2>/dev/null
"$master" --run-id full --nameserver "$address" --token-file token --state-dir state full.yaml >full.out 2>master.log &
pids="$pids $!"
quarantined() { "$hd" workers --state-dir state | grep '^small .*quarantined'; }

echo "1..4"
until_true quarantined >/dev/null
verdict $? "three jobs that cannot be prepared put the worker into quarantine"
quarantined | grep -q "this worker's disk is full, make room on it" && kill -0 "$small"
verdict $? "people are told why, and the worker lives on"
until_true grep -q "run full: paused" master.log # nobody else is there yet
"$worker" --nameserver "$address" --token-file token --run-id full --work-dir work --worker-id large --engine process >large.log 2>&1 &
pids="$pids $!"
until_true grep -q "worker large: hello" master.log # or the small one, which resume trusts again, would be the only one
"$hd" resume full --state-dir state >resume.log 2>&1
until_true grep -q "run full: finished" full.out && [ "$("$hd" export --state-dir state | grep -c ',ok,')" -eq 6 ]
verdict $? "another worker does every job, also those that were begun there"

# What fills the disk is the target itself: how it ended is told all the same, and not when somebody makes room.
sed -e 's/name: full/name: greedy/' -e 's/configs: 6/configs: 1/' \
    -e "s/command: .*/command: [sh, -c, 'head -c 9000000 \/dev\/zero >\"\$HYPERDOCK_WORK_DIR\/all\"; exit 3']/" full.yaml >greedy.yaml
mkdir disk2
"$master" --run-id greedy --nameserver "$address" --token-file token --state-dir state2 greedy.yaml >greedy.out 2>greedy.log &
pids="$pids $!"
# shellcheck disable=SC2086 # several words
$apart sh -c 'mount -t tmpfs -o size=1m none disk2 && exec "$@"' sh "$worker" --nameserver "$address" --token-file token \
    --run-id greedy --work-dir disk2/work --worker-id greedy --engine process >greedy-worker.log 2>&1 &
pids="$pids $!"
until_true grep -q "job 0: .*exit code 3" greedy.log
verdict $? "a target that fills the disk ends, and its end is told"
