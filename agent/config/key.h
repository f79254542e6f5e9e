// SPDX-License-Identifier: Apache-2.0
// The schema by reflection: one Key per setting of config.proto. Any thread; descriptors live as
// long as the program.
#pragma once

#include <google/protobuf/descriptor.h>

#include <string>
#include <string_view>
#include <vector>

#include "agent/config/config.pb.h"
#include "agent/config/schema.pb.h"

namespace conode::config {

struct Key {
  std::string path;         // "partition.k8s_cores", "job"
  std::string flag;         // "--k8s-cores"
  std::string environment;  // "CONODE_K8S_CORES"
  const google::protobuf::FieldDescriptor* field = nullptr;
  const google::protobuf::FieldDescriptor* section = nullptr;  // of Config; null: `field` is

  [[nodiscard]] const schema::KeyOptions& options() const {
    return field->options().GetExtension(schema::key);
  }
  [[nodiscard]] const std::string& name() const { return field->name(); }
  [[nodiscard]] std::string section_name() const { return section ? section->name() : ""; }
  // The message that has the field.
  [[nodiscard]] google::protobuf::Message& owner(Config& config) const;
  [[nodiscard]] const google::protobuf::Message& owner(const Config& config) const;
  [[nodiscard]] bool is_set(const Config& config) const;
  void clear(Config& config) const;
};

// In the order of the schema.
[[nodiscard]] std::vector<Key> all_keys();

// The element with this path, or null.
[[nodiscard]] const Key* find_key(const std::vector<Key>& keys, std::string_view path);

// Sections with keys of their own: fields of Config.
[[nodiscard]] const google::protobuf::FieldDescriptor* find_section(std::string_view name);

// Words of an enumeration as the user writes them, in the order of the schema.
[[nodiscard]] std::vector<std::string> enum_words(const google::protobuf::EnumDescriptor& type);

[[nodiscard]] std::string lower_case(std::string_view text);
[[nodiscard]] std::string upper_case(std::string_view text);

}  // namespace conode::config
