// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/carrier.h"
namespace conode::carrier {
Result<std::unique_ptr<Carrier>> start_udp(CarrierOptions, FrameSink&) {
  return failure("start the UDP carrier: this build has none");
}
}  // namespace conode::carrier
