// SPDX-License-Identifier: Apache-2.0
#include "agent/job/job_dir.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"

namespace conode::job {
namespace {

using nlohmann::json;

constexpr const char* kLockName = "lock";
constexpr const char* kInstanceName = "instance.json";

struct NetworkFileSystem {
  unsigned long magic;
  const char* name;
};
// Where sockets, overlay mounts or subordinate ids do not work (statfs(2)).
constexpr std::array<NetworkFileSystem, 8> kNetworkFileSystems{{{0x6969, "NFS"},
                                                                {0x0BD00BD0, "Lustre"},
                                                                {0x47504653, "GPFS"},
                                                                {0x19830326, "BeeGFS"},
                                                                {0xFF534D42, "CIFS"},
                                                                {0xFE534D42, "SMB"},
                                                                {0x00C36400, "CephFS"},
                                                                {0x5346414F, "AFS"}}};

}  // namespace

uint64_t own_network() {
  struct stat st {};
  return ::stat("/proc/self/ns/net", &st) == 0 ? st.st_ino : 0;
}

std::string to_json(const Instance& i) {
  const json object = {{"job", i.job},
                       {"rank", i.rank},
                       {"instance", i.instance},
                       {"pid", i.pid},
                       {"init_pid", i.init_pid},
                       {"init_start_time", i.init_start_time},
                       {"enforcement", i.enforcement},
                       {"hpc_cpus", i.hpc_cpus},
                       {"k8s_cpus", i.k8s_cpus},
                       {"shared_core", i.shared_core},
                       {"cgroup", i.cgroup},
                       {"bundle", i.bundle},
                       {"api_port", i.api_port},
                       {"network", i.network},
                       {"shared_machine", i.shared_machine},
                       {"stop_grace", i.stop_grace}};
  return object.dump(2) + "\n";
}

Result<Instance> instance_from_json(const std::string& text) {
  try {
    const json o = json::parse(text);
    return Instance{o.at("job"),
                    o.at("rank"),
                    o.at("instance"),
                    o.at("pid"),
                    o.at("init_pid"),
                    o.at("init_start_time"),
                    o.at("enforcement"),
                    o.at("hpc_cpus"),
                    o.at("k8s_cpus"),
                    o.at("shared_core"),
                    o.at("cgroup"),
                    o.at("bundle"),
                    o.at("api_port"),
                    o.value("network", uint64_t{0}),
                    o.value("shared_machine", false),
                    o.value("stop_grace", 0)};
  } catch (const json::exception& e) {
    return failure(fmt::format("read instance.json: {}", e.what()));
  }
}

const char* network_file_system(unsigned long magic) {
  const auto* known =
      std::find_if(kNetworkFileSystems.begin(), kNetworkFileSystems.end(),
                   [&](const NetworkFileSystem& system) { return system.magic == magic; });
  return known == kNetworkFileSystems.end() ? nullptr : known->name;
}

Result<void> check_file_system(const std::string& path) {
  struct statfs fs {};
  if (::statfs(path.c_str(), &fs) != 0)
    return errno_failure(fmt::format("look at the file system of '{}'", path));
  const char* network = network_file_system(static_cast<unsigned long>(fs.f_type));
  if (network == nullptr) return {};
  return failure(fmt::format("use the state directory '{}': it is on {}", path, network),
                 "set --state-dir to a node-local directory such as the job's scratch "
                 "($TMPDIR), or --allow-network-file-system to try all the same");
}

Result<void> check_job_name(const std::string& job) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const bool good = !job.empty() && job.size() <= 48 && plain(job[0]) &&
                    std::all_of(job.begin(), job.end(), [&](char c) {
                      return plain(c) || c == '.' || c == '_' || c == '-';
                    });
  if (good) return {};
  return failure(fmt::format("use the job name '{}'", job),
                 "letters, digits, '.', '_' and '-', at most 48, beginning with a letter or digit");
}

