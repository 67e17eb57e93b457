#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every header between rooms compiles alone. Usage: headers.sh ROOT COMPILER...
set -eu
. "$(dirname "$0")/lib.sh"
root=$1
shift
count=0
for header in "$root"/include/hd/*.h "$root"/include/*.h; do
    [ -f "$header" ] || continue
    if ! "$@" -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -I"$root/include" -include "$header" \
        -fsyntax-only -x c /dev/null; then
        echo "${header#"$root"/}: does not compile alone"
        count=$((count + 1))
    fi
done
finish "$count" "headers need another one before them"
