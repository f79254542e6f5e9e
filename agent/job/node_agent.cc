// SPDX-License-Identifier: Apache-2.0
// Theory of operation: the loop's thread owns everything here. The sandbox is made first, because
// its init sets itself up while we write files and open sockets. Services follow by readiness
// (Supervisor); what the cluster needs besides (images, a few API objects) runs beside them. The
// cluster is ready when all of these are. Teardown kills the sandbox's init and then runs the same
// steps as a sweep, on a thread of the pool because they block.
#include "agent/job/node_agent.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
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
#include "agent/job/rpc_server.h"
#include "agent/job/workload.h"
#include "agent/kubernetes/api_client.h"
#include "agent/kubernetes/objects.h"
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
  NodeAgent(AgentOptions options, JobDir dir)
      : options_(std::move(options)),
        dir_(std::move(dir)),
        signals_(loop_, SIGINT, SIGTERM, SIGHUP),
        deadline_(loop_) {}

  Result<void> begin();
  Outcome run();
  // What begin() made before it failed.
  Outcome abandon(Error error);

 private:
  void handle(Event event);
  void perform(Action action);

  Result<void> make_sandbox();
  Result<void> write_state();
  void listen_to_sandbox();
  void start_services();
  void on_service(const services::ServiceStatus& status);
  Result<void> open_api();
  asio::awaitable<void> make_objects();
  asio::awaitable<void> watch_node();
  void import_images();
  void check_ready();
  void start_workload();
  void on_signal(int number);
  void fail(Error error, Event event);
  void phase(const std::string& name);
  void clean();
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
  bool images_done_ = false;
  bool node_ready_ = false;
  bool api_ready_ = false;                  // all hooks of the API server are through
  std::optional<std::string> home_cgroup_;  // where we came from

  asio::io_context loop_{1};
  asio::thread_pool blocking_{1};
  asio::signal_set signals_;
  asio::steady_timer deadline_;
  IdMap ids_;
  std::optional<sandbox::Sandbox> sandbox_;
  std::unique_ptr<services::SandboxLink> link_;
  std::unique_ptr<services::Supervisor> supervisor_;
  std::unique_ptr<services::Forwarder> api_;
  std::optional<kubernetes::ApiClient> client_;  // as the administrator
  std::unique_ptr<Workload> workload_;
  std::unique_ptr<RpcServer> rpc_;
  std::promise<agent::DownReply> cleaned_;
  std::shared_future<agent::DownReply> when_cleaned_{cleaned_.get_future().share()};
  std::chrono::steady_clock::time_point stop_requested_;
};

Result<void> NodeAgent::begin() {
  log::add_file(dir_.path() + "/log/agent.log");
  instance_ = {.job = options_.job,
               .instance = TRY(random_instance()),
               .pid = ::getpid(),
               .hpc_cpus = options_.hpc.cpus,
               .k8s_cpus = options_.k8s.cpus,
               .shared_core = options_.shared_core,
               .bundle = options_.bundle_dir};
  const auto delegation = TRY_AS("look for a delegated cgroup", usable_delegation(options_));
  if (delegation) instance_.cgroup = JobCgroups::path_of(*delegation, options_.job);
  TRY(dir_.write(instance_));  // before anything is made: a sweep knows what to look for
  enforced_ = TRY(enforce(options_, delegation));
  instance_.enforcement = to_string(enforced_.level);
  options_.layout.level = instance_.enforcement;
  if (!enforced_.agent_cgroup.empty()) {
    home_cgroup_ = TRY(own_cgroup_path());
    TRY(write_value(enforced_.agent_cgroup + "/cgroup.procs", std::to_string(::getpid())));
  }
  api_ = TRY(services::Forwarder::listen(loop_, options_.api_port));
  instance_.api_port = api_->port();
  TRY(make_sandbox());
  TRY(write_state());
  listen_to_sandbox();
  return listen_for_calls();
}

