#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Pure libraries call only one another and a list of symbols, and have no writable data.
# Usage: purity.sh LIST ARCHIVE...
set -eu
list=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for archive in "$@"; do
    # The name without lib and .a; thin archives are read like others.
    name=$(basename "$archive" .a)
    name=${name#lib}
    nm --format=sysv "$archive" | awk -F'|' -v name="$name" '
        NF < 7 { next }
        { for (i = 1; i <= NF; i++) gsub(/^[ \t]+|[ \t]+$/, "", $i) }
        $1 == "Name" { next }
        $7 == "*UND*" { print "U " name " " $1; next }
        $3 ~ /^[TRDBVWC]$/ { print "T " name " " $1 }
        $7 ~ /^\.(data|bss|tdata|tbss)/ && $7 !~ /^\.data\.rel\.ro/ || $7 == "*COM*" {
            print "W " name " " $1 }' >>"$work/symbols"
done

awk '
FNR == NR {
    sub(/#.*/, "")
    if ($1 == "data") { for (i = 3; i <= NF; i++) data[$2 " " $i] = 1; next }
    for (i = 2; i <= NF; i++) allowed[$1] = allowed[$1] (allowed[$1] == "" ? "" : "|") $i
    next
}
$1 == "T" { defined[$3] = 1 }
$1 == "U" { used[$2 " " $3] = 1 }
$1 == "W" { name = $3; sub(/\.[0-9]+$/, "", name)
    if (!(($2 " " name) in data)) { print $2 ": writable data: " $3; count++ } }
END {
    for (key in used) {
        split(key, part, " ")
        if (part[2] in defined) continue
        if (part[2] ~ ("^(" allowed["*"] ")$")) continue
        if (part[1] in allowed && part[2] ~ ("^(" allowed[part[1]] ")$")) continue
        print part[1] ": calls " part[2]; count++
    }
    if (count > 0) { print count " impurities"; exit 1 }
}' "$list" "$work/symbols"
