// SPDX-License-Identifier: Apache-2.0
#include "netplug/link/nft.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>

#include "agent/base/file.h"
#include "agent/base/process.h"

namespace conode {
namespace {

// Runtimes start plugins with any PATH.
std::string nft_program() {
  for (const char* path : {"/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft"})
    if (exists(path)) return path;
  return "nft";
}

// Files in memory and no pipes: nobody has to read while somebody writes.
Result<UniqueFd> memory_file(const char* name, const std::string& content = {}) {
  UniqueFd file(::memfd_create(name, MFD_CLOEXEC));
  if (!file) return errno_failure(fmt::format("make a file in memory for nft's {}", name));
  TRY(write_all(file.get(), content, name));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return errno_failure(fmt::format("rewind {}", name));
  return file;
}

Result<std::string> content_of(const UniqueFd& file) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t n =
        ::pread(file.get(), buffer.data(), buffer.size(), static_cast<off_t>(text.size()));
    if (n < 0) return errno_failure("read nft's output");
    if (n == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(n));
  }
}

}  // namespace

Result<std::string> run_nft(const std::vector<std::string>& arguments, const std::string& script) {
  const std::string what = fmt::format("run 'nft {}'", fmt::join(arguments, " "));
  const UniqueFd input = TRY(memory_file("input", script));
  const UniqueFd output = TRY(memory_file("output"));
  const UniqueFd errors = TRY(memory_file("errors"));
  ProcessOptions options;
  options.argv = {nft_program()};
  options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
  options.fds = {{0, input.get()}, {1, output.get()}, {2, errors.get()}};
  options.die_with_parent = true;
  Result<Process> process = Process::spawn(options);
  if (!process)
    return tl::make_unexpected(
        std::move(process.error()).wrap(what).with_remedy("install the package nftables"));
  const ExitStatus status = TRY_AS(what, process->wait());
  if (shell_exit_code(status) == 0) return content_of(output);
  const std::string said = TRY(content_of(errors));
  return failure(
      fmt::format("{}: {}: {}", what, describe(status), said.substr(0, said.find('\n'))));
}

}  // namespace conode
