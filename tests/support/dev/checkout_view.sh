#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# checkout_view.sh CHECKOUT COMMAND...: runs the command where CHECKOUT can be reached by everybody
# at its own path, although a directory above it is closed: in its place is an empty one with nothing
# but the path to the checkout. As root, in a mount namespace of its own (unshare --mount).
set -euo pipefail

checkout=$1
shift

# The topmost directory above the checkout that others may not search.
closed=
directory=$(dirname "$checkout")
while [ "$directory" != / ]; do
  if [ $((0$(stat -c %a "$directory") & 1)) = 0 ]; then closed=$directory; fi
  directory=$(dirname "$directory")
done
[ -n "$closed" ] || {
  echo "checkout_view: no directory above '$checkout' is closed" >&2
  exit 1
}

cd /
exec {tree}< "$checkout"
mount -t tmpfs -o mode=755,size=1m tmpfs "$closed"
(umask 022 && mkdir -p "$checkout")
mount --no-canonicalize --bind "/proc/self/fd/$tree" "$checkout" # its path is covered by now
exec {tree}<&-
exec "$@"
