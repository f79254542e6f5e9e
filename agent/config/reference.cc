// SPDX-License-Identifier: Apache-2.0
// docs/configuration.md from the schema.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/config/config.h"
#include "agent/config/key.h"
#include "agent/config/value.h"

namespace conode::config {
namespace {

using google::protobuf::FieldDescriptor;

constexpr std::string_view kIntroduction = R"(# Configuration

<!-- Generated from agent/config/config.proto:
     CONODE_TEST_UPDATE_REFERENCE=1 build/dev/tests/config_reference_test -->

Every setting can be given in a file, in the environment and as a flag. Flags are stronger than the
environment, the environment is stronger than the file, and all are stronger than the defaults. A
list from a stronger source replaces the whole list.

The file is the one that `--config FILE` names, else `$CONODE_CONFIG`, else
`${XDG_CONFIG_HOME:-~/.config}/conode/config.yaml`, else `/etc/conode/config.yaml`. One file is
read, not several. An unknown key, a wrong value, a key that is set twice and an environment variable
that looks like a misspelt one are errors; all of them are told at once, with file, line and column:

    config.yaml:2:3: partition.k8s_coers: is no known key
      did you mean 'k8s_cores'?

A variable that is set to nothing counts as unset.

## Values

| kind | written as |
|---|---|
| whole number | `4` |
| switch | `true`, `yes`, `on`, `1` or `false`, `no`, `off`, `0`; as a flag `--name` or `--no-name` |
| size | `512Mi`, `1.5Gi`, `4G`: Kubernetes' notation, where `4G` is 4 000 000 000 bytes and `4Gi` is 4 294 967 296 |
| duration | `500ms`, `90s`, `2m`, `1h30m`; always with a unit |
| share | `25%` or `0.25` |
| IPv4 prefix | `10.88.0.0/16`, without bits beyond its length |
| path | `~/`, `${NAME}` and `${NAME:-default}` are replaced, `$$` is a dollar sign; a relative path starts at the directory of the file it stands in, or at the working directory |
| list | in the file `[a, b]`, in the environment `a:b`, as a flag once for each element |

## Example

```yaml
# ~/.config/conode/config.yaml
bundle: /apps/conode/bundle
state_dir: /local/scratch/${USER}/conode
partition:
  k8s_share: 25%
  k8s_memory: 4Gi
timeouts:
  ready: 5m
images: [~/images/service.tar]
```
)";

// Text in a cell of a table.
std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

std::string default_of(const Key& key) {
  const std::vector<std::string> values = value_texts(Config(), key);
  if (!values.empty()) return fmt::format("`{}`", values[0]);
  return key.field->is_repeated() ? "none" : key.options().default_text();
}

std::string row(const Key& key) {
  const std::string accepted = (key.field->is_repeated() ? "list, each " : "") + expectation(key);
  return fmt::format("| `{}` | {} | {} | {} | `{}` | `{}` |\n", key.name(),
                     cell(key.options().help()), cell(accepted), cell(default_of(key)), key.flag,
                     key.environment);
}

std::string meanings(const google::protobuf::EnumDescriptor& type) {
  std::string text;
  for (int i = 0; i < type.value_count(); ++i)
    text += fmt::format("- `{}`: {}\n", lower_case(type.value(i)->name()),
                        type.value(i)->options().GetExtension(schema::meaning));
  return text;
}

// A section of the file; null: the keys at its top.
std::string section_text(const std::vector<Key>& keys, const FieldDescriptor* of) {
  const auto* message = of ? of->message_type() : Config::descriptor();
  const schema::SectionOptions& options = message->options().GetExtension(schema::section);
  std::string text =
      fmt::format("\n## {}{}\n\n", options.title(), of ? fmt::format(" (`{}:`)", of->name()) : "");
  if (options.has_help()) text += options.help() + "\n\n";
  text += "| key | meaning | accepts | default | flag | environment |\n|---|---|---|---|---|---|\n";
  std::string words;
  for (const Key& key : keys) {
    if (key.section != of) continue;
    text += row(key);
    if (key.field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM)
      words += "\n" + meanings(*key.field->enum_type());
  }
  return text + words;
}

}  // namespace

std::string reference_markdown() {
  const std::vector<Key> keys = all_keys();
  std::string text(kIntroduction);
  text += section_text(keys, nullptr);
  const FieldDescriptor* last = nullptr;
  for (const Key& key : keys) {
    if (key.section == last) continue;
    last = key.section;
    text += section_text(keys, last);
  }
  return text;
}

}  // namespace conode::config
