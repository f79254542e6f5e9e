// SPDX-License-Identifier: Apache-2.0
// The reference page, the flags' help and the schema say the same.
// CONODE_TEST_UPDATE_REFERENCE=1 writes docs/configuration.md instead of comparing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <set>

#include "agent/base/file.h"
#include "agent/config/config.h"
#include "agent/config/key.h"
#include "agent/config/value.h"

namespace conode::config {
namespace {

using testing::HasSubstr;

constexpr const char* kPage = "../docs/configuration.md";

TEST(ConfigReference, PageIsGeneratedFromTheSchema) {
  if (std::getenv("CONODE_TEST_UPDATE_REFERENCE") != nullptr) {
    ASSERT_TRUE(replace_file(kPage, reference_markdown(), 0644));
  }
  const auto page = read_file(kPage);
  ASSERT_TRUE(page) << page.error().message();
  EXPECT_EQ(*page, reference_markdown()) << "run this test with CONODE_TEST_UPDATE_REFERENCE=1";
}

TEST(ConfigReference, ExampleOfThePageIsValid) {
  const std::string page = reference_markdown();
  const size_t begin = page.find("```yaml\n") + 8;
  const std::string example = page.substr(begin, page.find("```\n", begin) - begin);
  const LoadResult loaded = load_text(
      example, "/etc/config.yaml", {.variables = {{"USER", "ada"}, {"UID", "1"}, {"HOME", "/h"}}});
  for (const Problem& problem : loaded.problems) ADD_FAILURE() << to_string(problem);
  EXPECT_EQ(loaded.config.state_dir(), "/local/scratch/ada/conode");
}

TEST(ConfigReference, PageNamesEveryKeyFlagAndVariable) {
  const std::string page = reference_markdown();
  for (const Key& key : all_keys())
    for (const std::string& word : {key.name(), key.flag, key.environment})
      EXPECT_THAT(page, HasSubstr("`" + word + "`"));
}

// What the code takes for granted: the rest of the schema is free.
TEST(ConfigSchema, EveryKeyIsCompleteAndUnique) {
  std::set<std::string> names;
  for (const Key& key : all_keys()) {
    SCOPED_TRACE(key.path);
    EXPECT_FALSE(key.options().help().empty());
    EXPECT_FALSE(key.options().help().ends_with('.'));
    EXPECT_TRUE(names.insert(key.flag).second);
    EXPECT_TRUE(names.insert(key.environment).second);
    EXPECT_TRUE(key.field->is_repeated() || key.field->has_default_value() ||
                key.options().has_default_text());
  }
}

// Bounds and examples are text of the schema: they must be values of their keys.
TEST(ConfigSchema, BoundsExamplesAndDefaultsAreValues) {
  for (const Key& key : all_keys()) {
    SCOPED_TRACE(key.path);
    std::vector<std::string> texts = value_texts(Config(), key);
    if (key.options().has_example()) texts.push_back(key.options().example());
    if (key.options().has_min() && key.options().kind() != schema::PREFIX) {
      texts.push_back(key.options().min());
      texts.push_back(key.options().max());
    }
    Config config;
    for (const std::string& text : texts) {
      const Result<void> done = set_value(config, key, text);
      EXPECT_TRUE(done) << text << ": " << done.error().context;
    }
  }
}

TEST(ConfigFlags, HelpNamesDefaultsAndWords) {
  CLI::App app("conode", "conode");
  FlagValues values;
  add_flags(app, values);
  const std::string help = app.help();
  for (const Key& key : all_keys()) EXPECT_THAT(help, HasSubstr(key.flag));
  EXPECT_THAT(help, HasSubstr("auto|controllers|grouped|affinity"));
  EXPECT_THAT(help, HasSubstr("(default: 2m)"));
}

struct FlagsCase {
  std::vector<std::string> arguments;
  std::map<std::string, std::vector<std::string>> expected;
};

class ConfigFlagsParse : public testing::TestWithParam<FlagsCase> {};

TEST_P(ConfigFlagsParse, CollectsTexts) {
  CLI::App app;
  app.require_subcommand(0);
  FlagValues values;
  std::vector<std::string> rest;
  CLI::App* verb = app.add_subcommand("exec");
  add_flags(*verb, values);
  add_flags(*app.add_subcommand("down"), values, {"job"});
  verb->add_option("command", rest);
  std::vector<std::string> arguments = GetParam().arguments;
  std::reverse(arguments.begin(), arguments.end());
  ASSERT_NO_THROW(app.parse(arguments));
  EXPECT_EQ(values.values, GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(
    Table, ConfigFlagsParse,
    testing::Values(FlagsCase{{"exec"}, {}}, FlagsCase{{"exec", "--job", "x"}, {{"job", {"x"}}}},
                    FlagsCase{{"exec", "--job=x"}, {{"job", {"x"}}}},
                    FlagsCase{{"down", "--job", "x"}, {{"job", {"x"}}}},
                    FlagsCase{{"exec", "--k8s-cores", "4", "--", "mpirun", "--job", "y"},
                              {{"partition.k8s_cores", {"4"}}}},
                    FlagsCase{{"exec", "--k8s-cores", "four"}, {{"partition.k8s_cores", {"four"}}}},
                    FlagsCase{{"exec", "--k8s-cores", "4", "--k8s-cores", "5"},
                              {{"partition.k8s_cores", {"5"}}}},
                    FlagsCase{{"exec", "--image", "a", "--image", "[b,c]", "run"},
                              {{"images", {"a", "[b,c]"}}}},
                    FlagsCase{{"exec", "--allow-shared-core", "run"},
                              {{"partition.allow_shared_core", {"true"}}}},
                    FlagsCase{{"exec", "--no-allow-shared-core"},
                              {{"partition.allow_shared_core", {"false"}}}},
                    FlagsCase{{"exec", "--allow-shared-core=false"},
                              {{"partition.allow_shared_core", {"false"}}}},
                    FlagsCase{{"exec", "--allow-shared-core=perhaps"},
                              {{"partition.allow_shared_core", {"perhaps"}}}}));

class ConfigFlagsRefuse : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(ConfigFlagsRefuse, AsUsageErrors) {
  CLI::App app;
  FlagValues values;
  add_flags(*app.add_subcommand("exec"), values);
  add_flags(*app.add_subcommand("down"), values, {"job", "timeouts"});
  std::vector<std::string> arguments = GetParam();
  std::reverse(arguments.begin(), arguments.end());
  EXPECT_THROW(app.parse(arguments), CLI::ParseError);
}

using Arguments = std::vector<std::string>;
INSTANTIATE_TEST_SUITE_P(
    Table, ConfigFlagsRefuse,
    testing::Values(Arguments{"exec", "--k8s-coers", "4"}, Arguments{"exec", "--job"},
                    Arguments{"exec", "--image"}, Arguments{"down", "--k8s-cores", "4"},
                    Arguments{"exec", "--no-allow-shared-core=false"},
                    Arguments{"exec", "--allow-shared-core", "--no-allow-shared-core"}));

TEST(ConfigFlags, SubsetOfASection) {
  CLI::App app;
  FlagValues values;
  add_flags(app, values, {"job", "timeouts"});
  const std::string help = app.help();
  EXPECT_THAT(help, HasSubstr("--ready-timeout"));
  EXPECT_THAT(help, HasSubstr("--stop-timeout"));
  EXPECT_THAT(help, testing::Not(HasSubstr("--k8s-cores")));
}

}  // namespace
}  // namespace conode::config
