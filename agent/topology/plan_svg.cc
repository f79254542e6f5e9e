// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "agent/topology/memory_split.h"
#include "agent/topology/plan.h"
#include "agent/topology/svg_layout.h"

namespace conode {
namespace {

using svg::Element;
using svg::Frame;
using svg::Kind;

struct Colour {
  const char* strong;
  const char* soft;
};
// Told apart also by colour-blind readers, and in grey print by their brightness.
constexpr Colour kHpc = {"#1f5fa8", "#dce9f7"};
constexpr Colour kK8s = {"#e07b00", "#fdebd3"};
constexpr Colour kBoth = {"#7b4a86", "#f0e6f2"};
constexpr Colour kIdle = {"#9aa5b1", "#eef0f2"};
constexpr const char* kInk = "#1f2933";
constexpr const char* kMuted = "#5f6c7b";

constexpr double kMargin = 24;
constexpr double kCardHeight = 62;
constexpr double kMinWidth = 640;

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(c) >= 0x20) out += c;
    }
  }
  return out;
}

std::string clipped(std::string text, double width, double size) {
  const auto fits = static_cast<size_t>(std::max(4.0, width / (size * 0.58)));
  if (text.size() > fits) text = text.substr(0, fits - 3) + "...";
  return text;
}

// "Intel(R) Xeon(R) CPU E5-2650" without what only takes room.
std::string plain_model(std::string model) {
  for (const std::string_view noise : {"(R)", "(TM)", "(tm)", " CPU", " Processor"})
    for (size_t at; (at = model.find(noise)) != std::string::npos;) model.erase(at, noise.size());
  return model;
}

class Drawing {
 public:
  Drawing(const Plan& plan, const Topology& topology) : plan_(plan), topology_(topology) {}

