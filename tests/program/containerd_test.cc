// SPDX-License-Identifier: Apache-2.0
// Our client against the real containerd.
#include <gmock/gmock.h>

#include <condition_variable>
#include <mutex>

#include "agent/containerd/containerd.h"
#include "tests/support/containerd_process.h"
#include "tests/support/image_fixture.h"

namespace conode::containerd {
namespace {

using namespace std::chrono_literals;
using test::Files;
using ::testing::HasSubstr;

constexpr const char* kBusybox = "/bin/busybox";

// Collects events; waits for the first that fits.
class Recorder {
 public:
  void add(const Event& event) {
    const std::lock_guard guard(lock_);
    events_.push_back(event);
    changed_.notify_all();
  }
  template <typename What>
  std::optional<What> wait(const std::string& container, size_t nth = 1) {
    std::unique_lock guard(lock_);
    std::optional<What> found;
    (void)changed_.wait_for(guard, 20s, [&] {
      size_t seen = 0;
      for (const Event& event : events_)
        if (event.container == container && std::holds_alternative<What>(event.what) &&
            ++seen == nth)
          found = std::get<What>(event.what);
      return found.has_value();
    });
    return found;
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  std::vector<Event> events_;
};

class ContainerdTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string missing = test::ContainerdProcess::missing();
    if (!missing.empty()) GTEST_SKIP() << missing;
    start("192m");
  }
  void start(const std::string& content_size) {
    server_ = std::make_unique<test::ContainerdProcess>(content_size);
    client_ = std::make_unique<ContainerdClient>(server_->socket());
    const auto ready = client_->wait_ready(30s);
    ASSERT_TRUE(ready) << ready.error().message() << server_->log();
  }

  Files busybox() const {
    const std::string layer = test::tar_of({{"bin/busybox", read_file(kBusybox).value()}});
    return test::oci_layout({.name = "busybox:1", .layer = layer});
  }
  std::string archive(const Files& files, const std::string& name = "image.tar") const {
    test::write_archive(files, server_->path() + "/" + name);
    return server_->path() + "/" + name;
  }
  void expect_nothing_left() const {
    EXPECT_EQ(server_->ctr({"images", "ls", "-q"}), "");
    EXPECT_EQ(server_->ctr({"content", "ls", "-q"}), "");
    EXPECT_EQ(server_->ctr({"leases", "ls", "-q"}), "");
    EXPECT_THAT(server_->ctr({"content", "active"}), ::testing::Not(HasSubstr("conode")));
  }

