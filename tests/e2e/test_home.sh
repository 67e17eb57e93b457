#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the best jobs left comes to the master, and outlives their workers and the disks of these; what
# somebody asks for comes too. Usage: test_home.sh HD_NAMESERVER HD_MASTER HD_WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
cat >target.sh <<'TARGET'
out=$HYPERDOCK_DIR/out
echo "model of $HYPERDOCK_JOB" >"$out/model"
mkdir "$out/deep" && head -c 1200000 /dev/zero >"$out/deep/weights"
ln -s /etc/passwd "$out/link"
mkfifo "$out/fifo"
echo secret >"$HYPERDOCK_DIR/other"
echo "a line of $HYPERDOCK_JOB"
[ "$HYPERDOCK_JOB" -lt 4 ] || until [ -e go ]; do sleep 0.05; done
echo "$HP_X" >"$HYPERDOCK_DIR/loss.json"
TARGET
cat >home.yaml <<'EXPERIMENT'
name: home
target: {command: [sh, target.sh]}
objective: {name: loss, direction: minimize}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 5}
seed: 3
ping: 100ms
EXPERIMENT
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
"$master" --run-id home --nameserver "$address" --token-file token --state-dir state home.yaml >master.out 2>master.log &
master_pid=$!
pids="$pids $!"
"$worker" --nameserver "$address" --token-file token --run-id home --work-dir disk --worker-id a --engine process >worker.log 2>&1 &
worker_pid=$!
pids="$pids $!"
ask() { "$hd" "$@" --state-dir state; }
best() { ask best --json --count 1 | sed -n 's/^ *"job": \([0-9]*\),$/\1/p' | head -n 1; }
copies() { find state/state.db.home -mindepth 1 -maxdepth 1 -type d | wc -l; }
is_here() { [ -s "$(echo state/state.db.home/*-"$(best)")/list" ]; }
is_whole() { # is_whole DIR JOB: what people want of the attempt, and nothing else
    [ "$(cat "$1/out/model")" = "model of $2" ] && [ "$(wc -c <"$1/out/deep/weights")" -eq 1200000 ] &&
        [ "$(readlink "$1/out/link")" = /etc/passwd ] &&
        [ ! -e "$1/out/fifo" ] && [ ! -e "$1/other" ] && [ -s "$1/loss.json" ] && [ -s "$1/params.json" ] &&
        grep -q "a line of $2" "$1/log.txt"
}

echo "1..5"
last_runs() { ask jobs --json | grep -q '"job": 4' && [ -e disk/home/run/4-1/log.txt ]; }
until_true last_runs && until_true is_here && [ "$(copies)" -eq 1 ]
verdict $? "the files of the best job come to the master, and those of earlier ones go"
other=$((($(best) + 1) % 4))
ask fetch $other asked >said 2>&1 && is_whole asked $other && grep -q "from its worker" said
verdict $? "hd fetch has another one brought by its worker"
! ask fetch 4 running 2>said && grep -q "still runs" said && [ ! -e running ]
verdict $? "but not what is not whole yet"

touch go
wait "$worker_pid"
wait "$master_pid"
rm -rf disk
ask fetch best kept >said 2>&1 && is_whole kept "$(best)" && grep -q "from state/state.db.home" said
verdict $? "the best is there when worker, master and the worker's disk are gone"
lost=$((($(best) + 2) % 4))
! ask fetch $lost nowhere 2>said && grep -q "no master is there to ask): worker a has it, in home/run/$lost-1" said && [ ! -e nowhere ]
verdict $? "of others it says who had them, and where"
