#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Makes the container image of the service, as an ordinary user, without a registry or a container
# engine, and prints the path of its OCI archive. Python comes from this machine's Debian packages,
# river from PyPI by checksum. Built once per content: a second call only prints the path.
set -euo pipefail
umask 022 # the modes of the image: it runs as another user

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly here
readonly name=localhost/converged_workflow/timing_model:1  # as service.yaml says
readonly cache=${XDG_CACHE_HOME:-$HOME/.cache}/conode/images
readonly python=/usr/bin/python3.11
readonly packages=(python3.11-minimal libpython3.11-minimal libpython3.11-stdlib)

say() { printf '%s\n' "build_image: $*" >&2; }
fail() {
  say "error: $1"
  [[ $# -lt 2 ]] || say "  remedy: $2"
  exit 1
}

check_tools() {
  local missing=() tool
  [[ -x $python ]] || missing+=(python3)
  dpkg-query --show "${packages[@]}" >/dev/null 2>&1 || missing+=(python3)
  "$python" -m pip --version >/dev/null 2>&1 || missing+=(python3-pip)
  for tool in umoci flock; do
    command -v "$tool" >/dev/null || missing+=("${tool/flock/util-linux}")
  done
  [[ ${#missing[@]} -eq 0 ]] ||
    fail "this needs Debian 12 with packages that are missing: ${missing[*]}" \
      "sudo apt-get install --no-install-recommends ${missing[*]}"
}

# Everything that goes into the image, as one checksum.
content_key() {
  {
    cat "$here/build_image.sh" "$here/service/requirements.txt" "$here/service/app.py"
    dpkg-query --show "${packages[@]}" libc6
  } | sha256sum | cut -c1-16
}

copy_python() { # ROOT
  mkdir -p "$1"/{usr/bin,usr/lib,usr/lib64,etc,tmp,srv}
  ln -s usr/bin "$1/bin"
  ln -s usr/lib "$1/lib"
  ln -s usr/lib64 "$1/lib64"
  chmod 1777 "$1/tmp"
  dpkg -L "${packages[@]}" | grep -vE '^/usr/share|^/\.?$' | sed 's,^/,,' |
    sort -u | tar --create --no-recursion --directory / --files-from - |
    tar --extract --directory "$1"
  ln -sf python3.11 "$1/usr/bin/python3"
  printf 'root:x:0:0:root:/:/sbin/nologin\nservice:x:1000:1000::/tmp:/sbin/nologin\n' >"$1/etc/passwd"
  printf 'root:x:0:\nservice:x:1000:\n' >"$1/etc/group"
}

install_requirements() { # SITE
  env -u PYTHONPATH "$python" -m pip install --quiet --disable-pip-version-check \
    --no-warn-script-location --only-binary=:all: --require-hashes --no-compile \
    --target "$1" --requirement "$here/service/requirements.txt" >&2 ||
    fail "pip could not install service/requirements.txt" \
      "check that this machine reaches a Python package index (pip config list; PIP_INDEX_URL)"
  # What a service never runs: a third of the size.
  rm -rf "${1:?}/bin" "$1/river/datasets"/*.{zip,csv,gz}
  find "$1" -type d -name tests -prune -exec rm -rf {} +
  find "$1" -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.h' -o -name '*.a' \) -delete
}

# The libraries of the interpreter and of every extension module, from this machine.
copy_libraries() { # ROOT
  local library
  { echo "$python"; find "$1/usr" -name '*.so*' -type f; } | xargs ldd 2>/dev/null |
    grep -oE '(=> )?/[^ ]+ \(0x' | grep -oE '/[^ ]+' | sort -u |
    while read -r library; do
      [[ $library != "$1"/* ]] || continue
      mkdir -p "$1$(dirname "$library")"
      cp --dereference "$library" "$1$library"
    done
}

compile_python() { # ROOT
  # Valid whatever the file's time: times do not survive every image tool.
  "$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$1" \
    "$1/usr/lib/python3.11" "$1/usr/local" >&2 || say "some modules were not compiled, ignoring"
}

pack() { # ROOT LAYOUT
  umoci init --layout "$2"
  umoci new --image "$2:1"
  umoci insert --rootless --image "$2:1" "$1" /
  umoci config --image "$2:1" --config.user 1000:1000 --config.workingdir /tmp \
    --config.env PYTHONUNBUFFERED=1 --config.env PYTHONDONTWRITEBYTECODE=1 \
    --config.entrypoint "$python" --config.entrypoint /srv/app.py
  umoci gc --layout "$2"
  # containerd takes the image's name from this annotation.
  "$python" - "$2/index.json" "$name" <<'PYTHON'
import json, sys
path, name = sys.argv[1:]
index = json.load(open(path))
index["manifests"][0]["annotations"] = {
    "io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rsplit(":")[-1]}
json.dump(index, open(path, "w"))
PYTHON
}

# Inside the new root: proves that nothing is missing before a cluster has to.
try_image() { # ROOT
  unshare --user --map-root-user chroot "$1" "$python" -c 'import sys
sys.path.insert(0, "/srv")
import app
app.Learner().train([{"id": str(i), "x": 1.0, "y": 1.0, "z": 1.0, "seconds": 1.0} for i in range(5)])' >&2 ||
    fail "the service does not start from the new image" \
      "see the error above; run 'rm -r $cache' and try again if the machine was just upgraded"
}

build() { # ARCHIVE WORK
  local root=$2/root
  say "building the service's image (once; about a minute)"
  copy_python "$root"
  install_requirements "$root/usr/local/lib/python3.11/dist-packages"
  cp "$here/service/app.py" "$root/srv/app.py"
  copy_libraries "$root"
  compile_python "$root"
  try_image "$root"
  pack "$root" "$2/layout" >&2
  tar --create --file "$2/image.tar" --directory "$2/layout" --sort=name .
  mv "$2/image.tar" "$1"
  say "built: $(du --summarize --bytes "$root" | awk '{printf "%d MB", $1 / 1e6}') of files," \
    "an archive of $(stat --format=%s "$1" | awk '{printf "%d MB", $1 / 1e6}')"
}

main() {
  local archive
  archive=$cache/timing_model-$(content_key).tar
  if [[ ! -e $archive ]]; then
    check_tools
    mkdir -p "$cache" || fail "cannot make '$cache'" "set XDG_CACHE_HOME to a writable directory"
    exec 9>"$cache/.timing_model.lock"
    flock 9 # another build of the same image
    if [[ ! -e $archive ]]; then
      work=$(mktemp --directory "$cache/.build-XXXXXX")
      trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
      build "$archive" "$work"
    fi
  fi
  printf '%s\n' "$archive"
}

main "$@"
