// SPDX-License-Identifier: Apache-2.0
// The role of ranks 1 and up: containerd and the kubelet's surroundings are up before the control
// plane is; what comes over the bus (certificates, carriers, "the API server is there") starts the
// rest. Loss of rank 0 ends the node.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/bus/bus.h"
#include "agent/job/role.h"
#include "agent/job/uplink.h"
#include "agent/kubernetes/cluster.h"

namespace conode::job {

using boost::system::error_code;

namespace {

// Paths of join material: below the state directory, nothing but plain names.
bool is_plain(const std::string& path) {
  return !path.empty() && path.front() != '/' && path.find("..") == std::string::npos;
}

class Worker final : public Role {
 public:
  explicit Worker(AgentContext& context) : context_(context), patience_(context.loop) {}

  [[nodiscard]] std::vector<services::ServiceSpec> services() const override {
    return kubernetes::worker_services(context_.options.layout);
  }
  [[nodiscard]] Result<void> begin() override { return {}; }
  [[nodiscard]] Result<void> sandbox_up(std::vector<UniqueFd> tun) override;
  void service_ready(const std::string& name) override;
  [[nodiscard]] bool ready() const override { return waiting_for().empty(); }
  [[nodiscard]] std::string waiting_for() const override;
  void announce() override { bus_->report_ready(true); }
  void begin_end() override { uplink_.reset(); }
  void finish_end(std::vector<std::string> left, Ended ended) override;
  void describe(agent::StatusReply& reply) const override {
    if (uplink_) reply.set_uplink(uplink_->describe());
  }
  void expose(const agent::ExposeRequest& /*request*/,
              std::function<void(agent::ExposeReply)> done) override {
    agent::ExposeReply reply;
    reply.set_failure("expose a Service: this is not the job's first node");
    reply.set_remedy("name the job without '.nRANK': its first node's host has the ports");
    done(std::move(reply));
  }
  void spread_image(const agent::SpreadImageRequest& /*request*/,
                    std::function<void(agent::SpreadImageReply)> done) override {
    done({});  // this node's images are its own business
  }

 private:
  void on_event(const bus::Event& event);
  void on_message(const bus::Received& received);
  void import(const bus::ImportImage& order, uint64_t gather);
  void tell_carrier();
  void answer(uint64_t gather, const Result<void>& outcome);
  [[nodiscard]] std::string file_dir() const { return context_.dir + "/tmp/images"; }
  [[nodiscard]] Result<void> take(const bus::JoinMaterial& material);
  void let_go();

