// SPDX-License-Identifier: Apache-2.0
// Theory of operation: the loop's thread owns everything here. The sandbox is made first, because
// its init sets itself up while we write files and open sockets. Services follow by readiness
// (Supervisor); images and what the role adds (API objects, other nodes) run beside them. The node
// is ready when all of these are. Teardown kills the sandbox's init and then runs the same steps as
// a sweep, on a thread of the pool because they block.
#include "agent/job/node_agent.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <csignal>
#include <future>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/containerd/containerd.h"
#include "agent/job/cleanup.h"
#include "agent/job/enforcement.h"
#include "agent/job/hpc_part.h"
#include "agent/job/life_cycle.h"
#include "agent/job/orphans.h"
#include "agent/job/role.h"
#include "agent/job/rpc_server.h"
#include "agent/job/uplink.h"
#include "agent/job/workload.h"
#include "agent/sandbox/sandbox.h"
#include "agent/services/forwarder.h"
#include "agent/services/supervisor.h"
#include "cgroup/hierarchy.h"
#include "cgroup/job_cgroups.h"

namespace conode::job {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Result<std::string> random_instance() {
  return TRY(read_file("/proc/sys/kernel/random/uuid")).substr(0, 36);
}

class NodeAgent {
 public:
  // `launcher`: of rank 0 on a job of several nodes.
  NodeAgent(AgentOptions options, JobDir dir, UniqueFd api_listener,
            std::unique_ptr<launch::Launcher> launcher);

  Result<void> begin();
  Outcome run();
  // What begin() made before it failed.
  Outcome abandon(Error error);

 private:
  void handle(Event event);
  void perform(Action action);

  AgentContext context();
  Result<void> make_sandbox();
  Result<void> write_state();
  void listen_to_sandbox();
  void start_services();
  void on_service(const services::ServiceStatus& status);
  void import_image(const std::string& source);
  void begin_import(const std::string& source);
  [[nodiscard]] Result<void> import_into_containerd(const std::string& source) const;
  void on_imported(const std::string& source);
  void on_sandbox_gone();
  void watch_deadline();
  void check_ready();
  void start_workload();
  void watch_orphans();
  void on_signal(int number);
  void fail(Error error, Event event);
  void phase(const std::string& name);
  [[nodiscard]] std::vector<std::string> remove_everything();
  void tell_clean(std::vector<std::string> left);
  [[nodiscard]] std::string waiting_for() const;
  [[nodiscard]] FoundJob as_found() const { return {options_.job, dir_.path(), false, instance_}; }
  [[nodiscard]] agent::StatusReply status() const;
  Result<void> listen_for_calls();

  AgentOptions options_;
  JobDir dir_;
  Instance instance_;
  Enforced enforced_;
  State state_ = State::starting;
  Outcome outcome_;
  std::vector<Progress> phases_;
  size_t images_awaited_ = 0;
  std::vector<std::string> images_queued_;  // until containerd is ready
  std::optional<std::string> home_cgroup_;  // where we came from

