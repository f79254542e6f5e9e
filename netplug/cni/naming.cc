// SPDX-License-Identifier: Apache-2.0
#include "netplug/cni/naming.h"

#include <string_view>

namespace conode::cni {
namespace {

// FNV-1a with MurmurHash3's finalizer, so that all bits depend on all characters. The same in every
// build: names outlive the process.
uint64_t hash(std::string_view text) {
  uint64_t h = 0xcbf29ce484222325;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  h = (h ^ (h >> 33U)) * 0xff51afd7ed558ccd;
  h = (h ^ (h >> 33U)) * 0xc4ceb9fe1a85ec53;
  return h ^ (h >> 33U);
}

std::string base32(uint64_t value, int characters) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::string text;
  for (int i = 0; i < characters; ++i, value >>= 5U) text += kAlphabet[value & 31U];
  return text;
}

}  // namespace

std::string host_link_prefix(const std::string& network) { return "cn" + base32(hash(network), 4); }

std::string host_link_name(const std::string& network, const Attachment& attachment) {
  return host_link_prefix(network) + base32(hash(network + "/" + attachment.text()), 9);
}

MacPair mac_addresses(const std::string& network, const Attachment& attachment) {
  const std::string base = network + "/" + attachment.text();
  return {MacAddress::from_seed(hash(base + "/host")),
          MacAddress::from_seed(hash(base + "/container"))};
}

MacAddress bridged_mac(const std::string& network, Ipv4Address address) {
  return MacAddress::from_seed(hash(network + "/" + address.text()));
}

MacAddress bridge_mac(const std::string& network, const std::string& bridge) {
  return MacAddress::from_seed(hash(network + "/bridge/" + bridge));
}

}  // namespace conode::cni
