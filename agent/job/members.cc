// SPDX-License-Identifier: Apache-2.0
// Theory of operation: nothing waits for all nodes. A node is told what there is when it joins, and
// what comes later when it comes: carriers of the others, certificates, that the API server is up,
// images. Its readiness comes back aggregated over the tree.
#include "agent/job/members.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <algorithm>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/base/process.h"
#include "agent/job/hpc_part.h"
#include "agent/kubernetes/cluster.h"
#include "agent/services/failure_report.h"

namespace conode::job {

using boost::system::error_code;

namespace {

bus::Message command(const std::function<void(bus::Command&)>& fill) {
  bus::Message message;
  fill(*message.mutable_command());
  return message;
}

bus::Message peers_message(const std::map<uint32_t, std::string>& carriers) {
  return command([&](bus::Command& c) {
    for (const auto& [rank, endpoint] : carriers)
      (*c.mutable_peers()->mutable_carriers())[rank] = endpoint;
  });
}

bus::Message api_message() {
  return command([](bus::Command& c) { c.mutable_api_ready(); });
}

std::string own_host_name() {
  utsname machine{};
  (void)::uname(&machine);
  return machine.nodename;
}

}  // namespace

Members::Members(boost::asio::io_context& loop, const AgentOptions& options, std::string state_dir,
                 std::unique_ptr<launch::Launcher> launcher, Handlers handlers)
    : loop_(loop),
      options_(options),
      state_dir_(std::move(state_dir)),
      launcher_(std::move(launcher)),
      handlers_(std::move(handlers)),
      agents_(loop, [this](uint32_t rank, const std::string& how) { on_agent_ended(rank, how); }),
      patience_(loop) {
  for (uint32_t rank = 1; rank < launcher_->size(); ++rank) wanted_.insert(rank);
}

Members::~Members() = default;

Result<std::unique_ptr<Members>> Members::start(boost::asio::io_context& loop,
                                                const AgentOptions& options, std::string state_dir,
                                                const std::string& home_cgroup,
                                                std::unique_ptr<launch::Launcher> launcher,
                                                Handlers handlers) {
  std::unique_ptr<Members> members(
      new Members(loop, options, std::move(state_dir), std::move(launcher), std::move(handlers)));
  TRY(members->start_bus());
  members->commands_ = TRY(NodeCommands::start(loop, *members->launcher_,
                                               {TRY(own_program()), options.job, options.state_base,
                                                members->state_dir_ + kNodeCommandsSocket}));
  TRY(members->start_agents(home_cgroup));
  return members;
}

Result<void> Members::start_bus() {
  context_ = TRY(bus::Context::create(loop_.get_executor(), *options_.membership.secret,
                                      {.size = launcher_->size()}));
  bus_ = TRY(bus::Bus::start(loop_.get_executor(), context_,
                             {.size = launcher_->size(), .bind_address = launcher_->address()},
                             [this](const bus::Event& event) { on_event(event); }));
  images_.emplace(*bus_, options_.launch.kind == launch::Kind::local);
  return {};
}

Result<void> Members::start_agents(const std::string& home_cgroup) {
  UniqueFd cgroup;
  if (!home_cgroup.empty()) cgroup = TRY(open_at(AT_FDCWD, home_cgroup, O_PATH | O_DIRECTORY));
  agent::Ticket ticket;
  ticket.set_job(options_.job);
  ticket.set_size(launcher_->size());
  ticket.set_root_endpoint(bus_->endpoint());
  ticket.set_secret(std::string(options_.membership.secret->bytes()));
  ticket.set_config(options_.config);
  ticket.set_images(static_cast<uint32_t>(options_.images.size()));
  for (uint32_t rank = 1; rank < launcher_->size(); ++rank) {
    ticket.set_rank(rank);
    const std::string log = fmt::format("{}/log/agent.n{}.log", state_dir_, rank);
    const UniqueFd log_file = TRY(open_at(AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND, 0600));
    Process process =
        TRY_AS(fmt::format("start the agent of {}", name(rank)),
               launcher_->start(rank, {ticket.SerializeAsString(), log_file.get(), cgroup.get()}));
    agents_.add(rank, std::move(process));
  }
  patience_.expires_after(options_.node_timeout);
  patience_.async_wait([this](const error_code& error) {
    if (!error) on_patience_over();
  });
  return {};
}

std::string Members::name(uint32_t rank) const {
  return fmt::format("node n{} ({})", rank, launcher_->host(rank));
}

void Members::on_event(const bus::Event& event) {
  if (const auto* joined = std::get_if<bus::Joined>(&event)) return on_joined(*joined);
  if (const auto* lost = std::get_if<bus::Lost>(&event)) return on_lost(lost->rank, lost->reason);
  if (const auto* left = std::get_if<bus::Left>(&event)) return on_lost(left->rank, left->reason);
  if (const auto* received = std::get_if<bus::Received>(&event)) return on_message(*received);
  if (const auto* delivered = std::get_if<bus::FileDelivered>(&event))
    return images_->on_delivered(*delivered);
  if (const auto* readiness = std::get_if<bus::ReadinessChanged>(&event)) {
    ready_ = readiness->ready;
    troubled_ = readiness->troubled;
    handlers_.changed();
  }
}

void Members::on_joined(const bus::Joined& joined) {
  log::info("{} joined, host '{}'", name(joined.rank), joined.hello.host_name());
  hosts_[joined.rank] = joined.hello.host_name();
  lost_.erase(joined.rank);
  wanted_.insert(joined.rank);
  carriers_[joined.rank] = joined.hello.carrier_endpoint();
  slots_[joined.rank] = joined.hello.hpc_cores();
  if (const Result<void> written = write_host_file(); !written)
    log::warning("{}", written.error().message());
  welcome(joined.rank);
  (void)bus_->broadcast(peers_message({{joined.rank, joined.hello.carrier_endpoint()}}));
  spread_images_of_start();
  handlers_.joined(static_cast<uint32_t>(hosts_.size()) + 1);
  handlers_.changed();
}

// A node's own way has changed; of others it says nothing.
void Members::on_message(const bus::Received& received) {
  const auto& carriers = received.message.command().peers().carriers();
  const auto own = carriers.find(received.from);
  if (own == carriers.end() || !hosts_.contains(received.from)) return;
  carriers_[received.from] = own->second;
  (void)bus_->broadcast(peers_message({{received.from, own->second}}));
  handlers_.carriers();
}

// For mpirun: the nodes that are there, with a slot for each core of their HPC parts. By its own
// name mpirun knows the node that it is on.
Result<void> Members::write_host_file() const {
  std::string text = fmt::format("{} slots={}\n", own_host_name(), options_.hpc.cores);
  for (const auto& [rank, slots] : slots_)
    if (!lost_.contains(rank)) text += fmt::format("n{} slots={}\n", rank, slots);
  return replace_file(state_dir_ + kHostFile, text);
}

// All that there is so far.
void Members::welcome(uint32_t rank) {
  send(rank, peers_message(carriers_));
  if (material_there_) {
    Result<bus::Message> material = material_of(rank);
    if (!material) return handlers_.missing(material.error());
    send(rank, *material);
  }
  if (api_there_) send(rank, api_message());
}

void Members::send(uint32_t rank, const bus::Message& message) {
  if (const Result<void> sent = bus_->send_to(rank, message); !sent)
    log::warning("{}", sent.error().message());  // it is lost: an event says so, too
}

void Members::set_carrier(const std::string& endpoint) {
  carriers_[0] = endpoint;
  (void)bus_->broadcast(peers_message({{0, endpoint}}));
}

Result<bus::Message> Members::material_of(uint32_t rank) const {
  bus::Message message;
  for (const auto& [source, target] : kubernetes::join_material(rank)) {
    bus::JoinMaterial::File& file = *message.mutable_join_material()->add_files();
    file.set_path(target);
    file.set_content(TRY(read_file(fmt::format("{}/{}", state_dir_, source))));
  }
  return message;
}

Result<void> Members::give_material() {
  material_there_ = true;
  for (const auto& [rank, host] : hosts_)
    if (!lost_.contains(rank)) send(rank, TRY(material_of(rank)));
  return {};
}

void Members::announce_api() {
  api_there_ = true;
  (void)bus_->broadcast(api_message());
}

// Once all are there that are to come, and again for each that comes later: those that have an
// image take it as it is.
void Members::spread_images_of_start() {
  const bool all_there = std::all_of(wanted_.begin(), wanted_.end(),
                                     [this](uint32_t rank) { return hosts_.contains(rank); });
  if (!all_there || ending_) return;
  for (const std::string& image : options_.images)
    images_->import(image, {}, [this, image](const ImageSpread::Failures& failures) {
      if (!failures.empty() && !ending_)
        handlers_.missing(
            Error{{},
                  fmt::format("import '{}' on {}: {}", image, name(failures.begin()->first),
                              failures.begin()->second),
                  {}});
    });
}

void Members::spread_image(const agent::SpreadImageRequest& request,
                           std::function<void(agent::SpreadImageReply)> done) {
  const auto answer = [this, done = std::move(done)](const ImageSpread::Failures& failures) {
    agent::SpreadImageReply reply;
    for (const auto& [rank, why] : failures)
      reply.add_failures(fmt::format("{}: {}", name(rank), why));
    done(reply);
  };
  if (ending_) return answer({{0, "the job is ending"}});
  if (!request.remove_name().empty()) return images_->remove(request.remove_name(), answer);
  images_->import(request.import_path(), request.name(), answer);
}

// mpirun shall not look for it.
void Members::lose(uint32_t rank) {
  lost_.insert(rank);
  if (const Result<void> written = write_host_file(); !written)
    log::warning("{}", written.error().message());
}

void Members::on_agent_ended(uint32_t rank, const std::string& how) {
  if (ending_ || lost_.contains(rank)) return;
  constexpr int kLines = 3;
  constexpr size_t kSearched = 65536;
  const std::string log =
      services::end_of_file(fmt::format("{}/log/agent.n{}.log", state_dir_, rank), kSearched);
  lose(rank);
  lacks(rank, fmt::format("its agent {}: {}", how, services::last_lines(log, kLines)), true);
}

void Members::on_lost(uint32_t rank, const std::string& reason) {
  if (ending_ || lost_.contains(rank)) return;
  lose(rank);
  lacks(rank, "it is lost: " + reason);
}

void Members::on_patience_over() {
  const std::set<uint32_t> wanted = wanted_;
  for (const uint32_t rank : wanted)
    if (!hosts_.contains(rank) && !lost_.contains(rank))
      lacks(rank,
            fmt::format("its agent has not joined within {} s",
                        std::chrono::ceil<std::chrono::seconds>(options_.node_timeout).count()));
}

void Members::lacks(uint32_t rank, const std::string& why, bool for_good) {
  const Error error{{},
                    fmt::format("{} is missing: {}", name(rank), why),
                    "--missing-node go_on does without a node, wait has more patience"};
  const bool waits = options_.missing_node == MissingNode::wait && !for_good;
  if (options_.missing_node != MissingNode::go_on && !waits) return handlers_.missing(error);
  log::warning("{}", error.message());
  if (options_.missing_node == MissingNode::go_on) {
    wanted_.erase(rank);
    spread_images_of_start();
  }
  handlers_.changed();
}

bool Members::ready() const {
  return std::all_of(wanted_.begin(), wanted_.end(),
                     [this](uint32_t rank) { return ready_.contains(rank); });
}

std::string Members::waiting_for() const {
  std::string text;
  for (const uint32_t rank : wanted_) {
    if (ready_.contains(rank)) continue;
    const auto trouble = troubled_.find(rank);
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", name(rank),
                        trouble != troubled_.end() ? ": " + trouble->second
                        : hosts_.contains(rank)    ? ""
                                                   : ", which has not joined");
  }
  return text;
}

