#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# with_private_engine.sh PROGRAM [ARGUMENT...]: runs it with DOCKER_HOST at a Docker engine of its own that is started again
# whenever it ends, so that the program may kill it (its pid is in the file that HD_TEST_ENGINE_PID names). Everything lives in
# namespaces of its own, of processes and control groups too: an engine that is killed at a bad moment must not take
# anything else along. Without root, dockerd or namespaces it says so as a skipped test.
set -euo pipefail

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

# Outside: a control group for everything, then namespaces.
if [ "${1:-}" != --inside ]; then
    PATH=$PATH:/usr/sbin:/sbin
    [ "$(id -u)" = 0 ] || skip "an engine of its own needs root"
    command -v dockerd >/dev/null || skip "dockerd is not installed"
    unshare --mount --pid --net --cgroup --fork true 2>/dev/null || skip "no namespaces may be made here"
    dir=$(mktemp -d /tmp/hd-engine.XXXXXX)
    name=${dir##*/}
    groups=$(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts)
    finish() {
        umount "$dir" 2>/dev/null || true
        # From the deepest one up; those that an engine left, too.
        for group in $groups; do
            [ ! -d "$group/$name" ] || find "$group/$name" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done
        rm -rf "$dir"
    }
    trap finish EXIT
    for group in $groups; do
        mkdir "$group/$name" 2>/dev/null || continue
        for of in cpus mems; do
            [ ! -e "$group/cpuset.$of" ] || cat "$group/cpuset.$of" >"$group/$name/cpuset.$of"
        done
    done
    # The shell that unshares is in the group, so that the group is the root of what the engine sees.
    (
        for group in $groups; do
            [ ! -d "$group/$name" ] || echo "$BASHPID" >"$group/$name/cgroup.procs" 2>/dev/null || true
        done
        exec unshare --mount --pid --net --cgroup --fork --kill-child --mount-proc --propagation private \
            "$0" --inside "$dir" "$@"
    )
    exit
fi

# Inside: the first process of its namespace.
dir=$2
shift 2
awk '$3 ~ /^cgroup/ { print $2, $3, $4 }' /proc/mounts >"$dir/groups"
umount -R /sys/fs/cgroup
mount -t tmpfs tmpfs /sys/fs/cgroup
while read -r path type options; do
    mkdir -p "$path"
    kind=$(echo "$options" | tr , '\n' | grep -vx 'rw\|ro\|nosuid\|nodev\|noexec\|relatime\|nsdelegate\|memory_recursiveprot\|xattr\|clone_children' | paste -sd, || true)
    mount -t "$type" ${kind:+-o "$kind"} "$type" "$path" || { echo "$path cannot be mounted ($kind)" >&2; exit 1; }
done <"$dir/groups"
# In version 2 a group with processes gives its limits to no group below it.
if [ -e /sys/fs/cgroup/cgroup.subtree_control ]; then
    mkdir /sys/fs/cgroup/first
    while read -r pid; do echo "$pid" >/sys/fs/cgroup/first/cgroup.procs 2>/dev/null || true; done </sys/fs/cgroup/cgroup.procs
    sed 's/[^ ][^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true
fi
mount -t tmpfs tmpfs /run
ip link set lo up
export DOCKER_HOST=unix://$dir/docker.sock HD_TEST_ENGINE_PID=$dir/docker.pid
(
    while [ ! -e "$dir/over" ]; do
        dockerd --host "$DOCKER_HOST" --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$HD_TEST_ENGINE_PID" \
            --bridge none --iptables=false --ip6tables=false ${HD_TEST_ENGINE_OPTIONS:-} >>"$dir/log" 2>&1 </dev/null || true
    done
) &
tries=0
until curl -s --max-time 5 --unix-socket "$dir/docker.sock" http://docker/_ping >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 300 ] || { tail -n 5 "$dir/log" >&2; skip "the engine does not start: $(tail -n 1 "$dir/log")"; }
    read -rt 0.1 <> <(:) || true
done
answer=0
"$@" || answer=$?
[ "$answer" = 0 ] || tail -n 30 "$dir/log" >&2
touch "$dir/over"
kill "$(cat "$HD_TEST_ENGINE_PID")" 2>/dev/null || true
tries=0
while [ -e "$HD_TEST_ENGINE_PID" ] && [ "$tries" -lt 200 ]; do
    tries=$((tries + 1))
    read -rt 0.1 <> <(:) || true
done
exit "$answer"
