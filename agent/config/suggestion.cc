// SPDX-License-Identifier: Apache-2.0
#include "agent/config/suggestion.h"

#include <fmt/format.h>

#include <algorithm>

namespace conode::config {
namespace {

// Words longer than this are no typing mistakes, and the distance costs their product.
constexpr size_t kLongestWord = 64;

size_t tolerance(std::string_view word) {
  return std::max<size_t>(1, std::min<size_t>(word.size() / 3, 3));
}

std::string normalized(std::string_view word) {
  std::string text = lower_case(word);
  std::replace(text.begin(), text.end(), '-', '_');
  return text;
}

std::string remedy_for(const Key& key, const std::string& section) {
  if (key.section_name() == section) return fmt::format("did you mean '{}'?", key.name());
  if (key.section == nullptr)
    return fmt::format("did you mean '{}'? It stands at the top of the file", key.name());
  return fmt::format("did you mean '{}'? It stands under '{}:'", key.name(), key.section_name());
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last;
  std::vector<size_t> last(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::vector<size_t> row(b.size() + 1, i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitution = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, substitution});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
    before_last = std::move(last);
    last = std::move(row);
  }
  return last[b.size()];
}

std::optional<std::string> suggest_key(const std::vector<Key>& keys, const std::string& section,
                                       std::string_view word) {
  if (word.size() > kLongestWord) return {};
  const std::string name = normalized(word);
  size_t best = tolerance(name) + 1;
  std::optional<std::string> remedy;
  const auto consider = [&](size_t distance, auto&& text) {
    if (distance >= best) return;
    best = distance;
    remedy = text();
  };
  const std::string path = section.empty() ? name : section + "." + name;
  for (const Key& key : keys) {
    // A key of another section has to be nearer by one than a key of this section.
    const size_t distance =
        std::min(edit_distance(path, key.path), edit_distance(name, key.name()) + 1);
    consider(distance, [&] { return remedy_for(key, section); });
    if (section.empty() && key.section != nullptr)
      consider(edit_distance(name, key.section_name()),
               [&] { return fmt::format("did you mean '{}'?", key.section_name()); });
  }
  return remedy;
}

const Key* suggest_variable(const std::vector<Key>& keys, std::string_view variable) {
  constexpr std::string_view kPrefix = "CONODE_";
  const std::string_view word = variable.substr(kPrefix.size());
  if (word.size() > kLongestWord) return nullptr;
  const Key* nearest = nullptr;
  size_t best = tolerance(word) + 1;
  for (const Key& key : keys) {
    std::string path = upper_case(key.path);
    std::replace(path.begin(), path.end(), '.', '_');
    const size_t distance = std::min(edit_distance(word, key.environment.substr(kPrefix.size())),
                                     edit_distance(word, path));
    if (distance >= best) continue;
    best = distance;
    nearest = &key;
  }
  return nearest;
}

}  // namespace conode::config
