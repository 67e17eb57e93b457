#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
printf 'program\n\n  --shown             stands in both\n  --forgotten N       is not in the page\n'
