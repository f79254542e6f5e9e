// SPDX-License-Identifier: Apache-2.0
#include "netplug/cni/config.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace conode::cni {
namespace {

using nlohmann::json;

constexpr int kLeastMtu = 68;  // RFC 791
constexpr int kGreatestMtu = 65535;
constexpr int kGreatestPort = 65535;
constexpr std::array<std::string_view, 3> kProtocols{"tcp", "udp", "sctp"};
constexpr int kLeastLength = 8;  // of the range: /8
constexpr int kLongestBridged = 30;
constexpr Ipv4Address kRoutedGateway{0xa9fe0101};  // 169.254.1.1
constexpr const char* kAddress = "an IPv4 address";

const json* member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

std::string shown(const json& value) {
  constexpr size_t kEnough = 80;
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kEnough) text = text.substr(0, kEnough) + "...";
  return text;
}

// No exception, and no document so deep that writing it out again exhausts the stack.
CniResult<json> decode(std::string_view text) {
  constexpr int kDeepest = 64;
  bool too_deep = false;
  const auto watch = [&](int depth, json::parse_event_t, json&) {
    too_deep = too_deep || depth > kDeepest;
    return !too_deep;
  };
  json document = json::parse(text, watch, /*allow_exceptions=*/false);
  if (too_deep)
    return fail(ErrorCode::decoding_failure,
                fmt::format("decode the network configuration: nested deeper than {}", kDeepest));
  if (document.is_discarded() || !document.is_object())
    return fail(ErrorCode::decoding_failure,
                "decode the network configuration: standard input is not a JSON object");
  return document;
}

CniResult<void> check_version(const json& document, Command command) {
  const json* version = member(document, "cniVersion");
  const std::string text = version == nullptr     ? "0.1.0"  // the specification's default
                           : version->is_string() ? version->get<std::string>()
                                                  : std::string();
  if (text.empty())
    return fail(ErrorCode::decoding_failure,
                fmt::format("decode 'cniVersion': {} is no version", shown(*version)));
  const auto& known = supported_versions();
  if (std::find(known.begin(), known.end(), text) == known.end())
    return fail(ErrorCode::incompatible_version, "incompatible CNI version",
                fmt::format("cniVersion is '{}', supported are {}", text, joined(known)));
  const bool newer = command == Command::gc || command == Command::status;
  if (newer && text != kNewestVersion)
    return fail(ErrorCode::incompatible_version, "incompatible CNI version",
                fmt::format("cniVersion is '{}', GC and STATUS need {}", text, kNewestVersion));
  return {};
}

// Reads typed fields and remembers every problem.
class Reader {
 public:
  void bad(const char* key, const json& value, std::string_view rule) {
    problems_.push_back(fmt::format("'{}' is {}: must be {}", key, shown(value), rule));
  }

  std::optional<std::string> string(const json& object, const char* key, const char* shown_key,
                                    std::string_view rule) {
    const json* value = member(object, key);
    if (value == nullptr) return std::nullopt;
    if (value->is_string()) return value->get<std::string>();
    bad(shown_key, *value, rule);
    return std::nullopt;
  }

  // T::parse of a string.
  template <typename T>
  std::optional<T> parsed(const json& object, const char* key, const char* shown_key,
                          std::string_view rule) {
    const std::optional<std::string> text = string(object, key, shown_key, rule);
    if (!text) return std::nullopt;
    if (const Result<T> value = T::parse(*text)) return *value;
    bad(shown_key, *text, rule);
    return std::nullopt;
  }

  json of_type(const json& object, const char* key, json::value_t type, std::string_view rule) {
    const json* value = member(object, key);
    if (value == nullptr || value->is_null()) return {};
    if (value->type() == type) return *value;
    bad(key, *value, rule);
    return {};
  }

  void missing(const char* key) { problems_.push_back(fmt::format("'{}' is missing", key)); }
  [[nodiscard]] const std::vector<std::string>& problems() const { return problems_; }

 private:
  std::vector<std::string> problems_;
};

bool is_network_name(const std::string& name) {
  return Attachment::parse(name + "/x").has_value();  // the same rule as a container's id
}

bool is_interface_name(const std::string& name) {
  return Attachment::parse("x/" + name).has_value();
}

void read_name(Reader& reader, const json& document, NetworkConfig& config) {
  constexpr const char* kRule = "letters, digits, '_', '.' or '-', the first a letter or digit";
  const std::optional<std::string> name = reader.string(document, "name", "name", kRule);
  if (name && !is_network_name(*name)) reader.bad("name", *name, kRule);
  if (member(document, "name") == nullptr) reader.missing("name");
  config.name = name.value_or("");
}

