// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/kubernetes/api_client.h"
#include "agent/kubernetes/cluster.h"
#include "agent/kubernetes/objects.h"

namespace conode::kubernetes {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;

json kubelet_of(const ClusterLayout& layout) {
  return json::parse(configuration_files(layout).value().at("etc/kubelet.yaml"));
}

TEST(Addresses, ArePartsOfTheirPrefix) {
  EXPECT_EQ(address_in("10.96.0.0/16", 10).value(), "10.96.0.10");
  EXPECT_EQ(node_pod_prefix("10.244.0.0/16", 3).value(), "10.244.3.0/24");
  EXPECT_FALSE(address_in("10.96.0.0/99", 1));
  EXPECT_FALSE(address_in("nonsense", 1));
}

TEST(Configuration, AllocatableIsThePart) {
  ClusterLayout layout;
  layout.reserved_milli_cpus = 12000;
  layout.reserved_memory = 1 << 20;
  EXPECT_EQ(kubelet_of(layout)["systemReserved"]["cpu"], "12000m");
  EXPECT_EQ(kubelet_of(layout)["systemReserved"]["memory"], "1048576");
}

TEST(Configuration, TheLevelDecidesAboutCgroups) {
  ClusterLayout layout;
  layout.reserved_cpus = "4-7";
  layout.pod_tasks = 4096;
  EXPECT_EQ(kubelet_of(layout)["cgroupsPerQOS"], false);
  EXPECT_FALSE(kubelet_of(layout).contains("podPidsLimit"));
  layout.level = "controllers";
  EXPECT_EQ(kubelet_of(layout)["cgroupsPerQOS"], true);
  EXPECT_EQ(kubelet_of(layout)["reservedSystemCPUs"], "4-7");
  EXPECT_EQ(kubelet_of(layout)["podPidsLimit"], 4096);
  EXPECT_THAT(configuration_files(layout).value().at("etc/containerd.toml"),
              HasSubstr("disable_cgroup = false"));
}

TEST(Services, FollowEachOther) {
  const auto services = control_plane_services({});
  std::vector<std::string> names;
  for (const auto& s : services) {
    for (const std::string& before : s.after) EXPECT_THAT(names, Contains(before)) << s.name;
    names.push_back(s.name);
  }
}

TEST(Services, NoSecretIsAnArgument) {
  for (const auto& s : control_plane_services({}))
    for (const std::string& argument : s.argv)
      EXPECT_EQ(argument.find("PRIVATE"), std::string::npos);
}

TEST(Objects, ClusterDnsHasItsAddress) {
  const auto objects = bootstrap_objects({}).value();
  bool found = false;
  for (const auto& [path, object] : objects) {
    const json parsed = json::parse(object);
    if (parsed["kind"] != "Service") continue;
    found = true;
    EXPECT_EQ(parsed["spec"]["clusterIP"], "10.96.0.10");
  }
  EXPECT_TRUE(found);
}

TEST(Kubeconfig, IsReadAndRewritten) {
  const TempDir dir = TempDir::create().value();
  const std::string path = dir.path() + "/admin.conf";
  ASSERT_TRUE(replace_file(path, R"(
clusters: [{name: c, cluster: {certificate-authority-data: Y2E=, server: "https://10.88.0.1:6443"}}]
users: [{name: u, user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}}]
)"));
  const auto identity = identity_from_kubeconfig(path).value();
  EXPECT_EQ(identity.certificate_authority, "ca");
  EXPECT_EQ(identity.certificate, "cert");
  EXPECT_EQ(identity.key, "key");
  EXPECT_THAT(kubeconfig_for_server(path, "https://127.0.0.1:1").value(),
              HasSubstr("https://127.0.0.1:1"));
}

TEST(Kubeconfig, WhatIsNoneIsRefused) {
  const TempDir dir = TempDir::create().value();
  ASSERT_TRUE(replace_file(dir.path() + "/x", "clusters: ["));
  EXPECT_FALSE(identity_from_kubeconfig(dir.path() + "/x"));
  ASSERT_TRUE(replace_file(dir.path() + "/y", "clusters: 3\n"));
  EXPECT_FALSE(identity_from_kubeconfig(dir.path() + "/y"));
}

}  // namespace
}  // namespace conode::kubernetes
