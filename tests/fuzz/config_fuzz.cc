// SPDX-License-Identifier: Apache-2.0
// libFuzzer target of the configuration file's loader. Whatever the bytes, load_text() comes back;
// what it accepts is valid, survives the wire, and reads back from to_yaml() to the same.
//   cmake --preset fuzz && cmake --build --preset fuzz
//   build/fuzz/tests/config_fuzz -max_total_time=60 corpus tests/fuzz/config_corpus
#include <google/protobuf/util/message_differencer.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "agent/config/config.h"

namespace {

using conode::config::LoadResult;

void require(bool condition, const char* what, const std::string& detail) {
  if (condition) return;
  std::fprintf(stderr, "%s\n%s\n", what, detail.c_str());
  std::abort();
}

void check_accepted(const LoadResult& loaded, const conode::config::Environment& environment) {
  require(conode::config::validate(loaded.config).empty(), "accepted, but not valid", "");
  const std::string yaml = conode::config::to_yaml(loaded);
  LoadResult again = conode::config::load_text(yaml, "/again.yaml", environment);
  for (const auto& problem : again.problems)
    require(false, "to_yaml does not read back", conode::config::to_string(problem) + "\n" + yaml);
  require(conode::config::to_yaml({again.config, {}, loaded.sources, loaded.file}) == yaml,
          "to_yaml reads back to another configuration", yaml);
  conode::config::Config received;
  require(received.ParseFromString(loaded.config.SerializeAsString()) &&
              google::protobuf::util::MessageDifferencer::Equals(received, loaded.config),
          "does not survive the wire", yaml);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const conode::config::Environment environment{
      .variables = {{"HOME", "/home/ada"}, {"USER", "a$d\"a"}, {"UID", "1000"}},
      .working_dir = "/work"};
  const LoadResult loaded = conode::config::load_text({reinterpret_cast<const char*>(data), size},
                                                      "/etc/conode/config.yaml", environment);
  for (const auto& problem : loaded.problems)
    require(!conode::config::to_string(problem).empty() && !problem.cause.empty(),
            "a problem that says nothing", "");
  if (loaded.problems.empty()) check_accepted(loaded, environment);
  return 0;
}
