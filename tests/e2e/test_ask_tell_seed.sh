#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A session in a file keeps its seed: it need not be said again, and another one is refused. Usage:
# test_ask_tell_seed.sh HD
set -u
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
printf 'target: {command: [x]}\nspace: {x: {type: float, low: 0, high: 1}}\n' >"$dir/e.yaml"
# shellcheck disable=SC2086 # options are words
talk() { echo "{\"op\":\"$1\"}" | "$hd" ask-tell "$dir/e.yaml" --state "$dir/state.db" $2 2>&1; }
hd=$1
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
echo 1..3
talk ask "--seed 3" | grep -q '"job":0'
verdict $? "a session begins with a seed"
talk pending "" | grep -q '"job":0'
verdict $? "it goes on without one"
talk pending "--seed 4" | grep -q 'seed: 3 -> 4'
verdict $? "another seed is refused with the difference"
