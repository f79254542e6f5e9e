// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/oci/command_line.h"
#include "agent/oci/config_edit.h"
#include "agent/oci/report.h"
#include "agent/oci/runtime_call.h"

namespace conode {
namespace {

using Json = nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

// What containerd 2.4's CRI wrote for a container of a pod, before runc read it.
std::string recorded(const char* name = "data/oci/container.json") {
  return read_file(name).value_or("");
}

Json adapted(EnforcementLevel level, const std::string& config = recorded()) {
  const Result<std::string> text = adapt_config(config, level, "c0ffee");
  return text ? Json::parse(*text) : Json(text.error().message());
}

std::vector<std::string> types_of(const Json& list) {
  std::vector<std::string> types;
  for (const Json& element : list) types.push_back(element.at("type"));
  return types;
}

TEST(OciConfig, TheRecordedOneHasWhatWeEdit) {
  const Json config = Json::parse(recorded());
  EXPECT_TRUE(config.at("linux").contains("resources"));
  EXPECT_TRUE(config.at("linux").contains("cgroupsPath"));
  EXPECT_THAT(types_of(config.at("mounts")), testing::Contains("cgroup"));
}

TEST(OciConfig, ControllersChangesNothing) {
  EXPECT_EQ(adapt_config(recorded(), EnforcementLevel::controllers, "x").value(), recorded());
}

TEST(OciConfig, GroupedDropsResourcesAndNamesTheCgroup) {
  Json expected = Json::parse(recorded());
  expected["linux"].erase("resources");
  expected["linux"]["cgroupsPath"] = "/pods/c0ffee";
  EXPECT_EQ(adapted(EnforcementLevel::grouped), expected);
}

TEST(OciConfig, AffinityHasNoTraceOfCgroups) {
  const Json before = Json::parse(recorded());
  const Json after = adapted(EnforcementLevel::affinity);
  EXPECT_FALSE(after.at("linux").contains("resources"));
  EXPECT_FALSE(after.at("linux").contains("cgroupsPath"));
  EXPECT_THAT(types_of(after.at("mounts")), testing::Not(testing::Contains("cgroup")));
  EXPECT_EQ(after.at("mounts").size(), before.at("mounts").size() - 1);
  EXPECT_THAT(types_of(after.at("linux").at("namespaces")),
              testing::Not(testing::Contains("cgroup")));
  EXPECT_EQ(after.at("process"), before.at("process"));
  EXPECT_EQ(after.at("root"), before.at("root"));
}

TEST(OciConfig, TheSandboxContainerToo) {
  const std::string pause = recorded("data/oci/sandbox.json");
  EXPECT_FALSE(adapted(EnforcementLevel::affinity, pause).at("linux").contains("resources"));
  EXPECT_EQ(adapted(EnforcementLevel::grouped, pause).at("linux").at("cgroupsPath"),
            "/pods/c0ffee");
}

TEST(OciConfig, AffinityOfExecGoesInTheLowerLevels) {
  Json config = Json::parse(recorded());
  config["process"]["execCPUAffinity"] = {{"initial", "0-1"}, {"final", "0"}};
  config["linux"]["resources"]["cpu"]["cpus"] = "0";
  for (const EnforcementLevel level : {EnforcementLevel::affinity, EnforcementLevel::grouped}) {
    EXPECT_FALSE(adapted(level, config.dump()).at("process").contains("execCPUAffinity"));
    EXPECT_FALSE(adapted(level, config.dump()).at("linux").contains("resources"));
  }
  EXPECT_TRUE(adapted(EnforcementLevel::controllers, config.dump())
                  .at("process")
                  .contains("execCPUAffinity"));
}

TEST(OciConfig, TheLeastOneIsAccepted) {
  EXPECT_EQ(adapted(EnforcementLevel::affinity, "{}"), Json::parse(R"({"linux":{}})"));
  EXPECT_EQ(adapted(EnforcementLevel::grouped, R"({"linux":null})"),
            Json::parse(R"({"linux":{"cgroupsPath":"/pods/c0ffee"}})"));
  EXPECT_EQ(adapted(EnforcementLevel::affinity, R"({"mounts":null,"linux":{"namespaces":null}})"),
            Json::parse(R"({"mounts":null,"linux":{"namespaces":null}})"));
  EXPECT_EQ(adapted(EnforcementLevel::affinity, R"({"mounts":[{"destination":"/x"}]})")["mounts"],
            Json::parse(R"([{"destination":"/x"}])"));
}

TEST(OciConfig, NumbersSurvive) {
  const std::string text = R"({"linux":{},"n":18446744073709551615,"m":-9223372036854775808})";
  EXPECT_EQ(adapted(EnforcementLevel::affinity, text), Json::parse(text));
}

TEST(OciConfig, WhatIsNoConfigurationFails) {
  for (const char* bad : {"", "{", "[]", "null", "{\"linux\":3}", "{\"mounts\":3}",
                          "{\"mounts\":[3]}", "{\"mounts\":[{\"type\":3}]}", "{\"process\":3}",
                          "{\"linux\":{\"namespaces\":{}}}", "{}x", "{\"a\":\"\xff\"}"}) {
    EXPECT_FALSE(adapt_config(bad, EnforcementLevel::affinity, "x")) << bad;
    EXPECT_TRUE(adapt_config(bad, EnforcementLevel::controllers, "x")) << bad;
  }
}

TEST(OciCommandLine, TheShimsCreate) {
  const RuntimeCall call = parse_runtime_call(
      {"--root", "/run/containerd/runc/k8s.io", "--log", "/b/log.json", "--log-format", "json",
       "create", "--bundle", "/b", "--pid-file", "/b/init.pid", "c0ffee"});
  EXPECT_EQ(call.command, "create");
  EXPECT_TRUE(call.uses_bundle());
  EXPECT_EQ(call.bundle, "/b");
  EXPECT_EQ(call.container_id, "c0ffee");
  EXPECT_EQ(call.log, "/b/log.json");
  EXPECT_EQ(call.log_format, "json");
  EXPECT_THAT(runc_arguments(call, EnforcementLevel::affinity),
              ElementsAre("--root", "/run/containerd/runc/k8s.io", "--log", "/b/log.json",
                          "--log-format", "json", "--rootless", "true", "create", "--bundle", "/b",
                          "--pid-file", "/b/init.pid", "c0ffee"));
  EXPECT_EQ(runc_arguments(call, EnforcementLevel::grouped), call.arguments);
}

TEST(OciCommandLine, OtherSpellings) {
  RuntimeCall call =
      parse_runtime_call({"-log=/l", "--systemd-cgroup", "run", "-d", "-b=/b", "--", "-id"});
  EXPECT_EQ(call.log, "/l");
  EXPECT_EQ(call.bundle, "/b");
  EXPECT_EQ(call.container_id, "-id");
  call = parse_runtime_call({"create", "--no-pivot", "id"});
  EXPECT_EQ(call.bundle, ".");
  EXPECT_EQ(call.container_id, "id");
}

TEST(OciCommandLine, WhatIsNoneOfOurs) {
  for (const std::vector<std::string>& arguments : {std::vector<std::string>{},
                                                    {"--version"},
                                                    {"--log"},
                                                    {"kill", "create", "9"},
                                                    {"--root", "create", "state", "run"},
                                                    {"exec", "--process", "/p", "create"}})
    EXPECT_FALSE(parse_runtime_call(arguments).uses_bundle());
  EXPECT_TRUE(parse_runtime_call({"create"}).container_id.empty());
  EXPECT_TRUE(parse_runtime_call({"create", "--bundle"}).container_id.empty());
}

TEST(OciReport, LineAsRuncWritesIt) {
  const Json line = Json::parse(log_line("it's \"so\"\n\xff", "json", 1700000000));
  EXPECT_EQ(line.at("level"), "error");
  EXPECT_EQ(line.at("time"), "2023-11-14T22:13:20Z");
  EXPECT_THAT(line.at("msg").get<std::string>(), HasSubstr("it's \"so\"\n"));
  EXPECT_EQ(log_line("a b", "text", 0), "time=\"1970-01-01T00:00:00Z\" level=error msg=\"a b\"\n");
}

// The program itself, with a shell script in the place of runc.
class OciProgram : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(replace_file(dir() + "/runc", "#!/bin/sh\necho \"$@\"\nexit 7\n", 0700));
    ASSERT_TRUE(replace_file(dir() + "/config.json", recorded(), 0640));
  }
  [[nodiscard]] std::string dir() const { return dir_->path(); }
  [[nodiscard]] CommandOutput run(std::vector<std::string> arguments, const std::string& level,
                                  const std::string& runc = "") const {
    arguments.insert(arguments.begin(), CONODE_OCI);
    CommandOptions options;
    options.environment = {{"CONODE_RUNC", runc.empty() ? dir() + "/runc" : runc},
                           {"CONODE_ENFORCEMENT", level}};
    return run_command(arguments, options).value_or(CommandOutput{-1, "", "not run"});
  }
  [[nodiscard]] CommandOutput create(const std::string& level, const std::string& runc = "") const {
    return run({"--log", dir() + "/log.json", "--log-format", "json", "create", "--bundle", dir(),
                "c0ffee"},
               level, runc);
  }
  // A failed create says `part` on standard error and in the shim's log.
  void expect_failure(const CommandOutput& output, const std::string& part) const {
    EXPECT_EQ(output.exit_code, 1);
    EXPECT_THAT(output.standard_error, HasSubstr(part));
    const Json log = Json::parse(read_file(dir() + "/log.json").value_or("{}"));
    EXPECT_EQ(log.value("level", ""), "error");
    EXPECT_THAT(log.value("msg", ""), HasSubstr(part));
  }

