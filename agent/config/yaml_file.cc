// SPDX-License-Identifier: Apache-2.0
// YAML into settings. yaml-cpp throws; nothing leaves this file.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>

#include "agent/config/setting.h"
#include "agent/config/suggestion.h"
#include "agent/config/value.h"

namespace conode::config {
namespace {

std::string kind_of(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      return "a map";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Scalar:
      return "a single value";
    default:
      return "nothing";
  }
}

class YamlReader {
 public:
  YamlReader(const std::string& name, const std::vector<Key>& keys) : name_(name), keys_(keys) {}

  // May throw YAML::Exception.
  Source read(std::string_view text) {
    // yaml-cpp 0.7 takes a quote that is still open after the last line for closed.
    const size_t end = text.find_last_not_of(" \t\r\n");
    const std::vector<YAML::Node> documents =
        YAML::LoadAll(std::string(text.substr(0, end == std::string_view::npos ? 0 : end + 1)));
    if (documents.size() > 1)
      add(documents[1], "", "", "is a second document", "keep one: remove the '---' between them");
    if (documents.empty() || documents[0].IsNull()) return std::move(source_);
    if (documents[0].IsMap())
      read_map(documents[0], nullptr);
    else
      add(documents[0], "", "",
          fmt::format("expected a map of keys, found {}", kind_of(documents[0])),
          "write one 'key: value' a line");
    return std::move(source_);
  }

 private:
  using Field = google::protobuf::FieldDescriptor;

  std::string place(const YAML::Node& node) const {
    const YAML::Mark mark = node.Mark();
    return mark.is_null() ? name_ : fmt::format("{}:{}:{}", name_, mark.line + 1, mark.column + 1);
  }

  void add(const YAML::Node& node, std::string key, std::string value, std::string cause,
           std::string remedy) {
    source_.problems.push_back(
        {std::move(key), std::move(value), std::move(cause), place(node), std::move(remedy)});
  }

  void read_map(const YAML::Node& map, const Field* section) {
    std::set<std::string> seen;
    for (const auto& entry : map) {
      const std::string prefix = section ? section->name() + "." : "";
      if (!entry.first.IsScalar()) {
        add(entry.first, section ? section->name() : "", "",
            fmt::format("expected a key, found {}", kind_of(entry.first)), "");
        continue;
      }
      const std::string& word = entry.first.Scalar();
      if (!seen.insert(word).second) {
        add(entry.first, prefix + word, "", "is set twice", "remove one of the two");
        continue;
      }
      read_entry(entry.first, entry.second, section);
    }
  }

  void read_entry(const YAML::Node& name, const YAML::Node& value, const Field* section) {
    const std::string& word = name.Scalar();
    if (const Field* inner = section ? nullptr : find_section(word)) {
      read_section(value, inner);
      return;
    }
    const std::string path = section ? section->name() + "." + word : word;
    const Key* key = find_key(keys_, path);
    // 'partition.k8s_cores: 4' at the top is a path, but no key of the file.
    if (key != nullptr && key->name() == word) {
      read_value(name, value, *key);
      return;
    }
    const std::string in = section ? section->name() : "";
    add(name, path, "", "is no known key",
        suggest_key(keys_, in, word).value_or("docs/configuration.md lists the keys"));
  }

  void read_section(const YAML::Node& value, const Field* section) {
    if (value.IsMap())
      read_map(value, section);
    else if (!value.IsNull())
      add(value, section->name(), value.IsScalar() ? value.Scalar() : "",
          fmt::format("expected a map of keys, found {}", kind_of(value)),
          fmt::format("indent its keys below '{}:'", section->name()));
  }

  void read_value(const YAML::Node& name, const YAML::Node& value, const Key& key) {
    if (value.IsNull()) {  // its mark is the next token's
      add(name, key.path, "", fmt::format("expected {}, found nothing", expectation(key)),
          "give it a value, or remove the line for the default");
    } else if (key.field->is_repeated()) {
      read_list(value, key);
    } else if (value.IsScalar()) {
      source_.settings.push_back({&key, {{value.Scalar(), place(value)}}, place(value)});
    } else {
      add(value, key.path, "",
          fmt::format("expected {}, found {}", expectation(key), kind_of(value)), "");
    }
  }

  void read_list(const YAML::Node& value, const Key& key) {
    if (!value.IsSequence()) {
      add(value, key.path, value.IsScalar() ? value.Scalar() : "",
          fmt::format("expected a list, found {}", kind_of(value)),
          fmt::format("write {}: [{}]", key.name(), key.options().example()));
      return;
    }
    Setting setting{&key, {}, place(value)};
    for (const YAML::Node& element : value) {
      if (element.IsScalar())
        setting.values.push_back({element.Scalar(), place(element)});
      else
        add(element, key.path, "",
            fmt::format("expected {}, found {}", expectation(key), kind_of(element)), "");
    }
    source_.settings.push_back(std::move(setting));
  }

  const std::string& name_;
  const std::vector<Key>& keys_;
  Source source_;
};

std::string remedy_for_syntax(std::string_view text) {
  return text.find('\t') == std::string_view::npos
             ? "see https://yaml.org, or start from the example in docs/configuration.md"
             : "indent with spaces: YAML allows no tabs";
}

}  // namespace

Source read_yaml(std::string_view text, const std::string& name, const std::vector<Key>& keys) {
  if (text.size() > kLargestFile)
    return {{},
            {{"", "", fmt::format("is larger than {} KiB", kLargestFile >> 10U), name,
              "is it the right file?"}}};
  try {
    return YamlReader(name, keys).read(text);
  } catch (const YAML::Exception& e) {
    std::string where = name;
    if (!e.mark.is_null()) where += fmt::format(":{}:{}", e.mark.line + 1, e.mark.column + 1);
    return {{}, {{"", "", fmt::format("is no YAML: {}", e.msg), where, remedy_for_syntax(text)}}};
  }
}

}  // namespace conode::config