  std::string document() {
    const double top = kMargin + 34 + kCardHeight + 20;
    const Element root = svg::layout(topology_, kMargin, top, kMinWidth - 2 * kMargin);
    const double width = root.frame.width + 2 * kMargin;
    draw(root);
    const double bottom = draw_remarks(root.frame.y + root.frame.height + 20, width);
    const std::string body = std::move(out_);
    out_.clear();
    draw_head(width);
    return fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
        "width=\"{0:.0f}\" height=\"{1:.0f}\" font-family=\"DejaVu Sans, Verdana, Helvetica, "
        "Arial, "
        "sans-serif\">\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{2}{3}</svg>\n",
        width, bottom, out_, body);
  }

 private:
  void rect(const Frame& f, std::string_view fill, std::string_view stroke, double radius = 4,
            std::string_view title = {}) {
    out_ += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"{:.1f}\" "
        "fill=\"{}\" stroke=\"{}\"",
        f.x, f.y, f.width, f.height, radius, fill, stroke);
    out_ += title.empty() ? "/>\n" : fmt::format("><title>{}</title></rect>\n", escaped(title));
  }

  void text(double x, double y, double size, std::string_view colour, std::string_view content,
            std::string_view more = {}) {
    out_ +=
        fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" fill=\"{}\"{}{}>{}</text>\n",
                    x, y, size, colour, more.empty() ? "" : " ", more, escaped(content));
  }

  [[nodiscard]] Colour colour_of(const CpuSet& cpus) const {
    if (plan_.shared) return kBoth;
    if (plan_.k8s.cpus.intersects(cpus)) return kK8s;
    return plan_.hpc.cpus.intersects(cpus) ? kHpc : kIdle;
  }

  [[nodiscard]] Colour colour_of(const Device& device) const {
    const auto has = [&](const std::vector<Device>& devices) {
      return std::any_of(devices.begin(), devices.end(), [&](const Device& d) {
        return d.name == device.name && d.pci == device.pci;
      });
    };
    if (has(plan_.k8s.devices)) return kK8s;
    return has(plan_.hpc.devices) ? kHpc : kIdle;
  }

  void draw(const Element& e) {
    if (e.kind == Kind::core) return draw_core(e);
    if (e.kind != Kind::machine && svg::has_frame(e, topology_)) draw_frame(e);
    double y = e.kind == Kind::machine
                   ? e.frame.y + e.frame.height -
                         static_cast<double>(e.memories.size()) * (svg::kBarTitle + svg::kBar + 4)
                   : e.frame.y + svg::kPadding;
    for (const int node : e.memories) {
      const double margin = e.kind == Kind::machine ? 0 : svg::kPadding;
      draw_memory({e.frame.x + margin, y, e.frame.width - 2 * margin, svg::kBar}, node);
      y += svg::kBarTitle + svg::kBar + 4;
    }
    for (const Element& child : e.children) draw(child);
    for (const svg::Chip& chip : e.chips) draw_chip(chip);
  }

  void draw_frame(const Element& e) {
    const auto index = static_cast<size_t>(e.index);
    const double x = e.frame.x + svg::kPadding;
    const double inside = e.frame.width - 2 * svg::kPadding;
    if (e.kind == Kind::package) {
      const Package& package = topology_.packages()[index];
      rect(e.frame, "#f3f5f7", "#8793a0", 7);
      const std::string name = fmt::format("Package {}", std::max(0, package.os_index));
      text(x, e.frame.y + 19, 13, kInk, name, "font-weight=\"bold\"");
      const double after = svg::text_width(name, 13) + 16;
      text(x + after, e.frame.y + 19, 11, kMuted,
           clipped(plain_model(package.model), inside - after, 11));
    } else if (e.kind == Kind::numa) {
      rect(e.frame, "#ffffff", "#b4bec8", 6);
    } else {
      const Cache& cache = topology_.caches()[index];
      rect(e.frame, "#f7f8f9", "#cbd2d9", 5);
      text(x, e.frame.y + 17, 11, kMuted,
           fmt::format("L{} {}", cache.level, cache.bytes > 0 ? bytes_text(cache.bytes) : ""));
    }
  }

  void draw_core(const Element& e) {
    const Core& core = topology_.cores()[static_cast<size_t>(e.index)];
    const Colour colour = colour_of(core.cpus);
    const std::string name =
        fmt::format("core {}", core.os_index >= 0 ? core.os_index : core.index);
    rect(e.frame, colour.soft, colour.strong, 4,
         fmt::format("{}: CPUs {}", name, core.cpus.to_string()));
    const double middle = e.frame.x + e.frame.width / 2;
    text(middle, e.frame.y + 10.5, 8.5, kInk, name, "text-anchor=\"middle\"");
    const int threads = core.cpus.count();
    int i = 0;
    for (const int cpu : core.cpus) {
      const int row = i / svg::kThreadsPerRow;
      const int across = std::min(threads, svg::kThreadsPerRow);
      const double wide = (e.frame.width - 2 * svg::kCorePadding - (across - 1) * 2) / across;
      const Frame f{e.frame.x + svg::kCorePadding + (i % svg::kThreadsPerRow) * (wide + 2),
                    e.frame.y + svg::kCoreHeader + row * (svg::kThreadHeight + 2), wide,
                    svg::kThreadHeight};
      rect(f, colour.strong, "none", 2.5);
      text(f.x + f.width / 2, f.y + 13.5, cpu < 100 ? 10.5 : 9.5, "#ffffff", std::to_string(cpu),
           "text-anchor=\"middle\" font-weight=\"bold\"");
      ++i;
    }
  }

  static uint64_t memory_at(const Part& part, int node) {
    for (const NodeMemory& m : part.memory_by_node)
      if (m.node == node) return m.bytes;
    return 0;
  }

  void draw_memory(const Frame& place, int index) {
    const NumaNode& node = topology_.numa_nodes()[static_cast<size_t>(index)];
    const uint64_t k8s = memory_at(plan_.k8s, node.os_index);
    const uint64_t hpc = memory_at(plan_.hpc, node.os_index);
    const std::string name = fmt::format("NUMA node {}", node.os_index);
    text(place.x, place.y + 9, 11, kInk, name, "font-weight=\"bold\"");
    text(place.x + svg::text_width(name, 11) + 14, place.y + 9, 11, kMuted,
         fmt::format("{}{}{}", k8s + hpc > 0 ? bytes_text(k8s + hpc) : "of unknown size",
                     node.kind.empty() ? "" : " ", node.kind));
    const auto all = static_cast<double>(k8s + hpc);
    const Frame bar{place.x, place.y + svg::kBarTitle, place.width, svg::kBar};
    const double left = all > 0 ? bar.width * static_cast<double>(k8s) / all : 0;
    if (k8s > 0) draw_amount({bar.x, bar.y, left, bar.height}, kK8s, k8s, "Kubernetes");
    if (hpc > 0) draw_amount({bar.x + left, bar.y, bar.width - left, bar.height}, kHpc, hpc, "HPC");
    if (all == 0) rect(bar, kIdle.soft, kIdle.strong, 0, "unknown size");
  }

  void draw_amount(const Frame& f, const Colour& colour, uint64_t bytes, std::string_view part) {
    const std::string amount = bytes_text(bytes);
    rect(f, colour.soft, colour.strong, 0, fmt::format("{}: {}", part, amount));
    if (svg::text_width(amount, 11) + 4 < f.width)
      text(f.x + f.width / 2, f.y + 15, 11, kInk, amount, "text-anchor=\"middle\"");
  }

  void draw_chip(const svg::Chip& chip) {
    const Device& device = *chip.device;
    const Colour colour = colour_of(device);
    const Frame& f = chip.frame;
    rect(f, colour.soft, colour.strong, f.height / 2,
         fmt::format("{} {}{}{} {} {}", to_string(device.kind), device.name,
                     device.alias.empty() ? "" : ", ", device.alias, device.model, device.pci));
    text(f.x + f.width / 2, f.y + 15, 11, kInk, svg::chip_text(device), "text-anchor=\"middle\"");
  }

  void draw_head(double width) {
    const double wide = (width - 2 * kMargin - 14) / 2;
    text(kMargin, kMargin + 16, 19, kInk,
         plan_.shared ? "1 core of one node, shared by MPI and Kubernetes"
                      : fmt::format("{} cores of one node: {} for MPI, {} for Kubernetes",
                                    topology_.cores().size(), plan_.hpc.cores, plan_.k8s.cores),
         "font-weight=\"bold\"");
    const double y = kMargin + 34;
    draw_card({kMargin, y, wide, kCardHeight}, plan_.shared ? kBoth : kHpc, "HPC part", plan_.hpc);
    draw_card({kMargin + wide + 14, y, wide, kCardHeight}, plan_.shared ? kBoth : kK8s,
              "Kubernetes", plan_.k8s);
  }

  // "12 cores, 48 GiB, 5 devices"
  static std::string holdings(const Part& part) {
    std::string line = fmt::format("{} core{}", part.cores, part.cores == 1 ? "" : "s");
    if (part.memory > 0) line += ", " + bytes_text(part.memory);
    const size_t devices = part.devices.size();
    if (devices > 0) line += fmt::format(", {} device{}", devices, devices == 1 ? "" : "s");
    return line;
  }

  void draw_card(const Frame& f, const Colour& colour, std::string_view name, const Part& part) {
    rect(f, colour.soft, "none", 6);
    rect({f.x, f.y, 8, f.height}, colour.strong, "none", 3);
    const double x = f.x + 20;
    const double inside = f.width - 30;
    text(x, f.y + 19, 13, kInk, name, "font-weight=\"bold\"");
    text(x, f.y + 36, 11.5, kInk,
         clipped(part.cores == 0 ? "nothing" : holdings(part), inside, 11.5));
    if (part.cores > 0)
      text(x, f.y + 52, 11, kMuted,
           clipped(fmt::format("CPUs {}", part.cpus.to_string()), inside, 11));
  }

  // Warnings and notes, wrapped; returns the bottom of the picture.
  double draw_remarks(double y, double width) {
    const auto line_length = static_cast<size_t>((width - 2 * kMargin) / (11 * 0.6));
    const auto draw_lines = [&](const std::string& remark, std::string_view colour) {
      std::string_view rest = remark;
      while (!rest.empty()) {
        size_t cut = rest.size() <= line_length ? rest.size() : rest.rfind(' ', line_length);
        if (cut == std::string_view::npos || cut == 0) cut = std::min(rest.size(), line_length);
        text(kMargin, y, 11, colour, rest.substr(0, cut));
        rest.remove_prefix(std::min(rest.size(), cut + 1));
        y += 16;
      }
    };
    for (const std::string& warning : plan_.warnings) draw_lines("Warning: " + warning, "#b42318");
    if (!plan_.common_devices.empty())
      draw_lines("Devices in grey are reached by both parts", kMuted);
    for (const std::string& note : plan_.notes) draw_lines(note, kMuted);
    return y + 10;
  }

  const Plan& plan_;
  const Topology& topology_;
  std::string out_;
};

}  // namespace

std::string to_svg(const Plan& plan, const Topology& topology) {
  return Drawing(plan, topology).document();
}

}  // namespace conode
