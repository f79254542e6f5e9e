// SPDX-License-Identifier: Apache-2.0
// The schema as flags. CLI11 only collects texts: load() checks them with everything else.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cassert>

#include "agent/config/config.h"
#include "agent/config/key.h"
#include "agent/config/value.h"

namespace conode::config {
namespace {

using google::protobuf::FieldDescriptor;

std::string placeholder(const Key& key) {
  if (key.field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM)
    return fmt::format("{}", fmt::join(enum_words(*key.field->enum_type()), "|"));
  switch (key.options().kind()) {
    case schema::NAME:
    case schema::DOMAIN:
      return "NAME";
    case schema::PATH:
      return "PATH";
    case schema::BYTES:
      return "SIZE";
    case schema::DURATION:
      return "TIME";
    case schema::SHARE:
      return "SHARE";
    case schema::PREFIX:
      return "PREFIX";
    case schema::HOST:
      return "HOST";
    case schema::ADDRESS:
      return "ADDRESS";
    case schema::ENDPOINT:
      return "ADDRESS[:PORT]";
    default:
      return "N";
  }
}

std::string description(const Key& key) {
  std::string text = key.options().help();
  if (key.field->is_repeated()) text += "; may be repeated";
  const std::vector<std::string> defaults = value_texts(Config(), key);
  const std::string& in_words = key.options().default_text();
  const std::string value = defaults.empty() ? in_words : defaults[0];
  return value.empty() ? text : fmt::format("{} (default: {})", text, value);
}

// Heading of the help under which it stands.
std::string group(const Key& key) {
  if (key.section == nullptr) return "Options";
  return key.section->message_type()->options().GetExtension(schema::section).title();
}

// As two options: CLI11's own flags let std::invalid_argument escape from '--name=perhaps'.
CLI::Option* add_switch(CLI::App& app, FlagValues& values, const Key& key) {
  const auto collect = [&values, path = key.path](const CLI::results_t& results) {
    values.values[path] = {results.back()};
    return true;
  };
  const auto refuse = [&values, path = key.path](const CLI::results_t&) {
    values.values[path] = {"false"};
    return true;
  };
  const std::string negative = "--no-" + key.flag.substr(2);
  CLI::Option* positive = app.add_option(key.flag, collect, description(key));
  positive->expected(0)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option(negative, refuse, fmt::format("As {}=false", key.flag))
      ->expected(0)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
      ->disable_flag_override()
      ->excludes(positive)
      ->group(group(key));
  return positive;
}

CLI::Option* add_value(CLI::App& app, FlagValues& values, const Key& key) {
  CLI::Option* option = app.add_option(
      key.flag,
      [&values, path = key.path](const CLI::results_t& results) {
        values.values[path] = results;
        return true;
      },
      description(key));
  option->type_name(placeholder(key))->type_size(1);
  if (key.field->is_repeated())
    return option->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args(false);
  return option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

}  // namespace

void add_flags(CLI::App& app, FlagValues& values, const std::vector<std::string>& names) {
  [[maybe_unused]] size_t added = 0;
  for (const Key& key : all_keys()) {
    const bool wanted = std::any_of(names.begin(), names.end(), [&key](const std::string& name) {
      return name == key.path || (key.section != nullptr && name == key.section->name());
    });
    if (!names.empty() && !wanted) continue;
    ++added;
    CLI::Option* option = key.field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL
                              ? add_switch(app, values, key)
                              : add_value(app, values, key);
    option->group(group(key));
  }
  assert(added >= names.size());  // else a name that is no key
}

}  // namespace conode::config
