// SPDX-License-Identifier: Apache-2.0
// A real containerd from the bundle ($CONODE_BUNDLE) for tests, as an ordinary user: in user,
// mount, PID and network namespaces of its own, its content on a small tmpfs that goes with them.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/process.h"
#include "agent/base/temp_dir.h"

namespace conode::test {

class ContainerdProcess {
 public:
  // Why it cannot run here; empty: it can.
  static std::string missing() {
    const char* bundle = std::getenv("CONODE_BUNDLE");
    if (bundle == nullptr) return "needs a bundle: CONODE_BUNDLE is not set";
    if (!exists(std::string(bundle) + "/extras/ctr")) return "needs extras/ctr in CONODE_BUNDLE";
    if (::geteuid() == 0) return "needs an ordinary user: runc would make cgroups for root";
    const std::vector<std::string> probe = {"unshare", "--map-root-user", "--map-auto", "true"};
    const auto probed = run_command(probe);
    if (!probed || probed->exit_code != 0) return "needs user namespaces and subordinate ids";
    return {};
  }

  // `content_size` is the tmpfs's, as mount(8) takes it.
  explicit ContainerdProcess(std::string content_size = "192m")
      : bundle_(std::getenv("CONODE_BUNDLE")), content_size_(std::move(content_size)) {
    start();
  }

  void start() {
    const std::string config = fmt::format(
        "version = 3\nroot = '{0}/content'\nstate = '/run/containerd'\n"
        "disabled_plugins = ['io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime',"
        " 'io.containerd.grpc.v1.cri', 'io.containerd.nri.v1.nri']\n[grpc]\naddress = '{1}'\n",
        dir_.path(), socket());
    ASSERT_TRUE(replace_file(dir_.path() + "/config.toml", config));
    ASSERT_TRUE(make_dir(dir_.path() + "/content"));
    const std::string inside = fmt::format(
        "mount -t proc proc /proc && mount -t tmpfs tmpfs /run && "
        "mount -t tmpfs -o size={2} tmpfs {0}/content && "
        "PATH={1}:$PATH exec {1}/containerd --config {0}/config.toml",
        dir_.path(), bundle_, content_size_);
    const UniqueFd log(
        ::open((dir_.path() + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    Result<Process> process =
        Process::spawn({.argv = {"unshare", "--map-root-user", "--map-auto", "--mount", "--pid",
                                 "--net", "--fork", "--kill-child", "sh", "-c", inside},
                        .fds = {{1, log.get()}, {2, log.get()}},
                        .die_with_parent = true});
    ASSERT_TRUE(process) << process.error().message();
    process_ = std::make_unique<Process>(std::move(*process));
  }

  // As `kill -9`: with PID 1 go containerd, its shims and the containers.
  void kill() { process_.reset(); }

  [[nodiscard]] std::string socket() const { return dir_.path() + "/containerd.sock"; }
  [[nodiscard]] const std::string& path() const { return dir_.path(); }
  [[nodiscard]] const std::string& bundle() const { return bundle_; }
  [[nodiscard]] std::string log() const { return read_file(dir_.path() + "/log").value_or(""); }

  // Output of upstream's own client.
  std::string ctr(std::vector<std::string> arguments) const {
    std::vector<std::string> argv = {bundle_ + "/extras/ctr", "-a", socket(), "-n", "k8s.io"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    Result<std::string> output = command_output(argv);
    EXPECT_TRUE(output) << output.error().message();
    return output.value_or("");
  }

 private:
  TempDir dir_ = TempDir::create().value();
  std::string bundle_;
  std::string content_size_;
  std::unique_ptr<Process> process_;
};

}  // namespace conode::test
