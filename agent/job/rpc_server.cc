// SPDX-License-Identifier: Apache-2.0
#include "agent/job/rpc_server.h"

#include <fmt/format.h>
#include <grpcpp/grpcpp.h>

#include <chrono>

#include "agent/base/file.h"
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

  grpc::Status SpreadImage(grpc::ServerContext* /*context*/,
                           const agent::SpreadImageRequest* request,
                           agent::SpreadImageReply* reply) override {
    *reply = handlers.spread_image(*request);
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

using std::chrono::minutes;
using std::chrono::seconds;

constexpr seconds kForAnAnswer{10};
constexpr seconds kForSteps{40};     // that the agent waits for itself, 10 s each
constexpr minutes kForManyFiles{5};  // of images: on disks, between nodes

template <typename Request, typename Reply>
Result<Reply> call(const FoundJob& job, const char* what,
                   grpc::Status (agent::Agent::Stub::*method)(grpc::ClientContext*, const Request&,
                                                              Reply*),
                   const Request& request, seconds patience) {
  constexpr int kConnectWithinMs = 5000;  // a stopped process has a socket that takes connections
  const std::string socket = job.path + "/agent.sock";
  if (!exists(socket))
    return failure(fmt::format("{}: the agent of job '{}' is starting or ending", what, job.job),
                   "again in a moment");
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, kConnectWithinMs);
  const auto stub = agent::Agent::NewStub(
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + patience);
  Reply reply;
  const grpc::Status status = (stub.get()->*method)(&context, request, &reply);
  if (!status.ok())
    return failure(fmt::format("{}: the agent of job '{}' does not answer: {}", what, job.job,
                               status.error_message()),
                   "is it stopped (SIGSTOP), or does it hang? 'conode sweep' removes everything of "
                   "an agent that was killed");
  return reply;
}

}  // namespace

Result<agent::StatusReply> request_status(const FoundJob& job) {
  return call(job, "ask for the status", &agent::Agent::Stub::Status, agent::StatusRequest(),
              kForAnAnswer);
}

Result<agent::DownReply> request_down(const FoundJob& job) {
  // The HPC part's processes and, at other nodes, once more the same.
  const seconds for_processes{job.instance ? 2 * job.instance->stop_grace : 0};
  return call(job, "end the job", &agent::Agent::Stub::Down, agent::DownRequest(),
              kForManyFiles + for_processes);
}

Result<agent::ExposeReply> request_expose(const FoundJob& job,
                                          const agent::ExposeRequest& request) {
  return call(job, "expose a Service", &agent::Agent::Stub::Expose, request, kForSteps);
}

Result<agent::SpreadImageReply> request_spread_image(const FoundJob& job,
                                                     const agent::SpreadImageRequest& request) {
  return call(job, "reach the images of other nodes", &agent::Agent::Stub::SpreadImage, request,
              2 * kForManyFiles);
}

}  // namespace conode::job
