// SPDX-License-Identifier: Apache-2.0
#include "agent/bundle/archive.h"

#include <functional>

#include "agent/bundle/tar_writer.h"
#include "bundle_fixture.h"

namespace conode::bundle {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class ArchiveTest : public BundleTest {
 protected:
  [[nodiscard]] std::string archive_of(const std::string& suffix = ".tar") const {
    std::string archive = dir_.path() + "/bundle" + suffix;
    EXPECT_TRUE(pack(path_, archive));
    return archive;
  }

  // An archive that pack would not write.
  [[nodiscard]] std::string forged(const Manifest& manifest,
                                   const std::function<void(TarWriter&)>& add) const {
    std::string content;
    TarWriter writer = TarWriter::create(Compression::none, [&](std::string_view data) {
                         content += data;
                         return Result<void>();
                       }).value();
    EXPECT_TRUE(writer.add_content({.path = "manifest.json"}, to_json(manifest)));
    add(writer);
    EXPECT_TRUE(writer.finish());
    std::string archive = dir_.path() + "/forged.tar";
    EXPECT_TRUE(replace_file(archive, content));
    return archive;
  }

  // Refused, with nothing left where it would have been.
  [[nodiscard]] std::string refusal(const std::string& archive) const {
    const std::string parent = dir_.path() + "/into";
    const Result<Bundle> bundle = unpack(archive, parent + "/target");
    EXPECT_FALSE(bundle);
    if (exists(parent)) {
      EXPECT_THAT(list_dir(parent).value(), UnorderedElementsAre());
    }
    EXPECT_FALSE(exists(dir_.path() + "/escaped"));
    return bundle ? "" : bundle.error().message();
  }
};

TEST_F(ArchiveTest, WhatWasPackedIsUnpacked) {
  for (const char* suffix : {".tar", ".tar.gz", ".tar.zst"}) {
    const std::string target = dir_.path() + "/unpacked" + suffix;
    const Bundle bundle = unpack(archive_of(suffix), target).value();
    EXPECT_EQ(bundle.id, open(path_).value().id);
    EXPECT_TRUE(verify(target, Level::full));
    struct stat st {};
    ASSERT_EQ(::stat(target.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777U, 0755U);
    ASSERT_EQ(::stat((target + "/extras/ctr").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777U, 0755U);
  }
}

TEST_F(ArchiveTest, PackingIsDeterministic) {
  for (const char* suffix : {".tar", ".tar.gz", ".tar.zst"}) {
    const std::string first = read_file(archive_of(suffix)).value();
    EXPECT_EQ(read_file(archive_of(suffix)).value(), first) << suffix;
  }
}

TEST_F(ArchiveTest, ProgressNamesTheFiles) {
  std::vector<std::string> seen;
  ASSERT_TRUE(unpack(archive_of(), dir_.path() + "/target", [&](const Progress& progress) {
    EXPECT_EQ(progress.count, 4U);
    EXPECT_EQ(progress.index, seen.size());
    seen.emplace_back(progress.object);
  }));
  EXPECT_THAT(seen, UnorderedElementsAre("extras/ctr", "kube", "kubelet", "pause.tar"));
}

TEST_F(ArchiveTest, ADamagedBundleIsNotPacked) {
  write("kube", "kubE program", 0755);
  const std::string archive = dir_.path() + "/bad.tar";
  EXPECT_THAT(pack(path_, archive).error().message(), HasSubstr("'kube' is damaged"));
  EXPECT_FALSE(exists(archive));
  EXPECT_FALSE(exists(archive + ".part"));
}

TEST_F(ArchiveTest, AnUnwritablePlaceIsNamed) {
  EXPECT_THAT(pack(path_, dir_.path() + "/absent/b.tar").error().message(),
              HasSubstr("No such file"));
}

TEST_F(ArchiveTest, AnotherArchitectureIsUnpackedButNotUsed) {
  Manifest manifest = small_manifest();
  manifest.architecture = "s390x";
  write_manifest(manifest);
  const std::string target = dir_.path() + "/target";
  EXPECT_TRUE(unpack(archive_of(), target));
  EXPECT_FALSE(verify(target, Level::fast));
}

TEST_F(ArchiveTest, TheSameBundleAgainIsASuccessAnythingElseIsNot) {
  const std::string archive = archive_of();
  const std::string target = dir_.path() + "/target";
  ASSERT_TRUE(unpack(archive, target));
  EXPECT_TRUE(unpack(archive, target));
  ASSERT_TRUE(replace_file(target + "/kube", "kubE program", 0755));
  EXPECT_THAT(unpack(archive, target).error().message(), HasSubstr("is not this bundle"));
}

TEST_F(ArchiveTest, WithoutATargetItGoesToTheCache) {
  const std::string cache = dir_.path() + "/cache";
  ASSERT_EQ(::setenv("XDG_CACHE_HOME", cache.c_str(), 1), 0);
  EXPECT_EQ(unpack(archive_of()).value().path, cache + "/conode/bundles/" + small_manifest().key());
  ASSERT_EQ(::unsetenv("XDG_CACHE_HOME"), 0);
}

TEST_F(ArchiveTest, EveryTruncationIsRefused) {
  for (const char* suffix : {".tar", ".tar.gz", ".tar.zst"}) {
    const std::string archive = archive_of(suffix);
    const std::string content = read_file(archive).value();
    for (const size_t part : {0U, 1U, 4U, 6U}) {
      ASSERT_TRUE(replace_file(archive, content.substr(0, content.size() * part / 8)));
      EXPECT_NE(refusal(archive), "") << suffix << " " << part;
    }
  }
}

TEST_F(ArchiveTest, DamagedContentIsRefusedByName) {
  const std::string archive = archive_of();
  std::string content = read_file(archive).value();
  content.replace(content.find("kube program"), 4, "kubE");
  ASSERT_TRUE(replace_file(archive, content));
  EXPECT_THAT(refusal(archive), AllOf(HasSubstr("'kube' is damaged"), HasSubstr(archive)));
}

TEST_F(ArchiveTest, WhatIsNoArchiveIsRefused) {
  const std::string archive = dir_.path() + "/text";
  ASSERT_TRUE(replace_file(archive, std::string(4096, 'x')));
  EXPECT_NE(refusal(archive), "");
  EXPECT_THAT(refusal(dir_.path() + "/absent"), HasSubstr("No such file"));
}

TEST_F(ArchiveTest, TheManifestHasToComeFirst) {
  std::string content;
  TarWriter writer = TarWriter::create(Compression::none, [&](std::string_view data) {
                       content += data;
                       return Result<void>();
                     }).value();
  ASSERT_TRUE(writer.add_content({.path = "kube"}, "kube program"));
  ASSERT_TRUE(writer.finish());
  ASSERT_TRUE(replace_file(dir_.path() + "/a.tar", content));
  EXPECT_THAT(refusal(dir_.path() + "/a.tar"), HasSubstr("no packed bundle"));
}

TEST_F(ArchiveTest, PathsOutsideAreRefused) {
  for (const char* path : {"../escaped", "/escaped", "extras/../../escaped", "unknown"}) {
    const std::string archive = forged(small_manifest(), [&](TarWriter& writer) {
      EXPECT_TRUE(writer.add_content({.path = path}, "x"));
    });
    EXPECT_THAT(refusal(archive), HasSubstr("not in the manifest")) << path;
  }
}

TEST_F(ArchiveTest, PathsOutsideInTheManifestAreRefused) {
  Manifest manifest = small_manifest();
  manifest.entries.push_back(file_entry("../escaped", "x", 0644));
  const std::string archive = forged(manifest, [](TarWriter& writer) {
    EXPECT_TRUE(writer.add_content({.path = "../escaped"}, "x"));
  });
  EXPECT_THAT(refusal(archive), HasSubstr("path '../escaped' is not allowed"));
}

TEST_F(ArchiveTest, LinksInPlaceOfFilesAndDirectoriesAreRefused) {
  EXPECT_THAT(refusal(forged(small_manifest(),
                             [&](TarWriter& writer) {
                               EXPECT_TRUE(writer.add_symlink({.path = "extras"}, dir_.path()));
                             })),
              HasSubstr("'extras' is not in the manifest"));
  EXPECT_THAT(refusal(forged(small_manifest(),
                             [](TarWriter& writer) {
                               EXPECT_TRUE(writer.add_symlink({.path = "kube"}, "/bin/sh"));
                             })),
              HasSubstr("'kube' is no regular file"));
  EXPECT_THAT(refusal(forged(small_manifest(),
                             [](TarWriter& writer) {
                               EXPECT_TRUE(writer.add_hard_link({.path = "kube"}, "/bin/sh"));
                             })),
              HasSubstr("'kube' is no regular file"));
  EXPECT_THAT(refusal(forged(small_manifest(),
                             [](TarWriter& writer) {
                               EXPECT_TRUE(writer.add_symlink({.path = "kubelet"}, "/bin/sh"));
                             })),
              HasSubstr("'kubelet' is no link to 'kube'"));
}

TEST_F(ArchiveTest, FilesOfAnotherSizeMissingOrTwiceAreRefused) {
  EXPECT_THAT(refusal(forged(small_manifest(),
                             [](TarWriter& writer) {
                               EXPECT_TRUE(writer.add_content({.path = "kube"}, "kube program!"));
                             })),
              HasSubstr("'kube' is too long"));
  EXPECT_THAT(refusal(forged(small_manifest(),
                             [](TarWriter& writer) {
                               EXPECT_TRUE(writer.add_content({.path = "kube"}, "kube"));
                             })),
              HasSubstr("'kube' has 4 bytes"));
  EXPECT_THAT(refusal(forged(small_manifest(),
                             [](TarWriter& writer) {
                               for (int i = 0; i < 2; ++i)
                                 EXPECT_TRUE(writer.add_content({.path = "kube"}, "kube program"));
                             })),
              HasSubstr("comes twice"));
  EXPECT_THAT(refusal(forged(small_manifest(), [](TarWriter&) {})),
              HasSubstr("'extras/ctr' is missing"));
}

TEST(TarWriterTest, AFailingSinkIsReportedAndNotCalledAgain) {
  int calls = 0;
  {
    TarWriter writer = TarWriter::create(Compression::none, [&](std::string_view) -> Result<void> {
                         ++calls;
                         return code_failure(ENOSPC, "write 'x'");
                       }).value();
    const Result<void> added = writer.add_content({.path = "f"}, std::string(1U << 20U, 'x'));
    ASSERT_FALSE(added);
    EXPECT_TRUE(added.error().is(std::errc::no_space_on_device));
  }
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace conode::bundle
