#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# GPUs by their UUIDs, on a machine that has three of them as far as nvidia-smi says. Usage: test_gpus.sh HD
set -u
hd=$1
dir=$(mktemp -d) || exit 1
trap 'cd / && rm -rf "$dir"' EXIT
cd "$dir" || exit 1
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || { echo "not ok $number - $2"; sed 's/^/# /' run.out run.err; }
}
echo 1..5
mkdir bin || exit 1
cat >bin/nvidia-smi <<'END'
#!/bin/sh
for i in 0 1 2; do echo "GPU $i: fake (UUID: GPU-fake-$i)"; done
END
chmod +x bin/nvidia-smi
PATH=$dir/bin:$PATH
export PATH

# A directory for each GPU while a job has it: made twice at a time, it is had twice.
cat >job.sh <<'END'
#!/bin/sh
for gpu in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do
    mkdir "$BASE/held/$gpu" || echo "$gpu" >>"$BASE/twice"
    echo "$gpu" >>"$BASE/used"
done
while [ "$(wc -l <"$BASE/used")" -lt "$TOGETHER" ]; do sleep 0.02; done
[ "$NVIDIA_VISIBLE_DEVICES" = "$CUDA_VISIBLE_DEVICES" ] || exit 3
echo 0.5 >"$HYPERDOCK_DIR/loss.json"
for gpu in $(echo "$CUDA_VISIBLE_DEVICES" | tr , ' '); do rmdir "$BASE/held/$gpu"; done
END
experiment() { # experiment GPUS CONFIGS [TOGETHER]: its first jobs wait until so many run
    cat <<END
target: {command: [sh, '$dir/job.sh'], env: {BASE: '$dir', CUDA_VISIBLE_DEVICES: all, TOGETHER: ${3:-0}}, resources: {gpus: $1}}
objective: loss
space: {x: {type: float, low: 0, high: 1}}
sampler: {name: random}
stop: {configs: $2}
END
}
mkdir held
experiment 1 12 3 >one.yaml
"$hd" run one.yaml --state-dir one --workers 1 >run.out 2>run.err && grep -q '^jobs: 12 done, 12 ok' run.out && [ ! -e twice ]
verdict $? "a job has a GPU of its own"
[ "$(sort -u used | tr '\n' ' ')" = "GPU-fake-0 GPU-fake-1 GPU-fake-2 " ]
verdict $? "as many jobs as GPUs run at a time"
: >used
experiment 1 8 >two.yaml
"$hd" run two.yaml --state-dir two --workers 2 >run.out 2>run.err && grep -q '^jobs: 8 done, 8 ok' run.out && [ ! -e twice ]
verdict $? "two workers of one machine do not give one GPU twice"
: >used
experiment 0 2 >none.yaml
"$hd" run none.yaml --state-dir none --workers 1 >run.out 2>run.err && [ "$(sort -u used)" = void ]
verdict $? "a job without GPUs sees none"
: >used
experiment 3 2 >all.yaml
"$hd" run all.yaml --state-dir all --workers 1 >run.out 2>run.err && [ "$(sort used | uniq -c | tr -s ' \n' ' ')" = " 2 GPU-fake-0 2 GPU-fake-1 2 GPU-fake-2 " ]
verdict $? "a job may have all of them"
