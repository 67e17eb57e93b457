#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A target's code: it goes with the run, by its content, to each worker once.
# Usage: test_code.sh HD_NAMESERVER HD_MASTER HD_WORKER HD
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4
mkdir src src/lib
cat >src/main.sh <<'TARGET'
#!/bin/sh
echo "$PWD $HYPERDOCK_CODE_DIR $(cat lib/words)" >>"$LEDGER"
(echo x >"$HYPERDOCK_CODE_DIR/mine") 2>/dev/null && [ "$(id -u)" != 0 ] && exit 1
echo 1 >"$HYPERDOCK_DIR/loss.json"
TARGET
chmod +x src/main.sh
echo first >src/lib/words
head -c 1500000 /dev/urandom >src/lib/weights # more than one message
echo notes >src/notes.txt
echo "*.txt" >src/.hdignore
cat >experiment.yaml <<EXPERIMENT
name: coded
target: {code: ./src, command: [./main.sh], env: {LEDGER: $dir/ledger}}
objective: loss
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: random
stop: {configs: 4}
EXPERIMENT
"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)

echo "1..8"
"$master" --run-id coded --nameserver "$address" --token-file token --state-dir state experiment.yaml >master.out 2>master.log &
master_pid=$!
pids="$pids $master_pid"
until_true grep -q "run coded created" master.log
echo second >src/lib/words # what a run was started with stays
"$worker" --nameserver "$address" --token-file token --work-dir root --engine process >worker.log 2>&1 &
worker_pid=$!
pids="$pids $worker_pid"
until_true grep -q "finished: " master.out
[ "$(grep -c " first$" ledger)" -eq 4 ] && [ "$(wc -l <ledger)" -eq 4 ]
verdict $? "each job has the files that were there when the run began"
code=$(echo "$dir"/root/.hyperdock-code/*)
[ "$(cut -d ' ' -f 1,2 ledger | sort -u)" = "$code $code" ]
verdict $? "they are where it starts, and HYPERDOCK_CODE_DIR says so"
cmp -s src/lib/weights "$code/lib/weights" && [ -x "$code/main.sh" ] && [ ! -e "$code/notes.txt" ]
verdict $? "they are what they were, without what .hdignore names"
[ "$(find root/.hyperdock-code -mindepth 1 -maxdepth 1 | wc -l)" -eq 1 ] && [ "$(stat -c %a "$code" "$code/lib" "$code/lib/words" "$code/main.sh" | tr '\n' ' ')" = "555 555 444 555 " ]
verdict $? "they lie there once, for reading only"
wait "$master_pid"
"$master" --run-id coded --nameserver "$address" --token-file token --state-dir state --resume experiment.yaml >again.out 2>again.err
[ $? -ne 0 ] && grep -q "target.code.hash" again.err
verdict $? "a run is not resumed with other code"
echo first >src/lib/words
rm -rf state/state.db.code
"$master" --run-id coded --nameserver "$address" --token-file token --state-dir state --resume experiment.yaml >again.out 2>again.err &&
    [ -e "state/state.db.code/${code##*/}.tar" ]
verdict $? "with the same code it is, and a store that lost it has it again"
"$hd" rerun --state-dir state 0 >rerun.out 2>&1 && tail -n 1 ledger | grep -q "/.hyperdock-code .* first$"
verdict $? "hd rerun has the code of the run"
echo third >src/lib/words
"$hd" try experiment.yaml >try.out 2>&1 && tail -n 1 ledger | grep -q " third$"
verdict $? "hd try has the code that is there now"
