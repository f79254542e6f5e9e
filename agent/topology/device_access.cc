// SPDX-License-Identifier: Apache-2.0
#include "agent/topology/device_access.h"

#include <unistd.h>

#include <algorithm>
#include <sstream>
#include <vector>

#include "agent/base/file.h"

namespace conode::discovery {
namespace {

// Names in a directory of sysfs that begin so; none where there is no such directory.
std::vector<std::string> names_in(const std::string& directory, std::string_view begin) {
  std::vector<std::string> names = list_dir(directory).value_or(std::vector<std::string>{});
  std::erase_if(names, [&](const std::string& name) { return !name.starts_with(begin); });
  return names;
}

// "Device Minor: \t 0" (NVIDIA's driver, README "The /proc Filesystem Interface")
std::string nvidia_minor(const std::string& information) {
  constexpr std::string_view kKey = "Device Minor:";
  const size_t at = information.find(kKey);
  std::string minor;
  if (at != std::string::npos) std::istringstream(information.substr(at + kKey.size())) >> minor;
  return minor;
}

std::vector<std::string> device_files(const std::string& pci, const KernelRoots& roots) {
  const std::string device = roots.sys + "/bus/pci/devices/" + pci;
  std::vector<std::string> files;
  for (const std::string& name : names_in(device + "/drm", "renderD"))
    files.push_back(roots.dev + "/dri/" + name);
  for (const std::string& name : names_in(device + "/infiniband_verbs", "uverbs"))
    files.push_back(roots.dev + "/infiniband/" + name);
  const std::string minor = nvidia_minor(
      read_file(roots.proc + "/driver/nvidia/gpus/" + pci + "/information").value_or(""));
  if (!minor.empty()) files.push_back(roots.dev + "/nvidia" + minor);
  std::erase_if(files, [](const std::string& file) { return !exists(file); });
  return files;
}

}  // namespace

bool is_denied(const std::string& pci, const KernelRoots& roots) {
  if (pci.empty()) return false;
  const std::vector<std::string> files = device_files(pci, roots);
  return !files.empty() && std::none_of(files.begin(), files.end(), [](const std::string& file) {
    return ::access(file.c_str(), R_OK | W_OK) == 0;
  });
}

}  // namespace conode::discovery
