// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <optional>
#include <set>

#include "agent/base/file.h"
#include "agent/config/relations.h"
#include "agent/config/setting.h"
#include "agent/config/value.h"

namespace conode::config {
namespace {

class Loader {
 public:
  Loader(const std::vector<Key>& keys, const Environment& environment)
      : keys_(keys), environment_(environment) {}

  // Weakest source first: a later one replaces what an earlier one said.
  void apply(Source source, const std::string& base_dir) {
    for (Problem& problem : source.problems) result_.problems.push_back(std::move(problem));
    std::map<std::string, const Key*> alternatives;  // oneof -> the key that this source set
    for (const Setting& setting : source.settings) {
      if (const auto* oneof = setting.key->field->real_containing_oneof()) {
        const auto [other, first] = alternatives.emplace(oneof->name(), setting.key);
        if (!first) {
          add(*setting.key, setting.values[0],
              fmt::format("is an alternative to '{}', which is set too", other->second->path),
              "keep one of the two");
          continue;
        }
      }
      store(setting, base_dir);
    }
  }

  LoadResult finish() {
    for (const Key& key : keys_)
      if (key.options().kind() == schema::PATH && !key.is_set(result_.config))
        for (const std::string& text : value_texts(result_.config, key))
          set_one(result_.config, key, {text, "default"}, environment_.working_dir);
    for (Problem& problem : relation_problems(result_.config, result_.sources))
      result_.problems.push_back(std::move(problem));
    return std::move(result_);
  }

  LoadResult& result() { return result_; }

 private:
  void add(const Key& key, const Text& text, std::string cause, std::string remedy) {
    result_.problems.push_back(
        {key.path, text.value, std::move(cause), text.where, std::move(remedy)});
  }

  void store(const Setting& setting, const std::string& base_dir) {
    setting.key->clear(result_.config);
    forget_alternatives(*setting.key);
    result_.sources[setting.key->path] = setting.where;
    for (const Text& text : setting.values) set_one(result_.config, *setting.key, text, base_dir);
  }

  void forget_alternatives(const Key& key) {
    const auto* oneof = key.field->real_containing_oneof();
    for (const Key& other : keys_)
      if (oneof != nullptr && other.field->real_containing_oneof() == oneof)
        result_.sources.erase(other.path);
  }

  void set_one(Config& config, const Key& key, const Text& text, const std::string& base_dir) {
    std::string value = text.value;
    Result<void> done;
    if (key.options().kind() == schema::PATH && !value.empty()) {
      Result<std::string> path = expand_path(value, base_dir, environment_.variables);
      if (path)
        value = std::move(*path);
      else
        done = tl::make_unexpected(std::move(path).error());
    }
    if (done) done = set_value(config, key, value);
    if (!done) add(key, text, done.error().context, done.error().remedy);
  }

  const std::vector<Key>& keys_;
  const Environment& environment_;
  LoadResult result_;
};

std::string variable(const Environment& environment, const std::string& name) {
  const auto found = environment.variables.find(name);
  return found == environment.variables.end() ? std::string() : found->second;
}

std::string directory_of(const std::string& file, const Environment& environment) {
  const size_t slash = file.rfind('/');
  if (slash == std::string::npos) return environment.working_dir;
  if (slash == 0) return "/";
  const std::string dir = file.substr(0, slash);
  return dir.starts_with('/') ? dir : environment.working_dir + "/" + dir;
}

struct Candidate {
  std::string path;
  std::string named_by;  // empty: it may be absent
};

std::vector<Candidate> candidates(const std::string& file, const Environment& environment) {
  if (!file.empty()) return {{file, "flag --config"}};
  const std::string named = variable(environment, "CONODE_CONFIG");
  if (!named.empty()) return {{named, "environment CONODE_CONFIG"}};
  std::vector<Candidate> found;
  std::string dir = variable(environment, "XDG_CONFIG_HOME");
  const std::string home = variable(environment, "HOME");
  if (!dir.starts_with('/')) dir = home.empty() ? "" : home + "/.config";  // XDG: else ignored
  if (!dir.empty()) found.push_back({dir + "/conode/config.yaml", ""});
  found.push_back({environment.system_file, ""});
  return found;
}

bool is_absent(const Error& error) {
  return error.is(std::errc::no_such_file_or_directory) || error.is(std::errc::not_a_directory);
}

// Reads the first file that there is.
Source read_first_file(const std::string& file, const Environment& environment,
                       const std::vector<Key>& keys, std::string* read) {
  for (const Candidate& candidate : candidates(file, environment)) {
    if (candidate.path.empty()) continue;
    const Result<std::string> text = read_file(candidate.path, AT_FDCWD, kLargestFile);
    if (!text && candidate.named_by.empty() && is_absent(text.error())) continue;
    *read = candidate.path;
    if (text) return read_yaml(*text, candidate.path, keys);
    const bool named = !candidate.named_by.empty();
    return {{},
            {{"", "", text.error().message(), named ? candidate.named_by : candidate.path,
              "check its name, its size and its permissions"}}};
  }
  return {};
}

}  // namespace

LoadResult load(const FlagValues& flags, const std::string& file, const Environment& environment) {
  const std::vector<Key> keys = all_keys();
  Loader loader(keys, environment);
  std::string read;
  Source from_file = read_first_file(file, environment, keys, &read);
  loader.apply(std::move(from_file), directory_of(read, environment));
  loader.apply(read_variables(environment, keys), environment.working_dir);
  loader.apply(read_flags(flags, keys), environment.working_dir);
  loader.result().file = read;
  return loader.finish();
}

LoadResult load_text(std::string_view yaml, const std::string& name,
                     const Environment& environment) {
  const std::vector<Key> keys = all_keys();
  Loader loader(keys, environment);
  loader.apply(read_yaml(yaml, name, keys), directory_of(name, environment));
  loader.result().file = name;
  return loader.finish();
}

}  // namespace conode::config
