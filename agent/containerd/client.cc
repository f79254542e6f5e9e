// SPDX-License-Identifier: Apache-2.0
#include "agent/containerd/client.h"

#include <map>

#include "google/protobuf/empty.pb.h"
#include "grpc/health/v1/health.pb.h"
#include "services/containers/v1/containers.pb.h"
#include "services/images/v1/images.pb.h"
#include "services/tasks/v1/tasks.pb.h"
#include "services/version/v1/version.pb.h"

namespace conode::containerd {
namespace {

namespace wire = ::containerd::services;
using Health = grpc::health::v1::HealthCheckResponse;

constexpr const char* kPinnedLabel = "io.cri-containerd.pinned";

struct StatusName {
  TaskStatus status;
  ::containerd::v1::types::Status wire;
  const char* name;
};
constexpr StatusName kStatusNames[] = {
    {TaskStatus::unknown, ::containerd::v1::types::UNKNOWN, "unknown"},
    {TaskStatus::created, ::containerd::v1::types::CREATED, "created"},
    {TaskStatus::running, ::containerd::v1::types::RUNNING, "running"},
    {TaskStatus::stopped, ::containerd::v1::types::STOPPED, "stopped"},
    {TaskStatus::paused, ::containerd::v1::types::PAUSED, "paused"},
    {TaskStatus::pausing, ::containerd::v1::types::PAUSING, "pausing"},
};

TaskStatus status_of(::containerd::v1::types::Status status) {
  for (const StatusName& entry : kStatusNames)
    if (entry.wire == status) return entry.status;
  return TaskStatus::unknown;
}

// The kubelet's and the CRI's labels
// (https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/kubelet/pkg/types).
Container to_container(const wire::containers::v1::Container& from) {
  const auto label = [&](const char* key) {
    const auto found = from.labels().find(key);
    return found == from.labels().end() ? std::string() : found->second;
  };
  return {.id = from.id(),
          .image = from.image(),
          .pod_name = label("io.kubernetes.pod.name"),
          .pod_namespace = label("io.kubernetes.pod.namespace"),
          .name = label("io.kubernetes.container.name"),
          .sandbox = label("io.cri-containerd.kind") == "sandbox"};
}

Image to_image(const wire::images::v1::Image& from) {
  return {.name = from.name(),
          .digest = from.target().digest(),
          .media_type = from.target().media_type(),
          .pinned = from.labels().contains(kPinnedLabel),
          .created_at = Clock::from_time_t(from.created_at().seconds())};
}

}  // namespace

const char* to_string(TaskStatus status) {
  for (const StatusName& entry : kStatusNames)
    if (entry.status == status) return entry.name;
  return "none";
}

ContainerdClient::ContainerdClient(const std::string& socket)
    : impl_(std::make_unique<Impl>(socket)) {}
ContainerdClient::~ContainerdClient() = default;
ContainerdClient::ContainerdClient(ContainerdClient&&) noexcept = default;
ContainerdClient& ContainerdClient::operator=(ContainerdClient&&) noexcept = default;

Result<void> ContainerdClient::wait_ready(std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  TRY_AS(impl_->doing("wait for readiness"), impl_->rpc->wait_connected(deadline));
  return health();
}

Result<void> ContainerdClient::health() {
  const auto doing = [&] { return impl_->doing("check health"); };
  Health reply;
  TRY_AS(doing(), impl_->rpc->call("/grpc.health.v1.Health/Check",
                                   grpc::health::v1::HealthCheckRequest(), reply));
  if (reply.status() == Health::SERVING) return {};
  return failure(fmt::format("{}: it answers, but with status {} instead of SERVING", doing(),
                             static_cast<int>(reply.status())));
}

Result<Version> ContainerdClient::version() {
  wire::version::v1::VersionResponse reply;
  TRY_AS(impl_->doing("ask the version"),
         impl_->rpc->call("/containerd.services.version.v1.Version/Version",
                          google::protobuf::Empty(), reply));
  return Version{reply.version(), reply.revision()};
}

Result<std::vector<Image>> ContainerdClient::images() {
  wire::images::v1::ListImagesResponse reply;
  TRY_AS(impl_->doing("list images"),
         impl_->rpc->call("/containerd.services.images.v1.Images/List",
                          wire::images::v1::ListImagesRequest(), reply));
  std::vector<Image> images;
  for (const auto& image : reply.images()) images.push_back(to_image(image));
  return images;
}

Result<bool> ContainerdClient::remove_image(const std::string& name) {
  wire::images::v1::DeleteImageRequest request;
  request.set_name(name);
  request.set_sync(true);  // answers when the blobs are gone, too
  google::protobuf::Empty reply;
  Result<void> removed = impl_->rpc->call("/containerd.services.images.v1.Images/Delete", request,
                                          reply, {.timeout = std::chrono::minutes(1)});
  if (removed) return true;
  if (removed.error().is(std::errc::no_such_file_or_directory)) return false;
  return tl::make_unexpected(
      std::move(removed).error().wrap(impl_->doing(fmt::format("remove image '{}'", name))));
}

Result<std::vector<Container>> ContainerdClient::containers() {
  wire::containers::v1::ListContainersResponse listed;
  TRY_AS(impl_->doing("list containers"),
         impl_->rpc->call("/containerd.services.containers.v1.Containers/List",
                          wire::containers::v1::ListContainersRequest(), listed));
  wire::tasks::v1::ListTasksResponse tasks;
  TRY_AS(impl_->doing("list tasks"), impl_->rpc->call("/containerd.services.tasks.v1.Tasks/List",
                                                      wire::tasks::v1::ListTasksRequest(), tasks));
  std::map<std::string, const ::containerd::v1::types::Process*> task_of;
  for (const auto& task : tasks.tasks()) task_of[task.id()] = &task;
  std::vector<Container> containers;
  for (const auto& from : listed.containers()) {
    Container& container = containers.emplace_back(to_container(from));
    const auto task = task_of.find(container.id);
    if (task == task_of.end()) continue;
    container.status = status_of(task->second->status());
    container.pid = task->second->pid();
    container.exit_code = task->second->exit_status();
  }
  return containers;
}

}  // namespace conode::containerd
