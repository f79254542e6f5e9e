// SPDX-License-Identifier: Apache-2.0
#include "agent/launch/launcher.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>

#include "agent/base/file.h"
#include "agent/launch/flux.h"
#include "agent/launch/local.h"
#include "agent/launch/pbs.h"
#include "agent/launch/srun.h"
#include "agent/launch/ssh.h"
#include "agent/launch/ticket_file.h"

namespace conode::launch {

Result<UniqueFd> ticket_file(std::string_view ticket) {
  UniqueFd file(::memfd_create("conode-ticket", MFD_CLOEXEC));
  if (!file) return errno_failure("make a file for the ticket: memfd_create");
  TRY(write_all(file.get(), ticket, "ticket"));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return errno_failure("rewind the ticket");
  return file;
}

Result<std::string> address_towards(const std::string& destination) {
  const std::string what = fmt::format("find the address that leads to {}", destination);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);  // nothing is sent: connect(2) only looks for the route
  if (::inet_pton(AF_INET, destination.c_str(), &address.sin_addr) != 1)
    return failure(what + ": it is no IPv4 address");
  const UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  socklen_t size = sizeof address;
  if (!socket || ::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return errno_failure(what);
  std::array<char, INET_ADDRSTRLEN> text{};
  ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
  return std::string(text.data());
}

Result<std::unique_ptr<Launcher>> make_launcher(const Options& options) {
  switch (options.kind) {
    case Kind::local:
      return make_local(options);
    case Kind::ssh:
      return make_ssh(options);
    case Kind::srun:
      return make_srun(options);
    case Kind::flux:
      return make_flux(options);
    case Kind::pbs:
      return make_pbs(options);
    case Kind::none:
      break;
  }
  return nullptr;
}

}  // namespace conode::launch
