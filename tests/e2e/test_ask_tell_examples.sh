#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The examples of ask and tell run, and all find the same as before a restart. Usage:
# test_ask_tell_examples.sh HD EXAMPLES SHARED_EXAMPLE STATIC_EXAMPLE LIBRARY [PYTHON]
set -u
hd=$1
examples=$2
shared=$3
static=$4
library=$5
python=${6:-}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
skip() {
    number=$((number + 1))
    echo "ok $number - $1 # SKIP there is no python3"
}
echo 1..5

"$shared" >"$dir/shared" 2>&1 && grep -q '^[1-9][0-9]* jobs, best 0\.0' "$dir/shared"
verdict $? "a C program tunes with the shared library"
"$static" >"$dir/static" 2>&1 && cmp "$dir/shared" "$dir/static"
verdict $? "with the static one it finds the same"
if [ -z "$python" ]; then
    skip "a Python program tunes with hd ask-tell"
    skip "it goes on where it was cut off"
    skip "ctypes reaches the library"
    exit 0
fi

tune() { "$python" "$examples/ask_tell_python/ask_tell.py" --hd "$hd" "$@" "$examples/ask_tell_python/experiment.yaml"; }
tune --jobs 3 >"$dir/python" 2>"$dir/errors" && grep -q '"jobs": 130, "best": {"config": {"x1"' "$dir/python"
verdict $? "a Python program tunes with hd ask-tell"
sed 's/^/# /' "$dir/errors"
# A session that was cut off after two asks and one tell.
printf '%s\n' '{"op":"ask"}' '{"op":"ask"}' '{"op":"tell","job":0,"loss":50}' |
    "$hd" ask-tell "$examples/ask_tell_python/experiment.yaml" --state "$dir/session.db" >"$dir/begun"
tune --state "$dir/session.db" >"$dir/resumed" 2>"$dir/errors" && grep -q '"jobs": 129, ' "$dir/resumed"
verdict $? "it goes on where it was cut off"
sed 's/^/# /' "$dir/errors"
"$python" "$examples/ask_tell_python/ctypes_ask.py" "$library" >"$dir/ctypes" 2>&1 && grep -qE '"loss": (0\.0|[0-9.]+e-)' "$dir/ctypes"
verdict $? "ctypes reaches the library"
