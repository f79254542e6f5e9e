# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev build` and `./dev bundle`, and the staged installation that the test user runs.

# build_preset PRESET [TARGET]: ./build/PRESET. One at a time in a checkout.
build_preset() {
  local tree=$build/$1 target=${2:-all} launcher=()
  mkdir -p "$build"
  exec {build_lock}> "$build/.lock"
  flock "$build_lock"
  if command -v ccache > /dev/null; then launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  if [ ! -e "$tree/build.ninja" ]; then
    say "configuring $1"
    cmake --preset "$1" "${launcher[@]}" > "$build/configure-$1.log" 2>&1 || {
      cat "$build/configure-$1.log" >&2
      fail "cmake could not configure preset '$1'" "see its messages above"
    }
  fi
  say "building $1"
  cmake --build "$tree" --target "$target" --parallel "$(nproc)" >&2
  exec {build_lock}>&-
}

# install_prefix PRESET: $prefix becomes what `cmake --install` makes of ./build/PRESET; a bundle
# that is there stays.
install_prefix() {
  prefix=$stage/$1
  make_stage
  find "$prefix" -mindepth 1 -maxdepth 1 ! -name lib -exec rm -rf {} + 2> /dev/null || true
  cmake --install "$build/$1" --prefix "$prefix" > "$build/install-$1.log"
}

# Links (or copies) the bundle of the caller's cache to where an installed conode looks for one; the
# cache itself may be closed to the test user.
install_bundle() {
  local source=$1 target=$prefix/lib/conode/bundle
  if cmp -s "$source/manifest.json" "$target/manifest.json"; then return; fi
  rm -rf "$target" "$target.partial"
  mkdir -p "$target.partial"
  cp -al "$source/." "$target.partial" 2> /dev/null || cp -a "$source/." "$target.partial"
  chmod -R a+rX "$target.partial"
  mv "$target.partial" "$target"
}

# The bundle's directory in the caller's cache.
make_bundle() {
  say "making the bundle, unless it is cached"
  "$build/$1/bin/conode" bundle build || fail "no bundle was made" "see the message above"
}

# install_all PRESET: builds and stages everything that the test user needs.
install_all() {
  local bundle
  build_preset "$1"
  install_prefix "$1"
  bundle=$(make_bundle "$1")
  install_bundle "$bundle"
}

verb_build() {
  verb_setup
  build_preset "${1:-dev}"
}

verb_bundle() {
  verb_build
  make_bundle dev
}
