// SPDX-License-Identifier: Apache-2.0
// A UDP proxy that loses, repeats and reorders what passes: a bad network for the carriers, where
// the kernel has no netem. One target; any number of clients.
#pragma once

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "netplug/carrier/endpoint.h"
#include "netplug/link/netns.h"

namespace conode::test {

struct Harm {
  double loss = 0;  // probabilities for each datagram
  double duplicate = 0;
  double reorder = 0;  // held until the next one has passed
};

class DatagramProxy {
 public:
  // Listens in the calling thread's namespace at `listen`; forwards to `target`.
  [[nodiscard]] static Result<std::unique_ptr<DatagramProxy>> start(const std::string& listen,
                                                                    const std::string& target,
                                                                    Harm harm);
  ~DatagramProxy();
  [[nodiscard]] uint16_t port() const { return port_; }
  // From now on. Any thread.
  void cut(bool on) { cut_ = on; }
  [[nodiscard]] uint64_t lost() const { return lost_; }

 private:
  // The way of one client through the proxy.
  struct Way {
    UniqueFd socket;
    carrier::Endpoint client;
    carrier::Endpoint server;  // who answered last
  };
  DatagramProxy(UniqueFd listener, uint16_t port, const carrier::Endpoint& target, Harm harm)
      : listener_(std::move(listener)), port_(port), target_(target), harm_(harm) {}
  void run();
  void from_client();
  void from_server(Way& way);
  void pass(int socket, const carrier::Endpoint& to, std::string bytes);
  [[nodiscard]] bool chance(double p) {
    return std::uniform_real_distribution<>(0, 1)(random_) < p;
  }

  UniqueFd listener_;
  uint16_t port_;
  carrier::Endpoint target_;
  Harm harm_;
  std::map<std::string, Way> ways_;
  struct Held {
    int socket = -1;
    carrier::Endpoint to;
    std::string bytes;
  };
  std::optional<Held> held_;
  std::mt19937 random_{42};
  std::atomic<bool> cut_{false};
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> lost_{0};
  std::thread thread_;
};

}  // namespace conode::test
