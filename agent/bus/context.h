// SPDX-License-Identifier: Apache-2.0
// What the buses of one process share: libzmq's context with its I/O threads, the job's keys, and
// the gate (ZAP, RFC 27) that lets in only clients whose key belongs to a rank of the job, and
// tells the sockets which rank it is. An agent has one; a simulation shares one among thousands of
// buses.
#pragma once

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <memory>

#include "agent/base/result.h"
#include "agent/bus/keys.h"

namespace zmq {
class context_t;
}

namespace conode::bus {

class Socket;

class Context {
 public:
  struct Options {
    uint32_t size = 1;  // agents of the job
    int io_threads = 1;
    int most_sockets = 1023;
  };

  // The gate runs on `executor`'s loop; destroy the context there, after every bus that uses it.
  [[nodiscard]] static Result<std::shared_ptr<Context>> create(
      const boost::asio::any_io_executor& executor, const Secret& secret, Options options);
  // Waits for what closed sockets still have to send (at most their linger, 300 ms).
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  [[nodiscard]] zmq::context_t& zmq() { return *zmq_; }
  [[nodiscard]] Keyring& keys() { return keys_; }
  [[nodiscard]] const CurveKeys& server() const { return server_; }
  [[nodiscard]] const Key& rendezvous_key() const { return rendezvous_key_; }
  // Clients that knew the server's key but have none of a rank's.
  [[nodiscard]] uint64_t refused() const { return refused_; }

 private:
  Context(const Secret& secret, uint32_t size);
  Result<void> open_gate(const boost::asio::any_io_executor& executor);
  void answer_requests();

  CurveKeys server_;
  Key rendezvous_key_;
  Keyring keys_;
  std::atomic<uint64_t> refused_ = 0;
  std::unique_ptr<zmq::context_t> zmq_;
  std::unique_ptr<Socket> gate_;  // goes before the context
};

}  // namespace conode::bus
