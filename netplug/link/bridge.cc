// SPDX-License-Identifier: Apache-2.0
// libnl 3.7 knows neither a bridge's own settings nor its ports' as part of a link, so their
// attributes are put into the messages here.
#include "netplug/link/bridge.h"

#include <fmt/format.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <array>

#include "agent/base/file.h"
#include "netplug/link/nl.h"

namespace conode {
namespace {

struct Setting {
  int attribute;
  uint8_t value;
};
template <size_t N>
bool put_settings(nl_msg* message, int nest, const std::array<Setting, N>& settings) {
  nlattr* data = ::nla_nest_start(message, nest);
  if (data == nullptr) return false;
  for (const Setting& setting : settings)
    if (::nla_put_u8(message, setting.attribute, setting.value) < 0) return false;
  return ::nla_nest_end(message, data) == 0;
}

// About the link `index` (0: a new one), with room for attributes. Null when memory is out.
nl::Ptr<nl_msg> link_message(int type, int flags, int index, unsigned char family = AF_UNSPEC,
                             unsigned link_flags = 0) {
  nl::Ptr<nl_msg> message(::nlmsg_alloc_simple(type, flags));
  ifinfomsg header{};
  header.ifi_family = family;
  header.ifi_index = index;
  header.ifi_flags = header.ifi_change = link_flags;
  if (message && ::nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0)
    message.reset();
  return message;
}

template <size_t N>
bool put_bridge_settings(nl_msg* message, const std::array<Setting, N>& settings) {
  nlattr* info = ::nla_nest_start(message, IFLA_LINKINFO);
  return info != nullptr && ::nla_put_string(message, IFLA_INFO_KIND, "bridge") == 0 &&
         put_settings(message, IFLA_INFO_DATA, settings) && ::nla_nest_end(message, info) == 0;
}

bool put_filtering(nl_msg* message, bool on) {
  const auto value = static_cast<uint8_t>(on ? 1 : 0);
  return put_bridge_settings(message, std::array{Setting{IFLA_BR_NF_CALL_IPTABLES, value},
                                                 Setting{IFLA_BR_NF_CALL_IP6TABLES, value}});
}

const nlattr* inside(const nlattr* outer, int type) {
  if (outer == nullptr) return nullptr;
  return ::nla_find(static_cast<const nlattr*>(::nla_data(outer)), ::nla_len(outer), type);
}

bool is_set(const nlattr* data, int type) {
  const nlattr* value = inside(data, type);
  return value != nullptr && ::nla_get_u8(value) != 0;
}

// Hands IFLA_LINKINFO's attribute `argument->type` of the one answer to `argument->read`.
struct Wanted {
  int type;
  std::function<void(const nlattr* data)> read;
};
int on_link(nl_msg* message, void* argument) {
  const auto* wanted = static_cast<const Wanted*>(argument);
  const nlattr* info = ::nlmsg_find_attr(::nlmsg_hdr(message), sizeof(ifinfomsg), IFLA_LINKINFO);
  wanted->read(inside(info, wanted->type));
  return NL_OK;
}

Result<void> read_link_info(Socket& socket, int index, const std::string& what, Wanted wanted) {
  const nl::Ptr<nl_msg> message = link_message(RTM_GETLINK, 0, index);
  const nl::Ptr<nl_cb> callbacks(::nl_cb_alloc(NL_CB_DEFAULT));
  if (!message || !callbacks) return code_failure(ENOMEM, what);
  ::nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, on_link, &wanted);
  int error = ::nl_send_auto(socket.native(), message.get());
  if (error >= 0) error = ::nl_recvmsgs(socket.native(), callbacks.get());  // the link
  if (error >= 0) error = ::nl_wait_for_ack(socket.native());
  if (error < 0) return code_failure(nl::errno_of(error), what);
  return {};
}

}  // namespace

Result<bool> create_bridge(Socket& socket, const BridgeSettings& settings) {
  const std::string what = fmt::format("create bridge '{}'", settings.name);
  const nl::Ptr<nl_msg> message =
      link_message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, 0, AF_UNSPEC, IFF_UP);
  if (!message || ::nla_put_string(message.get(), IFLA_IFNAME, settings.name.c_str()) < 0 ||
      ::nla_put(message.get(), IFLA_ADDRESS, static_cast<int>(settings.mac.bytes.size()),
                settings.mac.bytes.data()) < 0 ||
      (settings.mtu > 0 &&
       ::nla_put_u32(message.get(), IFLA_MTU, static_cast<uint32_t>(settings.mtu)) < 0) ||
      !put_filtering(message.get(), true))
    return code_failure(ENOMEM, what);
  const Result<void> done = socket.request(message.get(), what);
  if (done) return true;
  if (done.error().is(std::errc::file_exists)) return false;
  return tl::make_unexpected(done.error());
}

