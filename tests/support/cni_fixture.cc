// SPDX-License-Identifier: Apache-2.0
#include "tests/support/cni_fixture.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "agent/base/file.h"
#include "netplug/link/route.h"
#include "netplug/link/sandbox_network.h"

namespace conode::test {
namespace {

using nlohmann::json;

// Why there are no namespaces to test in; empty when this process is in them.
std::string& missing_need() {
  static std::string reason = "not set up";
  return reason;
}

Result<void> make_node() {
  TRY(enter_private_namespaces());
  return setup_sandbox_network(
      {.node_address = kNodeAddress, .prefix_length = 16, .pod_prefix = kRange});
}

size_t open_descriptors() {
  return list_dir("/proc/self/fd").value_or(std::vector<std::string>{}).size();
}

}  // namespace

void CniFixture::SetUp() {
  if (!missing_need().empty()) GTEST_SKIP() << missing_need();
  descriptors_ = open_descriptors();
  dir_.emplace(TempDir::create("conode-cni").value());
}

void CniFixture::TearDown() {
  if (!dir_) return;
  containers_.clear();  // as runtimes do after DEL, whose background part waits for that
  wait_for_background();
  EXPECT_THAT(pod_links(), testing::IsEmpty());
  EXPECT_THAT(reserved(), testing::IsEmpty());
  dir_.reset();
  EXPECT_EQ(open_descriptors(), descriptors_);
}

Container& CniFixture::container() {
  const std::string id = "c" + std::to_string(containers_.size() + 1);
  return containers_.emplace_back(Container::create(dir(), id).value());
}

std::string CniFixture::config(const json& more) const {
  json document = {{"cniVersion", "1.1.0"},
                   {"name", "test"},
                   {"type", "conode-cni"},
                   {"mode", "routed"},
                   {"ipam", {{"range", kRange}, {"data_dir", dir() + "/pool"}}}};
  if (more.is_object()) document.merge_patch(more);
  return document.dump();
}

json CniFixture::keeping(const std::vector<const Container*>& containers) {
  json list = json::array();
  for (const Container* c : containers)
    list.push_back({{"containerID", c->id()}, {"ifname", "eth0"}});
  return {{"cni.dev/valid-attachments", list}};
}

CniCall CniFixture::prepared(const std::string& command, const Container& container,
                             const json& more) const {
  return {.program = CONODE_CNI,
          .command = command,
          .container = container.id(),
          .netns = container.path(),
          .input = config(more)};
}

CniAnswer CniFixture::call(const std::string& command, const Container& container,
                           const json& more) {
  return call_plugin(prepared(command, container, more)).value();
}

CniAnswer CniFixture::call(const std::string& command, const json& more) {
  return call_plugin({.program = CONODE_CNI, .command = command, .input = config(more)}).value();
}

Ipv4Address CniFixture::add(const Container& container, const json& more) {
  const CniAnswer answer = call("ADD", container, more);
  EXPECT_TRUE(answer.ok()) << answer.output;
  if (!answer.ok()) return {};
  const json result = answer.json();
  return Ipv4Prefix::parse(result["ips"].back()["address"].get<std::string>()).value().address;
}

void CniFixture::wait_for_background() {
  int status = 0;
  while (::wait(&status) > 0) {
#ifdef __SANITIZE_ADDRESS__
    if (status == SIGKILL) continue;  // LeakSanitizer's tracer dies with a plugin that is killed
#endif
    EXPECT_EQ(status, 0) << "a background deletion failed";
  }
}

std::vector<std::string> CniFixture::pod_links() {
  Socket socket = Socket::open().value();
  std::vector<std::string> names;
  const std::vector<Link> links = list_links(socket).value();
  for (const Link& link : links)
    if (link.kind == "veth" && link.name != kNodeLink && link.name != kNodeLinkPeer)
      names.push_back(link.name);
  return names;
}

std::vector<std::string> CniFixture::reserved() const {
  std::vector<std::string> names =
      list_dir(dir() + "/pool/test").value_or(std::vector<std::string>{});
  std::erase(names, "next");
  std::erase(names, "ports");
  return names;
}

}  // namespace conode::test

// The namespaces must be entered while there is one thread, so before gtest.
int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const conode::Result<void> made = conode::test::make_node();
  conode::test::missing_need() = made ? "" : "no private namespaces: " + made.error().message();
  return RUN_ALL_TESTS();
}
