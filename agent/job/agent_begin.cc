// SPDX-License-Identifier: Apache-2.0
// From options to a sandbox that is being made, with everything listened to.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/job/agent_impl.h"
#include "agent/job/uplink.h"
#include "agent/kubernetes/cluster.h"
#include "cgroup/hierarchy.h"
#include "cgroup/job_cgroups.h"

namespace conode::job {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

Result<std::string> random_instance() {
  return TRY(read_file("/proc/sys/kernel/random/uuid")).substr(0, 36);
}

// Who gives the whole more time (timeouts.ready, on slow machines) gives it to each service.
services::ServiceSpec with_time(services::ServiceSpec spec, std::chrono::seconds whole) {
  spec.ready_within = std::max(spec.ready_within, whole / 2);
  return spec;
}

}  // namespace

NodeAgent::NodeAgent(AgentOptions options, JobDir dir, HostSide host,
                     std::unique_ptr<launch::Launcher> launcher)
    : options_(std::move(options)),
      dir_(std::move(dir)),
      signals_(loop_, SIGINT, SIGTERM),
      child_ended_(loop_, SIGCHLD),
      deadline_(loop_),
      log_timer_(loop_),
      limit_timer_(loop_),
      containers_(
          loop_, dir_.path() + "/run/containerd.sock",
          {[this] { on_imported(); }, [this](const Error& error) { fail(error, Event::failed); }}),
      context_(context()),
      role_(options_.membership.rank == 0
                ? make_control_plane(context_, std::move(host), std::move(launcher))
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
          .containers = containers_,
          .add_service =
              [this](services::ServiceSpec spec) {
                supervisor_->add(with_time(std::move(spec), options_.ready_within));
              },
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
               .api_port = options_.api_port,
               .network = own_network(),
               .shared_machine = options_.launch.kind == launch::Kind::local,
               .stop_grace = static_cast<int>(
                   std::chrono::ceil<std::chrono::seconds>(options_.stop_grace).count())};
  const auto delegation = TRY_AS("look for a delegated cgroup", usable_delegation(options_));
  // Jobs with other state directories may have the same name and delegation: the name of a run.
  const std::string run = options_.job + "." + instance_.instance.substr(0, 8);
  if (delegation) instance_.cgroup = JobCgroups::path_of(*delegation, run);
  TRY(dir_.write(instance_));  // before anything is made: a sweep knows what to look for
  enforced_ = TRY(enforce(options_, delegation, run));
  instance_.enforcement = to_string(enforced_.level);
  options_.layout.level = instance_.enforcement;
  // No single pod takes all of the part's: the services are in it, too.
  options_.layout.pod_tasks = enforced_.part_tasks.value_or(0) / 4;
  if (!enforced_.agent_cgroup.empty()) {
    home_cgroup_ =
        delegation->elsewhere ? TRY(JobCgroups::home(*delegation)) : TRY(own_cgroup_path());
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
                           .resolver = TRY(kubernetes::dns_address(options_.layout)),
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
  for (services::ServiceSpec& spec : role_->services())
    supervisor_->add(with_time(std::move(spec), options_.ready_within));
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
  watch_time_limit();
}

void NodeAgent::on_sandbox_gone() {
  if (state_ == State::stopping || state_ == State::ended) return;  // by us
  fail(Error{{}, "the sandbox's init is gone: " + sandbox_->how_it_ended(), {}},
       Event::sandbox_lost);
}

void NodeAgent::watch_deadline() {
  // However long other nodes take.
  if (options_.missing_node == MissingNode::wait && options_.membership.size > 1) return;
  deadline_.expires_after(options_.ready_within);
  deadline_.async_wait([this](const error_code& error) {
    if (error || state_ != State::starting) return;
    fail(Error{{},
               fmt::format("the cluster was not ready within {} s; still waiting for: {}",
                           options_.ready_within.count(), waiting_for()),
               "look at what is above, or allow more with --ready-timeout"},
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
                                },
                                [this](const agent::ExposeRequest& request) {
                                  auto reply = std::make_shared<std::promise<agent::ExposeReply>>();
                                  asio::post(loop_, [this, &request, reply] {
                                    role_->expose(request, [reply](agent::ExposeReply answer) {
                                      reply->set_value(std::move(answer));
                                    });
                                  });
                                  return reply->get_future().get();
                                },
                                [this](const agent::SpreadImageRequest& request) {
                                  using Reply = agent::SpreadImageReply;
                                  auto reply = std::make_shared<std::promise<Reply>>();
                                  asio::post(loop_, [this, &request, reply] {
                                    role_->spread_image(request, [reply](Reply answer) {
                                      reply->set_value(std::move(answer));
                                    });
                                  });
                                  return reply->get_future().get();
                                }}));
  return {};
}

}  // namespace conode::job
