// SPDX-License-Identifier: Apache-2.0
// Two passes: measure() from the leaves up finds the smallest size of each box and how many columns
// its children take; place() from the root down gives each box its frame, stretched so that
// neighbours line up.
#include "agent/topology/svg_layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace conode::svg {
namespace {

// Width by height that the children of a box of this kind should come near to.
double wanted_aspect(Kind kind) {
  switch (kind) {
    case Kind::machine:
      return 1.5;
    case Kind::package:
      return 2.4;
    case Kind::numa:
      return 1.6;
    default:
      return 2.2;
  }
}

struct Size {
  double width = 0, height = 0;
};

Size grid_size(const std::vector<Element>& children, size_t columns) {
  Size cell;
  for (const Element& child : children) {
    cell.width = std::max(cell.width, child.frame.width);
    cell.height = std::max(cell.height, child.frame.height);
  }
  const auto across = static_cast<double>(columns);
  const size_t full_rows = (children.size() + columns - 1) / columns;
  const auto rows = static_cast<double>(full_rows);
  return {across * cell.width + (across - 1) * kGap, rows * cell.height + (rows - 1) * kGap};
}

size_t best_columns(const std::vector<Element>& children, Kind kind) {
  size_t best = 1;
  double best_badness = 1e9;
  for (size_t columns = 1; columns <= children.size(); ++columns) {
    const Size size = grid_size(children, columns);
    double badness = std::abs(std::log(size.width / size.height / wanted_aspect(kind)));
    if (children.size() % columns != 0) badness += 0.5;  // a ragged last row
    if (badness >= best_badness) continue;
    best = columns;
    best_badness = badness;
  }
  return best;
}

double chip_width(const Chip& chip) { return text_width(chip_text(*chip.device), 11) + 22; }

// Lays chips in rows of `width` from (x, y) on; returns the height of the rows.
double flow_chips(std::vector<Chip>& chips, double x, double y, double width) {
  double at = 0;
  double row = 0;
  for (Chip& chip : chips) {
    const double wide = chip_width(chip);
    if (at > 0 && at + wide > width) {
      at = 0;
      row += kChipHeight + 5;
    }
    chip.frame = {x + at, y + row, wide, kChipHeight};
    at += wide + 6;
  }
  return chips.empty() ? 0 : row + kChipHeight;
}

double top_of_children(const Element& e, const Topology& topology) {
  if (e.kind == Kind::machine) return 0;
  if (!has_frame(e, topology)) return 0;
  const double bars = static_cast<double>(e.memories.size()) * (kBarTitle + kBar + 4);
  return kPadding + (e.kind == Kind::numa ? 0 : kHeader - 4) + bars + (bars > 0 ? 4 : 0);
}

double side(const Element& e, const Topology& topology) {
  return e.kind != Kind::machine && has_frame(e, topology) ? kPadding : 0;
}

// The title of a box, at least as long as the drawing's shortest form of it.
double title_width(const Element& e) { return e.kind == Kind::cache ? 70 : 190; }

Size core_size(const Core& core) {
  const int threads = core.cpus.count();
  const int across = std::min(threads, kThreadsPerRow);
  const int rows = (threads + kThreadsPerRow - 1) / kThreadsPerRow;
  const double wide = across * kThreadWidth + (across - 1) * 2 + 2 * kCorePadding;
  return {std::max(wide, 46.0), kCoreHeader + rows * kThreadHeight + (rows - 1) * 2 + kCorePadding};
}

void measure(Element& e, const Topology& topology) {
  if (e.kind == Kind::core) {
    const Size size = core_size(topology.cores()[static_cast<size_t>(e.index)]);
    e.frame = {0, 0, size.width, size.height};
    return;
  }
  for (Element& child : e.children) measure(child, topology);
  e.columns = best_columns(e.children, e.kind);
  const Size grid = grid_size(e.children, e.columns);
  const double margin = side(e, topology);
  double inside = std::max(grid.width, margin > 0 ? title_width(e) : 0);
  for (const Chip& chip : e.chips) inside = std::max(inside, chip_width(chip));
  const double chips = flow_chips(e.chips, 0, 0, inside);
  e.frame.width = inside + 2 * margin;
  e.frame.height =
      top_of_children(e, topology) + grid.height + (chips > 0 ? chips + kGap : 0) + margin;
}

void place(Element& e, const Topology& topology, const Frame& frame) {
  e.frame = frame;
  if (e.kind == Kind::core || e.children.empty()) return;
  const double margin = side(e, topology);
  const double top = top_of_children(e, topology);
  const double inside = frame.width - 2 * margin;
  const double chips = flow_chips(e.chips, 0, 0, inside);
  const double bottom = margin + (chips > 0 ? chips + kGap : 0);

  const Size grid = grid_size(e.children, e.columns);
  const size_t rows = (e.children.size() + e.columns - 1) / e.columns;
  const auto across = static_cast<double>(e.columns);
  const auto down = static_cast<double>(rows);
  const bool stretch = e.children.front().kind != Kind::core;
  const double width = stretch ? inside : grid.width;
  // A cache is as high as its cores need: what is left over belongs to the box around it.
  const bool heighten = stretch && e.children.front().kind != Kind::cache;
  const double height = heighten ? frame.height - top - bottom : grid.height;
  flow_chips(e.chips, frame.x + margin, frame.y + top + height + kGap, inside);
  const Size cell{(width - (across - 1) * kGap) / across, (height - (down - 1) * kGap) / down};
  const double x = frame.x + margin + (inside - width) / 2;
  for (size_t i = 0; i < e.children.size(); ++i) {
    const auto column = static_cast<double>(i % e.columns);
    const size_t row_number = i / e.columns;
    const auto row = static_cast<double>(row_number);
    place(e.children[i], topology,
          {x + column * (cell.width + kGap), frame.y + top + row * (cell.height + kGap), cell.width,
           cell.height});
  }
}

// Package, NUMA node and cache, the one with the fewest groups outermost: a NUMA node may hold
// several packages, a cache several NUMA nodes.
std::vector<Kind> nesting(const Topology& topology) {
  struct Level {
    Kind kind;
    size_t groups;
  };
  CpuSet homes;
  for (const Core& core : topology.cores()) homes.add(core.numa);
  std::array<Level, 3> levels = {{{Kind::package, topology.packages().size()},
                                  {Kind::numa, static_cast<size_t>(homes.count())},
                                  {Kind::cache, topology.caches().size()}}};
  std::stable_sort(levels.begin(), levels.end(),
                   [](const Level& a, const Level& b) { return a.groups < b.groups; });
  return {levels[0].kind, levels[1].kind, levels[2].kind, Kind::core};
}

int group_of(const Core& core, Kind kind) {
  switch (kind) {
    case Kind::package:
      return core.package;
    case Kind::numa:
      return core.numa;
    case Kind::cache:
      return core.cache;
    default:
      return core.index;
  }
}

void add_core(Element& root, const Core& core, const std::vector<Kind>& kinds) {
  Element* above = &root;
  for (const Kind kind : kinds) {
    const int index = group_of(core, kind);
    auto at = std::find_if(above->children.begin(), above->children.end(),
                           [&](const Element& e) { return e.index == index; });
    if (at == above->children.end())
      at = above->children.insert(above->children.end(), Element{.kind = kind, .index = index});
    above = &*at;
  }
}

Element* find_numa(Element& e, int index) {
  if (e.kind == Kind::numa && e.index == index) return &e;
  for (Element& child : e.children)
    if (Element* found = find_numa(child, index)) return found;
  return nullptr;
}

// Memory that is nobody's nearest (MCDRAM beside DRAM) goes to the box of the same CPUs.
void add_memories(Element& root, const Topology& topology) {
  const auto& nodes = topology.numa_nodes();
  for (size_t i = 0; i < nodes.size(); ++i) {
    Element* box = find_numa(root, static_cast<int>(i));
    for (size_t k = 0; box == nullptr && k < nodes.size(); ++k)
      if (nodes[k].cpus == nodes[i].cpus) box = find_numa(root, static_cast<int>(k));
    (box != nullptr ? *box : root).memories.push_back(static_cast<int>(i));
  }
}

void add_chips(Element& root, const Topology& topology) {
  for (const Device& device : topology.devices()) {
    Element* box = nullptr;
    if (device.numa_nodes.size() == 1)
      for (size_t i = 0; i < topology.numa_nodes().size(); ++i)
        if (topology.numa_nodes()[i].os_index == device.numa_nodes.front())
          box = find_numa(root, static_cast<int>(i));
    (box != nullptr ? *box : root).chips.push_back({.device = &device});
  }
}

}  // namespace

double text_width(std::string_view text, double size) {
  return static_cast<double>(text.size()) * size * 0.62;
}

std::string chip_text(const Device& device) {
  return fmt::format("{} {}", to_string(device.kind), device.name);
}

bool has_frame(const Element& e, const Topology& topology) {
  if (e.kind != Kind::cache) return true;
  return topology.caches()[static_cast<size_t>(e.index)].level > 0;
}

Element layout(const Topology& topology, double x, double y, double min_width) {
  Element root;
  const std::vector<Kind> kinds = nesting(topology);
  for (const Core& core : topology.cores()) add_core(root, core, kinds);
  add_memories(root, topology);
  add_chips(root, topology);
  measure(root, topology);
  const double extra = static_cast<double>(root.memories.size()) * (kBarTitle + kBar + 4);
  place(root, topology, {x, y, std::max(root.frame.width, min_width), root.frame.height + extra});
  return root;
}

}  // namespace conode::svg
