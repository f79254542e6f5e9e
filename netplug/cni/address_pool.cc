// SPDX-License-Identifier: Apache-2.0
#include "netplug/cni/address_pool.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "agent/base/file.h"

namespace conode::cni {
namespace {

// A hint only: lost, stale or torn, it costs a few more symlink(2) calls.
constexpr const char* kNextFile = "next";

uint64_t read_next(int dir) {
  const Result<std::string> text = read_file(kNextFile, dir);
  uint64_t next = 0;
  if (text) (void)std::from_chars(text->data(), text->data() + text->size(), next);
  return next;
}

void write_next(int dir, uint64_t next) {
  const Result<UniqueFd> file = open_at(dir, kNextFile, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600);
  if (file) (void)write_all(file->get(), fmt::format("{:010}\n", next), kNextFile);
}

// Nobody (an empty Attachment) for an entry that is not ours; nothing for one that is gone.
std::optional<Attachment> holder_of(int dir, const std::string& name) {
  std::array<char, 4096> target{};
  const ssize_t length = ::readlinkat(dir, name.c_str(), target.data(), target.size());
  if (length < 0 && errno == ENOENT) return std::nullopt;
  if (length < 0) return Attachment{};
  return Attachment::parse({target.data(), static_cast<size_t>(length)}).value_or(Attachment{});
}

}  // namespace

uint64_t AddressPool::places() const {
  return range_.length >= 31 ? range_.size() : range_.size() - 2;
}

uint64_t AddressPool::capacity() const {
  if (!excluded_ || places() == 0) return places();
  return at(0) <= *excluded_ && *excluded_ <= at(places() - 1) ? places() - 1 : places();
}

Ipv4Address AddressPool::at(uint64_t index) const {
  const uint32_t first = range_.length >= 31 ? 0 : 1;
  return {range_.network().value + first + static_cast<uint32_t>(index)};
}

Result<UniqueFd> AddressPool::open_directory() const {
  Result<UniqueFd> opened = open_at(AT_FDCWD, directory_, O_PATH | O_DIRECTORY);
  if (opened || !opened.error().is(std::errc::no_such_file_or_directory)) return opened;
  TRY(make_dirs(directory_));
  return open_at(AT_FDCWD, directory_, O_PATH | O_DIRECTORY);
}

Result<std::optional<Ipv4Address>> AddressPool::reserve(const Attachment& holder) const {
  const UniqueFd dir = TRY(open_directory());
  const uint64_t start = read_next(dir.get());
  for (uint64_t i = 0; i < places(); ++i) {
    const uint64_t index = (start + i) % places();
    if (at(index) == excluded_) continue;
    const std::string name = at(index).text();
    if (::symlinkat(holder.text().c_str(), dir.get(), name.c_str()) == 0) {
      write_next(dir.get(), index + 1);
      return at(index);
    }
    if (errno != EEXIST)
      return errno_failure(fmt::format("reserve address '{}' in '{}'", name, directory_));
  }
  return std::nullopt;
}

Result<bool> AddressPool::release(const Reservation& reservation) const {
  const std::string path = directory_ + "/" + reservation.address.text();
  if (holder_of(AT_FDCWD, path) != reservation.holder) return false;
  if (::unlink(path.c_str()) == 0) return true;
  if (errno == ENOENT) return false;
  return errno_failure(fmt::format("release address '{}'", path));
}

Result<std::vector<Reservation>> AddressPool::list() const {
  std::vector<Reservation> reservations;
  const Result<std::vector<std::string>> names = list_dir(directory_);
  if (!names) {
    if (names.error().is(std::errc::no_such_file_or_directory)) return reservations;
    return tl::make_unexpected(names.error());
  }
  const UniqueFd dir = TRY(open_at(AT_FDCWD, directory_, O_PATH | O_DIRECTORY));
  for (const std::string& name : *names) {
    const Result<Ipv4Address> address = Ipv4Address::parse(name);
    if (!address) continue;
    if (std::optional<Attachment> holder = holder_of(dir.get(), name))
      reservations.push_back({*address, std::move(*holder)});
  }
  return reservations;
}

Result<uint64_t> AddressPool::count_free() const {
  const UniqueFd dir = TRY(open_directory());
  if (::faccessat(dir.get(), ".", W_OK | X_OK, AT_EACCESS) != 0)
    return errno_failure(fmt::format("write to directory '{}'", directory_));
  const std::vector<Reservation> taken = TRY(list());
  const auto used = std::count_if(taken.begin(), taken.end(), [this](const Reservation& r) {
    return range_.contains(r.address);
  });
  return capacity() - std::min(static_cast<uint64_t>(used), capacity());
}

}  // namespace conode::cni
