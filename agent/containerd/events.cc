// SPDX-License-Identifier: Apache-2.0
// The subscription to containerd's events. Its server does not say when a subscription stands, and
// an event in between would be lost unseen. So we publish an event of our own, again until it comes
// back: from then on nothing is missed.
#include <mutex>
#include <random>
#include <thread>

#include "agent/containerd/client.h"
#include "agent/containerd/event_decode.h"
#include "google/protobuf/empty.pb.h"
#include "services/events/v1/events.pb.h"
#include "types/event.pb.h"

namespace conode::containerd {
namespace {

namespace wire = ::containerd::services::events::v1;
constexpr auto kEchoInterval = std::chrono::milliseconds(20);

Clock::time_point to_time(const google::protobuf::Timestamp& stamp) {
  return Clock::time_point(std::chrono::duration_cast<Clock::duration>(
      std::chrono::seconds(stamp.seconds()) + std::chrono::nanoseconds(stamp.nanos())));
}

}  // namespace

struct EventStream::Impl {
  Impl(std::shared_ptr<Rpc> rpc_in, std::function<void(const Event&)> on_event_in)
      : rpc(std::move(rpc_in)), on_event(std::move(on_event_in)) {
    std::random_device random;
    echo_topic = "/conode/subscribed/" + std::to_string(random()) + std::to_string(random());
    thread = std::thread([this] { run(); });
  }
  ~Impl() {
    {
      const std::lock_guard guard(lock);
      stopping = true;
      if (stream) stream->cancel();
    }
    thread.join();
  }

  void run();
  Result<void> subscribe_once();
  void publish_echo();
  void deliver(const ::containerd::types::Envelope& envelope);
  void deliver(const Event& event) { on_event(event); }

  std::shared_ptr<Rpc> rpc;
  std::function<void(const Event&)> on_event;
  std::string echo_topic;
  bool subscribed = false;  // of the thread
  std::mutex lock;          // for what follows
  bool stopping = false;
  Stream* stream = nullptr;
  std::thread thread;
};

void EventStream::Impl::run() {
  for (;;) {
    Result<void> ended = subscribe_once();
    {
      const std::lock_guard guard(lock);
      if (stopping) return;
    }
    // containerd went away (or ended the stream while shutting down): wait for the next one.
    if (ended || ended.error().is(std::errc::connection_refused) ||
        ended.error().is(std::errc::operation_canceled))
      continue;
    return deliver({{}, Clock::now(), SubscriptionFailed{std::move(ended).error()}});
  }
}

Result<void> EventStream::Impl::subscribe_once() {
  wire::SubscribeRequest request;
  request.add_filters("namespace==k8s.io,topic~=\"^/(tasks|containers)/\"");
  request.add_filters("topic==\"" + echo_topic + "\"");
  Stream current = rpc->open("/containerd.services.events.v1.Events/Subscribe",
                             {.timeout = {}, .wait_for_ready = true});
  {
    const std::lock_guard guard(lock);
    if (stopping) return {};
    stream = &current;
  }
  subscribed = false;
  if (current.write(request, true)) {
    ::containerd::types::Envelope envelope;
    ReadOutcome outcome = ReadOutcome::timeout;
    while (outcome != ReadOutcome::end) {
      if (outcome == ReadOutcome::timeout) publish_echo();
      if (outcome == ReadOutcome::message) deliver(envelope);
      outcome = subscribed ? current.read(envelope)
                           : current.read(envelope, Clock::now() + kEchoInterval);
    }
  }
  {
    const std::lock_guard guard(lock);
    stream = nullptr;
  }
  return current.finish();
}

// A failure is found by the next one, or by the end of the stream.
void EventStream::Impl::publish_echo() {
  wire::PublishRequest request;
  request.set_topic(echo_topic);
  request.mutable_event()->set_type_url("google.protobuf.Empty");
  google::protobuf::Empty reply;
  (void)rpc->call("/containerd.services.events.v1.Events/Publish", request, reply,
                  {.timeout = std::chrono::seconds(1)});
}

void EventStream::Impl::deliver(const ::containerd::types::Envelope& envelope) {
  if (envelope.topic() == echo_topic) {
    if (!std::exchange(subscribed, true))
      deliver({{}, to_time(envelope.timestamp()), Subscribed{}});
    return;
  }
  std::optional<Event> event = decode_event(envelope.event().type_url(), envelope.event().value());
  if (!event) return;
  event->time = to_time(envelope.timestamp());
  deliver(*event);
}

EventStream::EventStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventStream::EventStream(EventStream&&) noexcept = default;
EventStream& EventStream::operator=(EventStream&&) noexcept = default;
EventStream::~EventStream() = default;

EventStream ContainerdClient::events(std::function<void(const Event&)> on_event) {
  return EventStream(std::make_unique<EventStream::Impl>(impl_->rpc, std::move(on_event)));
}

}  // namespace conode::containerd
