// SPDX-License-Identifier: Apache-2.0
// What the agent and the sandbox's init say to each other, over one SOCK_SEQPACKET socketpair:
// one packet a message, a descriptor beside it where the table says so (SCM_RIGHTS). Both ends are
// from the same build, so the layout is the compiler's. Single-threaded use at each end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode::sandbox {

// The socketpair's descriptor in the init.
inline constexpr int kControlFd = 3;

// Where the job's directories appear inside the sandbox.
inline constexpr const char* kStatePath = "/run/conode/state";
inline constexpr const char* kBundlePath = "/run/conode/bundle";
inline constexpr const char* kLibexecPath = "/run/conode/libexec";

enum class Kind : uint32_t {
  // agent -> init               id        value     strings                          descriptor
  setup = 1,  //                -         -         "key=value" ...                  -
  start,      //                service   argc      argv..., environment...          log
  signal,     //                service   signal    -                                -
  socket,     //                request   type      -                                -
  // init -> agent
  tun,          //                queue     -         -                                the TUN queue
  up,           //                -         -         -                                -
  failed,       //                0=set-up, errno     what failed, remedy              -
                //                service
  started,      //                service   pid       -                                -
  exited,       //                service   wait(2)   -                                -
  socket_made,  //                request   errno     -                                the socket
};

struct Message {
  Kind kind = Kind::setup;
  uint32_t id = 0;
  int32_t value = 0;
  std::vector<std::string> strings;
  UniqueFd fd;
};

// Blocks while the peer's queue is full, 5 s at most where the socket is non-blocking.
[[nodiscard]] Result<void> send(int socket, const Message& message);

// The next message; empty optional when the peer is gone. With `wait` false, EAGAIN is a failure
// with that code.
[[nodiscard]] Result<std::optional<Message>> receive(int socket, bool wait = true);

}  // namespace conode::sandbox
