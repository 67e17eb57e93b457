#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every source names its license in the first three lines, but for what hd init writes: that is its user's.
# Usage: license.sh ROOT
set -eu
. "$(dirname "$0")/lib.sh"
root=$1
found=$(files_of "$root" | grep -v '^cli/init/' | grep -E '(\.(c|h|sh|sql)|(^|/)meson\.build|(^|/)meson_options\.txt|(^|/)Dockerfile|^scripts/[^.]*|^\.ci/run)$' |
    (cd "$root" && xargs -d '\n' -r awk '
        function tell() { if (file != "" && !good) print file ": no SPDX-License-Identifier" }
        FNR == 1 { tell(); file = FILENAME; good = 0 }
        FNR <= 3 && /SPDX-License-Identifier: Apache-2\.0/ { good = 1 }
        FNR > 3 { nextfile }
        END { tell() }'))
[ -z "$found" ] || {
    echo "$found"
    finish "$(echo "$found" | wc -l)" "files without a license"
}
