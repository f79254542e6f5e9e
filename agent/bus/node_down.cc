// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "agent/bus/codec.h"
#include "agent/bus/node.h"

namespace conode::bus {

using wire::Envelope;

Result<void> Node::send_to(Rank rank, const Message& message) {
  TRY(require_root("send a message"));
  if (rank == kRoot || rank >= options_.size)
    return failure(fmt::format("send a message to rank {}: there is none below rank 0 of {} agents",
                               rank, options_.size));
  const MemberState state = roster_->state(rank);
  if (state != MemberState::joined && state != MemberState::doubtful)
    return failure(fmt::format("send a message to rank {}: it is {}", rank, to_string(state)));
  if (message.ByteSizeLong() > kMostPayload)
    return failure(fmt::format("send a message to rank {}: {} bytes are more than {}", rank,
                               message.ByteSizeLong(), kMostPayload));
  route(dispatch_.to_one(rank, message));
  return {};
}

Result<void> Node::broadcast(const Message& message) {
  TRY(require_root("send to all"));
  if (message.ByteSizeLong() > kMostPayload)
    return failure(fmt::format("send to all: {} bytes are more than {}", message.ByteSizeLong(),
                               kMostPayload));
  route(dispatch_.to_all(message, 0));
  return {};
}

Result<void> Node::gather(const Message& question, std::chrono::milliseconds timeout,
                          Gathers::Done done) {
  TRY(require_root("gather"));
  const uint64_t id = random_number();
  RankSet asked = roster_->in(MemberState::joined);
  asked.add(roster_->in(MemberState::doubtful));
  asked.remove(kRoot);
  gathers_.open(id, asked, timeout, std::move(done));
  route(dispatch_.to_all(question, id));
  return {};
}

Result<uint64_t> Node::send_file(const std::string& name, UniqueFd fd) {
  TRY(require_root("send a file"));
  const uint64_t transfer = random_number();
  TRY_AS(fmt::format("send the file '{}'", name), files_->offer(transfer, name, std::move(fd)));
  finish_files();  // where nobody has joined
  return transfer;
}

void Node::on_parent_message(Envelope& envelope, zmq::message_t& bulk) {
  switch (envelope.body_case()) {
    case Envelope::kDownward:
      return route(envelope.downward());
    case Envelope::kFileOffer:
    case Envelope::kFilePiece:
    case Envelope::kFileEnd:
      return files_->on_parent(envelope, bulk);
    default:
      ++counters_.unexpected;
  }
}

// Passes a message on, or takes it. A broadcast that is sent again begins at the rank `via`.
void Node::route(const wire::Downward& downward) {
  const bool to_all = downward.to() == kEveryone;
  const bool passes = downward.via() != kEveryone && downward.via() != options_.rank;
  const Rank target = to_all ? downward.via() : downward.to();
  if (passes || (!to_all && target != options_.rank)) {
    const std::optional<Rank> child = children_ ? children_->towards(target) : std::nullopt;
    Envelope envelope;
    *envelope.mutable_downward() = downward;
    if (!child || !children_->send(*child, std::move(envelope))) ++counters_.undelivered;
    return;
  }
  if (is_root() && to_all) {
    Envelope envelope;
    *envelope.mutable_downward() = downward;
    if (children_) children_->send_all(envelope);
    return;
  }
  deliver(downward);
}

void Node::deliver(const wire::Downward& downward) {
  const bool to_all = downward.to() == kEveryone;
  if (!to_all) {
    wire::Receipt& receipt = *outbox_.add().add_receipts();
    receipt.set_rank(options_.rank);
    receipt.set_sequence(downward.sequence());
  }
  if (!(to_all ? to_all_ : to_me_).accept(downward.sequence())) {
    if (!downward.again()) ++counters_.replayed;
    const auto known = std::find_if(answers_.begin(), answers_.end(), [&](const OwnAnswer& own) {
      return downward.gather() != 0 && own.gather == downward.gather();
    });
    if (known != answers_.end()) answer(known->gather, Answer(known->answer));
    return;
  }
  if (to_all && children_) {
    Envelope envelope;
    *envelope.mutable_downward() = downward;
    envelope.mutable_downward()->set_via(kEveryone);
    children_->send_all(envelope);
  }
  if (downward.hello_wanted()) {
    Hello& hello = *outbox_.add().add_hellos();
    hello = options_.hello;
    hello.set_rank(options_.rank);
    return;
  }
  Message message;
  if (message.ParseFromString(downward.message()))
    emit(Received{kRoot, std::move(message), downward.gather()});
  else
    ++counters_.garbage;
}

void Node::on_root_lost(const std::string& reason) {
  if (std::exchange(ended_, true)) return;
  heartbeat_.cancel();
  if (children_) {
    Envelope envelope;
    envelope.mutable_root_lost()->set_reason(reason);
    children_->send_all(envelope);
  }
  emit(RootLost{reason});
}

}  // namespace conode::bus
