// SPDX-License-Identifier: Apache-2.0
#include "agent/allocation/allocation.h"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "agent/allocation/flux.h"
#include "agent/allocation/pbs.h"
#include "agent/allocation/slurm.h"
#include "agent/base/command.h"
#include "agent/base/environment.h"
#include "agent/base/file.h"

namespace conode::allocation {
namespace {

struct Sign {
  System system;
  const char* variable;  // the job's id
};
// A Flux instance may run inside of a Slurm or PBS job, and Flux's jobs inside of that: the
// innermost is the one that counts.
constexpr std::array<Sign, 5> kSigns{{{System::flux, "FLUX_JOB_ID"},
                                      {System::flux, "FLUX_ENCLOSING_ID"},
                                      {System::flux, "FLUX_URI"},  // as of `srun flux start`
                                      {System::pbs, "PBS_JOBID"},
                                      {System::slurm, "SLURM_JOB_ID"}}};

const Sign* sign_in(const Surroundings& around) {
  const auto* found = std::find_if(kSigns.begin(), kSigns.end(), [&](const Sign& sign) {
    return !variable(around, sign.variable).empty();
  });
  return found == kSigns.end() ? nullptr : found;
}

}  // namespace

Surroundings surroundings() {
  utsname host{};
  (void)::uname(&host);
  return {.variables = environment(),
          .ask = [](const std::vector<std::string>& argv) { return command_output(argv); },
          .read = [](const std::string& path) { return read_file(path); },
          .host_name = static_cast<const char*>(host.nodename)};
}

std::string variable(const Surroundings& around, const char* name) {
  const auto found = around.variables.find(name);
  return found != around.variables.end() ? found->second : "";
}

System system_of(const Surroundings& around) {
  const Sign* sign = sign_in(around);
  return sign != nullptr ? sign->system : System::none;
}

std::string id_of(const Surroundings& around) {
  const Sign* sign = sign_in(around);
  if (sign == nullptr) return {};
  std::string id = variable(around, sign->variable);
  // "local:///tmp/flux-Ab12Cd/local-0": a directory of the instance's own.
  if (id.starts_with("local://")) {
    id.erase(id.rfind('/'));
    id.erase(0, id.rfind('/') + 1);
  }
  // "ƒ2hXS" of Flux, which also takes an f.
  if (constexpr std::string_view kF58 = "\xc6\x92"; id.starts_with(kF58))
    id.replace(0, kF58.size(), "f");
  // "1234[7].server" of PBS
  for (char& c : id)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '.' && c != '-') c = '_';
  return id;
}

std::optional<uint64_t> memory_of(const Surroundings& around) {
  return system_of(around) == System::slurm ? slurm_memory(around) : std::nullopt;
}

Result<Allocation> find_allocation(const Surroundings& around) {
  Allocation found{.system = system_of(around),
                   .id = id_of(around),
                   .hosts = {},
                   .places = {},
                   .address = {},
                   .end = {}};
  switch (found.system) {
    case System::slurm:
      TRY(look_at_slurm(around, found));
      break;
    case System::flux:
      TRY(look_at_flux(around, found));
      break;
    case System::pbs:
      TRY(look_at_pbs(around, found));
      break;
    case System::none:
      break;
  }
  return found;
}

}  // namespace conode::allocation
