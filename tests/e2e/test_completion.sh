#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Completion offers what the programs know. Usage: test_completion.sh HD.BASH PROGRAM...
# shellcheck disable=SC1090,SC2034 # bash hands the words over in these variables
set -u
. "$1"
shift
number=0
offers() { # offers PROMISE WORD... : what is offered for the last word, on standard input the words wanted
    local promise=$1 wanted missing=""
    shift
    COMP_WORDS=("$@")
    COMP_CWORD=$(($# - 1))
    _hd
    while read -r wanted; do
        case " ${COMPREPLY[*]} " in
        *" $wanted "*) ;;
        *) missing="$missing $wanted" ;;
        esac
    done
    number=$((number + 1))
    if [ -z "$missing" ]; then
        echo "ok $number - $promise"
    else
        echo "not ok $number - $promise"
        echo "# missing:$missing; offered: ${COMPREPLY[*]}"
    fi
}
hd=$1
offers "the commands" "$hd" "" < <("$hd" --help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p')
offers "the commands after help" "$hd" help re < <(echo resume)
offers "what to do with workers" "$hd" workers "" < <(printf '%s\n' list pause resume drain shutdown test)
offers "files for an experiment" "$hd" run "$hd" < <(echo "$hd")
for command in $("$hd" --help | sed -n 's/^  \([a-z][a-z-]*\)  .*/\1/p'); do
    offers "the options of hd $command" "$hd" "$command" -- < <("$hd" "$command" --help | grep -oE '^  --[a-z-]+')
done
shift
for program in "$@"; do
    offers "the options of ${program##*/}" "$program" -- < <("$program" --help | grep -oE '^  --[a-z-]+')
done
echo "1..$number"
