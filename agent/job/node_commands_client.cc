// SPDX-License-Identifier: Apache-2.0
// The side of `conode run`.
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "agent/base/file.h"
#include "agent/job/node_commands.h"

namespace conode::job {
namespace {

Result<UniqueFd> connect_to(const std::string& path) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (!socket) return errno_failure("make a socket");
  if (path.size() >= sizeof address.sun_path)
    return code_failure(ENAMETOOLONG, fmt::format("use the socket '{}'", path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return Failure(errno_failure(fmt::format("reach the agent at '{}'", path))
                       .value()
                       .with_remedy("only a job of several nodes can be asked for one"));
  return socket;
}

Result<UniqueFd> request_file(uint32_t rank, const std::vector<std::string>& argv) {
  agent::NodeCommand command;
  command.set_rank(rank);
  for (const std::string& word : argv) command.add_argv(word);
  for (char** entry = environ; *entry != nullptr; ++entry) command.add_environment(*entry);
  std::error_code error;
  command.set_working_dir(std::filesystem::current_path(error).string());
  UniqueFd file(::memfd_create("conode-command", MFD_CLOEXEC));
  if (!file) return errno_failure("memfd_create");
  TRY(write_all(file.get(), command.SerializeAsString(), "the command"));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return errno_failure("rewind the command");
  return file;
}

// The signals that mean the command, as a descriptor from now on.
Result<UniqueFd> catch_signals() {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2})
    ::sigaddset(&set, number);
  if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return errno_failure("block signals");
  UniqueFd signals(::signalfd(-1, &set, SFD_CLOEXEC));
  if (!signals) return errno_failure("signalfd");
  return signals;
}

Result<int> end_of(int socket) {
  const std::optional<Packet> packet = TRY(receive_packet(socket));
  agent::NodeCommandEnd end;
  if (!packet || !end.ParseFromString(packet->data.substr(1)))
    return Failure(code_failure(ECONNRESET, "run the command: the agent is gone")
                       .value()
                       .with_remedy("'conode status' tells about the job"));
  if (!end.failure().empty()) return failure(end.failure(), end.remedy());
  return end.exit_code();
}

}  // namespace

Result<int> run_on_node(const std::string& job_path, uint32_t rank,
                        const std::vector<std::string>& argv, const std::array<int, 3>& standard) {
  const UniqueFd socket = TRY(connect_to(job_path + kNodeCommandsSocket));
  const UniqueFd request = TRY(request_file(rank, argv));
  const UniqueFd signals = TRY(catch_signals());
  TRY(send_packet(socket.get(), "R", {request.get(), standard[0], standard[1], standard[2]}));
  std::array<pollfd, 2> wanted{{{socket.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}}};
  for (;;) {
    if (::poll(wanted.data(), wanted.size(), -1) < 0 && errno != EINTR)
      return errno_failure("poll");
    if (wanted[0].revents != 0) return end_of(socket.get());
    signalfd_siginfo info{};
    if (wanted[1].revents == 0 || ::read(signals.get(), &info, sizeof info) != sizeof info)
      continue;
    const char number = static_cast<char>(info.ssi_signo);
    TRY(send_packet(socket.get(), std::string_view(&number, 1)));
  }
}

}  // namespace conode::job
