#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hd logs --all: every attempt of a run, each line with whose it is; hd rerun: one of its jobs again. Usage: test_logs_all.sh HD
set -u
hd=$1
dir=$(mktemp -d) || exit 1
follower=
clean_up() {
    [ -z "$follower" ] || kill "$follower" 2>/dev/null
    cd / && rm -rf "$dir"
}
trap clean_up EXIT
cd "$dir" || exit 1
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || { echo "not ok $number - $2"; sed 's/^/# /' run.out all.out follow.out; }
}
cat >experiment.yaml <<'END'
name: wordy
target:
  command: [/bin/sh, -c, 'echo "x is ${params.x}"; echo to stderr >&2; printf "no end"; echo 1 >"$HYPERDOCK_DIR/loss.json"; [ ${params.x} != 2 ]']
  retries: {infra: 0, failed: 1}
objective: loss
space: {x: {type: int, low: 1, high: 3}}
sampler: {name: grid}
stop: {configs: 3}
pause_after_failures: 0
END
echo 1..7
: >all.out
: >follow.out

"$hd" run experiment.yaml --state-dir state --workers 1 --seed 1 --detach >run.out 2>&1
verdict $? "a run goes on in the background"
"$hd" logs --all --follow --state-dir state >follow.out 2>&1 &
follower=$!
wait "$follower"
code=$?
follower=
[ "$code" -eq 0 ] && [ "$(grep -c '| x is ' follow.out)" -eq 4 ]
verdict $? "--follow shows all four attempts and ends with the run"
"$hd" logs --all --state-dir state >all.out 2>&1 &&
    [ "$(grep -cE '^[0-2]-[12]\| x is [123]$' all.out)" -eq 4 ] &&
    [ "$(grep -cE '^[0-2]-[12]\| to stderr$' all.out)" -eq 4 ] &&
    [ "$(grep -cE '^[0-2]-[12]\| no end$' all.out)" -eq 4 ] && [ "$(wc -l <all.out)" -eq 12 ]
verdict $? "--all shows each line of each attempt once, also one without an end"
! "$hd" logs --state-dir state >>run.out 2>&1 && ! "$hd" logs --all 1 wordy --state-dir state >>run.out 2>&1 &&
    [ "$(grep -c 'give a JOB, or --all' run.out)" -eq 2 ]
verdict $? "a job or --all, not both and not neither"
"$hd" logs 0 --state-dir state | grep -q '^x is '
verdict $? "one job's log is as it was written"
"$hd" export --state-dir state >before.csv 2>&1 && "$hd" rerun 0 --state-dir state >all.out 2>follow.out
code=$?
x=$("$hd" logs 0 --state-dir state | sed -n 's/^x is //p')
{ [ "$x" = 2 ] || [ $code -eq 0 ]; } && grep -qx "x is $x" all.out && grep -q '^command: ' follow.out &&
    "$hd" export --state-dir state >after.csv && cmp -s before.csv after.csv
verdict $? "a job runs again with its params, and nothing is recorded"
! "$hd" rerun 0 --set x=2 --state-dir state >all.out 2>follow.out && grep -qx 'x is 2' all.out && ! "$hd" rerun 99 --state-dir state >all.out 2>&1 && grep -q 99 all.out
verdict $? "another value of a param is taken, a job that never was is refused"