  std::unique_ptr<test::ContainerdProcess> server_;
  std::unique_ptr<ContainerdClient> client_;
};

TEST_F(ContainerdTest, IsHealthyAndTellsItsVersion) {
  EXPECT_TRUE(client_->health());
  const auto version = client_->version();
  ASSERT_TRUE(version) << version.error().message();
  EXPECT_THAT(version->version, ::testing::StartsWith("v2."));
}

TEST_F(ContainerdTest, ImportsThePauseImageOfTheBundle) {
  const auto imported = client_->import_image(server_->bundle() + "/pause.tar");
  ASSERT_TRUE(imported) << imported.error().message();
  ASSERT_EQ(imported->size(), 1U);
  EXPECT_THAT(imported->front().name, ::testing::StartsWith("registry.k8s.io/pause:"));
  EXPECT_THAT(server_->ctr({"images", "check"}), HasSubstr("complete (2/2)"));
}

TEST_F(ContainerdTest, ImportsOnceListsAndRemoves) {
  const std::string path = archive(busybox(), "busybox.tar");
  std::vector<ImportProgress> told;
  const auto imported = client_->import_image(
      path, {.on_progress = [&](const ImportProgress& now) { told.push_back(now); }});
  ASSERT_TRUE(imported) << imported.error().message();
  const ImportedImage image = imported->front();
  EXPECT_EQ(image.name, "docker.io/library/busybox:1");
  EXPECT_GT(image.size, 1U << 20U);
  EXPECT_EQ(image.uploaded, image.size);
  ASSERT_GE(told.size(), 4U);  // the layer's chunks, configuration, manifest
  for (size_t i = 1; i < told.size(); ++i) EXPECT_GE(told[i].done, told[i - 1].done);
  EXPECT_EQ(told.back().done, told.back().total);
  EXPECT_EQ(told.back().total, image.size);

  const auto again = client_->import_image(path);
  ASSERT_TRUE(again) << again.error().message();
  EXPECT_EQ(again->front().uploaded, 0U);

  const auto images = client_->images();
  ASSERT_TRUE(images);
  ASSERT_EQ(images->size(), 1U);
  EXPECT_EQ(images->front().name, image.name);
  EXPECT_EQ(images->front().digest, image.digest);
  EXPECT_TRUE(images->front().pinned);
  EXPECT_THAT(server_->ctr({"images", "ls"}), HasSubstr("io.cri-containerd.image=managed"));
  EXPECT_THAT(server_->ctr({"images", "check"}), HasSubstr("complete (2/2)"));

  EXPECT_TRUE(client_->remove_image(image.name).value());
  EXPECT_FALSE(client_->remove_image(image.name).value());
  expect_nothing_left();
}

TEST_F(ContainerdTest, ImportsADirectoryACompressedArchiveAndADockerArchive) {
  test::write_directory(busybox(), server_->path() + "/layout");
  ASSERT_TRUE(client_->import_image(server_->path() + "/layout", {.name = "directory"}));
  test::write_archive(busybox(), server_->path() + "/image.tgz", Compression::gzip);
  ASSERT_TRUE(client_->import_image(server_->path() + "/image.tgz", {.name = "compressed"}));
  const std::string layer = test::tar_of({{"bin/busybox", read_file(kBusybox).value()}});
  const Files saved = test::docker_archive({.name = "docker:1", .layer = layer});
  const auto docker = client_->import_image(archive(saved));
  ASSERT_TRUE(docker) << docker.error().message();
  size_t there = 0;  // layer and configuration
  for (const auto& [name, content] : saved)
    if (name != "manifest.json") there += content.size();
  EXPECT_EQ(docker->front().uploaded, docker->front().size - there);
  EXPECT_EQ(client_->images()->size(), 3U);
  EXPECT_THAT(server_->ctr({"images", "check"}), ::testing::Not(HasSubstr("incomplete")));
  // What was imported under one name may be replaced under it.
  const auto moved = client_->import_image(server_->path() + "/layout", {.name = "docker:1"});
  ASSERT_TRUE(moved) << moved.error().message();
  EXPECT_EQ(client_->images()->size(), 3U);
}

TEST_F(ContainerdTest, ADamagedLayerLeavesNothing) {
  Files files = busybox();
  for (auto& [path, content] : files)
    if (content.size() > (1U << 20U)) content[content.size() / 2] ^= 1;
  const auto refused = client_->import_image(archive(files));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("the content is not what its digest says"));
  EXPECT_THAT(refused.error().message(), HasSubstr("import image '"));
  expect_nothing_left();
}

TEST_F(ContainerdTest, ATruncatedArchiveLeavesNothing) {
  const std::string whole = test::tar_of(busybox());
  const std::string path = server_->path() + "/short.tar";
  for (const size_t size : {whole.size() / 2, whole.size() / 8, size_t{600}}) {
    ASSERT_TRUE(replace_file(path, whole.substr(0, size)));
    const auto refused = client_->import_image(path);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message(),
                ::testing::AnyOf(HasSubstr("Truncated"), HasSubstr("neither 'index.json'")));
  }
  expect_nothing_left();
}

TEST_F(ContainerdTest, AFullDiskIsNamedAndLeavesNothing) {
  start("24m");
  const std::string layer(64U << 20U, 'x');
  const auto refused = client_->import_image(archive(test::oci_layout({.layer = layer})));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().is(std::errc::no_space_on_device)) << refused.error().message();
  EXPECT_THAT(refused.error().remedy, HasSubstr("free space"));
  expect_nothing_left();
  EXPECT_TRUE(client_->import_image(archive(busybox())));
}

// A container from a plain directory: no cgroup and no network namespace, which a user may not make
// everywhere.
std::string container_spec(const std::string& root, const std::vector<std::string>& command) {
  using test::json;
  const json namespaces = {{{"type", "pid"}}, {{"type", "mount"}}, {{"type", "ipc"}}};
  return json{{"ociVersion", "1.2.0"},
              {"process", {{"args", command}, {"cwd", "/"}, {"user", {{"uid", 0}, {"gid", 0}}}}},
              {"root", {{"path", root}}},
              {"mounts", {{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}}}},
              {"linux", {{"namespaces", namespaces}}}}
      .dump();
}

