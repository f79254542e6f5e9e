# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# `./dev lint`: each check is a function that prints what is wrong and returns 1.

readonly lint_checks=(format tidy headers includes licence shell spelling)
# Run when they are named; ansible: by programs from PyPI; lima: by Lima's own, which Go compiles in minutes.
readonly slow_lint_checks=(analyzer ansible lima)
readonly lima_version=v1.2.2
readonly lint_folders=(agent ansible batch_hooks cgroup lima netplug tests)

# Only these folders may include what the pattern names (design: one wrapper for each library).
readonly include_rules=(
  'hwloc(/[a-z_]*)?\.h       agent/topology'
  'netlink/                  netplug/link'
  'zmq(_addon)?\.h           agent/bus'
  'grpc(pp)?/                agent/containerd agent/job'
  'libcgroup\.h              cgroup'
)

# sources EXTENSION...: files of ours
sources() {
  local extension names=()
  for extension in "$@"; do names+=(-o -name "*.$extension"); done
  find "${lint_folders[@]}" -type f \( "${names[@]:1}" \) | sort
}

# Every text file of ours; with an argument only those whose first line matches it.
scripts() {
  find . \( -path ./build -o -path ./.git \) -prune -o -type f -size -200k -print | sort |
    while read -r file; do
      if head -n 1 "$file" | grep -aqE "$1"; then echo "$file"; fi
    done
}

lint_format() {
  sources cc h | xargs clang-format --dry-run -Werror
}

lint_tidy() {
  "$support/lint/compile_checks.py" tidy "$build/dev" "$cache/lint"
}

lint_analyzer() {
  "$support/lint/compile_checks.py" analyzer "$build/dev" "$cache/lint"
}

lint_headers() {
  "$support/lint/compile_checks.py" headers "$build/dev" "$cache/lint"
}

lint_includes() {
  local rule pattern folders found code=0
  for rule in "${include_rules[@]}"; do
    read -r pattern folders <<< "$rule"
    found=$(sources cc h | grep -vE "^(${folders// /|})/" |
      xargs grep -nE "^ *# *include *[<\"]$pattern" || true)
    if [ -z "$found" ]; then continue; fi
    printf "only %s may include '%s':\n%s\n" "$folders" "$pattern" "$found"
    code=1
  done
  return $code
}

lint_licence() {
  local file code=0
  while read -r file; do
    if ! head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0'; then
      echo "$file: its first lines have no 'SPDX-License-Identifier: Apache-2.0'"
      code=1
    fi
  done < <(sources cc h c go py sh bats bash cmake proto yml && scripts '^#!' &&
    find "${lint_folders[@]}" -name CMakeLists.txt)
  return $code
}

# Parts without a #! line are read through who sources them (-x).
lint_shell() {
  { scripts '^#!.*(bash|/sh|bats)' && find tests -name '*.bash'; } | xargs shellcheck -x
}

lint_spelling() {
  codespell --skip='./build,./.git,*.sum,*.svg,*.xml,LICENSE' \
    --ignore-words="$support/lint/spelling_exceptions.txt" .
}

# The roles, and all else that is YAML of ours.
lint_ansible() {
  make_ansible || return 1
  (cd ansible && LC_ALL=C.UTF-8 PATH=$ansible:$PATH ansible-lint --nocolor --offline -q) &&
    "$ansible/yamllint" --strict --config-file ansible/.yamllint ansible lima tests/cluster
}

# limactl of $lima_version, in $cache/lima
make_limactl() {
  local module=$cache/lima/$lima_version
  if [ -x "$module/limactl" ]; then return; fi
  say "compiling limactl $lima_version"
  mkdir -p "$module"
  printf 'module lint\ngo 1.24\nrequire github.com/lima-vm/lima %s\n' "$lima_version" > "$module/go.mod"
  (cd "$module" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOWORK=off nice go build -trimpath \
    -ldflags "-X github.com/lima-vm/lima/pkg/version.Version=${lima_version#v}" \
    github.com/lima-vm/lima/cmd/limactl)
}

# limactl refuses root, and keeps its state in a home.
lint_lima() {
  local home code=0
  verb_setup
  make_limactl || return 1
  home=$("${as_user[@]}" mktemp -d)
  cp lima/node.yaml "$cache/lima/$lima_version/limactl" "$home"
  "${as_user[@]}" env HOME="$home" "$home/limactl" validate "$home/node.yaml" || code=1
  rm -rf "$home"
  return $code
}

verb_lint() {
  local name code=0
  if [ $# = 0 ]; then set -- "${lint_checks[@]}"; fi
  if [[ " $* " =~ \ (tidy|analyzer|headers)\  ]]; then
    verb_setup
    build_preset dev
  fi
  for name in "$@"; do
    [[ " ${lint_checks[*]} ${slow_lint_checks[*]} " == *" $name "* ]] ||
      fail "unknown check '$name'" "one of: ${lint_checks[*]} ${slow_lint_checks[*]}"
    say "lint $name"
    if ! "lint_$name"; then
      printf 'lint %s: failed\n' "$name" >&2
      code=1
    fi
  done
  return $code
}
