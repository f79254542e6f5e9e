// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/compile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>
#include <deque>
#include <sstream>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/bundle/bundle.h"
#include "agent/bundle/oci_layout.h"

namespace conode::bundle {
namespace {

std::string first_program(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.empty()) continue;
    std::string path = name.find('/') == std::string::npos ? find_program(name) : name;
    if (!path.empty() && ::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

// The flags for a small static program that needs no C library.
const std::vector<std::string> kPauseFlags = {"-Os",
                                              "-static",
                                              "-nostdlib",
                                              "-ffreestanding",
                                              "-fno-stack-protector",
                                              "-fno-pie",
                                              "-no-pie",
                                              "-fno-asynchronous-unwind-tables",
                                              "-Wl,--build-id=none,-z,noexecstack,-z,norelro",
                                              "-s"};

std::vector<std::string> go_command(const Toolchain& toolchain, const RecipeComponent& component,
                                    const std::string& package, const std::string& output) {
  std::vector<std::string> argv = {toolchain.go, "build",
                                   "-v",         "-mod=readonly",
                                   "-trimpath",  "-buildvcs=false",
                                   "-tags",      component.tags,
                                   "-ldflags",   "-s -w " + component.ldflags,
                                   "-o",         output};
  argv.insert(argv.end(), component.flags.begin(), component.flags.end());
  argv.push_back(package);
  return argv;
}

// Only what the recipe says decides; the caches and the proxy stay the user's.
std::map<std::string, std::string> go_environment(const Toolchain& toolchain, bool cgo) {
  return {{"CGO_ENABLED", cgo ? "1" : "0"},
          {"CC", toolchain.cc},
          {"GOOS", "linux"},
          {"GOARCH", host_architecture()},
          {"GOFLAGS", ""},
          {"GOWORK", "off"},
          {"GO111MODULE", "on"},
          {"GOEXPERIMENT", ""}};
}

// With -v go prints a line for each package; what is wrong has spaces in it.
std::string last_complaints(const std::string& output) {
  std::deque<std::string> lines;
  std::istringstream stream(output);
  for (std::string line; std::getline(stream, line);) {
    if (line.find(' ') == std::string::npos || line.starts_with("go: downloading")) continue;
    lines.push_back(line);
    if (lines.size() > 3) lines.pop_front();
  }
  return fmt::format("{}", fmt::join(lines, "; "));
}

Result<void> compile_program(const Toolchain& toolchain, const Recipe& recipe,
                             const RecipeComponent& component, const std::string& package,
                             const std::string& output, const std::string& log,
                             const LineCallback& on_line) {
  const CommandOutput result =
      TRY(run_command(go_command(toolchain, component, package, output),
                      {.working_dir = recipe.path + "/" + component.directory,
                       .environment = go_environment(toolchain, component.cgo),
                       .on_error_line = on_line}));
  if (result.exit_code == 0) return {};
  (void)replace_file(log, result.standard_error, 0644);
  return failure(fmt::format("go build {}: {}", package, last_complaints(result.standard_error)),
                 fmt::format("see '{}'; the first build needs the Go module proxy (go env GOPROXY) "
                             "and 5 GB in the Go caches; without them use 'conode bundle unpack'",
                             log));
}

}  // namespace

Result<Toolchain> find_toolchain(const Recipe& recipe) {
  const std::string remedy = fmt::format(
      "put Go {} or newer in PATH (https://go.dev/dl), or use 'conode bundle unpack' with an "
      "archive",
      recipe.minimum_go);
  Toolchain toolchain;
  toolchain.go = first_program({"go", "/usr/local/go/bin/go"});
  if (toolchain.go.empty()) return failure("find Go: there is no 'go' in PATH", remedy);
  std::string version =
      TRY(command_output({toolchain.go, "env", "GOVERSION"}, {.working_dir = recipe.path}));
  while (!version.empty() && version.back() == '\n') version.pop_back();
  if (!go_is_at_least(version, recipe.minimum_go))
    return failure(fmt::format("'{}' is {}, too old", toolchain.go, version), remedy);
  toolchain.go_version = version.substr(0, version.find(' '));
  const char* cc = std::getenv("CC");
  toolchain.cc = first_program({cc != nullptr ? cc : "", "cc", "gcc"});
  return toolchain;
}

Result<void> check_c_toolchain(const Toolchain& toolchain) {
  std::vector<std::string> missing;
  if (toolchain.cc.empty()) missing.emplace_back("a C compiler");
  const std::string pkg_config = find_program("pkg-config");
  if (pkg_config.empty()) {
    missing.emplace_back("pkg-config");
  } else {
    const Result<std::string> directory =
        command_output({pkg_config, "--variable=libdir", "libseccomp"});
    const std::string libdir =
        directory ? directory->substr(0, directory->find('\n')) : std::string();
    if (libdir.empty() || !exists(libdir + "/libseccomp.a"))
      missing.emplace_back("libseccomp with its static library");
  }
  if (missing.empty()) return {};
  return failure(fmt::format("runc needs {}, not found", fmt::join(missing, " and ")),
                 "apt install gcc libc6-dev libseccomp-dev pkg-config");
}

Result<void> compile_component(const Toolchain& toolchain, const Recipe& recipe,
                               const RecipeComponent& component, const std::string& directory,
                               const std::string& log, const LineCallback& on_line) {
  const std::string& name = component.component.name;
  for (const auto& [path, package] : component.programs) {
    const std::string output = fmt::format("{}/{}", directory, path);
    TRY(make_dirs(output.substr(0, output.rfind('/')), 0755));
    TRY_AS(fmt::format("build '{}'", name),
           compile_program(toolchain, recipe, component, package, output, log, on_line));
  }
  for (const auto& [path, target] : component.links) {
    if (::symlink(target.c_str(), fmt::format("{}/{}", directory, path).c_str()) != 0)
      return errno_failure(fmt::format("build '{}': create link '{}'", name, path));
  }
  for (const auto& [path, command] : component.generated) {
    on_line(path);
    TRY_AS(fmt::format("build '{}': make '{}'", name, path),
           command_output(command, {.working_dir = directory}));
  }
  return {};
}

Result<void> make_pause_image(const Toolchain& toolchain, const Recipe& recipe,
                              const std::string& archive) {
  const TempDir directory = TRY(TempDir::create("conode-pause"));
  const std::string program = directory.path() + "/pause";
  std::vector<std::string> argv = {toolchain.cc};
  argv.insert(argv.end(), kPauseFlags.begin(), kPauseFlags.end());
  argv.insert(argv.end(), {"-o", program, recipe.path + "/pause/pause.c"});
  TRY_AS("build 'pause'", command_output(argv));
  const image::ImageConfig config = {
      .name = std::string(kPauseImage), .entrypoint = {"/pause"}, .user = "65535:65535"};
  TRY(image::write_layout(config, {{.path = "pause", .source = program, .mode = 0755}}, archive));
  return {};
}

}  // namespace conode::bundle
