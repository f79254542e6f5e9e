// SPDX-License-Identifier: Apache-2.0
// The agent's gRPC server on its unix socket. Requests arrive on gRPC's threads; the callbacks are
// run there and must hand over to the agent's loop themselves.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/job/job_dir.h"
#include "agent/proto/agent.pb.h"

namespace conode::job {

class RpcServer {
 public:
  struct Handlers {
    std::function<agent::StatusReply()> status;
    std::function<agent::DownReply()> down;  // blocks until the job is clean
    std::function<agent::ExposeReply(const agent::ExposeRequest&)> expose;
    std::function<agent::SpreadImageReply(const agent::SpreadImageRequest&)> spread_image;
  };

  [[nodiscard]] static Result<std::unique_ptr<RpcServer>> listen(const std::string& socket_path,
                                                                 Handlers handlers);
  // Waits for calls that are being answered.
  ~RpcServer();

 private:
  struct Impl;
  explicit RpcServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The command line's side: of a job whose agent lives. Blocking, for as long as the request may
// take.
[[nodiscard]] Result<agent::StatusReply> request_status(const FoundJob& job);
[[nodiscard]] Result<agent::DownReply> request_down(const FoundJob& job);
[[nodiscard]] Result<agent::ExposeReply> request_expose(const FoundJob& job,
                                                        const agent::ExposeRequest& request);
[[nodiscard]] Result<agent::SpreadImageReply> request_spread_image(
    const FoundJob& job, const agent::SpreadImageRequest& request);

}  // namespace conode::job
