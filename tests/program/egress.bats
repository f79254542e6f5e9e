#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The way from pods to the site's network. The site is this machine: its own address, a web server
# and a resolver of ours; nothing else is talked to.

bats_require_minimum_version 1.5.0

setup_file() {
  load common
  own_state
  own=$(own_address)
  python3 "$BATS_TEST_DIRNAME/site.py" "$own" "$BATS_FILE_TMPDIR/ports" > /dev/null 2>&1 3>&- &
  echo $! > "$BATS_FILE_TMPDIR/site"
  eventually test -s "$BATS_FILE_TMPDIR/ports"
  "$CONODE" up --k8s-cores 1 --egress pasta --resolver "$own:$(port dns)" --image "$(busybox_archive)" > "$BATS_FILE_TMPDIR/up" 2>&1 || {
    cat "$BATS_FILE_TMPDIR/up"
    return 1
  }
  web_server web 10.96.0.80 > /dev/null
}

teardown_file() {
  load common
  own_state
  kill "$(cat "$BATS_FILE_TMPDIR/site")"
  for job in local slirp; do "$CONODE" down --job "$job" > /dev/null 2>&1 || true; done
  "$CONODE" sweep > /dev/null 2>&1 || true
}

setup() {
  load common
  own_state
  if ! command -v pasta > /dev/null; then skip 'pasta (package passt) is not installed'; fi
  own=$(own_address)
}

# The address of this machine by which it would leave.
own_address() { ip -4 -o route get 192.0.2.254 | sed 's/.* src \([0-9.]*\).*/\1/'; }

# port http|dns|loopback: of the site.
port() { sed -n "s/^$1 //p" "$BATS_FILE_TMPDIR/ports"; }

egress() { "$CONODE" status --json "$@" | jq -r .egress; }

is_up() { egress "$@" | grep -q masqueraded; }
becomes_up() { eventually is_up "$@"; } # [ARGUMENT...]

from_pod() { in_pod web timeout 5 wget -q -O - "http://$1/"; }

@test "status says by which program pods leave" {
  becomes_up
  run egress
  assert_output 'pasta, masqueraded as 198.19.255.100, MTU 65520'
  run "$CONODE" status
  assert_line --partial 'egress      pasta'
}

@test "a pod reaches the site's network" {
  becomes_up
  run from_pod "$own:$(port http)"
  assert_success
  assert_output 'the site'
}

@test "a pod on the node's network reaches it, too" {
  becomes_up
  "$CONODE" kubectl run host --image=busybox --image-pull-policy=Never --restart=Never \
    --overrides='{"spec":{"hostNetwork":true,"terminationGracePeriodSeconds":0}}' -- sleep 1000
  "$CONODE" kubectl wait pod/host --for=condition=Ready --timeout=60s
  run "$CONODE" kubectl exec host -- timeout 5 wget -q -O - "http://$own:$(port http)/"
  assert_output 'the site'
  run "$CONODE" kubectl exec host -- timeout 5 wget -q -O - http://10.96.0.80/ # and the Services
  assert_output --partial 404
  "$CONODE" kubectl delete pod host --now
}

@test "names outside are asked of the site's resolver, names inside are not" {
  becomes_up
  run in_pod web nslookup somewhere.example
  assert_success
  assert_output --partial 203.0.113.9
  run in_pod web nslookup web.default.svc.cluster.local
  assert_output --partial 10.96.0.80
  run in_pod web nslookup no.such.example # the site says so
  assert_failure
}

@test "the node's own programs ask the cluster's DNS" {
  run cat "/proc/$(init_pid local)/root/etc/resolv.conf"
  assert_output 'nameserver 10.96.0.10'
  run cat /etc/resolv.conf
  refute_output 'nameserver 10.96.0.10'
}

@test "the host's loopback is not reached" {
  becomes_up
  run curl -s "http://127.0.0.1:$(port loopback)/"
  assert_output 'the loopback'
  for address in 198.19.255.2 198.19.255.3 198.19.255.100 127.0.0.1 10.88.0.1; do
    run from_pod "$address:$(port loopback)"
    assert_failure
  done
}

@test "nothing comes in: ports of the sandbox are not on the host" {
  becomes_up
  run ss -Htlnp "sport = 6443 or sport = 10250 or sport = 53"
  refute_output --partial pasta
  run curl -s --max-time 5 -k -o /dev/null -w '%{http_code}' "https://$own:6443/"
  assert_output 000
}

@test "a large transfer arrives as it was sent" {
  becomes_up
  run in_pod web sh -c "wget -q -O - http://$own:$(port http)/big | md5sum | cut -c 1-32"
  # 64 MiB of zeros
  assert_line --index 0 --partial 7f614da9329cd3aebf59b91aadc30bf0
}

