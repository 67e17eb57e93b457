#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Functions that invite mistakes are not called. Usage: banned.sh ROOT
set -eu
. "$(dirname "$0")/lib.sh"
root=$1
list=$(mktemp)
trap 'rm -f "$list"' EXIT
everywhere='strcpy|stpcpy|strcat|sprintf|vsprintf|gets|strtok|system|popen|alloca|tmpnam|tempnam|mktemp'
# In programs also what hides errors, keeps state, or obeys the locale.
programs="$everywhere|strncat|strncpy|strtok_r|atoi|atol|atoll|atof|rand|srand|random|setlocale"
# calls_in WORDS: of the files that are listed on standard input; there is one more, so that lines bear names.
calls_in() {
    # shellcheck disable=SC2046 # names of ours have no blanks
    (cd "$root" && c_code /dev/null $(cat)) | grep -E "^[^:]*:[0-9]+:(.*[^A-Za-z0-9_.>])?($1)[[:space:]]*\("
}
files_of "$root" | grep -E '\.[ch]$' >"$list"
found=$(
    grep '^tests/' "$list" | calls_in "$everywhere" || true
    grep -v '^tests/' "$list" | calls_in "$programs" || true
)
[ -z "$found" ] || {
    echo "$found"
    finish "$(echo "$found" | wc -l)" "calls of banned functions"
}
