#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The example with two objectives, from the file to the front. Usage: test_trade_off.sh HD BEAM EXPERIMENT
set -u
hd=$1
beam=$2
experiment=$3
dir=$(mktemp -d) || exit 1
trap 'cd / && rm -rf "$dir"' EXIT
cd "$dir" || exit 1
cp "$beam" beam && cp "$experiment" experiment.yaml || exit 1
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || { echo "not ok $number - $2"; sed 's/^/# /' run.out run.err best.out; }
}
echo 1..6
: >best.out

./beam 20 500 && grep -q '^{"weight": 1\.22522113[0-9]*, "deflection": 25\.62[0-9]*, "stress": 636\.6' loss.json
verdict $? "the target computes weight, deflection and stress"
"$hd" run experiment.yaml --state-dir state --workers 1 --seed 3 >run.out 2>run.err && grep -q '^jobs: 60 done, 60 ok' run.out
verdict $? "hd run comes to its end"
size=$(sed -n 's/^front: \([0-9]*\) configs that no other one beats (hd best shows them)$/\1/p' run.out)
[ "${size:-0}" -ge 3 ] && grep -q '^its end by weight: ' run.out
verdict $? "it says how many configs are on the front and how to see them"
"$hd" best --state-dir state --count 100 >best.out 2>>run.err && grep -q "^front of $size configs" best.out && grep -q '^hypervolume ' best.out
verdict $? "hd best shows as many"
# Three lines a row: weight, deflection and stress.
"$hd" best --state-dir state --count "$size" --json >best.json 2>>run.err
sed '/"by_budget"/,$d' best.json | awk '
    /"measures": \[/ { text = ""; inside = 1; next }
    inside && /\]/ { inside = 0; print text }
    inside { gsub(/[ ,]/, ""); text = text " " $0 }' >rows
awk -v size="$size" '
    { weight[NR] = $1; deflection[NR] = $2; stress[NR] = $3 }
    END {
        for (i = 1; i <= NR; i++) {
            if (stress[i] > 300) exit 1
            for (j = 1; j <= NR; j++)
                if (weight[j] < weight[i] && deflection[j] < deflection[i]) exit 1
        }
        exit NR != size
    }' rows
verdict $? "every one of them holds, and none beats another"
printf '%s\n' '{"op":"ask"}' '{"op":"tell","job":0,"weight":1,"deflection":2,"stress":3}' \
    '{"op":"tell","job":0,"values":{"weight":1,"deflection":2,"stress":3}}' | "$hd" ask-tell experiment.yaml >run.out 2>run.err
[ "$(grep -c '^{"error":.*\\"values\\", a map of all' run.out)" -eq 1 ] && [ "$(tail -n 1 run.out)" = '{"ok":true}' ]
verdict $? "hd ask-tell says how several numbers are told"
