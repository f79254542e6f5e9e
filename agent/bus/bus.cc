// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/bus.h"

#include <fmt/format.h>

#include "agent/bus/codec.h"
#include "agent/bus/node.h"

namespace conode::bus {
namespace {

Result<void> check(const BusOptions& options) {
  if (options.size == 0 || options.rank >= options.size)
    return failure(fmt::format("rank {} of {} agents", options.rank, options.size));
  if (options.arity == 0) return failure("a tree whose nodes have no children (arity 0)");
  if (options.hello.topology().size() > kMostTopology)
    return failure(fmt::format("a topology of {} bytes is more than {}",
                               options.hello.topology().size(), kMostTopology));
  return {};
}

}  // namespace

Result<std::unique_ptr<Bus>> Bus::start(const boost::asio::any_io_executor& executor,
                                        std::shared_ptr<Context> context, BusOptions options,
                                        std::function<void(const Event&)> on_event) {
  const Rank rank = options.rank;
  TRY_AS("start the bus", check(options));
  std::unique_ptr<Bus> bus(new Bus(std::make_unique<Node>(
      executor, std::move(context), std::move(options), std::move(on_event))));
  TRY_AS(fmt::format("start the bus of rank {}", rank), bus->node_->start());
  return bus;
}

Bus::Bus(std::unique_ptr<Node> node) : node_(std::move(node)) {}
Bus::~Bus() = default;

const std::string& Bus::endpoint() const { return node_->endpoint(); }
const Counters& Bus::counters() const { return node_->counters(); }

Result<void> Bus::send_to(Rank rank, const Message& message) {
  return node_->send_to(rank, message);
}
Result<void> Bus::broadcast(const Message& message) { return node_->broadcast(message); }
Result<void> Bus::gather(const Message& question, std::chrono::milliseconds timeout,
                         std::function<void(const GatherResult&)> done) {
  return node_->gather(question, timeout, std::move(done));
}
Result<uint64_t> Bus::send_file(const std::string& name, UniqueFd fd) {
  return node_->send_file(name, std::move(fd));
}
RankSet Bus::joined() const {
  RankSet joined = node_->in(MemberState::joined);
  joined.add(node_->in(MemberState::doubtful));
  return joined;
}
RankSet Bus::awaited() const { return node_->in(MemberState::expected); }
void Bus::send_to_root(const Message& message) { node_->send_to_root(message); }
void Bus::answer(uint64_t gather, const Answer& answer) { node_->answer(gather, answer); }
void Bus::report_ready(bool ready) { node_->report_ready(ready); }
void Bus::report_trouble(const std::string& text) { node_->report_trouble(text); }
void Bus::stop(const std::string& reason) { node_->stop(reason); }

}  // namespace conode::bus
