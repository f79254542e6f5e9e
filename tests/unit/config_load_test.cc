// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/config/config.h"
#include "agent/config/key.h"

namespace conode::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Environment bare_environment() {
  return {.variables = {{"UID", "1000"}, {"HOME", "/nonexistent"}},
          .working_dir = "/work dir",
          .system_file = ""};
}

LoadResult load_yaml(std::string_view yaml) {
  return load_text(yaml, "/etc/conode/config.yaml", bare_environment());
}

std::vector<std::string> told(const LoadResult& loaded) {
  std::vector<std::string> lines;
  for (const Problem& problem : loaded.problems) lines.push_back(to_string(problem));
  return lines;
}

TEST(ConfigLoad, DefaultsAlone) {
  const LoadResult loaded = load({}, "", bare_environment());
  EXPECT_THAT(told(loaded), IsEmpty());
  EXPECT_THAT(loaded.sources, IsEmpty());
  EXPECT_EQ(loaded.file, "");
  const Config& c = loaded.config;
  EXPECT_FALSE(c.has_job());
  EXPECT_FALSE(c.has_bundle());
  EXPECT_EQ(c.state_dir(), "/tmp/conode-1000");
  EXPECT_EQ(c.partition().k8s_share(), 0.25);
  EXPECT_FALSE(c.partition().has_k8s_cores());
  EXPECT_TRUE(c.partition().allow_shared_core());
  EXPECT_EQ(level_name(c.enforcement().level()), "auto");
  EXPECT_EQ(c.network().pod_prefix(), "10.244.0.0/16");
  EXPECT_EQ(c.kubernetes().max_pods(), 110U);
  EXPECT_EQ(ready_timeout(c), std::chrono::seconds(120));
  EXPECT_EQ(stop_timeout(c), std::chrono::seconds(2));
  EXPECT_EQ(c.log().level(), Log::INFO);
}

TEST(ConfigLoad, StateDirFollowsScratch) {
  Environment environment = bare_environment();
  environment.variables["TMPDIR"] = "/scratch/job.7";
  EXPECT_EQ(load({}, "", environment).config.state_dir(), "/scratch/job.7/conode-1000");
}

TEST(ConfigLoad, FileSetsEveryKind) {
  const LoadResult loaded = load_yaml(R"(
job: fem-42
state_dir: ${SCRATCH:-/local}/conode
bundle: bundle        # relative to the file
images: [a.tar, "~/b.tar"]
allow_network_file_system: yes
partition: {k8s_share: 25%, k8s_memory: 4Gi, allow_shared_core: false}
enforcement:
  level: grouped
network: {node_prefix: 172.16.0.0/12, mtu: 9000}
timeouts: {ready: 1h30m}
kubernetes:
log: {level: debug}
)");
  EXPECT_THAT(told(loaded), IsEmpty());
  const Config& c = loaded.config;
  EXPECT_EQ(c.job(), "fem-42");
  EXPECT_EQ(c.state_dir(), "/local/conode");
  EXPECT_EQ(c.bundle(), "/etc/conode/bundle");
  EXPECT_THAT(c.images(), ElementsAre("/etc/conode/a.tar", "/nonexistent/b.tar"));
  EXPECT_TRUE(c.allow_network_file_system());
  EXPECT_EQ(c.partition().k8s_share(), 0.25);
  EXPECT_EQ(c.partition().k8s_memory(), 4ULL << 30U);
  EXPECT_FALSE(c.partition().allow_shared_core());
  EXPECT_EQ(c.enforcement().level(), Enforcement::GROUPED);
  EXPECT_EQ(c.network().node_prefix(), "172.16.0.0/12");
  EXPECT_EQ(c.network().mtu(), 9000U);
  EXPECT_EQ(ready_timeout(c), std::chrono::minutes(90));
  EXPECT_EQ(c.log().level(), Log::DEBUG);
  EXPECT_EQ(loaded.sources.at("network.mtu"), "/etc/conode/config.yaml:10:44");
}

struct YamlCase {
  const char* name;
  std::string yaml;
  std::vector<std::string> problems;
};

const std::string kFile = "/etc/conode/config.yaml";

class ConfigYaml : public testing::TestWithParam<YamlCase> {};

