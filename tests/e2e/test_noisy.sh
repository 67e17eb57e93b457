#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A noisy target: its best configs are evaluated again, with seeds and directories of their own, and people are
# told what is believed of them. Usage: test_noisy.sh HD_NAMESERVER HD_MASTER HD_WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
cat >target.sh <<'TARGET'
# The loss is x, and noise by the last digit of the seed.
[ -e "$HYPERDOCK_WORK_DIR/was" ] && echo "$HYPERDOCK_JOB" >>again
touch "$HYPERDOCK_WORK_DIR/was"
echo "$HYPERDOCK_CONFIG_ID $HYPERDOCK_REPEAT $HYPERDOCK_SEED $(grep -c '"repeat"' "$HYPERDOCK_DIR/job.json")" >>ledger
echo "$HP_X $HYPERDOCK_SEED" | awk '{ print $1 + ($2 % 10 - 4.5) / 100 }' >"$HYPERDOCK_DIR/loss.json"
TARGET
cat >noisy.yaml <<'EXPERIMENT'
name: noisy
target: {command: [sh, target.sh]}
objective: {name: loss, direction: minimize}
noise: {repeats: 4, share: 0.4}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 14}
seed: 3
lease: 10s
ping: 200ms
EXPERIMENT
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
"$master" --run-id noisy --nameserver "$address" --token-file token --state-dir state noisy.yaml >noisy.out 2>master.log &
pids="$pids $!"
for id in a b; do
    "$worker" --nameserver "$address" --token-file token --run-id noisy --work-dir "work-$id" --worker-id "$id" \
        --engine process >>"worker-$id.log" 2>&1 &
    pids="$pids $!"
done
ask() { "$hd" "$@" --state-dir state; }
repeats() { awk '$2 > 0' ledger; }

echo "1..7"
until_true grep -q "run noisy: finished" noisy.out
verdict $? "the run ends"
[ "$(repeats | wc -l)" -ge 4 ] && [ "$(repeats | wc -l)" -le 9 ] && [ "$(awk '$2 > 3' ledger | wc -l)" -eq 0 ]
verdict $? "some configs are evaluated again, within the share and no more often than allowed"
[ "$(wc -l <ledger)" -eq "$(awk '{ print $3 }' ledger | sort -u | wc -l)" ] && [ "$(awk '$4 != 1' ledger | wc -l)" -eq 0 ]
verdict $? "every evaluation has a seed of its own, and job.json tells its repeat"
[ ! -e again ]
verdict $? "each from the start, in a directory of its own"
ask best >best && grep -qE "^loss [-0-9.e]+ \\+- [0-9.e-]+ \\([0-9]+ results?\\)" best && grep -q RESULTS best &&
    ask status | grep -qE "^best +loss .* \\+- "
verdict $? "hd best and hd status tell what is believed of the best config, and how surely"
ask export --format csv | head -n 1 | grep -q ",repeat,params.x" &&
    [ "$(ask export --format csv | awk -F, 'NR > 1 && $(NF - 1) > 0' | wc -l)" -eq "$(repeats | wc -l)" ]
verdict $? "hd export marks repeats"
"$hd" fsck state >fsck.out 2>&1
verdict $? "the checkpoint restores to what it shows"
