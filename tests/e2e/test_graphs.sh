#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Charts that a target draws are shown with its job. Usage: test_graphs.sh HD
set -u
hd=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
cat >experiment.yaml <<'EXPERIMENT'
name: drawn
target:
  command:
    - sh
    - -c
    - |
      case $HYPERDOCK_JOB in
      0) echo '[{"name": "fit", "x_axis": "epoch", "y_axis": "loss", "series": [{"label": "test", "x": [1, 2, 3], "y": [0.9, 0.25, 0.5]}]}]' >"$HYPERDOCK_DIR/graphs.json" ;;
      1) echo '[{"name": "half' >"$HYPERDOCK_DIR/graphs.json" ;;
      esac
      echo 1 >"$HYPERDOCK_DIR/loss.json"
objective: loss
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: random
stop: {configs: 2}
EXPERIMENT
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then echo "ok $number - $2"; else echo "not ok $number - $2"; fi
}
echo "1..5"
"$hd" run --state-dir state --workers 1 experiment.yaml >run.out 2>&1
"$hd" show --state-dir state 0 >show.out && grep -q "^  chart fit, loss over epoch$" show.out &&
    grep -q "^    test: 0.5 at 3, 3 points from 0.25 to 0.9$" show.out
verdict $? "hd show says where each series stands"
"$hd" show --state-dir state --json 0 | tr -d ' \n' | grep -q '"graphs":\[{"name":"fit",.*"y":\[0.9,0.25,0.5\]'
verdict $? "and all of it with --json"
"$hd" show --state-dir state 1 >half.out && ! grep -q chart half.out && grep -q "^attempt 1 .*: ok" half.out
verdict $? "what is half written is passed over"
mv state/work state/elsewhere # as on another machine
"$hd" show --state-dir state 0 >remote.out && diff show.out remote.out >&2
verdict $? "charts come with the result, so that they are shown where the directories are not"
"$hd" show --state-dir state 1 >half.out && ! grep -q chart half.out
verdict $? "and nothing comes of what was half written"