TEST_P(ConfigYaml, ProblemsWithTheirPlaces) {
  std::vector<std::string> expected;
  for (const std::string& problem : GetParam().problems) expected.push_back(kFile + problem);
  EXPECT_THAT(told(load_yaml(GetParam().yaml)), testing::ElementsAreArray(expected));
}

INSTANTIATE_TEST_SUITE_P(
    Table, ConfigYaml,
    testing::Values(
        YamlCase{"empty", "", {}}, YamlCase{"only_comments", "# nothing\n", {}},
        YamlCase{"null_document", "---\n", {}}, YamlCase{"empty_section", "partition:\n", {}},
        YamlCase{"empty_list", "images: []\n", {}},
        YamlCase{"quoted_number", "partition: {k8s_cores: \"4\"}\n", {}},
        YamlCase{"byte_order_mark", "\xef\xbb\xbfjob: a\n", {}},
        YamlCase{"windows_line_ends", "job: a\r\nbundle: /b\r\n", {}},
        YamlCase{"anchor", "job: &x a1\nkubernetes: {cluster_domain: *x}\n", {}},
        YamlCase{"list_document", "- job: a\n", {":1:1: expected a map of keys, found a list"}},
        YamlCase{
            "text_document", "hello\n", {":1:1: expected a map of keys, found a single value"}},
        YamlCase{"two_documents", "job: a\n---\njob: b\n", {":3:1: is a second document"}},
        YamlCase{"list_and_map",
                 "- a\nb: c\n",
                 {":2:1: is a second document", ":1:1: expected a map of keys, found a list"}},
        YamlCase{"unknown_key",
                 "partition:\n  k8s_coers: 4\n",
                 {":2:3: partition.k8s_coers: is no known key"}},
        YamlCase{"unknown_section", "partitoin: {}\n", {":1:1: partitoin: is no known key"}},
        YamlCase{"dotted_key",
                 "partition.k8s_cores: 4\n",
                 {":1:1: partition.k8s_cores: is no known key"}},
        YamlCase{"duplicate_key", "job: a\njob: b\n", {":2:1: job: is set twice"}},
        YamlCase{"duplicate_section",
                 "log: {level: info}\nlog: {level: debug}\n",
                 {":2:1: log: is set twice"}},
        YamlCase{"duplicate_in_section",
                 "log: {level: info, level: debug}\n",
                 {":1:20: log.level: is set twice"}},
        YamlCase{"key_is_a_map", "{{a: b}: c}\n", {":1:2: expected a key, found a map"}},
        YamlCase{"key_is_a_list", "log: {[a]: c}\n", {":1:7: log: expected a key, found a list"}},
        YamlCase{"section_is_text",
                 "partition: 4\n",
                 {":1:12: partition: '4': expected a map of keys, found a single value"}},
        YamlCase{"section_is_a_list",
                 "partition: [4]\n",
                 {":1:12: partition: expected a map of keys, found a list"}},
        YamlCase{"number_is_text",
                 "partition: {k8s_cores: four}\n",
                 {":1:24: partition.k8s_cores: 'four': expected a whole number, 1 to 4096"}},
        YamlCase{"number_is_negative",
                 "partition: {k8s_cores: -4}\n",
                 {":1:24: partition.k8s_cores: '-4': expected a whole number, 1 to 4096"}},
        YamlCase{"number_is_no_whole_one",
                 "partition: {k8s_cores: 4.0}\n",
                 {":1:24: partition.k8s_cores: '4.0': expected a whole number, 1 to 4096"}},
        YamlCase{"number_is_beyond_64_bits",
                 "kubernetes: {api_port: 99999999999999999999}\n",
                 {":1:24: kubernetes.api_port: '99999999999999999999': expected a whole number, 0 "
                  "to 65535"}},
        YamlCase{"number_is_beyond_its_bound",
                 "kubernetes: {api_port: 65536}\n",
                 {":1:24: kubernetes.api_port: '65536': expected a whole number, 0 to 65535"}},
        YamlCase{"number_is_a_list",
                 "kubernetes: {api_port: [1]}\n",
                 {":1:24: kubernetes.api_port: expected a whole number, 0 to 65535, found a list"}},
        YamlCase{"no_value",
                 "job:\n",
                 {":1:1: job: expected letters, digits, '.', '_' and '-', at most 48, beginning "
                  "with a letter or digit, found nothing"}},
        YamlCase{"share_without_unit",
                 "partition: {k8s_share: 25}\n",
                 {":1:24: partition.k8s_share: '25': expected a share, 0.1% to 100%"}},
        YamlCase{"share_of_nothing",
                 "partition: {k8s_share: 0}\n",
                 {":1:24: partition.k8s_share: '0': expected a share, 0.1% to 100%"}},
        YamlCase{"size_with_a_wrong_unit",
                 "partition: {k8s_memory: 4GB}\n",
                 {":1:25: partition.k8s_memory: '4GB': expected a size, 256Mi to 1Pi"}},
        YamlCase{"duration_without_unit",
                 "timeouts: {ready: 120}\n",
                 {":1:19: timeouts.ready: '120': expected a duration with a unit (ms, s, m, h), 1s "
                  "to 24h"}},
        YamlCase{"wrong_word",
                 "enforcement: {level: strict}\n",
                 {":1:22: enforcement.level: 'strict': expected one of auto, controllers, grouped, "
                  "affinity"}},
        YamlCase{"wrong_switch",
                 "allow_network_file_system: perhaps\n",
                 {":1:28: allow_network_file_system: 'perhaps': expected true or false"}},
        YamlCase{"prefix_with_host_bits",
                 "network: {node_prefix: 10.88.0.1/16}\n",
                 {":1:24: network.node_prefix: '10.88.0.1/16': has bits set beyond its length "
                  "/16"}},
        YamlCase{"prefix_too_long",
                 "network: {pod_prefix: 10.1.0.0/25}\n",
                 {":1:23: network.pod_prefix: '10.1.0.0/25': expected an IPv4 prefix, length /8 to "
                  "/24"}},
        YamlCase{"prefix_of_loopback",
                 "network: {pod_prefix: 127.0.0.0/8}\n",
                 {":1:23: network.pod_prefix: '127.0.0.0/8': is in a range that hosts cannot "
                  "use"}},
        YamlCase{"prefixes_overlap",
                 "network: {service_prefix: 10.244.0.0/20}\n",
                 {":1:27: network.service_prefix: '10.244.0.0/20': overlaps network.pod_prefix "
                  "'10.244.0.0/16' (default)"}},
        YamlCase{"alternatives",
                 "partition:\n  k8s_cores: 4\n  k8s_share: 25%\n",
                 {":3:14: partition.k8s_share: '25%': is an alternative to 'partition.k8s_cores', "
                  "which is set too"}},
        YamlCase{"list_is_text",
                 "images: a.tar\n",
                 {":1:9: images: 'a.tar': expected a list, found a single value"}},
        YamlCase{"list_of_lists",
                 "images: [a.tar, [b.tar]]\n",
                 {":1:17: images: expected a path, found a list"}},
        YamlCase{"control_character",
                 "bundle: \"/a\\x1b[31m\"\n",
                 {":1:9: bundle: '/a\\x1b[31m': has a control character"}},
        YamlCase{
            "nul_character", "job: \"a\\0b\"\n", {":1:6: job: 'a\\x00b': has a control character"}},
        YamlCase{"name_with_a_slash",
                 "job: a/../b\n",
                 {":1:6: job: 'a/../b': expected letters, digits, '.', '_' and '-', at most 48, "
                  "beginning with a letter or digit"}},
        YamlCase{"domain_with_a_dot_at_the_end",
                 "kubernetes: {cluster_domain: a.b.}\n",
                 {":1:30: kubernetes.cluster_domain: 'a.b.': expected a DNS name in lower case"}},
        YamlCase{"unset_variable",
                 "bundle: /s/${NONE}\n",
                 {":1:9: bundle: '/s/${NONE}': uses the variable 'NONE', which is not set"}},
        YamlCase{"all_at_once",
                 "jobb: a\npartition: {k8s_cores: 0, plam: x}\nlog: {level: loud}\n",
                 {":1:1: jobb: is no known key", ":2:27: partition.plam: is no known key",
                  ":2:24: partition.k8s_cores: '0': expected a whole number, 1 to 4096",
                  ":3:14: log.level: 'loud': expected one of debug, info, warning, error"}}),
    [](const auto& test) { return std::string(test.param.name); });

