#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Reports one skipped test and why. Usage: skip.sh REASON
echo "1..0 # SKIP $1"
