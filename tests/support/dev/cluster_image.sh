# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the test cluster is made of, each cached under a name that is the hash of what it is made from, in
# $cluster_cache: the image, conode's package for the image's Debian, the bundle as a disk, Ansible.

readonly cluster_suite=trixie # Debian 13
readonly cluster_recipe=$top/tests/cluster
readonly cluster_cache=$cache/cluster
readonly ansible=$cluster_cache/ansible/bin
readonly ansible_packages=('ansible-core==2.19.*' ansible-lint yamllint)
image='' package='' bundle_disk=''

# hash_of WORD... -- FILE...: of these words and of the files' names and contents
hash_of() {
  local words=()
  while [ "$1" != -- ]; do words+=("$1") && shift; done
  shift
  { printf '%s\n' "${words[@]}" && cd "$top" && sha256sum -- "${@#"$top"/}"; } | sha256sum | cut -c1-16
}

# keep_newest PATTERN: what is older than the three newest goes.
keep_newest() {
  find "$cluster_cache" -maxdepth 1 -name "$1" -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2- |
    xargs -r rm -rf
}

# The suite's line for sources.list, from the source of Debian packages that this machine's apt uses.
package_source() {
  local uri keys=/usr/share/keyrings/debian-archive-keyring.gpg
  uri=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' 'Created-By: Packages' |
    head -n 1)
  [ -n "$uri" ] || fail "apt knows no source of Debian packages" "apt-get update"
  echo "deb [signed-by=$keys] $uri $cluster_suite main"
}

make_key() {
  if [ -e "$cluster_cache/id" ]; then return; fi
  ssh-keygen -q -t ed25519 -N '' -C 'conode test cluster' -f "$cluster_cache/id"
}

make_image() {
  local started=$SECONDS
  image=$cluster_cache/image-$(hash_of "$cluster_suite" "$(cat "$cluster_cache/id.pub")" -- \
    "$cluster_recipe"/image/*.* "$cluster_recipe"/image/files/*)
  if [ -d "$image" ]; then return; fi
  say "making the image (2 minutes, once)"
  rm -rf "$image.partial"
  nice "$cluster_recipe/image/build.sh" "$image.partial" "$cluster_suite" "$(package_source)" \
    "$cluster_cache/id.pub" > "$image.log" 2>&1 || {
    tail -n 20 "$image.log" >&2
    fail "no image was made" "see $image.log"
  }
  mv "$image.partial" "$image"
  keep_newest 'image-*[0-9a-f]'
  say "made the image in $((SECONDS - started)) s"
}

# The directory of containerd's API definitions, which conode's own build takes from the pinned Go module.
containerd_api() {
  local copy=$cluster_cache/containerd_api
  mkdir -p "$copy"
  cp "$top"/agent/proto/containerd/go.{mod,sum} "$copy"
  (cd "$copy" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOWORK=off \
    go mod download -json github.com/containerd/containerd/api | jq -r .Dir)
}

# The .deb for the image's Debian, compiled natively in a tree of that Debian.
make_package() {
  local builder api files started=$SECONDS
  builder=$cluster_cache/builder-$(hash_of "$cluster_suite" -- "$support/packages.txt" \
    "$cluster_recipe/package/make_builder.sh")
  mapfile -t files < <(cd "$top" && git ls-files --cached --others --exclude-standard -- \
    CMakeLists.txt agent batch_hooks cgroup cmake docs netplug LICENSE README.md "tests/cluster/package")
  package=$cluster_cache/package-$(hash_of "$(basename "$builder")" -- "${files[@]}")/conode.deb
  if [ -e "$package" ]; then return; fi
  if [ ! -d "$builder" ]; then
    say "making a tree of Debian '$cluster_suite' to compile in (1 minute, once)"
    rm -rf "$builder.partial"
    nice "$cluster_recipe/package/make_builder.sh" "$builder.partial" "$cluster_suite" "$(package_source)" \
      "$support/packages.txt" > "$builder.log" 2>&1 || {
      tail -n 20 "$builder.log" >&2
      fail "no tree to compile in was made" "see $builder.log"
    }
    mv "$builder.partial" "$builder"
    keep_newest 'builder-*[0-9a-f]'
  fi
  api=$(containerd_api) || fail "containerd's API definitions cannot be fetched" "see go's message above"
  say "compiling conode for Debian '$cluster_suite' (log: $cluster_cache/compile.log)"
  mkdir -p "$cluster_cache/ccache" "$(dirname "$package")"
  nice unshare --mount --propagation private "$cluster_recipe/package/compile.sh" "$builder" "$top" \
    "$api" "$cluster_cache/ccache" "$package" > "$cluster_cache/compile.log" 2>&1 || {
    rmdir "$(dirname "$package")"
    grep -E -A 5 'error|FAILED' "$cluster_cache/compile.log" | head -n 40 >&2
    fail "conode could not be packaged for Debian '$cluster_suite'" "see $cluster_cache/compile.log"
  }
  keep_newest 'package-*'
  say "packaged conode in $((SECONDS - started)) s"
}

# The bundle's programs are static: they run on any Debian.
make_bundle_disk() {
  local bundle
  bundle=$(make_bundle dev)
  bundle_disk=$cluster_cache/$(basename "$bundle").squashfs
  if [ -e "$bundle_disk" ]; then return; fi
  say "making a disk of the bundle"
  nice mksquashfs "$bundle" "$bundle_disk.partial" -noappend -all-root -comp zstd -Xcompression-level 3 \
    -quiet -no-progress
  mv "$bundle_disk.partial" "$bundle_disk"
  keep_newest '*.squashfs'
}

# Debian 12's Ansible is too old for the image's Python. Also of `./dev lint`.
make_ansible() {
  if [ -x "$ansible/yamllint" ]; then return; fi
  say "installing Ansible into $cluster_cache/ansible"
  rm -rf "$cluster_cache/ansible"
  mkdir -p "$cluster_cache"
  /usr/bin/python3 -m venv "$cluster_cache/ansible"
  if ! "$ansible/pip" install --quiet "${ansible_packages[@]}" >&2; then
    rm -rf "$cluster_cache/ansible"
    echo "pip could not install ${ansible_packages[*]}: see its message above" >&2
    return 1
  fi
}
