#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every source names its license in the first three lines, but for what hd init writes: that is its user's.
# Usage: license.sh ROOT
set -eu
. "$(dirname "$0")/lib.sh"
root=$1
found=$(files_of "$root" | grep -v '^cli/init/' | grep -E '(\.(c|h|sh|sql)|(^|/)meson\.build|(^|/)meson_options\.txt|(^|/)Dockerfile|^scripts/[^.]*|^\.ci/run)$' |
    while IFS= read -r file; do
        head -n 3 "$root/$file" | grep -q 'SPDX-License-Identifier: Apache-2\.0' ||
            echo "$file: no SPDX-License-Identifier"
    done)
[ -z "$found" ] || {
    echo "$found"
    finish "$(echo "$found" | wc -l)" "files without a license"
}
