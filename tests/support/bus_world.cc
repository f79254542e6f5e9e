// SPDX-License-Identifier: Apache-2.0
#include "tests/support/bus_world.h"

#include <fmt/format.h>

#include <boost/asio/post.hpp>
#include <future>

#include "agent/base/file.h"

namespace conode::bus {

namespace asio = boost::asio;

BusWorld::BusWorld(WorldOptions options, OnEvent on_event)
    : options_(std::move(options)),
      on_event_(std::move(on_event)),
      secret_(Secret::random()),
      buses_(options_.size) {
  for (int i = 0; i < options_.loops; ++i) {
    loops_.push_back(std::make_unique<Loop>(1));
    guards_.push_back(asio::make_work_guard(*loops_.back()));
  }
}

Result<std::unique_ptr<BusWorld>> BusWorld::create(WorldOptions options, OnEvent on_event) {
  const int io_threads = options.io_threads;
  std::unique_ptr<BusWorld> world(new BusWorld(std::move(options), std::move(on_event)));
  const uint32_t size = world->options_.size;
  world->context_ = TRY(Context::create(
      world->loop().get_executor(), world->secret_,
      {.size = size, .io_threads = io_threads, .most_sockets = static_cast<int>(4 * size + 64)}));
  for (size_t i = 1; i < world->loops_.size(); ++i)
    world->threads_.emplace_back([&loop = *world->loops_[i]] { loop.run(); });
  return world;
}

BusWorld::~BusWorld() {
  for (Rank rank = 0; rank < buses_.size(); ++rank) kill(rank);
  for (size_t i = 1; i < loops_.size(); ++i) loops_[i]->stop();
  for (std::thread& thread : threads_) thread.join();
  context_.reset();
}

void BusWorld::on_loop_of(Rank rank, const std::function<void()>& work) {
  Loop& loop = loop_of(rank);
  if (&loop == loops_.front().get()) return work();
  std::promise<void> done;
  asio::post(loop, [&] {
    work();
    done.set_value();
  });
  done.get_future().wait();
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
  Result<std::unique_ptr<Bus>> bus;
  on_loop_of(rank, [&] {
    bus = Bus::start(loop_of(rank).get_executor(), context_, std::move(options),
                     [this, rank](const Event& event) { on_event_(rank, event); });
  });
  buses_.at(rank) = TRY(std::move(bus));
  if (rank == kRoot) root_endpoint_ = buses_.front()->endpoint();
  return {};
}

Result<void> BusWorld::start_all() {
  TRY(start(kRoot));
  Result<void> started;
  std::vector<std::promise<Result<void>>> promises(loops_.size());
  const auto start_those_of = [&](size_t loop) -> Result<void> {
    for (Rank rank = 1; rank < options_.size; ++rank)
      if (rank % loops_.size() == loop) TRY(start(rank));
    return {};
  };
  // Their own loops start them, beside each other.
  std::vector<std::thread> starters;
  for (size_t loop = 1; loop < loops_.size(); ++loop)
    starters.emplace_back([&, loop] { promises[loop].set_value(start_those_of(loop)); });
  started = start_those_of(0);
  for (std::thread& starter : starters) starter.join();
  for (size_t loop = 1; loop < loops_.size(); ++loop) TRY(promises[loop].get_future().get());
  return started;
}

void BusWorld::kill(Rank rank) {
  on_loop_of(rank, [&] { buses_.at(rank).reset(); });
}

bool BusWorld::run_until(const std::function<bool()>& done, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!done()) {
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    // Other loops change what `done` looks at: look again now and then.
    loop().run_one_for(std::min<std::chrono::steady_clock::duration>(
        left, loops_.size() > 1 ? std::chrono::milliseconds(1) : std::chrono::milliseconds(100)));
  }
  return true;
}

}  // namespace conode::bus