class ConfigBrokenYaml : public testing::TestWithParam<std::string> {};

TEST_P(ConfigBrokenYaml, IsOneProblemWithItsPlace) {
  const LoadResult loaded = load_yaml(GetParam());
  ASSERT_EQ(loaded.problems.size(), 1U);
  EXPECT_THAT(to_string(loaded.problems[0]),
              testing::MatchesRegex(kFile + ":[0-9]+:[0-9]+: is no YAML: .*"));
  EXPECT_FALSE(loaded.problems[0].remedy.empty());
}

INSTANTIATE_TEST_SUITE_P(Table, ConfigBrokenYaml,
                         testing::Values("partition: {k8s_cores: 4\n", "job: [\n", "a: b: c\n",
                                         "job: \"x\n", "bundle: \"/x", "bundle: '/x\n\n",
                                         "partition:\n\tk8s_cores: 4\n", "job: *x\n",
                                         "job: &a &b x\n", "%YAML 9.9\n---\n", "}\n",
                                         "job: \"\\q\"\n"));

TEST(ConfigLoad, TabsHaveTheirRemedy) {
  const LoadResult loaded = load_yaml("partition:\n\tk8s_cores: 4\n");
  ASSERT_EQ(loaded.problems.size(), 1U);
  EXPECT_THAT(loaded.problems[0].remedy, HasSubstr("spaces"));
}

