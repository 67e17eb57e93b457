#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The branin example computes its function and refuses other arguments. Usage: test_branin_target.sh BRANIN
set -u
branin=$1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT

loss_is() { # loss_is X1 X2 BEGINNING
    HYPERDOCK_DIR=$dir "$branin" "$1" "$2" && grep -q "^{\"loss\": $3" "$dir/loss.json"
}
verdict() { [ "$1" -eq 0 ] && echo "ok $2" || echo "not ok $2"; }

echo "1..4"
loss_is 3.14159265358979 2.275 0.39788735
verdict $? "1 - its minimum is 0.397887"
loss_is -3.14159265358979 12.275 0.39788735
verdict $? "2 - and is found a second time"
loss_is 0 0 55.60211264
verdict $? "3 - elsewhere it is larger"
"$branin" 1 zwei 2>/dev/null
verdict $(($? != 2)) "4 - an argument that is no number is refused"
