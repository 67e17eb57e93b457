#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each row of a table whose last column is `test` names tests that exist: "NAME; NAME: CASE, CASE". A name is one of meson's, a case one in
# the file of that test. Usage: proof.sh TESTS.json SOURCES DOCUMENT...
set -eu
known=$1
root=$2
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
grep -oE '"name": "[^"]+"' "$known" | sed 's/.*"name": "//; s/"$//' >"$work/names"
[ -s "$work/names" ] || { echo "$known names no tests"; exit 1; }
find "$root/tests" -name 'test_*.c' >"$work/files"
awk -v names="$work/names" -v files="$work/files" '
    function trim(text) { gsub(/^ +| +$/, "", text); return text }
    function wrong(what) { print FILENAME ":" FNR ": " what; bad++ }
    # Every word of every test, by the name of its file.
    function read_words(file,    base, line, count, words, i) {
        base = file; sub(/.*\/test_/, "", base); sub(/\.c$/, "", base)
        while ((getline line <file) > 0) {
            count = split(line, words, /[^A-Za-z_0-9]+/)
            for (i = 1; i <= count; i++) cases[base, words[i]] = 1
        }
        close(file)
        has_file[base] = 1
    }
    function file_of(name) {
        if (name in has_file) return name
        if (name == "services_docker") return "services"
        sub(/_(process|docker|podman)$/, "", name)
        return name in has_file ? name : ""
    }
    function check(part,    name, base, rest, count, words, i) {
        name = trim(part); rest = ""
        if ((i = index(name, ":")) > 0) { rest = substr(name, i + 1); name = substr(name, 1, i - 1) }
        if (!(name in known)) { wrong("there is no test " name); return }
        base = file_of(name)
        if (rest != "" && base == "") { wrong(name " has no cases"); return }
        count = split(rest, words, ",")
        for (i = 1; i <= count; i++)
            if (!((base, trim(words[i])) in cases)) wrong(name " has no case " trim(words[i]))
    }
    BEGIN {
        while ((getline name <names) > 0) known[name] = 1
        while ((getline file <files) > 0) read_words(file)
    }
    FNR == 1 { inside = 0 }
    !/^\|/ { inside = 0; proved = 0; next }
    {
        gsub(/\\\|/, " ")
        count = split($0, cells, "|"); last = trim(cells[count - 1])
        if (!inside) { inside = 1; proved = last == "test"; tables += proved; next }
        if (!proved || last ~ /^-+$/) next
        if (last == "") wrong("no test")
        count = split(last, parts, ";")
        for (i = 1; i <= count; i++) if (last != "") check(parts[i])
    }
    END {
        if (tables == 0) { print "no table has a column of tests"; exit 1 }
        if (bad > 0) { print bad " proofs that are none"; exit 1 }
    }' "$@"
