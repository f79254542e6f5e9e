// SPDX-License-Identifier: Apache-2.0
#include "agent/job/job_dir.h"

#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/vfs.h>

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

std::string to_json(const Instance& i) {
  const json object = {{"job", i.job},
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
                       {"api_port", i.api_port}};
  return object.dump(2) + "\n";
}

Result<Instance> instance_from_json(const std::string& text) {
  try {
    const json o = json::parse(text);
    return Instance{o.at("job"),      o.at("instance"),        o.at("pid"),
                    o.at("init_pid"), o.at("init_start_time"), o.at("enforcement"),
                    o.at("hpc_cpus"), o.at("k8s_cpus"),        o.at("shared_core"),
                    o.at("cgroup"),   o.at("bundle"),          o.at("api_port")};
  } catch (const json::exception& e) {
    return failure(fmt::format("read instance.json: {}", e.what()));
  }
}

Result<void> check_file_system(const std::string& path) {
  struct statfs fs {};
  if (::statfs(path.c_str(), &fs) != 0)
    return errno_failure(fmt::format("look at the file system of '{}'", path));
  for (const NetworkFileSystem& known : kNetworkFileSystems)
    if (static_cast<unsigned long>(fs.f_type) == known.magic)
      return failure(fmt::format("use the state directory '{}': it is on {}", path, known.name),
                     "set --state-dir to a node-local directory such as the job's scratch "
                     "($TMPDIR), or --allow-network-file-system to try all the same");
  return {};
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

Result<void> prepare_base(const std::string& base, bool allow_network) {
  if (base.empty() || base[0] != '/')
    return failure(fmt::format("use the state directory '{}': not an absolute path", base),
                   "set --state-dir to an absolute path");
  TRY_AS("make the state directory", make_dirs(base));
  const UniqueFd dir = TRY(open_at(AT_FDCWD, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat st {};
  if (::fstat(dir.get(), &st) != 0) return errno_failure(fmt::format("stat '{}'", base));
  if (st.st_uid != ::geteuid())
    return failure(
        fmt::format("use the state directory '{}': it belongs to user {}", base, st.st_uid),
        "set --state-dir to a directory of your own");
  if ((st.st_mode & 0077U) != 0 && ::fchmod(dir.get(), 0700) != 0)
    return errno_failure(fmt::format("make '{}' private", base));
  if (!allow_network) return check_file_system(base);
  return {};
}

Result<JobDir> JobDir::create(const std::string& base, const std::string& job) {
  TRY(check_job_name(job));
  std::string path = base + "/" + job;
  TRY(make_dir(path));
  UniqueFd lock =
      TRY(open_at(AT_FDCWD, path + "/" + kLockName, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK)
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

Result<std::vector<FoundJob>> find_jobs(const std::string& base) {
  std::vector<FoundJob> found;
  if (!exists(base)) return found;
  for (const std::string& name : TRY(list_dir(base))) {
    if (!check_job_name(name)) continue;
    FoundJob job{name, fmt::format("{}/{}", base, name), false, {}};
    std::error_code ignored;
    if (!std::filesystem::is_directory(job.path, ignored)) continue;
    const Result<std::optional<UniqueFd>> lock = try_lock(job.path);
    job.alive = lock && !*lock;
    if (const Result<std::string> text = read_file(job.path + "/" + kInstanceName); text)
      if (Result<Instance> instance = instance_from_json(*text); instance)
        job.instance = std::move(*instance);
    found.push_back(std::move(job));
  }
  return found;
}

Result<std::optional<UniqueFd>> try_lock(const std::string& job_path) {
  Result<UniqueFd> lock = open_at(AT_FDCWD, job_path + "/" + kLockName, O_RDWR | O_NOFOLLOW);
  if (!lock) {
    if (lock.error().is(std::errc::no_such_file_or_directory))
      return std::optional<UniqueFd>(UniqueFd());  // died before it made the lock
    return tl::make_unexpected(std::move(lock).error());
  }
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) == 0)
    return std::optional<UniqueFd>(std::move(*lock));
  if (errno == EWOULDBLOCK) return std::optional<UniqueFd>{};
  return errno_failure(fmt::format("lock '{}'", job_path));
}

std::optional<uint64_t> process_start_time(int pid) {
  const Result<std::string> stat = read_file(fmt::format("/proc/{}/stat", pid));
  if (!stat) return std::nullopt;
  // Fields are counted behind the command's closing parenthesis: it may hold anything.
  size_t at = stat->rfind(')');
  if (at == std::string::npos) return std::nullopt;
  constexpr int kFieldsToSkip = 20;
  for (int i = 0; i < kFieldsToSkip && at != std::string::npos; ++i) at = stat->find(' ', at + 1);
  if (at == std::string::npos) return std::nullopt;
  return std::stoull(stat->substr(at + 1));
}

}  // namespace conode::job