Result<std::optional<Bridge>> find_bridge(Socket& socket, const std::string& name) {
  const std::optional<Link> link = TRY(find_link(socket, name));
  if (!link) return std::nullopt;
  const std::string what = fmt::format("read bridge '{}'", name);
  if (link->kind != "bridge")
    return code_failure(EINVAL, fmt::format("{} (it is a link of kind '{}')", what, link->kind));
  Bridge bridge{.link = *link};
  TRY(read_link_info(socket, link->index, what, {IFLA_INFO_DATA, [&](const nlattr* data) {
                                                   bridge.filters_ipv4 =
                                                       is_set(data, IFLA_BR_NF_CALL_IPTABLES);
                                                   bridge.filters_ipv6 =
                                                       is_set(data, IFLA_BR_NF_CALL_IP6TABLES);
                                                 }}));
  return bridge;
}

Result<void> set_bridge_filtering(Socket& socket, int index, bool on) {
  const std::string what =
      fmt::format("switch netfilter of bridge {} {}", index, on ? "on" : "off");
  const nl::Ptr<nl_msg> message = link_message(RTM_NEWLINK, 0, index);
  if (!message || !put_filtering(message.get(), on)) return code_failure(ENOMEM, what);
  return socket.request(message.get(), what);
}

Result<void> make_bridge_plain(Socket& socket, int index) {
  const std::string what = fmt::format("make bridge {} plain", index);
  const nl::Ptr<nl_msg> message = link_message(RTM_NEWLINK, 0, index);
  if (!message ||
      !put_bridge_settings(
          message.get(),
          std::array{Setting{IFLA_BR_MCAST_SNOOPING, 0}, Setting{IFLA_BR_NF_CALL_IPTABLES, 0},
                     Setting{IFLA_BR_NF_CALL_IP6TABLES, 0}, Setting{IFLA_BR_NF_CALL_ARPTABLES, 0}}))
    return code_failure(ENOMEM, what);
  return socket.request(message.get(), what);
}

namespace {

// As the bridge's own family: with RTM_NEWLINK a port that is disabled comes up again at once.
template <size_t N>
Result<void> change_port(Socket& socket, int index, const std::string& what,
                         const std::array<Setting, N>& settings) {
  const nl::Ptr<nl_msg> message = link_message(RTM_SETLINK, 0, index, AF_BRIDGE);
  if (!message || !put_settings(message.get(), IFLA_PROTINFO, settings))
    return code_failure(ENOMEM, what);
  return socket.request(message.get(), what);
}

}  // namespace

Result<void> set_bridge_port(Socket& socket, int index, const PortSettings& settings) {
  return change_port(
      socket, index, fmt::format("set up bridge port {}", index),
      std::array{Setting{IFLA_BRPORT_MODE, static_cast<uint8_t>(settings.hairpin ? 1 : 0)},
                 Setting{IFLA_BRPORT_ISOLATED, static_cast<uint8_t>(settings.isolated ? 1 : 0)},
                 Setting{IFLA_BRPORT_LEARNING, static_cast<uint8_t>(settings.learning ? 1 : 0)}});
}

Result<void> disable_bridge_port(Socket& socket, int index) {
  Result<void> done = change_port(socket, index, fmt::format("disable bridge port {}", index),
                                  std::array{Setting{IFLA_BRPORT_STATE, BR_STATE_DISABLED}});
  if (done || done.error().is(std::errc::network_down) ||
      done.error().is(std::errc::no_such_device))
    return {};
  return done;
}

Result<PortSettings> bridge_port(Socket& socket, int index) {
  PortSettings settings;
  TRY(read_link_info(socket, index, fmt::format("read bridge port {}", index),
                     {IFLA_INFO_SLAVE_DATA, [&](const nlattr* data) {
                        settings.hairpin = is_set(data, IFLA_BRPORT_MODE);
                        settings.isolated = is_set(data, IFLA_BRPORT_ISOLATED);
                        settings.learning = is_set(data, IFLA_BRPORT_LEARNING);
                      }}));
  return settings;
}

// The module has one of the two: its sysctls are in every network namespace since Linux 5.3, but a
// kernel that has it built in does not list it as a module.
bool has_bridge_netfilter() {
  return exists("/proc/sys/net/bridge/bridge-nf-call-iptables") ||
         exists("/sys/module/br_netfilter");
}

}  // namespace conode
