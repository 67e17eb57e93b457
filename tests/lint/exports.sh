#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The shared and the static library show exactly the functions of the header. Usage: exports.sh HEADER LIBRARY...
set -eu
. "$(dirname "$0")/lib.sh"
header=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
count=0
c_code "$header" | grep -oE 'hyperdock_[a-z_]+ *\(' | tr -d ' (' | sort -u >"$work/promised"
for library in "$@"; do
    case $library in *.a) scope="--extern-only" ;; *) scope="--dynamic" ;; esac
    # Names of versions are absolute symbols.
    nm "$scope" --defined-only --format=posix "$library" | awk '$2 != "A" && NF > 1 { sub(/@.*/, "", $1); print $1 }' |
        sort -u >"$work/shown"
    comm -13 "$work/promised" "$work/shown" | sed "s|^|$(basename "$library"): shows what the header does not have: |" >"$work/said"
    comm -23 "$work/promised" "$work/shown" | sed "s|^|$(basename "$library"): lacks |" >>"$work/said"
    cat "$work/said"
    count=$((count + $(wc -l <"$work/said")))
done
finish "$count" "differences between the header and its libraries"
