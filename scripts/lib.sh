# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# lib.sh: what bootstrap, demo and test share. Sourced, never run.
#
# The Docker engine: engine_find looks for one that answers, engine_start makes one where none does
# and systemd does not run, engine_stop ends the one that this script started. DOCKER_HOST
# is exported for everything that comes after. Only dockerd and apt are ever run with sudo.

HD_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly HD_TOP

# dockerd and iptables live where a person's PATH often does not lead.
PATH=$PATH${HD_SBIN-:/usr/sbin:/sbin}

# Where our own dockerd lives. Short, since a socket's path has at most 107 bytes.
HD_ENGINE_RUN=${HD_ENGINE_RUN:-/run/hyperdock-engine}
HD_ENGINE_DATA=${HD_ENGINE_DATA:-/var/lib/hyperdock-engine}
HD_ENGINE_WAIT_S=${HD_ENGINE_WAIT_S:-60}
HD_ENGINE_REASON="" # why there is no engine, a sentence
HD_ENGINE_OURS=""   # yes: started by this script

say() { printf '%s\n' "$*"; }
note() { printf '== %s\n' "$*"; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# A build by root leaves files that the person behind sudo can neither change nor remove.
refuse_sudo() {
    if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
        die "run it as $SUDO_USER, without sudo: it asks for sudo where it needs it"
    fi
}

# "root", "sudo" or "none". Sudo counts when it asks nothing, or can ask a person.
privilege() {
    if [ "$(id -u)" -eq 0 ]; then
        echo root
    elif have sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 1 ]; }; }; then
        echo sudo
    else
        echo none
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

has_systemd() { [ -d "${HD_SYSTEMD_DIR:-/run/systemd/system}" ]; }

# ---- is there an engine? -----------------------------------------------------------------------

default_docker_host() { echo "${DOCKER_HOST:-unix:///var/run/docker.sock}"; }

# engine_curl HOST PATH [curl options]: a request to the API.
engine_curl() {
    local host=$1 path=$2
    shift 2
    case $host in
    unix://*) curl -sS --max-time 600 --unix-socket "${host#unix://}" "$@" "http://docker$path" ;;
    tcp://*) curl -sS --max-time 600 "$@" "http://${host#tcp://}$path" ;;
    http://*) curl -sS --max-time 600 "$@" "$host$path" ;;
    *) return 1 ;;
    esac
}

engine_answers() {
    [ "$(engine_curl "$1" /_ping --connect-timeout 5 2>/dev/null)" = OK ]
}

# The sockets of the dockerd processes that run: a second one beside them would share their bridge.
engine_sockets() {
    local dir
    for dir in /proc/[0-9]*; do
        if [ "$(cat "$dir/comm" 2>/dev/null)" = dockerd ]; then
            tr '\0' '\n' 2>/dev/null <"$dir/cmdline" | sed -n 's|^.*\(unix://.*\)$|\1|p'
        fi
    done
}

