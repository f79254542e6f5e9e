# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A session: commands of an ordinary user in a delegated cgroup v2 directory, as a batch system's
# prologue makes one, with a temporary directory of their own. Afterwards nothing of it is left, and
# what had been left is known.
#
# The user: the caller; where that is root, `conode`, made with 65536 subordinate ids. Root changes to
# him by setpriv: su and other PAM logins would move the process to another cgroup.
#
# How he reads a checkout of root's: in place, so that paths compiled into tests stay true. Where a
# directory above it is closed to him (/root), he gets a mount namespace in which that directory is
# empty but for the checkout. He writes nowhere in it but ./build/PRESET/Testing (ctest's log).

test_user=$(id -un)
if is_root; then test_user=${CONODE_DEV_USER:-conode}; fi
readonly test_user
as_user=() # the command that becomes him

# subordinate_ids FILE OPTION: 65536 of them for the test user; free ones where he has too few.
subordinate_ids() {
  local start
  touch "$1" 2> /dev/null || true
  if awk -F: -v name="$test_user" -v uid="$(id -u "$test_user")" \
    '$1 == name || $1 == uid {sum += $3} END {exit sum < 65536}' "$1"; then
    return
  fi
  start=$(awk -F: '$2 + $3 > max {max = $2 + $3} END {print max > 100000 ? max : 100000}' "$1")
  say "adding subordinate ids $start-$((start + 65535)) of '$test_user' to $1"
  as_root usermod "$2" "$start-$((start + 65535))" "$test_user"
}

prepare_user() {
  if ! id "$test_user" > /dev/null 2>&1; then
    say "making the user '$test_user'"
    useradd --create-home --shell /bin/bash "$test_user"
  fi
  subordinate_ids /etc/subuid --add-subuids
  subordinate_ids /etc/subgid --add-subgids
  if is_root; then
    as_user=(setpriv --reuid "$test_user" --regid "$(id -g "$test_user")" --init-groups
      --inh-caps=-all)
  fi
}

# Where delegated directories are made: at the top where cgroup v2 is an extra hierarchy, else in the
# own cgroup. Empty where there is no cgroup v2.
cgroup_parent() {
  local mount own
  mount=$(awk '/ - cgroup2 / {print $5; exit}' /proc/self/mountinfo)
  own=$(sed -n 's/^0:://p' /proc/self/cgroup)
  if [ "$mount" = /sys/fs/cgroup ] && [ -d "$mount$own" ]; then mount=$mount${own%/}; fi
  echo "$mount"
}

# In the owner's name: root's, or the user's where the parent is his already.
on_cgroups() {
  if [ -w "$cgroup_parent/cgroup.procs" ]; then "$@"; else as_root "$@"; fi
}

# Offers the children of DIRECTORY every controller there is. A directory with processes in it takes
# none: then the enforcement level is what is left.
enable_controllers() {
  local controller controllers
  read -ra controllers < "$1/cgroup.controllers" || return 0
  for controller in "${controllers[@]}"; do
    on_cgroups sh -c "echo +$controller > '$1/cgroup.subtree_control'" 2> /dev/null || true
  done
}

# remove_cgroup DIRECTORY: with everything in it.
remove_cgroup() {
  local attempt
  if [ ! -d "$1" ]; then return; fi
  on_cgroups sh -c "echo 1 > '$1/cgroup.kill'" || true
  for attempt in {1..500}; do
    if grep -q 'populated 0' "$1/cgroup.events"; then break; fi
    sleep 0.02
  done
  on_cgroups find "$1" -depth -type d -exec rmdir {} + ||
    fail "remove cgroup '$1': attempt $attempt: still used" "see its cgroup.procs"
}