  AgentContext& context_;
  std::unique_ptr<Uplink> uplink_;
  std::shared_ptr<bus::Context> bus_context_;
  std::unique_ptr<bus::Bus> bus_;  // goes before its context
  boost::asio::steady_timer patience_;
  bool has_material_ = false;
  bool api_there_ = false;
  bool root_gone_ = false;
  uint64_t asked_to_end_ = 0;  // the gather that waits for our answer
  size_t images_ = 0;          // of those that rank 0 has announced
  std::function<void()> when_let_go_;
};

Result<void> Worker::sandbox_up(std::vector<UniqueFd> tun) {
  const Membership& own = context_.options.membership;
  uplink_ = TRY(Uplink::start(context_.loop, context_.options, std::move(tun),
                              context_.link->sandbox().pid(), [this] { tell_carrier(); }));
  bus_context_ =
      TRY(bus::Context::create(context_.loop.get_executor(), *own.secret, {.size = own.size}));
  TRY(make_dirs(file_dir()));
  bus::BusOptions options{.rank = own.rank,
                          .size = own.size,
                          .bind_address = own.address,
                          .root_endpoint = own.root_endpoint,
                          .file_dir = file_dir()};
  options.hello.set_host_name(context_.options.layout.host_name);
  options.hello.set_carrier_endpoint(uplink_->endpoint());
  options.hello.set_hpc_cores(context_.options.hpc.cores);
  options.hello.set_cores(static_cast<uint32_t>(CPU_COUNT(&context_.options.k8s.mask)));
  bus_ = TRY(bus::Bus::start(context_.loop.get_executor(), bus_context_, options,
                             [this](const bus::Event& event) { on_event(event); }));
  return {};
}

void Worker::on_event(const bus::Event& event) {
  if (std::holds_alternative<bus::Attached>(event)) context_.phase("joined");
  if (const auto* received = std::get_if<bus::Received>(&event)) on_message(*received);
  if (const auto* lost = std::get_if<bus::RootLost>(&event)) {
    root_gone_ = true;
    if (when_let_go_) return let_go();
    context_.fail(Error{{}, "rank 0 is gone: " + lost->reason, {}}, Event::root_lost);
  }
}

void Worker::on_message(const bus::Received& received) {
  if (received.message.has_join_material()) {
    if (Result<void> taken = take(received.message.join_material()); !taken)
      context_.fail(std::move(taken).error(), Event::failed);
    return;
  }
  const bus::Command& command = received.message.command();
  if (command.has_peers()) {
    const std::map<uint32_t, std::string> carriers(command.peers().carriers().begin(),
                                                   command.peers().carriers().end());
    if (!uplink_) return;  // ending
    if (const Result<void> set = uplink_->set_peers(carriers); !set)
      log::error("{}", set.error().message());
  } else if (command.has_api_ready() && !api_there_) {
    api_there_ = true;
    context_.add_service(kubernetes::proxy_service(context_.options.layout));
  } else if (command.has_import_image()) {
    import(command.import_image(), received.gather);
  } else if (command.has_remove_image()) {
    context_.containers.remove_for(
        command.remove_image().name(),
        [this, gather = received.gather](const Result<void>& done) { answer(gather, done); });
  } else if (command.has_down()) {
    asked_to_end_ = received.gather;
    context_.handle(Event::stop_requested);
  }
}

Result<void> Worker::take(const bus::JoinMaterial& material) {
  if (has_material_) return {};  // told again after we were lost for a while
  for (const bus::JoinMaterial::File& file : material.files()) {
    if (!is_plain(file.path()))
      return failure(fmt::format("take join material: path '{}'", file.path()));
    const std::string path = fmt::format("{}/{}", context_.dir, file.path());
    TRY(make_dirs(path.substr(0, path.rfind('/'))));
    TRY(replace_file(path, file.content()));
  }
  has_material_ = true;
  context_.add_service(kubernetes::kubelet_service(context_.options.layout));
  return {};
}

void Worker::service_ready(const std::string& /*name*/) {}

void Worker::import(const bus::ImportImage& order, uint64_t gather) {
  if (order.path().empty() &&
      (!is_plain(order.file()) || order.file().find('/') != std::string::npos))
    return answer(gather, failure(fmt::format("import '{}': no file name", order.file())));
  const bool is_ours = order.path().empty();
  const std::string source = is_ours ? file_dir() + "/" + order.file() : order.path();
  context_.containers.import_for(source, order.name(),
                                 [this, is_ours, source, gather](const Result<void>& done) {
                                   if (is_ours) (void)::unlink(source.c_str());
                                   if (done) ++images_;
                                   answer(gather, done);
                                   context_.look_again();
                                 });
}

void Worker::tell_carrier() {
  bus::Message message;
  (*message.mutable_command()
        ->mutable_peers()
        ->mutable_carriers())[context_.options.membership.rank] = uplink_->endpoint();
  bus_->send_to_root(message);
}

void Worker::answer(uint64_t gather, const Result<void>& outcome) {
  bus::Answer answer;
  answer.set_code(outcome ? 0 : 1);
  if (!outcome) answer.set_text(outcome.error().message());
  if (bus_) bus_->answer(gather, answer);
}

std::string Worker::waiting_for() const {
  if (!has_material_) return "certificates from rank 0";
  if (!api_there_) return "the API server";
  if (images_ < context_.options.images_awaited) return "images from rank 0";
  return {};
}

// Answered or not, we stay until rank 0 says goodbye: others may be connected through us.
void Worker::finish_end(std::vector<std::string> left, Ended ended) {
  constexpr std::chrono::seconds kPatience{15};
  if (!bus_ || root_gone_) return boost::asio::post(context_.loop, [ended, left] { ended(left); });
  when_let_go_ = [ended, left] { ended(left); };
  if (asked_to_end_ == 0) {  // we end by ourselves
    bus_->stop(left.empty() ? "it ended" : "it ended, and left something behind");
    return let_go();
  }
  bus::Answer answer;
  answer.set_text(fmt::format("{}", fmt::join(left, "; ")));
  bus_->answer(asked_to_end_, answer);
  patience_.expires_after(kPatience);
  patience_.async_wait([this](const error_code& error) {
    if (!error) let_go();
  });
}

void Worker::let_go() {
  patience_.cancel();
  if (when_let_go_) boost::asio::post(context_.loop, std::exchange(when_let_go_, nullptr));
}

}  // namespace

std::unique_ptr<Role> make_worker(AgentContext& context) {
  return std::make_unique<Worker>(context);
}

}  // namespace conode::job
