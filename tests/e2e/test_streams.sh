#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Standard streams that are closed, full, or read no longer.
# Usage: test_streams.sh HD_NAMESERVER HD_MASTER HD_WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
echo 1..5
cat >few.yaml <<'EXPERIMENT'
target: {expression: "x"}
space: {x: {type: float, low: 1, high: 2}}
stop: {configs: 20}
EXPERIMENT
"$hd" run few.yaml --workers 2 --state-dir closed <&- >&- 2>&-
verdict $? "a run without any standard stream comes to its end"
! grep -rqE 'done|best' closed/local.lock closed/token closed/logs/nameserver.log && "$hd" fsck --state-dir closed >fsck.out
verdict $? "and what it said went into none of its files"
if [ -c /dev/full ]; then
    full=0
    for command in best jobs status runs workers events export "export --format json" "fsck" "--version" "check few.yaml" "help run"; do
        set -- # the words of the command
        case $command in check* | help* | --version) ;; *) set -- --state-dir closed ;; esac
        # shellcheck disable=SC2086 # its words
        "$hd" $command "$@" >/dev/full 2>full.out
        if [ $? -ne 1 ] || ! grep -q 'hd: output: ' full.out; then
            full=1
            echo "# $command: $(cat full.out)"
        fi
    done
    verdict $full "what could not be written is told, and is a failure"
else
    echo "ok $((number = number + 1)) - # SKIP no /dev/full here"
fi
{
    trap '' PIPE
    while printf x 2>/dev/null; do :; done # until the reader has gone
    "$hd" events --state-dir closed
    echo $? >status.new && mv status.new status
} 2>reader.out | true
until_true test -s status && [ "$(cat status)" -eq 0 ] && [ ! -s reader.out ]
verdict $? "a reader that goes away is told nothing"
"$hd" best --state-dir closed >&-
verdict $? "nobody who asked for no output misses it"