void read_addressing(Reader& reader, const json& document, NetworkConfig& config) {
  constexpr const char* kRange = "an IPv4 prefix from /8 to /32 such as \"10.244.0.0/24\"";
  const json ipam = reader.of_type(document, "ipam", json::value_t::object, "an object");
  if (member(ipam, "range") == nullptr) reader.missing("ipam.range");
  if (const auto range = reader.parsed<Ipv4Prefix>(ipam, "range", "ipam.range", kRange)) {
    if (range->length < kLeastLength) reader.bad("ipam.range", range->text(), kRange);
    config.range = {range->network(), range->length};
  }
  constexpr const char* kRange6 = "an IPv6 prefix with as many addresses as ipam.range or more";
  config.range6 = reader.parsed<Ipv6Prefix>(ipam, "range6", "ipam.range6", kRange6);
  if (config.range6 && 128 - config.range6->length < 32 - config.range.length)
    reader.bad("ipam.range6", config.range6->text(), kRange6);
  constexpr const char* kPath = "an absolute path";
  if (const auto dir = reader.string(ipam, "data_dir", "ipam.data_dir", kPath)) {
    if (!dir->starts_with('/')) reader.bad("ipam.data_dir", *dir, kPath);
    config.data_dir = *dir;
  }
  config.node_address =
      reader.parsed<Ipv4Address>(document, "node_address", "node_address", kAddress);
}

// After mode and range, which say what it is where nothing is said.
void read_gateway(Reader& reader, const json& document, NetworkConfig& config) {
  const bool bridge = config.mode == Mode::bridge;
  config.gateway = bridge ? Ipv4Address{config.range.network().value + 1} : kRoutedGateway;
  if (const auto to = reader.parsed<Ipv4Address>(document, "gateway", "gateway", kAddress))
    config.gateway = *to;
  if (!bridge || config.range == NetworkConfig{}.range) return;  // the range is no range
  if (config.range.length > kLongestBridged)
    return reader.bad("ipam.range", config.range.text(), "/30 or larger in mode bridge");
  const uint64_t place = config.gateway.value - uint64_t{config.range.network().value};
  if (place == 0 || place >= config.range.size() - 1)
    reader.bad("gateway", config.gateway.text(),
               "an address of ipam.range in mode bridge, neither its first nor its last");
}

void read_mode(Reader& reader, const json& document, NetworkConfig& config) {
  const json* mode = member(document, "mode");
  if (mode != nullptr && *mode != "routed" && *mode != "bridge")
    reader.bad("mode", *mode, "\"routed\" or \"bridge\"");
  if (mode != nullptr && *mode == "bridge") config.mode = Mode::bridge;
  constexpr const char* kRule =
      "an interface's name: 1 to 15 characters without '/', ':' or spaces";
  if (const auto name = reader.string(document, "bridge", "bridge", kRule)) {
    if (!is_interface_name(*name)) reader.bad("bridge", *name, kRule);
    config.bridge = *name;
  }
}

void read_mtu(Reader& reader, const json& document, NetworkConfig& config) {
  const json* mtu = member(document, "mtu");
  if (mtu == nullptr) return;
  const auto in_bounds = [](const json& v) {
    return v.is_number_unsigned() && (v == 0 || (v >= kLeastMtu && v <= kGreatestMtu));
  };
  if (in_bounds(*mtu)) {
    config.mtu = mtu->get<int>();
  } else {
    reader.bad("mtu", *mtu, fmt::format("0 or {} to {}", kLeastMtu, kGreatestMtu));
  }
}

void read_valid_attachments(Reader& reader, const json& document, NetworkConfig& config) {
  constexpr const char* kKey = "cni.dev/valid-attachments";
  const json* list = member(document, kKey);
  // libcni says "none is valid" by null or by no key at all (GCNetworkList without arguments).
  if (list == nullptr || list->is_null()) return;
  if (!list->is_array()) return reader.bad(kKey, *list, "an array");
  for (const json& entry : *list) {
    const json* container = member(entry, "containerID");
    const json* interface = member(entry, "ifname");
    if (container != nullptr && container->is_string() && interface != nullptr &&
        interface->is_string()) {
      config.valid_attachments.push_back({*container, *interface});
    } else {
      reader.bad(kKey, entry, "objects with 'containerID' and 'ifname'");
    }
  }
}

// The specification writes "hostPort", containerd sends "HostPort", and Go's reader of JSON takes
// both.
const json* member_of_any_case(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  for (auto item = object.begin(); item != object.end(); ++item)
    if (::strcasecmp(item.key().c_str(), key) == 0) return &item.value();
  return nullptr;
}

