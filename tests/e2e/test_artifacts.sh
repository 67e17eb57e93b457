#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What targets leave is shipped to a bucket by a worker that is killed in between, kept for the best only, and
# brought home; the directories of attempts are bounded. Usage: test_artifacts.sh HD_NAMESERVER HD_MASTER HD_WORKER HD FAKE_S3
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
cat >target.sh <<'TARGET'
echo "model of $HYPERDOCK_JOB" >"$HYPERDOCK_DIR/out/model"
echo "${AWS_SECRET_ACCESS_KEY-none}" >"$HYPERDOCK_DIR/out/secret"
ln -s /etc/passwd "$HYPERDOCK_DIR/out/link"
echo "a line of $HYPERDOCK_JOB"
echo "$HP_X" >"$HYPERDOCK_DIR/loss.json"
TARGET
cat >kept.yaml <<'EXPERIMENT'
name: kept
target: {command: [sh, target.sh]}
objective: loss
artifacts: {keep: 2}
bring_home: none
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 6}
seed: 3
ping: 200ms
EXPERIMENT
mkdir s3
mkfifo s3.in
python3 "$5" s3 <s3.in >s3.port 2>s3.log &
pids="$pids $!"
exec 9>s3.in # it serves until this is closed
until_true test -s s3.port || exit 1
S3_ENDPOINT_URL=http://127.0.0.1:$(cat s3.port)
export S3_ENDPOINT_URL AWS_ACCESS_KEY_ID=AKIATEST AWS_SECRET_ACCESS_KEY=a/secret+of=tests
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
"$master" --run-id kept --nameserver "$address" --token-file token --state-dir state kept.yaml >kept.out 2>master.log &
pids="$pids $!"
work() { # work LOG [options]
    log=$1
    shift
    "$worker" --nameserver "$address" --token-file token --run-id kept --work-dir work --worker-id a --engine process "$@" >>"$log" 2>&1
}
is_shipped() { grep -l '"shipped"' work/kept/run/*.artifacts; }
objects() { find s3/objects -type f -path "*$1"; }

echo "1..7"
# The store fails, and the worker dies with a queue; the next one has the rest.
yes 503 | head -n 2 >s3/faults
work a.log --artifacts s3://bucket/p &
pid=$!
pids="$pids $pid"
until_true is_shipped >/dev/null && kill -9 $pid && wait $pid 2>/dev/null
work b.log --artifacts s3://bucket/p --idle-timeout 2s
until_true grep -q "run kept: finished" kept.out
verdict $? "the run ends, whatever the store does"
ask() { "$hd" "$@" --state-dir state; }
best=$(ask best --json --count 2 | sed -n '/"best": /,/"by_budget": /s/^ *"job": \([0-9]*\),$/\1/p' | sort | tr '\n' ' ')
kept=$(objects hyperdock-artifacts.json | sed 's|.*/\([0-9]*\)-[0-9]*/.*|\1|' | sort | tr '\n' ' ')
[ -n "$best" ] && [ "$kept" = "$best" ] && [ "$(objects out/model | wc -l)" -eq 2 ]
verdict $? "the two best are in the bucket, and nothing else"
! grep -rq "root:" s3/objects && grep -q none "$(objects out/secret | head -n 1)" && ! grep -rq secret+of ./*.log work state
verdict $? "no link was followed, and the secret is nowhere"
ask fetch best home --artifacts s3://bucket/p >said &&
    grep -q "model of" home/out/model && [ -s home/loss.json ] && [ -s home/params.json ] && grep -q "a line of" home/log.txt
verdict $? "hd fetch brings the best home from the bucket"
! ask fetch best home --artifacts s3://bucket/p 2>said && grep -q "home is not empty" said &&
    ! ask fetch best elsewhere 2>said && grep -q "left nothing on this machine or at its master (no master is there to ask): worker a has it" said && [ ! -e elsewhere ]
verdict $? "it overwrites nothing, and says where it is when it is nowhere to be had"
mkdir -p state/work && ln -s ../../work state/work/worker-1
ask fetch best local >said && grep -q "model of" local/out/model && [ -L local/out/link ] && [ -s local/loss.json ] &&
    ask show "$(cut -d' ' -f2 said | tr -d ,)" | grep -q "artifacts shipped, 6 files, .* to s3://bucket/p/kept[.]"
verdict $? "and from the work directory of a local worker; hd show tells where the rest is"
# A run whose results are all in, a worker that only has to make room: the best stays.
work c.log --run-limit 1KiB --idle-timeout 1s &
pid=$!
pids="$pids $pid"
one_left() { [ "$(find work/kept/run -mindepth 1 -maxdepth 1 -type d | wc -l)" -eq 1 ]; }
until_true one_left && [ -e "$(find work/kept/run -name '*.done' | sed 's/[.]done$//')/out/model" ]
verdict $? "directories of attempts go, and the best stays"
exec 9>&-