TEST(ConfigLoad, DeepNestingIsRefused) {
  const LoadResult loaded = load_yaml("images: " + std::string(100000, '['));
  ASSERT_EQ(loaded.problems.size(), 1U);
  EXPECT_THAT(loaded.problems[0].cause, HasSubstr("is no YAML"));
}

TEST(ConfigLoad, ExpandingAliasesAreHarmless) {
  std::string yaml = "a0: &a0 [x, x]\n";
  for (int i = 1; i < 60; ++i)
    yaml += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) +
            ", *a" + std::to_string(i - 1) + "]\n";
  yaml += "images: *a59\n";
  const LoadResult loaded = load_yaml(yaml);
  EXPECT_EQ(loaded.problems.size(), 62U);  // 60 unknown keys, two elements that are lists
}

TEST(ConfigLoad, HugeFileIsRefused) {
  const LoadResult loaded = load_yaml(std::string(size_t{1} << 20U, '#'));
  EXPECT_THAT(told(loaded), ElementsAre(kFile + ": is larger than 256 KiB"));
}

TEST(ConfigLoad, ProblemsAreSafeToPrint) {
  const LoadResult loaded = load_yaml("\"\\e[2J" + std::string(500, 'k') + "\": 1\n");
  ASSERT_EQ(loaded.problems.size(), 1U);
  const std::string text = to_string(loaded.problems[0]);
  EXPECT_THAT(text, HasSubstr("\\x1b[2Jkkk"));
  EXPECT_LT(text.size(), 200U);
}

TEST(ConfigEnvironment, SetsKeys) {
  Environment environment = bare_environment();
  environment.variables.insert({{"CONODE_JOB", "a"},
                                {"CONODE_K8S_CORES", "4"},
                                {"CONODE_IMAGES", "/a.tar::b.tar:"},
                                {"CONODE_ENFORCEMENT", "affinity"},
                                {"CONODE_ALLOW_SHARED_CORE", "0"},
                                {"CONODE_READY_TIMEOUT", "5m"},
                                {"CONODE_BUNDLE", ""}});
  const LoadResult loaded = load({}, "", environment);
  EXPECT_THAT(told(loaded), IsEmpty());
  EXPECT_EQ(loaded.config.job(), "a");
  EXPECT_EQ(loaded.config.partition().k8s_cores(), 4U);
  EXPECT_THAT(loaded.config.images(), ElementsAre("/a.tar", "/work dir/b.tar"));
  EXPECT_EQ(loaded.config.enforcement().level(), Enforcement::AFFINITY);
  EXPECT_FALSE(loaded.config.partition().allow_shared_core());
  EXPECT_EQ(ready_timeout(loaded.config), std::chrono::minutes(5));
  EXPECT_FALSE(loaded.config.has_bundle());
  EXPECT_EQ(loaded.sources.at("job"), "environment CONODE_JOB");
}

