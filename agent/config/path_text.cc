// SPDX-License-Identifier: Apache-2.0
// Paths as people and sites write them: one file for all users and jobs needs their names in it.
#include <fmt/format.h>

#include "agent/config/value.h"

namespace conode::config {
namespace {

using Variables = std::map<std::string, std::string>;

// Never empty-but-set: like the shell's ':-'.
std::string value_of(const Variables& variables, const std::string& name) {
  const auto found = variables.find(name);
  return found == variables.end() ? std::string() : found->second;
}

// Content of the braces: NAME or NAME:-default.
Result<std::string> replacement(std::string_view content, const Variables& variables) {
  const size_t colon = content.find(":-");
  const std::string name(content.substr(0, colon));
  std::string value = value_of(variables, name);
  if (!value.empty()) return value;
  if (colon != std::string_view::npos) return std::string(content.substr(colon + 2));
  return failure(fmt::format("uses the variable '{}', which is not set", name),
                 fmt::format("set it, or give a default: ${{{}:-default}}", name));
}

Result<std::string> replace_variables(std::string_view text, const Variables& variables) {
  std::string out;
  while (!text.empty()) {
    const size_t dollar = text.find('$');
    out += text.substr(0, dollar);
    if (dollar == std::string_view::npos) break;
    text.remove_prefix(dollar + 1);
    const size_t close = text.find('}');
    if (text.starts_with('$')) {
      out += '$';
      text.remove_prefix(1);
    } else if (text.starts_with('{') && close != std::string_view::npos) {
      out += TRY(replacement(text.substr(1, close - 1), variables));
      text.remove_prefix(close + 1);
    } else {
      return failure("has a '$' that begins no ${NAME}", "write ${USER}, or $$ for a dollar sign");
    }
  }
  return out;
}

}  // namespace

Result<std::string> expand_path(std::string_view text, const std::string& base,
                                const Variables& variables) {
  std::string path = TRY(replace_variables(text, variables));
  if (text.starts_with('~')) {
    const std::string home = value_of(variables, "HOME");
    if (text.size() > 1 && text[1] != '/')
      return failure("names another user's home directory", "write the directory's own path");
    if (home.empty())
      return failure("uses '~', and the variable 'HOME' is not set", "write the whole path");
    path.replace(0, 1, home);
  }
  if (path.empty() || path.starts_with('/') || base.empty()) return path;
  return base + "/" + path;
}

}  // namespace conode::config
