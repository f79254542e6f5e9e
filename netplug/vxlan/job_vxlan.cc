// SPDX-License-Identifier: Apache-2.0
#include "netplug/vxlan/job_vxlan.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <set>

#include "agent/base/file.h"
#include "netplug/link/link.h"
#include "netplug/link/route.h"
#include "netplug/vxlan/handover.h"
#include "netplug/vxlan/host_rules.h"
#include "netplug/vxlan/job_dir.h"
#include "netplug/vxlan/keeper.h"

namespace conode {
namespace {

// The keeper outlives its caller and holds nothing of his.
Result<void> let_go_of_caller(const std::set<int>& needed) {
  if (::setsid() < 0) return errno_failure("setsid");
  const UniqueFd null = TRY(open_at(AT_FDCWD, "/dev/null", O_RDWR));
  for (const int standard : {0, 1, 2})
    if (::dup2(null.get(), standard) < 0) return errno_failure("open /dev/null");
  for (const std::string& name : TRY(list_dir("/proc/self/fd"))) {
    const int fd = std::stoi(name);
    if (fd > 2 && !needed.contains(fd)) ::close(fd);
  }
  (void)write_value("/proc/self/oom_score_adj", "-900");  // not where that is forbidden
  (void)::prctl(PR_SET_NAME, "conode-vxlan", 0, 0, 0);
  if (::chdir("/") != 0) return errno_failure("chdir '/'");
  return {};
}

// Ends here. An empty report: it serves; otherwise why it does not.
[[noreturn]] void be_keeper(HookDirectory hooks, VxlanJobDir dir, const VxlanSettings& settings,
                            UniqueFd report) {
  Result<void> done = let_go_of_caller({hooks.fd(), dir.fd(), report.get()});
  if (done)
    done = keep_vxlan(std::move(hooks), std::move(dir), settings, [&report] {
      (void)write_all(report.get(), "+", "the report");
      report.reset();
    });
  if (report && !done) {
    const Error& error = done.error();
    (void)write_all(report.get(), "-" + error.message(), "the report");
    if (!error.remedy.empty()) (void)write_all(report.get(), "\n" + error.remedy, "the report");
  }
  ::_exit(1);
}

Result<void> await_report(int report) {
  std::string text;
  std::array<char, 1024> buffer{};
  for (ssize_t n = 0; (n = ::read(report, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<size_t>(n));
  if (text == "+") return {};
  if (text.size() < 2) return failure("start the keeper: it ended without a word");
  const size_t line = std::min(text.find('\n'), text.size());
  return failure("start the keeper: " + text.substr(1, line - 1),
                 text.substr(std::min(line + 1, text.size())));
}

Result<void> start_keeper(HookDirectory& hooks, const VxlanSettings& settings) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return errno_failure("pipe");
  const UniqueFd report(pipe[0]);
  UniqueFd their_report(pipe[1]);
  VxlanJobDir dir = TRY(VxlanJobDir::make(hooks, settings.job));
  const pid_t pid = ::fork();
  if (pid < 0) return errno_failure("fork");
  if (pid == 0) be_keeper(std::move(hooks), std::move(dir), settings, std::move(their_report));
  their_report.reset();
  Result<void> started = await_report(report.get());
  if (!started) (void)::waitpid(pid, nullptr, 0);
  return started;
}

// Links are deleted before the process that holds their namespace is killed: that deletes them too,
// but some time later. A keeper that was just starting is still in the host's namespace, whose
// links are no affair of ours.
void delete_links_of(const Keeper& keeper) {
  const Result<Netns> netns = Netns::open(fmt::format("/proc/{}/ns/net", keeper.pid));
  const Result<Netns> host = Netns::current();
  pollfd ended{.fd = keeper.pidfd.get(), .events = POLLIN};
  if (::poll(&ended, 1, 0) != 0) return;  // the pid may be somebody else's by now
  if (!netns || !host || netns->is(*host).value_or(true)) return;
  (void)netns->run([]() -> Result<void> {
    Socket socket = TRY(Socket::open());
    for (const Link& link : TRY(list_links(socket)))
      if (!link.kind.empty()) TRY(delete_link(socket, link.index));
    return {};
  });
}

Result<void> end_keeper(const Keeper& keeper) {
  constexpr int kPatience = 10000;  // ms
  delete_links_of(keeper);
  if (::syscall(SYS_pidfd_send_signal, keeper.pidfd.get(), SIGKILL, nullptr, 0) != 0 &&
      errno != ESRCH)
    return errno_failure("end the keeper");
  pollfd ended{.fd = keeper.pidfd.get(), .events = POLLIN};
  if (::poll(&ended, 1, kPatience) != 1)
    return code_failure(ETIMEDOUT, fmt::format("wait for the end of the keeper {}", keeper.pid));
  (void)::waitpid(keeper.pid, nullptr, WNOHANG);  // where it is a child of ours
  return {};
}

// Every step that can be taken is; the first failure is told. What says how to go on stays until
// the rest is gone.
Result<void> undo(const VxlanJobDir& dir) {
  Result<void> done;
  const auto step = [&done](Result<void> result) {
    if (done && !result) done = std::move(result);
  };
  if (Result<std::optional<Keeper>> keeper = dir.keeper(); !keeper) {
    step(tl::make_unexpected(std::move(keeper).error()));
  } else if (*keeper) {
    step(end_keeper(**keeper));
  }
  // The rules keep out what is forged for as long as somebody serves.
  if (!done) return done;
  if (Result<std::optional<std::string>> text = dir.settings_text(); !text) {
    step(tl::make_unexpected(std::move(text).error()));
  } else if (const uint32_t vni = vni_in(text->value_or("")); vni != 0) {
    step(remove_host_rules(vni));
  }
  if (done) done = dir.remove();
  return done;
}

// Two jobs with one VNI would hear each other.
Result<void> check_vni_is_free(const HookDirectory& hooks, const VxlanSettings& settings) {
  for (const std::string& name : TRY(list_dir(".", hooks.fd()))) {
    if (name == settings.job || !is_job_id(name)) continue;
    const Result<std::optional<VxlanJobDir>> dir = VxlanJobDir::find(hooks, name);
    if (!dir || !*dir) continue;
    // Whatever else is wrong with them.
    const Result<std::optional<std::string>> other = (*dir)->settings_text();
    if (other && *other && vni_in(**other) == settings.vni)
      return failure(fmt::format("VNI {} is job '{}''s on this host", settings.vni, name),
                     fmt::format("'conode-hook vxlan down --job {}' if it is over, or another VNI "
                                 "with --vni, on all hosts of the job",
                                 name));
  }
  return {};
}

// A keeper that has just been started is no keeper yet: an `up` that was killed may have left it
// behind at work, and it may still fail.
bool serves(const Keeper& keeper, const std::string& socket) {
  constexpr int kAttempts = 100;
  constexpr int kBetween = 50;  // ms
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (connect_to_keeper(socket)) return true;
    pollfd ended{.fd = keeper.pidfd.get(), .events = POLLIN};
    if (::poll(&ended, 1, kBetween) > 0) return false;
  }
  return false;
}

// What there is of the job, gone or known to be as wanted (true).
Result<bool> clear_the_way(const HookDirectory& hooks, const VxlanSettings& settings) {
  TRY(check_vni_is_free(hooks, settings));
  const std::optional<VxlanJobDir> dir = TRY(VxlanJobDir::find(hooks, settings.job));
  if (!dir) return false;
  const std::optional<Keeper> keeper = TRY(dir->keeper());
  const Result<std::optional<VxlanSettings>> before = dir->settings();
  const bool same = keeper && before && *before && **before == settings;
  if (same && serves(*keeper, fmt::format("/proc/self/fd/{}/{}/{}", hooks.fd(), settings.job,
                                          kVxlanSocket))) {
    TRY(add_host_rules(settings));  // somebody may have flushed the host's
    return true;
  }
  if (keeper && !same)
    return failure(fmt::format("job '{}' has a VXLAN with other settings", settings.job),
                   fmt::format("conode-hook vxlan down --job {}", settings.job));
  TRY(undo(*dir));
  return false;
}

// The rules are there before the first packet can be.
Result<VxlanJobDir> prepare(const HookDirectory& hooks, const VxlanSettings& settings) {
  TRY(try_host_rules(settings));  // before anything is there to be undone, by the same nft
  VxlanJobDir dir = TRY(VxlanJobDir::make(hooks, settings.job));
  TRY(dir.write(settings));
  TRY(add_host_rules(settings));
  return dir;
}

}  // namespace

Result<int> vxlan_mtu(Ipv4Address local) {
  Socket socket = TRY(Socket::open());
  return TRY(link_with_address(socket, local)).mtu - kVxlanOverhead;
}

Result<VxlanOutcome> make_vxlan(const std::string& hook_directory, const VxlanSettings& settings) {
  HookDirectory hooks = TRY(HookDirectory::open(hook_directory));
  if (TRY(clear_the_way(hooks, settings))) return VxlanOutcome::was_there;
  const auto attempt = [&]() -> Result<void> {
    TRY(prepare(hooks, settings));
    return start_keeper(hooks, settings);
  };
  Result<void> done = attempt();
  if (done) return VxlanOutcome::made;
  if (Result<std::optional<VxlanJobDir>> dir = VxlanJobDir::find(hooks, settings.job); dir && *dir)
    (void)undo(**dir);
  return tl::make_unexpected(std::move(done).error());
}

Result<void> keep_vxlan_here(const std::string& hook_directory, const VxlanSettings& settings,
                             const std::function<void()>& ready) {
  HookDirectory hooks = TRY(HookDirectory::open(hook_directory));
  if (TRY(clear_the_way(hooks, settings)))
    return code_failure(EEXIST, fmt::format("the VXLAN of job '{}'", settings.job));
  Result<VxlanJobDir> dir = prepare(hooks, settings);
  if (dir) return keep_vxlan(std::move(hooks), std::move(*dir), settings, ready);
  if (Result<std::optional<VxlanJobDir>> made = VxlanJobDir::find(hooks, settings.job);
      made && *made)
    (void)undo(**made);
  return tl::make_unexpected(std::move(dir).error());
}

Result<VxlanOutcome> remove_vxlan(const std::string& hook_directory, const std::string& job) {
  if (!exists(hook_directory)) return VxlanOutcome::was_absent;
  const HookDirectory hooks = TRY(HookDirectory::open(hook_directory));
  const std::optional<VxlanJobDir> dir = TRY(VxlanJobDir::find(hooks, job));
  if (!dir) return VxlanOutcome::was_absent;
  const bool ours = TRY(dir->settings_text()).has_value();
  TRY(undo(*dir));
  return ours ? VxlanOutcome::removed : VxlanOutcome::was_absent;
}

}  // namespace conode
