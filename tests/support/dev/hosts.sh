# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Two hosts for tests/program/hosts, which only root can make: each with a network and a mount
# namespace, on one cable; an ssh server of the test user's on the second; and on both what an
# administrator's prologue does for the job `hosts`: a VXLAN. Whoever writes a line into the FIFO
# `down` has root take the second host's VXLAN away.

readonly host_job=hosts

# on_host RANK COMMAND...
on_host() {
  local rank=$1
  shift
  nsenter --net --mount --target "${host_pids[$rank]}" "$@"
}

# The processes that keep the hosts; they say on standard output when the namespaces are there.
start_hosts() {
  local rank ready
  host_pids=()
  for rank in 0 1; do
    exec {ready}< <(exec unshare --net --mount --propagation private \
      sh -c 'echo ready && exec tail -f /dev/null > /dev/null')
    host_pids+=($!)
    read -r -u "$ready" || return
    exec {ready}<&-
  done
}

lay_cable() {
  local rank
  on_host 0 ip link add fabric type veth peer name fabric netns "${host_pids[1]}" || return
  for rank in 0 1; do
    on_host "$rank" sh -ec "
      ip link set lo up
      ip address add 192.0.2.$((rank + 1))/24 dev fabric
      ip link set fabric up
      mkdir -p /run/conode
      mount -t tmpfs -o mode=755 tmpfs /run/conode" || return
  done
}

# Of the test user, in a home of his own, with which only this host's ssh is concerned.
start_ssh_server() {
  local home
  home=$(getent passwd "$test_user" | cut -d: -f6)
  in_session bash -ec '
    mkdir -m 700 "$0" "$0/home" "$0/home/.ssh"
    ssh-keygen -q -t ed25519 -N "" -f "$0/key"
    dropbearkey -t ed25519 -f "$0/host_key" > /dev/null 2>&1
    cp "$0/key.pub" "$0/home/.ssh/authorized_keys"
    printf "%s\n" "Host second.host" "  HostName 192.0.2.2" "  Port 2222" "  IdentityFile $0/key" \
      "  IdentitiesOnly yes" "  StrictHostKeyChecking accept-new" \
      "  UserKnownHostsFile $0/known_hosts" > "$0/ssh_config"' "$hosts_dir" || return
  on_host 1 mount --bind "$hosts_dir/home" "$home" || return
  session_view=(nsenter --net --mount --target "${host_pids[1]}")
  in_session /usr/sbin/dropbear -F -E -r "$hosts_dir/host_key" -p 192.0.2.2:2222 \
    -P "$hosts_dir/dropbear.pid" 2> "$hosts_dir/dropbear.log" &
  ssh_server=$!
  session_view=()
}

make_vxlans() {
  local rank
  for rank in 0 1; do
    on_host "$rank" "$prefix/libexec/conode/conode-hook" vxlan up --job "$host_job" \
      --uid "$(id -u "$test_user")" --rank "$rank" --peer 0=192.0.2.1,1=192.0.2.2 || return
  done
}

take_vxlan_away_when_asked() {
  mkfifo "$hosts_dir/down"
  chown "$test_user:" "$hosts_dir/down"
  (read -r _ < "$hosts_dir/down" &&
    on_host 1 "$prefix/libexec/conode/conode-hook" vxlan down --job "$host_job") &
  host_pids+=($!)
}

make_hosts() {
  hosts_dir=$session_tmp/hosts
  start_hosts && lay_cable && start_ssh_server && make_vxlans && take_vxlan_away_when_asked
}

# With the namespaces go links and mounts; the keepers of VXLANs are root's own processes.
end_hosts() {
  local rank
  if [ -e "$hosts_dir/dropbear.pid" ]; then
    kill "$(cat "$hosts_dir/dropbear.pid")" || true
    wait "$ssh_server" || true
  fi
  for rank in 0 1; do
    if [ -n "${host_pids[$rank]:-}" ]; then
      on_host "$rank" "$prefix/libexec/conode/conode-hook" vxlan down --job "$host_job" || true
    fi
  done
  kill "${host_pids[@]}" 2> /dev/null || true
  wait "${host_pids[@]}" 2> /dev/null || true
  rm -rf "$hosts_dir"
  rmdir /run/conode 2> /dev/null || true
}

# run_on_hosts NAME=VALUE... COMMAND...: as in_session, on the first of two hosts
run_on_hosts() {
  if ! make_hosts; then
    end_hosts
    return 1
  fi
  session_view=(nsenter --net --mount --target "${host_pids[0]}")
  in_session CONODE_TEST_HOSTS="$hosts_dir" "$@"
  local code=$?
  session_view=()
  end_hosts
  return "$code"
}
