// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4) as lower-case hexadecimal. Any thread; an object belongs to one.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "agent/base/result.h"

struct evp_md_ctx_st;

namespace conode {

class Sha256 {
 public:
  Sha256();
  void update(std::string_view data);
  // The digest of everything so far; the object is spent afterwards.
  [[nodiscard]] std::string hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

[[nodiscard]] std::string sha256(std::string_view data);

// Digest of what is left to read from `fd`; `name` is for the message of a failure.
[[nodiscard]] Result<std::string> sha256_of_fd(int fd, std::string_view name);

}  // namespace conode
