# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What all verbs of ./dev share.

readonly dev_started=$EPOCHSECONDS
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/conode

# Outside of the checkout, readable for everybody: what is installed for the test user.
stage=/var/tmp/conode-dev-$(id -u)-$(sha256sum <<< "$top" | cut -c1-8)
readonly stage

say() { printf 'dev: [%4d s] %s\n' $((EPOCHSECONDS - dev_started)) "$*" >&2; }

# fail WHAT [REMEDY]
fail() {
  printf 'dev: error: %s\n' "$1" >&2
  if [ $# -gt 1 ]; then printf 'dev:   remedy: %s\n' "$2" >&2; fi
  exit 1
}

is_root() { [ "$(id -u)" = 0 ]; }

as_root() {
  if is_root; then
    "$@"
  elif command -v sudo > /dev/null; then
    sudo "$@"
  else
    fail "this needs root: $*" "run it as root, or install sudo"
  fi
}

make_stage() {
  if [ -e "$stage" ] && [ ! -O "$stage" ]; then
    fail "'$stage' belongs to $(stat -c %U "$stage")" "remove it"
  fi
  mkdir -p "$stage"
}
