#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Joins archives into one object whose only global symbols are hyperdock_*, in an archive of its own:
# nothing inside can clash with the names of a program that links it.
# Usage: archive.sh OUTPUT OBJCOPY AR PART ARCHIVE... -- COMPILER...
set -eu
output=$1
objcopy=$2
ar=$3
whole=$4
shift 4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archives=""
while [ "$1" != -- ]; do
    archives="$archives $1"
    shift
done
shift
# shellcheck disable=SC2086 # paths of the build tree, one word each
"$@" -r -nostdlib -o "$work/all.o" -Wl,--whole-archive "$whole" -Wl,--no-whole-archive \
    -Wl,--start-group $archives -Wl,--end-group
"$objcopy" --wildcard --keep-global-symbol='hyperdock_*' "$work/all.o" "$work/hyperdock.o"
rm -f "$output"
"$ar" rcsD "$output" "$work/hyperdock.o"
