#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Pulls from a real registry (Debian's docker-registry) on loopback: with a login and without one, once for two jobs,
# by tag and by digest. Usage: test_registry.sh HD_NAMESERVER HD_MASTER HD_WORKER HD TARGET, TARGET a static program.
# shellcheck source=tests/e2e/story.sh
. "$(dirname "$0")/story.sh"
hd=$4 target=$5
docker_curl() { curl -s --max-time 60 --unix-socket "${DOCKER_HOST#unix://}" "$@"; }
case ${DOCKER_HOST:=unix:///var/run/docker.sock} in
unix://*) [ "$(docker_curl http://docker/_ping)" = OK ] || skip="no Docker engine answers" ;;
*) skip="the Docker engine is not on a socket" ;;
esac
command -v docker-registry >/dev/null || skip="docker-registry is not installed"
if [ -n "${skip:-}" ]; then
    echo "1..0 # SKIP $skip"
    exit 0
fi
export DOCKER_HOST

# The registry takes no port 0: one that is free now is tried, and another one if it was taken meanwhile.
free_port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
answers() { [ "$(curl -s -o reply -w '%{http_code}' -u person:secret "http://127.0.0.1:$port/v2/")" = 200 ]; }
echo 'person:$2b$04$k9/HqU49AIRxOyilzGNtv.nxAqmZrMITIlt2W1XO12e7X4brIRYYO' >passwords # bcrypt of "secret"
start_registry() {
    port=$(free_port)
    cat >registry.yaml <<REGISTRY
version: 0.1
storage: {filesystem: {rootdirectory: $dir/registry}}
http: {addr: 127.0.0.1:$port}
auth: {htpasswd: {realm: test, path: $dir/passwords}}
REGISTRY
    docker-registry serve registry.yaml >registry.log 2>&1 &
    registry=$!
    pids="$pids $registry"
    until_true answers_or_gone
    answers
}
answers_or_gone() { answers || gone "$registry"; }
start_registry || start_registry || start_registry || exit 1

repository=127.0.0.1:$port/hyperdock/target
login=$(printf '{"username":"person","password":"secret"}' | base64 -w 0)
head -c 64 /dev/urandom >salt # an image of this test alone
cp "$target" target
tar -cf image.tar target salt
docker_curl -X POST --data-binary @image.tar -H 'Content-Type: application/x-tar' \
    "http://docker/images/create?fromSrc=-&repo=$repository&tag=1&changes=ENTRYPOINT%20%5B%22%2Ftarget%22%5D" >imported
docker_curl -X POST -H "X-Registry-Auth: $login" "http://docker/images/$repository/push?tag=1" >pushed
digest=$(sed -n 's/.*digest: \(sha256:[0-9a-f]*\).*/\1/p' pushed | head -n 1)
forget() { docker_curl -X DELETE "http://docker/images/$1?force=1" >/dev/null; }
forget "$repository:1"

experiment() { # experiment IMAGE
    cat <<EXPERIMENT
name: pulled
target: {image: '$1', command: [exit, "0"], retries: 0}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 2}
EXPERIMENT
}
experiment "$repository:1" >tag.yaml
experiment "$repository@$digest" >digest.yaml
experiment "$repository:none" >none.yaml

echo "1..6"
[ -n "$digest" ]
verdict $? "the registry has the image"
mkdir config none
auth=$(printf person:secret | base64)
echo "{\"auths\": {\"127.0.0.1:$port\": {\"auth\": \"$auth\"}}}" >config/config.json
DOCKER_CONFIG=$dir/none "$hd" run --state-dir zero --workers 1 tag.yaml >zero.out 2>zero.err
grep -q "needs a login\|no basic auth credentials\|docker login" zero.out zero.err
verdict $? "without a login it is refused, and said so"
gets() { grep -c "/v2/hyperdock/target/manifests/1" registry.log; }
before=$(gets)
DOCKER_CONFIG=$dir/config "$hd" run --state-dir one --workers 1 tag.yaml >one.out 2>one.err
verdict $? "with one it is pulled and run"
"$hd" show --state-dir one 0 | grep -q "^  image sha256:" && [ "$(gets)" -gt "$before" ]
verdict $? "an attempt keeps which image it was"
forget "$repository:1"
DOCKER_CONFIG=$dir/config "$hd" run --state-dir two --workers 1 digest.yaml >two.out 2>two.err
verdict $? "a digest names it as well"
DOCKER_CONFIG=$dir/config "$hd" run --state-dir three --workers 1 none.yaml >three.out 2>three.err
[ $? -ne 0 ] && cat three.out three.err | grep -q "does not exist here and could not be pulled (check its name"
verdict $? "a tag that the registry does not have is told"
forget "$repository@$digest"
kill "$registry"
