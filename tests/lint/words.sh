#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The project speaks of itself alone: no paths of the machine it was written on, no numbers of a
# tracker. Usage: words.sh ROOT
set -eu
. "$(dirname "$0")/lib.sh"
root=$1
pattern='[.][.]/share[d]|(^|[^A-Za-z0-9_}.])/wor[k]/|(^|[^A-Za-z])[Ii]ssues? (no[.] ?|#)?[0-9]+'
found=$(cd "$root" && files_of . | xargs -d '\n' -r grep -InHE "$pattern" --) || true
[ -z "$found" ] || {
    echo "$found"
    finish "$(echo "$found" | wc -l)" "lines with words that do not belong"
}
