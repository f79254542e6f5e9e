// SPDX-License-Identifier: Apache-2.0
// How an agent finds its parent: one sealed datagram to rank 0 ("rank 17 listens there") and one
// back ("your parent listens there"). A CurveZMQ handshake for this question would cost rank 0
// 0.3 ms of CPU for each agent, the datagram costs 0.02 ms. A lost one is sent again; an old one
// that somebody sends again changes nothing. On the loop of the executor.
#pragma once

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/bus/counters.h"
#include "agent/bus/keys.h"
#include "agent/bus/tree.h"
#include "agent/bus/wire.pb.h"

namespace conode::bus {

// "tcp://10.0.0.1:4711" -> address and port as a datagram's destination.
[[nodiscard]] Result<boost::asio::ip::udp::endpoint> datagram_endpoint(const std::string& endpoint);

// Rank 0's side.
class RendezvousServer {
 public:
  struct Options {
    Tree tree;
    Key key;
    uint64_t session = 0;
    std::string root_endpoint;
    // An agent whose parent has not come by then gets the nearest ancestor that has.
    std::chrono::milliseconds adopt_after{5000};
  };

  // On the UDP port with the number of the root endpoint's TCP port.
  [[nodiscard]] static Result<std::unique_ptr<RendezvousServer>> open(
      const boost::asio::any_io_executor& executor, Options options, Counters& counters);

  // An agent's endpoint that became known in another way.
  void learn(Rank rank, const std::string& endpoint);
  // Nobody is sent there any more.
  void forget(Rank rank);

 private:
  using Udp = boost::asio::ip::udp;
  struct Waiting {
    Udp::endpoint from;
    uint64_t stamp = 0;
    std::chrono::steady_clock::time_point since;
  };

  RendezvousServer(const boost::asio::any_io_executor& executor, Options options,
                   Counters& counters);
  void receive();
  void drain();
  void handle(std::string_view sealed, const Udp::endpoint& from);
  void tell(const Waiting& waiting, Rank parent);
  void tell_those_of(Rank parent);
  void adopt_orphans();

  Options options_;
  Counters& counters_;
  Udp::socket socket_;
  boost::asio::steady_timer timer_;
  bool timer_runs_ = false;
  std::map<Rank, std::string> endpoints_;
  std::map<Rank, uint64_t> stamps_;
  std::map<Rank, std::map<Rank, Waiting>> waiting_;  // by parent, then rank
  std::array<char, 2048> buffer_{};
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// Everyone else's side: asks until told or given up.
class RendezvousClient {
 public:
  struct Options {
    Rank rank = 0;
    uint32_t size = 1;
    Key key{};
    std::string root_endpoint;
    std::string own_endpoint;
    // Silence after which `told` gets nothing: no datagrams pass between here and rank 0.
    std::chrono::milliseconds patience{10000};
  };
  // The parent and the session; nothing: no answer.
  using Told = std::function<void(const wire::Told* answer)>;

  // `told`: once, on the loop; may destroy the client.
  [[nodiscard]] static Result<std::unique_ptr<RendezvousClient>> ask(
      const boost::asio::any_io_executor& executor, Options options, Counters& counters, Told told);

 private:
  using Udp = boost::asio::ip::udp;
  RendezvousClient(const boost::asio::any_io_executor& executor, Options options,
                   Counters& counters, Told told);
  void send();
  void receive();
  void handle(std::string_view sealed);

  Options options_;
  Counters& counters_;
  Told told_;
  Udp::socket socket_;
  boost::asio::steady_timer timer_;
  uint64_t stamp_;
  std::string question_;
  std::chrono::milliseconds pause_{100};
  std::chrono::steady_clock::time_point deadline_;
  std::array<char, 2048> buffer_{};
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

// Microseconds of the wall clock, or previous + 1 where that is more: grows from one start of an
// agent to the next.
[[nodiscard]] uint64_t stamp_after(uint64_t previous);

}  // namespace conode::bus
