// SPDX-License-Identifier: Apache-2.0
#include "agent/config/key.h"

#include <algorithm>

namespace conode::config {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

std::string with_hyphens(std::string text) {
  std::replace(text.begin(), text.end(), '_', '-');
  return text;
}

Key make_key(const FieldDescriptor* field, const FieldDescriptor* section) {
  const schema::KeyOptions& options = field->options().GetExtension(schema::key);
  const std::string flag = options.has_flag() ? options.flag() : with_hyphens(field->name());
  std::string environment = options.environment();
  if (environment.empty()) {
    environment = "CONODE_" + upper_case(flag);
    std::replace(environment.begin(), environment.end(), '-', '_');
  }
  return {.path = section ? section->name() + "." + field->name() : field->name(),
          .flag = "--" + flag,
          .environment = environment,
          .field = field,
          .section = section};
}

}  // namespace

Message& Key::owner(Config& config) const {
  return section ? *Config::GetReflection()->MutableMessage(&config, section) : config;
}

const Message& Key::owner(const Config& config) const {
  return section ? Config::GetReflection()->GetMessage(config, section) : config;
}

bool Key::is_set(const Config& config) const {
  const Message& message = owner(config);
  if (field->is_repeated()) return message.GetReflection()->FieldSize(message, field) > 0;
  return message.GetReflection()->HasField(message, field);
}

void Key::clear(Config& config) const {
  Message& message = owner(config);
  message.GetReflection()->ClearField(&message, field);
}

std::vector<Key> all_keys() {
  std::vector<Key> keys;
  const auto* config = Config::descriptor();
  for (int i = 0; i < config->field_count(); ++i)
    if (config->field(i)->message_type() == nullptr)
      keys.push_back(make_key(config->field(i), nullptr));
  for (int i = 0; i < config->field_count(); ++i) {
    const FieldDescriptor* section = config->field(i);
    if (section->message_type() == nullptr) continue;
    for (int k = 0; k < section->message_type()->field_count(); ++k)
      keys.push_back(make_key(section->message_type()->field(k), section));
  }
  return keys;
}

const Key* find_key(const std::vector<Key>& keys, std::string_view path) {
  const auto found = std::find_if(keys.begin(), keys.end(),
                                  [path](const Key& candidate) { return candidate.path == path; });
  return found == keys.end() ? nullptr : &*found;
}

const FieldDescriptor* find_section(std::string_view name) {
  const FieldDescriptor* field = Config::descriptor()->FindFieldByName(std::string(name));
  return field != nullptr && field->message_type() != nullptr ? field : nullptr;
}

std::vector<std::string> enum_words(const google::protobuf::EnumDescriptor& type) {
  std::vector<std::string> words;
  words.reserve(static_cast<size_t>(type.value_count()));
  for (int i = 0; i < type.value_count(); ++i) words.push_back(lower_case(type.value(i)->name()));
  return words;
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

std::string upper_case(std::string_view text) {
  std::string upper(text);
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return upper;
}

}  // namespace conode::config
