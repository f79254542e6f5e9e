#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Fails under umask 077: a pod of another user does not start. See docs/architecture.md.

setup() {
  load ../program/common
  own_state
}

up() { "$CONODE" up --k8s-cores 1 "$@" > "$BATS_TEST_TMPDIR/up" 2>&1; }

@test "state that belongs to subordinate ids goes too" {
  up --image "$(busybox_archive)"
  "$CONODE" kubectl run writer --image=busybox --image-pull-policy=Never --restart=Never \
    --overrides='{"spec":{"securityContext":{"runAsUser":1234},"volumes":[{"name":"v","emptyDir":{}}],
    "containers":[{"name":"writer","image":"busybox","imagePullPolicy":"Never",
    "command":["sh","-c","mkdir -m 700 /v/d && echo x > /v/d/f"],"volumeMounts":[{"name":"v","mountPath":"/v"}]}]}}'
  "$CONODE" kubectl wait --for=jsonpath='{.status.phase}'=Succeeded pod/writer --timeout=60s
  run "$CONODE" down
  assert_success
  assert_nothing_left
}

