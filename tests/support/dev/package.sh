# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The Debian package: is all in it that an installed conode needs?

readonly packaged=(usr/bin/conode usr/libexec/conode/conode-{init,oci,cni,hook}
  usr/share/conode/recipe/recipe.json usr/share/man/man1/conode.1 usr/share/man/man8/conode-hook.8
  usr/share/bash-completion/completions/conode usr/share/doc/conode/{LICENSE,README.md})

package_is_complete() {
  local dir=$build/package file code=0
  rm -rf "$dir"
  mkdir -p "$dir"
  (cd "$build/dev" && cpack -B "$dir") > "$build/package.log" || {
    cat "$build/package.log"
    return 1
  }
  dpkg-deb -x "$dir"/*.deb "$dir/root"
  for file in "${packaged[@]}"; do
    if [ ! -s "$dir/root/$file" ]; then
      echo "the package lacks '$file'"
      code=1
    fi
  done
  "$dir/root/usr/bin/conode" version || code=1
  return $code
}