struct VariableCase {
  const char* variable;
  const char* remedy;  // null: no problem
};

TEST(ConfigEnvironment, MisspeltVariablesAreProblems) {
  const VariableCase cases[] = {{"CONODE_K8S_COERS", "did you mean 'CONODE_K8S_CORES'?"},
                                {"CONODE_PARTITION_K8S_CORES", "did you mean 'CONODE_K8S_CORES'?"},
                                {"CONODE_IMAGE", "did you mean 'CONODE_IMAGES'?"},
                                {"CONODE_STATEDIR", "did you mean 'CONODE_STATE_DIR'?"},
                                {"CONODE_TIMEOUTS_READY", "did you mean 'CONODE_READY_TIMEOUT'?"},
                                {"CONODE_CONFIG", nullptr},
                                {"CONODE_PART", nullptr},
                                {"CONODE_STATE", nullptr},
                                {"CONODE_INSTANCE", nullptr},
                                {"CONODE_JOB_HPC_CPUS", nullptr},
                                {"CONODE_JOB_STATE_DIR", nullptr},
                                {"CONODE_TEST_ROOT", nullptr},
                                {"CONODE_RUNC", nullptr},
                                {"CONODE_SITE_COMMENT", nullptr},
                                {"CONODE_", nullptr},
                                {"CONODE", nullptr},
                                {"KONODE_JOB", nullptr}};
  for (const VariableCase& c : cases) {
    Environment environment = bare_environment();
    environment.variables[c.variable] = std::string(c.variable) == "CONODE_CONFIG" ? "" : "1";
    const LoadResult loaded = load({}, "", environment);
    ASSERT_EQ(loaded.problems.size(), c.remedy ? 1U : 0U) << c.variable;
    if (c.remedy == nullptr) continue;
    EXPECT_EQ(loaded.problems[0].remedy, c.remedy);
    EXPECT_EQ(loaded.problems[0].where, std::string("environment ") + c.variable);
  }
}

// A directory with a file for each of the places that load() knows.
class ConfigFiles : public testing::Test {
 protected:
  void SetUp() override {
    environment_ = bare_environment();
    environment_.variables["HOME"] = dir_->path();
    environment_.working_dir = dir_->path();
    environment_.system_file = dir_->path() + "/system.yaml";
  }
  void write(const std::string& name, const std::string& text) {
    const std::string path = dir_->path() + "/" + name;
    ASSERT_TRUE(make_dirs(path.substr(0, path.rfind('/'))));
    ASSERT_TRUE(replace_file(path, text));
  }
  std::string job(const FlagValues& flags = {}, const std::string& file = {}) {
    const LoadResult loaded = load(flags, file, environment_);
    EXPECT_THAT(told(loaded), IsEmpty());
    return loaded.config.job();
  }

  Result<TempDir> dir_ = TempDir::create();
  Environment environment_;
};

TEST_F(ConfigFiles, StrongerSourcesReplaceWeakerOnes) {
  EXPECT_EQ(job(), "");
  write("system.yaml", "job: system");
  EXPECT_EQ(job(), "system");
  write(".config/conode/config.yaml", "job: home");
  EXPECT_EQ(job(), "home");
  write("xdg/conode/config.yaml", "job: xdg");
  environment_.variables["XDG_CONFIG_HOME"] = dir_->path() + "/xdg";
  EXPECT_EQ(job(), "xdg");
  write("named.yaml", "job: named");
  environment_.variables["CONODE_CONFIG"] = dir_->path() + "/named.yaml";
  EXPECT_EQ(job(), "named");
  write("flag.yaml", "job: file-flag");
  EXPECT_EQ(job({}, dir_->path() + "/flag.yaml"), "file-flag");
  environment_.variables["CONODE_JOB"] = "environment";
  EXPECT_EQ(job({}, dir_->path() + "/flag.yaml"), "environment");
  EXPECT_EQ(job({{{"job", {"flag"}}}}, dir_->path() + "/flag.yaml"), "flag");
}

