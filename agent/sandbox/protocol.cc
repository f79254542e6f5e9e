// SPDX-License-Identifier: Apache-2.0
#include "agent/sandbox/protocol.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace conode::sandbox {
namespace {

constexpr size_t kLargest = 128U << 10U;  // below the default net.core.wmem_max

struct Header {
  Kind kind = Kind::setup;
  uint32_t id = 0;
  int32_t value = 0;
};

using ControlBuffer = std::array<char, CMSG_SPACE(sizeof(int))>;

void attach_fd(msghdr& header, ControlBuffer& control, int fd) {
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  cmsghdr* rights = CMSG_FIRSTHDR(&header);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
}

UniqueFd detach_fd(msghdr& header) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return UniqueFd(fd);
  }
  return {};
}

// A loop has made the socket non-blocking; the peer takes what comes within milliseconds.
bool wait_for_space(int socket) {
  constexpr int kPatience = 5000;  // ms
  pollfd space{socket, POLLOUT, 0};
  const int ready = ::poll(&space, 1, kPatience);
  if (ready == 0) errno = EAGAIN;
  return ready > 0;
}

}  // namespace

Result<void> send(int socket, const Message& message) {
  Header head{message.kind, message.id, message.value};
  std::string body;
  for (const std::string& s : message.strings) body.append(s).push_back('\0');
  if (body.size() > kLargest) return code_failure(EMSGSIZE, "message to the sandbox");
  std::array<iovec, 2> parts{iovec{&head, sizeof head}, iovec{body.data(), body.size()}};
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = parts.size();
  alignas(cmsghdr) ControlBuffer control{};
  if (message.fd) attach_fd(header, control, message.fd.get());
  while (::sendmsg(socket, &header, MSG_NOSIGNAL) < 0) {
    if (errno == EAGAIN && wait_for_space(socket)) continue;
    if (errno != EINTR) return errno_failure("send between agent and sandbox");
  }
  return {};
}

Result<std::optional<Message>> receive(int socket, bool wait) {
  Header head;
  std::vector<char> body(kLargest);
  std::array<iovec, 2> parts{iovec{&head, sizeof head}, iovec{body.data(), body.size()}};
  msghdr header{};
  header.msg_iov = parts.data();
  header.msg_iovlen = parts.size();
  alignas(cmsghdr) ControlBuffer control{};
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t n = 0;
  while ((n = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC | (wait ? 0 : MSG_DONTWAIT))) < 0)
    if (errno != EINTR) return errno_failure("receive between agent and sandbox");
  UniqueFd fd = detach_fd(header);
  if (n == 0) return std::optional<Message>{};
  if (static_cast<size_t>(n) < sizeof head || (header.msg_flags & MSG_TRUNC) != 0)
    return code_failure(EPROTO, "receive between agent and sandbox");
  Message message{head.kind, head.id, head.value, {}, std::move(fd)};
  for (size_t at = 0, end = static_cast<size_t>(n) - sizeof head; at < end;) {
    message.strings.emplace_back(body.data() + at, ::strnlen(body.data() + at, end - at));
    at += message.strings.back().size() + 1;
  }
  return std::optional<Message>(std::move(message));
}

}  // namespace conode::sandbox
