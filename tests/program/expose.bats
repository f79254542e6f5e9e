#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Services at ports of the host: NodePort, LoadBalancer and `conode expose`, as they come and go.

bats_require_minimum_version 1.5.0

setup_file() {
  load common
  own_state
  "$CONODE" up --k8s-cores 1 --image "$(busybox_archive)" > "$BATS_FILE_TMPDIR/up" 2>&1 || {
    cat "$BATS_FILE_TMPDIR/up"
    return 1
  }
  web_server web 10.96.0.80 > /dev/null
}

teardown_file() {
  load common
  own_state
  "$CONODE" down > /dev/null 2>&1 || "$CONODE" sweep > /dev/null 2>&1 || true
}

setup() {
  load common
  own_state
}

# service NAME TYPE PORT [LINE...]: of the web server's pods; the lines go to its spec.
service() {
  local name=$1 type=$2 port=$3
  shift 3
  {
    printf 'apiVersion: v1\nkind: Service\nmetadata: {name: %s}\nspec:\n' "$name"
    printf '  type: %s\n  selector: {app: web}\n' "$type"
    printf '  ports: [{name: http, port: %s, targetPort: 80}]\n' "$port"
    for line; do printf '  %s\n' "$line"; done
  } | "$CONODE" kubectl apply -f - > /dev/null
}

node_port() { "$CONODE" kubectl get service "$1" -o 'jsonpath={.spec.ports[0].nodePort}'; }

# What the web server says on 127.0.0.1: 404; 000 where nobody answers.
answer() { curl -s -o /dev/null -w '%{http_code}' --max-time 5 "http://${2:-127.0.0.1}:$1/"; }

answers() { [ "$(answer "$2")" = "$1" ]; }

# The agent opens and closes on an event: until then it is asked again.
becomes() { eventually answers "$@"; } # EXPECTED PORT

refusal_is_told() { "$CONODE" kubectl get events -o 'jsonpath={.items[*].reason}' | grep -q HostPortRefused; }

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

@test "a NodePort answers on the host's loopback, and no longer when its Service is gone" {
  service np NodePort 80
  port=$(node_port np)
  becomes 404 "$port"
  run "$CONODE" expose --list
  assert_line "127.0.0.1:$port -> default/np:80 TCP (NodePort)"
  "$CONODE" kubectl delete service np
  becomes 000 "$port"
  run "$CONODE" expose --list
  refute_output --partial default/np
}

@test "a port of the host is open on the configured address only" {
  service local NodePort 80
  port=$(node_port local)
  becomes 404 "$port"
  own=$(hostname -I | cut -d' ' -f1)
  [ "$(answer "$port" "$own")" = 000 ]
  "$CONODE" kubectl delete service local
}

@test "a NodePort that becomes a ClusterIP closes, and opens again" {
  service flips NodePort 80
  port=$(node_port flips)
  becomes 404 "$port"
  "$CONODE" kubectl patch service flips --type merge -p '{"spec":{"type":"ClusterIP","ports":[{"name":"http","port":80,"nodePort":null}]}}'
  becomes 000 "$port"
  "$CONODE" kubectl patch service flips -p "{\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80,\"nodePort\":$port}]}}"
  becomes 404 "$port"
  "$CONODE" kubectl delete service flips
}

@test "a LoadBalancer answers on its own port, says where it is, and goes" {
  port=$(free_port)
  service lb LoadBalancer "$port"
  "$CONODE" kubectl wait service/lb --for='jsonpath={.status.loadBalancer.ingress[0].ip}=127.0.0.1' --timeout=30s
  becomes 404 "$port"
  becomes 404 "$(node_port lb)"
  run "$CONODE" kubectl get service lb -o 'jsonpath={.status.loadBalancer.ingress[0].ipMode}'
  assert_output Proxy
  "$CONODE" kubectl delete service lb
  becomes 000 "$port"
}

