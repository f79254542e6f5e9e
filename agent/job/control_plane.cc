// SPDX-License-Identifier: Apache-2.0
// The role of rank 0: the API server and what the cluster needs from it, the port on the host that
// leads to it, and the other nodes where there are some.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/job/exposure.h"
#include "agent/job/members.h"
#include "agent/job/role.h"
#include "agent/job/uplink.h"
#include "agent/kubernetes/api_client.h"
#include "agent/kubernetes/objects.h"
#include "agent/services/forwarder.h"

namespace conode::job {

namespace asio = boost::asio;

namespace {

class ControlPlane final : public Role {
 public:
  ControlPlane(AgentContext& context, HostSide host, std::unique_ptr<launch::Launcher> launcher)
      : context_(context), host_(std::move(host)), launcher_(std::move(launcher)) {}

  [[nodiscard]] std::vector<services::ServiceSpec> services() const override {
    return kubernetes::control_plane_services(context_.options.layout);
  }
  [[nodiscard]] Result<void> begin() override;
  [[nodiscard]] Result<void> sandbox_up(std::vector<UniqueFd> tun) override;
  void service_ready(const std::string& name) override;
  [[nodiscard]] bool ready() const override { return waiting_for().empty(); }
  [[nodiscard]] std::string waiting_for() const override;
  void announce() override {}
  void begin_end() override;
  void finish_end(std::vector<std::string> left, Ended ended) override;
  void describe(agent::StatusReply& reply) const override;
  void expose(const agent::ExposeRequest& request,
              std::function<void(agent::ExposeReply)> done) override;
  void spread_image(const agent::SpreadImageRequest& request,
                    std::function<void(agent::SpreadImageReply)> done) override;

 private:
  [[nodiscard]] std::string server_url() const {
    return fmt::format("https://127.0.0.1:{}", context_.options.api_port);
  }
  [[nodiscard]] Result<void> open_api();
  asio::awaitable<void> make_objects();
  asio::awaitable<void> watch_nodes();
  void on_node(const std::string& name, bool ready);
  void on_carriers();
  void on_joined(uint32_t count);
  void look_whether_ended();

