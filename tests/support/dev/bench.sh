# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev bench`: the release build against the floor, both from the same bundle; cni against the
# reference plugins, by a program of the tests' build.

verb_bench() {
  local code=0
  verb_setup
  install_all release
  if [[ $# = 0 || " $* " = *" cni "* ]]; then build_preset dev cni_bench; fi
  open_session
  "$support/busybox_image.py" "$stage/busybox.tar"
  in_session CONODE_TEST_SUPPORT="$build/dev/tests" \
    "$top/tests/bench/bench.py" --bundle "$prefix/lib/conode/bundle" \
    --image "$stage/busybox.tar" --output "$session_tmp/bench" "$@" || code=$?
  if [ -d "$session_tmp/bench" ]; then
    mkdir -p "$build/bench"
    cp --no-preserve=mode,ownership "$session_tmp/bench/"*.json "$build/bench"
    say "written: $build/bench/*.json"
  fi
  return $code
}
