#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The counts of scripts/test are true: failures, crashes and skipped tests are all seen.
# Usage: test_summary.sh SOURCE_ROOT
set -u
root=$1
top=$(mktemp -d) || exit 1
trap 'rm -rf "$top"' EXIT
mkdir -p "$top/a/meson-logs" "$top/b/meson-logs"
count=0

record() { # record STAGE NAME RESULT STDOUT [RETURNCODE]
    printf '{"name": "hyperdock:%s", "stdout": "%s", "result": "%s", "returncode": %s}\n' "$2" "$4" "$3" "${5:-1}" \
        >>"$top/$1/meson-logs/testlog.json"
}

clear_all() { rm -f "$top"/*.result "$top"/*/meson-logs/testlog.json; }

counts_are() { # counts_are "PASSED FAILED SKIPPED DOCKER" PROMISE
    count=$((count + 1))
    python3 "$root/scripts/summarize.py" "$top" a b >"$top/out" 2>&1
    if [ "$(cat "$top/counts.result")" = "$1" ]; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
        sed 's/^/# /' "$top/counts.result" "$top/out"
    fi
    clear_all
}

record a "unit / x" OK '1..2\nok 1 - one\nok 2 - two\n'
record b "unit / x" OK '1..1\nok 1 - one\n'
record a "lint / y" OK ''
counts_are "4 0 0 0" "cases and plain tests of all stages are counted"

record a "unit / x" FAIL '1..2\nok 1 - one\nnot ok 2 # SKIP two\n' 0
counts_are "1 0 1 0" "a skipped case that meson calls failed is no failure"

record a "unit / x" FAIL '1..2\nok 1 - one\nnot ok 2 - two\n'
record a "lint / y" FAIL ''
counts_are "1 2 0 0" "failures are counted once each"

record a "unit / x" ERROR '1..3\nok 1 - one\nok 2 - two\n'
record b "unit / z" TIMEOUT ''
record b "unit / w" INTERRUPT ''
counts_are "2 3 0 0" "a crash, a missing case and a timeout are failures"

record a "e2e / docker_run" SKIP '1..0 # SKIP no engine\n'
record a "e2e / engine" OK '1..3\nok 1 - plain\nok 2 - docker adopts # SKIP no engine\nnot ok 3 # SKIP docker_harvests\n'
record a "e2e / other" SKIP ''
counts_are "1 0 4 3" "skipped tests are counted, those of Docker apart"

echo 'failed asan: build' >"$top/stages.result"
echo 'passed gcc: build' >>"$top/stages.result"
counts_are "1 1 0 0" "a build that fails is a failure"

record a "unit / x" OK 'not ok text in the middle is ok\nok 1 - one\n# not ok 2\nokay 3\n'
counts_are "1 1 0 0" "only lines of TAP count"

says() { # says PATTERN PROMISE: of one failed test beside a good one
    count=$((count + 1))
    record a "unit / x" FAIL '1..1\nnot ok 1 - breaks\n# the reason\n'
    record b "unit / y" OK '1..1\nok 1 - holds\n# not of interest\n'
    python3 "$root/scripts/summarize.py" "$top" a b >"$top/out" 2>&1
    if grep -q "$1" "$top/out" && ! grep -q 'not of interest' "$top/out"; then
        echo "ok $count - $2"
    else
        echo "not ok $count - $2"
        sed 's/^/# /' "$top/out"
    fi
    clear_all
}
says '^  a: unit / x: breaks$' "failures are named"
says '^# the reason$' "a failed test's last words are shown, a good one's are not"
echo "1..$count"