Result<void> NodeAgent::make_sandbox() {
  ids_ = TRY(id_map_of_user());
  UniqueFd cgroup;
  if (!enforced_.k8s_cgroup.empty())
    cgroup = TRY(open_at(AT_FDCWD, enforced_.k8s_cgroup, O_PATH | O_DIRECTORY));
  sandbox_ = TRY(sandbox::Sandbox::create({.level = instance_.enforcement,
                                           .host_name = options_.layout.node_name,
                                           .state_dir = dir_.path(),
                                           .bundle_dir = options_.bundle_dir,
                                           .libexec_dir = options_.libexec_dir,
                                           .node_address = options_.layout.node_address,
                                           .pod_prefix = options_.layout.node_pods,
                                           .mtu = options_.mtu,
                                           .cpus = options_.k8s.mask,
                                           .cgroup = cgroup ? cgroup.get() : -1,
                                           .ids = ids_}));
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
  supervisor_ = std::make_unique<services::Supervisor>(
      loop_, *link_,
      services::Supervisor::Options{dir_.path(), kubernetes::service_environment(options_.layout)},
      services::Supervisor::Handlers{
          [this](const services::ServiceStatus& s) { on_service(s); },
          [this](const Error& error) { fail(error, Event::service_failed); }});
  for (services::ServiceSpec& spec : kubernetes::control_plane_services(options_.layout))
    supervisor_->add(std::move(spec));
  link_->listen({[this] { handle(Event::sandbox_up); },
                 [this](const Error& error) { fail(error, Event::sandbox_lost); },
                 [this](uint32_t id, pid_t pid) { supervisor_->on_started(id, pid); },
                 [this](uint32_t id, const Error& e) { supervisor_->on_start_failed(id, e); },
                 [this](uint32_t id, const ExitStatus& s) { supervisor_->on_exited(id, s); }});
  signals_.async_wait([this](const error_code& error, int number) {
    if (!error) on_signal(number);
  });
  deadline_.expires_after(options_.ready_within);
  deadline_.async_wait([this](const error_code& error) {
    if (error || state_ != State::starting) return;
    std::string waiting;
    for (const services::ServiceStatus& s : supervisor_->status())
      if (s.state != services::State::ready) waiting += " " + s.name;
    fail(Error{{},
               fmt::format("the cluster was not ready within {} s; still waiting for:{}",
                           options_.ready_within.count(), waiting.empty() ? " the node" : waiting),
               "read 'conode logs', or allow more with --ready-timeout"},
         Event::failed);
  });
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
  rpc_.reset();  // answers who waits for Down
  blocking_.join();
  return std::move(outcome_);
}

Outcome NodeAgent::abandon(Error error) {
  outcome_.failure = std::move(error);
  outcome_.exit_code = 1;
  clean();
  blocking_.join();
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
      if (!options_.workload.empty()) start_workload();
      return;
    }
    case Action::report:
      if (outcome_.failure) log::error("{}", outcome_.failure->message());
      outcome_.failure.reset();  // the job goes on
      return;
    case Action::stop:
      stop_requested_ = std::chrono::steady_clock::now();
      // The loop goes on meanwhile: it answers Status.
      asio::post(blocking_, [this] { clean(); });
      return;
  }
}

void NodeAgent::start_services() {
  phase("sandbox");
  supervisor_->start();
}

void NodeAgent::on_service(const services::ServiceStatus& s) {
  if (state_ != State::starting || s.state != services::State::ready) return;
  phase(s.name);
  if (s.name == "containerd") asio::post(blocking_, [this] { import_images(); });
  if (s.name == "kube-apiserver" && !client_) {
    if (Result<void> opened = open_api(); !opened) return fail(opened.error(), Event::failed);
    asio::co_spawn(loop_, make_objects(), asio::detached);
    asio::co_spawn(loop_, watch_node(), asio::detached);
  }
  check_ready();
}

// For us, and for the user on the host.
Result<void> NodeAgent::open_api() {
  const std::string admin = dir_.path() + "/etc/super-admin.conf";
  const std::string server = fmt::format("https://127.0.0.1:{}", api_->port());
  const std::string kubeconfig = TRY(kubernetes::kubeconfig_for_server(admin, server));
  TRY(replace_file(dir_.path() + "/kubeconfig", kubeconfig));
  api_->serve(*link_, options_.layout.node_address, options_.layout.api_port);
  const auto tls =
      TRY(services::TlsContext::create(TRY(kubernetes::identity_from_kubeconfig(admin))));
  client_.emplace(*link_, options_.layout.node_address, options_.layout.api_port, tls);
  return {};
}