  AgentContext& context_;
  HostSide host_;                               // until others have what is in it
  std::unique_ptr<launch::Launcher> launcher_;  // until the members have it
  std::unique_ptr<Members> members_;            // null: one node
  std::unique_ptr<Uplink> uplink_;
  std::vector<std::unique_ptr<services::Forwarder>> api_;  // all of one port
  std::optional<kubernetes::ApiClient> client_;            // as the administrator
  std::unique_ptr<Exposure> exposure_;                     // from open_api() on
  std::set<std::string> ready_nodes_;
  bool api_ready_ = false;  // all hooks of the API server are through
  std::optional<std::vector<std::string>> left_here_;
  std::optional<std::vector<std::string>> left_elsewhere_;
  Ended ended_;
};

Result<void> ControlPlane::begin() {
  for (UniqueFd& listener : host_.api_listeners)
    api_.push_back(services::Forwarder::take(context_.loop, std::move(listener)));
  if (!launcher_) return {};
  members_ = TRY(Members::start(
      context_.loop, context_.options, context_.dir, context_.home_cgroup, std::move(launcher_),
      {[this] { context_.look_again(); },
       [this](const Error& error) { context_.fail(error, Event::node_missing); },
       [this](uint32_t count) { on_joined(count); }, [this] { on_carriers(); }}));
  return {};
}

Result<void> ControlPlane::sandbox_up(std::vector<UniqueFd> tun) {
  if (!members_) return {};
  uplink_ = TRY(Uplink::start(context_.loop, context_.options, std::move(tun),
                              context_.link->sandbox().pid(),
                              [this] { members_->set_carrier(uplink_->endpoint()); }));
  members_->set_carrier(uplink_->endpoint());
  return uplink_->set_peers(members_->carriers());
}

void ControlPlane::on_carriers() {
  if (!uplink_) return;
  if (const Result<void> set = uplink_->set_peers(members_->carriers()); !set)
    log::error("{}", set.error().message());
}

void ControlPlane::on_joined(uint32_t count) {
  on_carriers();
  context_.phase(fmt::format("{} of {} nodes joined", count, members_->size()));
}

void ControlPlane::service_ready(const std::string& name) {
  Result<void> done;
  if (name == "kubeadm" && members_) done = members_->give_material();
  if (name == "kube-apiserver" && !client_) {
    done = open_api();
    if (done) {
      asio::co_spawn(context_.loop, make_objects(), asio::detached);
      asio::co_spawn(context_.loop, watch_nodes(), asio::detached);
      if (members_) members_->announce_api();
    }
  }
  if (!done) context_.fail(std::move(done).error(), Event::failed);
}

// For us, and for the user on the host.
Result<void> ControlPlane::open_api() {
  const kubernetes::ClusterLayout& layout = context_.options.layout;
  const std::string admin = context_.dir + "/etc/super-admin.conf";
  const std::string server = server_url();
  const std::string kubeconfig = TRY(kubernetes::kubeconfig_for_server(admin, server));
  TRY(replace_file(context_.dir + "/kubeconfig", kubeconfig));
  for (const auto& port : api_) port->serve(*context_.link, layout.node_address, layout.api_port);
  const auto tls =
      TRY(services::TlsContext::create(TRY(kubernetes::identity_from_kubeconfig(admin))));
  client_.emplace(*context_.link, layout.node_address, layout.api_port, tls);
  exposure_ = std::make_unique<Exposure>(context_, *client_, std::move(host_.sockets));
  return {};
}

asio::awaitable<void> ControlPlane::make_objects() {
  auto objects = kubernetes::bootstrap_objects(context_.options.layout);
  if (!objects) co_return context_.fail(objects.error(), Event::failed);
  for (auto& [path, object] : *objects)
    if (Result<void> made = co_await client_->create(path, object); !made)
      co_return context_.fail(made.error(), Event::failed);
  context_.add_service(kubernetes::dns_service());
  if (Result<void> ready = co_await client_->wait_ready(); !ready)
    co_return context_.fail(ready.error(), Event::failed);
  api_ready_ = true;
  context_.phase("API ready");
  context_.look_again();
}

asio::awaitable<void> ControlPlane::watch_nodes() {
  std::function<void(const std::string&, bool)> on_change =
      [this](const std::string& name, bool ready) { on_node(name, ready); };
  const Result<void> ended = co_await client_->watch_nodes(std::move(on_change));
  if (!ended) context_.fail(ended.error(), Event::failed);
}

void ControlPlane::on_node(const std::string& name, bool ready) {
  const bool changed = ready ? ready_nodes_.insert(name).second : ready_nodes_.erase(name) > 0;
  if (!changed) return;
  if (!ready) log::warning("node {} is not Ready any more", name);
  if (ready && !members_) context_.phase("node Ready");
  if (ready && members_)
    context_.phase(fmt::format("node {} Ready ({} of {})", name, ready_nodes_.size(),
                               members_->wanted().size() + 1));
  context_.look_again();
}

std::string ControlPlane::waiting_for() const {
  if (!api_ready_) return "the API server";
  std::string text;
  if (!ready_nodes_.contains(context_.options.layout.node_name)) text = "node n0 to be Ready";
  if (!members_) return text;
  for (const uint32_t rank : members_->wanted())
    if (const std::string name = fmt::format("n{}", rank); !ready_nodes_.contains(name))
      text += fmt::format("{}node {} to be Ready", text.empty() ? "" : ", ", name);
  const std::string agents = members_->waiting_for();
  return text.empty() ? agents : agents.empty() ? text : text + "; " + agents;
}

void ControlPlane::begin_end() {
  if (exposure_) exposure_->stop();
  api_.clear();  // whoever is connected has descriptors that the clean-up needs
  if (!members_) return;
  members_->end([this](std::vector<std::string> left) {
    left_elsewhere_ = std::move(left);
    look_whether_ended();
  });
  uplink_.reset();
}

void ControlPlane::finish_end(std::vector<std::string> left, Ended ended) {
  left_here_ = std::move(left);
  if (!members_) left_elsewhere_.emplace();
  ended_ = std::move(ended);
  look_whether_ended();
}

void ControlPlane::look_whether_ended() {
  if (!left_here_ || !left_elsewhere_) return;
  std::vector<std::string> left = std::move(*left_here_);
  left.insert(left.end(), left_elsewhere_->begin(), left_elsewhere_->end());
  left_elsewhere_.reset();
  ended_(std::move(left));
}

void ControlPlane::describe(agent::StatusReply& reply) const {
  reply.set_kubeconfig(context_.dir + "/kubeconfig");
  reply.set_server(server_url());
  reply.set_uplink(uplink_ ? uplink_->describe() : "none (one node)");
  if (members_) members_->describe(reply);
  if (exposure_) exposure_->describe(reply);
}

void ControlPlane::expose(const agent::ExposeRequest& request,
                          std::function<void(agent::ExposeReply)> done) {
  if (exposure_) return exposure_->handle(request, std::move(done));
  agent::ExposeReply reply;
  reply.set_failure("expose a Service: the API server is not ready yet");
  reply.set_remedy("wait until 'conode up' says that the job is ready");
  done(std::move(reply));
}

void ControlPlane::spread_image(const agent::SpreadImageRequest& request,
                                std::function<void(agent::SpreadImageReply)> done) {
  if (members_) return members_->spread_image(request, std::move(done));
  done({});
}

}  // namespace

std::unique_ptr<Role> make_control_plane(AgentContext& context, HostSide host,
                                         std::unique_ptr<launch::Launcher> launcher) {
  return std::make_unique<ControlPlane>(context, std::move(host), std::move(launcher));
}

}  // namespace conode::job
