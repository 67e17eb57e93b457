#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An image that is built from a directory: once, by whoever starts the run, and handed by the master to a worker with another
# engine. Usage: with_podman.sh --beside test_images.sh HD_NAMESERVER HD_MASTER HD_WORKER HD TARGET, TARGET a static program.
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4 target=$5
mkdir context
cp "$target" context/target
cat >context/Dockerfile <<'DOCKERFILE'
FROM scratch
COPY target /target
ENTRYPOINT ["/target"]
DOCKERFILE
head -c 64 /dev/urandom >context/salt # an image of this test alone
cat >experiment.yaml <<'EXPERIMENT'
name: built
target: {image: {build: context}, command: [exit, "0"], strict: true}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 2}
EXPERIMENT
docker_curl() { curl -s --max-time 60 --unix-socket "${DOCKER_HOST#unix://}" "$@"; }
case ${DOCKER_HOST:=unix:///var/run/docker.sock} in
unix://*) ;;
*) skip="the Docker engine is not on a socket" ;;
esac
export DOCKER_HOST
[ -n "${skip:-}" ] || [ "$(docker_curl http://docker/_ping)" = OK ] || skip="no Docker engine answers"
if [ -n "${skip:-}" ]; then
    echo "1..0 # SKIP $skip"
    exit 0
fi

echo "1..6"
"$hd" run --state-dir one --workers 1 experiment.yaml >one.out 2>one.err
verdict $? "hd run builds the image and runs it"
grep -q "^build: Step 1/3 : FROM scratch" one.err
verdict $? "the build is shown"
"$hd" show --state-dir one 0 | grep -q "^  image sha256:"
verdict $? "an attempt keeps which image it was"
"$hd" run --state-dir two --workers 1 experiment.yaml >two.out 2>two.err && ! grep -q "^build:" two.err
verdict $? "what is built already is not built again"

"$nameserver" --port 0 --token-file token >address 2>nameserver.log &
pids="$pids $!"
until_true test -s address || exit 1
address=$(tr ' ' ':' <address)
"$master" --run-id built --nameserver "$address" --token-file token --state-dir three experiment.yaml >master.out 2>master.log &
master_pid=$!
pids="$pids $master_pid"
DOCKER_HOST=$HD_PODMAN_HOST "$worker" --nameserver "$address" --token-file token --run-id built --work-dir work --engine podman \
    >worker.out 2>worker.log &
pids="$pids $!"
wait "$master_pid"
"$hd" status --state-dir three 2>/dev/null | grep -q "finished"
verdict $? "a worker whose engine does not have it runs it all the same"
[ "$(grep -c "fetching hyperdock-build:[0-9a-f]* from the master" worker.log)" -eq 1 ]
verdict $? "it comes from the master, once"
image=$(sed -n 's/.*fetching \(hyperdock-build:[0-9a-f]*\) from.*/\1/p' worker.log | head -n 1)
docker_curl -X DELETE "http://docker/images/${image:-none}?force=1" >/dev/null
