// SPDX-License-Identifier: Apache-2.0
// Files from rank 0 to everyone, in pieces. Each agent writes what comes to its own file and serves
// its children from that file, so that an agent that changes its parent in the middle goes on where
// it was. A parent sends a child at most kWindow pieces that it has not acknowledged. The content
// is known by its SHA-256; a file that does not match never gets its name. On the bus's loop.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <zmq.hpp>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"
#include "agent/bundle/digest.h"
#include "agent/bus/counters.h"
#include "agent/bus/rank_set.h"
#include "agent/bus/wire.pb.h"

namespace conode::bus {

struct ReceivedFile {
  std::string name;
  std::string path;  // the receiver's from now on
  uint64_t size = 0;
  std::string sha256;
};

class FileRelay {
 public:
  static constexpr uint64_t kWindow = 16;  // pieces

  struct Handlers {
    std::function<bool(wire::Envelope)> send_up;
    std::function<bool(Rank child, wire::Envelope, zmq::message_t)> send_down;
    std::function<std::vector<Rank>()> children;
    std::function<void(const ReceivedFile&)> received;
    std::function<void(uint64_t transfer)> changed;  // result() of it has
  };

  FileRelay(Rank self, uint32_t size, std::string dir, Counters& counters, Handlers handlers);

  // Rank 0: sends what `fd` holds, from its beginning. Reads it once for the digest (blocks: about
  // 1 s a GiB).
  [[nodiscard]] Result<void> offer(uint64_t transfer, const std::string& name, UniqueFd fd);
  // Rank 0: everyone has it, or is gone; the transfer ends everywhere.
  void end(uint64_t transfer, const std::string& failure);

  // Messages of neighbours.
  void on_parent(const wire::Envelope& envelope, const zmq::message_t& bulk);
  void on_child(Rank child, const wire::FileAck& ack);
  void on_child_result(Rank child, const wire::FileResult& result);

  void child_attached(Rank child);
  void child_gone(Rank child);

  [[nodiscard]] std::vector<uint64_t> open() const;
  // Of this agent and everyone below.
  [[nodiscard]] wire::FileResult result(uint64_t transfer) const;

 private:
  struct Flow {
    uint64_t next = 0;
    uint64_t acknowledged = 0;
  };
  struct Outcome {
    RankSet done;
    std::map<Rank, std::string> failed;
  };
  struct Transfer {
    wire::FileOffer offer;
    UniqueFd fd;
    std::string part;   // path; empty at rank 0
    uint64_t have = 0;  // pieces
    Sha256 digest;
    bool done = false;
    std::string failure;
    std::map<Rank, Flow> flows;
    Outcome outcome;
  };

  void on_offer(const wire::FileOffer& offer);
  void on_piece(const wire::FilePiece& piece, const zmq::message_t& bulk);
  void on_end(const wire::FileEnd& end);
  [[nodiscard]] Result<void> begin(Transfer& transfer) const;
  [[nodiscard]] static Result<void> write(Transfer& transfer, const zmq::message_t& bulk);
  [[nodiscard]] Result<void> keep(Transfer& transfer, const zmq::message_t& bulk);
  [[nodiscard]] Result<void> complete(Transfer& transfer);
  void fail(Transfer& transfer, const std::string& why);
  void tell_failure(const Transfer& transfer, Rank child);
  void acknowledge(const Transfer& transfer);
  void offer_to(const Transfer& transfer, Rank child);
  [[nodiscard]] Result<void> pump(const Transfer& transfer, Rank child, Flow& flow) const;
  [[nodiscard]] Result<void> pump_all(Transfer& transfer) const;

  Rank self_;
  uint32_t size_;
  std::string dir_;
  Counters& counters_;
  Handlers handlers_;
  std::map<uint64_t, Transfer> transfers_;
};

}  // namespace conode::bus
