// SPDX-License-Identifier: Apache-2.0
// gRPC by method name over one unix socket. Private to this folder; gRPC's own headers are included
// in rpc.cc only. Every call is a stream of messages both ways, a unary call one of length one.
#pragma once

#include <google/protobuf/message_lite.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/base/result.h"

namespace conode::containerd {

using google::protobuf::MessageLite;
using Clock = std::chrono::system_clock;  // what gRPC's deadlines are in

struct CallOptions {
  std::optional<std::chrono::milliseconds> timeout = std::chrono::seconds(10);  // of the whole call
  // Of one wait in a stream; past it the call is cancelled and fails with ETIMEDOUT.
  std::optional<std::chrono::milliseconds> stall;
  std::string lease;            // what the call creates is held by this lease
  bool wait_for_ready = false;  // wait for a server instead of failing where there is none
};

enum class ReadOutcome { message, end, timeout };

// One call under way. Belongs to one thread; only cancel() is for any. Its end, good or bad, is
// told by finish(). Destroying it cancels it.
class Stream {
 public:
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) = delete;
  ~Stream();

  // Queues `message` after the one before it has left; `last` closes our side. False: the call has
  // ended, finish() says why.
  [[nodiscard]] bool write(const MessageLite& message, bool last);
  // The server's next message. A timeout leaves the read under way: call it again.
  [[nodiscard]] ReadOutcome read(MessageLite& message, std::optional<Clock::time_point> until = {});
  // The call's status. What is left to read is dropped.
  [[nodiscard]] Result<void> finish();
  void cancel();

 private:
  friend class Rpc;
  struct Impl;
  explicit Stream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The connection. Made lazily, and again after it is lost. Any thread.
class Rpc {
 public:
  explicit Rpc(const std::string& socket);
  ~Rpc();
  Rpc(const Rpc&) = delete;
  Rpc& operator=(const Rpc&) = delete;

  // Blocks on the channel's state until it is connected.
  [[nodiscard]] Result<void> wait_connected(Clock::time_point deadline);
  [[nodiscard]] Stream open(const char* method, const CallOptions& options);
  // One request, one reply. Failures carry a code: ENOENT, EEXIST, ENOSPC, ETIMEDOUT, ECONNREFUSED,
  // ECANCELED, EACCES, ENOSYS, EINVAL or EIO; the text is the server's.
  [[nodiscard]] Result<void> call(const char* method, const MessageLite& request,
                                  MessageLite& reply, const CallOptions& options = {});

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace conode::containerd
