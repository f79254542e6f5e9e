// SPDX-License-Identifier: Apache-2.0
// Failures as CNI reports them. Source: CNI specification 1.1, section 5, "Error".
#pragma once

#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "agent/base/result.h"

namespace conode::cni {

enum class ErrorCode : int {
  incompatible_version = 1,
  unsupported_field = 2,
  unknown_container = 3,
  invalid_environment = 4,
  io_failure = 5,
  decoding_failure = 6,
  invalid_config = 7,
  try_again_later = 11,
  not_available = 50,
  limited_connectivity = 51,
  attachment_damaged = 100,  // ours: CHECK found something missing
  internal = 999,            // as the reference implementation has it
};

struct CniError {
  ErrorCode code = ErrorCode::internal;
  std::string message;
  std::string details;

  CniError(ErrorCode c, std::string m, std::string d = {})
      : code(c), message(std::move(m)), details(std::move(d)) {}
  // What the kernel refused: operation, object, cause; the remedy is in the details.
  CniError(const Error& error)  // NOLINT(google-explicit-constructor): TRY converts
      : message(error.message()), details(error.remedy) {}
  CniError(ErrorCode c, const Error& error) : CniError(error) { code = c; }
};

template <typename T>
using CniResult = tl::expected<T, CniError>;

// A failure to return: `return fail(ErrorCode::invalid_config, "...")`.
template <typename... Args>
[[nodiscard]] tl::unexpected<CniError> fail(ErrorCode code, Args&&... args) {
  return tl::unexpected<CniError>(CniError(code, std::forward<Args>(args)...));
}

// `result` with `code` where it failed.
template <typename T>
[[nodiscard]] CniResult<T> with_code(ErrorCode code, Result<T> result) {
  if (!result) return fail(code, result.error());
  if constexpr (std::is_void_v<T>) {
    return {};
  } else {
    return take_value(result);
  }
}

// "a; b; c": all problems of one kind in one report.
[[nodiscard]] std::string joined(const std::vector<std::string>& problems);

}  // namespace conode::cni