namespace {

// A directory of somebody else's could hold anything: programs for us to run, pids for us to kill.
Result<UniqueFd> open_base(const std::string& base) {
  UniqueFd dir = TRY(open_at(AT_FDCWD, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat st {};
  if (::fstat(dir.get(), &st) != 0) return errno_failure(fmt::format("stat '{}'", base));
  if (st.st_uid != ::geteuid())
    return failure(
        fmt::format("use the state directory '{}': it belongs to user {}", base, st.st_uid),
        "set --state-dir to a directory of your own");
  if ((st.st_mode & 0077U) != 0 && ::fchmod(dir.get(), 0700) != 0)
    return errno_failure(fmt::format("make '{}' private", base));
  return dir;
}

// Locks of open file descriptions (fcntl(2)): they can be asked for without being taken, and a
// child that has the descriptor holds them, too.
struct flock whole_file() {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

bool is_busy(int error) { return error == EAGAIN || error == EACCES; }

}  // namespace

bool says_whose(const std::string& name) { return name == kLockName || name == kInstanceName; }

Result<UniqueFd> lock_base(const std::string& base) {
  UniqueFd dir = TRY(open_base(base));
  while (::flock(dir.get(), LOCK_EX) != 0)
    if (errno != EINTR) return errno_failure(fmt::format("lock '{}'", base));
  return dir;
}

Result<void> prepare_base(const std::string& base, bool allow_network) {
  if (base.empty() || base[0] != '/')
    return failure(fmt::format("use the state directory '{}': not an absolute path", base),
                   "set --state-dir to an absolute path");
  TRY_AS("make the state directory", make_dirs(base));
  TRY(open_base(base));
  if (!allow_network) return check_file_system(base);
  return {};
}

Result<void> check_path_length(const std::string& base, const std::string& job) {
  constexpr std::string_view kLongest =
      "/run/kubelet-device-plugins.sock";  // of our sockets' names
  const size_t length = base.size() + 1 + job.size() + kLongest.size();
  if (length < sizeof(sockaddr_un::sun_path)) return {};
  return failure(fmt::format("use the state directory '{}': with job '{}' its sockets' paths have "
                             "{} characters, {} too many",
                             base, job, length, length - sizeof(sockaddr_un::sun_path) + 1),
                 "set --state-dir to a shorter path, or --job to a shorter name");
}

Result<JobDir> JobDir::create(const std::string& base, const std::string& job) {
  TRY(check_job_name(job));
  std::string path = base + "/" + job;
  const UniqueFd base_lock = TRY(lock_base(base));
  TRY(make_dir(path));
  UniqueFd lock =
      TRY(open_at(AT_FDCWD, path + "/" + kLockName, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  struct flock wanted = whole_file();
  if (::fcntl(lock.get(), F_OFD_SETLK, &wanted) != 0) {
    if (is_busy(errno))
      return failure(fmt::format("start job '{}': it is running already ('{}')", job, path),
                     "use it, end it with 'conode down', or name another with --job");
    return errno_failure(fmt::format("lock '{}'", path));
  }
  for (const char* dir : {"log", "run", "notify", "etc", "pki", "tmp", "kubelet", "varlog", "cni"})
    TRY(make_dir(path + "/" + dir));
  return JobDir(std::move(path), std::move(lock));
}

Result<void> JobDir::write(const Instance& instance) const {
  return replace_file(path_ + "/" + kInstanceName, to_json(instance));
}

namespace {

// Only who knows that no agent lives may say so.
Result<bool> has_agent(const std::string& job_path) {
  const Result<UniqueFd> lock = open_at(AT_FDCWD, job_path + "/" + kLockName, O_RDWR | O_NOFOLLOW);
  if (!lock) {
    if (lock.error().is(std::errc::no_such_file_or_directory)) return false;
    return tl::make_unexpected(lock.error());
  }
  struct flock asked = whole_file();
  if (::fcntl(lock->get(), F_OFD_GETLK, &asked) != 0)
    return errno_failure(fmt::format("look at the lock of '{}'", job_path));
  return asked.l_type != F_UNLCK;
}

// Empty: it was not written yet.
Result<std::optional<Instance>> read_instance(const std::string& job_path) {
  const std::string path = job_path + "/" + kInstanceName;
  const std::optional<std::string> text = TRY(read_file_if_exists(path));
  if (!text) return std::optional<Instance>{};
  Result<Instance> instance = instance_from_json(*text);
  if (instance) return std::optional<Instance>(std::move(*instance));
  return tl::make_unexpected(
      std::move(instance)
          .error()
          .wrap(fmt::format("look at '{}'", path))
          .with_remedy(
              "end what CONODE_PART in their environments tells, then remove the directory"));
}

}  // namespace

Result<std::vector<FoundJob>> find_jobs(const std::string& base) {
  std::vector<FoundJob> found;
  if (!exists(base)) return found;
  TRY(open_base(base));
  for (const std::string& name : TRY(list_dir(base))) {
    if (!check_job_name(name)) continue;
    const std::string path = fmt::format("{}/{}", base, name);
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored)) continue;
    const bool alive = TRY_AS(fmt::format("look at job '{}'", name), has_agent(path));
    // One that cannot be read is no reason not to find the others.
    found.push_back({name, path, alive, read_instance(path).value_or(std::nullopt)});
  }
  return found;
}

Result<std::optional<DeadJob>> take_dead(const std::string& base, const std::string& job) {
  const UniqueFd base_lock = TRY(lock_base(base));
  const std::string path = fmt::format("{}/{}", base, job);
  if (!exists(path)) return std::optional<DeadJob>{};
  // Without a lock: it died before it made one.
  UniqueFd lock =
      TRY(open_at(AT_FDCWD, path + "/" + kLockName, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  struct flock wanted = whole_file();
  if (::fcntl(lock.get(), F_OFD_SETLK, &wanted) != 0) {
    if (is_busy(errno)) return std::optional<DeadJob>{};
    return errno_failure(fmt::format("lock '{}'", path));
  }
  // Without its record what it made is not found: nothing is removed before somebody has looked.
  std::optional<Instance> instance = TRY(read_instance(path));
  return DeadJob{{job, path, false, std::move(instance)}, std::move(lock)};
}

std::optional<ProcessStat> process_stat(int pid) {
  const Result<std::string> stat = read_file(fmt::format("/proc/{}/stat", pid));
  if (!stat) return std::nullopt;
  // Fields are counted behind the command's closing parenthesis: it may hold anything.
  size_t at = stat->rfind(')');
  if (at == std::string::npos || stat->size() < at + 3) return std::nullopt;
  const char state = (*stat)[at + 2];
  constexpr int kFieldsToSkip = 20;
  for (int i = 0; i < kFieldsToSkip && at != std::string::npos; ++i) at = stat->find(' ', at + 1);
  if (at == std::string::npos) return std::nullopt;
  return ProcessStat{state, std::stoull(stat->substr(at + 1))};
}

std::optional<uint64_t> process_start_time(int pid) {
  const std::optional<ProcessStat> stat = process_stat(pid);
  // Whoever has to reap one that has ended takes his time.
  if (!stat || stat->ended()) return std::nullopt;
  return stat->start_time;
}

}  // namespace conode::job
