#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Dependencies point down only: checks every #include and every meson dependency against a table.
# Usage: layers.sh ROOT TABLE
set -eu
. "$(dirname "$0")/lib.sh"
root=$1
table=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

files_of "$root" >"$work/files"
{
    grep -E '\.[ch]$' "$work/files" || true
} >"$work/c"
(cd "$root" && xargs -d '\n' -r awk '
    FNR == 1 { print "F " FILENAME }
    /^[ \t]*#[ \t]*include/ { print "I " FILENAME " " FNR " " $0 }') <"$work/c" >"$work/facts"
# The top finds the guests.
{
    grep -E '/meson\.build$' "$work/files" || true
} >"$work/builds"
(cd "$root" && xargs -d '\n' -r awk '
    { sub(/#.*/, "") }
    { while (match($0, /[a-z_0-9]+_dep([^a-z_0-9]|$)/)) {
        name = substr($0, RSTART, RLENGTH); sub(/_dep[^a-z_0-9]?$/, "", name)
        print "D " FILENAME " " FNR " " name
        $0 = substr($0, RSTART + RLENGTH) } }') <"$work/builds" >>"$work/facts"

awk -v root="$root" '
function trim(text) { gsub(/^[ \t]+|[ \t]+$/, "", text); return text }
function pattern(glob) {
    gsub(/\./, "\\.", glob); gsub(/\*\*/, "\001", glob); gsub(/\*/, "[^/]*", glob)
    gsub(/\001/, ".*", glob)
    return "^" glob "$"
}
function expand(words,    parts, n, i, out) {
    n = split(words, parts, " "); out = ""
    for (i = 1; i <= n; i++) out = out " " (parts[i] in group ? group[parts[i]] : parts[i])
    return out " "
}
function row_of(path,    i) {
    for (i = 1; i <= rows; i++) if (path ~ row_pattern[i]) return i
    return 0
}
function deps_of(folder,    i) {
    for (i = 1; i <= deps; i++) if (folder ~ deps_pattern[i]) return i
    return 0
}
function guest_of(header,    i) {
    for (i = 1; i <= guests; i++) if (index(header, guest[i]) == 1) return guest[i]
    return ""
}
function bad(where, text) { print where ": " text; count++ }
function exists(path,    line, there) {
    there = (getline line < path) >= 0
    close(path)
    return there
}
function check_include(file, number, row, text,    header, name, g) {
    if (match(text, /<[^>]*>/)) {
        header = substr(text, RSTART + 1, RLENGTH - 2)
        if (header ~ /^hd\//) {
            name = header; sub(/^hd\//, "", name); sub(/\.h$/, "", name)
            if (row_ours[row] !~ / \* / && index(row_ours[row], " " name " ") == 0)
                bad(file ":" number, "may not use <" header ">")
            return
        }
        if (header == "hyperdock.h" || row_foreign[row] ~ / \* /) return
        g = guest_of(header)
        if (g != "") {
            if (index(row_foreign[row], " " g " ") == 0)
                bad(file ":" number, "<" header "> is a guest of another room")
        } else if (row_foreign[row] !~ / any / && index(standard, " " header " ") == 0)
            bad(file ":" number, "<" header "> does not belong into a pure room")
    } else if (match(text, /"[^"]*"/)) {
        header = substr(text, RSTART + 1, RLENGTH - 2)
        if (row_ours[row] ~ / \* /) return
        name = file; sub(/[^\/]*$/, "", name)
        if (header ~ /\// || !exists(root "/" name header))
            bad(file ":" number, "\"" header "\" lies in another folder: rooms meet in include/hd")
    }
}
BEGIN {
    standard = " assert.h ctype.h errno.h float.h inttypes.h limits.h math.h stdalign.h stdarg.h" \
        " stdbool.h stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h "
}
FNR == NR {
    sub(/#.*/, "")
    if ($1 == "guest") { for (i = 2; i <= NF; i++) guest[++guests] = $i; next }
    if ($1 == "group") { words = ""; for (i = 3; i <= NF; i++) words = words " " $i
        group[$2] = expand(words); next }
    if (trim($0) == "") next
    n = split($0, part, "|")
    if ($1 == "deps") {
        sub(/^[ \t]*deps[ \t]+/, "", part[1])
        deps_pattern[++deps] = pattern(trim(part[1])); deps_words[deps] = " " trim(part[2]) " "
    } else {
        if (n != 3) bad(FILENAME ":" FNR, "three columns expected")
        row_pattern[++rows] = pattern(trim(part[1]))
        row_ours[rows] = expand(part[2]); row_foreign[rows] = " " trim(part[3]) " "
    }
    next
}
$1 == "F" { row = row_of($2); if (row == 0) bad($2, "has no row in the table of layers") }
$1 == "I" { file = $2; number = $3; row = row_of(file)
    if (row != 0) { sub(/^I [^ ]* [^ ]* /, ""); check_include(file, number, row, $0) } }
$1 == "D" {
    folder = $2; sub(/\/meson\.build$/, "", folder); row = deps_of(folder)
    if (row == 0) bad($2 ":" $3, "the folder has no row of dependencies in the table of layers")
    else if (deps_words[row] !~ / \* / && index(deps_words[row], " " $4 " ") == 0)
        bad($2 ":" $3, "may not depend on " $4 "_dep")
}
END { if (count > 0) { print count " violations of the layers"; exit 1 } }
' "$table" "$work/facts"
