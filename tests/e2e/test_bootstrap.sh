#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# scripts/bootstrap changes only what is missing. Every command that it could do harm with is a stub that keeps a
# ledger. Usage: test_bootstrap.sh SOURCE_ROOT
set -u
root=$1
top=$(mktemp -d) || exit 1
trap 'rm -rf "$top"' EXIT
bin=$top/bin
mkdir "$bin" || exit 1
count=0

stub() { # stub NAME: reads its body from standard input
    { echo '#!/usr/bin/env bash'; cat; } >"$bin/$1"
    chmod +x "$bin/$1"
}

# The packages in $top/installed are installed; an engine answers when $top/engine exists.
stub dpkg-query <<END
for name in "\$@"; do :; done
grep -qx -- "\$name" "$top/installed" && echo installed
END
stub apt-get <<END
echo "apt-get \$*" >>"$top/ledger"
[ "\$1" != update ] || [ ! -e "$top/offline" ]
END
stub curl <<END
[ -e "$top/engine" ] && printf OK
END
stub id <<END
case \$1 in -u) cat "$top/uid" ;; *) echo somebody ;; esac
END
stub sudo <<END
[ -e "$top/sudo" ] || exit 1
[ "\$1" != -n ] || shift
echo "sudo \$*" >>"$top/ledger"
"\$@"
END
for name in bash env cat sed grep head tail dirname true mktemp rm; do
    ln -s "$(command -v "$name")" "$bin/$name"
done

# Nothing installed, no engine, root, online.
reset() {
    rm -f "$top"/{installed,engine,uid,sudo,offline,ledger}
    : >"$top/installed"
    : >"$top/ledger"
    echo 0 >"$top/uid"
}

bootstrap() {
    env -i PATH="$bin" HOME="$top" HD_SBIN= DOCKER_HOST="unix://$top/docker.sock" bash "$root/scripts/bootstrap" "$@" \
        >"$top/out" 2>&1 </dev/null
    code=$?
}

# All that a dry run asks for.
install_all() { sed -n 's/^bootstrap: missing: //p' "$top/out" | tr ' ' '\n' >>"$top/installed"; }

promise() { # promise TEXT, with the status of the command before
    local good=$?
    count=$((count + 1))
    if [ $good -eq 0 ]; then
        echo "ok $count - $1"
    else
        echo "not ok $count - $1"
        sed 's/^/# /' "$top/out" "$top/ledger"
    fi
}

reset
bootstrap
[ $code -eq 0 ] && grep -q '^apt-get install --yes --no-remove .* libnng-dev .* docker.io' "$top/ledger"
promise "root installs what is missing, without removing anything"
! grep -q sudo "$top/ledger"
promise "root needs no sudo"

install_all
: >"$top/ledger"
touch "$top/offline"
bootstrap
[ $code -eq 0 ] && [ ! -s "$top/ledger" ]
promise "a second run calls neither apt nor sudo"

sed -i '/^libnng-dev$/d' "$top/installed"
bootstrap
[ $code -eq 0 ] && grep -q 'install .* libnng-dev$' "$top/ledger"
promise "only the package that is missing is installed, even when the lists cannot be renewed"

reset
bootstrap --no-docker
install_all
printf '%s\n' podman catatonit runc docker-registry docker-compose >>"$top/installed" # the second engine of the tests, a registry, compose
: >"$top/ledger"
touch "$top/engine"
bootstrap
[ $code -eq 0 ] && [ ! -s "$top/ledger" ]
promise "where an engine answers, docker.io is not installed"

rm "$top/engine"
echo docker-ce-cli >>"$top/installed"
bootstrap
! grep -q docker.io "$top/ledger" && grep -q 'docker-ce-cli is installed' "$top/out"
promise "docker-ce is not pushed out by docker.io"

reset
echo 1000 >"$top/uid"
bootstrap
[ $code -eq 1 ] && [ ! -s "$top/ledger" ] && grep -q '^  apt-get update && apt-get install --yes --no-remove .*gcc' "$top/out"
promise "without privilege the exact command is printed and nothing is run"

touch "$top/sudo"
bootstrap
[ $code -eq 0 ] && grep -q '^sudo env DEBIAN_FRONTEND=noninteractive apt-get install' "$top/ledger"
promise "a person with sudo gets apt through sudo"
[ "$(grep '^sudo' "$top/ledger" | grep -cv -e '^sudo true$' -e 'apt-get')" -eq 0 ]
promise "and nothing else through it"

reset
bootstrap --dry-run
[ $code -eq 1 ] && [ ! -s "$top/ledger" ] && grep -q '^apt-get update && apt-get install' "$top/out"
promise "a dry run prints the command and fails while something is missing"

reset
rm "$bin/dpkg-query"
bootstrap
[ $code -eq 0 ] && grep -q 'no apt' "$top/out" && grep -q libnng-dev "$top/out"
promise "without apt the needs are listed"
echo "1..$count"
