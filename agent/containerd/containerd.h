// SPDX-License-Identifier: Apache-2.0
// The agent's containerd client: its gRPC API (github.com/containerd/containerd/api) over its unix
// socket, in the namespace "k8s.io", which is the CRI's and so the kubelet's.
//
// Threads: a client may be used by any number of threads at the same time. Calls block their
// thread, each at most its timeout; call them off the event loop. gRPC keeps four threads of its
// own. Errors: "list images of containerd '/run/x.sock': <containerd's text>: <errno's text>", with
// ECONNREFUSED where nobody serves, ETIMEDOUT past the timeout, ENOENT, EEXIST, ENOSPC.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/containerd/event.h"

namespace conode::containerd {

struct Version {
  std::string version;   // "v2.4.2"
  std::string revision;  // of the source
};

enum class TaskStatus { none, created, running, stopped, paused, pausing, unknown };
[[nodiscard]] const char* to_string(TaskStatus status);

struct Container {
  std::string id;
  std::string image;     // name
  std::string pod_name;  // empty: not the kubelet's
  std::string pod_namespace;
  std::string name;      // in its pod; empty for the pod's sandbox
  bool sandbox = false;  // the pause container
  TaskStatus status = TaskStatus::none;
  uint32_t pid = 0;        // as containerd's PID namespace counts; 0: no task
  uint32_t exit_code = 0;  // of a stopped task
};

struct Image {
  std::string name;                                  // complete: "docker.io/library/busybox:latest"
  std::string digest;                                // of its manifest or index, "sha256:..."
  std::string media_type;                            // of that
  bool pinned = false;                               // never collected by the kubelet
  std::chrono::system_clock::time_point created_at;  // here, not where it was built
};

struct ImportProgress {
  std::string blob;        // digest
  uint64_t blob_done = 0;  // bytes
  uint64_t blob_total = 0;
  uint64_t done = 0;  // bytes of all blobs that are needed
  uint64_t total = 0;
};

struct ImportOptions {
  std::string name;          // for an archive of one image; empty: the archive's own
  std::string architecture;  // Go's name; empty: this machine's
  bool pinned = true;        // what was imported could not be pulled again
  // Per blob and MiB, on the calling thread.
  std::function<void(const ImportProgress&)> on_progress;
};

struct ImportedImage {
  std::string name;
  std::string digest;     // of its manifest, or index where the archive has one
  uint64_t size = 0;      // bytes of its blobs, as stored
  uint64_t uploaded = 0;  // of them, new to containerd
};

class ContainerdClient {
 public:
  // Does not connect yet; lost connections are made again.
  explicit ContainerdClient(const std::string& socket);
  ~ContainerdClient();
  ContainerdClient(ContainerdClient&&) noexcept;
  ContainerdClient& operator=(ContainerdClient&&) noexcept;

  // Blocks until the socket is connected and the server's health is SERVING
  // (https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
  [[nodiscard]] Result<void> wait_ready(std::chrono::milliseconds timeout);
  // The server's health now; fails where it is not SERVING.
  [[nodiscard]] Result<void> health();
  [[nodiscard]] Result<Version> version();

  // Imports the images of `source`: an OCI image layout (image-spec v1.1) as a directory or as a
  // tar archive (plain, gzip, zstd, xz), or an archive of `docker save`. Only blobs that containerd
  // has not are sent, and it checks each digest. Of an index, this machine's platform is taken. The
  // CRI unpacks at the first container. All or nothing: a failure leaves no image, blob or lease.
  [[nodiscard]] Result<std::vector<ImportedImage>> import_image(const std::string& source,
                                                                const ImportOptions& options = {});
  [[nodiscard]] Result<std::vector<Image>> images();
  // False where there is none of that (complete) name. Its blobs go with it.
  [[nodiscard]] Result<bool> remove_image(const std::string& name);

  [[nodiscard]] Result<std::vector<Container>> containers();

  // Calls `on_event` on a thread of its own, from now until the EventStream is destroyed. See
  // event.h. The stream may outlive the client.
  [[nodiscard]] EventStream events(std::function<void(const Event&)> on_event);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace conode::containerd