TEST_F(ContainerdTest, TellsOfContainersAndTheirEvents) {
  Recorder recorder;
  EventStream stream = client_->events([&](const Event& event) { recorder.add(event); });
  ASSERT_TRUE(recorder.wait<Subscribed>(""));
  const std::string root = server_->path() + "/root";
  ASSERT_TRUE(make_dirs(root + "/bin"));
  ASSERT_TRUE(make_dirs(root + "/proc"));
  ASSERT_TRUE(replace_file(root + "/bin/busybox", read_file(kBusybox).value(), 0755));
  const std::string spec = server_->path() + "/spec.json";
  ASSERT_TRUE(replace_file(spec, container_spec(root, {"/bin/busybox", "false"})));
  server_->ctr({"run", "-d", "--null-io", "--config", spec, "fails"});
  const auto exited = recorder.wait<TaskExited>("fails");
  ASSERT_TRUE(exited) << server_->log();
  EXPECT_EQ(exited->exit_code, 1U);
  EXPECT_TRUE(exited->main_process);

  ASSERT_TRUE(replace_file(spec, container_spec(root, {"/bin/busybox", "sleep", "1000"})));
  server_->ctr({"run", "-d", "--null-io", "--label", "io.kubernetes.pod.name=web", "--label",
                "io.kubernetes.pod.namespace=default", "--config", spec, "runs"});
  ASSERT_TRUE(recorder.wait<ContainerCreated>("runs"));
  const auto started = recorder.wait<TaskStarted>("runs");
  ASSERT_TRUE(started);
  const auto containers = client_->containers();
  ASSERT_TRUE(containers) << containers.error().message();
  ASSERT_EQ(containers->size(), 2U);
  EXPECT_EQ(containers->at(0).status, TaskStatus::stopped);
  EXPECT_EQ(containers->at(0).exit_code, 1U);
  const Container& running = containers->at(1);
  EXPECT_EQ(running.id, "runs");
  EXPECT_EQ(running.pod_name, "web");
  EXPECT_EQ(running.pod_namespace, "default");
  EXPECT_EQ(running.status, TaskStatus::running);
  EXPECT_EQ(running.pid, started->pid);

  server_->ctr({"tasks", "kill", "-s", "KILL", "runs"});
  EXPECT_EQ(recorder.wait<TaskExited>("runs")->exit_code, 137U);
  server_->ctr({"tasks", "rm", "runs"});
  EXPECT_TRUE(recorder.wait<TaskDeleted>("runs"));
  server_->ctr({"containers", "rm", "runs"});
  EXPECT_TRUE(recorder.wait<ContainerDeleted>("runs"));
}

TEST_F(ContainerdTest, SubscribesAgainAfterContainerdWasKilled) {
  Recorder recorder;
  EventStream stream = client_->events([&](const Event& event) { recorder.add(event); });
  ASSERT_TRUE(recorder.wait<Subscribed>(""));
  server_->kill();
  Result<void> down;
  while (down) down = client_->health();  // the kernel is still killing it
  EXPECT_TRUE(down.error().is(std::errc::connection_refused)) << down.error().message();
  server_->start();
  EXPECT_TRUE(client_->wait_ready(30s));
  EXPECT_TRUE(recorder.wait<Subscribed>("", 2));
}

TEST_F(ContainerdTest, StopsItsEventsAtAnyTime) {
  for (int i = 0; i < 20; ++i) EventStream stream = client_->events([](const Event&) {});
  server_->kill();
  for (int i = 0; i < 5; ++i) EventStream stream = client_->events([](const Event&) {});
}

TEST(ContainerdClientTest, SaysWhereNobodyServes) {
  const TempDir dir = TempDir::create().value();
  ContainerdClient client(dir.path() + "/none.sock");
  const auto health = client.health();
  ASSERT_FALSE(health);
  EXPECT_TRUE(health.error().is(std::errc::connection_refused)) << health.error().message();
  const auto before = std::chrono::steady_clock::now();
  const auto ready = client.wait_ready(300ms);
  ASSERT_FALSE(ready);
  EXPECT_THAT(ready.error().message(), HasSubstr("there is no such socket"));
  EXPECT_LT(std::chrono::steady_clock::now() - before, 5s);
  ContainerdClient impossible("/" + std::string(200, 'x'));
  EXPECT_THAT(impossible.wait_ready(300ms).error().message(), HasSubstr("File name too long"));
}

}  // namespace
}  // namespace conode::containerd
