// SPDX-License-Identifier: Apache-2.0
#include "agent/job/exposure.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "agent/base/log.h"

namespace conode::job {

namespace asio = boost::asio;

namespace {

void fill(const expose::PortSpec& spec, agent::ExposedPort& out) {
  out.set_service_namespace(spec.service.name_space);
  out.set_service(spec.service.name);
  out.set_service_port(spec.service_port);
  out.set_protocol(expose::to_string(spec.protocol));
  out.set_origin(expose::to_string(spec.origin));
  out.set_address(spec.address);
  out.set_host_port(spec.host_port);
}

void fill(const expose::PortEntry& entry, agent::ExposedPort& out) {
  fill(entry.spec, out);
  out.set_host_port(entry.port());
  if (!entry.refused) return;
  out.set_refused(entry.refused->message());
  out.set_remedy(entry.refused->remedy);
}

agent::ExposeReply failed(const Error& error) {
  agent::ExposeReply reply;
  reply.set_failure(error.message());
  reply.set_remedy(error.remedy);
  return reply;
}

}  // namespace

Exposure::Exposure(AgentContext& context, kubernetes::ApiClient& api, expose::HostSockets sockets)
    : context_(context),
      exposer_(context.loop, *context.link, api, std::move(sockets),
               context.options.expose_address) {
  asio::co_spawn(context.loop, follow(), asio::detached);
}

asio::awaitable<void> Exposure::follow() {
  const Result<void> ended = co_await exposer_.run();
  if (!ended) log::error("Services are no longer followed: {}", ended.error().message());
}

void Exposure::handle(const agent::ExposeRequest& r, Done done) {
  expose::Request request{{r.service_namespace(), r.service()},
                          r.port(),
                          r.address(),
                          static_cast<uint16_t>(r.host_port())};
  if (stopped_) return done(failed(failure("expose a Service: the job ends").value()));
  if (!expose::is_label(r.service_namespace()) || !expose::is_label(r.service()))
    return done(failed(failure("expose a Service: bad name").value()));
  if (!r.close()) {
    const uint64_t id = next_id_++;
    waiting_[id] = std::move(done);
    asio::co_spawn(context_.loop, open(std::move(request), id), asio::detached);
    return;
  }
  const Result<std::vector<expose::PortSpec>> closed = exposer_.close(request);
  if (!closed) return done(failed(closed.error()));
  agent::ExposeReply reply;
  for (const expose::PortSpec& spec : *closed) fill(spec, *reply.add_ports());
  done(std::move(reply));
}

asio::awaitable<void> Exposure::open(expose::Request request, uint64_t id) {
  const Result<expose::PortSpec> opened = co_await exposer_.open(std::move(request));
  if (!opened) co_return answer(id, failed(opened.error()));
  agent::ExposeReply reply;
  if (const expose::PortEntry* entry = exposer_.find(*opened)) fill(*entry, *reply.add_ports());
  answer(id, std::move(reply));
}

void Exposure::answer(uint64_t id, agent::ExposeReply reply) {
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) return;
  const Done done = std::move(found->second);
  waiting_.erase(found);
  done(std::move(reply));
}

void Exposure::stop() {
  stopped_ = true;
  exposer_.stop();
  const agent::ExposeReply reply = failed(failure("expose a Service: the job ends").value());
  for (auto& [id, done] : std::exchange(waiting_, {})) done(reply);
}

void Exposure::describe(agent::StatusReply& reply) const {
  for (const expose::PortEntry& entry : exposer_.ports()) fill(entry, *reply.add_exposed());
}

}  // namespace conode::job
