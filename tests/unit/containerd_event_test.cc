// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "agent/containerd/event_decode.h"
#include "events/container.pb.h"
#include "events/task.pb.h"

namespace conode::containerd {
namespace {

TEST(ContainerdEvent, DecodesAnExit) {
  ::containerd::events::TaskExit exit;
  exit.set_container_id("c1");
  exit.set_id("c1");
  exit.set_pid(42);
  exit.set_exit_status(137);
  const auto event = decode_event("containerd.events.TaskExit", exit.SerializeAsString());
  ASSERT_TRUE(event);
  EXPECT_EQ(event->container, "c1");
  const auto& what = std::get<TaskExited>(event->what);
  EXPECT_EQ(what.pid, 42U);
  EXPECT_EQ(what.exit_code, 137U);
  EXPECT_TRUE(what.main_process);
  exit.set_id("exec-1");
  const auto other = decode_event("containerd.events.TaskExit", exit.SerializeAsString());
  EXPECT_FALSE(std::get<TaskExited>(other->what).main_process);
}

TEST(ContainerdEvent, DecodesTheOthers) {
  ::containerd::events::TaskOOM oom;
  oom.set_container_id("c2");
  const auto event =
      decode_event("types.containerd.io/containerd.events.TaskOOM", oom.SerializeAsString());
  ASSERT_TRUE(event);
  EXPECT_TRUE(std::holds_alternative<TaskOutOfMemory>(event->what));
  ::containerd::events::ContainerCreate created;
  created.set_image("busybox");
  const auto create =
      decode_event("containerd.events.ContainerCreate", created.SerializeAsString());
  ASSERT_TRUE(create);
  EXPECT_EQ(std::get<ContainerCreated>(create->what).image, "busybox");
}

TEST(ContainerdEvent, IgnoresTheUnknownAndTheMalformed) {
  EXPECT_FALSE(decode_event("containerd.events.SnapshotCommit", ""));
  EXPECT_FALSE(decode_event("", ""));
  EXPECT_FALSE(decode_event("containerd.events.TaskExit", "\xff\xff\xff"));
}

}  // namespace
}  // namespace conode::containerd
