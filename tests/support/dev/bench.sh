# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev bench`: the release build against the floor, both from the same bundle.

verb_bench() {
  local code=0
  verb_setup
  install_all release
  open_session
  "$support/busybox_image.py" "$stage/busybox.tar"
  in_session "$top/tests/bench/bench.py" --bundle "$prefix/lib/conode/bundle" \
    --image "$stage/busybox.tar" --output "$session_tmp/bench" "$@" || code=$?
  if [ -d "$session_tmp/bench" ]; then
    mkdir -p "$build/bench"
    cp --no-preserve=mode,ownership "$session_tmp/bench/"*.json "$build/bench"
    say "written: $build/bench/*.json"
  fi
  return $code
}
