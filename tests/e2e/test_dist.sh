#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The archive of scripts/dist works wherever it is unpacked. Usage: test_dist.sh SOURCE_ROOT BUILD_ROOT
set -u
source=$1
build=$2
dir=$(mktemp -d) || exit 1
trap 'cd / && rm -rf "$dir"' EXIT
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
echo 1..5

"$source/scripts/dist" --from "$build" --output "$dir/out" >"$dir/dist.log" 2>&1
status=$?
sed 's/^/# /' "$dir/dist.log"
set -- "$dir"/out/hyperdock-*-linux-*.tar.gz
[ "$status" -eq 0 ] && [ -f "$1" ]
verdict $? "scripts/dist makes an archive named by version and machine"

mkdir "$dir/some place" "$dir/home" && tar -xzf "$1" -C "$dir/some place" && cd "$dir/some place"/hyperdock-* || exit 1
missing=0
for file in bin/hd bin/hd-master bin/hd-nameserver bin/hd-worker libexec/hyperdock/hd-shim libexec/hyperdock/hd-launch \
    share/bash-completion/completions/hd LICENSE README.md \
    share/doc/hyperdock/libraries.txt examples/branin/experiment.yaml examples/branin/branin examples/digits/Dockerfile \
    include/hyperdock.h "$(find . -name libhyperdock.so)" "$(find . -name libhyperdock.a)" examples/ask_tell_c/ask_tell.c; do
    [ -s "$file" ] || { echo "# missing: $file"; missing=1; }
done
verdict $missing "everything a person needs is in it"

# Nothing of the build is found by accident: neither on PATH nor beside.
HOME=$dir/home PATH=/usr/bin:/bin XDG_CONFIG_HOME=$dir/home ./bin/hd run examples/branin/experiment.yaml \
    --workers 1 --state-dir "$dir/a state" --json >"$dir/result" 2>"$dir/errors"
status=$?
sed 's/^/# /' "$dir/errors"
verdict $status "hd finds its programs beside itself and runs an example to its end"
grep -q '"state":"finished"' "$dir/result"
verdict $? "the result says so"

# A program is built against what was unpacked.
pc=$(find "$PWD" -name hyperdock.pc)
if ! command -v cc >/dev/null || ! command -v pkg-config >/dev/null || nm -D "$(find . -name libhyperdock.so)" | grep -qE ' __(a|t|ub|m)san_'; then
    number=$((number + 1))
    echo "ok $number - a program is built against the library # SKIP without cc or pkg-config, or with a sanitizer in the library"
    exit 0
fi
# The directory has a blank in its name: variables carry it, flags would be split.
variable() { PKG_CONFIG_PATH=${pc%/*} pkg-config --variable="$1" hyperdock | sed 's|\\ | |g'; }
(
    libdir=$(variable libdir) && includedir=$(variable includedir) &&
        cc -I "$includedir" -o "$dir/ask_tell" examples/ask_tell_c/ask_tell.c -L "$libdir" -lhyperdock &&
        LD_LIBRARY_PATH=$libdir "$dir/ask_tell" >"$dir/told"
) >"$dir/cc.log" 2>&1 && grep -q ' jobs, best ' "$dir/told"
verdict $? "a program is built against the library"
sed 's/^/# /' "$dir/cc.log"