std::optional<PortMapping> read_port(const json& entry) {
  const auto number = [&](const char* key) -> std::optional<uint16_t> {
    const json* value = member_of_any_case(entry, key);
    if (value == nullptr || !value->is_number_unsigned() || *value > kGreatestPort)
      return std::nullopt;
    return value->get<uint16_t>();
  };
  const auto text = [&](const char* key) -> std::optional<std::string> {
    const json* value = member_of_any_case(entry, key);
    if (value == nullptr) return "";
    return value->is_string() ? std::optional(value->get<std::string>()) : std::nullopt;
  };
  const auto host = number("hostPort");
  const auto container = number("containerPort");
  auto protocol = text("protocol");
  const auto address = text("hostIP");
  if (!host || !container || *container == 0 || !protocol || !address) return std::nullopt;
  for (char& c : *protocol) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (protocol->empty()) protocol = "tcp";
  if (std::find(kProtocols.begin(), kProtocols.end(), *protocol) == kProtocols.end())
    return std::nullopt;
  PortMapping port{*protocol, *host, *container, std::nullopt};
  if (address->empty() || *address == "0.0.0.0" || *address == "::") return port;
  const Result<Ipv4Address> parsed = Ipv4Address::parse(*address);
  if (!parsed) return std::nullopt;
  port.host_address = *parsed;
  return port;
}

void read_ports(Reader& reader, const json& document, NetworkConfig& config) {
  constexpr const char* kKey = "runtimeConfig.portMappings";
  const json* runtime = member(document, "runtimeConfig");
  const json* list = runtime == nullptr ? nullptr : member(*runtime, "portMappings");
  if (list == nullptr || list->is_null()) return;
  if (!list->is_array()) return reader.bad(kKey, *list, "an array");
  for (const json& entry : *list) {
    const std::optional<PortMapping> port = read_port(entry);
    if (!port) {
      reader.bad(kKey, entry,
                 "objects with 'hostPort' and 'containerPort' from 1 to 65535, 'protocol' tcp, udp "
                 "or sctp, 'hostIP' an IPv4 address or absent");
    } else if (port->host_port != 0) {  // 0: the runtime has no host port to ask for
      config.ports.push_back(*port);
    }
  }
}

std::vector<std::string> unsupported_fields(const json& document) {
  std::vector<std::string> found;
  const auto note = [&](const char* key, const json& value, const char* advice) {
    found.push_back(fmt::format("{}: {} ({})", key, shown(value), advice));
  };
  if (const json* masquerade = member(document, "ipMasq"); masquerade && *masquerade == true)
    note("ipMasq", *masquerade, "containers are routed, egress is the uplink's");
  const json* ipam = member(document, "ipam");
  const json* type = ipam == nullptr ? nullptr : member(*ipam, "type");
  if (type != nullptr && *type != json("") && *type != "conode")
    note("ipam.type", *type, "addresses are given by this plugin: leave it out");
  return found;
}

}  // namespace

const std::vector<std::string>& supported_versions() {
  static const std::vector<std::string> kVersions{"1.0.0", kNewestVersion};
  return kVersions;
}

CniResult<NetworkConfig> parse_config(std::string_view text, Command command) {
  const json document = TRY(decode(text));
  TRY(check_version(document, command));
  NetworkConfig config;
  config.cni_version = document["cniVersion"].get<std::string>();
  Reader reader;
  read_name(reader, document, config);
  read_mode(reader, document, config);
  read_addressing(reader, document, config);
  read_gateway(reader, document, config);
  read_mtu(reader, document, config);
  // DEL and GC undo what was done, whatever is asked for now.
  if (command == Command::add || command == Command::check) read_ports(reader, document, config);
  if (command == Command::gc) read_valid_attachments(reader, document, config);
  config.dns = reader.of_type(document, "dns", json::value_t::object, "an object");
  config.prev_result = reader.of_type(document, "prevResult", json::value_t::object, "an object");
  if (command == Command::check && member(document, "prevResult") == nullptr)
    reader.missing("prevResult");
  if (!reader.problems().empty())
    return fail(ErrorCode::invalid_config, "invalid network configuration",
                joined(reader.problems()));
  config.unsupported = unsupported_fields(document);
  return config;
}

std::string version_of(std::string_view text) {
  const CniResult<json> document = decode(text);
  const json* version = document ? member(*document, "cniVersion") : nullptr;
  if (version == nullptr || !version->is_string()) return kNewestVersion;
  return version->get<std::string>();
}

}  // namespace conode::cni
