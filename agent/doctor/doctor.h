// SPDX-License-Identifier: Apache-2.0
// Everything that a site may lack, looked for at once and before anything is started. Blocking; one
// thread. Checks look, and try what only trying shows in a child of their own; they change nothing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace conode::doctor {

enum class Verdict { ok, degraded, missing };
[[nodiscard]] const char* to_string(Verdict verdict);

struct Finding {
  std::string name;  // "subordinate ids"
  Verdict verdict = Verdict::ok;
  std::string found;   // "100000:65536"
  std::string cost;    // what is lost where it is not ok
  std::string remedy;  // the administrator's exact line, or the user's
};

struct Environment {
  std::string state_base;  // absolute
  std::string bundle;      // path; empty: none was found
  std::string bundle_problem;
  bool network_file_system = false;  // is accepted for the state
  uint16_t api_port = 0;             // 0: any free one
};

// In the order in which a reader should mend them.
[[nodiscard]] std::vector<Finding> examine(const Environment& environment);

// The parts of examine(); each looks at one group of things.
[[nodiscard]] std::vector<Finding> examine_allocation(const Environment& environment);
[[nodiscard]] std::vector<Finding> examine_user(const Environment& environment);
[[nodiscard]] std::vector<Finding> examine_limits(const Environment& environment);
[[nodiscard]] std::vector<Finding> examine_kernel(const Environment& environment);
[[nodiscard]] std::vector<Finding> examine_node(const Environment& environment);

}  // namespace conode::doctor
