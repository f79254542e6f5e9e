// SPDX-License-Identifier: Apache-2.0
// Private to this folder: where each object of the picture lies. Pure. Units: SVG pixels.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/topology/plan.h"
#include "agent/topology/topology.h"

namespace conode::svg {

enum class Kind { machine, package, numa, cache, core };

struct Frame {
  double x = 0, y = 0, width = 0, height = 0;
};

struct Chip {  // a device
  const Device* device = nullptr;
  Frame frame;
};

// One box and what is in it. Children are drawn after their parent.
struct Element {
  Kind kind = Kind::machine;
  int index = 0;  // in cores(), caches(), numa_nodes(), packages()
  Frame frame;
  std::vector<int> memories;  // indexes of numa_nodes(): a bar each, from the top
  std::vector<Element> children;
  std::vector<Chip> chips;  // from the bottom
  size_t columns = 1;
};

inline constexpr double kPadding = 9;
inline constexpr double kGap = 8;
inline constexpr double kHeader = 22;  // a title line
inline constexpr double kBar = 22;     // a memory bar
inline constexpr double kBarTitle = 15;
inline constexpr double kThreadWidth = 24;
inline constexpr double kThreadHeight = 19;
inline constexpr int kThreadsPerRow = 4;
inline constexpr double kCoreHeader = 14;
inline constexpr double kCorePadding = 3;
inline constexpr double kChipHeight = 22;

// What a text of this font size takes, for the wide sans-serif fonts that are asked for.
[[nodiscard]] double text_width(std::string_view text, double size);
// "GPU cuda0"
[[nodiscard]] std::string chip_text(const Device& device);
// Has this box a frame and a title of its own? Not where it only groups.
[[nodiscard]] bool has_frame(const Element& element, const Topology& topology);

// The whole machine with its top left corner at (x, y), at least `min_width` wide.
[[nodiscard]] Element layout(const Topology& topology, double x, double y, double min_width);

}  // namespace conode::svg
