#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A formula is a target. Usage: test_expression.sh HD_NAMESERVER HD_MASTER HD_WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
echo 1..7
cat >formula.yaml <<'EXPERIMENT'
target: {expression: "x^2 + (kind == 'a' ? 1 : 2) + (big ? 0 : 10) + 1 / budget"}
space:
  x: {type: ordinal, choices: [-1, 0, 2]}
  kind: {type: categorical, choices: [a, b]}
  big: {type: bool}
sampler: {name: grid}
iteration_generator: {name: full}
budget: {min: 1, max: 4}
EXPERIMENT
"$hd" run formula.yaml --workers 2 --json >run.out 2>run.log
verdict $? "every config is evaluated, and the run ends"
"$hd" best | grep -qE "1\.25$|1\.25 " && "$hd" export --format csv >all.csv && [ "$(wc -l <all.csv)" -eq 13 ]
verdict $? "the loss is the value for the params and the budget"
sed '$a forbidden: [{kind: b, big: true}]' formula.yaml >fewer.yaml
"$hd" run fewer.yaml --state-dir fewer >fewer.out 2>&1 && "$hd" export --state-dir fewer | head -n 1 | tr -d '\r' | grep -q 'finished,params.x,params.kind,params.big$'
verdict $? "an export has a column for each param, and none for what is forbidden"
cat >nothing.yaml <<'EXPERIMENT'
target: {expression: "log(x) + y"}
space:
  x: {type: ordinal, choices: [0, 1]}
  y: {type: float, low: 1, high: 2, when: {x: [1]}}
iteration_generator: {name: full}
stop: {configs: 4}
EXPERIMENT
"$hd" run nothing.yaml --state-dir nothing >nothing.out 2>&1
"$hd" jobs --state-dir nothing >jobs.out 2>&1
verdict "$(grep -q failed jobs.out && grep -q ok jobs.out && echo 0 || echo 1)" "a job fails where the formula has no value, and only there"
sed 's/ + y/ + z/' nothing.yaml >wrong.yaml
"$hd" check wrong.yaml >wrong.out 2>&1
verdict "$([ $? -ne 0 ] && grep -q 'wrong.yaml:1: target.expression: z is no param; there are the params, budget, pi and e' wrong.out && echo 0 || echo 1)" \
    "a wrong name is told before anything runs"
mkdir "my runs" && cp formula.yaml "my runs/it's.yaml"
"$hd" run "my runs/it's.yaml" --run-id quoted --state-dir "my state" >quoted.out 2>&1 &&
    ! "$hd" run "my runs/it's.yaml" --run-id quoted --state-dir "my state" >again.out 2>&1 &&
    (PATH=$(dirname "$hd"):$PATH && eval "$(grep '^  hd run.*--resume' again.out)") >resumed.out 2>&1 &&
    grep -q '^best loss: 1.25' resumed.out
verdict $? "the way to go on can be given to a shell"
sed 's/log(x) + y/log(0)/; $a pause_after_failures: 2' nothing.yaml >paused.yaml
"$hd" run paused.yaml --state-dir both --workers 1 >paused.out 2>&1
[ $? -eq 3 ] && grep -q '^not ok: 2 failed$' paused.out && grep -q '^last failure: job 1 failed: exit code ' paused.out &&
    grep -q '^no job has succeeded yet$' paused.out && timeout 100 "$hd" run formula.yaml --state-dir both --workers 1 >beside.out 2>&1 &&
    grep -q '^best loss: 1.25' beside.out && "$hd" status paused --state-dir both | grep -q '^state *paused'
verdict $? "a run ends beside one that is paused"
