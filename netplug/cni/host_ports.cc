// SPDX-License-Identifier: Apache-2.0
// Theory of operation. Whoever opens ports first leaves a mark, `<data_dir>/<network>/ports/
// <container>:<interface>`, then adds elements; who closes them removes the mark last. So after
// kill -9 at any point DEL and GC find the mark, and without one they need not ask nftables. Each
// change of the table is one transaction of the kernel's; ours take turns by a lock.
#include "netplug/cni/host_ports.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "agent/base/file.h"
#include "netplug/cni/naming.h"
#include "netplug/link/nft.h"

namespace conode::cni {
namespace {

using nlohmann::json;

// Rules are the same for all; `flush` makes repeating them harmless. A connection from the node
// itself to 127.0.0.1 is left alone: such a source cannot leave the node.
constexpr const char* kTable = R"(
add table inet conode_hostports
add map inet conode_hostports any {
  type inet_proto . inet_service : ipv4_addr . inet_service; }
add map inet conode_hostports one {
  type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
add set inet conode_hostports loops { type ipv4_addr . ipv4_addr; }
add chain inet conode_hostports ports
add chain inet conode_hostports prerouting { type nat hook prerouting priority -100; }
add chain inet conode_hostports output { type nat hook output priority -100; }
add chain inet conode_hostports postrouting { type nat hook postrouting priority 100; }
flush table inet conode_hostports
add rule inet conode_hostports ports dnat ip to ip daddr . meta l4proto . th dport map @one
add rule inet conode_hostports ports dnat ip to meta l4proto . th dport map @any
add rule inet conode_hostports prerouting fib daddr type local goto ports
add rule inet conode_hostports output ip daddr != 127.0.0.0/8 fib daddr type local goto ports
add rule inet conode_hostports postrouting ip saddr . ip daddr @loops masquerade
)";

struct Element {
  std::string set;    // any, one, loops
  std::string key;    // "tcp . 8080"
  std::string value;  // "10.244.0.5 . 80"; empty: of a set, not of a map
  std::string owner;  // the comment
  auto operator<=>(const Element&) const = default;
};

std::vector<Element> elements_of(const NetworkConfig& config, const std::string& owner,
                                 Ipv4Address address) {
  std::vector<Element> elements;
  for (const PortMapping& port : config.ports) {
    const std::string key = fmt::format("{} . {}", port.protocol, port.host_port);
    const std::string value = fmt::format("{} . {}", address.text(), port.container_port);
    if (port.host_address) {
      elements.push_back({"one", port.host_address->text() + " . " + key, value, owner});
    } else {
      elements.push_back({"any", key, value, owner});
    }
  }
  // A container that reaches itself through the node would answer itself directly.
  elements.push_back({"loops", fmt::format("{0} . {0}", address.text()), "", owner});
  return elements;
}

std::string add_command(const Element& e) {
  return fmt::format("add element inet {} {} {{ {} comment \"{}\"{}{} }}\n", kPortTable, e.set,
                     e.key, e.owner, e.value.empty() ? "" : " : ", e.value);
}

std::string delete_command(const Element& e) {
  return fmt::format("delete element inet {} {} {{ {} }}\n", kPortTable, e.set, e.key);
}

// {"concat": ["tcp", 8080]} -> "tcp . 8080"
std::string words(const json& value) {
  std::vector<std::string> parts;
  for (const json& part : value.value("concat", json::array()))
    parts.push_back(part.is_string() ? part.get<std::string>() : part.dump());
  return fmt::format("{}", fmt::join(parts, " . "));
}

// What `nft -j` prints for one element: [{"elem": ...}, value] in a map, {"elem": ...} in a set.
void read_element(const std::string& set, const json& printed, std::vector<Element>& elements) {
  const bool in_map = printed.is_array() && printed.size() == 2;
  const json& key = in_map ? printed[0] : printed;
  if (!key.is_object() || !key.contains("elem")) return;  // without comment: not ours
  const json& elem = key["elem"];
  elements.push_back({set, words(elem.value("val", json::object())),
                      in_map ? words(printed[1]) : "", elem.value("comment", "")});
}

std::vector<Element> read_elements(const std::string& text) {
  std::vector<Element> elements;
  const json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return elements;
  for (const json& entry : document.value("nftables", json::array()))
    for (const char* kind : {"map", "set"}) {
      if (!entry.contains(kind)) continue;
      const json& set = entry[kind];
      for (const json& element : set.value("elem", json::array()))
        read_element(set.value("name", ""), element, elements);
    }
  return elements;
}

Result<std::vector<Element>> list_elements() {
  const Result<std::string> listed = run_nft({"-j", "list", "table", "inet", kPortTable});
  if (listed) return read_elements(*listed);
  if (listed.error().context.find("No such file or directory") != std::string::npos)
    return std::vector<Element>{};
  return tl::make_unexpected(listed.error());
}

std::string mark_directory(const NetworkConfig& config) {
  return fmt::format("{}/{}/ports", config.data_dir, config.name);
}

std::string mark_name(const Attachment& attachment) {  // an interface's name holds no colon
  return attachment.container + ":" + attachment.interface;
}

// Ours alone until the descriptor is closed. Nothing where there is no directory of marks.
Result<std::optional<UniqueFd>> lock_marks(const NetworkConfig& config) {
  const std::string path = mark_directory(config);
  Result<UniqueFd> dir = open_at(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
  if (!dir && dir.error().is(std::errc::no_such_file_or_directory)) return std::nullopt;
  if (!dir) return tl::make_unexpected(dir.error());
  while (::flock(dir->get(), LOCK_EX) != 0)
    if (errno != EINTR) return errno_failure(fmt::format("lock '{}'", path));
  return std::move(*dir);
}

Result<void> remove_elements(const std::function<bool(const std::string& owner)>& chosen) {
  std::string script;
  for (const Element& element : TRY(list_elements()))
    if (chosen(element.owner)) script += delete_command(element);
  if (!script.empty()) TRY(run_nft({"-f", "-"}, script));
  return {};
}

Result<void> remove_mark(const UniqueFd& marks, const std::string& name) {
  if (::unlinkat(marks.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
  return errno_failure(fmt::format("remove the mark '{}' of host ports", name));
}

// The ports of config.ports that somebody else has.
std::vector<std::string> taken_ports(const NetworkConfig& config, const std::string& owner,
                                     Ipv4Address address) {
  std::vector<std::string> taken;
  const std::vector<Element> wanted = elements_of(config, owner, address);
  const Result<std::vector<Element>> listed = list_elements();
  for (const Element& there : listed.value_or(std::vector<Element>{}))
    for (const Element& one : wanted)
      if (one.set == there.set && one.key == there.key && one.value != there.value)
        taken.push_back(fmt::format("'{}' leads to '{}'", one.key, there.value));
  return taken;
}

}  // namespace

CniResult<void> open_ports(const NetworkConfig& config, const Attachment& attachment,
                           Ipv4Address address) {
  if (config.ports.empty()) return {};
  TRY(with_code(ErrorCode::io_failure, make_dirs(mark_directory(config))));
  const std::optional<UniqueFd> marks = TRY(with_code(ErrorCode::io_failure, lock_marks(config)));
  if (!marks) return fail(ErrorCode::io_failure, "the directory of host ports vanished");
  TRY(with_code(ErrorCode::io_failure, open_at(marks->get(), mark_name(attachment),
                                               O_WRONLY | O_CREAT | O_NOFOLLOW, 0600)));
  const std::string owner = host_link_name(config.name, attachment);
  std::string script = kTable;
  for (const Element& element : elements_of(config, owner, address)) script += add_command(element);
  const Result<std::string> done = run_nft({"-f", "-"}, script);
  if (done) return {};
  (void)remove_mark(*marks, mark_name(attachment));  // the transaction left nothing
  const std::vector<std::string> taken = taken_ports(config, owner, address);
  if (taken.empty()) return fail(ErrorCode::internal, done.error());
  return fail(ErrorCode::try_again_later, "a host port is another container's: " + joined(taken),
              "delete that container, or choose another hostPort");
}

Result<void> close_ports(const NetworkConfig& config, const Attachment& attachment) {
  if (!exists(mark_directory(config) + "/" + mark_name(attachment))) return {};
  const std::optional<UniqueFd> marks = TRY(lock_marks(config));
  if (!marks) return {};
  const std::string ours = host_link_name(config.name, attachment);
  TRY(remove_elements([&](const std::string& owner) { return owner == ours; }));
  return remove_mark(*marks, mark_name(attachment));
}

Result<void> look_at_ports(const NetworkConfig& config, const Attachment& attachment,
                           Ipv4Address address, std::vector<std::string>& problems) {
  if (config.ports.empty()) return {};
  const std::vector<Element> there = TRY(list_elements());
  const std::string owner = host_link_name(config.name, attachment);
  for (const Element& wanted : elements_of(config, owner, address))
    if (std::find(there.begin(), there.end(), wanted) == there.end())
      problems.push_back(
          wanted.value.empty()
              ? fmt::format(
                    "the container does not reach itself through the node ('{}' is missing)",
                    wanted.key)
              : fmt::format("host port '{}' does not lead to '{}'", wanted.key, wanted.value));
  return {};
}

Result<void> close_stale_ports(const NetworkConfig& config) {
  const std::optional<UniqueFd> marks = TRY(lock_marks(config));
  if (!marks) return {};
  std::set<std::string> stale;
  for (const std::string& name : TRY(list_dir(mark_directory(config)))) stale.insert(name);
  std::set<std::string> keep;
  for (const Attachment& attachment : config.valid_attachments) {
    stale.erase(mark_name(attachment));
    keep.insert(host_link_name(config.name, attachment));
  }
  if (stale.empty()) return {};
  const std::string prefix = host_link_prefix(config.name);
  TRY(remove_elements([&](const std::string& owner) {
    return owner.starts_with(prefix) && keep.count(owner) == 0;
  }));
  for (const std::string& name : stale) TRY(remove_mark(*marks, name));
  return {};
}

}  // namespace conode::cni
