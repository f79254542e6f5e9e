// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/build.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "agent/base/command.h"
#include "agent/base/file.h"
#include "agent/base/temp_dir.h"
#include "agent/bundle/compile.h"
#include "agent/bundle/recipe.h"

namespace conode::bundle {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kRecipe = "../agent/bundle/recipe";  // tests run in tests/

constexpr const char* kSmallRecipe = R"({"format": 1, "go": "1.26.6", "components": [{
  "name": "one", "module": "example.org/one", "version": "v1.0.0", "licence": "MIT",
  "programs": {"kube": ".", "extras/two": "example.org/one/two"}, "links": {"kubelet": "kube"}}]})";

// Instead of Go: counts its builds and writes the output that is asked for.
constexpr const char* kFakeGo = R"(#!/bin/sh
if [ "$1" = env ]; then echo "${FAKE_GO_VERSION:-go1.26.8}"; exit; fi
echo build >> "$(dirname "$0")/builds"
if [ -n "$FAKE_GO_FAILS" ]; then echo example.org/package >&2; echo "main.go:1: it is wrong" >&2; exit 1; fi
while [ "$1" != -o ]; do shift; done
echo "program in $PWD" > "$2"; chmod 700 "$2"
)";

class BuildTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_dirs(dir_.path() + "/bin"));
    ASSERT_TRUE(make_dirs(options_.recipe_dir + "/one"));
    ASSERT_TRUE(make_dirs(options_.recipe_dir + "/pause"));
    ASSERT_TRUE(replace_file(dir_.path() + "/bin/go", kFakeGo, 0755));
    ASSERT_TRUE(replace_file(options_.recipe_dir + "/recipe.json", kSmallRecipe));
    ASSERT_TRUE(replace_file(options_.recipe_dir + "/pause/pause.c",
                             read_file(std::string(kRecipe) + "/pause/pause.c").value()));
    path_ = std::getenv("PATH");
    set("PATH", dir_.path() + "/bin:" + path_);
    if (const auto checked = check_c_toolchain(find_toolchain(recipe()).value()); !checked)
      GTEST_SKIP() << checked.error().message();
  }
  void TearDown() override {
    set("PATH", path_);
    for (const char* name : {"FAKE_GO_VERSION", "FAKE_GO_FAILS", "XDG_CACHE_HOME", "CONODE_RECIPE"})
      ASSERT_EQ(::unsetenv(name), 0);
  }

  static void set(const char* name, const std::string& value) {
    ASSERT_EQ(::setenv(name, value.c_str(), 1), 0);
  }
  [[nodiscard]] Recipe recipe() const { return read_recipe(options_.recipe_dir).value(); }
  [[nodiscard]] size_t builds() const {
    return read_file_if_exists(dir_.path() + "/bin/builds").value().value_or("").size() / 6;
  }

  TempDir dir_ = TempDir::create("build-test").value();
  BuildOptions options_{.recipe_dir = dir_.path() + "/recipe", .cache_dir = dir_.path() + "/cache"};
  std::string path_;
};

TEST_F(BuildTest, TheSecondBuildComesFromTheCache) {
  std::vector<std::string> steps;
  const BuildResult first = build(options_, [&](const Progress& progress) {
                              if (progress.detail.empty()) steps.emplace_back(progress.object);
                            }).value();
  EXPECT_FALSE(first.cached);
  EXPECT_EQ(builds(), 2U);
  EXPECT_THAT(steps, ElementsAre("pause", "one"));
  EXPECT_TRUE(verify(first.bundle.path, Level::full));
  EXPECT_TRUE(exists(first.bundle.program("pause.tar")));
  EXPECT_TRUE(exists(first.bundle.program("extras/two")));
  EXPECT_EQ(first.bundle.manifest.components.at(1).licence, "MIT");

  const BuildResult second = build(options_).value();
  EXPECT_TRUE(second.cached);
  EXPECT_EQ(second.bundle.id, first.bundle.id);
  EXPECT_EQ(builds(), 2U);
}

TEST_F(BuildTest, AnotherRecipeOrGoIsAnotherBundle) {
  const std::string first = build(options_).value().bundle.path;
  ASSERT_TRUE(replace_file(options_.recipe_dir + "/one/go.sum", "changed"));
  const std::string second = build(options_).value().bundle.path;
  set("FAKE_GO_VERSION", "go1.27.0");
  const std::string third = build(options_).value().bundle.path;
  EXPECT_NE(first, second);
  EXPECT_NE(second, third);
}

TEST_F(BuildTest, ADamagedBundleInTheCacheIsBuiltAgain) {
  const BuildResult first = build(options_).value();
  ASSERT_TRUE(remove_tree(first.bundle.program("kube")));
  const BuildResult second = build(options_).value();
  EXPECT_FALSE(second.cached);
  EXPECT_EQ(second.bundle.id, first.bundle.id);
}

TEST_F(BuildTest, WhatAnInterruptedBuildLeftIsRemoved) {
  const std::string key = build(options_).value().bundle.manifest.key();
  ASSERT_TRUE(remove_tree(options_.cache_dir + "/" + key));
  ASSERT_TRUE(make_dirs(options_.cache_dir + "/." + key + ".abcdef/extras"));
  ASSERT_TRUE(build(options_));
  EXPECT_THAT(list_dir(options_.cache_dir).value(), ElementsAre(key, key + ".lock"));
}