void Members::describe(agent::StatusReply& reply) const {
  for (uint32_t rank = 1; rank < launcher_->size(); ++rank) {
    agent::Node& node = *reply.add_nodes();
    const auto host = hosts_.find(rank);
    node.set_rank(rank);
    node.set_name(fmt::format("n{}", rank));
    node.set_host(host != hosts_.end() ? host->second : launcher_->host(rank));
    node.set_state(lost_.contains(rank)       ? "lost"
                   : host == hosts_.end()     ? "awaited"
                   : ready_.contains(rank)    ? "ready"
                   : troubled_.contains(rank) ? "troubled"
                                              : "starting");
    if (const auto trouble = troubled_.find(rank); trouble != troubled_.end())
      node.set_trouble(trouble->second);
  }
}

void Members::end(std::function<void(std::vector<std::string>)> ended) {
  constexpr std::chrono::minutes kForAnswers{
      3};  // a node's images are many files; a lost node answers as lost
  ending_ = true;
  patience_.cancel();
  commands_.reset();
  images_->stop("the job is ending");
  const bus::Message question =
      command([](bus::Command& c) { c.mutable_down()->set_reason("the job ends"); });
  const auto gathered = [this, ended = std::move(ended)](const bus::GatherResult& result) {
    std::vector<std::string> left;
    for (const auto& [rank, answer] : result.answers)
      if (!answer.text().empty()) left.push_back(fmt::format("{}: {}", name(rank), answer.text()));
    for (const uint32_t rank : result.missing.ranks())
      if (!lost_.contains(rank))
        left.push_back(fmt::format("{}: its agent did not answer", name(rank)));
    // On this machine others look (end_nodes_of).
    for (const uint32_t rank : lost_)
      if (options_.launch.kind != launch::Kind::local)
        left.push_back(
            fmt::format("{}: lost, so not audited: run 'conode sweep' there", name(rank)));
    constexpr std::chrono::seconds kForProcesses{5};
    bus_->stop("the job is over");
    agents_.when_all_ended(kForProcesses,
                           [ended, left = std::move(left)]() mutable { ended(std::move(left)); });
  };
  if (const Result<void> asked =
          bus_->gather(question, options_.stop_grace + kForAnswers, gathered);
      !asked)
    gathered({});
}

}  // namespace conode::job
