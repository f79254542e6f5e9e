// SPDX-License-Identifier: Apache-2.0
// Theory of operation: the loop's thread owns everything here. The sandbox is made first, because
// its init sets itself up while we write files and open sockets. Services follow by readiness
// (Supervisor); images and what the role adds (API objects, other nodes) run beside them. The node
// is ready when all of these are. Teardown kills the sandbox's init and then runs the same steps as
// a sweep, on a thread of the pool because they block.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <csignal>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/base/memory.h"
#include "agent/job/agent_impl.h"
#include "agent/job/log_rotation.h"

namespace conode::job {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Outcome NodeAgent::run() {
  while (state_ != State::ended) loop_.run_one();
  // Answers who waits for Down, while the loop goes on: a late Status waits for it.
  bool answered = false;
  asio::post(cleaning_, [this, &answered] {
    rpc_.reset();
    asio::post(loop_, [&answered] { answered = true; });
  });
  while (!answered) loop_.run_one();
  containers_.stop();
  cleaning_.join();
  return std::move(outcome_);
}

Outcome NodeAgent::abandon(Error error) {
  outcome_.failure = std::move(error);
  outcome_.exit_code = 1;
  outcome_.left = remove_everything();
  return std::move(outcome_);
}

void NodeAgent::handle(Event event) {
  const std::optional<Transition> transition = next(state_, event);
  if (!transition) return;
  state_ = transition->to;
  perform(transition->action);
}

void NodeAgent::perform(Action action) {
  switch (action) {
    case Action::none:
    case Action::quit:
      return;
    case Action::start_services:
      return start_services();
    case Action::announce: {
      deadline_.cancel();
      watch_logs();
      Progress last{"ready", seconds_since(options_.since), {}, {}, true};
      if (options_.progress) options_.progress(last);
      role_->announce();
      asio::post(loop_, &release_idle_memory);
      if (!options_.workload.empty()) start_workload();
      return;
    }
    case Action::report:
      if (outcome_.failure) log::error("{}", outcome_.failure->message());
      outcome_.failure.reset();  // the job goes on
      return;
    case Action::stop:
      stop_requested_ = std::chrono::steady_clock::now();
      deadline_.cancel();
      limit_timer_.cancel();
      log_timer_.cancel();
      egress_.reset();
      role_->begin_end();
      // The loop goes on meanwhile: it answers Status.
      asio::post(cleaning_, [this] {
        asio::post(loop_, [this, left = remove_everything()]() mutable {
          role_->finish_end(std::move(left),
                            [this](std::vector<std::string> all) { tell_clean(std::move(all)); });
        });
      });
      return;
  }
}

void NodeAgent::start_services() {
  if (Result<void> up = role_->sandbox_up(std::move(tun_)); !up)
    return fail(std::move(up).error(), Event::failed);
  phase("sandbox");
  containers_.import(options_.bundle_dir + "/pause.tar");
  for (const std::string& image : options_.images) containers_.import(image);
  supervisor_->start();
  start_egress();
}

// Beside the rest: nothing waits for it.
void NodeAgent::start_egress() {
  const kubernetes::ClusterLayout& layout = options_.layout;
  egress::Options options{.choice = options_.egress,
                          .sandbox = sandbox_->pid(),
                          .node_address = layout.node_address,
                          .pod_prefix = layout.pod_prefix,
                          .inside = {layout.service_prefix},
                          .inward = options_.inward,
                          .libexec_dir = options_.libexec_dir,
                          .log_path = dir_.path() + "/log/egress.log",
                          .cpus = options_.k8s.mask,
                          .marker = {kPartVariable, instance_.instance},
                          .cgroup = {}};
  if (!enforced_.k8s_cgroup.empty()) options.cgroup = enforced_.k8s_cgroup + "/services/egress";
  egress_ = std::make_unique<egress::Egress>(loop_, std::move(options));
}

void NodeAgent::on_service(const services::ServiceStatus& s) {
  if (s.name == "containerd" && s.state == services::State::ready) containers_.on_ready();
  if (state_ != State::starting || s.state != services::State::ready) return;
  phase(s.name);
  role_->service_ready(s.name);
  check_ready();
}

void NodeAgent::on_imported() {
  if (containers_.awaited() == 0) phase("images");
  check_ready();
}

void NodeAgent::check_ready() {
  if (containers_.awaited() == 0 && role_->ready() && supervisor_ && supervisor_->all_ready())
    handle(Event::cluster_ready);
}

void NodeAgent::watch_logs() {
  constexpr std::chrono::minutes kPeriod{1};
  constexpr uint64_t kLimit = 8U << 20U;
  log_timer_.expires_after(kPeriod);
  log_timer_.async_wait([this](const error_code& error) {
    if (error || state_ != State::running) return;
    if (const Result<void> done = rotate_logs(dir_.path() + "/log", kLimit); !done)
      log::warning("{}", done.error().message());
    watch_logs();
  });
}

void NodeAgent::start_workload() {
  if (enforced_.hpc_cgroup.empty()) {
    if (const Result<void> adopted = orphans_.adopt(); !adopted)
      log::warning("{}", adopted.error().message());
    watch_orphans();
  }
  Result<std::unique_ptr<Workload>> started =
      Workload::start(loop_, options_.workload, instance_, dir_.path(), options_.hpc,
                      enforced_.hpc_cgroup, [this](int exit_code) {
                        outcome_.exit_code = exit_code;
                        handle(Event::workload_ended);
                      });
  if (started) {
    workload_ = std::move(*started);
    return;
  }
  outcome_.exit_code = started.error().is(std::errc::no_such_file_or_directory) ? 127 : 126;
  outcome_.failure = started.error();
  handle(Event::workload_ended);
}

void NodeAgent::watch_orphans() {
  child_ended_.async_wait([this](const error_code& error, int /*number*/) {
    if (error) return;
    orphans_.reap();
    watch_orphans();
  });
}

void NodeAgent::watch_time_limit() {
  if (!options_.time_limit) return;
  const auto begin_of_end = *options_.time_limit - options_.before_limit;
  log::info("the batch job's time limit is {:%H:%M:%S}; the end begins {} s before",
            fmt::localtime(std::chrono::system_clock::to_time_t(*options_.time_limit)),
            options_.before_limit.count() / 1000);
  limit_timer_.expires_at(begin_of_end);
  limit_timer_.async_wait([this](const error_code& error) {
    if (error || state_ == State::stopping || state_ == State::ended) return;
    log::warning("the batch job's time limit is near: ending");
    end_by(SIGTERM);
  });
}

void NodeAgent::on_signal(int number) {
  log::info("signal {}", number);
  end_by(number);
  signals_.async_wait([this](const error_code& error, int next_number) {
    if (!error) on_signal(next_number);
  });
}

void NodeAgent::end_by(int number) {
  if (workload_ && workload_->running()) {
    workload_->forward(number);  // its end is the job's end
  } else {
    if (state_ != State::stopping)
      outcome_.exit_code = options_.workload.empty() ? 0 : 128 + number;
    handle(Event::stop_requested);
  }
}

void NodeAgent::fail(Error error, Event event) {
  if (state_ == State::stopping || state_ == State::ended) return;
  if (!next(state_, event)) return log::error("{}", error.message());  // the job goes on
  outcome_.failure = std::move(error);
  if (state_ == State::starting || event != Event::service_failed) outcome_.exit_code = 1;
  handle(event);
}

void NodeAgent::phase(const std::string& name) {
  const Progress progress{name, seconds_since(options_.since), {}, {}, false};
  if (state_ == State::starting) phases_.push_back(progress);
  if (options_.progress) options_.progress(progress);
}

// On the pool's thread, or before the loop runs. The sandbox's object is no longer used by anyone.
std::vector<std::string> NodeAgent::remove_everything() {
  if (sandbox_)
    if (const Result<void> ended = sandbox_->destroy(); !ended)
      log::error("{}", ended.error().message());
  if (home_cgroup_) (void)write_value(*home_cgroup_ + "/cgroup.procs", std::to_string(::getpid()));
  orphans_.end(options_.stop_grace);
  const FoundJob job = as_found();
  if (Result<void> removed = remove_job(job, options_.libexec_dir, options_.stop_grace); !removed)
    log::error("{}", removed.error().message());
  return audit(job);
}

void NodeAgent::tell_clean(std::vector<std::string> left) {
  agent::DownReply reply;
  reply.set_seconds(seconds_since(stop_requested_));
  for (const std::string& line : left) reply.add_left(line);
  outcome_.left = std::move(left);
  cleaned_.set_value(reply);
  handle(Event::cleaned);
}

std::string NodeAgent::waiting_for() const {
  std::string text;
  const auto add = [&text](const std::string& what) {
    if (!what.empty()) text += (text.empty() ? "" : ", ") + what;
  };
  for (const services::ServiceStatus& s : supervisor_->status())
    if (s.state != services::State::ready) add(s.name);
  if (containers_.awaited() > 0) add("images");
  add(role_->waiting_for());
  return text;
}

}  // namespace conode::job
