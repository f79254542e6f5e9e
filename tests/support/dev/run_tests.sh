#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# run_tests.sh TIER...: the tests of these tiers, inside of a session (session.sh), started by
# `./dev test`. The tier `hosts` is run on the first of two hosts (hosts.sh). Results as files in $CONODE_TEST_RESULTS: JUnit of ctest and of bats, and one of each
# GoogleTest program, since ctest knows only programs. Whether they are good, tally.py says.
#
# Tests find in their environment: CONODE (the installed program, also first on PATH), CONODE_BUNDLE,
# CONODE_TEST_SUPPORT (programs made for tests), TMPDIR (has to be empty in the end).
set -euo pipefail

readonly results=$CONODE_TEST_RESULTS

# The delegated cgroup that we sit in, for the tests of the cgroup library.
CONODE_TEST_CGROUP=$(awk '/ - cgroup2 / {print $5; exit}' /proc/self/mountinfo)$(sed -n 's/^0:://p' /proc/self/cgroup)
export CONODE_TEST_CGROUP

# ctest_tier TREE TIER
ctest_tier() {
  local jobs=1
  if [ "$2" = unit ]; then jobs=$(nproc); fi
  printf '== %s, %s build\n' "$2" "$1"
  GTEST_OUTPUT=xml:$results/gtest-$1-$2/ ctest --test-dir "$CONODE_TEST_BUILD/$1" \
    --label-regex "^$2\$" --parallel "$jobs" --output-on-failure --no-tests=ignore \
    --output-junit "$results/ctest-$1-$2.xml" || true
  [ -e "$results/ctest-$1-$2.xml" ]
}

# bats_files NAME FILE...
bats_files() {
  local name=$1
  shift
  printf '== %s, bats\n' "$name"
  export BATS_TEST_TIMEOUT=300 BATS_LIB_PATH=/usr/lib/bats
  # Whoever calls may be under nohup(1); the tests send SIGHUP.
  env --default-signal=HUP bats --timing --print-output-on-failure --report-formatter junit --output "$results" \
    "$@" || touch "$results/bats-$name.failed"
  mv "$results/report.xml" "$results/bats-$name.xml"
}

programs=$(dirname "$0")/../../program
readonly programs

for tier in "$@"; do
  if [ "$tier" = hosts ]; then bats_files hosts "$programs"/hosts/*.bats && continue; fi
  for tree in $CONODE_TEST_TREES; do
    if [ "$tier" != program ] || [ "$tree" = dev ]; then ctest_tier "$tree" "$tier"; fi
  done
  if [ "$tier" = program ]; then bats_files program "$programs"/*.bats; fi
done
