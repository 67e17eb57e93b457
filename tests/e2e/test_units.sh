#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# systemd units: their options exist, and systemd itself finds nothing wrong with them.
# usage: test_units.sh SOURCE_ROOT hd-nameserver hd-master hd-worker
set -euo pipefail
root=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
number=0
say() {
    number=$((number + 1))
    echo "$1 $number - $2"
}

# options_of UNIT: the long options of its ExecStart.
options_of() { sed -n 's/^ExecStart=//p' "$1" | grep -o -- ' --[a-z-]*' | tr -d ' '; }

for program in "$@"; do
    name=${program##*/}
    unit=$(echo "$root"/docs/systemd/"$name"*.service.in)
    help=$("$program" --help)
    missing=""
    for option in $(options_of "$unit"); do
        grep -q -- "^  $option" <<<"$help" || missing="$missing $option"
    done
    if [ -z "$missing" ]; then
        say ok "the options of $name's unit exist"
    else
        echo "# not in $name --help:$missing"
        say "not ok" "the options of $name's unit exist"
    fi
    # Here the program is, and its user is not.
    sed -e "s|@bindir@/$name|$program|" -e '/^User=/d' -e '/^SupplementaryGroups=/d' "$unit" \
        >"$work/$(basename "${unit%.in}")"
done

if command -v systemd-analyze >/dev/null; then
    for unit in "$work"/*.service; do
        instance=${unit/@./@digits.}
        [ "$instance" = "$unit" ] || mv "$unit" "$instance"
        # Warnings about other units of this machine are not ours.
        if systemd-analyze verify --man=no --recursive-errors=no "$instance" >"$work/said" 2>&1 &&
            ! grep -q "^${instance##*/}\|$instance" "$work/said"; then
            say ok "systemd accepts ${instance##*/}"
        elif grep -q 'Failed to \(create\|connect\|initialize\|setup\)\|Operation not permitted' "$work/said"; then
            say ok "systemd accepts ${instance##*/} # SKIP systemd-analyze does not work here"
        else
            sed 's/^/# /' "$work/said"
            say "not ok" "systemd accepts ${instance##*/}"
        fi
    done
else
    say ok "systemd accepts the units # SKIP no systemd-analyze"
fi
echo "1..$number"
