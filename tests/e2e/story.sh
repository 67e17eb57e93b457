#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# story.sh: sourced by the stories of tests/e2e that are told in shell, with the three programs as
# their arguments: a directory of their own, what waits, what is said, and an end that leaves nothing.
set -u
# shellcheck disable=SC2034 # they are for the stories
nameserver=$1
# shellcheck disable=SC2034
master=$2
# shellcheck disable=SC2034
worker=$3
dir=$(mktemp -d) || exit 1
cd "$dir" || exit 1
pids=

clean_up() {
    for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
    touch go # targets that are left end by themselves
    wait 2>/dev/null
    cd / && rm -rf "$dir"
}
trap clean_up EXIT

# Waits for the event, not for a time.
until_true() { # until_true COMMAND...
    tries=0
    until "$@" 2>/dev/null; do
        tries=$((tries + 1))
        if [ $tries -gt 1200 ]; then
            echo "# gave up waiting: $*"
            for log in *.log; do
                echo "# $log"
                tail -n 20 "$log" | sed 's/^/#   /'
            done
            return 1
        fi
        sleep 0.05
    done
}
gone() { ! kill -0 "$1"; }
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}

echo 0123456789abcdef0123456789abcdef >token && chmod 600 token
