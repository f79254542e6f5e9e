// SPDX-License-Identifier: Apache-2.0
#include "tests/support/bus_world.h"

#include <fmt/format.h>

#include <algorithm>

#include "agent/base/file.h"

namespace conode::bus {

BusWorld::BusWorld(WorldOptions options, OnEvent on_event)
    : options_(std::move(options)),
      on_event_(std::move(on_event)),
      secret_(options_.secret ? *options_.secret : Secret::random()),
      buses_(options_.size),
      root_endpoint_(options_.root_endpoint) {}

Result<std::unique_ptr<BusWorld>> BusWorld::create(WorldOptions options, OnEvent on_event) {
  const int io_threads = options.io_threads;
  std::unique_ptr<BusWorld> world(new BusWorld(std::move(options), std::move(on_event)));
  const uint32_t size = world->options_.size;
  world->context_ = TRY(Context::create(
      world->loop().get_executor(), world->secret_,
      {.size = size, .io_threads = io_threads, .most_sockets = static_cast<int>(4 * size + 64)}));
  return world;
}

BusWorld::~BusWorld() {
  buses_.clear();  // before what they use
  context_.reset();
}

BusOptions BusWorld::options_of(Rank rank) const {
  BusOptions options{.rank = rank,
                     .size = options_.size,
                     .arity = options_.arity,
                     .root_endpoint = root_endpoint_,
                     .timing = options_.timing};
  options.hello.set_host_name(fmt::format("node{}", rank));
  options.hello.set_cores(4);
  options.hello.set_topology(std::string(400, 't'));
  if (!options_.file_dir.empty()) options.file_dir = fmt::format("{}/{}", options_.file_dir, rank);
  return options;
}

Result<void> BusWorld::start(Rank rank) {
  BusOptions options = options_of(rank);
  if (!options.file_dir.empty()) TRY(make_dirs(options.file_dir));
  buses_.at(rank) = TRY(Bus::start(loop_.get_executor(), context_, std::move(options),
                                   [this, rank](const Event& event) { on_event_(rank, event); }));
  if (rank == kRoot) root_endpoint_ = buses_.front()->endpoint();
  return {};
}

Result<void> BusWorld::start_all() {
  if (options_.part == 0) TRY(start(kRoot));
  for (Rank rank = 1; rank < options_.size; ++rank)
    if (rank % options_.parts == options_.part) TRY(start(rank));
  return {};
}

bool BusWorld::run_until(const std::function<bool()>& done, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const std::chrono::milliseconds look_again(options_.parts == 1 ? 100 : 1);
  while (!done()) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    loop_.run_one_for(std::min<std::chrono::steady_clock::duration>(left, look_again));
  }
  return true;
}

}  // namespace conode::bus
