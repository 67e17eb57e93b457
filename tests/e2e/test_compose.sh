#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compose.yaml as README.md says: the image is built, and a run is done by a worker in a container with the engine's socket. Base image
# is what this machine has: a shell, what was built here, and the libraries of both. Usage: test_compose.sh SOURCE BUILD TARGET,
# TARGET a static program.
set -u
source=$1 build=$2 target=$3
docker_curl() { curl -s --max-time 120 --unix-socket "${DOCKER_HOST#unix://}" "$@"; }
case ${DOCKER_HOST:=unix:///var/run/docker.sock} in
unix://*) [ "$(docker_curl http://docker/_ping)" = OK ] || skip="no Docker engine answers" ;;
*) skip="the Docker engine is not on a socket" ;;
esac
export DOCKER_HOST
if docker compose version >/dev/null 2>&1; then
    compose() { docker compose "$@"; }
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose "$@"; }
else
    skip="no docker compose (docker-compose)"
fi
[ "$(meson introspect --buildoptions "$build" | python3 -c 'import json, sys
print([o["value"] for o in json.load(sys.stdin) if o["name"] == "b_sanitize"][0])')" = none ] || skip="a sanitizer is built in"
if [ -n "${skip:-}" ]; then
    echo "1..0 # SKIP $skip"
    exit 0
fi

dir=$(mktemp -d) || exit 1
name=hdtest$(od -An -N6 -tx1 /dev/urandom | tr -d ' \n')
export COMPOSE_PROJECT_NAME="$name" HYPERDOCK_IMAGE="$name:own" HYPERDOCK_BASE="$name:base" DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0
export HYPERDOCK_EXPERIMENT="$dir/experiment" DOCKER_SOCKET="${DOCKER_HOST#unix://}"
forget() { docker_curl -X DELETE "http://docker/images/$1?force=1" >/dev/null; }
# The volumes of data sets that the worker has made: it has a file for each.
volumes() {
    docker_curl "http://docker/containers/$(compose ps --all -q worker 2>/dev/null | head -n 1)/archive?path=/work" |
        grep -ao 'hyperdock-data-[0-9a-f]*' | sort -u
}
clean_up() {
    made=$(cd "$source" && volumes)
    (cd "$source" && compose down --volumes --timeout 2) >>"$dir/down.log" 2>&1
    for volume in $made; do docker_curl -X DELETE "http://docker/volumes/$volume" >/dev/null; done
    for tag in own base target; do forget "$name:$tag"; done
    rm -rf "$dir"
}
trap clean_up EXIT
number=0
verdict() { # verdict STATUS PROMISE
    number=$((number + 1))
    [ "$1" -eq 0 ] && echo "ok $number - $2" || echo "not ok $number - $2"
}
import() { # import NAME DIRECTORY [QUERY]
    tar -C "$2" -cf - . | docker_curl -X POST -T - -H 'Content-Type: application/x-tar' \
        "http://docker/images/create?fromSrc=-&repo=$1${3:-}" >"$dir/import.log"
}

mkdir -p "$dir/base/bin" "$dir/base/etc" "$dir/base/root" "$dir/base/tmp" "$dir/base/out" "$dir/experiment/data" "$dir/target"
meson install -C "$build" --no-rebuild --quiet --destdir "$dir/base/out" >"$dir/install.log" 2>&1
prefix=$(find "$dir/base/out" -path '*/bin/hd' | sed "s|^$dir/base/out||; s|/bin/hd\$||")
echo 'root:x:0:0:root:/root:/bin/sh' >"$dir/base/etc/passwd"
cp /bin/sh "$dir/base/bin/sh"
for program in /bin/sh "$dir/base/out$prefix/bin/"* "$build/worker/hd-worker"; do ldd "$program" 2>/dev/null; done |
    grep -o '/[^ ]*\.so[^ ]*' | grep -v "^$build\|^$dir" | sort -u | while read -r library; do
    mkdir -p "$dir/base$(dirname "$library")" && cp -L "$library" "$dir/base$library"
done
import "$name" "$dir/base" '&tag=base'
cp "$target" "$dir/target/target"
import "$name" "$dir/target" '&tag=target&changes=ENTRYPOINT%20%5B%22%2Ftarget%22%5D'
echo kept >"$dir/experiment/data/x"
cat >"$dir/experiment/experiment.yaml" <<EXPERIMENT
name: composed
target: {image: '$name:target', command: [data, "0"], data: ./data, pull: never}
space: {x: {type: float, low: 0.0, high: 1.0}}
sampler: {name: random}
iteration_generator: {name: full}
stop: {configs: 2}
EXPERIMENT

echo "1..4"
cd "$source" || exit 1
compose build >"$dir/build.log" 2>&1
verdict $? "the image is built"
compose up --detach >"$dir/up.log" 2>&1
verdict $? "nameserver, master and worker are started"
master=$(compose ps -q master 2>/dev/null | head -n 1)
docker_curl -X POST "http://docker/containers/${master:-none}/wait" >"$dir/wait.json"
grep -q '"StatusCode":0' "$dir/wait.json"
verdict $? "the run is done"
compose logs --no-color worker >"$dir/worker.log" 2>&1
grep -q "the engine does not see this worker's" "$dir/worker.log"
verdict $? "by a worker whose files the engine does not see"
if ! grep -q '"StatusCode":0' "$dir/wait.json"; then
    for log in build up import wait.json worker; do
        echo "# $log" && tail -n 15 "$dir/$log"* | sed 's/^/#   /'
    done
    compose logs --no-color master nameserver 2>&1 | tail -n 20 | sed 's/^/#   /'
fi
