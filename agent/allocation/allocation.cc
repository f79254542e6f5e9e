// SPDX-License-Identifier: Apache-2.0
#include "agent/allocation/allocation.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "agent/allocation/slurm.h"
#include "agent/base/command.h"
#include "agent/base/environment.h"

namespace conode::allocation {
namespace {

struct Sign {
  System system;
  const char* variable;  // the job's id
};
// A Flux or PBS instance may run inside of a Slurm job: the innermost is the one that counts.
constexpr std::array<Sign, 3> kSigns{
    {{System::flux, "FLUX_JOB_ID"}, {System::pbs, "PBS_JOBID"}, {System::slurm, "SLURM_JOB_ID"}}};

const Sign* sign_in(const Surroundings& around) {
  const auto* found = std::find_if(kSigns.begin(), kSigns.end(), [&](const Sign& sign) {
    const auto variable = around.variables.find(sign.variable);
    return variable != around.variables.end() && !variable->second.empty();
  });
  return found == kSigns.end() ? nullptr : found;
}

}  // namespace

Surroundings surroundings() {
  Surroundings around{.variables = environment(), .ask = {}};
  around.ask = [](const std::vector<std::string>& argv) { return command_output(argv); };
  return around;
}

System system_of(const Surroundings& around) {
  const Sign* sign = sign_in(around);
  return sign != nullptr ? sign->system : System::none;
}

std::string id_of(const Surroundings& around) {
  const Sign* sign = sign_in(around);
  if (sign == nullptr) return {};
  std::string id = around.variables.at(sign->variable);
  // "1234[7].server" of PBS
  for (char& c : id)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') c = '_';
  return id;
}

Result<Allocation> find_allocation(const Surroundings& around) {
  Allocation found{
      .system = system_of(around), .id = id_of(around), .hosts = {}, .address = {}, .end = {}};
  if (found.system == System::slurm) TRY(look_at_slurm(around, found));
  return found;
}

}  // namespace conode::allocation
