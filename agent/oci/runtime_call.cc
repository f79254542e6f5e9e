// SPDX-License-Identifier: Apache-2.0
#include "agent/oci/runtime_call.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "agent/base/file.h"
#include "agent/oci/config_edit.h"

namespace conode {
namespace {

constexpr const char* kRemedy = "containerd must be started by conode, which sets it";

Result<std::string> variable(const char* name) {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  if (value == nullptr || *value == '\0')
    return failure(fmt::format("environment variable {} is not set", name), kRemedy);
  return std::string(value);
}

Result<std::string> runc_path() {
  std::string path = TRY(variable("CONODE_RUNC"));
  if (!path.starts_with('/'))
    return failure(fmt::format("CONODE_RUNC='{}' is no absolute path", path), kRemedy);
  return path;
}

Result<void> become(const std::string& runc, const std::vector<std::string>& arguments) {
  std::vector<char*> argv{const_cast<char*>(runc.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::execv(runc.c_str(), argv.data());
  Failure failed = errno_failure(fmt::format("run '{}'", runc));
  return Failure(std::move(failed.value())
                     .with_remedy("CONODE_RUNC must name the bundle's runc: conode bundle verify"));
}

Result<void> adapt_and_become(const RuntimeCall& call) {
  const std::string runc = TRY(runc_path());
  if (!call.uses_bundle() || call.container_id.empty()) return become(runc, call.arguments);
  const EnforcementLevel level = TRY(enforcement_from_environment());
  TRY_AS(fmt::format("adapt container '{}' to enforcement level '{}'", call.container_id,
                     to_string(level)),
         adapt_bundle(call, level));
  return become(runc, runc_arguments(call, level));
}

}  // namespace

Result<EnforcementLevel> enforcement_from_environment() {
  const std::string name = TRY(variable("CONODE_ENFORCEMENT"));
  if (const std::optional<EnforcementLevel> level = enforcement_from_string(name)) return *level;
  return failure(fmt::format("CONODE_ENFORCEMENT='{}' is no enforcement level", name),
                 "one of affinity, grouped, controllers");
}

Result<void> adapt_bundle(const RuntimeCall& call, EnforcementLevel level) {
  if (level == EnforcementLevel::controllers) return {};
  const std::string path = call.bundle + "/config.json";
  const std::string before = TRY(read_file(path));
  const std::string after =
      TRY_AS(fmt::format("edit '{}'", path), adapt_config(before, level, call.container_id));
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return errno_failure(fmt::format("stat '{}'", path));
  return replace_file(path, after, st.st_mode & 07777U);
}

std::vector<std::string> runc_arguments(const RuntimeCall& call, EnforcementLevel level) {
  std::vector<std::string> arguments = call.arguments;
  if (level == EnforcementLevel::affinity) {
    // Last of the global flags: of a repeated flag the last one counts.
    const auto command = arguments.begin() + static_cast<ptrdiff_t>(call.command_at);
    arguments.insert(command, {"--rootless", "true"});
  }
  return arguments;
}

Error perform(const RuntimeCall& call) { return adapt_and_become(call).error(); }

}  // namespace conode
