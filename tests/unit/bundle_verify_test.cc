// SPDX-License-Identifier: Apache-2.0
#include "bundle_fixture.h"

namespace conode::bundle {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string refusal(const std::string& path, Level level) {
  const Result<Bundle> bundle = verify(path, level);
  if (bundle) return {};
  EXPECT_FALSE(bundle.error().remedy.empty()) << bundle.error().message();
  return bundle.error().message();
}

TEST_F(BundleTest, AnIntactBundleIsAccepted) {
  const Bundle bundle = verify(path_, Level::full).value();
  EXPECT_EQ(bundle.program("kube"), path_ + "/kube");
  EXPECT_EQ(bundle.id.size(), 64U);
  EXPECT_EQ(bundle.manifest.components.at(0).version, "v1.37.2");
  EXPECT_THAT(describe(bundle), AllOf(HasSubstr("v1.37.2"), HasSubstr("Apache-2.0")));
}

TEST_F(BundleTest, ItsOwnDirectoryMayBeReadOnlyAndReachedThroughALink) {
  ASSERT_EQ(::chmod(path_.c_str(), 0555), 0);
  const std::string link = dir_.path() + "/link";
  ASSERT_EQ(::symlink(path_.c_str(), link.c_str()), 0);
  EXPECT_EQ(verify(link, Level::full).value().path, path_);
  ASSERT_EQ(::chmod(path_.c_str(), 0755), 0);
}

TEST_F(BundleTest, DamageOfTheSameSizeIsFoundByTheFullLevel) {
  write("kube", "kubE program", 0755);
  EXPECT_EQ(refusal(path_, Level::fast), "");
  EXPECT_THAT(refusal(path_, Level::full), AllOf(HasSubstr("'kube' is damaged"), HasSubstr(path_)));
}

TEST_F(BundleTest, ATruncatedFileIsFoundByTheFastLevel) {
  write("kube", "kube", 0755);
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("'kube' has 4 bytes instead of 12"));
}

TEST_F(BundleTest, AMissingFileIsNamed) {
  ASSERT_TRUE(remove_tree(path_ + "/extras/ctr"));
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("'extras/ctr' is missing"));
}

TEST_F(BundleTest, AMissingDirectoryIsNamedByItsFile) {
  ASSERT_TRUE(remove_tree(path_ + "/extras"));
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("'extras/ctr' is missing"));
}

TEST_F(BundleTest, AnExtraFileIsNamed) {
  write("extras/surprise", "x");
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("'extras/surprise' does not belong"));
}

TEST_F(BundleTest, AllProblemsAreListedAndCounted) {
  write("surprise", "x");
  ASSERT_TRUE(remove_tree(path_ + "/pause.tar"));
  EXPECT_EQ(problems(open(path_).value(), Level::fast).size(), 2U);
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("(and 1 more)"));
}

TEST_F(BundleTest, AForeignArchitectureIsRefused) {
  Manifest manifest = small_manifest();
  manifest.architecture = "s390x";
  write_manifest(manifest);
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("is for s390x, this machine is"));
  EXPECT_TRUE(damage(open(path_).value(), Level::full).empty());
}

TEST_F(BundleTest, AProgramThatCannotBeExecutedIsRefused) {
  ASSERT_EQ(::chmod((path_ + "/kube").c_str(), 0644), 0);
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("'kube' is not executable (mode 0644"));
}

TEST_F(BundleTest, ALinkThatLeadsElsewhereIsRefused) {
  ASSERT_EQ(::unlink((path_ + "/kubelet").c_str()), 0);
  ASSERT_EQ(::symlink("/bin/sh", (path_ + "/kubelet").c_str()), 0);
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("'kubelet' leads to '/bin/sh'"));
}

TEST_F(BundleTest, AProgramReplacedByALinkIsRefused) {
  ASSERT_EQ(::unlink((path_ + "/kube").c_str()), 0);
  ASSERT_EQ(::symlink("/bin/true", (path_ + "/kube").c_str()), 0);
  EXPECT_THAT(refusal(path_, Level::full), HasSubstr("'kube' is no regular file"));
}

TEST_F(BundleTest, WithoutAManifestItIsNoBundle) {
  ASSERT_TRUE(remove_tree(path_ + "/manifest.json"));
  EXPECT_THAT(refusal(path_, Level::fast), HasSubstr("manifest.json': No such file"));
  EXPECT_THAT(refusal(dir_.path() + "/absent", Level::fast), HasSubstr("No such file"));
}

TEST(Manifest, ItIsReadBackAsWritten) {
  const Manifest manifest = small_manifest();
  EXPECT_EQ(to_json(manifest_from_json(to_json(manifest)).value()), to_json(manifest));
  EXPECT_THAT(manifest.key(), AllOf(HasSubstr("-go1.26.8-"), HasSubstr(host_architecture())));
}

TEST(Manifest, PathsThatLeadOutAreRefused) {
  for (const char* path : {"../kube", "/bin/sh", "a/../../b", "", "a//b", "./a", "a/", "a/b/..",
                           "manifest.json", "kube", "kube/below", "a\\b"}) {
    Manifest manifest = small_manifest();
    manifest.entries.push_back(file_entry(path, "x", 0644));
    EXPECT_FALSE(manifest_from_json(to_json(manifest))) << path;
  }
  for (const char* target : {"/bin/sh", "../kube", "..", "extras/ctr"}) {
    Manifest manifest = small_manifest();
    manifest.entries.push_back({.path = "link", .sha256 = {}, .link = target});
    EXPECT_FALSE(manifest_from_json(to_json(manifest))) << target;
  }
}

TEST(Manifest, BrokenOnesAreRefusedWithTheReason) {
  EXPECT_THAT(manifest_from_json("{").error().message(), HasSubstr("manifest: "));
  EXPECT_THAT(manifest_from_json("[]").error().message(), HasSubstr("manifest: "));
  EXPECT_THAT(manifest_from_json(R"({"format": 2})").error().message(), HasSubstr("format 2"));
  std::string text = to_json(small_manifest());
  text.replace(text.find("\"0755\""), 6, "\"rwxr\"");
  EXPECT_FALSE(manifest_from_json(text));
}

}  // namespace
}  // namespace conode::bundle