asio::awaitable<void> NodeAgent::make_objects() {
  auto objects = kubernetes::bootstrap_objects(options_.layout);
  if (!objects) co_return fail(objects.error(), Event::failed);
  for (auto& [path, object] : *objects)
    if (Result<void> made = co_await client_->create(path, object); !made)
      co_return fail(made.error(), Event::failed);
  supervisor_->add(kubernetes::dns_service());
  if (Result<void> ready = co_await client_->wait_ready(); !ready)
    co_return fail(ready.error(), Event::failed);
  api_ready_ = true;
  phase("API ready");
  check_ready();
}

asio::awaitable<void> NodeAgent::watch_node() {
  if (Result<void> ready = co_await client_->wait_node_ready(options_.layout.node_name); !ready)
    co_return fail(ready.error(), Event::failed);
  node_ready_ = true;
  phase("node Ready");
  check_ready();
}

// On the pool's thread.
void NodeAgent::import_images() {
  containerd::ContainerdClient client(dir_.path() + "/run/containerd.sock");
  std::vector<std::string> images{options_.bundle_dir + "/pause.tar"};
  images.insert(images.end(), options_.images.begin(), options_.images.end());
  for (const std::string& image : images) {
    const auto imported = client.import_image(image);
    if (imported) continue;
    asio::post(loop_, [this, error = imported.error()] { fail(error, Event::failed); });
    return;
  }
  asio::post(loop_, [this] {
    images_done_ = true;
    phase("images");
    check_ready();
  });
}

void NodeAgent::check_ready() {
  if (images_done_ && node_ready_ && api_ready_ && supervisor_->all_ready())
    handle(Event::cluster_ready);
}

void NodeAgent::start_workload() {
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
  outcome_.failure = std::move(error);
  if (state_ == State::starting || event == Event::sandbox_lost) outcome_.exit_code = 1;
  handle(event);
}

void NodeAgent::phase(const std::string& name) {
  const Progress progress{name, seconds_since(options_.since), {}, {}, false};
  phases_.push_back(progress);
  if (options_.progress) options_.progress(progress);
}

// On the pool's thread, or before the loop runs. The sandbox's object is no longer used by anyone.
void NodeAgent::clean() {
  const auto begun = std::chrono::steady_clock::now();
  if (sandbox_) (void)sandbox_->destroy();
  if (home_cgroup_) (void)write_value(*home_cgroup_ + "/cgroup.procs", std::to_string(::getpid()));
  const FoundJob job = as_found();
  if (Result<void> removed = remove_job(job, options_.libexec_dir, options_.stop_grace); !removed)
    log::error("{}", removed.error().message());
  outcome_.left = audit(job);
  agent::DownReply reply;
  reply.set_seconds(seconds_since(begun));
  for (const std::string& line : outcome_.left) reply.add_left(line);
  cleaned_.set_value(reply);
  asio::post(loop_, [this] { handle(Event::cleaned); });
}

agent::StatusReply NodeAgent::status() const {
  agent::StatusReply reply;
  reply.set_job(options_.job);
  reply.set_state(std::string(to_string(state_)));
  reply.set_instance(instance_.instance);
  reply.set_pid(instance_.pid);
  reply.set_state_dir(dir_.path());
  reply.set_kubeconfig(dir_.path() + "/kubeconfig");
  reply.set_server(fmt::format("https://127.0.0.1:{}", instance_.api_port));
  reply.set_enforcement(instance_.enforcement);
  reply.set_enforcement_reason(enforced_.reason);
  reply.set_subordinate_ids(ids_.subordinate);
  reply.set_uplink("none (one node)");
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

Result<Outcome> run_agent(AgentOptions options) {
  JobDir dir = TRY(JobDir::create(options.state_base, options.job));
  // Before any thread is made: all of the agent's threads belong to the Kubernetes part.
  if (::sched_setaffinity(0, sizeof(cpu_set_t), &options.k8s.mask) != 0)
    return errno_failure(fmt::format("bind the agent to CPUs {}", options.k8s.cpus));
  NodeAgent node(std::move(options), std::move(dir));
  if (Result<void> begun = node.begin(); !begun) return node.abandon(std::move(begun).error());
  return node.run();
}

}  // namespace conode::job
