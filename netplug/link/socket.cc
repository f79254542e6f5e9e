// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/socket.h"

#include <fmt/format.h>
#include <linux/netlink.h>
#include <netlink/errno.h>
#include <sys/socket.h>

#include <array>

#include "netplug/link/nl.h"

namespace conode {
namespace {

// What the kernel answered to one request.
struct Answer {
  bool arrived = false;
  int error = 0;  // errno, 0 for an acknowledgement
  std::string words;
};

// The extended acknowledgement's text. With NETLINK_CAP_ACK the attributes follow the header.
std::string kernel_words(const nlmsgerr* error) {
  const auto* header =
      reinterpret_cast<const nlmsghdr*>(reinterpret_cast<const char*>(error) - NLMSG_HDRLEN);
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0 || (header->nlmsg_flags & NLM_F_CAPPED) == 0)
    return {};
  auto* first = reinterpret_cast<nlattr*>(const_cast<nlmsgerr*>(error + 1));
  const int length =
      static_cast<int>(header->nlmsg_len) - static_cast<int>(NLMSG_HDRLEN + sizeof(nlmsgerr));
  const nlattr* text = ::nla_find(first, length, NLMSGERR_ATTR_MSG);
  if (text == nullptr) return {};
  const auto* begin = static_cast<const char*>(::nla_data(text));
  return {begin, ::strnlen(begin, static_cast<size_t>(::nla_len(text)))};
}

int on_error(sockaddr_nl*, nlmsgerr* error, void* argument) {
  auto* answer = static_cast<Answer*>(argument);
  *answer = {.arrived = true, .error = -error->error, .words = kernel_words(error)};
  return NL_STOP;
}

int on_acknowledgement(nl_msg*, void* argument) {
  static_cast<Answer*>(argument)->arrived = true;
  return NL_STOP;
}

}  // namespace

int nl::errno_of(int nl_error) {
  // The ones that our operations can meet; libnl maps errno to these and not back.
  static constexpr std::array<std::pair<int, int>, 12> kTable{{{NLE_NODEV, ENODEV},
                                                               {NLE_OBJ_NOTFOUND, ENOENT},
                                                               {NLE_EXIST, EEXIST},
                                                               {NLE_PERM, EPERM},
                                                               {NLE_NOACCESS, EACCES},
                                                               {NLE_NOMEM, ENOMEM},
                                                               {NLE_INVAL, EINVAL},
                                                               {NLE_BUSY, EBUSY},
                                                               {NLE_OPNOTSUPP, EOPNOTSUPP},
                                                               {NLE_AF_NOSUPPORT, EAFNOSUPPORT},
                                                               {NLE_AGAIN, EAGAIN},
                                                               {NLE_DUMP_INTR, EINTR}}};
  for (const auto& [nle, code] : kTable)
    if (nle == std::abs(nl_error)) return code;
  return EPROTO;
}

void Socket::Close::operator()(nl_sock* socket) const { ::nl_socket_free(socket); }
Socket::Socket(Socket&&) noexcept = default;
Socket& Socket::operator=(Socket&&) noexcept = default;
Socket::~Socket() = default;

Result<Socket> Socket::open() {
  Socket made(::nl_socket_alloc());
  if (!made.socket_) return code_failure(ENOMEM, "create a netlink socket");
  if (const int error = ::nl_connect(made.native(), NETLINK_ROUTE); error < 0)
    return code_failure(nl::errno_of(error), "connect a netlink socket");
  const int on = 1;
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK})  // older kernels: errno only
    (void)::setsockopt(::nl_socket_get_fd(made.native()), SOL_NETLINK, option, &on, sizeof on);
  return made;
}

Result<Socket> Socket::open(const Netns& netns) {
  return netns.run([] { return open(); });
}

Result<void> Socket::request(nl_msg* message, const std::string& what) {
  Answer answer;
  const nl::Ptr<nl_cb> callbacks(::nl_cb_alloc(NL_CB_DEFAULT));
  if (!callbacks || message == nullptr) return code_failure(ENOMEM, what);
  ::nl_cb_err(callbacks.get(), NL_CB_CUSTOM, on_error, &answer);
  ::nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, on_acknowledgement, &answer);
  if (const int sent = ::nl_send_auto(native(), message); sent < 0)
    return code_failure(nl::errno_of(sent), what);
  while (!answer.arrived) {
    const int received = ::nl_recvmsgs(native(), callbacks.get());
    if (received < 0 && !answer.arrived) return code_failure(nl::errno_of(received), what);
  }
  if (answer.error == 0) return {};
  return code_failure(answer.error,
                      answer.words.empty() ? what : fmt::format("{} ({})", what, answer.words));
}

}  // namespace conode
