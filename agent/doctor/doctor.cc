// SPDX-License-Identifier: Apache-2.0
#include "agent/doctor/doctor.h"

namespace conode::doctor {

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::degraded:
      return "degraded";
    case Verdict::missing:
      break;
  }
  return "missing";
}

std::vector<Finding> examine(const Environment& environment) {
  std::vector<Finding> all;
  for (const auto part :
       {&examine_allocation, &examine_user, &examine_limits, &examine_kernel, &examine_node})
    for (Finding& finding : part(environment)) all.push_back(std::move(finding));
  return all;
}

}  // namespace conode::doctor
