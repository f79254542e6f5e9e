// SPDX-License-Identifier: Apache-2.0
#include "agent/topology/cpu_set.h"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>

namespace conode {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const size_t from = text.find_first_not_of(kBlank);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlank) - from + 1);
}

// Decimal digits only; nothing for other text and for numbers from CpuSet::kLimit on.
std::optional<int> parse_index(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return {};
  if (value >= CpuSet::kLimit) return {};
  return value;
}

}  // namespace

void CpuSet::Free::operator()(hwloc_bitmap_s* bitmap) const { ::hwloc_bitmap_free(bitmap); }

CpuSet::CpuSet(hwloc_bitmap_s* bitmap) : bitmap_(bitmap) {
  if (bitmap == nullptr) std::abort();  // out of memory: nothing above could go on
}

CpuSet::CpuSet() : CpuSet(::hwloc_bitmap_alloc()) {}

CpuSet::CpuSet(std::initializer_list<int> cpus) : CpuSet() {
  for (const int cpu : cpus) add(cpu);
}

CpuSet::CpuSet(const std::vector<int>& cpus) : CpuSet() {
  for (const int cpu : cpus) add(cpu);
}

CpuSet::CpuSet(const cpu_set_t& mask) : CpuSet() {
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<size_t>(cpu), &mask)) add(cpu);
}

CpuSet::CpuSet(const CpuSet& other) : CpuSet(::hwloc_bitmap_dup(other.bitmap_.get())) {}

CpuSet& CpuSet::operator=(const CpuSet& other) {
  if (this != &other) *this = CpuSet(other);
  return *this;
}

CpuSet CpuSet::copy_of(const hwloc_bitmap_s* bitmap) { return CpuSet(::hwloc_bitmap_dup(bitmap)); }

Result<CpuSet> CpuSet::parse(std::string_view list) {
  CpuSet set;
  std::string_view rest = trimmed(list);
  const auto refuse = [&](std::string_view token) {
    return failure(
        fmt::format("parse CPU list '{}': '{}' is no CPU number or range", trimmed(list), token),
        fmt::format("write numbers below {} as in 0-3,8", kLimit));
  };
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view token = rest.substr(0, comma);
    const size_t dash = token.find('-');
    if (token.empty() || dash == 0) return refuse(token);
    const std::optional<int> from = parse_index(token.substr(0, dash));
    std::optional<int> to = from;
    if (dash != std::string_view::npos)
      to = dash + 1 < token.size() ? parse_index(token.substr(dash + 1)) : std::nullopt;
    if (!from || !to || *to < *from) return refuse(token);
    if (::hwloc_bitmap_set_range(set.bitmap_.get(), static_cast<unsigned>(*from), *to) != 0)
      return errno_failure(fmt::format("parse CPU list '{}'", trimmed(list)));
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
    if (rest.empty()) return refuse(rest);
  }
  return set;
}

std::string CpuSet::to_string() const {
  const int length = ::hwloc_bitmap_list_snprintf(nullptr, 0, bitmap_.get());
  if (length <= 0) return {};
  std::string text(static_cast<size_t>(length) + 1, '\0');
  ::hwloc_bitmap_list_snprintf(text.data(), text.size(), bitmap_.get());
  text.pop_back();
  return text;
}

std::vector<int> CpuSet::to_vector() const {
  std::vector<int> cpus;
  for (const int cpu : *this) cpus.push_back(cpu);
  return cpus;
}

cpu_set_t CpuSet::to_cpu_set() const {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int cpu : *this)
    if (cpu < CPU_SETSIZE) CPU_SET(static_cast<size_t>(cpu), &mask);
  return mask;
}

bool CpuSet::empty() const { return ::hwloc_bitmap_iszero(bitmap_.get()) != 0; }
int CpuSet::count() const { return std::max(0, ::hwloc_bitmap_weight(bitmap_.get())); }
int CpuSet::first() const { return ::hwloc_bitmap_first(bitmap_.get()); }
int CpuSet::last() const { return ::hwloc_bitmap_last(bitmap_.get()); }

bool CpuSet::contains(int cpu) const {
  return cpu >= 0 && ::hwloc_bitmap_isset(bitmap_.get(), static_cast<unsigned>(cpu)) != 0;
}

bool CpuSet::contains(const CpuSet& other) const {
  return ::hwloc_bitmap_isincluded(other.bitmap_.get(), bitmap_.get()) != 0;
}

bool CpuSet::intersects(const CpuSet& other) const {
  return ::hwloc_bitmap_intersects(bitmap_.get(), other.bitmap_.get()) != 0;
}

bool CpuSet::equals(const CpuSet& other) const {
  return ::hwloc_bitmap_isequal(bitmap_.get(), other.bitmap_.get()) != 0;
}

void CpuSet::add(int cpu) {
  if (cpu >= 0) ::hwloc_bitmap_set(bitmap_.get(), static_cast<unsigned>(cpu));
}

void CpuSet::remove(int cpu) {
  if (cpu >= 0) ::hwloc_bitmap_clr(bitmap_.get(), static_cast<unsigned>(cpu));
}

CpuSet& CpuSet::operator|=(const CpuSet& other) {
  ::hwloc_bitmap_or(bitmap_.get(), bitmap_.get(), other.bitmap_.get());
  return *this;
}

CpuSet& CpuSet::operator&=(const CpuSet& other) {
  ::hwloc_bitmap_and(bitmap_.get(), bitmap_.get(), other.bitmap_.get());
  return *this;
}

CpuSet& CpuSet::operator-=(const CpuSet& other) {
  ::hwloc_bitmap_andnot(bitmap_.get(), bitmap_.get(), other.bitmap_.get());
  return *this;
}

CpuSet::Iterator& CpuSet::Iterator::operator++() {
  cpu_ = ::hwloc_bitmap_next(set_->bitmap_.get(), cpu_);
  return *this;
}

}  // namespace conode
