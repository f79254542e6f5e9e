// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "agent/base/result.h"
#include "agent/base/unique_fd.h"

namespace conode {

struct Pipe {
  UniqueFd out;  // to be read
  UniqueFd in;   // to be written
};

// pipe2(2) with O_CLOEXEC. Any thread.
[[nodiscard]] inline Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_failure("make a pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

}  // namespace conode
