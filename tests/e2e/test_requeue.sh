#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hd requeue: what failed runs once more as part of its run, also after the run has finished. Usage: test_requeue.sh HD
set -u
hd=$1
dir=$(mktemp -d) || exit 1
trap 'cd / && rm -rf "$dir"' EXIT
cd "$dir" || exit 1
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || { echo "not ok $number - $2"; sed 's/^/# /' ./*.out; }
}
cat >experiment.yaml <<END
name: broken
target:
  command: [/bin/sh, -c, '[ -e $dir/mended ] || [ \${params.x} = 1 ] || exit 3; echo \${params.x} >"\$HYPERDOCK_DIR/loss.json"']
  retries: {failed: 0}
objective: {name: loss, direction: maximize}
space: {x: {type: int, low: 1, high: 3}}
sampler: {name: grid}
stop: {configs: 3}
pause_after_failures: 0
END
echo 1..6
"$hd" run experiment.yaml --state-dir state --workers 1 --seed 1 >run.out 2>&1
grep -q '3 done, 1 ok' run.out
verdict $? "two of three jobs fail, and the run ends"
! "$hd" requeue --state-dir state >none.out 2>&1 && ! "$hd" requeue 99 --state-dir state >>none.out 2>&1 &&
    ! "$hd" requeue broken --state-dir state >>none.out 2>&1 && grep -q 'has no job 99' none.out
verdict $? "nothing, a job that never was, and a run without --failed are refused"
touch mended
"$hd" requeue --failed broken --state-dir state --reason 'the disk is back' >requeue.out 2>&1 &&
    [ "$(grep -c 'is queued once more' requeue.out)" -eq 2 ] && grep -q 'hd resume broken' requeue.out
verdict $? "both failures are queued once more, with no master there"
"$hd" requeue --failed --state-dir state >again.out 2>&1 && grep -q 'has no failed job' again.out
verdict $? "asked twice it is done once"
"$hd" resume broken --state-dir state --workers 1 >resume.out 2>&1 && grep -q '5 done, 3 ok' resume.out &&
    "$hd" best --state-dir state | grep -q 'x=3'
verdict $? "the finished run goes on, and the best is one that had failed"
failed=$("$hd" jobs --state-dir state --outcome failed | awk 'NR == 2 {print $1}')
"$hd" show "$failed" --state-dir state | grep -Eq '^requeued as +[34]' &&
    "$hd" explain "$failed" --state-dir state | grep -q 'run once more by command' && "$hd" fsck --state-dir state >fsck.out 2>&1
verdict $? "hd show and hd explain tell it, and the checkpoint is whole"
