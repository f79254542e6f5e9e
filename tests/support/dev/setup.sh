# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev setup`: apt packages, Go, the test user. Each step does nothing where nothing is missing.

readonly go_toolchain=go1.26.8 # fetched where there is no Go that is new enough

# missing_packages [LIST]
missing_packages() {
  comm -23 <(sed -E 's/[[:space:]]*#.*//; /^$/d' "${1:-$support/packages.txt}" | sort -u) \
    <(dpkg-query -W -f '${db:Status-Status} ${Package}\n' | sed -n 's/^installed //p' | sort -u)
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
    install --no-install-recommends "$@" >&2 < /dev/null
}

install_packages() {
  if [ $# = 0 ]; then return; fi
  say "installing $# packages: $*"
  # Lists that are missing or old show as a name without a candidate, or a file that is gone.
  if apt-get -s install --no-install-recommends "$@" > /dev/null 2>&1 && apt_install "$@"; then
    return
  fi
  as_root apt-get -q update >&2
  apt_install "$@" || fail "apt-get could not install the packages above" \
    "see its messages; this is written for Debian 12"
}

required_go() { jq -r .go "$top/agent/bundle/recipe/recipe.json"; }

# go_suffices PROGRAM: is it a Go that is new enough?
go_suffices() {
  local version
  version=$(GOTOOLCHAIN=local "$1" env GOVERSION 2> /dev/null) || return 1
  printf '%s\n' "go$(required_go)" "$version" | sort -V -C
}

# The directory of a Go that is new enough; empty where there is none.
find_go() {
  local program
  for program in "$(command -v go || true)" /usr/local/go/bin/go "$cache/go/bin/go"; do
    if [ -x "$program" ] && go_suffices "$program"; then
      dirname "$program"
      return
    fi
  done
}

# Debian's Go is too old to build with, but can fetch and verify a newer one as a module. A Go
# before 1.21 does not know that this module's programs are to be executable.
fetch_go() {
  local arch modules=$cache/go.partial program=/usr/bin/go module
  arch=$(dpkg --print-architecture)
  if [ ! -x $program ]; then install_packages golang-go; fi
  say "fetching $go_toolchain from the Go module proxy"
  if [ -d "$modules" ]; then chmod -R u+w "$modules" && rm -rf "$modules"; fi
  mkdir -p "$modules"
  module=$(cd / && GOTOOLCHAIN=local GOMODCACHE=$modules GOFLAGS=-modcacherw $program mod download -json \
    "golang.org/toolchain@v0.0.1-$go_toolchain.linux-$arch" | jq -r .Dir) ||
    fail "could not fetch $go_toolchain" "install Go $(required_go) or newer and put it on PATH"
  chmod -R u+x "$module/bin" "$module/pkg/tool"
  rm -rf "$cache/go"
  mv "$module" "$cache/go"
  rm -rf "$modules"
}

# Puts a Go that is new enough on PATH.
use_go() {
  local directory
  directory=$(find_go)
  if [ -z "$directory" ]; then
    fetch_go
    directory=$(find_go)
  fi
  [ -n "$directory" ] || fail "the fetched Go does not start" "remove '$cache/go' and try again"
  export PATH=$directory:$PATH
}

verb_setup() {
  local missing
  mapfile -t missing < <(missing_packages)
  install_packages "${missing[@]}"
  use_go
  prepare_user
}
