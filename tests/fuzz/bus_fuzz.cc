// SPDX-License-Identifier: Apache-2.0
// libFuzzer target of what comes from the network to the bus: envelopes inside the tunnel, sealed
// and unsealed datagrams of the rendezvous. Whatever the bytes, decoding comes back; what is
// accepted reads back the same, and what an agent knows of its subtree stays sound.
//   cmake --preset fuzz && cmake --build --preset fuzz
//   build/fuzz/tests/bus_fuzz -max_total_time=60
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "agent/bus/codec.h"
#include "agent/bus/rank_set.h"
#include "agent/bus/roster.h"
#include "agent/bus/subtree.h"

namespace {

using namespace conode::bus;

constexpr uint32_t kSize = 64;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// As Node does with a child's report, at rank 0 and at an inner agent.
void absorb(const wire::Report& report) {
  Roster roster(kSize, Timing{},
                {.joined = [](Rank rank, const Hello&) { require(rank < kSize, "joined"); },
                 .lost = [](Rank rank, const std::string&) { require(rank < kSize, "lost"); },
                 .left = [](Rank rank, const std::string&) { require(rank < kSize, "left"); },
                 .send_again = [](Rank rank) { require(rank < kSize, "again"); },
                 .hello_wanted = [](Rank rank) { require(rank < kSize, "hello wanted"); }});
  roster.absorb(report);
  roster.absorb(report);
  roster.tick(Roster::Clock::now() + std::chrono::hours(1));
  require(roster.in(MemberState::doubtful).empty(), "doubt never ends");

  Subtree subtree(0, kSize);
  for (const wire::Member& member : report.attached()) subtree.attach(member);
  subtree.set_readiness(1, report.readiness());
  for (const wire::Member& member : report.lost()) subtree.drop_branch(member.rank());
  const RankSet ready = RankSet::from_wire(subtree.readiness().ready(), kSize);
  require(RankSet::from_wire(ready.to_wire(), kSize) == ready, "a set does not read back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto envelope = decode_envelope(bytes, kSize)) {
    const auto again = decode_envelope(envelope->SerializeAsString(), kSize);
    require(again && again->body_case() == envelope->body_case() &&
                again->sequence() == envelope->sequence(),
            "an accepted envelope does not read back");
    if (envelope->has_report()) absorb(envelope->report());
    if (envelope->has_file_offer()) require(is_file_name(envelope->file_offer().name()), "name");
  }
  static const Key key{};
  require(!decode_datagram(bytes, key, kSize), "a datagram without seal was accepted");
  if (const auto datagram = decode_datagram(seal(key, bytes), key, kSize))
    require(decode_datagram(encode_datagram(*datagram, key), key, kSize).has_value(),
            "an accepted datagram does not read back");
  return 0;
}
