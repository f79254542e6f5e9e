// SPDX-License-Identifier: Apache-2.0
#include "agent/job/image_spread.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <filesystem>
#include <utility>

#include "agent/base/file.h"

namespace conode::job {

void ImageSpread::import(const std::string& path, const std::string& name, Done done) {
  Job job{.question = {}, .file = {}, .done = std::move(done), .transfer = 0, .failures = {}};
  bus::ImportImage& order = *job.question.mutable_command()->mutable_import_image();
  order.set_name(name);
  std::error_code ignored;
  if (shared_machine_ || std::filesystem::is_directory(path, ignored)) {
    order.set_path(path);
  } else {
    order.set_file(fmt::format("image-{}", ++sent_));
    job.file = path;
  }
  add(std::move(job));
}

void ImageSpread::remove(const std::string& name, Done done) {
  Job job{.question = {}, .file = {}, .done = std::move(done), .transfer = 0, .failures = {}};
  job.question.mutable_command()->mutable_remove_image()->set_name(name);
  add(std::move(job));
}

void ImageSpread::add(Job job) {
  jobs_.push_back(std::move(job));
  if (jobs_.size() == 1) begin();
}

void ImageSpread::begin() {
  Job& job = jobs_.front();
  if (job.file.empty()) return ask();
  Result<uint64_t> transfer = send(job.file);
  if (transfer) {
    job.transfer = *transfer;
    return;
  }
  job.failures[0] = transfer.error().message();
  finish();
}

Result<uint64_t> ImageSpread::send(const std::string& file) {
  return bus_.send_file(jobs_.front().question.command().import_image().file(),
                        TRY(open_at(AT_FDCWD, file, O_RDONLY)));
}

void ImageSpread::on_delivered(const bus::FileDelivered& delivered) {
  if (jobs_.empty() || jobs_.front().transfer != delivered.transfer) return;
  for (const auto& [rank, why] : delivered.failed) jobs_.front().failures[rank] = why;
  ask();
}

void ImageSpread::ask() {
  constexpr std::chrono::minutes kPatience{5};
  const auto answered = [this](const bus::GatherResult& result) {
    if (jobs_.empty()) return;  // stopped
    Failures& failures = jobs_.front().failures;
    for (const auto& [rank, answer] : result.answers)
      if (answer.code() != 0) failures.try_emplace(rank, answer.text());
    for (const uint32_t rank : result.missing.ranks()) failures.try_emplace(rank, "no answer");
    finish();
  };
  if (const Result<void> asked = bus_.gather(jobs_.front().question, kPatience, answered); !asked) {
    jobs_.front().failures[0] = asked.error().message();
    finish();
  }
}

void ImageSpread::stop(const std::string& why) {
  for (const Job& job : std::exchange(jobs_, {})) job.done({{0, why}});
}

void ImageSpread::finish() {
  const Job job = std::move(jobs_.front());
  jobs_.pop_front();
  if (!jobs_.empty()) begin();
  job.done(job.failures);
}

}  // namespace conode::job