TEST_F(BuildTest, WhatItsProgramsWriteBelongsToTheBundle) {
  json recipe = json::parse(kSmallRecipe);
  json& generated = recipe["components"][0]["generated"]["seed.json"];
  generated = {"sh", "-c", "cat ./kube extras/two > seed.json"};
  ASSERT_TRUE(replace_file(options_.recipe_dir + "/recipe.json", recipe.dump()));
  const Bundle bundle = build(options_).value().bundle;
  EXPECT_THAT(read_file(bundle.program("seed.json")).value(), HasSubstr("program in"));
  ASSERT_TRUE(replace_file(bundle.program("seed.json"), "changed"));
  EXPECT_FALSE(verify(bundle.path, Level::full));

  generated = {"sh", "-c", "echo it broke >&2; exit 3"};
  ASSERT_TRUE(replace_file(options_.recipe_dir + "/recipe.json", recipe.dump()));
  EXPECT_THAT(build(options_).error().message(),
              AllOf(HasSubstr("make 'seed.json'"), HasSubstr("it broke")));
}

TEST_F(BuildTest, AFailureOfGoIsShownAndLeavesNoBundle) {
  set("FAKE_GO_FAILS", "1");
  const Error error = build(options_).error();
  EXPECT_THAT(error.message(),
              AllOf(HasSubstr("build 'one': go build"), HasSubstr("main.go:1: it is wrong")));
  EXPECT_THAT(error.remedy, HasSubstr(".log'"));
  const std::vector<std::string> left = list_dir(options_.cache_dir).value();
  for (const std::string& name : left)
    EXPECT_TRUE(name.ends_with(".lock") || name.ends_with(".log")) << name;
}

TEST_F(BuildTest, AnOldOrMissingGoIsRefusedWithTheRemedy) {
  set("FAKE_GO_VERSION", "go1.19.8");
  EXPECT_THAT(build(options_).error().message(), HasSubstr("is go1.19.8, too old"));
  EXPECT_THAT(build(options_).error().remedy, HasSubstr("Go 1.26.6 or newer"));
  EXPECT_EQ(builds(), 0U);
}

TEST_F(BuildTest, WithoutACCompilerNothingIsCompiled) {
  Toolchain toolchain = find_toolchain(recipe()).value();
  toolchain.cc.clear();
  const Result<void> checked = check_c_toolchain(toolchain);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("a C compiler"));
  EXPECT_THAT(checked.error().remedy, HasSubstr("apt install"));
}

TEST_F(BuildTest, FindSeesWhatWasBuiltNewestGoFirst) {
  set("XDG_CACHE_HOME", dir_.path() + "/xdg");
  set("CONODE_RECIPE", options_.recipe_dir);
  const Result<std::string> none = find();
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().remedy, HasSubstr("conode bundle build"));
  for (const char* version : {"go1.26.9", "go1.26.10", "go1.26.8"}) {
    set("FAKE_GO_VERSION", version);
    ASSERT_TRUE(build({.recipe_dir = options_.recipe_dir, .cache_dir = {}}));
  }
  EXPECT_THAT(find().value(), HasSubstr("-go1.26.10-"));
  ASSERT_TRUE(replace_file(options_.recipe_dir + "/one/go.mod", "changed"));
  EXPECT_FALSE(find());
}

TEST(Recipe, ItsVersionsAreThoseOfTheModules) {
  const Recipe recipe = read_recipe(kRecipe).value();
  EXPECT_EQ(recipe.components.size(), 7U);
  for (const RecipeComponent& made : recipe.components) {
    const std::string directory = std::string(kRecipe) + "/" + made.directory;
    EXPECT_THAT(read_file(directory + "/go.mod").value(),
                HasSubstr(made.component.module + " " + made.component.version));
    EXPECT_THAT(read_file(directory + "/go.sum").value(),
                HasSubstr(made.component.module + " " + made.component.version));
    EXPECT_FALSE(made.component.licence.empty());
  }
}

TEST(Recipe, KubernetesIsOneVersionInAllPlaces) {
  const Recipe recipe = read_recipe(kRecipe).value();
  const RecipeComponent& kubernetes = recipe.components.back();
  ASSERT_EQ(kubernetes.component.name, "kubernetes");
  EXPECT_THAT(kubernetes.ldflags,
              HasSubstr("component-base/version.gitVersion=" + kubernetes.component.version));
  const std::string staging = "v0" + kubernetes.component.version.substr(2);
  EXPECT_THAT(read_file(std::string(kRecipe) + "/kubernetes/go.mod").value(),
              HasSubstr("k8s.io/api => k8s.io/api " + staging));
  EXPECT_EQ(kubernetes.links.size(), 7U);
}

TEST(Recipe, ABrokenOneIsRefused) {
  const TempDir dir = TempDir::create("recipe-test").value();
  EXPECT_THAT(read_recipe(dir.path()).error().message(), HasSubstr("recipe.json"));
  ASSERT_TRUE(replace_file(dir.path() + "/recipe.json", R"({"go": "1.26"})"));
  EXPECT_THAT(read_recipe(dir.path()).error().message(), HasSubstr("components"));
  EXPECT_FALSE(read_recipe(dir.path() + "/absent"));
}

TEST(GoVersion, Comparison) {
  EXPECT_TRUE(go_is_at_least("go1.26.6", "1.26.6"));
  EXPECT_TRUE(go_is_at_least("go1.26.10", "1.26.6"));
  EXPECT_TRUE(go_is_at_least("go1.27rc1", "1.26.6"));
  EXPECT_TRUE(go_is_at_least("go1.26.8 X:nocoverageredesign", "1.26.6"));
  EXPECT_TRUE(go_is_at_least("devel go1.28-abcdef", "1.26.6"));
  EXPECT_FALSE(go_is_at_least("go1.26", "1.26.6"));
  EXPECT_FALSE(go_is_at_least("go1.19.8", "1.26.6"));
  EXPECT_FALSE(go_is_at_least("", "1.26.6"));
}

}  // namespace
}  // namespace conode::bundle
