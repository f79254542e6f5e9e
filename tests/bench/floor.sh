#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The floor: the bundle's upstream Kubernetes started by hand on one node, rootless, with nothing of
# conode in it. `conode up` is compared with it, in the same run, on the same machine and cores.
#
# usage: floor.sh [--hold] BUNDLE IMAGE STATE         as an ordinary user with subordinate ids
#   BUNDLE  as `conode bundle build` makes it, with extras/ (ctr, ptp, host-local)
#   IMAGE   OCI archive with docker.io/library/busybox:latest (tests/support/busybox_image.py)
#   STATE   scratch directory on a local file system, removed first
#   --hold  keep the cluster until standard input ends
# Environment: FLOOR_CPUS=LIST restricts everything to these CPUs (taskset).
#
# The caller sits in a cgroup v2 directory that its user owns (`./dev shell` gives one). On standard
# output: one line {"phase": NAME, "seconds": SINCE_START} a phase. Everything ends with this
# process: PID 1 of the PID namespace is its child and dies with it.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
readonly here
readonly address=10.88.0.1 node=n0 pod_cidr=10.244.0.0/24
readonly service_cidr=10.96.0.0/16 web=http://10.96.0.80/
readonly runtime=/run/containerd/containerd.sock api=https://$address:6443

phase() {
  local now=${EPOCHREALTIME/[.,]/}
  printf '{"phase": "%s", "seconds": %d.%06d}\n' \
    "$1" $(((now - begun) / 1000000)) $(((now - begun) % 1000000))
}

# service PROGRAM ARGUMENT... : in the background, its output in log/PROGRAM
service() {
  "$@" > "$state/log/$1" 2>&1 < /dev/null &
}

mounts() {
  rm -rf "$state"
  mkdir -p "$state"/{log,cni,kubelet,etc,var_log,upper,work}
  mount -t cgroup2 none /sys/fs/cgroup
  mkdir -p /sys/fs/cgroup/floor
  echo 0 > /sys/fs/cgroup/floor/cgroup.procs
  mount -t tmpfs tmpfs /run
  mkdir -p "${runtime%/*}"
  mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$state/upper,workdir=$state/work" /var/lib
  mkdir -p /var/lib/kubelet
  mount --bind "$state/kubelet" /var/lib/kubelet
  mount --bind "$state/var_log" /var/log
  mount --make-rshared /
}

network() {
  ip link set lo up
  ip link add node0 type veth peer name node1
  ip link set node1 up
  ip addr add "$address/24" dev node0
  ip link set node0 up
  ip route add default dev node0
  echo 1 > /proc/sys/net/ipv4/ip_forward
}

write_kubeadm_config() {
  cat > "$state/kubeadm.yaml" << END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {advertiseAddress: $address, bindPort: 6443}
nodeRegistration: {name: $node, criSocket: "unix://$runtime"}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: $(kubelet --version | cut -d' ' -f2)
certificatesDir: $pki
controlPlaneEndpoint: $address:6443
networking: {podSubnet: 10.244.0.0/16, serviceSubnet: $service_cidr}
encryptionAlgorithm: ECDSA-P256
END
}

# containerd sends a sandbox's CPU shares even where the controllers are missing; runc refuses them.
write_oci_runtime() {
  cat > "$state/oci" << 'END'
#!/usr/bin/python3 -ISs
import json, os, sys
if "create" in sys.argv:
    path = sys.argv[sys.argv.index("--bundle") + 1] + "/config.json"
    with open(path) as file:
        spec = json.load(file)
    spec["linux"].pop("resources", None)
    with open(path, "w") as file:
        json.dump(spec, file)
os.execvp("runc", ["runc"] + sys.argv[1:])
END
  chmod +x "$state/oci"
}

