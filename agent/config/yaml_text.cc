// SPDX-License-Identifier: Apache-2.0
// The effective configuration as YAML that reads back to the same.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/config/config.h"
#include "agent/config/key.h"
#include "agent/config/value.h"

namespace conode::config {
namespace {

using google::protobuf::FieldDescriptor;

// Double quotes take every text: nothing in it can look like a number, a tag or a comment.
std::string double_quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < ' ' || byte == 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else
      out += c;
  }
  return out + "\"";
}

std::string scalar(const Key& key, std::string_view text) {
  if (key.field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) return std::string(text);
  if (key.options().kind() != schema::PATH) return double_quoted(text);
  std::string literal;
  for (const char c : text) literal += c == '$' ? std::string("$$") : std::string(1, c);
  return double_quoted(literal);
}

std::string line(const Key& key, const LoadResult& loaded) {
  const std::string indent = key.section ? "  " : "";
  const auto source = loaded.sources.find(key.path);
  const std::string where = source == loaded.sources.end() ? "default" : source->second;
  std::vector<std::string> values;
  for (const std::string& text : value_texts(loaded.config, key))
    values.push_back(scalar(key, text));
  const auto* oneof = key.field->real_containing_oneof();
  const auto& owner = key.owner(loaded.config);
  if (oneof != nullptr && !key.is_set(loaded.config) &&
      (values.empty() || owner.GetReflection()->HasOneof(owner, oneof)))
    return fmt::format("{}# {}: not set\n", indent, key.name());
  if (key.field->is_repeated())
    return fmt::format("{}{}: [{}]  # {}\n", indent, key.name(), fmt::join(values, ", "), where);
  if (values.empty())
    return fmt::format("{}# {}: {}\n", indent, key.name(), key.options().default_text());
  return fmt::format("{}{}: {}  # {}\n", indent, key.name(), values[0], where);
}

}  // namespace

std::string to_yaml(const LoadResult& loaded) {
  std::string text = fmt::format("# file: {}\n", loaded.file.empty() ? "none" : loaded.file);
  const FieldDescriptor* section = nullptr;
  for (const Key& key : all_keys()) {
    if (key.section != section) text += fmt::format("{}:\n", key.section->name());
    section = key.section;
    text += line(key, loaded);
  }
  return text;
}

}  // namespace conode::config
