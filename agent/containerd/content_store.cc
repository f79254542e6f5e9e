// SPDX-License-Identifier: Apache-2.0
#include "agent/containerd/content_store.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <random>

#include "google/protobuf/empty.pb.h"
#include "services/content/v1/content.pb.h"
#include "services/images/v1/images.pb.h"
#include "services/leases/v1/leases.pb.h"

namespace conode::containerd {
namespace {

namespace wire = ::containerd::services;
using google::protobuf::Empty;

constexpr size_t kChunk = 1U << 20U;                   // bytes per message
constexpr auto kStall = std::chrono::seconds(120);     // containerd takes nothing for so long
constexpr auto kCollection = std::chrono::minutes(2);  // a synchronous garbage collection
constexpr auto kExpiry = std::chrono::hours(24);       // of a lease whose owner died
constexpr const char* kWrite = "/containerd.services.content.v1.Content/Write";

std::string random_name() {
  std::random_device random;
  return fmt::format("conode-import-{:08x}{:08x}", random(), random());
}

// Fills `into` from `read` as far as there is data.
Result<size_t> fill(const Reader& read, std::span<char> into) {
  size_t have = 0;
  while (have < into.size()) {
    const size_t got = TRY(read(into.subspan(have)));
    if (got == 0) break;
    have += got;
  }
  return have;
}

Error explained(Error error, const Descriptor& blob) {
  if (error.is(std::errc::no_space_on_device))
    return std::move(error).with_remedy(
        "free space where containerd keeps its content: the job's state directory");
  if (error.context.find("unexpected commit digest") != std::string::npos)
    return failure(fmt::format("the content is not what its digest says: {}", error.context),
                   "the image is damaged: make or copy it again")
        .value();
  if (error.context.find("unexpected commit size") != std::string::npos)
    return failure(fmt::format("the size is not {} bytes: {}", blob.size, error.context)).value();
  return error;
}

}  // namespace

Result<Lease> Lease::create(Rpc& rpc) {
  wire::leases::v1::CreateRequest request;
  const std::string id = random_name();
  request.set_id(id);
  const std::time_t expiry = Clock::to_time_t(Clock::now() + kExpiry);
  (*request.mutable_labels())["containerd.io/gc.expire"] =
      fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(expiry));
  wire::leases::v1::CreateResponse reply;
  TRY_AS("create a lease",
         rpc.call("/containerd.services.leases.v1.Leases/Create", request, reply));
  return Lease(rpc, id);
}

Lease::~Lease() {
  if (!id_.empty()) remove(true);
}

void Lease::release() { remove(false); }

// A failure leaves the lease until it expires; there is nobody to tell.
void Lease::remove(bool wait) {
  wire::leases::v1::DeleteRequest request;
  request.set_id(std::exchange(id_, {}));
  request.set_sync(wait);
  Empty reply;
  (void)rpc_->call("/containerd.services.leases.v1.Leases/Delete", request, reply,
                   {.timeout = kCollection});
}

Result<bool> Lease::has(const std::string& digest) {
  wire::content::v1::InfoRequest info;
  info.set_digest(digest);
  wire::content::v1::InfoResponse reply;
  const Result<void> found =
      rpc_->call("/containerd.services.content.v1.Content/Info", info, reply);
  if (found) return true;
  if (found.error().is(std::errc::no_such_file_or_directory)) return false;
  return tl::make_unexpected(found.error());
}

Result<bool> Lease::hold(const std::string& digest) {
  if (!TRY(has(digest))) return false;
  wire::leases::v1::AddResourceRequest add;
  add.set_id(id_);
  add.mutable_resource()->set_id(digest);
  add.mutable_resource()->set_type("content");
  Empty added;
  TRY(rpc_->call("/containerd.services.leases.v1.Leases/AddResource", add, added));
  return has(digest);  // it may have been collected before it was held
}