  asio::io_context loop_{1};
  asio::thread_pool importing_{1};
  asio::thread_pool cleaning_{1};
  asio::signal_set signals_;
  asio::signal_set child_ended_;
  asio::steady_timer deadline_;
  IdMap ids_;
  std::optional<sandbox::Sandbox> sandbox_;
  std::unique_ptr<services::SandboxLink> link_;
  std::unique_ptr<services::Supervisor> supervisor_;
  std::vector<UniqueFd> tun_;  // on their way from the init to the role
  AgentContext context_;
  std::unique_ptr<Role> role_;
  std::unique_ptr<Workload> workload_;
  Orphans orphans_;
  std::unique_ptr<RpcServer> rpc_;
  std::promise<agent::DownReply> cleaned_;
  std::shared_future<agent::DownReply> when_cleaned_{cleaned_.get_future().share()};
  std::chrono::steady_clock::time_point stop_requested_;
};

NodeAgent::NodeAgent(AgentOptions options, JobDir dir, UniqueFd api_listener,
                     std::unique_ptr<launch::Launcher> launcher)
    : options_(std::move(options)),
      dir_(std::move(dir)),
      signals_(loop_, SIGINT, SIGTERM),
      child_ended_(loop_, SIGCHLD),
      deadline_(loop_),
      context_(context()),
      role_(options_.membership.rank == 0
                ? make_control_plane(context_, std::move(api_listener), std::move(launcher))
                : make_worker(context_)) {}

AgentContext NodeAgent::context() {
  return {.loop = loop_,
          .options = options_,
          .dir = dir_.path(),
          .home_cgroup = {},
          .phase = [this](const std::string& name) { phase(name); },
          .look_again = [this] { check_ready(); },
          .fail = [this](Error error, Event event) { fail(std::move(error), event); },
          .handle = [this](Event event) { handle(event); },
          .import_image = [this](const std::string& source) { import_image(source); },
          .add_service = [this](services::ServiceSpec spec) { supervisor_->add(std::move(spec)); },
          .link = nullptr};
}

Result<void> NodeAgent::begin() {
  log::add_file(dir_.path() + "/log/agent.log");
  instance_ = {.job = options_.job,
               .rank = options_.membership.rank,
               .instance = TRY(random_instance()),
               .pid = ::getpid(),
               .hpc_cpus = options_.hpc.cpus,
               .k8s_cpus = options_.k8s.cpus,
               .shared_core = options_.shared_core,
               .bundle = options_.bundle_dir,
               .api_port = options_.api_port};
  const auto delegation = TRY_AS("look for a delegated cgroup", usable_delegation(options_));
  // Jobs with other state directories may have the same name and delegation: the name of a run.
  const std::string run = options_.job + "." + instance_.instance.substr(0, 8);
  if (delegation) instance_.cgroup = JobCgroups::path_of(*delegation, run);
  TRY(dir_.write(instance_));  // before anything is made: a sweep knows what to look for
  enforced_ = TRY(enforce(options_, delegation, run));
  instance_.enforcement = to_string(enforced_.level);
  options_.layout.level = instance_.enforcement;
  if (!enforced_.agent_cgroup.empty()) {
    home_cgroup_ = TRY(own_cgroup_path());
    context_.home_cgroup = *home_cgroup_;
    TRY(write_value(enforced_.agent_cgroup + "/cgroup.procs", std::to_string(::getpid())));
  }
  TRY(make_sandbox());
  TRY(write_state());
  TRY(role_->begin());
  listen_to_sandbox();
  return listen_for_calls();
}

Result<void> NodeAgent::make_sandbox() {
  ids_ = TRY(id_map_of_user());
  UniqueFd cgroup;
  if (!enforced_.k8s_cgroup.empty())
    cgroup = TRY(open_at(AT_FDCWD, enforced_.k8s_cgroup, O_PATH | O_DIRECTORY));
  sandbox::Options options{.level = instance_.enforcement,
                           .host_name = options_.layout.node_name,
                           .state_dir = dir_.path(),
                           .bundle_dir = options_.bundle_dir,
                           .libexec_dir = options_.libexec_dir,
                           .node_address = options_.layout.node_address,
                           .pod_prefix = options_.layout.node_pods,
                           .mtu = options_.mtu,
                           .cpus = options_.k8s.mask,
                           .cgroup = cgroup ? cgroup.get() : -1,
                           .ids = ids_};
  if (options_.membership.size > 1) {
    options.tun_queues = relay_queues(options_);
    options.tun_routes = {options_.layout.node_prefix, options_.layout.pod_prefix};
  }
  sandbox_ = TRY(sandbox::Sandbox::create(options));
  instance_.init_pid = sandbox_->pid();
  instance_.init_start_time = process_start_time(sandbox_->pid()).value_or(0);
  return {};
}

Result<void> NodeAgent::write_state() {
  TRY(dir_.write(instance_));
  if (!options_.hpc_topology_xml.empty())
    TRY(replace_file(dir_.path() + "/hwloc-hpc.xml", options_.hpc_topology_xml));
  return kubernetes::write_files(dir_.path(),
                                 TRY(kubernetes::configuration_files(options_.layout)));
}

void NodeAgent::listen_to_sandbox() {
  link_ = std::make_unique<services::SandboxLink>(loop_, *sandbox_);
  context_.link = link_.get();
  supervisor_ = std::make_unique<services::Supervisor>(
      loop_, *link_,
      services::Supervisor::Options{dir_.path(), kubernetes::service_environment(options_.layout)},
      services::Supervisor::Handlers{
          [this](const services::ServiceStatus& s) { on_service(s); },
          [this](const Error& error) { fail(error, Event::service_failed); }});
  for (services::ServiceSpec& spec : role_->services()) supervisor_->add(std::move(spec));
  link_->listen({[this](UniqueFd queue) { tun_.push_back(std::move(queue)); },
                 [this] { handle(Event::sandbox_up); },
                 [this](const Error& error) { fail(error, Event::sandbox_lost); },
                 [this] { on_sandbox_gone(); },
                 [this](uint32_t id, pid_t pid) { supervisor_->on_started(id, pid); },
                 [this](uint32_t id, const Error& e) { supervisor_->on_start_failed(id, e); },
                 [this](uint32_t id, const ExitStatus& s) { supervisor_->on_exited(id, s); }});
  struct sigaction hangup {};
  const bool ignored =  // by nohup(1)
      ::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler == SIG_IGN;
  if (!ignored) signals_.add(SIGHUP);
  signals_.async_wait([this](const error_code& error, int number) {
    if (!error) on_signal(number);
  });
  watch_deadline();
}

void NodeAgent::on_sandbox_gone() {
  if (state_ == State::stopping || state_ == State::ended) return;  // by us
  fail(Error{{}, "the sandbox's init is gone: " + sandbox_->how_it_ended(), {}},
       Event::sandbox_lost);
}

void NodeAgent::watch_deadline() {
  if (options_.missing_node == MissingNode::wait) return;  // however long it takes
  deadline_.expires_after(options_.ready_within);
  deadline_.async_wait([this](const error_code& error) {
    if (error || state_ != State::starting) return;
    fail(Error{{},
               fmt::format("the cluster was not ready within {} s; still waiting for: {}",
                           options_.ready_within.count(), waiting_for()),
               "read 'conode logs', or allow more with --ready-timeout"},
         Event::failed);
  });
}

std::string NodeAgent::waiting_for() const {
  std::string text;
  const auto add = [&text](const std::string& what) {
    if (!what.empty()) text += (text.empty() ? "" : ", ") + what;
  };
  for (const services::ServiceStatus& s : supervisor_->status())
    if (s.state != services::State::ready) add(s.name);
  if (images_awaited_ > 0) add("images");
  add(role_->waiting_for());
  return text;
}

Result<void> NodeAgent::listen_for_calls() {
  rpc_ = TRY(RpcServer::listen(dir_.path() + "/agent.sock",
                               {[this] {
                                  std::promise<agent::StatusReply> reply;
                                  asio::post(loop_, [&] { reply.set_value(status()); });
                                  return reply.get_future().get();
                                },
                                [this] {
                                  asio::post(loop_, [this] { handle(Event::stop_requested); });
                                  return when_cleaned_.get();
                                }}));
  return {};
}

Outcome NodeAgent::run() {
  while (state_ != State::ended) loop_.run_one();
  // Answers who waits for Down, while the loop goes on: a late Status waits for it.
  bool answered = false;
  asio::post(cleaning_, [this, &answered] {
    rpc_.reset();
    asio::post(loop_, [&answered] { answered = true; });
  });
  while (!answered) loop_.run_one();
  importing_.join();
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
      Progress last{"ready", seconds_since(options_.since), {}, {}, true};
      if (options_.progress) options_.progress(last);
      role_->announce();
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
  import_image(options_.bundle_dir + "/pause.tar");
  for (const std::string& image : options_.images) import_image(image);
  supervisor_->start();
}

void NodeAgent::on_service(const services::ServiceStatus& s) {
  if (state_ != State::starting || s.state != services::State::ready) return;
  phase(s.name);
  if (s.name == "containerd")
    for (const std::string& source : std::exchange(images_queued_, {})) begin_import(source);
  role_->service_ready(s.name);
  check_ready();
}

void NodeAgent::import_image(const std::string& source) {
  ++images_awaited_;
  if (supervisor_->ready("containerd"))
    begin_import(source);
  else
    images_queued_.push_back(source);
}

void NodeAgent::begin_import(const std::string& source) {
  asio::post(importing_, [this, source] {
    if (Result<void> imported = import_into_containerd(source); !imported)
      asio::post(loop_, [this, error = imported.error()] { fail(error, Event::failed); });
    else
      asio::post(loop_, [this, source] { on_imported(source); });
  });
}

Result<void> NodeAgent::import_into_containerd(const std::string& source) const {
  containerd::ContainerdClient client(dir_.path() + "/run/containerd.sock");
  TRY(client.import_image(source));
  return {};
}

void NodeAgent::on_imported(const std::string& source) {
  if (--images_awaited_ == 0) phase("images");
  role_->image_imported(source);
  check_ready();
}

void NodeAgent::check_ready() {
  if (images_awaited_ == 0 && role_->ready() && supervisor_ && supervisor_->all_ready())
    handle(Event::cluster_ready);
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
    orphans_.except(workload_->pid());
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

void NodeAgent::on_signal(int number) {
  log::info("signal {}", number);
  if (workload_ && workload_->running()) {
    workload_->forward(number);  // its end is the job's end
  } else {
    if (state_ != State::stopping)
      outcome_.exit_code = options_.workload.empty() ? 0 : 128 + number;
    handle(Event::stop_requested);
  }
  signals_.async_wait([this](const error_code& error, int next_number) {
    if (!error) on_signal(next_number);
  });
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
  phases_.push_back(progress);
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

agent::StatusReply NodeAgent::status() const {
  agent::StatusReply reply;
  reply.set_job(options_.job);
  reply.set_state(std::string(to_string(state_)));
  reply.set_instance(instance_.instance);
  reply.set_pid(instance_.pid);
  reply.set_state_dir(dir_.path());
  reply.set_enforcement(instance_.enforcement);
  reply.set_enforcement_reason(enforced_.reason);
  reply.set_subordinate_ids(ids_.subordinate);
  role_->describe(reply);
  const auto fill = [](const EnforcedPart& part, const std::string& cgroup, agent::Part& out) {
    out.set_cpus(part.cpus);
    out.set_memory_bytes(part.memory);
    out.set_cgroup(cgroup);
  };
  fill(options_.hpc, enforced_.hpc_cgroup, *reply.mutable_hpc());
  fill(options_.k8s, enforced_.k8s_cgroup, *reply.mutable_kubernetes());
  for (const services::ServiceStatus& s : supervisor_->status()) {
    agent::Service& service = *reply.add_services();
    service.set_name(s.name);
    service.set_state(std::string(to_string(s.state)));
    service.set_pid(s.pid);
    service.set_restarts(s.restarts);
    service.set_ready_after(s.ready_after);
    service.set_last_exit(s.last_exit);
  }
  for (const Progress& p : phases_) {
    agent::Phase& out = *reply.add_phases();
    out.set_name(p.phase);
    out.set_seconds(p.seconds);
  }
  return reply;
}

}  // namespace

namespace {

// What must be there before the process moves into namespaces of its own and has threads.
struct Prepared {
  UniqueFd api_listener;
  std::unique_ptr<launch::Launcher> launcher;
};

Result<Prepared> prepare(AgentOptions& options) {
  Prepared made;
  if (options.membership.rank > 0) return made;
  made.api_listener = TRY(services::listen_on_loopback(options.api_port));
  options.api_port = TRY(services::port_of(made.api_listener));
  made.launcher = TRY(launch::make_launcher(options.launch));
  if (!made.launcher) return made;
  options.membership = {.rank = 0,
                        .size = made.launcher->size(),
                        .address = made.launcher->address(),
                        .root_endpoint = {},
                        .secret = bus::Secret::random()};
  return made;
}

}  // namespace

Result<Outcome> run_agent(AgentOptions options) {
  ::signal(SIGPIPE, SIG_IGN);  // NOLINT(bugprone-unused-return-value)
  JobDir dir = TRY(JobDir::create(options.state_base, options.job));
  Prepared prepared = TRY(prepare(options));
  // Before any thread is made: all of the agent's threads belong to the Kubernetes part.
  if (::sched_setaffinity(0, sizeof(cpu_set_t), &options.k8s.mask) != 0)
    return errno_failure(fmt::format("bind the agent to CPUs {}", options.k8s.cpus));
  NodeAgent node(std::move(options), std::move(dir), std::move(prepared.api_listener),
                 std::move(prepared.launcher));
  if (Result<void> begun = node.begin(); !begun) return node.abandon(std::move(begun).error());
  return node.run();
}

}  // namespace conode::job
