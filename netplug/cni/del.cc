// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netplug/cni/address_pool.h"
#include "netplug/cni/host_ports.h"
#include "netplug/cni/naming.h"
#include "netplug/cni/verbs.h"
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

// RTM_DELLINK blocks its caller through two RCU grace periods. The kernel takes the name and the
// container's end away early in that; nobody needs to wait for the rest, so a child does, with a
// socket of its own. When it is killed, the end of the container's namespace or GC deletes the
// link.
Result<void> delete_in_background(Socket& node, const std::string& link) {
  const pid_t child = ::fork();
  if (child > 0) return {};
  if (child < 0) {
    TRY(delete_link(node, link));
    return {};
  }
  let_go_of_the_runtime();
  Result<Socket> socket = Socket::open();
  ::_exit(socket && delete_link(*socket, link) ? 0 : 1);
}

// The route goes before its address is free for another container. On a bridge there is none, and
// who gets the address has the same hardware address as who had it (naming.h).
Result<void> free_address(Socket& node, const std::optional<Link>& link, const AddressPool& pool,
                          const Reservation& reservation) {
  if (link && link->master == 0)
    TRY(delete_route(node, {.destination = {reservation.address, 32}, .link = link->index}));
  TRY(pool.release(reservation));
  return {};
}

}  // namespace

CniResult<void> del(const Request& request, const NetworkConfig& config) {
  const AddressPool pool = pool_of(config);
  Socket node = TRY(Socket::open());
  const std::string name = host_link_name(config.name, request.attachment);
  const std::optional<Link> link = TRY(find_link(node, name));
  Result<void> freed = close_ports(config, request.attachment);
  Result<std::vector<Reservation>> reservations = pool.list();
  if (!reservations) freed = tl::make_unexpected(reservations.error());
  for (const Reservation& r : reservations.value_or(std::vector<Reservation>{}))
    if (r.holder == request.attachment && freed) freed = free_address(node, link, pool, r);
  if (link) TRY(delete_in_background(node, name));
  if (!freed) return fail(ErrorCode::io_failure, freed.error());
  return {};
}

}  // namespace conode::cni