Result<void> Lease::label(const std::string& digest, const Labels& labels) {
  wire::content::v1::UpdateRequest request;
  request.mutable_info()->set_digest(digest);
  for (const auto& [key, value] : labels) {
    (*request.mutable_info()->mutable_labels())[key] = value;
    request.mutable_update_mask()->add_paths("labels." + key);
  }
  wire::content::v1::UpdateResponse reply;
  return rpc_->call("/containerd.services.content.v1.Content/Update", request, reply);
}

// While containerd hashes and stores one chunk, the next is read and sent.
Result<void> Lease::send(const Descriptor& blob, const Labels& labels, const std::string& reference,
                         const Reader& read, const std::function<void(uint64_t)>& on_bytes) {
  Stream stream = rpc_->open(kWrite, {.timeout = {}, .stall = kStall, .lease = id_});
  wire::content::v1::WriteContentRequest request;
  wire::content::v1::WriteContentResponse reply;
  request.set_ref(reference);
  request.set_total(static_cast<int64_t>(blob.size));
  request.set_expected(blob.digest);
  uint64_t sent = 0;
  bool more = true;
  bool first = true;
  while (more) {
    std::string& data = *request.mutable_data();
    data.resize(static_cast<size_t>(std::min<uint64_t>(kChunk, blob.size - sent)));
    const size_t got = TRY(fill(read, data));
    if (got < data.size())
      return failure(fmt::format("it ends after {} of {} bytes", sent + got, blob.size));
    request.set_offset(static_cast<int64_t>(sent));
    sent += got;
    more = sent < blob.size;
    request.set_action(more ? wire::content::v1::WRITE : wire::content::v1::COMMIT);
    if (!more) request.mutable_labels()->insert(labels.begin(), labels.end());
    if (!stream.write(request, !more)) break;
    if (!std::exchange(first, false) && stream.read(reply) != ReadOutcome::message) break;
    on_bytes(sent);
  }
  while (stream.read(reply) == ReadOutcome::message) {
  }
  return stream.finish();
}

Result<bool> Lease::upload(const Descriptor& blob, const Labels& labels, const Reader& read,
                           const std::function<void(uint64_t)>& on_bytes) {
  const std::string reference = id_ + "-" + blob.digest;
  Result<void> sent = send(blob, labels, reference, read, on_bytes);
  if (sent) return true;
  if (sent.error().is(std::errc::file_exists)) return false;
  wire::content::v1::AbortRequest abort;
  abort.set_ref(reference);
  Empty reply;
  (void)rpc_->call("/containerd.services.content.v1.Content/Abort", abort, reply, {.lease = id_});
  return tl::make_unexpected(explained(std::move(sent).error(), blob));
}

Result<bool> put_image(Rpc& rpc, const std::string& name, const Descriptor& target,
                       const Labels& labels) {
  wire::images::v1::CreateImageRequest create;
  wire::images::v1::Image& image = *create.mutable_image();
  image.set_name(name);
  image.mutable_labels()->insert(labels.begin(), labels.end());
  image.mutable_target()->set_media_type(target.media_type);
  image.mutable_target()->set_digest(target.digest);
  image.mutable_target()->set_size(static_cast<int64_t>(target.size));
  wire::images::v1::CreateImageResponse created;
  const Result<void> made =
      rpc.call("/containerd.services.images.v1.Images/Create", create, created);
  if (made) return true;
  if (!made.error().is(std::errc::file_exists)) return tl::make_unexpected(made.error());
  wire::images::v1::UpdateImageRequest update;
  *update.mutable_image() = image;
  update.mutable_update_mask()->add_paths("target");
  for (const auto& [key, value] : labels) update.mutable_update_mask()->add_paths("labels." + key);
  wire::images::v1::UpdateImageResponse updated;
  TRY(rpc.call("/containerd.services.images.v1.Images/Update", update, updated));
  return false;
}

}  // namespace conode::containerd
