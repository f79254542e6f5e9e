// SPDX-License-Identifier: Apache-2.0
// A set of CPU numbers (or of NUMA node numbers), as the kernel numbers them: hwloc's OS index.
// A value over an hwloc bitmap. Pure; one object by one thread at a time.
#pragma once

#include <sched.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "agent/base/result.h"

struct hwloc_bitmap_s;

namespace conode {

class CpuSet {
 public:
  // The kernel's largest NR_CPUS; parse() refuses larger numbers.
  static constexpr int kLimit = 8192;

  CpuSet();  // empty
  CpuSet(std::initializer_list<int> cpus);
  explicit CpuSet(const std::vector<int>& cpus);
  explicit CpuSet(const cpu_set_t& mask);
  CpuSet(const CpuSet& other);
  CpuSet& operator=(const CpuSet& other);
  CpuSet(CpuSet&&) noexcept = default;
  CpuSet& operator=(CpuSet&&) noexcept = default;
  ~CpuSet() = default;

  // The kernel's list format, "0-3,8", as in cpuset.cpus.effective and Cpus_allowed_list
  // (cpuset(7), FORMATS, without strides); white space around it is skipped. Empty text is the
  // empty set. Fails with the text and the place that is wrong.
  [[nodiscard]] static Result<CpuSet> parse(std::string_view list);
  // A copy of hwloc's bitmap, which must be finite.
  [[nodiscard]] static CpuSet copy_of(const hwloc_bitmap_s* bitmap);

  [[nodiscard]] std::string to_string() const;       // "0-3,8"; "" when empty
  [[nodiscard]] std::vector<int> to_vector() const;  // ascending
  // For sched_setaffinity(2). CPUs from CPU_SETSIZE (1024) on do not fit and are left out;
  // Topology::load() refuses a machine that has such.
  [[nodiscard]] cpu_set_t to_cpu_set() const;
  [[nodiscard]] const hwloc_bitmap_s* bitmap() const { return bitmap_.get(); }

  [[nodiscard]] bool empty() const;
  [[nodiscard]] int count() const;
  [[nodiscard]] int first() const;  // -1 when empty
  [[nodiscard]] int last() const;   // -1 when empty
  [[nodiscard]] bool contains(int cpu) const;
  [[nodiscard]] bool contains(const CpuSet& other) const;  // every member of `other`
  [[nodiscard]] bool intersects(const CpuSet& other) const;

  void add(int cpu);
  void remove(int cpu);
  CpuSet& operator|=(const CpuSet& other);
  CpuSet& operator&=(const CpuSet& other);
  CpuSet& operator-=(const CpuSet& other);

  friend CpuSet operator|(CpuSet a, const CpuSet& b) { return std::move(a |= b); }
  friend CpuSet operator&(CpuSet a, const CpuSet& b) { return std::move(a &= b); }
  friend CpuSet operator-(CpuSet a, const CpuSet& b) { return std::move(a -= b); }
  friend bool operator==(const CpuSet& a, const CpuSet& b) { return a.equals(b); }

  // Ascending, for range-based for.
  class Iterator {
   public:
    Iterator(const CpuSet* set, int cpu) : set_(set), cpu_(cpu) {}
    int operator*() const { return cpu_; }
    Iterator& operator++();
    bool operator==(const Iterator& other) const { return cpu_ == other.cpu_; }

   private:
    const CpuSet* set_;
    int cpu_;
  };
  [[nodiscard]] Iterator begin() const { return {this, first()}; }
  [[nodiscard]] Iterator end() const { return {this, -1}; }

 private:
  struct Free {
    void operator()(hwloc_bitmap_s* bitmap) const;
  };
  explicit CpuSet(hwloc_bitmap_s* bitmap);
  [[nodiscard]] bool equals(const CpuSet& other) const;

  std::unique_ptr<hwloc_bitmap_s, Free> bitmap_;  // never null, but in a moved-from object
};

}  // namespace conode
