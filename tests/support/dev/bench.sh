# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev bench`: the release build against the floor, both from the same bundle; some by programs of
# the tests' build.

declare -rA bench_programs=([cni]=cni_bench [net]=net_relay_bench [scale]=bus_bench [vxlan]=net_vxlan_bench)

verb_bench() {
  local code=0 name
  verb_setup
  install_all release
  for name in "${!bench_programs[@]}"; do
    if [[ $# = 0 || " $* " = *" $name "* ]]; then build_preset dev "${bench_programs[$name]}"; fi
  done
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
