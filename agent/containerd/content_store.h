// SPDX-License-Identifier: Apache-2.0
// Private to this folder: containerd's content store and image records, as an import needs them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "agent/containerd/image_source.h"
#include "agent/containerd/rpc.h"

namespace conode::containerd {

using Labels = std::map<std::string, std::string>;

struct Descriptor {
  std::string media_type;
  std::string digest;  // "sha256:<64 lower-case hexadecimal digits>"
  uint64_t size = 0;   // bytes
};

// What is uploaded under a lease stays until the lease is deleted, and longer only if an image
// record refers to it
// (https://github.com/containerd/containerd/blob/main/docs/garbage-collection.md).
class Lease {
 public:
  [[nodiscard]] static Result<Lease> create(Rpc& rpc);
  Lease(Lease&& other) noexcept : rpc_(other.rpc_), id_(std::exchange(other.id_, {})) {}
  Lease& operator=(Lease&&) = delete;
  // The backstop: drops the lease and what nothing else refers to, and waits for that.
  ~Lease();

  // Drops the lease; what was imported has its image record by now.
  void release();

  // Takes a blob that is there already into the lease. False: there is none.
  [[nodiscard]] Result<bool> hold(const std::string& digest);
  // Sends a blob of `size` bytes; containerd checks the digest. `on_bytes` gets the bytes so far.
  // False: it is there already (nothing, or not all, was read).
  [[nodiscard]] Result<bool> upload(const Descriptor& blob, const Labels& labels,
                                    const Reader& read,
                                    const std::function<void(uint64_t)>& on_bytes);
  // Adds labels to a blob that was there already.
  [[nodiscard]] Result<void> label(const std::string& digest, const Labels& labels);

 private:
  Lease(Rpc& rpc, std::string id) : rpc_(&rpc), id_(std::move(id)) {}
  Result<void> send(const Descriptor& blob, const Labels& labels, const std::string& reference,
                    const Reader& read, const std::function<void(uint64_t)>& on_bytes);
  Result<bool> has(const std::string& digest);
  void remove(bool wait);

  Rpc* rpc_;
  std::string id_;
};

// Makes the record `name` -> `target`, or points the one that is there to it. True: it is new.
[[nodiscard]] Result<bool> put_image(Rpc& rpc, const std::string& name, const Descriptor& target,
                                     const Labels& labels);

}  // namespace conode::containerd
