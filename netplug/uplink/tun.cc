// SPDX-License-Identifier: Apache-2.0
#include "netplug/uplink/tun.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

#include <cstring>

#include "agent/base/file.h"
#include "netplug/carrier/frame.h"
#include "netplug/link/link.h"
#include "netplug/link/route.h"

namespace conode {
namespace {

constexpr size_t kMaxQueues = 16;
// Frames that may wait in one queue: the window of a fast stream (6 MiB) in packets of 1,500 bytes.
constexpr int kQueueLength = 4096;
constexpr unsigned kBaseOffloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
constexpr unsigned kUdpOffloads = 0x20U | 0x40U;  // TUN_F_USO4|6; not in Debian 12's headers

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name.c_str(), IFNAMSIZ - 1);
  return request;
}

Failure explained(Error error, const std::string& device) {
  const std::string open_it = fmt::format(
      "as root: 'modprobe tun; chmod 0666 {}' (systemd's default), or choose uplink 'vxlan'",
      device);
  for (const std::errc known : {std::errc::no_such_file_or_directory, std::errc::permission_denied,
                                std::errc::no_such_device, std::errc::no_such_device_or_address,
                                std::errc::operation_not_permitted})
    if (error.is(known)) return Failure(std::move(error).with_remedy(open_it));
  return Failure(std::move(error));
}

Result<UniqueFd> open_queue(const TunOptions& options) {
  Result<UniqueFd> opened = open_at(AT_FDCWD, options.device, O_RDWR | O_NONBLOCK);
  if (!opened) return explained(std::move(opened).error(), options.device);
  ifreq request = request_for(options.name);
  request.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE;
  if (::ioctl(opened->get(), TUNSETIFF, &request) != 0)
    return explained(errno_failure(fmt::format("make TUN queue '{}'", options.name)).value(),
                     options.device);
  const int header = kVnetHeaderSize;
  const int little_endian = 1;
  if (::ioctl(opened->get(), TUNSETVNETHDRSZ, &header) != 0 ||
      ::ioctl(opened->get(), TUNSETVNETLE, &little_endian) != 0)
    return errno_failure(fmt::format("set up the frames of TUN '{}'", options.name));
  return opened;
}

// True with UDP segmentation as well.
Result<bool> set_offloads(int queue, const std::string& name) {
  if (::ioctl(queue, TUNSETOFFLOAD, kBaseOffloads | kUdpOffloads) == 0) return true;
  if (::ioctl(queue, TUNSETOFFLOAD, kBaseOffloads) == 0) return false;
  return errno_failure(fmt::format("set the offloads of TUN '{}'", name));
}

Result<void> bring_up(const TunOptions& options) {
  Socket socket = TRY(Socket::open());
  const int index = TRY(link_index(socket, options.name));
  TRY(set_link_size(socket, index, options.mtu, kQueueLength));
  TRY(set_link_up(socket, index));
  std::optional<Ipv4Address> source;
  if (!options.node_address.empty()) source = TRY(Ipv4Address::parse(options.node_address));
  for (const std::string& text : options.routes)
    TRY(set_route(socket,
                  {.destination = TRY(Ipv4Prefix::parse(text)), .link = index, .source = source}));
  return {};
}

Result<TunQueues> make_tun(const TunOptions& options) {
  if (options.name.empty() || options.name.size() >= IFNAMSIZ)
    return failure(fmt::format("'{}' is no name of an interface", options.name));
  if (options.queues == 0 || options.queues > kMaxQueues)
    return failure(fmt::format("{} queues: there may be 1 to {}", options.queues, kMaxQueues));
  if (options.mtu < 1280 || static_cast<size_t>(options.mtu) > kMaxPacket)
    return failure(fmt::format("MTU {}: it may be 1280 to {}", options.mtu, kMaxPacket));
  TunQueues made;
  for (size_t i = 0; i < options.queues; ++i) made.fds.push_back(TRY(open_queue(options)));
  made.udp_segmentation_offload = TRY(set_offloads(made.fds.front().get(), options.name));
  TRY(bring_up(options));
  return made;
}

}  // namespace

Result<TunQueues> open_tun(const TunOptions& options) {
  return TRY_AS(fmt::format("open the uplink '{}'", options.name), make_tun(options));
}

}  // namespace conode
