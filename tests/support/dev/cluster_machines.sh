# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The test cluster's machines and their network. All is in a network namespace of this checkout's own:
# a bridge, a tap device a machine, QEMU, ssh and Ansible; nothing of it reaches other networks. A machine
# is its record $machines/NAME.pid; only what is recorded is ever ended.

readonly machine_names=(n1 n2 n3)
readonly machine_memory=${CONODE_CLUSTER_MEMORY:-3072} # MiB
readonly machine_cpus=2
readonly boot_limit=600 # seconds until ssh answers; emulated machines take one minute
machines=$stage/cluster # overlays, serial logs, records
cluster_network=conode-$(basename "$stage")
readonly machines cluster_network

machine_address() { echo "10.77.0.$((10 + ${1#n}))"; }
machine_mac() { printf '52:54:00:77:00:%02x\n' $((10 + ${1#n})); }

# NAME=ADDRESS,...
machine_hosts() {
  local name list=()
  for name in "${machine_names[@]}"; do list+=("$name=$(machine_address "$name")"); done
  (IFS=, && echo "${list[*]}")
}

on_network() { ip netns exec "$cluster_network" "$@"; }

# process_of NAME: the QEMU that is recorded, if it still is one of ours.
process_of() {
  local pid
  pid=$(cat "$machines/$1.pid" 2> /dev/null) || return 1
  grep -qzF "file=$machines/$1.qcow2" "/proc/$pid/cmdline" 2> /dev/null || return 1
  echo "$pid"
}

ssh_options() {
  printf '%s\n' -i "$cluster_cache/id" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o LogLevel=ERROR -o ConnectTimeout=120 -o ServerAliveInterval=30 -o ControlMaster=auto \
    -o "ControlPath=$machines/ssh-%r@%h" -o ControlPersist=600
}

# on_machine [USER@]NAME COMMAND...: the words go to the shell there as they are.
on_machine() {
  local target=$1 user=root options
  shift
  if [[ $target = *@* ]]; then user=${target%@*} target=${target#*@}; fi
  mapfile -t options < <(ssh_options)
  on_network ssh "${options[@]}" "$user@$(machine_address "$target")" "$@"
}

make_network() {
  local name
  if [ ! -e "/run/netns/$cluster_network" ]; then ip netns add "$cluster_network"; fi
  if ! ip -n "$cluster_network" link show br0 > /dev/null 2>&1; then
    ip -n "$cluster_network" link set lo up
    ip -n "$cluster_network" link add br0 type bridge stp_state 0 forward_delay 0
    ip -n "$cluster_network" address add 10.77.0.1/24 dev br0
    ip -n "$cluster_network" link set br0 up
  fi
  for name in "${machine_names[@]}"; do
    if ip -n "$cluster_network" link show "tap-$name" > /dev/null 2>&1; then continue; fi
    on_network ip tuntap add "tap-$name" mode tap vnet_hdr
    ip -n "$cluster_network" link set "tap-$name" master br0 up
  done
}

# Does a guest really run under KVM here? A device that is there says little: some hosts offer one that
# runs no ordinary kernel.
kvm_works() {
  local output
  if [ ! -w /dev/kvm ]; then return 1; fi
  output=$(timeout 20 qemu-system-x86_64 -machine q35,accel=kvm -cpu host -m 256 -nodefaults -display none \
    -no-reboot -kernel "$image/vmlinuz" -initrd "$image/initrd.img" -append 'console=ttyS0 conode.probe' \
    -serial stdio < /dev/null 2> /dev/null) || true
  [[ $output = *conode-probe-ok* ]]
}

# The words of QEMU's command line that differ between a processor and its emulation. The Debian 12 QEMU's
# emulated cx16 and la57 make newer kernels panic.
choose_processor() {
  if kvm_works; then
    processor=(-accel kvm -cpu host)
    say "the machines run under KVM"
  else
    processor=(-accel "tcg,thread=multi,tb-size=256" -cpu "max,-cx16,-la57")
    say "no KVM that works: the machines are emulated, 10 to 40 times slower than this one"
  fi
}

start_machine() {
  local name=$1 kernel_words
  if process_of "$name" > /dev/null; then return; fi
  rm -f "$machines/$name".{pid,qcow2,log} "$machines"/ssh-*"@$(machine_address "$name")"
  qemu-img create -q -f qcow2 -b "$image/root.raw" -F raw "$machines/$name.qcow2"
  kernel_words="console=ttyS0 root=/dev/vda rw quiet mitigations=off audit=0 nowatchdog tsc=reliable"
  kernel_words+=" no_timer_check net.ifnames=0 random.trust_cpu=on conode.name=$name"
  kernel_words+=" conode.address=$(machine_address "$name")/24 conode.hosts=$(machine_hosts)"
  on_network qemu-system-x86_64 -name "$name" -machine q35 "${processor[@]}" -smp $machine_cpus \
    -m "$machine_memory" -kernel "$image/vmlinuz" -initrd "$image/initrd.img" -append "$kernel_words" \
    -drive "file=$machines/$name.qcow2,if=none,id=root,cache=unsafe,aio=threads,discard=unmap" \
    -device virtio-blk-pci,drive=root \
    -drive "file=$bundle_disk,if=none,id=bundle,format=raw,readonly=on" \
    -device virtio-blk-pci,drive=bundle,serial=conode-bundle \
    -netdev "tap,id=net,ifname=tap-$name,script=no,downscript=no,vhost=off" \
    -device "virtio-net-pci,netdev=net,mac=$(machine_mac "$name")" -device virtio-rng-pci \
    -display none -monitor none -serial "file:$machines/$name.log" -no-reboot -nodefaults \
    -pidfile "$machines/$name.pid" -daemonize
}

start_machines() {
  local name
  mkdir -p "$machines"
  make_network
  choose_processor
  for name in "${machine_names[@]}"; do start_machine "$name"; done
}

# until ssh answers on all
wait_for_machines() {
  local name limit=$((SECONDS + boot_limit))
  for name in "${machine_names[@]}"; do
    until on_machine "$name" true 2> /dev/null; do
      process_of "$name" > /dev/null ||
        fail "machine '$name' has ended while it booted" "its console: $machines/$name.log"
      if [ $SECONDS -gt $limit ]; then
        fail "machine '$name' does not answer after $boot_limit s" "its console: $machines/$name.log"
      fi
      read -rt 0.5 <> <(:) || true
    done
    say "machine $name answers"
  done
}

stop_machines() {
  local name pid
  for name in "${machine_names[@]}"; do
    if pid=$(process_of "$name"); then
      kill "$pid"
      timeout 20 tail --pid="$pid" -f /dev/null || kill -KILL "$pid"
    fi
    rm -f "$machines/$name".{pid,qcow2}
  done
}

remove_network() {
  if [ -e "/run/netns/$cluster_network" ]; then ip netns delete "$cluster_network"; fi
}