  Result<TempDir> dir_ = TempDir::create("oci");
};

TEST_F(OciProgram, EditsTheBundleAndBecomesRunc) {
  const CommandOutput output = create("affinity");
  EXPECT_EQ(output.exit_code, 7);
  EXPECT_THAT(output.standard_output, HasSubstr("--rootless true create --bundle"));
  const Json config = Json::parse(read_file(dir() + "/config.json").value());
  EXPECT_EQ(config,
            Json::parse(adapt_config(recorded(), EnforcementLevel::affinity, "c0ffee").value()));
  struct stat st {};
  ASSERT_EQ(::stat((dir() + "/config.json").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777U, 0640U);
  EXPECT_FALSE(exists(dir() + "/config.json.new"));
}

TEST_F(OciProgram, ControllersLeavesTheBundleAlone) {
  EXPECT_EQ(create("controllers").exit_code, 7);
  EXPECT_EQ(read_file(dir() + "/config.json").value(), recorded());
}

TEST_F(OciProgram, OtherCallsNeedNoLevelAndNoBundle) {
  const CommandOutput output = run({"--root", "/r", "kill", "--all", "c0ffee", "9"}, "");
  EXPECT_EQ(output.exit_code, 7);
  EXPECT_EQ(output.standard_output, "--root /r kill --all c0ffee 9\n");
}

TEST_F(OciProgram, MissingConfiguration) {
  ASSERT_TRUE(remove_tree(dir() + "/config.json"));
  expect_failure(create("grouped"),
                 "adapt container 'c0ffee' to enforcement level 'grouped': open '" + dir() +
                     "/config.json': No such file or directory");
}

TEST_F(OciProgram, CorruptConfigurationStaysAsItIs) {
  ASSERT_TRUE(replace_file(dir() + "/config.json", "{\"linux\":"));
  expect_failure(create("affinity"), "edit '" + dir() + "/config.json': ");
  EXPECT_EQ(read_file(dir() + "/config.json").value(), "{\"linux\":");
}

TEST_F(OciProgram, UnknownLevel) {
  expect_failure(create("gruoped"), "CONODE_ENFORCEMENT='gruoped' is no enforcement level");
}

TEST_F(OciProgram, UnsetLevel) {
  expect_failure(create(""), "environment variable CONODE_ENFORCEMENT is not set");
}

TEST_F(OciProgram, MissingRunc) {
  expect_failure(create("grouped", dir() + "/none"),
                 "run '" + dir() + "/none': No such file or directory (CONODE_RUNC must name");
}

TEST_F(OciProgram, RelativeRunc) {
  expect_failure(create("grouped", "runc"), "CONODE_RUNC='runc' is no absolute path");
}

TEST_F(OciProgram, ALogThatCannotBeWrittenIsNoSecondFailure) {
  const CommandOutput output =
      run({"--log", dir() + "/no/log", "create", "--bundle", dir(), "x"}, "nonsense");
  EXPECT_EQ(output.exit_code, 1);
  EXPECT_THAT(output.standard_error, HasSubstr("is no enforcement level"));
  EXPECT_THAT(output.standard_error, HasSubstr("/no/log': No such file or directory, ignoring"));
}

}  // namespace
}  // namespace conode
