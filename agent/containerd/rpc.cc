// SPDX-License-Identifier: Apache-2.0
// Generic calls instead of generated stubs: one instantiation of gRPC's templates, and one file
// that knows gRPC. Each call has a completion queue of its own and is driven by the thread that
// waits for it, so that the only threads besides are the few that gRPC's core keeps.
#include "agent/containerd/rpc.h"

#include <fmt/format.h>
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/support/proto_buffer_reader.h>
#include <grpcpp/support/proto_buffer_writer.h>
#include <sys/un.h>

#include "agent/base/file.h"

namespace conode::containerd {
namespace {

constexpr const char* kNamespace = "k8s.io";  // the CRI's namespace: what the kubelet sees
constexpr int kLargestReply = 64 << 20;       // bytes; List of many containers

struct Mapping {
  grpc::StatusCode status;
  int code;
};
constexpr Mapping kCodes[] = {
    {grpc::StatusCode::NOT_FOUND, ENOENT},
    {grpc::StatusCode::ALREADY_EXISTS, EEXIST},
    {grpc::StatusCode::DEADLINE_EXCEEDED, ETIMEDOUT},
    {grpc::StatusCode::CANCELLED, ECANCELED},
    {grpc::StatusCode::PERMISSION_DENIED, EACCES},
    {grpc::StatusCode::UNIMPLEMENTED, ENOSYS},
    {grpc::StatusCode::INVALID_ARGUMENT, EINVAL},
    {grpc::StatusCode::UNAVAILABLE, ECONNREFUSED},
};

int code_of(const grpc::Status& status) {
  // containerd passes the system call's text on with the status UNKNOWN.
  if (status.error_message().find("no space left on device") != std::string::npos) return ENOSPC;
  for (const Mapping& mapping : kCodes)
    if (mapping.status == status.error_code()) return mapping.code;
  return EIO;
}

grpc::ChannelArguments channel_arguments() {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kLargestReply);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_SERVICE_CONFIG_DISABLE_RESOLUTION, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_CENSUS, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);  // gRPC's own lower bound
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 500);
  return arguments;
}

bool serialize(const MessageLite& message, grpc::ByteBuffer& buffer) {
  bool own = false;
  return grpc::GenericSerialize<grpc::ProtoBufferWriter, MessageLite>(message, &buffer, &own).ok();
}

bool parse(grpc::ByteBuffer& buffer, MessageLite& message) {
  return grpc::GenericDeserialize<grpc::ProtoBufferReader, MessageLite>(&buffer, &message).ok();
}

}  // namespace

struct Stream::Impl {
  enum Tag : intptr_t { kStart = 1, kWrite, kRead, kFinish };
  // gRPC hands the pointer back and never follows it.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  static void* tag(Tag value) { return reinterpret_cast<void*>(value); }

  // Waits for one completion, as long as a call may stall.
  bool pump() {
    if (!stall || stopped) return pump(std::nullopt);
    if (pump(Clock::now() + *stall)) return true;
    bad_message = code_failure(ETIMEDOUT, fmt::format("the server did nothing for {} s",
                                                      stall->count() / 1000))
                      .value();
    stopped = true;
    context.TryCancel();
    return pump(std::nullopt);
  }

  // Waits for one completion. False: none came until then.
  bool pump(std::optional<Clock::time_point> until) {
    void* which = nullptr;
    bool ok = false;
    if (!until) {
      if (!queue.Next(&which, &ok)) return false;
    } else if (queue.AsyncNext(&which, &ok, *until) != grpc::CompletionQueue::GOT_EVENT) {
      return false;
    }
    switch (static_cast<Tag>(reinterpret_cast<intptr_t>(which))) {
      case kStart:
        starting = false;
        broken = broken || !ok;
        break;
      case kWrite:
        writing = false;
        broken = broken || !ok;
        break;
      case kRead:
        reading = false;
        arrived = ok;
        ended = !ok;
        break;
      case kFinish:
        finished = true;
        break;
    }
    return true;
  }

  std::string method;
  std::optional<std::chrono::milliseconds> stall;
  bool stopped = false;  // by a stall
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call;
  grpc::ByteBuffer incoming;
  grpc::Status status;
  Error bad_message;  // set where the failure is ours, not the server's
  bool starting = true;
  bool writing = false;
  bool reading = false;
  bool arrived = false;  // `incoming` holds a message that nobody has taken
  bool ended = false;    // the server sends no more
  bool broken = false;   // a write failed: the call has ended
  bool finished = false;
};

Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Stream::Stream(Stream&&) noexcept = default;