@test "egress runs in the Kubernetes part" {
  becomes_up
  pid=$(egress_pid)
  run awk '/^Cpus_allowed_list/ {print $2}' "/proc/$pid/status"
  assert_output "$(k8s_cpus)"
  cgroup=$(jq -r .cgroup "$CONODE_STATE_DIR/local/instance.json")
  [ -n "$cgroup" ] || skip 'no cgroup is delegated here'
  run cat "/proc/$pid/cgroup"
  assert_output --partial '/k8s/services/egress'
}

@test "pasta killed: it is started again, pods reach the site again" {
  becomes_up
  first=$(egress_pid)
  kill -9 "$first"
  wait_gone "$first"
  becomes_up
  [ "$(egress_pid)" != "$first" ]
  run from_pod "$own:$(port http)"
  assert_output 'the site'
}

@test "its attendant killed: both are started again" {
  becomes_up
  first=$(egress_pid)
  kill -9 "$(pgrep -u "$(id -u)" -f "conode-init egress $(init_pid local) ")"
  wait_gone "$first"
  becomes_up
  run from_pod "$own:$(port http)"
  assert_output 'the site'
}

@test "slirp4netns gives the same" {
  if ! command -v slirp4netns > /dev/null; then skip 'slirp4netns is not installed'; fi
  run "$CONODE" up --job slirp --k8s-cores 1 --egress slirp4netns --resolver "$own:$(port dns)" --image "$(busybox_archive)"
  assert_success
  becomes_up --job slirp
  export CONODE_JOB=slirp
  web_server web 10.96.0.80 > /dev/null
  run from_pod "$own:$(port http)"
  assert_output 'the site'
  run in_pod web nslookup somewhere.example
  assert_output --partial 203.0.113.9
  run from_pod "198.19.255.2:$(port loopback)"
  assert_failure
  pid=$(egress_pid slirp)
  run "$CONODE" down --job slirp
  assert_success
  wait_gone "$pid"
}

@test "without a program there is no way out, status and doctor say so, the cluster works" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  ln -s /usr/bin/* "$BATS_TEST_TMPDIR/bin"
  rm -f "$BATS_TEST_TMPDIR/bin/pasta" "$BATS_TEST_TMPDIR/bin/slirp4netns"
  # shellcheck disable=SC2030 # for this test only
  export PATH=$BATS_TEST_TMPDIR/bin:/usr/sbin:/sbin
  # shellcheck disable=SC2016 # the inner shell expands it
  run "$CONODE" exec --job without --k8s-cores 1 -- sh -c '"$0" status; "$0" kubectl get --raw /readyz' "$CONODE"
  assert_success
  assert_output --partial 'none: neither pasta (package passt) nor slirp4netns is installed'
  assert_output --partial ok
  run "$CONODE" doctor
  assert_output --partial 'apt-get install passt'
  # shellcheck disable=SC2016 # the inner shell expands it
  run "$CONODE" exec --job without --k8s-cores 1 --egress slirp4netns -- sh -c '"$0" status' "$CONODE"
  assert_success
  assert_output --partial 'none: slirp4netns is not installed'
}

@test "a program that does not work is reported, and the cluster works" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  printf '#!/bin/sh\necho no way out of here >&2\nexit 3\n' > "$BATS_TEST_TMPDIR/bin/pasta"
  chmod 755 "$BATS_TEST_TMPDIR/bin/pasta"
  # shellcheck disable=SC2031
  PATH=$BATS_TEST_TMPDIR/bin:$PATH
  # shellcheck disable=SC2016 # the inner shell expands it
  run "$CONODE" exec --job broken --k8s-cores 1 --egress pasta -- sh -c '"$0" status --json | jq -r .egress; "$0" kubectl get --raw /readyz' "$CONODE"
  assert_success
  assert_output --partial 'pasta: not up: it ended with exit code 3: no way out of here'
  assert_output --partial ok
}

@test "bad settings are refused" {
  run -2 "$CONODE" up --egress teleport
  assert_output --partial 'auto, pasta, slirp4netns, none'
  run -2 "$CONODE" up --resolver dns.example
  run -2 "$CONODE" up --resolver 192.0.2.53:0
}

@test "the agent killed: pasta and its attendant end with it" {
  becomes_up
  pid=$(egress_pid)
  attendant=$(pgrep -u "$(id -u)" -f "conode-init egress $(init_pid local) ")
  kill -9 "$(agent_pid local)"
  wait_gone "$pid"
  wait_gone "$attendant"
  run "$CONODE" sweep
  assert_success
  assert_nothing_left
}
