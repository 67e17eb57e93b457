#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A lint must refuse its bad sample, and for the right reason: every TEXT must be in what it says.
# Usage: rejects.sh TEXT[;TEXT...] LINT ARGUMENT...
set -u
texts=$1
shift
said=$("$@" 2>&1)
status=$?
[ $status -eq 1 ] || { echo "$said"; echo "exit status $status, 1 expected"; exit 1; }
IFS=';'
for text in $texts; do
    case $said in
    *"$text"*) ;;
    *) echo "$said"; echo "lacks: $text"; exit 1 ;;
    esac
done
