// SPDX-License-Identifier: Apache-2.0
// Result<T>: a value or an Error. Nothing of ours throws; the kernel's answer is a value that says
// which operation on which object failed, why, and where the user can know it, what to do.
#pragma once

#include <cerrno>
#include <source_location>
#include <string>
#include <string_view>
#include <system_error>
#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

namespace conode {

struct Error {
  std::error_code code;  // empty where no system call failed
  std::string context;   // operation and 'object', outermost first
  std::string remedy;    // what the reader can do; may be empty
  std::source_location where = std::source_location::current();

  // "start job 42: create cgroup 'a/b': mkdir: Permission denied"
  [[nodiscard]] std::string message() const;

  // The same error one layer further out: `outer: context`. Keeps code, remedy and place.
  [[nodiscard]] Error wrap(std::string_view outer) &&;

  [[nodiscard]] Error with_remedy(std::string text) &&;

  [[nodiscard]] bool is(std::errc condition) const { return code == condition; }
};

template <typename T>
using Result = tl::expected<T, Error>;

using Failure = tl::unexpected<Error>;

// The failure of the system call that just returned: errno is captured first.
// `context` reads "open '/etc/subuid'".
[[nodiscard]] Failure errno_failure(std::string context,
                                    std::source_location where = std::source_location::current());

// A failure with a code that was captured earlier (netlink, pthread, a child's report).
[[nodiscard]] Failure code_failure(int errno_value, std::string context,
                                   std::source_location where = std::source_location::current());

// A failure that is no system call's: a check of ours, a library's message.
[[nodiscard]] Failure failure(std::string context, std::string remedy = {},
                              std::source_location where = std::source_location::current());

// The value moved out of a Result that has one (Result<void> has none to move).
template <typename T, typename E>
T take_value(tl::expected<T, E>& result) {
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

}  // namespace conode

// Value of `expr`, or return its Error from the enclosing function. Never behind a temporary in a
// larger expression: GCC 12 leaks it on that return, and has none of co_return (for coroutines).
#define TRY(expr) CONODE_TRY_NAMED(expr, CONODE_UNIQUE(__COUNTER__))

// TRY with one more layer of meaning: `outer` is evaluated only on failure.
#define TRY_AS(outer, expr) CONODE_TRY_AS_NAMED(outer, expr, CONODE_UNIQUE(__COUNTER__))

// A name of its own for each use, so that one TRY can stand inside another.
#define CONODE_UNIQUE_JOIN(number) try_result_##number
#define CONODE_UNIQUE(number) CONODE_UNIQUE_JOIN(number)
#define CONODE_TRY_NAMED(expr, name)                                  \
  ({                                                                  \
    auto name = (expr);                                               \
    if (!name) return ::tl::make_unexpected(std::move(name).error()); \
    ::conode::take_value(name);                                       \
  })
#define CONODE_TRY_AS_NAMED(outer, expr, name)                                    \
  ({                                                                              \
    auto name = (expr);                                                           \
    if (!name) return ::tl::make_unexpected(std::move(name).error().wrap(outer)); \
    ::conode::take_value(name);                                                   \
  })
