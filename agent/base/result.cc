// SPDX-License-Identifier: Apache-2.0
#include "agent/base/result.h"

namespace conode {

std::string Error::message() const {
  std::string text = context;
  if (code) {
    if (!text.empty()) text += ": ";
    text += code.message();
  }
  return text;
}

Error Error::wrap(std::string_view outer) && {
  context = context.empty() ? std::string(outer) : std::string(outer) + ": " + context;
  return std::move(*this);
}

Error Error::with_remedy(std::string text) && {
  remedy = std::move(text);
  return std::move(*this);
}

Failure errno_failure(std::string context, std::source_location where) {
  const int captured = errno;
  return code_failure(captured, std::move(context), where);
}

Failure code_failure(int errno_value, std::string context, std::source_location where) {
  return Failure(
      Error{std::error_code(errno_value, std::generic_category()), std::move(context), {}, where});
}

Failure failure(std::string context, std::string remedy, std::source_location where) {
  return Failure(Error{{}, std::move(context), std::move(remedy), where});
}

}  // namespace conode
