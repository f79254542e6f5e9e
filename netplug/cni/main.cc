// SPDX-License-Identifier: Apache-2.0
// conode-cni: the CNI plugin of conode. Standard output carries CNI's JSON and nothing else.
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "agent/base/file.h"
#include "netplug/cni/plugin.h"

namespace conode::cni {
namespace {

std::string variable(const char* name) {
  const char* value = ::getenv(name);  // NOLINT(concurrency-mt-unsafe): one thread
  return value == nullptr ? std::string() : std::string(value);
}

Result<std::string> read_input() {
  constexpr size_t kLargest = 16U << 20U;  // a GC list of a hundred thousand attachments
  std::string text;
  std::array<char, 16384> buffer{};
  while (text.size() <= kLargest) {
    const ssize_t n = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno_failure("read the network configuration from standard input");
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(n));
  }
  return code_failure(EFBIG, "read the network configuration from standard input");
}

bool deliver(const Reply& reply) {
  return write_all(STDOUT_FILENO, reply.output, "standard output").has_value();
}

int serve() {
  if (variable("CNI_COMMAND").empty())
    std::fputs(
        "conode-cni is a CNI plugin: a container runtime starts it with CNI_COMMAND set and a "
        "network configuration on standard input\n",
        stderr);
  (void)std::signal(SIGPIPE, SIG_IGN);
  const Result<std::string> input = read_input();
  if (!input) {
    (void)deliver(error_reply({ErrorCode::io_failure, input.error()}));
    return 1;
  }
  const Reply reply = run_plugin(variable, *input);
  if (deliver(reply)) return reply.exit_code;
  if (reply.exit_code == 0) undo_add(variable, *input);
  return 1;
}

}  // namespace
}  // namespace conode::cni

int main() {
  try {
    return conode::cni::serve();
  } catch (const std::exception& e) {  // out of memory
    std::printf("{\"cniVersion\":\"1.1.0\",\"code\":999,\"msg\":\"%s\"}\n", e.what());
    return 1;
  }
}
