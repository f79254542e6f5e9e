// SPDX-License-Identifier: Apache-2.0
#include "agent/config/value.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <climits>
#include <optional>
#include <variant>

#include "agent/config/units.h"

namespace conode::config {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

namespace {

// What a text says, before it is known to be within bounds.
using Value =
    std::variant<uint64_t, double, bool, std::string, const google::protobuf::EnumValueDescriptor*>;

Failure unexpected_value(const Key& key, std::string remedy = {}) {
  if (remedy.empty() && key.options().has_example())
    remedy = fmt::format("such as {}", key.options().example());
  return failure("expected " + expectation(key), std::move(remedy));
}

bool is_job_name(std::string_view text) {
  constexpr size_t kLongest = 48;
  const auto allowed = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kLongest &&
         std::all_of(text.begin(), text.end(), allowed) &&
         std::isalnum(static_cast<unsigned char>(text[0])) != 0;
}

bool is_label(std::string_view text) {
  constexpr size_t kLongest = 63;
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && text.size() <= kLongest &&
         std::all_of(text.begin(), text.end(), allowed) && text.front() != '-' &&
         text.back() != '-';
}

bool is_domain(std::string_view text) {
  constexpr size_t kLongest = 253;
  if (text.size() > kLongest) return false;
  for (size_t dot = 0; (dot = text.find('.')) != std::string_view::npos;
       text.remove_prefix(dot + 1))
    if (!is_label(text.substr(0, dot))) return false;
  return is_label(text);
}

// Networks that no node may have: this host, loopback, link-local, multicast and above.
bool is_reserved(const Ipv4Prefix& prefix) {
  for (const char* text : {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"})
    if (prefix.overlaps(*parse_prefix(text))) return true;
  return false;
}

Result<Value> parse_prefix_value(const Key& key, std::string_view text) {
  const auto prefix = parse_prefix(text);
  if (!prefix) return unexpected_value(key);
  const unsigned shortest = static_cast<unsigned>(*parse_count(key.options().min()));
  const unsigned longest = static_cast<unsigned>(*parse_count(key.options().max()));
  if (prefix->length < shortest || prefix->length > longest) return unexpected_value(key);
  if (prefix->has_host_bits())
    return failure(fmt::format("has bits set beyond its length /{}", prefix->length),
                   "write " + format_prefix({prefix->address & prefix->mask(), prefix->length}));
  if (is_reserved(*prefix))
    return failure("is in a range that hosts cannot use",
                   "take it from 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16");
  return Value(format_prefix(*prefix));
}

// What ssh takes as its destination, and never as an option.
bool is_host(std::string_view text) {
  constexpr size_t kLongest = 255;
  return !text.empty() && text.size() <= kLongest && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

bool is_address(std::string_view text) {
  in_addr parsed{};
  return ::inet_pton(AF_INET, std::string(text).c_str(), &parsed) == 1;
}

bool is_endpoint(std::string_view text) {
  constexpr uint64_t kLargest = 65535;
  const size_t colon = text.find(':');
  if (!is_address(text.substr(0, colon))) return false;
  if (colon == std::string_view::npos) return true;
  const auto port = parse_count(text.substr(colon + 1));
  return port && *port > 0 && *port <= kLargest;
}

bool fits(schema::Kind kind, std::string_view text) {
  if (kind == schema::NAME) return is_job_name(text);
  if (kind == schema::DOMAIN) return is_domain(text);
  if (kind == schema::HOST) return is_host(text);
  if (kind == schema::ADDRESS) return is_address(text);
  if (kind == schema::ENDPOINT) return is_endpoint(text);
  return !text.empty() && text.size() < PATH_MAX;
}

Result<Value> parse_string(const Key& key, std::string_view text) {
  const schema::Kind kind = key.options().kind();
  if (kind == schema::PREFIX) return parse_prefix_value(key, text);
  if (!fits(kind, text)) return unexpected_value(key);
  return Value(std::string(text));
}

std::optional<uint64_t> parse_number(schema::Kind kind, std::string_view text) {
  if (kind == schema::BYTES) return parse_bytes(text);
  if (kind != schema::DURATION) return parse_count(text);
  const auto duration = parse_duration(text);
  if (!duration) return {};
  return static_cast<uint64_t>(duration->count());
}

// The bounds are the schema's own text: they always parse.
Result<Value> parse_bounded(const Key& key, std::string_view text) {
  const schema::KeyOptions& options = key.options();
  if (options.kind() == schema::SHARE) {
    const auto share = parse_share(text);
    if (share && *share >= *parse_share(options.min()) && *share <= *parse_share(options.max()))
      return Value(*share);
    return unexpected_value(key);
  }
  const auto number = parse_number(options.kind(), text);
  if (number && *number >= *parse_number(options.kind(), options.min()) &&
      *number <= *parse_number(options.kind(), options.max()))
    return Value(*number);
  return unexpected_value(key);
}

Result<Value> parse_value(const Key& key, std::string_view text) {
  if (std::any_of(text.begin(), text.end(),
                  [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }))
    return failure("has a control character", "remove it");
  switch (key.field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return parse_string(key, text);
    case FieldDescriptor::CPPTYPE_BOOL:
      if (const auto value = parse_bool(text)) return Value(*value);
      return unexpected_value(key);
    case FieldDescriptor::CPPTYPE_ENUM:
      if (const auto* value = key.field->enum_type()->FindValueByName(upper_case(text)))
        return Value(value);
      return unexpected_value(key);
    default:
      return parse_bounded(key, text);
  }
}

std::string text_of_number(schema::Kind kind, uint64_t value) {
  if (kind == schema::BYTES) return format_bytes(value);
  if (kind == schema::DURATION) return format_duration(std::chrono::milliseconds(value));
  return std::to_string(value);
}

std::string text_of(const Key& key, const Message& message) {
  const auto* reflection = message.GetReflection();
  const schema::Kind kind = key.options().kind();
  switch (key.field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return reflection->GetString(message, key.field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return reflection->GetBool(message, key.field) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_ENUM:
      return lower_case(reflection->GetEnum(message, key.field)->name());
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return format_share(reflection->GetDouble(message, key.field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return text_of_number(kind, reflection->GetUInt32(message, key.field));
    default:
      return text_of_number(kind, reflection->GetUInt64(message, key.field));
  }
}

void store(Message& message, const FieldDescriptor* field, const Value& value) {
  const auto* reflection = message.GetReflection();
  if (const auto* number = std::get_if<uint64_t>(&value)) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_UINT32)
      reflection->SetUInt32(&message, field, static_cast<uint32_t>(*number));
    else
      reflection->SetUInt64(&message, field, *number);
  } else if (const auto* share = std::get_if<double>(&value)) {
    reflection->SetDouble(&message, field, *share);
  } else if (const auto* truth = std::get_if<bool>(&value)) {
    reflection->SetBool(&message, field, *truth);
  } else if (const auto* text = std::get_if<std::string>(&value)) {
    if (field->is_repeated())
      reflection->AddString(&message, field, *text);
    else
      reflection->SetString(&message, field, *text);
  } else {
    reflection->SetEnum(&message, field,
                        std::get<const google::protobuf::EnumValueDescriptor*>(value));
  }
}

}  // namespace

Result<void> set_value(Config& config, const Key& key, std::string_view text) {
  const Value value = TRY(parse_value(key, text));
  store(key.owner(config), key.field, value);
  return {};
}

std::vector<std::string> value_texts(const Config& config, const Key& key) {
  const Message& message = key.owner(config);
  const auto* reflection = message.GetReflection();
  std::vector<std::string> texts;
  if (key.field->is_repeated()) {
    for (int i = 0; i < reflection->FieldSize(message, key.field); ++i)
      texts.push_back(reflection->GetRepeatedString(message, key.field, i));
  } else if (key.is_set(config) || key.field->has_default_value()) {
    texts.push_back(text_of(key, message));
  }
  return texts;
}

std::string expectation(const Key& key) {
  const schema::KeyOptions& options = key.options();
  const auto between = [&options](const char* what) {
    return fmt::format("{}, {} to {}", what, options.min(), options.max());
  };
  if (key.field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) return "true or false";
  if (key.field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM)
    return fmt::format("one of {}", fmt::join(enum_words(*key.field->enum_type()), ", "));
  switch (options.kind()) {
    case schema::NAME:
      return "letters, digits, '.', '_' and '-', at most 48, beginning with a letter or digit";
    case schema::PATH:
      return "a path";
    case schema::BYTES:
      return between("a size");
    case schema::DURATION:
      return between("a duration with a unit (ms, s, m, h)");
    case schema::SHARE:
      return between("a share");
    case schema::PREFIX:
      return fmt::format("an IPv4 prefix, length /{} to /{}", options.min(), options.max());
    case schema::DOMAIN:
      return "a DNS name in lower case";
    case schema::HOST:
      return "[USER@]HOST without blanks";
    case schema::ADDRESS:
      return "an IPv4 address";
    case schema::ENDPOINT:
      return "an IPv4 address, with or without :PORT";
    default:
      return between("a whole number");
  }
}

}  // namespace conode::config
