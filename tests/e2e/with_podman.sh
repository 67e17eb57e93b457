#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# with_podman.sh [--beside] PROGRAM [ARGUMENT...]: runs it with DOCKER_HOST at a Podman service of its own (with --beside:
# HD_PODMAN_HOST), which goes with all that it has made afterwards. Without Podman it says so as a skipped test.
set -euo pipefail

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

command -v podman >/dev/null || skip "podman is not installed"
command -v curl >/dev/null || skip "curl, which would ask the service, is not installed"
[ "$(id -u)" = 0 ] || [ -n "${XDG_RUNTIME_DIR:-}" ] || skip "Podman without root needs XDG_RUNTIME_DIR"

dir=$(mktemp -d /tmp/hd-podman.XXXXXX)
service=""
finish() {
    if [ -n "$service" ]; then
        podman "${options[@]}" rm --all --force --time 0 >/dev/null 2>&1 || true
        kill "$service" 2>/dev/null || true
        wait "$service" 2>/dev/null || true
    fi
    umount "$dir/root/vfs" "$dir/root" 2>/dev/null || true
    rm -rf "$dir"
}
trap finish EXIT

# crun refuses the hybrid of both versions of cgroups; the limits of a container are those that this user may set.
runtime=""
for name in crun runc; do
    command -v "$name" >/dev/null || continue
    [ "$name" = crun ] && grep -q ' cgroup ' /proc/mounts && continue
    runtime=$name
    break
done
[ -n "$runtime" ] || skip "no runtime for Podman fits this machine's cgroups (install runc)"
processes=$(ulimit -Hu)
if [ "$processes" = unlimited ] || [ "$processes" -gt 4096 ]; then processes=4096; fi
cat >"$dir/containers.conf" <<END
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=$processes:$processes"]
[engine]
runtime = "$runtime"
cgroup_manager = "cgroupfs"
events_logger = "file"
END
export CONTAINERS_CONF=$dir/containers.conf
options=(--root "$dir/root" --runroot "$dir/run" --storage-driver vfs)
# There, since what watches a container leaves files where it was started.
(cd "$dir" && exec podman "${options[@]}" system service --time 0 "unix://$dir/podman.sock") >"$dir/log" 2>&1 &
service=$!
answers() { [ "$(curl -s --max-time 5 --unix-socket "$dir/podman.sock" http://podman/_ping 2>/dev/null)" = OK ]; }
until answers; do
    kill -0 "$service" 2>/dev/null || skip "Podman's service does not start: $(tail -n 1 "$dir/log")"
    read -rt 0.1 <> <(:) || true
done
if [ "$1" = --beside ]; then
    shift
    HD_PODMAN_HOST=unix://$dir/podman.sock "$@"
else
    DOCKER_HOST=unix://$dir/podman.sock "$@"
fi
