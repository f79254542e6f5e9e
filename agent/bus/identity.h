// SPDX-License-Identifier: Apache-2.0
// Who writes an agent's envelopes: its rank, the session, and the one counter of what it wrote.
// Owned by the bus, on its loop.
#pragma once

#include <string>

#include "agent/bus/rendezvous.h"
#include "agent/bus/tree.h"
#include "agent/bus/wire.pb.h"

namespace conode::bus {

class Identity {
 public:
  // session 0: not known yet.
  Identity(Rank rank, uint64_t session) : rank_(rank), session_(session) {}

  [[nodiscard]] Rank rank() const { return rank_; }
  [[nodiscard]] uint64_t session() const { return session_; }
  void learn_session(uint64_t session) { session_ = session; }

  // The envelope's bytes, signed with rank, session and the next number.
  [[nodiscard]] std::string encode(wire::Envelope& envelope) {
    envelope.set_session(session_);
    envelope.set_origin(rank_);
    envelope.set_sequence(++sequence_);
    return envelope.SerializeAsString();
  }

 private:
  Rank rank_;
  uint64_t session_;
  uint64_t sequence_ = stamp_after(0);  // an agent that was started again goes on above
};

}  // namespace conode::bus
