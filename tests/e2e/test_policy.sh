#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A worker with a policy: what a master may not make it do. Usage: test_policy.sh HD_NAMESERVER HD_MASTER HD_WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
mkdir sets secret
cat >target.sh <<'TARGET'
echo "ran $HYPERDOCK_RUN_ID" >>ledger
echo 1 >"$HYPERDOCK_DIR/loss.json"
TARGET
experiment() { # experiment NAME REST-OF-TARGET
    cat >"$1.yaml" <<EXPERIMENT
name: $1
target: {base_dir: "$dir", retries: 0, $2}
objective: {name: loss, direction: minimize}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 1}
EXPERIMENT
}
cat >policy.yaml <<POLICY
images: [ghcr.io/me/*]
commands: [sh]
mounts: [$dir/sets]
max: {memory: 1GiB, time: 1m}
POLICY
chmod 600 policy.yaml

"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)

run() { # run NAME: a master and a worker for it
    "$master" --run-id "$1" --nameserver "$address" --token-file token --state-dir "state-$1" \
        --ping-interval 200ms "$1.yaml" >"$1.out" 2>"$1.log" &
    pids="$pids $!"
    until_true grep -q "serving at" "$1.log"
    "$worker" --nameserver "$address" --token-file token --policy policy.yaml --run-id "$1" --work-dir work \
        >>worker.log 2>&1 &
    pids="$pids $!"
}
refused() { # refused NAME TEXT: the run pauses with that text, and nothing ran
    run "$1"
    until_true grep -q "$2" "$1.log" && until_true grep -q "paused" "$1.log" && ! grep -q "ran $1" ledger
}
touch ledger

echo "1..8"
experiment command 'command: [tail, -f, /dev/null]'
refused command 'rule commands: .*/tail is not among them'
verdict $? "a command that is not listed is refused, and the run says by which rule"
! "$hd" logs 0 --state-dir state-command 2>said && grep -q 'it could not be started (hd show says why)' said
verdict $? "a job that never ran wrote no log, and nobody is sent to look for one"
experiment data 'command: [sh, target.sh], data: ./secret'
refused data 'rule mounts: .*/secret is below none of its roots'
verdict $? "data elsewhere is refused"
experiment memory 'command: [sh, target.sh], resources: {memory: 2GiB}'
refused memory 'rule max.memory: 2147483648 bytes are more than 1073741824'
verdict $? "more memory than allowed is refused"
experiment path 'command: [sh, target.sh], env: {LD_PRELOAD: evil.so}'
refused path 'rule commands: the experiment may not set LD_PRELOAD'
verdict $? "a variable that turns one program into another is refused"
experiment good 'command: [sh, target.sh], data: ./sets'
run good
until_true grep -q "finished: 1 configs done" good.out && grep -q "ran good" ledger
verdict $? "what is allowed runs"
chmod 666 policy.yaml
"$worker" --nameserver "$address" --token-file token --policy policy.yaml --work-dir work 2>open.log
[ $? -eq 2 ] && grep -q "can be written by others" open.log
verdict $? "a policy that others can rewrite is not taken"

# A policy that became narrower: the next process of the worker finds the target and ends it.
echo 'echo $$ >lasting.pid; while ! test -e go; do sleep 0.1; done' >lasting.sh
experiment lasting "command: [sh, \"$dir/lasting.sh\"]"
chmod 600 policy.yaml
run lasting
lasting_worker=${pids##* }
until_true test -s lasting.pid
target=$(cat lasting.pid)
kill -9 "$lasting_worker" && wait "$lasting_worker" 2>/dev/null
echo 'engines: [docker]' >policy.yaml
"$worker" --nameserver "$address" --token-file token --policy policy.yaml --run-id lasting --work-dir work \
    >>worker.log 2>&1 &
pids="$pids $!"
until_true gone "$target" && until_true grep -q 'rule engines: process is not among them' lasting.log
verdict $? "a target that an earlier process started and that is no longer allowed is ended, with the rule as the reason"