@test "a LoadBalancer of another class is somebody else's" {
  port=$(free_port)
  service other LoadBalancer "$port" 'loadBalancerClass: example.com/cloud'
  becomes 404 "$(node_port other)"
  run "$CONODE" kubectl get service other -o 'jsonpath={.status.loadBalancer}'
  assert_output '{}'
  [ "$(answer "$port")" = 000 ]
  "$CONODE" kubectl delete service other
}

@test "loadBalancerSourceRanges keep others out" {
  port=$(free_port)
  service narrow LoadBalancer "$port" 'loadBalancerSourceRanges: [203.0.113.0/24]'
  "$CONODE" kubectl wait service/narrow --for='jsonpath={.status.loadBalancer.ingress[0].ip}=127.0.0.1' --timeout=30s
  [ "$(answer "$port")" = 000 ]
  "$CONODE" kubectl patch service narrow -p '{"spec":{"loadBalancerSourceRanges":["127.0.0.0/8"]}}'
  becomes 404 "$port"
  "$CONODE" kubectl delete service narrow
}

@test "a port that is taken on the host is refused with its cause, as status and as an Event" {
  port=$(free_port)
  python3 -c "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', $port)); s.listen(); time.sleep(60)" &
  holder=$!
  service taken LoadBalancer "$port"
  eventually refusal_is_told
  run "$CONODE" kubectl describe service taken
  assert_output --partial "listen on 127.0.0.1:$port (TCP): Address already in use"
  run "$CONODE" status
  assert_success
  assert_output --partial "127.0.0.1:$port -> default/taken:$port TCP (LoadBalancer); refused:"
  assert_output --partial 'choose another port'
  run "$CONODE" kubectl get service taken -o 'jsonpath={.status.loadBalancer}'
  assert_output '{}'
  kill "$holder"
  wait_gone "$holder"
  "$CONODE" kubectl label service taken try=again # any change tries again
  becomes 404 "$port"
  "$CONODE" kubectl delete service taken
}

@test "a privileged port is refused with what to do, the node port works" {
  [ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -gt 81 ] || skip 'the site lets users bind port 81'
  service low LoadBalancer 81
  becomes 404 "$(node_port low)"
  run "$CONODE" status
  assert_output --partial 'ip_unprivileged_port_start'
  "$CONODE" kubectl delete service low
}

@test "expose opens a port, lists it as text and JSON, and closes it" {
  port=$(free_port)
  run "$CONODE" expose svc/web "$port"
  assert_success
  assert_output "127.0.0.1:$port -> default/web:80 TCP (conode expose)"
  [ "$(answer "$port")" = 404 ]
  run "$CONODE" expose --list --json
  assert_equal "$(jq -r '.[] | select(.service == "web") | .host_port' <<< "$output")" "$port"
  run "$CONODE" expose svc/web "$port" # again: nothing changes
  assert_success
  run "$CONODE" expose --close svc/web "$port"
  assert_success
  [ "$(answer "$port")" = 000 ]
  run "$CONODE" expose --close svc/web "$port"
  assert_failure
  assert_output --partial 'what to do'
}

@test "expose without a port takes a free one; two at once" {
  first=$("$CONODE" expose svc/web:80 --json | jq '.[0].host_port')
  [ "$(answer "$first")" = 404 ]
  second=$(free_port)
  "$CONODE" expose svc/web "$second"
  "$CONODE" expose --close svc/web "$first"
  [ "$(answer "$first")" = 000 ]
  [ "$(answer "$second")" = 404 ]
  "$CONODE" expose --close svc/web
  [ "$(answer "$second")" = 000 ]
}

@test "what expose has opened goes with its Service" {
  service brief ClusterIP 80
  port=$(free_port)
  "$CONODE" expose svc/brief:http "$port"
  [ "$(answer "$port")" = 404 ]
  "$CONODE" kubectl delete service brief
  becomes 000 "$port"
  run "$CONODE" expose --list
  refute_output --partial default/brief
}

