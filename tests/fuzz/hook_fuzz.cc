// SPDX-License-Identifier: Apache-2.0
// libFuzzer target of what conode-hook reads as root: the first line is a process's cgroup, the
// second a record's text behind a job id, the others are the program's arguments. Whatever the
// bytes, what is accepted is a job's own directory, a plain file's name and an ordinary user. The
// verbs themselves are not run. Of the environment nothing is read (main() clears it).
//   cmake --preset fuzz && cmake --build --preset fuzz
//   build/fuzz/tests/hook_fuzz -max_total_time=60 corpus tests/fuzz/hook_corpus
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "batch_hooks/hook/job_cgroup.h"
#include "batch_hooks/hook/record.h"
#include "batch_hooks/hook/verbs.h"
#include "netplug/vxlan/settings.h"

namespace {

using namespace conode;

void require(bool condition, const char* what) {
  if (condition) return;
  (void)std::fprintf(stderr, "%s\n", what);
  std::abort();
}

void check_name(const std::string& name) {
  require(name.find_first_of(std::string("/\0\n", 3)) == std::string::npos && name != "." &&
              name != ".." && !name.empty() && name.front() != '-',
          "a job's name leaves its directory");
}

void find_job(const std::string& cgroup, const std::string& job, const std::string& sluid) {
  std::vector<std::string> names;
  if (is_job_id(job)) names.push_back("job_" + job);
  if (hook::is_sluid(sluid)) names.push_back(sluid);
  for (const std::string& name : names) check_name(name);
  const std::optional<std::string> found = hook::job_directory(cgroup, names);
  if (!found) return;
  require(cgroup == *found || cgroup.starts_with(*found + "/"), "a directory that is not above");
  require(std::count(names.begin(), names.end(), found->substr(found->rfind('/') + 1)) == 1,
          "a directory that is no job's");
}

void read_record(const std::string& line) {
  const size_t end = line.find('\t');
  const std::string job = line.substr(0, end);
  if (!is_job_id(job) || end == std::string::npos) return;
  check_name(job);
  const Result<hook::Record> record = hook::parse_record(job, line.substr(end + 1));
  if (!record) return require(!record.error().message().empty(), "a failure that says nothing");
  require(record->cgroup.starts_with('/') && record->cgroup.find("/..") == std::string::npos,
          "a record leads elsewhere");
  const Result<hook::Record> again = hook::parse_record(job, hook::record_text(*record));
  require(again && again->cgroup == record->cgroup && again->user == record->user &&
              again->group == record->group,
          "a record does not read back");
}

void parse_arguments(std::vector<std::string> words) {
  CLI::App app("fuzz", "conode-hook");
  app.require_subcommand(1);
  hook::Run chosen;
  for (const auto add : hook::kVerbs) add(app, chosen);
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(words);
    require(static_cast<bool>(chosen), "nothing to do, and no error");
  } catch (const CLI::ParseError&) {
    return;  // main() says it and ends with 2
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::istringstream lines(std::string(reinterpret_cast<const char*>(data), size));
  std::string cgroup;
  std::string record;
  std::getline(lines, cgroup);
  std::getline(lines, record);
  read_record(record);
  std::vector<std::string> words;
  for (std::string word; std::getline(lines, word);) words.push_back(word);
  find_job(cgroup, record.substr(0, record.find('\t')), words.empty() ? "" : words.front());
  parse_arguments(std::move(words));
  return 0;
}
