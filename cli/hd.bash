# SPDX-License-Identifier: Apache-2.0
# bash completion for hd: asks hd itself, so that it never lies.

_hd_words() {
    # The commands of "hd --help", or the options of "hd COMMAND --help".
    if [ "$#" -eq 1 ]; then
        "$1" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\)  *[a-z].*/\1/p' | grep -v '^hd$'
    else
        "$1" "$2" --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p'
    fi
}

_hd() {
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_hd_words "$program") --help --version" -- "$word")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_hd_words "$program" "${COMP_WORDS[1]}")" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -o filenames -F _hd hd
