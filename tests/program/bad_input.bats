#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input and bad days: a clear error (operation, object, cause, remedy), and nothing left.

setup() {
  load common
  own_state
}

@test "every verb has help and refuses what it does not know" {
  for verb in exec up down run shell env kubectl status plan doctor logs image bundle sweep version; do
    if [ "$verb" != kubectl ]; then
      run "$CONODE" "$verb" --help
      assert_success
      run "$CONODE" "$verb" --no-such-flag
      assert_failure 2
    fi
  done
  run "$CONODE" no-such-verb
  assert_failure 2
}

@test "all wrong settings are told at once" {
  cat > "$BATS_TEST_TMPDIR/config.yaml" << 'YAML'
partition: {k8s_coers: 4}
network: {pod_prefix: 10.244.0.0/99}
YAML
  CONODE_MAX_PODS=many run "$CONODE" --config "$BATS_TEST_TMPDIR/config.yaml" plan
  assert_failure 2
  assert_output --partial k8s_coers
  assert_output --partial k8s_cores
  assert_output --partial pod_prefix
  assert_output --partial many
}

@test "a corrupt file of settings is named with its line" {
  printf 'partition: {k8s_cores: [\n' > "$BATS_TEST_TMPDIR/config.yaml"
  run "$CONODE" --config "$BATS_TEST_TMPDIR/config.yaml" plan
  assert_failure 2
  assert_output --partial config.yaml
}

@test "a wrong line about cores does not keep a job from being found" {
  printf 'partition: {k8s_coers: 4}\n' > "$BATS_TEST_TMPDIR/config.yaml"
  run "$CONODE" --config "$BATS_TEST_TMPDIR/config.yaml" status --job none
  assert_failure 1
  assert_output --partial k8s_coers
  assert_output --partial "find job 'none'"
  printf 'job: {name: 1}\n' > "$BATS_TEST_TMPDIR/config.yaml"
  run "$CONODE" --config "$BATS_TEST_TMPDIR/config.yaml" status
  assert_failure 2 # which one, it cannot know
}

@test "wrong arguments are answered as all errors are" {
  run "$CONODE" up --k8s-coers 1
  assert_failure 2
  assert_line --partial 'conode: '
  assert_line "  what to do: 'conode up --help' tells what is understood"
}

@test "more cores than there are" {
  run "$CONODE" exec --k8s-cores 4000 -- true
  assert_failure 125
  assert_output --partial 4000
  assert_nothing_left
}

@test "one core is shared, loudly, or refused" {
  run taskset -c 0 "$CONODE" plan
  assert_success
  assert_output --partial share
  run taskset -c 0 "$CONODE" plan --no-allow-shared-core
  assert_failure
}

@test "a bundle with a missing or a foreign program is refused by name" {
  mkdir "$BATS_TEST_TMPDIR/bundle"
  cp -r "$CONODE_BUNDLE/." "$BATS_TEST_TMPDIR/bundle/"
  chmod -R u+w "$BATS_TEST_TMPDIR/bundle"
  rm "$BATS_TEST_TMPDIR/bundle/etcd"
  run "$CONODE" exec --bundle "$BATS_TEST_TMPDIR/bundle" -- true
  assert_failure 125
  assert_output --partial etcd
  sed -i 's/"amd64"/"s390x"/; s/"arm64"/"s390x"/' "$BATS_TEST_TMPDIR/bundle/manifest.json"
  run "$CONODE" exec --bundle "$BATS_TEST_TMPDIR/bundle" -- true
  assert_failure 125
  assert_output --partial s390x
  assert_nothing_left
}

@test "a state directory of somebody else is refused" {
  run "$CONODE" exec --state-dir /usr/share -- true
  assert_failure 125
  assert_output --partial /usr/share
}

@test "jobs in a directory of somebody else are not believed" {
  for verb in status down sweep env kubectl; do
    CONODE_STATE_DIR=/usr/share run "$CONODE" $verb
    assert_failure
    assert_output --partial "'/usr/share': it belongs to user 0"
  done
}

@test "a path that is too long for sockets is refused with the reason" {
  long=$BATS_TEST_TMPDIR/$(printf 'x%.0s' {1..90})
  run "$CONODE" up --state-dir "$long"
  assert_failure
  assert_output --partial 'too many'
}

@test "a cluster inside the HPC part of another is refused" {
  CONODE_PART=1 CONODE_JOB=outer run "$CONODE" exec -- true
  assert_failure 125
  assert_output --partial "inside the HPC part of job 'outer'"
}

@test "without newuidmap a single id is mapped, and the cluster still comes up" {
  mkdir "$BATS_TEST_TMPDIR/bin"
  for program in nft sh cat grep mount umount kubectl iptables ip6tables ps awk env sleep true; do
    path=$(PATH=$PATH:/usr/sbin:/sbin command -v $program) && ln -s "$path" "$BATS_TEST_TMPDIR/bin/$program"
  done
  run env PATH="$BATS_TEST_TMPDIR/bin" CONODE_TEST_PATH_ONLY=1 "$CONODE" exec -- \
    "$CONODE" status --json
  assert_success
  assert_output --partial '"subordinate_ids": false'
  assert_nothing_left
}

@test "doctor looks at everything and gives a line for each" {
  run "$CONODE" doctor
  for check in 'batch job' 'cores and memory' fabric 'user namespaces' 'subordinate ids' newuidmap 'cgroup delegation' /dev/net/tun inotify \
    'state directory' bundle rp_filter 'nested container' pids.max veth nft 'loopback port'; do
    assert_output --partial "$check"
  done
  refute_output --partial 'missing '
  run bash -c "'$CONODE' doctor --json | jq -e 'all(.[]; .verdict == \"ok\" or (.remedy != \"\" and .cost != \"\"))'"
  assert_success
}

@test "doctor tells what the kernel or the site refuses" {
  run "$CONODE_TEST_SUPPORT/deny_syscall" mount EPERM "$CONODE" doctor
  assert_failure 1
  assert_output --regexp 'missing +overlay file system +Operation not permitted'
  assert_output --regexp 'missing +nested container'
  run "$CONODE" doctor --state-dir /proc/state
  assert_failure 1
  assert_output --regexp 'missing +state directory'
  run python3 - "$CONODE" << 'PY'
import socket, subprocess, sys
taken = socket.create_server(("127.0.0.1", 0))
sys.exit(subprocess.call([sys.argv[1], "doctor", "--api-port", str(taken.getsockname()[1])]))
PY
  assert_failure 1
  assert_output --regexp 'missing +loopback port .*Address already in use'
}

@test "a kernel without user namespaces is told by doctor and by exec" {
  run "$CONODE_TEST_SUPPORT/deny_syscall" unshare EPERM "$CONODE" doctor
  assert_failure 1
  assert_output --regexp 'missing +user namespaces'
  run "$CONODE_TEST_SUPPORT/deny_syscall" clone3,clone,unshare ENOSYS "$CONODE" exec -- true
  assert_failure 125
  assert_output --partial namespaces
  assert_output --partial 'what to do'
  assert_nothing_left
}

@test "root is refused" {
  if [ "$(id -u)" -ne 0 ]; then
    run unshare --user --map-root-user "$CONODE" exec -- true
  else
    run "$CONODE" exec -- true
  fi
  assert_failure 125
  assert_output --partial root
}

@test "verbs for a running job say so when there is none" {
  for verb in status env down; do
    run "$CONODE" "$verb"
    assert_failure
    assert_output --partial 'conode up'
  done
  run "$CONODE" run -- true
  assert_failure 125
}