Stream::~Stream() {
  if (!impl_) return;
  impl_->context.TryCancel();
  impl_->queue.Shutdown();
  while (impl_->pump(std::nullopt)) {
  }
}

void Stream::cancel() { impl_->context.TryCancel(); }

bool Stream::write(const MessageLite& message, bool last) {
  Impl& s = *impl_;
  while ((s.starting || s.writing) && s.pump()) {
  }
  if (s.broken) return false;
  grpc::ByteBuffer buffer;
  if (!serialize(message, buffer)) {
    s.bad_message = failure("a request could not be encoded").value();
    s.context.TryCancel();
    return false;
  }
  s.writing = true;
  grpc::WriteOptions options;
  if (last) options.set_last_message();
  s.call->Write(buffer, options, Impl::tag(Impl::kWrite));
  return true;
}

ReadOutcome Stream::read(MessageLite& message, std::optional<Clock::time_point> until) {
  Impl& s = *impl_;
  const auto pump = [&] { return until ? s.pump(until) : s.pump(); };
  while (s.starting)
    if (!pump()) return ReadOutcome::timeout;
  if (s.broken) return ReadOutcome::end;
  if (!s.reading && !s.arrived && !s.ended) {
    s.reading = true;
    s.call->Read(&s.incoming, Impl::tag(Impl::kRead));
  }
  while (s.reading)
    if (!pump()) return ReadOutcome::timeout;
  if (s.ended) return ReadOutcome::end;
  s.arrived = false;
  if (parse(s.incoming, message)) return ReadOutcome::message;
  s.bad_message = failure("a reply could not be decoded").value();
  s.context.TryCancel();
  return ReadOutcome::end;
}

Result<void> Stream::finish() {
  Impl& s = *impl_;
  while ((s.starting || s.writing || s.reading) && s.pump()) {
  }
  s.call->Finish(&s.status, Impl::tag(Impl::kFinish));
  while (!s.finished && s.pump()) {
  }
  if (!s.bad_message.context.empty()) return tl::make_unexpected(s.bad_message);
  if (s.status.ok()) return {};
  const std::string text = s.status.error_message();
  return code_failure(code_of(s.status), text.empty() ? s.method : text);
}

struct Rpc::Impl {
  std::string socket;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<grpc::GenericStub> stub;
};

Rpc::Rpc(const std::string& socket) : impl_(std::make_unique<Impl>()) {
  impl_->socket = socket;
  impl_->channel = grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(),
                                             channel_arguments());
  impl_->stub = std::make_unique<grpc::GenericStub>(impl_->channel);
}
Rpc::~Rpc() = default;

Result<void> Rpc::wait_connected(Clock::time_point deadline) {
  if (impl_->socket.size() >= sizeof(sockaddr_un{}.sun_path))
    return code_failure(ENAMETOOLONG, "connect to '" + impl_->socket + "'");
  if (impl_->channel->WaitForConnected(deadline)) return {};
  if (!exists(impl_->socket)) return code_failure(ETIMEDOUT, "there is no such socket");
  return code_failure(ETIMEDOUT, "nobody answers on the socket");
}

Stream Rpc::open(const char* method, const CallOptions& options) {
  auto stream = std::make_unique<Stream::Impl>();
  stream->method = method;
  stream->stall = options.stall;
  stream->context.AddMetadata("containerd-namespace", kNamespace);
  if (!options.lease.empty()) stream->context.AddMetadata("containerd-lease", options.lease);
  if (options.timeout) stream->context.set_deadline(Clock::now() + *options.timeout);
  stream->context.set_wait_for_ready(options.wait_for_ready);
  stream->call = impl_->stub->PrepareCall(&stream->context, stream->method, &stream->queue);
  stream->call->StartCall(Stream::Impl::tag(Stream::Impl::kStart));
  return Stream(std::move(stream));
}

Result<void> Rpc::call(const char* method, const MessageLite& request, MessageLite& reply,
                       const CallOptions& options) {
  Stream stream = open(method, options);
  if (stream.write(request, true)) (void)stream.read(reply);
  return stream.finish();
}

}  // namespace conode::containerd