# What sessions whose ./dev was killed have left.
remove_stale_directories() {
  local directory pid
  for directory in /tmp/conode-dev.[0-9]*.??????; do
    pid=${directory#/tmp/conode-dev.}
    pid=${pid%.*}
    if [ ! -L "$directory" ] && [ ! -e "/proc/$pid" ] &&
      [ "$(stat --format %U "$directory" 2> /dev/null)" = "$test_user" ]; then
      session_tmp=$directory
      remove_session_tmp
    fi
  done
  session_tmp=
}

remove_stale_cgroups() {
  local directory
  for directory in "$cgroup_parent"/conode-dev/[0-9]*/; do
    if [ -d "$directory" ] && [ ! -e "/proc/$(basename "$directory")" ]; then
      remove_cgroup "${directory%/}"
    fi
  done
}

delegate_cgroup() {
  local file
  cgroup_parent=$(cgroup_parent)
  [ -n "$cgroup_parent" ] || fail "there is no cgroup v2 mount" \
    "mount -t cgroup2 none /sys/fs/cgroup/unified (as root)"
  session_cgroup=$cgroup_parent/conode-dev/$$
  remove_stale_cgroups
  on_cgroups mkdir -p "$session_cgroup"
  enable_controllers "$cgroup_parent"
  enable_controllers "$cgroup_parent/conode-dev"
  on_cgroups chown "$test_user" "$session_cgroup"
  while read -r file; do
    if [ -e "$session_cgroup/$file" ]; then
      on_cgroups chown "$test_user" "$session_cgroup/$file"
    fi
  done < /sys/kernel/cgroup/delegate
}

make_readable() {
  local closed
  closed=$(find "$top" -path "$top/.git" -prune -o ! -type l \
    \( ! -perm -o=r -o -type d ! -perm -o=x \) -print -quit)
  if [ -z "$closed" ]; then return; fi
  say "making the checkout readable for '$test_user' ('$closed' is not)"
  find "$top" -path "$top/.git" -prune -o ! -type l -exec chmod a+rX {} +
}

open_session() {
  prepare_user
  if is_root; then make_readable; fi
  trap close_session EXIT
  delegate_cgroup
  remove_stale_directories
  session_tmp=$(mktemp -d "/tmp/conode-dev.$$.XXXXXX")
  if is_root; then
    chown "$test_user:" "$session_tmp"
    make_small_file_system
    open_tun
  fi
}

# For tests of a full disk.
make_small_file_system() {
  mkdir "$session_tmp/small"
  mount -t tmpfs -o "size=300m,mode=700,uid=$(id -u "$test_user")" tmpfs "$session_tmp/small"
}

# As every distribution's udev leaves it; some containers do not.
open_tun() {
  if [ -c /dev/net/tun ] && ! "${as_user[@]}" test -w /dev/net/tun; then
    say "making /dev/net/tun writable for everybody"
    chmod 666 /dev/net/tun
  fi
}

close_session() {
  if [ -n "${session_cgroup:-}" ]; then
    (remove_cgroup "$session_cgroup") || true # has said why; the rest goes all the same
    on_cgroups rmdir "$cgroup_parent/conode-dev" 2> /dev/null || true # another session may use it
  fi
  if [ -n "${session_tmp:-}" ]; then remove_session_tmp; fi
}

# Files of subordinate ids can be removed by root, or in a user namespace that maps them.
remove_session_tmp() {
  if mountpoint -q "$session_tmp/small"; then umount --lazy "$session_tmp/small"; fi
  rm -rf "$session_tmp" 2> /dev/null ||
    unshare --user --map-auto --map-root-user rm -rf "$session_tmp"
}

# One line for each thing that the session's commands have left; they must have ended.
leftovers() {
  local pid
  find "$session_cgroup" -name cgroup.procs -exec cat {} + | while read -r pid; do
    echo "process $pid: $(tr '\0' ' ' < "/proc/$pid/cmdline" | cut -c1-200)"
  done
  find "$session_cgroup" -mindepth 1 -type d -printf 'cgroup %p\n'
  find "$session_tmp" -mindepth 1 -maxdepth 1 ! -name small -printf 'file %p\n'
  if [ -d "$session_tmp/small" ]; then
    find "$session_tmp/small" -mindepth 1 -maxdepth 1 ! -name state -printf 'file %p\n'
  fi
}

# The environment of a session: nothing of the caller's but what reaches the network and a terminal.
session_environment() {
  local home
  home=$(getent passwd "$test_user" | cut -d: -f6)
  printf '%s\n' "HOME=$home" "USER=$test_user" "LOGNAME=$test_user" SHELL=/bin/bash LANG=C.UTF-8 \
    "TMPDIR=$session_tmp" "CONODE=$prefix/bin/conode" "CONODE_BUNDLE=$prefix/lib/conode/bundle" \
    "PATH=$prefix/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
  env | grep -E '^(CI|TERM|(https?|no)_proxy|(HTTPS?|NO)_PROXY|PIP_[A-Z_]+|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE)=' || true
}

# in_session [NAME=VALUE...] COMMAND...: after open_session and install_all. Below `session_view`, a
# command of root's that changes namespaces, where that is set.
session_view=()
in_session() (
  mapfile -t environment < <(session_environment)
  view=("${session_view[@]}")
  if ! "${as_user[@]}" test -r "$top/dev"; then
    view+=(unshare --mount --propagation slave "$support/dev/checkout_view.sh" "$top")
  fi
  on_cgroups sh -c "echo $BASHPID > '$session_cgroup/cgroup.procs'"
  cd /
  umask 077
  exec "${view[@]}" "${as_user[@]}" env -i "${environment[@]}" "$@"
)
