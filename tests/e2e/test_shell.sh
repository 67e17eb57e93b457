#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# hd shell: a command where a job runs, or would run; hd rerun --print: the line to do it by hand. Usage: test_shell.sh HD
set -u
hd=$1
dir=$(mktemp -d) || exit 1
mkdir "$dir/tmp" "$dir/bin"
export TMPDIR="$dir/tmp"
# The target of the slow run waits at a pipe: the last writer lets it end.
trap '"$hd" cancel slow --state-dir "$dir/slow" >/dev/null 2>&1; "$hd" attach slow --state-dir "$dir/slow" >/dev/null 2>&1; [ ! -p pipe ] || : <>pipe; cd / && rm -rf "$dir"' EXIT
cd "$dir" || exit 1
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || { echo "not ok $number - $2"; sed 's/^/# /' ./*.out; }
}
cat >experiment.yaml <<'END'
name: quick
target:
  command: [/bin/sh, -c, 'echo 1 >"$HYPERDOCK_DIR/loss.json"']
  env: {GREETING: "it's me"}
objective: loss
space: {x: {type: int, low: 2, high: 2}}
sampler: {name: random}
stop: {configs: 1}
END
sed -e 's/^name: quick/name: slow/' -e "s|'echo 1 |'touch $dir/started; read x <$dir/pipe; echo 1 |" experiment.yaml >slow.yaml
# What an engine's client is asked for.
cat >bin/docker <<END
#!/bin/sh
[ "\$1 \$2" = "container inspect" ] && exec test -e $dir/engine
printf '%s\n' "\$*" >>$dir/asked.out
exit 5
END
chmod +x bin/docker
echo 1..7
"$hd" run experiment.yaml --state-dir quick --workers 1 --seed 1 >run.out 2>&1
"$hd" shell 0 --state-dir quick -- /bin/sh -c 'cat "$HYPERDOCK_DIR/params.json"; echo "$GREETING"; exit 7' >shell.out 2>&1
[ $? -eq 7 ] && grep -q '"x": 2' shell.out && grep -qx "it's me" shell.out
verdict $? "a command sees what the job saw, and its exit code is told"
echo 'echo "$HP_X"' | "$hd" shell 0 --state-dir quick >shell.out 2>&1 && grep -qx 2 shell.out
verdict $? "without a command it is a shell"
[ -z "$(ls tmp)" ]
verdict $? "nothing of it stays"
"$hd" rerun 0 --state-dir quick --print >line.sh 2>print.out && sh ./line.sh >line.out 2>&1 &&
    [ "$(cat tmp/*/*/run/0-2/loss.json)" = 1 ] && grep -q 'which stays' print.out
verdict $? "the line that --print prints does it by hand"
"$hd" try experiment.yaml --print >try.sh 2>print.out && sh ./try.sh >line.out 2>&1 &&
    grep -q . tmp/*/*/run/0-1/loss.json && grep -q 'which stays' print.out
verdict $? "so does that of hd try"
mkfifo pipe
"$hd" run slow.yaml --state-dir slow --workers 1 --seed 1 --detach >slow.out 2>&1
tries=0
until [ -e started ] || [ $tries -gt 600 ]; do
    tries=$((tries + 1))
    sleep 0.05
done
touch engine
PATH="$dir/bin:$PATH" "$hd" shell 0 --state-dir slow -- ls /hyperdock >inside.out 2>&1
[ $? -eq 5 ] && grep -Eq '^exec -i hyperdock-[0-9a-f]{16}-0-1 ls /hyperdock$' asked.out
verdict $? "of a job that runs it is the container that its engine has"
rm engine
PATH="$dir/bin:$PATH" "$hd" shell 0 --state-dir slow -- /bin/sh -c 'echo "$HYPERDOCK_ATTEMPT"' >inside.out 2>&1 &&
    grep -q 'has no container' inside.out && grep -qx 2 inside.out
verdict $? "where that is elsewhere it says so, and a fresh one serves"
