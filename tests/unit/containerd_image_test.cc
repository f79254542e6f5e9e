// SPDX-License-Identifier: Apache-2.0
// What of an archive is taken, and what is refused, before containerd hears of it.
#include <gmock/gmock.h>

#include "agent/base/temp_dir.h"
#include "agent/containerd/image_plan.h"
#include "tests/support/image_fixture.h"

namespace conode::containerd {
namespace {

using test::Files;
using test::ImageSpec;
using test::json;
using ::testing::HasSubstr;

class ContainerdImageTest : public ::testing::Test {
 protected:
  Result<std::vector<PlannedImage>> plan_path(const std::string& path,
                                              const ImportOptions& options = {}) {
    const auto source = open_image_source(path);
    if (!source) return tl::make_unexpected(source.error());
    return plan_images(**source, "x", options);
  }
  Result<std::vector<PlannedImage>> plan(const Files& files, const ImportOptions& options = {}) {
    const std::string path = dir_.path() + "/image.tar";
    test::write_archive(files, path);
    return plan_path(path, options);
  }
  std::string refusal(const Files& files, const ImportOptions& options = {}) {
    const auto planned = plan(files, options);
    return planned ? "it was accepted" : planned.error().message();
  }

  TempDir dir_ = TempDir::create().value();
};

TEST_F(ContainerdImageTest, PlansAnArchiveChildrenFirst) {
  const auto images = plan(test::oci_layout());
  ASSERT_TRUE(images) << images.error().message();
  ASSERT_EQ(images->size(), 1U);
  const PlannedImage& image = images->front();
  EXPECT_EQ(image.name, "docker.io/library/test:1");
  ASSERT_EQ(image.blobs.size(), 3U);
  const PlannedBlob& manifest = image.blobs.back();
  EXPECT_EQ(manifest.descriptor.digest, image.target.digest);
  EXPECT_EQ(manifest.labels.at("containerd.io/gc.ref.content.config"),
            image.blobs[0].descriptor.digest);
  EXPECT_EQ(manifest.labels.at("containerd.io/gc.ref.content.l.0"),
            image.blobs[1].descriptor.digest);
}

TEST_F(ContainerdImageTest, TakesEveryPackingAlike) {
  const Files files = test::oci_layout();
  test::write_directory(files, dir_.path() + "/layout");
  test::write_archive(files, dir_.path() + "/image.tgz", Compression::gzip);
  test::write_archive(files, dir_.path() + "/image.tar.zst", Compression::zstd);
  const std::string digest = plan(files)->front().target.digest;
  for (const char* name : {"/layout", "/image.tgz", "/image.tar.zst"}) {
    const auto images = plan_path(dir_.path() + name);
    ASSERT_TRUE(images) << name << ": " << images.error().message();
    EXPECT_EQ(images->front().target.digest, digest);
  }
}

TEST_F(ContainerdImageTest, ReadsTheLayersBytes) {
  const ImageSpec spec{.layer = std::string(3 << 20, 'x')};
  for (const char* name : {"/layout", "/image.tar"}) {
    test::write_directory(test::oci_layout(spec), dir_.path() + "/layout");
    test::write_archive(test::oci_layout(spec), dir_.path() + "/image.tar");
    const auto source = open_image_source(dir_.path() + name);
    ASSERT_TRUE(source);
    std::string bytes;
    const auto read =
        (*source)->read_files({test::blob_path("sha256:" + sha256(spec.layer))},
                              [&](const std::string&, const Reader& reader) -> Result<void> {
                                std::string chunk(100000, '\0');
                                while (const size_t got = TRY(reader(chunk)))
                                  bytes.append(chunk, 0, got);
                                return {};
                              });
    ASSERT_TRUE(read) << read.error().message();
    EXPECT_EQ(bytes, spec.layer);
  }
}

TEST_F(ContainerdImageTest, TakesItsPlatformOutOfAnIndex) {
  Files files;
  json other = test::add_manifest(files, {.layer = "other", .architecture = "s390x"});
  other["platform"] = {{"os", "linux"}, {"architecture", "s390x"}};
  json attestation = test::add_manifest(files, {.layer = "statement"});
  attestation["platform"] = {{"os", "unknown"}, {"architecture", "unknown"}};
  json mine = test::add_manifest(files, {.layer = "mine"});
  mine["platform"] = {{"os", "linux"}, {"architecture", bundle::host_architecture()}};
  json index = test::add_blob(files, "application/vnd.oci.image.index.v1+json",
                              json{{"manifests", {other, attestation, mine}}}.dump());
  index["annotations"] = {{"io.containerd.image.name", "quay.io/a/b:2"}};
  test::set_index(files, json::array({index}));
  const auto images = plan(files);
  ASSERT_TRUE(images) << images.error().message();
  const PlannedImage& image = images->front();
  EXPECT_EQ(image.name, "quay.io/a/b:2");
  EXPECT_EQ(index["digest"], image.target.digest);
  ASSERT_EQ(image.blobs.size(), 4U);  // of one platform, and the index
  EXPECT_EQ(mine["digest"], image.blobs.back().labels.at("containerd.io/gc.ref.content.m.0"));
  EXPECT_THAT(refusal(files, {.architecture = "riscv64"}),
              HasSubstr("it is for linux/s390x, linux/" + bundle::host_architecture() +
                        ", and linux/riscv64 is needed"));
}

TEST_F(ContainerdImageTest, MakesTheManifestThatDockerSaveLacks) {
  const auto images = plan(test::docker_archive({.name = "busybox:latest"}));
  ASSERT_TRUE(images) << images.error().message();
  const PlannedImage& image = images->front();
  EXPECT_EQ(image.name, "docker.io/library/busybox:latest");
  ASSERT_EQ(image.blobs.size(), 3U);
  EXPECT_EQ(image.blobs[0].path, "1/layer.tar");
  EXPECT_EQ("sha256:" + sha256(*image.blobs.back().content), image.target.digest);
}

TEST_F(ContainerdImageTest, NamesAsAsked) {
  EXPECT_EQ(plan(test::oci_layout(), {.name = "mine"})->front().name,
            "docker.io/library/mine:latest");
  EXPECT_THAT(refusal(test::oci_layout({.name = ""})), HasSubstr("an image without a name"));
  EXPECT_THAT(refusal(test::oci_layout({.name = "latest"})), HasSubstr("only the tag 'latest'"));
  EXPECT_THAT(refusal(test::oci_layout(), {.name = "a b"}), HasSubstr("'a b' is no image name"));

  Files two;
  json first = test::add_manifest(two, {.layer = "1"});
  json second = test::add_manifest(two, {.layer = "2"});
  first["annotations"] = {{"io.containerd.image.name", "a/b:1"}};
  second["annotations"] = {{"io.containerd.image.name", "a/b:2"}};
  test::set_index(two, json::array({first, second}));
  EXPECT_EQ(plan(two)->size(), 2U);
  EXPECT_THAT(refusal(two, {.name = "c"}), HasSubstr("it holds 2 images"));
}

struct Damage {
  const char* name;
  void (*apply)(Files& files);
  const char* message;
};

// The layer, and the first document below blobs/ that has `key`.
std::string layer_path() { return test::blob_path("sha256:" + sha256("layer")); }
std::string document_with(const Files& files, const char* key) {
  for (const auto& [path, content] : files)
    if (path.starts_with("blobs/") && json::accept(content) && json::parse(content).contains(key))
      return path;
  return {};
}

const Damage kDamages[] = {
    {"NoIndex", [](Files& f) { f.erase("index.json"); }, "neither 'index.json'"},
    {"IndexIsNoJson", [](Files& f) { f["index.json"] = "{oops"; },
     "'index.json' is no valid JSON document"},
    {"IndexOfWrongTypes", [](Files& f) { f["index.json"] = R"({"manifests":[{"digest":7}]})"; },
     "'' is no sha256 digest"},
    {"EmptyIndex", [](Files& f) { f["index.json"] = R"({"manifests":[]})"; }, "it holds no image"},
    {"DigestLeavesTheLayout",
     [](Files& f) {
       f["index.json"] = R"({"manifests":[{"digest":"sha256:../../../etc/passwd","size":1}]})";
     },
     "is no sha256 digest"},
    {"LayoutOfTheFuture", [](Files& f) { f["oci-layout"] = R"({"imageLayoutVersion":"2.0.0"})"; },
     "layout version '2.0.0'"},
    {"NoManifest", [](Files& f) { f.erase(document_with(f, "layers")); }, "' is missing"},
    {"NoConfiguration", [](Files& f) { f.erase(document_with(f, "rootfs")); }, "' is missing"},
    {"NoLayer", [](Files& f) { f.erase(layer_path()); }, "' is missing"},
    {"ShortLayer", [](Files& f) { f[layer_path()] = "lay"; }, "has 3 bytes instead of 5"},
    {"ChangedManifest", [](Files& f) { f[document_with(f, "layers")].replace(2, 1, "S"); },
     "does not have the digest it is named after"},
};

class ContainerdDamageTest : public ContainerdImageTest,
                             public ::testing::WithParamInterface<Damage> {};

TEST_P(ContainerdDamageTest, IsRefused) {
  Files files = test::oci_layout();
  GetParam().apply(files);
  EXPECT_THAT(refusal(files), HasSubstr(GetParam().message));
}
INSTANTIATE_TEST_SUITE_P(Layouts, ContainerdDamageTest, ::testing::ValuesIn(kDamages),
                         [](const auto& damage) { return std::string(damage.param.name); });

TEST_F(ContainerdImageTest, RefusesWhatIsForOthers) {
  EXPECT_THAT(refusal(test::oci_layout({.architecture = "s390x"})),
              HasSubstr("it is for linux/s390x, and linux/" + bundle::host_architecture()));
  EXPECT_THAT(refusal(test::docker_archive({.os = "windows"})), HasSubstr("it is for windows/"));
  EXPECT_THAT(
      refusal(test::oci_layout({.config_type = "application/vnd.cncf.helm.config.v1+json"})),
      HasSubstr("it is no container image"));
}

TEST_F(ContainerdImageTest, RefusesIncompleteDockerArchives) {
  Files no_layer = test::docker_archive();
  no_layer.erase("1/layer.tar");
  EXPECT_THAT(refusal(no_layer), HasSubstr("layer '1/layer.tar' is missing"));
  Files no_config = test::docker_archive();
  no_config.erase(no_config.begin()->first == "1/layer.tar" ? std::next(no_config.begin())->first
                                                            : no_config.begin()->first);
  EXPECT_THAT(refusal(no_config), HasSubstr("is missing"));
  Files no_list = test::docker_archive();
  no_list["manifest.json"] = "{}";
  EXPECT_THAT(refusal(no_list), HasSubstr("'manifest.json' is no list"));
}

TEST_F(ContainerdImageTest, RefusesWhatIsNoArchive) {
  const std::string path = dir_.path() + "/x";
  const auto message = [&] {
    const auto planned = plan_path(path);
    return planned ? "it was accepted" : planned.error().message();
  };
  EXPECT_THAT(message(), HasSubstr("No such file or directory"));
  ASSERT_TRUE(replace_file(path, std::string(5000, 'x')));
  EXPECT_THAT(message(), HasSubstr("is no tar archive"));
  ASSERT_TRUE(replace_file(path, ""));
  EXPECT_THAT(message(),
              ::testing::AnyOf(HasSubstr("neither 'index.json'"), HasSubstr("is no tar archive")));
  const std::string whole = test::tar_of(test::oci_layout(), Compression::gzip);
  ASSERT_TRUE(replace_file(path, whole.substr(0, whole.size() / 2)));
  EXPECT_THAT(message(),
              ::testing::AnyOf(HasSubstr("read archive"), HasSubstr("is no tar archive")));
  ASSERT_TRUE(remove_tree(path));
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(message(), HasSubstr("neither a file nor a directory"));
}

}  // namespace
}  // namespace conode::containerd
