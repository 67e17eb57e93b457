#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A soak counts its seeds, and what it prints of a failing one repeats the failure.
# Usage: test_soak.sh HD_SIM HD_SIM_PLANTS
set -u
sim=$1 plants=$2
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
echo 1..4

check() { # check PROMISE CODE...: the last command's code is wanted
    if [ "$3" -eq "$2" ]; then echo "ok $1"; else
        echo "not ok $1 (exit $3)"
        sed 's/^/# /' "$out"
    fi
}

"$sim" 9001 90 --soak --jobs 3 >"$out" 2>&1 && grep -q '^90 seeds in .* on 3 processes, .* 0 failed$' "$out"
check "1 - a soak runs every seed once" 0 $?

"$plants" 1 8 --plant sampler-sleeps --soak --jobs 2 >"$out" 2>&1
check "2 - a soak that finds something fails" 1 $?

grep -q '^seed .*: no-idle-worker at ' "$out" && ! grep -q 'not alone' "$out"
check "3 - and says what" 0 $?

again=$(sed -n 's/^  again: hd-sim \(.*\) --trace\(.*\)$/\1\2/p' "$out" | head -n 1)
# shellcheck disable=SC2086 # several arguments
"$plants" $again --expect no-idle-worker >"$out" 2>&1
check "4 - the command that it prints repeats it" 0 $?
