# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev demo`, `./dev shell` and `./dev clean`.

readonly workflow=$top/docs/examples/converged_workflow

# Results of the test user to a directory of the caller's below ./build.
take_results() {
  rm -rf "$2"
  mkdir -p "$2"
  cp -r --no-preserve=mode,ownership "$1/." "$2"
}

verb_demo() {
  local code=0
  if [ $# = 0 ]; then set -- --short; fi
  if [[ " $* " == *" --help "* || " $* " == *" -h "* ]]; then
    "$workflow/run.sh" --help
    return
  fi
  "$workflow/run.sh" --check "$@" # a misspelt option shall not cost a bundle
  verb_setup
  install_all dev
  open_session
  say "the converged workflow"
  in_session "$workflow/run.sh" --output "$session_tmp/results" "$@" ||
    code=$?
  if [ -d "$session_tmp/results" ]; then
    take_results "$session_tmp/results" "$build/demo"
    say "its results, and the plot prediction.png, are in $build/demo"
  fi
  return $code
}

verb_shell() {
  if [ $# = 0 ]; then set -- bash --norc -i; fi
  verb_setup
  install_all dev
  open_session
  say "a shell of '$test_user' in $session_cgroup"
  in_session "$@"
}

verb_clean() {
  local path
  if [ -e "$machines" ]; then cluster_down; fi
  for path in "$build" "$stage"; do
    if [ -e "$path" ]; then
      say "removing $path"
      rm -rf "$path"
    fi
  done
}