@test "expose refuses bad names, and says why" {
  run -2 "$CONODE" expose svc/web 65536
  run -2 "$CONODE" expose svc/web port
  for bad in web deploy/web svc/ svc/WEB svc/../x svc/web:; do
    run -1 "$CONODE" expose "$bad" 18080
    assert_output --partial "expose '$bad'"
  done
  run -1 "$CONODE" expose
  assert_output --partial --list
  run -1 "$CONODE" expose svc/nothing 18080
  assert_output --partial 'none of that name'
  run -1 "$CONODE" expose svc/web:81 18080
  assert_output --partial "no port '81'"
  run -1 "$CONODE" expose svc/web 18080 --namespace No/Such
  run -1 "$CONODE" expose svc/web 18080 --namespace nowhere
  run -1 "$CONODE" expose svc/web 18080 --address localhost
  run -1 "$CONODE" expose svc/web 18080 --address 203.0.113.1
  assert_output --partial '203.0.113.1:18080'
  run "$CONODE" expose --list
  refute_output --partial 18080
}

@test "expose refuses a taken port, and remembers nothing of it" {
  port=$(free_port)
  "$CONODE" expose svc/web "$port"
  run -1 "$CONODE" expose -n kube-system svc/kube-dns:dns-tcp "$port"
  assert_output --partial 'leads to Service default/web already'
  "$CONODE" expose --close svc/web
  run "$CONODE" expose --list
  refute_output --partial kube-dns
}

@test "UDP: the cluster's DNS answers on a port of the host" {
  port=$("$CONODE" expose -n kube-system svc/kube-dns:dns --json | jq '.[0].host_port')
  run python3 - "$port" << 'PY'
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
name = b"".join(bytes([len(p)]) + p for p in b"web.default.svc.cluster.local".split(b".")) + b"\0"
for number in range(3):
    s.sendto(struct.pack("!6H", number, 0x100, 1, 0, 0, 0) + name + struct.pack("!2H", 1, 1), ("127.0.0.1", int(sys.argv[1])))
    answer, peer = s.recvfrom(2000)
    print(struct.unpack("!H", answer[:2])[0], ".".join(str(b) for b in answer[-4:]), peer[1])
PY
  assert_output "0 10.96.0.80 $port
1 10.96.0.80 $port
2 10.96.0.80 $port"
  "$CONODE" expose -n kube-system --close svc/kube-dns
  run ss -Hlun "sport = $port"
  assert_output ''
}

@test "a large transfer through a port of the host arrives as it was sent, both ends close" {
  sum=$(in_pod web sh -c 'dd if=/dev/urandom of=/big bs=1048576 count=48 2> /dev/null; md5sum < /big')
  port=$("$CONODE" expose svc/web --json | jq '.[0].host_port')
  [ "$(curl -s --max-time 60 "http://127.0.0.1:$port/big" | md5sum)" = "$sum" ]
  "$CONODE" expose --close svc/web
  run ss -Htn state established "sport = $port or dport = $port"
  assert_output ''
}

@test "the API server dies: Services are followed again, ports stay open" {
  service steady NodePort 80
  port=$(node_port steady)
  becomes 404 "$port"
  for pid in $(pgrep -u "$(id -u)" -f '/run/conode/bundle/kube-apiserver '); do
    [ "$(readlink "/proc/$pid/ns/user")" = "$(readlink "/proc/$(init_pid local)/ns/user")" ] || continue
    kill -9 "$pid"
    wait_gone "$pid"
  done
  [ "$(answer "$port")" = 404 ]
  eventually "$CONODE" kubectl get --raw /readyz
  "$CONODE" kubectl delete service steady
  becomes 000 "$port"
}

@test "down closes everything" {
  port=$(free_port)
  "$CONODE" expose svc/web "$port"
  service late NodePort 80
  late=$(node_port late)
  becomes 404 "$late"
  run "$CONODE" down
  assert_success
  assert_output --partial 'nothing is left'
  run ss -Hltn "sport = $port or sport = $late"
  assert_output ''
  assert_nothing_left
}
