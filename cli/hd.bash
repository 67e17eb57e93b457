# SPDX-License-Identifier: Apache-2.0
# bash completion for hd, hd-master, hd-worker and hd-nameserver: asks the programs themselves, so that
# it never lies.

_hd_commands() { "$1" --help 2>/dev/null | sed -n 's/^  \([a-z][a-z-]*\)  *[a-z].*/\1/p' | grep -v '^hd$'; }
_hd_options() { "$@" --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p'; }

_hd() {
    local program=${COMP_WORDS[0]} command=${COMP_WORDS[1]-} word=${COMP_WORDS[COMP_CWORD]} words=""
    COMPREPLY=()
    case ${program##*/} in
    hd)
        if [ "$COMP_CWORD" -eq 1 ]; then
            words="$(_hd_commands "$program") help --help --version"
        elif [ "$command" = help ]; then
            words=$(_hd_commands "$program")
        elif [[ $word == -* ]]; then
            words=$(_hd_options "$program" "$command")
        elif [ "$command" = init ] && [ "${COMP_WORDS[COMP_CWORD - 1]}" = --language ]; then
            words="shell python c"
        elif [ "$command" = import ] && [ "${COMP_WORDS[COMP_CWORD - 1]}" = --from ]; then
            words="hyperdock mlframework"
        elif [ "$command" = workers ] && [ "$COMP_CWORD" -eq 2 ]; then
            words="list pause resume drain shutdown test"
        elif [ "$command" = notify ] && [ "$COMP_CWORD" -eq 2 ]; then
            words="list test"
        elif [ "$command" = services ] && [ "$COMP_CWORD" -eq 2 ]; then
            words="up down list"
        fi
        ;;
    *) if [[ $word == -* ]]; then words=$(_hd_options "$program"); fi ;;
    esac
    if [ -n "$words" ]; then
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}
complete -o filenames -F _hd hd hd-master hd-worker hd-nameserver
