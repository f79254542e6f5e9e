#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One cluster, looked at from all sides: partition, DNS, Services, command line, recovery, teardown.

setup_file() {
  load common
  own_state
  archive=$(busybox_archive)
  "$CONODE" up --k8s-cores 1 --image "$archive" > "$BATS_FILE_TMPDIR/up" 2>&1 ||
    { cat "$BATS_FILE_TMPDIR/up" >&2; false; }
  web_server web 10.96.0.80 > /dev/null
}

setup() {
  load common
  own_state
}

teardown_file() {
  load common
  own_state
  "$CONODE" down || "$CONODE" sweep
}

@test "the node is Ready and carries its rank" {
  run "$CONODE" kubectl get nodes -l conode.io/rank=0 \
    -o 'jsonpath={.items[0].status.conditions[?(@.type=="Ready")].status}'
  assert_success
  assert_output True
}

@test "allocatable is the Kubernetes part, not the machine" {
  run "$CONODE" kubectl get node n0 -o 'jsonpath={.status.allocatable.cpu}'
  assert_output 1
  memory=$("$CONODE" kubectl get node n0 -o 'jsonpath={.status.allocatable.memory}' | numfmt --from=auto)
  part=$("$CONODE" status --json | jq -r .kubernetes.memory_bytes)
  [ "$memory" -le "$part" ]
  [ "$memory" -gt $((part * 9 / 10)) ]
}

@test "no thread of a service or pod may run on an HPC core" {
  assert_threads_stay_on_k8s_cpus
}

@test "the agent's own threads stay in the Kubernetes part" {
  run bash -c "awk '/^Cpus_allowed_list/ {print \$2}' /proc/$(agent_pid local)/task/*/status | sort -u"
  assert_output "$(k8s_cpus)"
}

@test "a pod sees only its cores, and cannot leave them" {
  assert_pod_stays_on_k8s_cpus
}

@test "a command of the HPC part has all of its cores and no other" {
  assert_command_has_hpc_cpus
}

@test "hwloc and Open MPI stay inside the HPC part" {
  run "$CONODE" run -- sh -c \
    'mpirun --oversubscribe -n 2 sh -c "grep Cpus_allowed_list /proc/self/status" | sort -u'
  assert_success
  assert_output "Cpus_allowed_list:	$(hpc_cpus)"
}

@test "a Service answers on its cluster IP and by its DNS name" {
  run in_pod web wget -q -O - http://10.96.0.80/
  assert_output --partial '404'
  run in_pod web nslookup web.default.svc.cluster.local
  assert_success
  assert_output --partial 10.96.0.80
}

@test "an unknown name is no name" {
  run in_pod web nslookup nothing.default.svc.cluster.local
  assert_failure
}

@test "the API server refuses a client without a certificate" {
  server=$("$CONODE" status --json | jq -r .server)
  run curl -sk -o /dev/null -w '%{http_code}' "$server/api/v1/namespaces"
  assert_output 403
}

@test "secrets are for the user only" {
  [ "$(stat -c %a "$CONODE_STATE_DIR")" = 700 ]
  [ "$(stat -c %a "$CONODE_STATE_DIR/local")" = 700 ]
  [ "$(stat -c %a "$CONODE_STATE_DIR/local/kubeconfig")" = 600 ]
}

@test "status, env and logs tell about the job, as text and JSON" {
  run "$CONODE" status
  assert_success
  assert_output --partial 'enforcement'
  assert_output --partial 'default/web-'
  run bash -c "'$CONODE' status --json | jq -r '.services[] | select(.state != \"ready\") | .name'"
  assert_output ''
  run bash -c "'$CONODE' status --json | jq -r '.containers[] | select(.name == \"web\") | .state'"
  assert_output running
  run bash -c "eval \"\$('$CONODE' env)\" && '$CONODE' kubectl get ns default -o name"
  assert_output namespace/default
  run "$CONODE" logs
  assert_line etcd
  run "$CONODE" logs -n 5 kubelet
  assert_success
  [ "${#lines[@]}" -eq 5 ]
  run bash -c "'$CONODE' logs --json | jq -r 'index(\"etcd\") != null'"
  assert_output true
  run bash -c "'$CONODE' logs --json -n 2 kubelet | jq -r .service"
  assert_output $'kubelet\nkubelet'
  run "$CONODE" logs no-such-service
  assert_failure
  assert_output --partial 'what to do'
}

@test "status tells of a container that ended badly" {
  "$CONODE" kubectl run failing --image=busybox --image-pull-policy=Never --restart=Never -- sh -c 'exit 3'
  "$CONODE" kubectl wait pod/failing --for=jsonpath='{.status.phase}'=Failed --timeout=60s
  run bash -c "'$CONODE' status --json | jq -r '.container_ends[-1].what'"
  assert_output 'exit code 3'
  run "$CONODE" status
  assert_output --partial 'default/failing failing'
  "$CONODE" kubectl delete pod failing --now
}

@test "images are listed, removed and imported again" {
  run "$CONODE" image list
  assert_output --partial docker.io/library/busybox:latest
  "$CONODE" image build "$BATS_RUN_TMPDIR/busybox-root" "$BATS_TEST_TMPDIR/other.tar" --name other
  "$CONODE" image import "$BATS_TEST_TMPDIR/other.tar"
  "$CONODE" image remove other
  run "$CONODE" image remove other
  assert_failure
}

@test "what is no image is refused, and says so" {
  head -c 100000 /dev/urandom > "$BATS_TEST_TMPDIR/noise.tar"
  run "$CONODE" image import "$BATS_TEST_TMPDIR/noise.tar"
  assert_failure
  assert_output --partial noise.tar
}

@test "a second up of the same name is refused, another one is not disturbed by it" {
  run "$CONODE" up
  assert_failure
  assert_output --partial 'running already'
  run "$CONODE" exec --job other --api-port 0 -- "$CONODE" kubectl get nodes -o name
  assert_success
  assert_output --partial node/n0
  run in_pod web wget -q -O - http://10.96.0.80/
  assert_output --partial '404'
}

@test "a taken port is named" {
  port=$("$CONODE" status --json | jq -r '.server | split(":")[2]')
  run "$CONODE" exec --job porttest --api-port "$port" -- true
  assert_failure 125
  assert_output --partial "127.0.0.1:$port"
}

@test "etcd, containerd and the kubelet come back when they are killed" {
  namespace=$(readlink "/proc/$(init_pid local)/ns/user")
  for service in etcd containerd kubelet; do
    for pid in $(pgrep -u "$(id -u)" -f "/run/conode/bundle/$service "); do
      [ "$(readlink "/proc/$pid/ns/user")" = "$namespace" ] || continue
      kill -9 "$pid"
      wait_gone "$pid"
    done
  done
  run timeout 60 bash -c "until '$CONODE' status --json |
      jq -e '[.services[] | select(.name == \"etcd\" or .name == \"containerd\" or .name == \"kubelet\")
              | select(.state == \"ready\" and .restarts > 0)] | length == 3'; do :; done"
  assert_success
  "$CONODE" kubectl delete pod -l app=web --wait=true --timeout=60s
  "$CONODE" kubectl rollout status deployment/web --timeout=60s
  run in_pod web wget -q -O - http://10.96.0.80/
  assert_output --partial '404'
}
