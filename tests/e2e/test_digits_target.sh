#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The digits example keeps the contract of a target. Usage: test_digits_target.sh TRAIN DATA_DIR
set -u
train=$1
data=$2
top=$(mktemp -d) || exit 1
trap 'rm -rf "$top"' EXIT
count=0

check() { # check PROMISE COMMAND...: the command must succeed
    promise=$1
    shift
    count=$((count + 1))
    if "$@" >"$top/check" 2>&1; then
        echo "ok $count - $promise"
    else
        echo "not ok $count - $promise"
        sed 's/^/# /' "$top/check"
    fi
}

make_dir() { # make_dir NAME PARAMS
    mkdir "$top/$1" && ln -s "$data" "$top/$1/data" && echo "$2" >"$top/$1/params.json"
}

run() { # run NAME BUDGET BUDGET_PREVIOUS
    rm -f "$top/$1/loss.json"
    echo "{\"version\": 1, \"config_id\": [0, [1], {\"a\": [null, true, \"\\u0041\\\"]}\"]}], \"budget\": $2,
        \"budget_previous\": $3, \"seed\": 42, \"objective\": {\"name\": \"loss\"}, \"deadline\": null}" >"$top/$1/job.json"
    HYPERDOCK_DIR=$top/$1 "$train" >"$top/$1/log" 2>&1
}

same_network() { cmp "$top/$1/work/digits.ckpt" "$top/$2/work/digits.ckpt"; }
same_loss() { [ "$(cut -d, -f1 "$top/$1/loss.json")" = "$(cut -d, -f1 "$top/$2/loss.json")" ]; }
fails_saying() { # fails_saying NAME TEXT
    run "$1" 1 null
    [ $? -eq 1 ] && grep -q '"state": "fail"' "$top/$1/loss.json" && grep -q "$2" "$top/$1/loss.json"
}

config='{"learning_rate": 0.05, "momentum": 0.8, "weight_decay": 1e-3, "units": 20, "batch_size": 17, "activation": "tanh"}'

make_dir straight "$config"
check "9 epochs at once are trained" run straight 9 null
make_dir steps "$config"
steps() { run steps 1 null && run steps 3 1 && run steps 9 3; }
check "1, 3 and 9 epochs are trained, each going on from the last" steps
check "they end with the same network as 9 at once" same_network straight steps
check "and with the same loss" same_loss straight steps
check "each epoch was trained once" test "$(wc -l <"$top/steps/metrics.jsonl")" -eq 9
again() { run steps 9 3 && same_loss straight steps && [ "$(wc -l <"$top/steps/metrics.jsonl")" -eq 9 ]; }
check "a repeated attempt trains nothing again and gives the same loss" again

make_dir torn "$config"
torn() {
    run torn 3 null && printf x | dd of="$top/torn/work/digits.ckpt" bs=1 seek=500 conv=notrunc &&
        run torn 9 3 && grep -q "damaged" "$top/torn/log" && same_network straight torn
}
check "a damaged checkpoint is not used and the result is the same" torn
other() {
    echo '{"units": 21}' >"$top/torn/params.json" && run torn 1 null && grep -q "another size" "$top/torn/log" &&
        echo '{"units": 21, "momentum": 0.5}' >"$top/torn/params.json" && run torn 1 null &&
        grep -q "another configuration" "$top/torn/log"
}
check "a checkpoint of another configuration is not used" other

make_dir wild '{"learning_rate": 900, "momentum": 0.99}'
diverges() { run wild 9 null && grep -q '"loss": NaN, "state": "ok"' "$top/wild/loss.json"; }
check "a network that diverges writes NaN as its loss" diverges

make_dir stop '{"units": 256, "batch_size": 4}'
stops() {
    echo '{"budget": 100000, "seed": 1}' >"$top/stop/job.json"
    mkfifo "$top/stop/fifo"
    HYPERDOCK_DIR=$top/stop "$train" >"$top/stop/fifo" 2>&1 &
    pid=$!
    exec 3<"$top/stop/fifo"
    while read -r line <&3; do # the first epoch has ended
        case $line in epoch*) break ;; esac
    done
    kill -TERM $pid
    cat <&3 >/dev/null
    exec 3<&-
    wait $pid
    [ $? -eq 143 ] && [ ! -e "$top/stop/loss.json" ] && [ -s "$top/stop/work/digits.ckpt" ]
}
check "SIGTERM keeps a checkpoint, writes no loss and exits with 143" stops

make_dir bad '{"units": 8.5e9}'
check "a hyperparameter out of range fails with the reason" fails_saying bad "units is 8.5e+09"
echo '{"activation": "sine"}' >"$top/bad/params.json"
check "an unknown activation fails with the reason" fails_saying bad "neither"
# shellcheck disable=SC1003 # the backslash is a character to replace
for text in '{"units": 8' '[1]' '{"units" 8}' '{"units": 8,}' '{"units": }' '{"a": [1, 2}' '{"a": "b' '{"a": "\x"}' '{"units": 8} x' '{"a": [[[' ''; do
    echo "$text" >"$top/bad/params.json"
    check "params.json that holds '$(printf %s "$text" | tr '#\\' '  ')' is refused" fails_saying bad "not a JSON object"
done
echo '{}' >"$top/bad/params.json"
rm "$top/bad/data" && mkdir "$top/bad/data"
if [ ! -e /data/digits.csv ]; then
    no_data() { (cd "$top" && fails_saying bad "mount the data"); }
    check "without data it fails with the reason" no_data
fi
echo "1..$count"