TEST_F(ConfigFiles, FilesAreNotMerged) {
  write("system.yaml", "bundle: /b");
  write(".config/conode/config.yaml", "job: home");
  EXPECT_FALSE(load({}, "", environment_).config.has_bundle());
}

TEST_F(ConfigFiles, ListsAreReplacedNotJoined) {
  write("system.yaml", "images: [/a, /b]");
  const LoadResult loaded = load({{{"images", {"/c"}}}}, "", environment_);
  EXPECT_THAT(loaded.config.images(), ElementsAre("/c"));
}

TEST_F(ConfigFiles, AlternativeFromAStrongerSourceReplaces) {
  write("system.yaml", "partition: {k8s_share: 50%}");
  const LoadResult loaded = load({{{"partition.k8s_cores", {"4"}}}}, "", environment_);
  EXPECT_THAT(told(loaded), IsEmpty());
  EXPECT_FALSE(loaded.config.partition().has_k8s_share());
  EXPECT_EQ(loaded.config.partition().k8s_cores(), 4U);
  EXPECT_EQ(loaded.sources.count("partition.k8s_share"), 0U);
}

TEST_F(ConfigFiles, AlternativesInOneSourceAreAProblem) {
  const LoadResult loaded =
      load({{{"partition.k8s_cores", {"4"}}, {"partition.plan", {"p.json"}}}}, "", environment_);
  EXPECT_THAT(told(loaded),
              ElementsAre("flag --plan: partition.plan: 'p.json': is an alternative to "
                          "'partition.k8s_cores', which is set too"));
}

TEST_F(ConfigFiles, ProblemsOfAllSourcesAtOnce) {
  write("system.yaml", "partition: {k8s_cores: many}\nnetwork: {pod_prefix: 10.88.0.0/16}\n");
  environment_.variables["CONODE_MAX_PODS"] = "1000";
  environment_.variables["CONODE_MTUU"] = "1500";
  const LoadResult loaded =
      load({{{"partition.k8s_cores", {"5"}}, {"log.level", {"loud"}}}}, "", environment_);
  const std::string file = dir_->path() + "/system.yaml";
  EXPECT_THAT(
      told(loaded),
      ElementsAre(
          file + ":1:24: partition.k8s_cores: 'many': expected a whole number, 1 to 4096",
          "environment CONODE_MTUU: '1500': is no known variable",
          "environment CONODE_MAX_PODS: kubernetes.max_pods: '1000': expected a whole number, 1 to "
          "250",
          "flag --log-level: log.level: 'loud': expected one of debug, info, warning, error",
          file + ":2:23: network.pod_prefix: '10.88.0.0/16': overlaps network.node_prefix "
                 "'10.88.0.0/16' (default)"));
}

TEST_F(ConfigFiles, NamedFileMustExist) {
  EXPECT_THAT(
      told(load({}, dir_->path() + "/none.yaml", environment_)),
      ElementsAre(testing::MatchesRegex("flag --config: open '.*none.yaml': No such file.*")));
  environment_.variables["CONODE_CONFIG"] = dir_->path() + "/none.yaml";
  EXPECT_THAT(told(load({}, "", environment_)),
              ElementsAre(HasSubstr("environment CONODE_CONFIG: ")));
}

TEST_F(ConfigFiles, DirectoryAndHugeFileAreProblems) {
  EXPECT_THAT(told(load({}, dir_->path(), environment_)), ElementsAre(HasSubstr("Is a directory")));
  EXPECT_THAT(told(load({}, "/dev/zero", environment_)), ElementsAre(HasSubstr("File too large")));
}

TEST_F(ConfigFiles, DirectoryInPlaceOfTheSystemFileIsAProblem) {
  environment_.system_file = dir_->path();
  EXPECT_THAT(told(load({}, "", environment_)), ElementsAre(HasSubstr("Is a directory")));
}

TEST_F(ConfigFiles, RelativePathsStartAtTheirFile) {
  write("sub/c.yaml", "bundle: ../b");
  EXPECT_EQ(load({}, dir_->path() + "/sub/c.yaml", environment_).config.bundle(),
            dir_->path() + "/sub/../b");
  EXPECT_EQ(load({{{"bundle", {"b"}}}}, "", environment_).config.bundle(), dir_->path() + "/b");
}

