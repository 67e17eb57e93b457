#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Functions that invite mistakes are not called. Usage: banned.sh ROOT
set -eu
. "$(dirname "$0")/lib.sh"
root=$1
everywhere='strcpy|stpcpy|strcat|sprintf|vsprintf|gets|strtok|system|popen|alloca|tmpnam|tempnam|mktemp'
# In programs also what hides errors, keeps state, or obeys the locale.
programs="$everywhere|strncat|strncpy|strtok_r|atoi|atol|atoll|atof|rand|srand|random|setlocale"
found=$(files_of "$root" | grep -E '\.[ch]$' | while IFS= read -r file; do
    case $file in tests/*) words=$everywhere ;; *) words=$programs ;; esac
    c_code "$root/$file" | grep -nE "(^|[^A-Za-z0-9_.>])($words)[[:space:]]*\(" | sed "s|^|$file:|"
done) || true
[ -z "$found" ] || {
    echo "$found"
    finish "$(echo "$found" | wc -l)" "calls of banned functions"
}
