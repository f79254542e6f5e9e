// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

#include "netplug/cni/address_pool.h"
#include "netplug/cni/dual_stack.h"
#include "netplug/cni/host_ports.h"
#include "netplug/cni/naming.h"
#include "netplug/cni/verbs.h"
#include "netplug/link/bridge.h"
#include "netplug/link/link.h"
#include "netplug/link/route.h"
#include "netplug/link/socket.h"

namespace conode::cni {
namespace {

// The runtime waits for the end of our pipes, not only for our exit.
void let_go_of_the_runtime() {
  (void)::setsid();
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) (void)::dup2(null, fd);
}

// How long the runtime may take to remove the namespace.
constexpr std::chrono::milliseconds kPatience{1000};

// RTM_DELLINK holds the kernel's one lock of all interfaces through RCU grace periods: 20 ms and
// more, in which every other ADD and DEL waits. The runtime removes the container's namespace right
// after DEL, which takes the link along, many in one go; so a child, with sockets of its own, waits
// for that and deletes the link itself only where nobody does. When the child is killed, the end of
// the namespace or GC deletes the link; an ADD of the same attachment deletes it at once.
Result<void> delete_in_background(Socket& node, int link) {
  const pid_t child = ::fork();
  if (child > 0) return {};
  if (child < 0) {
    TRY(delete_link(node, link));
    return {};
  }
  let_go_of_the_runtime();
  if (wait_link_gone(link, kPatience).value_or(false)) ::_exit(0);
  Result<Socket> socket = Socket::open();
  ::_exit(socket && delete_link(*socket, link) ? 0 : 1);
}

// Nothing reaches the container or comes from it before its address is free for another one:
// without the route, rp_filter drops what it sends.
Result<void> free_address(Socket& node, const std::optional<Link>& link,
                          const NetworkConfig& config, const Reservation& reservation) {
  if (link && link->master != 0) TRY(disable_bridge_port(node, link->index));
  if (link && link->master == 0)
    TRY(delete_route(node, {.destination = {reservation.address, 32}, .link = link->index}));
  if (link) TRY(free_address6(node, link->index, config, reservation.address));
  TRY(pool_of(config).release(reservation));
  return {};
}

}  // namespace

CniResult<void> del(const Request& request, const NetworkConfig& config) {
  Socket node = TRY(Socket::open());
  const std::optional<Link> link =
      TRY(find_link(node, host_link_name(config.name, request.attachment)));
  Result<void> freed = close_ports(config, request.attachment);
  Result<std::vector<Reservation>> reservations = pool_of(config).list();
  if (!reservations) freed = tl::make_unexpected(reservations.error());
  for (const Reservation& r : reservations.value_or(std::vector<Reservation>{}))
    if (r.holder == request.attachment && freed) freed = free_address(node, link, config, r);
  if (link) TRY(delete_in_background(node, link->index));
  if (!freed) return fail(ErrorCode::io_failure, freed.error());
  return {};
}

}  // namespace conode::cni
