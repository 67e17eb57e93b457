#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# with_private_disk.sh PROGRAM [ARGUMENT...]: runs it with a TMPDIR that no other mount namespace
# sees, as if the engine were on another machine.
set -eu

if [ "${1:-}" = --inside ]; then
    shift
    mount -t tmpfs tmpfs "$TMPDIR"
    exec "$@"
fi
if ! unshare -m true 2>/dev/null; then
    echo "1..0 # SKIP no mount namespaces for this user"
    exit 0
fi
TMPDIR=$(mktemp -d)
export TMPDIR
trap 'rmdir "$TMPDIR"' EXIT
unshare -m --propagation private "$0" --inside "$@"
