// SPDX-License-Identifier: Apache-2.0
// The agents' overlay: every agent of a job by rank in a k-ary tree of CurveZMQ connections
// (design.md, section 8). Rank 0 is the root: it sends to one or all, asks all and gathers their
// answers, sends files, and is told who joined, who is ready and who is lost. Loss of an inner
// agent moves its children to the next ancestor; loss of rank 0 ends everyone's bus with RootLost.
//
// Thread: everything on the executor's loop, which one thread runs; libzmq's I/O threads and the
// encryption are the Context's. Events come by post, never from within a call.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/bus/bus.pb.h"
#include "agent/bus/context.h"
#include "agent/bus/counters.h"
#include "agent/bus/file_relay.h"
#include "agent/bus/gathers.h"
#include "agent/bus/options.h"
#include "agent/bus/rank_set.h"

namespace conode::bus {

// At rank 0.
struct Joined {
  Rank rank;
  Hello hello;
};
struct Lost {  // it may join again, where only the network was broken
  Rank rank;
  std::string reason;
};
struct Left {
  Rank rank;
  std::string reason;
};
struct ReadinessChanged {
  RankSet ready;
  std::map<Rank, std::string> troubled;  // what they said to report_trouble()
};
struct FileDelivered {
  uint64_t transfer;
  RankSet done;
  std::map<Rank, std::string> failed;
};
// At all others.
struct Attached {  // at the start, and after each loss of a parent
  Rank parent;
};
struct FileReceived {
  ReceivedFile file;
};
struct RootLost {  // the last event of this bus
  std::string reason;
};
// Everywhere.
struct Received {
  Rank from;
  Message message;
  uint64_t gather;  // not 0: answer() is awaited
};
using Event = std::variant<Joined, Lost, Left, ReadinessChanged, FileDelivered, Attached,
                           FileReceived, RootLost, Received>;

class Node;

class Bus {
 public:
  // Rank 0 listens at once; its endpoint() has to reach the others by the launcher. All others
  // look for their parents from here on.
  [[nodiscard]] static Result<std::unique_ptr<Bus>> start(
      const boost::asio::any_io_executor& executor, std::shared_ptr<Context> context,
      BusOptions options, std::function<void(const Event&)> on_event);
  // As death: connections break, nobody is told. stop() is the friendly end.
  ~Bus();
  Bus(const Bus&) = delete;
  Bus& operator=(const Bus&) = delete;

  // "tcp://ADDRESS:PORT"; empty where no other agent may connect here (a leaf of the tree).
  [[nodiscard]] const std::string& endpoint() const;
  [[nodiscard]] const Counters& counters() const;

  // --- rank 0 ---
  // Delivered once and kept until received, also where agents on the way die; in order unless that
  // happens. Fails for a rank that has not joined, or is lost.
  [[nodiscard]] Result<void> send_to(Rank rank, const Message& message);
  // To everyone who is attached.
  [[nodiscard]] Result<void> broadcast(const Message& message);
  // To everyone who has joined; `done` is called once, at the latest after `timeout`.
  [[nodiscard]] Result<void> gather(const Message& question, std::chrono::milliseconds timeout,
                                    std::function<void(const GatherResult&)> done);
  // The regular file `fd` to everyone's file_dir under `name`; the transfer's number. Ends with
  // FileDelivered, when all that joined have it, failed, or are gone.
  [[nodiscard]] Result<uint64_t> send_file(const std::string& name, UniqueFd fd);
  // Who has joined and is not lost, rank 0 included; who never came.
  [[nodiscard]] RankSet joined() const;
  [[nodiscard]] RankSet awaited() const;

  // --- all others ---
  // To rank 0; may get lost when an agent on the way dies.
  void send_to_root(const Message& message);
  void answer(uint64_t gather, const Answer& answer);

  // --- everyone ---
  void report_ready(bool ready);
  void report_trouble(const std::string& text);  // empty: over
  // Goodbye: rank 0's ends everything everywhere, an inner agent's children move. No event comes
  // afterwards.
  void stop(const std::string& reason);

 private:
  explicit Bus(std::unique_ptr<Node> node);
  std::unique_ptr<Node> node_;
};

}  // namespace conode::bus