TEST(ConfigValidate, AcceptsWhatLoadMakes) {
  EXPECT_TRUE(validate(Config()).empty());
  EXPECT_TRUE(validate(load({}, "", bare_environment()).config).empty());
}

TEST(ConfigValidate, TellsAllProblems) {
  Config config;
  config.set_job("a/b");
  config.mutable_partition()->set_k8s_cores(100000);
  config.mutable_network()->set_mtu(10);
  config.mutable_network()->set_service_prefix("10.88.1.0/24");
  config.add_images("");
  std::vector<std::string> keys;
  for (const Problem& problem : validate(config)) keys.push_back(problem.key);
  EXPECT_THAT(keys, ElementsAre("job", "images", "partition.k8s_cores", "network.mtu",
                                "network.service_prefix"));
}

TEST(ConfigValidate, ShareIsNoNumber) {
  for (const double share : {0.0, -1.0, 2.0, 1e-9, std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity()}) {
    Config config;
    config.mutable_partition()->set_k8s_share(share);
    EXPECT_EQ(validate(config).size(), 1U) << share;
  }
}

TEST(ConfigToYaml, ReadsBackToTheSame) {
  Environment environment = bare_environment();
  environment.variables["ODD"] = "a $ \"b\\ : #c";
  const FlagValues flags{{{"partition.k8s_share", {"33.3%"}},
                          {"partition.k8s_memory", {"1.5Gi"}},
                          {"images", {"/${ODD}", "b.tar"}},
                          {"job", {"123"}},
                          {"timeouts.ready", {"90s"}}}};
  const LoadResult loaded = load(flags, "", environment);
  ASSERT_THAT(told(loaded), IsEmpty());
  const std::string yaml = to_yaml(loaded);
  const LoadResult again = load_text(yaml, "/other/file.yaml", bare_environment());
  ASSERT_THAT(told(again), IsEmpty()) << yaml;
  for (const Key& key : all_keys()) {
    // Defaults are written out: they come back as values of the file.
    EXPECT_TRUE(key.is_set(again.config) || !key.is_set(loaded.config)) << key.path;
  }
  EXPECT_THAT(again.config.images(), ElementsAre("/a $ \"b\\ : #c", "/work dir/b.tar"));
  EXPECT_EQ(again.config.partition().k8s_share(), loaded.config.partition().k8s_share());
  EXPECT_EQ(again.config.partition().k8s_memory(), 3ULL << 29U);
  EXPECT_EQ(again.config.job(), "123");
  EXPECT_EQ(ready_timeout(again.config), std::chrono::seconds(90));
}

TEST(ConfigToYaml, TellsSources) {
  Environment environment = bare_environment();
  environment.variables["CONODE_JOB"] = "a";
  const std::string yaml = to_yaml(load({{{"partition.k8s_cores", {"4"}}}}, "", environment));
  EXPECT_THAT(yaml, HasSubstr("job: \"a\"  # environment CONODE_JOB\n"));
  EXPECT_THAT(yaml, HasSubstr("  k8s_cores: 4  # flag --k8s-cores\n"));
  EXPECT_THAT(yaml, HasSubstr("  # k8s_share: not set\n"));
  EXPECT_THAT(yaml, HasSubstr("  ready: 2m  # default\n"));
  EXPECT_THAT(yaml, HasSubstr("# bundle: the installed one"));
}

TEST(ConfigWire, PresenceAndValuesSurvive) {
  const LoadResult loaded = load({{{"partition.k8s_cores", {"4"}}}}, "", bare_environment());
  Config received;
  ASSERT_TRUE(received.ParseFromString(loaded.config.SerializeAsString()));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(received, loaded.config));
  EXPECT_TRUE(received.partition().has_k8s_cores());
  EXPECT_FALSE(received.network().has_mtu());
  EXPECT_FALSE(received.ParseFromString("\xff\xff"));
}

TEST(ConfigEnvironment, ProcessEnvironmentHasTheUserId) {
  EXPECT_EQ(process_environment().variables.at("UID"), std::to_string(::getuid()));
  EXPECT_FALSE(process_environment().working_dir.empty());
}

}  // namespace
}  // namespace conode::config
