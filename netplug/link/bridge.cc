// SPDX-License-Identifier: Apache-2.0
// libnl 3.7 knows neither a bridge's own settings nor its ports' as part of a link, so their
// attributes are put into the messages here.
#include "netplug/link/bridge.h"

#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>

#include <array>

#include "agent/base/file.h"
#include "netplug/link/nl.h"

namespace conode {
namespace {

// RTM_NEWLINK for the link `index` (0: for a new one), with room for attributes.
nl::Ptr<nl_msg> link_message(int flags, int index, unsigned link_flags = 0) {
  nl::Ptr<nl_msg> message(::nlmsg_alloc_simple(RTM_NEWLINK, flags));
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = index;
  header.ifi_flags = header.ifi_change = link_flags;
  if (message && ::nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0)
    message.reset();
  return message;
}

// IFLA_LINKINFO { `kind_attribute`: "bridge", `data_attribute` { attribute: value ... } }
struct Setting {
  int attribute;
  bool value;
};
template <size_t N>
bool put_link_info(nl_msg* message, int kind_attribute, int data_attribute,
                   const std::array<Setting, N>& settings) {
  nlattr* info = ::nla_nest_start(message, IFLA_LINKINFO);
  if (info == nullptr || ::nla_put_string(message, kind_attribute, "bridge") < 0) return false;
  nlattr* data = ::nla_nest_start(message, data_attribute);
  if (data == nullptr) return false;
  for (const Setting& setting : settings)
    if (::nla_put_u8(message, setting.attribute, setting.value ? 1 : 0) < 0) return false;
  return ::nla_nest_end(message, data) == 0 && ::nla_nest_end(message, info) == 0;
}

bool put_filtering(nl_msg* message, bool on) {
  return put_link_info(
      message, IFLA_INFO_KIND, IFLA_INFO_DATA,
      std::array{Setting{IFLA_BR_NF_CALL_IPTABLES, on}, Setting{IFLA_BR_NF_CALL_IP6TABLES, on}});
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
  const nl::Ptr<nl_msg> message(::nlmsg_alloc_simple(RTM_GETLINK, 0));
  const nl::Ptr<nl_cb> callbacks(::nl_cb_alloc(NL_CB_DEFAULT));
  ifinfomsg header{};
  header.ifi_index = index;
  if (!message || !callbacks ||
      ::nlmsg_append(message.get(), &header, sizeof header, NLMSG_ALIGNTO) < 0)
    return code_failure(ENOMEM, what);
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
  const nl::Ptr<nl_msg> message = link_message(NLM_F_CREATE | NLM_F_EXCL, 0, IFF_UP);
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
  const nl::Ptr<nl_msg> message = link_message(0, index);
  if (!message || !put_filtering(message.get(), on)) return code_failure(ENOMEM, what);
  return socket.request(message.get(), what);
}

Result<void> set_bridge_port(Socket& socket, int index, const PortSettings& settings) {
  const std::string what = fmt::format("set up bridge port {}", index);
  const nl::Ptr<nl_msg> message = link_message(0, index);
  if (!message || !put_link_info(message.get(), IFLA_INFO_SLAVE_KIND, IFLA_INFO_SLAVE_DATA,
                                 std::array{Setting{IFLA_BRPORT_MODE, settings.hairpin},
                                            Setting{IFLA_BRPORT_ISOLATED, settings.isolated}}))
    return code_failure(ENOMEM, what);
  return socket.request(message.get(), what);
}

Result<PortSettings> bridge_port(Socket& socket, int index) {
  PortSettings settings;
  TRY(read_link_info(socket, index, fmt::format("read bridge port {}", index),
                     {IFLA_INFO_SLAVE_DATA, [&](const nlattr* data) {
                        settings.hairpin = is_set(data, IFLA_BRPORT_MODE);
                        settings.isolated = is_set(data, IFLA_BRPORT_ISOLATED);
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
