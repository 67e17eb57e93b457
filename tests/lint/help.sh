#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The options of --help are those of the man page, under the heading given.
# Usage: help.sh PAGE.scd HEADING PROGRAM [ARGUMENT...]
set -eu
page=$1
heading=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$@" --help >"$work/help"
grep -oE '^  --[a-z0-9-]+' "$work/help" | sed 's/^ *//' | sort -u >"$work/in_help"
awk -v heading="$heading" '
    /^#+ / { text = $0; sub(/^#+ +/, "", text); inside = text == heading; next }
    inside && /^\*--/ { print }' "$page" |
    grep -oE '\*--[a-z0-9-]+\*' | tr -d '*' | sort -u >"$work/in_page"
[ -s "$work/in_help" ] || { echo "$*: --help shows no options"; exit 1; }
missing=$(comm -23 "$work/in_help" "$work/in_page")
extra=$(comm -13 "$work/in_help" "$work/in_page")
[ -z "$missing" ] || echo "in --help, not in the page: $missing"
[ -z "$extra" ] || echo "in the page, not in --help: $extra"
[ -z "$missing$extra" ]
