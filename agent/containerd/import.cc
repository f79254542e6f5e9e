// SPDX-License-Identifier: Apache-2.0
// An import: read and check the documents, take what containerd has into a lease, send the rest,
// then make the image records. Whatever fails, the lease goes and with it what was sent.
#include <map>

#include "agent/containerd/client.h"
#include "agent/containerd/content_store.h"
#include "agent/containerd/image_plan.h"
#include "google/protobuf/empty.pb.h"
#include "services/images/v1/images.pb.h"

namespace conode::containerd {
namespace {

// The CRI plugin lists what is so labelled; the second keeps the kubelet from collecting it.
Labels image_labels(bool pinned) {
  Labels labels{{"io.cri-containerd.image", "managed"}};
  if (pinned) labels["io.cri-containerd.pinned"] = "pinned";
  return labels;
}

Reader reader_of(std::string_view content) {
  return [content](std::span<char> into) mutable -> Result<size_t> {
    const size_t size = content.copy(into.data(), into.size());
    content.remove_prefix(size);
    return size;
  };
}

class Import {
 public:
  Import(Rpc& rpc, const ImageSource& source, const ImportOptions& options)
      : rpc_(rpc), source_(source), options_(options) {}

  Result<std::vector<ImportedImage>> run(const std::vector<PlannedImage>& images);

 private:
  Result<void> send_files(Lease& lease);
  Result<void> send_documents(Lease& lease, const PlannedImage& image);
  Result<void> send(Lease& lease, const PlannedBlob& blob, const Reader& read);
  Result<std::vector<ImportedImage>> put_images(const std::vector<PlannedImage>& images);
  void remove_images(const std::vector<std::string>& names);
  void report(const Descriptor& blob, uint64_t blob_done);

  Rpc& rpc_;
  const ImageSource& source_;
  const ImportOptions& options_;
  std::map<std::string, const PlannedBlob*> blobs_;  // by digest: each once
  std::map<std::string, uint64_t> uploaded_;         // digest -> bytes; 0: it was there already
  ImportProgress progress_;
};

void Import::report(const Descriptor& blob, uint64_t blob_done) {
  if (!options_.on_progress) return;
  ImportProgress now = progress_;
  now.blob = blob.digest;
  now.blob_done = blob_done;
  now.blob_total = blob.size;
  now.done += blob_done;
  options_.on_progress(now);
}

Result<void> Import::send(Lease& lease, const PlannedBlob& blob, const Reader& read) {
  const Descriptor& descriptor = blob.descriptor;
  if (uploaded_.contains(descriptor.digest)) return {};
  const bool sent = TRY_AS(fmt::format("send blob '{}'", descriptor.digest),
                           lease.upload(descriptor, blob.labels, read, [&](uint64_t bytes) {
                             if (bytes < descriptor.size) report(descriptor, bytes);
                           }));
  if (!sent && !blob.labels.empty()) TRY(lease.label(descriptor.digest, blob.labels));
  uploaded_[descriptor.digest] = sent ? descriptor.size : 0;
  report(descriptor, descriptor.size);
  progress_.done += descriptor.size;
  return {};
}

Result<void> Import::send_files(Lease& lease) {
  std::map<std::string, const PlannedBlob*> by_path;
  std::set<std::string> missing;
  for (const auto& [digest, blob] : blobs_) {
    if (blob->content) continue;
    if (TRY_AS(fmt::format("look for blob '{}'", digest), lease.hold(digest))) {
      uploaded_[digest] = 0;
      report(blob->descriptor, blob->descriptor.size);
      progress_.done += blob->descriptor.size;
      continue;
    }
    by_path[blob->path] = blob;
    missing.insert(blob->path);
  }
  if (missing.empty()) return {};
  return source_.read_files(missing, [&](const std::string& path, const Reader& read) {
    return send(lease, *by_path.at(path), read);
  });
}

Result<void> Import::send_documents(Lease& lease, const PlannedImage& image) {
  for (const PlannedBlob& blob : image.blobs)
    if (blob.content) TRY(send(lease, blob, reader_of(*blob.content)));
  return {};
}

void Import::remove_images(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    ::containerd::services::images::v1::DeleteImageRequest request;
    request.set_name(name);
    google::protobuf::Empty reply;
    (void)rpc_.call("/containerd.services.images.v1.Images/Delete", request, reply);
  }
}

Result<std::vector<ImportedImage>> Import::put_images(const std::vector<PlannedImage>& images) {
  std::vector<ImportedImage> imported;
  std::vector<std::string> added;
  for (const PlannedImage& image : images) {
    Result<bool> put = put_image(rpc_, image.name, image.target, image_labels(options_.pinned));
    if (!put) {
      remove_images(added);
      return tl::make_unexpected(
          std::move(put).error().wrap(fmt::format("record image '{}'", image.name)));
    }
    if (*put) added.push_back(image.name);
    ImportedImage& result = imported.emplace_back(ImportedImage{image.name, image.target.digest});
    for (const PlannedBlob& blob : image.blobs) {
      result.size += blob.descriptor.size;
      result.uploaded += uploaded_[blob.descriptor.digest];
    }
  }
  return imported;
}

Result<std::vector<ImportedImage>> Import::run(const std::vector<PlannedImage>& images) {
  for (const PlannedImage& image : images)
    for (const PlannedBlob& blob : image.blobs)
      if (blobs_.emplace(blob.descriptor.digest, &blob).second)
        progress_.total += blob.descriptor.size;
  Lease lease = TRY(Lease::create(rpc_));
  TRY(send_files(lease));
  for (const PlannedImage& image : images) TRY(send_documents(lease, image));
  std::vector<ImportedImage> imported = TRY(put_images(images));
  lease.release();
  return imported;
}

}  // namespace

Result<std::vector<ImportedImage>> ContainerdClient::import_image(const std::string& source,
                                                                  const ImportOptions& options) {
  const std::unique_ptr<ImageSource> files =
      TRY_AS(fmt::format("import image '{}'", source), open_image_source(source));
  const std::vector<PlannedImage> images = TRY_AS("import", plan_images(*files, source, options));
  return Import(*impl_->rpc, *files, options).run(images).map_error([&](Error error) {
    return std::move(error).wrap(impl_->doing(fmt::format("import image '{}' into store", source)));
  });
}

}  // namespace conode::containerd
