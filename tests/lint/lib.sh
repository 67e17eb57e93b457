#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# lib.sh: what the lints share. Sourced.

# files_of ROOT: its files, those of git where there is one, without the samples of this folder.
files_of() {
    if [ -e "$1/.git" ] && command -v git >/dev/null; then
        git -C "$1" ls-files --cached --others --exclude-standard
    else
        (cd "$1" && find . -type f -not -path './build*' -not -path './.git/*' | sed 's|^\./||')
    fi | grep -v '^tests/lint/bad/' | sort -u | while IFS= read -r file; do
        [ ! -f "$1/$file" ] || echo "$file"
    done
}

# c_code FILE...: the files with comments and the contents of strings and characters blanked, lines kept. With several files each line
# has FILE:LINE: before it.
c_code() {
    awk -v named="$(($# > 1))" '
    FNR == 1 { comment = 0 }
    {
        line = $0; out = ""; n = length(line); i = 1
        while (i <= n) {
            c = substr(line, i, 1); two = substr(line, i, 2)
            if (comment) {
                if (two == "*/") { comment = 0; i += 2 } else i++
            } else if (quote != "") {
                if (c == "\\") i += 2
                else { if (c == quote) { quote = ""; out = out c } i++ }
            } else if (two == "/*") { comment = 1; i += 2 }
            else if (two == "//") break
            else { if (c == "\"" || c == "\047") quote = c; out = out c; i++ }
        }
        quote = ""
        print (named ? FILENAME ":" FNR ":" : "") out
    }' "$@"
}

# finish COUNT WHAT: the verdict of a lint.
finish() {
    if [ "$1" -gt 0 ]; then
        echo "$1 $2"
        exit 1
    fi
    exit 0
}