# Exports DOCKER_HOST and succeeds when an engine answers; otherwise sets HD_ENGINE_REASON.
engine_find() {
    local host socket other
    host=$(default_docker_host)
    if ! have curl; then
        HD_ENGINE_REASON="curl, which would ask the engine, is not installed"
        return 1
    fi
    if engine_answers "$host"; then
        export DOCKER_HOST=$host
        return 0
    fi
    if [ -z "${DOCKER_HOST:-}" ]; then
        for other in "unix://$HD_ENGINE_RUN/docker.sock" $(engine_sockets); do
            if engine_answers "$other"; then
                export DOCKER_HOST=$other
                return 0
            fi
        done
    fi
    socket=${host#unix://}
    if [ "$socket" != "$host" ] && [ -S "$socket" ] && [ ! -w "$socket" ]; then
        HD_ENGINE_REASON="the engine at $socket does not let $(id -un) in: sudo usermod -aG docker $(id -un), then log in again"
    else
        HD_ENGINE_REASON="no Docker engine answers at $host"
    fi
    return 1
}

# ---- our own engine ------------------------------------------------------------------------------

engine_pid_alive() {
    local pid
    pid=$(cat "$HD_ENGINE_RUN/docker.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -qF -- "$HD_ENGINE_RUN/docker.sock"
}

# engine_try STORAGE [dockerd options]: starts dockerd and waits until it answers or ends.
engine_try() {
    local storage=$1 log=$HD_ENGINE_DATA/dockerd.log begin=$SECONDS
    shift
    as_root mkdir -p "$HD_ENGINE_RUN" "$HD_ENGINE_DATA/$storage" || return 1
    # In a session of its own: a Ctrl-C meant for this script must not reach it.
    # shellcheck disable=SC2016 # the inner shell expands it
    as_root setsid sh -c 'log=$1; shift; exec "$@" >"$log" 2>&1 </dev/null' sh "$log" \
        dockerd --host "unix://$HD_ENGINE_RUN/docker.sock" --data-root "$HD_ENGINE_DATA/$storage" \
        --exec-root "$HD_ENGINE_RUN/exec" --pidfile "$HD_ENGINE_RUN/docker.pid" \
        --group "$(id -gn)" --storage-driver "$storage" "$@" &
    local child=$!
    while [ $((SECONDS - begin)) -lt "$HD_ENGINE_WAIT_S" ]; do
        engine_answers "unix://$HD_ENGINE_RUN/docker.sock" && return 0
        [ -d "/proc/$child" ] || break
        sleep 0.3
    done
    engine_kill
    wait "$child" 2>/dev/null
    return 1
}

engine_kill() {
    local pid tries=0
    engine_pid_alive || return 0
    pid=$(cat "$HD_ENGINE_RUN/docker.pid")
    as_root kill -TERM "$pid" || return 0
    while engine_pid_alive && [ $tries -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.3
    done
    ! engine_pid_alive || as_root kill -KILL "$pid"
}

# A container can only start where cgroups are mounted; without systemd nobody may have done it.
engine_mount_cgroups() {
    if ! grep -q ' cgroup2\? ' /proc/mounts && have cgroupfs-mount; then
        as_root cgroupfs-mount
    fi
}

# Makes an engine that answers, if it can; otherwise HD_ENGINE_REASON says why not.
engine_start() {
    engine_find && return 0
    if [ -n "${DOCKER_HOST:-}" ] || has_systemd || ! have dockerd; then
        return 1
    fi
    if [ "$(privilege)" = none ]; then
        HD_ENGINE_REASON="no Docker engine answers, and starting one needs root or sudo"
        return 1
    fi
    note "no Docker engine answers and systemd does not run: starting dockerd in $HD_ENGINE_DATA"
    say "   (Docker sets the FORWARD policy of iptables to DROP; 'iptables -P FORWARD ACCEPT' undoes it)"
    engine_mount_cgroups
    if engine_try overlay2 || engine_try vfs || engine_try vfs --iptables=false --ip6tables=false; then
        HD_ENGINE_OURS=yes
        export DOCKER_HOST=unix://$HD_ENGINE_RUN/docker.sock
        return 0
    fi
    HD_ENGINE_REASON="dockerd does not start; the end of $HD_ENGINE_DATA/dockerd.log says: $(
        as_root tail -n 1 "$HD_ENGINE_DATA/dockerd.log" 2>/dev/null
    )"
    return 1
}

engine_stop() {
    if [ -n "$HD_ENGINE_OURS" ]; then
        HD_ENGINE_OURS=""
        note "stopping the dockerd that was started here"
        engine_kill
    fi
}

# engine_build TAG DIR FILE...: builds an image of DIR's Dockerfile and the files named, through the
# API, so that no client is needed.
engine_build() {
    local tag=$1 dir=$2 answer
    shift 2
    answer=$(tar -C "$dir" -cf - Dockerfile "$@" |
        engine_curl "$DOCKER_HOST" "/build?t=$tag&rm=1" -X POST \
            -H 'Content-Type: application/x-tar' --data-binary @-) || return 1
    case $answer in
    *'"errorDetail"'* | '{"message"'*)
        printf '%s\n' "$answer" >&2
        return 1
        ;;
    *'Successfully built'* | *'"aux"'*) return 0 ;;
    *)
        printf '%s\n' "$answer" >&2
        return 1
        ;;
    esac
}

# ---- building -------------------------------------------------------------------------------------

# hd_configure DIR [meson options]: makes the build directory or keeps the one there.
hd_configure() {
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ]; then
        return 0
    fi
    rm -rf "$dir"
    mkdir -p "$dir" || return 1
    meson setup "$dir" "$HD_TOP" "$@" >"$dir/setup.log" 2>&1 || {
        cat "$dir/setup.log"
        return 1
    }
}
