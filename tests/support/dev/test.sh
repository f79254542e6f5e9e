# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev test`: builds, runs the tiers as the test user (run_tests.sh), looks for what they left, and
# sums up (tally.py). A failed test does not keep the others from running.

readonly results=$build/results

# check NAME COMMAND...: a check of ours, counted as a test; its output is shown.
check() {
  local name=$1
  shift
  if "$@"; then
    printf 'passed\t%s\n' "$name" >> "$results/checks.tsv"
  else
    printf 'failed\t%s\n' "$name" >> "$results/checks.tsv"
  fi
}

nothing_left() {
  local left
  left=$(leftovers)
  if [ -z "$left" ]; then return; fi
  printf 'left behind by the tests:\n%s\n' "$left" >&2
  return 1
}

has_tier() { [[ " ${tiers[*]} " == *" $1 "* ]]; }

prepare_tests() {
  verb_setup
  build_preset dev
  install_prefix dev
  trees=(dev)
  if has_tier program || has_tier hosts; then install_bundle "$(make_bundle dev)"; fi
  if $all; then
    build_preset asan conode_tests
    build_preset tsan conode_tests
    trees+=(asan tsan)
  fi
}

# ctest writes its log into the tree it tests.
open_trees() {
  local tree
  for tree in "${trees[@]}"; do
    mkdir -p "$build/$tree/Testing"
    if is_root; then chown -R "$test_user:" "$build/$tree/Testing"; fi
  done
}

# tests_by COMMAND TIER...: COMMAND is in_session or alike.
tests_by() {
  local runner=$1
  shift
  "$runner" CONODE_TEST_TREES="${trees[*]}" CONODE_TEST_BUILD="$build" \
    CONODE_TEST_SUPPORT="$build/dev/tests" CONODE_TEST_RESULTS="$session_tmp/results" \
    "$support/dev/run_tests.sh" "$@" ||
    printf 'failed\trun_tests.sh %s ended with %s\n' "$*" $? >> "$results/checks.tsv"
}

run_tiers() {
  local tier
  mkdir -m 755 "$session_tmp/results"
  if is_root; then chown "$test_user:" "$session_tmp/results"; fi
  for tier in "${tiers[@]}"; do
    if [ "$tier" != hosts ]; then
      tests_by in_session "$tier"
    elif is_root; then
      tests_by run_on_hosts hosts
    else
      say 'tier hosts is not run: only root can make them'
    fi
  done
  cp -r --no-preserve=mode,ownership "$session_tmp/results/." "$results"
  rm -rf "$session_tmp/results"
}

verb_test() {
  local all=false trees=() tiers=("$@") tier
  if [ $# = 0 ]; then all=true tiers=(unit kernel program hosts); fi
  for tier in "${tiers[@]}"; do
    [[ $tier =~ ^(unit|kernel|program|hosts)$ ]] || fail "unknown tier '$tier'" "unit, kernel, program or hosts"
  done
  prepare_tests
  rm -rf "$results"
  mkdir -p "$results"
  open_session
  open_trees
  run_tiers
  check 'nothing is left of the tests' nothing_left
  if $all; then
    check 'the Debian package is complete' package_is_complete
    for name in "${lint_checks[@]}"; do check "lint $name" "lint_$name"; done
  fi
  "$support/tally.py" "$results" "$support/allowed_skips.txt"
}
