// SPDX-License-Identifier: Apache-2.0
// Programs of the user on the nodes of a job of several: `conode run` asks the agent of rank 0,
// which starts them through the launcher. So MPI's own launcher needs neither ssh nor the batch
// system.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/packet.h"
#include "agent/base/process.h"
#include "agent/base/result.h"
#include "agent/launch/launcher.h"
#include "agent/proto/agent.pb.h"

namespace conode::job {

inline constexpr const char* kNodeCommandsSocket = "/run.sock";  // in rank 0's state directory

// Rank 0's side, on the loop's thread. Its end kills what it has started here.
class NodeCommands {
 public:
  struct Places {
    std::string program;      // conode's own path, on all nodes
    std::string job;          // of rank 0
    std::string state_base;   // of all nodes of this machine
    std::string socket_path;  // to be made
  };

  [[nodiscard]] static Result<std::unique_ptr<NodeCommands>> start(boost::asio::io_context& loop,
                                                                   launch::Launcher& launcher,
                                                                   Places places);
  ~NodeCommands();

 private:
  struct Connection;

  NodeCommands(boost::asio::io_context& loop, launch::Launcher& launcher, Places places,
               UniqueFd listener);
  void accept_next();
  void accept_after_a_pause();
  void listen_to(Connection& connection);
  void on_packet(Connection& connection, Packet packet);
  [[nodiscard]] Result<Process> spawn(Packet& packet);
  void watch(Connection& connection);
  void answer(Connection& connection, const agent::NodeCommandEnd& end);
  void forget(Connection& connection);

  boost::asio::io_context& loop_;
  launch::Launcher& launcher_;
  Places places_;
  boost::asio::posix::stream_descriptor listener_;
  boost::asio::steady_timer pause_;
  std::shared_ptr<std::list<Connection>> connections_;
};

// The other side: runs `argv` in the HPC part of the node with this process's environment and
// directory, and with `standard` as its standard input, output and error; signals of ours go to
// it. Blocks; the result is its exit code.
[[nodiscard]] Result<int> run_on_node(const std::string& job_path, uint32_t rank,
                                      const std::vector<std::string>& argv,
                                      const std::array<int, 3>& standard = {0, 1, 2});

}  // namespace conode::job
