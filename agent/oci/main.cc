// SPDX-License-Identifier: Apache-2.0
// conode-oci: stands between containerd's shim and runc. Environment: CONODE_ENFORCEMENT (affinity,
// grouped, controllers), CONODE_RUNC (absolute path of runc). Exit code: runc's, or 1.
#include <cstdio>
#include <exception>

#include "agent/oci/report.h"
#include "agent/oci/runtime_call.h"

int main(int argc, char** argv) {
  try {
    const conode::RuntimeCall call = conode::parse_runtime_call({argv + (argc > 0), argv + argc});
    conode::report(conode::perform(call), call);
  } catch (const std::exception& e) {  // out of memory: nothing of ours throws
    std::fprintf(stderr, "conode-oci: %s\n", e.what());
  }
  return 1;
}
