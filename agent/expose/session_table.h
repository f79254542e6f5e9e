// SPDX-License-Identifier: Apache-2.0
// Who talks through a UDP port: clients and what belongs to each, forgotten when idle for a while
// or when there are too many (the one that has been silent longest). One thread.
#pragma once

#include <boost/asio/ip/udp.hpp>
#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace conode::expose {

struct DatagramSession;

class SessionTable {
 public:
  using Client = boost::asio::ip::udp::endpoint;
  using Time = std::chrono::steady_clock::time_point;
  using SessionPtr = std::shared_ptr<DatagramSession>;

  SessionTable(size_t most, std::chrono::seconds idle) : most_(most), idle_(idle) {}

  // The client's session, which counts as used now; null: none.
  [[nodiscard]] SessionPtr find(const Client& client, Time now);
  // What had to make room comes back.
  [[nodiscard]] SessionPtr insert(const Client& client, SessionPtr session, Time now);
  // Used now, by an answer.
  void touch(const Client& client, Time now);
  void erase(const Client& client);
  // Those that were idle too long, no longer in the table.
  [[nodiscard]] std::vector<SessionPtr> expire(Time now);
  // When expire() has something to do; nothing: there are no sessions.
  [[nodiscard]] std::optional<Time> next_expiry() const;
  [[nodiscard]] std::vector<SessionPtr> clear();
  [[nodiscard]] size_t size() const { return by_client_.size(); }

 private:
  struct Entry {
    Client client;
    SessionPtr session;
    Time used;
  };
  using Entries = std::list<Entry>;  // longest silent first

  size_t most_;
  std::chrono::seconds idle_;
  Entries entries_;
  std::map<Client, Entries::iterator> by_client_;
};

}  // namespace conode::expose
