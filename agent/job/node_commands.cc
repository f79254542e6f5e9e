// SPDX-License-Identifier: Apache-2.0
#include "agent/job/node_commands.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <csignal>
#include <cstring>
#include <optional>

#include "agent/base/log.h"

namespace conode::job {

namespace asio = boost::asio;

namespace {

Result<UniqueFd> seqpacket_socket(int flags) {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0));
  if (!socket) return errno_failure("make a socket");
  return socket;
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return code_failure(ENAMETOOLONG, fmt::format("use the socket '{}'", path));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<UniqueFd> listen_at(const std::string& path) {
  constexpr int kBacklog = 64;
  UniqueFd socket = TRY(seqpacket_socket(SOCK_NONBLOCK));
  const sockaddr_un address = TRY(address_of(path));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), kBacklog) != 0)
    return errno_failure(fmt::format("listen at '{}'", path));
  return socket;
}

}  // namespace

struct NodeCommands::Connection {
  Connection(asio::io_context& loop, UniqueFd fd) : socket(loop, fd.release()), pidfd(loop) {}

  asio::posix::stream_descriptor socket;
  asio::posix::stream_descriptor pidfd;
  std::optional<Process> process;
};

NodeCommands::NodeCommands(asio::io_context& loop, launch::Launcher& launcher, Places places,
                           UniqueFd listener)
    : loop_(loop),
      launcher_(launcher),
      places_(std::move(places)),
      listener_(loop, listener.release()),
      pause_(loop),
      connections_(std::make_shared<std::list<Connection>>()) {}

NodeCommands::~NodeCommands() {
  for (Connection& connection : *connections_) {
    if (!connection.process) continue;
    (void)connection.process->kill(SIGKILL);
    connection.process->detach();  // the loop does not wait for what may take long to go
  }
}

Result<std::unique_ptr<NodeCommands>> NodeCommands::start(asio::io_context& loop,
                                                          launch::Launcher& launcher,
                                                          Places places) {
  UniqueFd listener = TRY(listen_at(places.socket_path));
  std::unique_ptr<NodeCommands> commands(
      new NodeCommands(loop, launcher, std::move(places), std::move(listener)));
  commands->accept_next();
  return commands;
}

void NodeCommands::accept_next() {
  listener_.async_wait(
      asio::posix::stream_descriptor::wait_read, [this](const boost::system::error_code& error) {
        if (error) return;
        UniqueFd peer(::accept4(listener_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC));
        if (!peer && errno != EAGAIN) return accept_after_a_pause();  // too many descriptors
        if (peer) listen_to(connections_->emplace_back(loop_, std::move(peer)));
        accept_next();
      });
}

void NodeCommands::accept_after_a_pause() {
  constexpr std::chrono::milliseconds kPause{100};
  log::warning("{}", errno_failure("accept a command for a node").value().message());
  pause_.expires_after(kPause);
  pause_.async_wait([this](const boost::system::error_code& error) {
    if (!error) accept_next();
  });
}

void NodeCommands::listen_to(Connection& connection) {
  connection.socket.async_wait(
      asio::posix::stream_descriptor::wait_read,
      [this, &connection](const boost::system::error_code& error) {
        if (error) return;
        Result<std::optional<Packet>> packet = receive_packet(connection.socket.native_handle());
        if (packet && *packet) {
          on_packet(connection, std::move(**packet));
        } else if (connection.process) {
          (void)connection.process->kill(SIGHUP);  // its end is waited for all the same
        } else {
          forget(connection);
        }
      });
}

void NodeCommands::on_packet(Connection& connection, Packet packet) {
  if (connection.process) {
    (void)connection.process->kill(packet.data[0]);
    return listen_to(connection);
  }
  Result<Process> process = spawn(packet);
  if (process) {
    connection.process.emplace(std::move(*process));
    watch(connection);
    return listen_to(connection);
  }
  agent::NodeCommandEnd end;
  end.set_failure(process.error().message());
  end.set_remedy(process.error().remedy);
  answer(connection, end);
}

Result<Process> NodeCommands::spawn(Packet& packet) {
  constexpr size_t kDescriptors = 4;
  agent::NodeCommand command;
  if (packet.fds.size() != kDescriptors || !command.ParseFromFileDescriptor(packet.fds[0].get()) ||
      command.argv().empty())
    return failure("start a command on a node: the request cannot be read",
                   "call the conode that has started the job");
  const uint32_t rank = command.rank();
  if (rank >= launcher_.size())
    return failure(fmt::format("start a command on node n{}: there is no such node", rank),
                   fmt::format("the nodes are n0 to n{}", launcher_.size() - 1));
  launch::Command started{
      .environment = {command.environment().begin(), command.environment().end()},
      .working_dir = command.working_dir(),
      .fds = {{0, packet.fds[1].get()}, {1, packet.fds[2].get()}, {2, packet.fds[3].get()}}};
  const std::string job = rank == 0 ? places_.job : fmt::format("{}.n{}", places_.job, rank);
  started.argv = {places_.program, "run", "--job", job, "--state-dir", places_.state_base, "--"};
  started.argv.insert(started.argv.end(), command.argv().begin(), command.argv().end());
  return launcher_.run(rank, started);
}

void NodeCommands::watch(Connection& connection) {
  connection.pidfd.assign(::fcntl(connection.process->pidfd(), F_DUPFD_CLOEXEC, 0));
  connection.pidfd.async_wait(asio::posix::stream_descriptor::wait_read,
                              [this, &connection](const boost::system::error_code& error) {
                                if (error) return;
                                agent::NodeCommandEnd end;
                                const Result<ExitStatus> status = connection.process->wait();
                                end.set_exit_code(status ? shell_exit_code(*status) : 1);
                                answer(connection, end);
                              });
}

void NodeCommands::answer(Connection& connection, const agent::NodeCommandEnd& end) {
  // A byte before it: a message whose fields are all zero has no bytes.
  (void)send_packet(connection.socket.native_handle(), "E" + end.SerializeAsString());
  forget(connection);
}

// Not at once: a handler of this connection may be the caller.
void NodeCommands::forget(Connection& connection) {
  boost::system::error_code not_open;
  (void)connection.socket.cancel(not_open);
  (void)connection.pidfd.cancel(not_open);
  asio::post(loop_, [all = std::weak_ptr(connections_), &connection] {
    const auto connections = all.lock();  // null: all are gone already
    if (connections) connections->remove_if([&](const Connection& c) { return &c == &connection; });
  });
}

}  // namespace conode::job