write_containerd_config() {
  cat > "$state/containerd.toml" << END
version = 3
root = "$state/containerd"
state = "${runtime%/*}"
[grpc]
address = "$runtime"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "registry.k8s.io/pause:3.10"
[plugins.'io.containerd.cri.v1.runtime']
disable_cgroup = true
disable_apparmor = true
disable_hugetlb_controller = true
tolerate_missing_hugetlb_controller = true
restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["$bundle", "$bundle/extras"]
conf_dir = "$state/cni"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "$state/oci"
SystemdCgroup = false
END
  cat > "$state/cni/10-floor.conflist" << END
{"cniVersion": "1.0.0", "name": "floor", "plugins": [{"type": "ptp", "ipMasq": false, "ipam": {
  "type": "host-local", "subnet": "$pod_cidr", "dataDir": "$state/ipam",
  "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
}

write_kubelet_config() {
  cat > "$state/kubelet.yaml" << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $pki/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failSwapOn: false
localStorageCapacityIsolation: false
containerRuntimeEndpoint: unix://$runtime
clusterDNS: [10.96.0.10]
clusterDomain: cluster.local
evictionHard: {nodefs.available: 1%, imagefs.available: 1%}
END
}

write_proxy_config() {
  cat > "$state/proxy.yaml" << END
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: 10.244.0.0/16
clientConnection: {kubeconfig: $etc/super-admin.conf}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
END
}

start_etcd() {
  local client=http://127.0.0.1:2379 peer=http://127.0.0.1:2380
  service etcd --data-dir "$state/etcd" --unsafe-no-fsync --log-level error \
    --listen-client-urls $client --advertise-client-urls $client \
    --listen-peer-urls $peer --initial-advertise-peer-urls $peer --initial-cluster default=$peer
}

start_apiserver() {
  service kube-apiserver --advertise-address=$address --bind-address=$address --secure-port=6443 \
    --allow-privileged=true --authorization-mode=Node,RBAC --enable-bootstrap-token-auth=true \
    --enable-admission-plugins=NodeRestriction --etcd-servers=http://127.0.0.1:2379 \
    --client-ca-file="$pki/ca.crt" \
    --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" \
    --kubelet-client-certificate="$pki/apiserver-kubelet-client.crt" \
    --kubelet-client-key="$pki/apiserver-kubelet-client.key" \
    --kubelet-preferred-address-types=InternalIP \
    --proxy-client-cert-file="$pki/front-proxy-client.crt" \
    --proxy-client-key-file="$pki/front-proxy-client.key" \
    --requestheader-client-ca-file="$pki/front-proxy-ca.crt" \
    --requestheader-allowed-names=front-proxy-client \
    --requestheader-extra-headers-prefix=X-Remote-Extra- \
    --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
    --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$pki/sa.pub" --service-account-signing-key-file="$pki/sa.key" \
    --service-cluster-ip-range=$service_cidr
}

# kubeconfig_of COMPONENT: the flags with which it reaches the API server
kubeconfig_of() {
  printf -- '--%skubeconfig=%s\n' '' "$etc/$1.conf" authentication- "$etc/$1.conf" \
    authorization- "$etc/$1.conf"
}

# The default rates make the controllers wait 5 s in discovery; without a quota nothing waits for it.
start_controllers() {
  local common=(--leader-elect=false --kube-api-qps=1000 --kube-api-burst=2000) flags
  mapfile -t flags < <(kubeconfig_of controller-manager)
  service kube-controller-manager "${common[@]}" "${flags[@]}" \
    --client-ca-file="$pki/ca.crt" --root-ca-file="$pki/ca.crt" \
    --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key" \
    --service-account-private-key-file="$pki/sa.key" --use-service-account-credentials=true \
    --allocate-node-cidrs=true --cluster-cidr=10.244.0.0/16 \
    --service-cluster-ip-range=$service_cidr \
    --controllers='*,bootstrapsigner,tokencleaner,-resourcequota-controller'
  mapfile -t flags < <(kubeconfig_of scheduler)
  service kube-scheduler "${common[@]}" "${flags[@]}"
}

# Waiting must not take a core from what is waited for: a look at the port costs nothing, curl 10 ms
# of CPU each time, kubectl 100 ms.
wait_for_port() {
  until : <> "/dev/tcp/$1/$2"; do sleep 0.02; done 2> /dev/null
}

api_get() {
  curl -sf -m 2 --cacert "$pki/ca.crt" --cert "$etc/admin.pem" "$api/$1" || true
}

control_plane() {
  write_kubeadm_config
  kubeadm init phase certs all --config "$state/kubeadm.yaml" > "$state/log/certificates" 2>&1 &
  local certificates=$!
  start_etcd
  write_containerd_config
  write_oci_runtime
  service containerd -c "$state/containerd.toml"
  wait $certificates
  phase certificates
  start_apiserver
  kubeadm init phase kubeconfig all --kubeconfig-dir "$etc" --config "$state/kubeadm.yaml" \
    > "$state/log/kubeconfigs" 2>&1
  sed -nE 's/ *client-(certificate|key)-data: //p' "$KUBECONFIG" |
    while read -r part; do base64 -d <<< "$part"; done > "$etc/admin.pem"
  phase kubeconfigs
}

node_agents() {
  local image
  until [ -S $runtime ]; do sleep 0.02; done
  for image in "$bundle/pause.tar" "$image_archive"; do
    ctr -a $runtime -n k8s.io images import "$image" >> "$state/log/images" 2>&1
  done
  phase images
  write_kubelet_config
  service kubelet --kubeconfig="$etc/kubelet.conf" --config="$state/kubelet.yaml" \
    --hostname-override=$node --node-ip=$address --root-dir=/var/lib/kubelet
  write_proxy_config
}

# Until kube-proxy has its rules the address is nobody's: a connect that began before waits 1 s.
web_answers() {
  [ "$(curl -s --connect-timeout 0.1 -m 1 -o /dev/null -w '%{http_code}' $web)" = 404 ]
}

inside() {
  local begun=$1 bundle=$2 image_archive=$3 state=$4 hold=$5
  local etc=$state/etc pki=$state/etc/pki
  export PATH=$bundle:$bundle/extras:/usr/sbin:/usr/bin:/sbin:/bin
  export KUBECONFIG=$etc/super-admin.conf
  mounts
  network
  control_plane
  node_agents
  wait_for_port $address 6443
  until [ "$(api_get readyz)" = ok ]; do sleep 0.02; done
  phase 'API server ready'
  start_controllers
  service kube-proxy --config="$state/proxy.yaml" --hostname-override=$node
  until [[ $(api_get api/v1/nodes/$node) == *'"KubeletReady"'* ]]; do sleep 0.02; done
  phase 'node Ready'
  kubectl apply -f "$here/web.yaml" > /dev/null
  until web_answers; do sleep 0.02; done
  phase 'service answers'
  if [ "$hold" = yes ]; then read -r _ || true; fi
}

main() {
  local hold=no
  if [ "${1:-}" = --hold ]; then hold=yes && shift; fi
  if [ $# != 3 ]; then
    sed -n 's/^# \(usage: .*\)/\1/p' "$0" >&2
    exit 2
  fi
  local restrict=()
  if [ -n "${FLOOR_CPUS:-}" ]; then restrict=(taskset -c "$FLOOR_CPUS"); fi
  exec "${restrict[@]}" unshare --user --map-auto --map-root-user --net --mount --pid --fork \
    --mount-proc --ipc --uts --cgroup --kill-child \
    "$0" inside "${EPOCHREALTIME/[.,]/}" "$(readlink -f "$1")" "$(readlink -f "$2")" "$3" $hold
}

if [ "${1:-}" = inside ]; then shift && inside "$@"; else main "$@"; fi
