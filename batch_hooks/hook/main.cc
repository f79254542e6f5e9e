// SPDX-License-Identifier: Apache-2.0
// conode-hook: what root does for a job on a host, from a batch system's prologue and epilogue. Its
// environment is not looked at, its arguments are checked, and nothing of them reaches a shell.
#include <fcntl.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>

#include "batch_hooks/hook/verbs.h"

namespace conode::hook {
namespace {

// Slurm shows nobody what a Prolog prints: the journal has it, too.
int report(const Error& error) {
  ::syslog(LOG_ERR, "%s", error.message().c_str());
  (void)std::fprintf(stderr, "conode-hook: %s\n", error.message().c_str());
  if (!error.remedy.empty()) (void)std::fprintf(stderr, "  %s\n", error.remedy.c_str());
  return 1;
}

int run(int argc, char** argv) {
  CLI::App app{"What root does for a job on a host; see conode-hook(8)", "conode-hook"};
  app.require_subcommand(1);
  Run chosen;
  for (const auto add : kVerbs) add(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    constexpr int kUsage = 2;
    return app.exit(e) == 0 ? 0 : kUsage;
  }
  const Result<void> done = chosen();
  return done ? 0 : report(done.error());
}

// Batch systems may start us without the standard descriptors: others must not become them.
bool has_standard_descriptors() {
  int fd = -1;
  do fd = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  while (fd >= 0 && fd <= STDERR_FILENO);
  return fd >= 0 && ::close(fd) == 0;
}

// Nor must what they ignore or block: a reader who goes must not end a clean-up, children are
// waited for, and the alarm that bounds a hook's time comes.
bool has_ordinary_signals() {
  sigset_t ours;
  ::sigemptyset(&ours);
  ::sigaddset(&ours, SIGCHLD);
  ::sigaddset(&ours, SIGALRM);
  return ::signal(SIGPIPE, SIG_IGN) != SIG_ERR && ::signal(SIGCHLD, SIG_DFL) != SIG_ERR &&
         ::signal(SIGALRM, SIG_DFL) != SIG_ERR && ::sigprocmask(SIG_UNBLOCK, &ours, nullptr) == 0;
}

}  // namespace
}  // namespace conode::hook

int main(int argc, char** argv) {
  if (::clearenv() != 0 || ::setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1) != 0) return 70;
  ::umask(022);
  if (!conode::hook::has_standard_descriptors() || !conode::hook::has_ordinary_signals()) return 70;
  try {
    return conode::hook::run(argc, argv);
  } catch (const std::exception& e) {
    (void)std::fprintf(stderr, "conode-hook: %s\n", e.what());
    return 70;  // EX_SOFTWARE: out of memory
  }
}
