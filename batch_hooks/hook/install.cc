// SPDX-License-Identifier: Apache-2.0
// conode-hook install, uninstall: the scripts, where the batch system looks for them.
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>

#include "agent/base/file.h"
#include "agent/base/process.h"
#include "batch_hooks/hook/verbs.h"

namespace conode::hook {
namespace {

constexpr const char* kMarker = "A hook of conode";  // in each of the scripts
constexpr mode_t kScript = 0755;

struct Script {
  const char* system;
  const char* source;  // below <data>/conode/hooks
  const char* target;
};
constexpr std::array<Script, 4> kScripts{
    {{"slurm", "slurm/prolog", "/etc/slurm/prolog.d/50-conode"},
     {"slurm", "slurm/epilog", "/etc/slurm/epilog.d/50-conode"},
     {"flux", "flux/prolog", "/etc/flux/system/prolog.d/50-conode"},
     {"flux", "flux/epilog", "/etc/flux/system/epilog.d/50-conode"}}};

struct Advice {
  const char* system;
  const char* text;
};
constexpr std::array<Advice, 3> kAdvice{{
    {"slurm",
     "add to slurm.conf, once the scripts are on all nodes (a glob that matches nothing fails the\n"
     "Prolog, and Slurm takes the node out of service), then 'scontrol reconfigure':\n"
     "  PrologFlags=Contain,RunInJob     # 24.05 and later: the Prolog runs in the job's cgroup\n"
     "  Prolog=/etc/slurm/prolog.d/*\n"
     "  Epilog=/etc/slurm/epilog.d/*\n"
     "before 24.05 instead of the Prolog, in plugstack.conf:\n"
     "  optional spank_conode.so\n"},
    {"flux",
     "the IMP has to be allowed to run prologs and epilogs, see flux-config-job-manager(5):\n"
     "  [job-manager.prolog]\n  per-rank = true\n  [job-manager.epilog]\n  per-rank = true\n"},
    {"pbs",
     "pbs_mom gets its hooks from the server. Once there, as a manager of PBS:\n"
     "  qmgr -c 'create hook conode'\n"
     "  qmgr -c 'set hook conode event = \"execjob_launch,execjob_end,execjob_abort\"'\n"
     "  qmgr -c 'set hook conode order = 200'   # after PBS's own for cgroups\n"
     "  qmgr -c 'import hook conode application/x-python default {source}/pbs/conode_hook.py'\n"},
}};

struct Arguments {
  std::string system;
  std::string prefix;
  std::string source;  // empty: beside the program
  bool dry_run = false;
};

Result<std::string> source_directory(const Arguments& given) {
  if (!given.source.empty()) return given.source;
  const std::string program = TRY(own_program());
  return program.substr(0, program.rfind("/libexec/")) + "/share/conode/hooks";
}

bool is_ours(const std::string& content) { return content.find(kMarker) != std::string::npos; }

void say(const char* what, const std::string& path) { std::printf("%s %s\n", what, path.c_str()); }

Result<void> install_one(const Arguments& given, const Script& script, const std::string& source) {
  const std::string content = TRY(read_file(source + "/" + script.source));
  const std::string target = given.prefix + script.target;
  const std::optional<std::string> before = TRY(read_file_if_exists(target));
  if (before && *before == content) return say("there is", target), Result<void>();
  if (before && !is_ours(*before))
    return failure(fmt::format("install '{}': there is another file of that name", target),
                   fmt::format("call '{}/{}' from it", source, script.source));
  say(before ? "replace" : "write", target);
  if (given.dry_run) return {};
  TRY(make_dirs(target.substr(0, target.rfind('/')), kScript));
  return replace_file(target, content, kScript);
}

Result<void> uninstall_one(const Arguments& given, const Script& script) {
  const std::string target = given.prefix + script.target;
  const std::optional<std::string> before = TRY(read_file_if_exists(target));
  if (!before) return say("there is no", target), Result<void>();
  if (!is_ours(*before)) return say("leave, since it is somebody else's:", target), Result<void>();
  say("remove", target);
  if (given.dry_run || ::unlink(target.c_str()) == 0) return {};
  return errno_failure(fmt::format("remove '{}'", target));
}

Result<void> install(const Arguments& given) {
  const std::string source = TRY(source_directory(given));
  for (const Script& script : kScripts)
    if (given.system == script.system) TRY(install_one(given, script, source));
  for (const Advice& advice : kAdvice)
    if (given.system == advice.system)
      fmt::print("{}", fmt::format(fmt::runtime(advice.text), fmt::arg("source", source)));
  return {};
}

Result<void> uninstall(const Arguments& given) {
  for (const Script& script : kScripts)
    if (given.system == script.system) TRY(uninstall_one(given, script));
  std::printf("%s", given.system == "pbs"
                        ? "as a manager of PBS: qmgr -c 'delete hook conode'\n"
                        : "take the lines that 'install' has told about out again\n");
  return {};
}

}  // namespace

void add_install(CLI::App& app, Run& run) {
  const auto given = std::make_shared<Arguments>();
  const auto add = [&](const char* name, const char* help, Result<void> (*what)(const Arguments&)) {
    CLI::App* verb = app.add_subcommand(name, help);
    verb->add_option("--system", given->system, "slurm, flux or pbs")
        ->check(CLI::IsMember({"slurm", "flux", "pbs"}))
        ->required();
    verb->add_option("--prefix", given->prefix, "in front of all paths, for an image of a node");
    verb->add_option("--source", given->source, "directory of the scripts");
    verb->add_flag("--dry-run", given->dry_run, "say what would be done");
    verb->callback([given, &run, what] { run = [given, what] { return what(*given); }; });
  };
  add("install", "put the scripts where a batch system looks for them", &install);
  add("uninstall", "take them away again", &uninstall);
}

}  // namespace conode::hook
