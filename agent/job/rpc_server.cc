// SPDX-License-Identifier: Apache-2.0
#include "agent/job/rpc_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <chrono>

#include "agent/proto/agent.grpc.pb.h"

namespace conode::job {

struct RpcServer::Impl final : agent::Agent::Service {
  grpc::Status Status(grpc::ServerContext* /*context*/, const agent::StatusRequest* /*request*/,
                      agent::StatusReply* reply) override {
    *reply = handlers.status();
    return grpc::Status::OK;
  }
  grpc::Status Down(grpc::ServerContext* /*context*/, const agent::DownRequest* /*request*/,
                    agent::DownReply* reply) override {
    *reply = handlers.down();
    return grpc::Status::OK;
  }
  grpc::Status Expose(grpc::ServerContext* /*context*/, const agent::ExposeRequest* request,
                      agent::ExposeReply* reply) override {
    *reply = handlers.expose(*request);
    return grpc::Status::OK;
  }

  Handlers handlers;
  std::unique_ptr<grpc::Server> server;
};

RpcServer::RpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

RpcServer::~RpcServer() {
  impl_->server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
}

Result<std::unique_ptr<RpcServer>> RpcServer::listen(const std::string& socket_path,
                                                     Handlers handlers) {
  auto impl = std::make_unique<Impl>();
  impl->handlers = std::move(handlers);
  grpc::ServerBuilder builder;
  // Few calls, one user: one queue, one poller.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  // The directory is 0700: only the user reaches the socket.
  builder.AddListeningPort("unix:" + socket_path, grpc::InsecureServerCredentials());
  builder.RegisterService(impl.get());
  impl->server = builder.BuildAndStart();
  if (!impl->server) return failure(fmt::format("listen on '{}'", socket_path));
  return std::unique_ptr<RpcServer>(new RpcServer(std::move(impl)));
}

namespace {

constexpr std::chrono::seconds kForAnAnswer{10};
// Files of many images take their time.
constexpr std::chrono::minutes kForTheEnd{5};

template <typename Request, typename Reply>
Result<Reply> call(const std::string& socket_path, const char* what,
                   grpc::Status (agent::Agent::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Reply*),
                   const Request& request = {}, std::chrono::seconds patience = kForAnAnswer) {
  constexpr int kConnectWithinMs = 5000;  // a stopped process has a socket that takes connections
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectWithinMs);
  const auto stub = agent::Agent::NewStub(grpc::CreateCustomChannel(
      "unix:" + socket_path, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + patience);
  Reply reply;
  const grpc::Status status = (stub.get()->*method)(&context, request, &reply);
  if (!status.ok())
    return failure(fmt::format("{}: the agent at '{}' does not answer: {}", what, socket_path,
                               status.error_message()),
                   "is it stopped (SIGSTOP), or does it hang? 'conode sweep' removes everything of "
                   "an agent that was killed");
  return reply;
}

}  // namespace

Result<agent::StatusReply> request_status(const std::string& socket_path) {
  return call<agent::StatusRequest, agent::StatusReply>(socket_path, "ask for the status",
                                                        &agent::Agent::Stub::Status);
}

Result<agent::DownReply> request_down(const std::string& socket_path) {
  return call<agent::DownRequest, agent::DownReply>(socket_path, "end the job",
                                                    &agent::Agent::Stub::Down, {}, kForTheEnd);
}

Result<agent::ExposeReply> request_expose(const std::string& socket_path,
                                          const agent::ExposeRequest& request) {
  return call<agent::ExposeRequest, agent::ExposeReply>(socket_path, "expose a Service",
                                                        &agent::Agent::Stub::Expose, request);
}

}  // namespace conode::job
