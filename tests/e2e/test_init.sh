#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What hd init writes is checked, built and run as its own words say. Usage: test_init.sh HD
set -u
hd=$1
dir=$(mktemp -d) || exit 1
trap 'cd / && rm -rf "$dir"' EXIT
cd "$dir" || exit 1
number=0
verdict() { # verdict CODE WHAT
    number=$((number + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $number - $2"
    else
        echo "not ok $number - $2"
        tail -n 30 "$dir/said" | sed 's/^/# /'
    fi
}
skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP $2"
}

# runs LANGUAGE: as it is, but for the end and what a container would bring.
runs() {
    "$hd" init "$1" --language "$1" || return 1
    cd "$1" || return 1
    if [ -f target.c ]; then ${CC:-cc} -O2 -Wall -Werror -o target target.c -lm || return 1; fi
    "$hd" check experiment.yaml || return 1
    sed -i 's/^stop:.*/stop: {jobs: 12}/' experiment.yaml
    "$hd" run experiment.yaml --workers 2 || return 1
    "$hd" jobs --json >jobs.json || return 1
    ! grep -q '"outcome": *"\(failed\|no-result\|config-error\|infra\)"' jobs.json
}

echo "1..13"
(runs shell) >said 2>&1
verdict $? "the target in shell runs"
if command -v python3 >/dev/null; then
    (runs python) >said 2>&1
    verdict $? "the target in Python runs"
else
    skip "the target in Python runs" "no python3"
fi
(runs c) >said 2>&1
verdict $? "the target in C is built without a warning and runs"
"$hd" init shell >said 2>&1
verdict $(($? != 2)) "nothing is overwritten"
grep -q 'shell/experiment.yaml exists: nothing is written' said
verdict $? "and it says what is there"
"$hd" init 'My own' --image >said 2>&1 && grep -q '^name: "experiment"$' 'My own/experiment.yaml' &&
    grep -q '^  image: "experiment"$' 'My own/experiment.yaml' && grep -q '^COPY target.sh' 'My own/Dockerfile' &&
    ! grep -rq '@[A-Z]*@' 'My own' && "$hd" check 'My own/experiment.yaml' >>said 2>&1
verdict $? "an image gets a Dockerfile, and a name that a run may have"
"$hd" init other --language fortran >said 2>&1
verdict $(($? != 2)) "an unknown language is a mistake of usage"
"$hd" init Net_2.B- --image >said 2>&1 && grep -q '^name: "Net_2.B-"$' Net_2.B-/experiment.yaml &&
    grep -q '^  image: "net-2-b"$' Net_2.B-/experiment.yaml && grep -q 'docker build -t net-2-b \.' Net_2.B-/Dockerfile &&
    grep -q 'docker build -t net-2-b \.' said
verdict $? "an image is called what an engine takes for a name"
(for name in 123 1e5 0x1F true null; do
    "$hd" init "$name" && "$hd" check "$name/experiment.yaml" | grep -q "^experiment  $name$" || exit 1
done) >said 2>&1
verdict $? "a directory's name is a text, whatever YAML would take it for"
mkdir links && ln -s nowhere links/target.sh
! "$hd" init links >said 2>&1 && grep -q 'links/target.sh exists' said && [ -L links/target.sh ] && [ ! -e links/experiment.yaml ]
verdict $? "a link that leads nowhere is not overwritten either"
touch file
! "$hd" init file/deeper >said 2>&1 && grep -qi 'not a directory' said && ! grep -q 'exists: nothing' said &&
    ! "$hd" init "$(printf '%0300d' 0)" >said 2>&1 && grep -qi 'too long' said && ! "$hd" init '' >said 2>&1
verdict $? "a place that cannot be is told as what it is"
"$hd" init "it's here" >said 2>&1 && (eval "$(grep '^  cd ' said)" && [ -f experiment.yaml ])
verdict $? "the way there can be given to a shell"
# The experiment fits under this limit and the target in C does not.
(trap '' XFSZ && ulimit -f 4 && "$hd" init half --language c) >said 2>&1
[ $? -eq 1 ] && grep -q 'half/target.c.*[Ff]ile too large' said && [ -d half ] && [ -z "$(ls -A half)" ] &&
    "$hd" init half --language c >>said 2>&1 && [ -s half/target.c ]
verdict $? "what could not be written whole leaves nothing in the way of the next try"
