#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Shell scripts parse, name their license, are executable, and pass shellcheck where it is installed; a bad
# sample of each kind is rejected. Usage: test_scripts.sh SOURCE_ROOT
set -u
cd "$1" || exit 1
bad=$(mktemp -d) || exit 1
trap 'rm -rf "$bad"' EXIT

# check_script FILE: prints what is wrong with it.
check_script() {
    local file=$1 interpreter
    interpreter=$(head -n 1 "$file")
    case $file in
    *lib.sh) [ ! -x "$file" ] || echo "$file: is sourced, so it is not executable" ;;
    *)
        [ -x "$file" ] || echo "$file: not executable"
        case $interpreter in
        '#!/usr/bin/env bash' | '#!/bin/sh') ;;
        *) echo "$file: begins with neither '#!/usr/bin/env bash' nor '#!/bin/sh'" ;;
        esac
        ;;
    esac
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file: no license line"
    bash -n "$file" 2>&1
    ! command -v shellcheck >/dev/null || shellcheck -x -S warning -f gcc "$file"
}

rejects() { # rejects NUMBER WHAT FILE
    if [ -n "$(check_script "$3")" ]; then echo "ok $1 - rejects $2"; else echo "not ok $1 - rejects $2"; fi
}

sample() { # sample NAME TEXT
    printf '%b' "$2" >"$bad/$1"
    chmod +x "$bad/$1"
}
license='# SPDX-License-Identifier: Apache-2.0\n'
sample syntax "#!/bin/sh\n${license}if true; then\n"
sample unlicensed '#!/bin/sh\ntrue\n'
sample strange "#!/bin/csh\n${license}true\n"
sample plain "#!/bin/sh\n${license}true\n"
chmod -x "$bad/plain"
sample good "#!/bin/sh\n${license}true\n"

echo 1..6
found=$(
    find scripts .ci tests -type f ! -name '*.md' | sort | while read -r file; do
        case $file in
        *.py) ;;
        scripts/* | .ci/* | *.sh) check_script "$file" ;;
        esac
    done
)
if [ -z "$found" ]; then echo "ok 1 - every script is in order"; else echo "not ok 1 - every script is in order"; fi
[ -z "$found" ] || printf '%s\n' "$found" | sed 's/^/# /'
rejects 2 "a syntax error" "$bad/syntax"
rejects 3 "a missing license" "$bad/unlicensed"
rejects 4 "a strange interpreter" "$bad/strange"
rejects 5 "a script that cannot be run" "$bad/plain"
if [ -z "$(check_script "$bad/good")" ]; then echo "ok 6 - accepts a good one"; else echo "not ok 6 - accepts a good one"; fi
