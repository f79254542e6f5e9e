// SPDX-License-Identifier: Apache-2.0
// One supervised process of the sandbox: what it is, and its life cycle as a table.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace conode::services {

// How we learn that a service is ready. Events where there is one, an endpoint where not.
struct ReadyWhenStarted {};
struct ReadyWhenCompleted {};  // a one-shot: it ended with exit code 0
struct ReadyByNotify {};       // sd_notify(3): READY=1 on $NOTIFY_SOCKET
struct ReadyByHttp {           // GET answers 200 in the sandbox
  std::string address = "127.0.0.1";
  uint16_t port = 0;
  std::string path = "/healthz";
  bool tls = false;  // server certificate not verified: loopback of the sandbox, no secrets sent
};
using Readiness = std::variant<ReadyWhenStarted, ReadyWhenCompleted, ReadyByNotify, ReadyByHttp>;

struct ServiceSpec {
  std::string name;
  std::vector<std::string> argv;         // paths as seen in the sandbox
  std::vector<std::string> environment;  // "NAME=value", added to the sandbox's
  std::vector<std::string> after;        // services that must be ready first
  Readiness ready = ReadyWhenStarted{};
  std::chrono::seconds ready_within{60};
};

enum class State : uint8_t { waiting, starting, ready, backing_off, failed };
enum class Event : uint8_t {
  dependencies_ready,
  became_ready,
  exited,        // the process ended though it should run (or a one-shot failed)
  start_failed,  // exec failed: no restart helps
  ready_timeout,
  backoff_over,
  gave_up,  // too many attempts, and it was never ready
};
enum class Action : uint8_t { none, spawn, announce_ready, schedule_restart, kill, report };

struct Transition {
  State to;
  Action action;
};

// The life cycle; empty optional where the event means nothing in that state.
[[nodiscard]] std::optional<Transition> next(State state, Event event);

[[nodiscard]] std::string_view to_string(State state);

// 100 ms, doubled for each restart in a row, at most 10 s.
[[nodiscard]] std::chrono::milliseconds backoff(int restarts);

// Restarts in a row after which a service that was never ready has failed.
inline constexpr int kMostAttempts = 5;

// The attempts in a row, the last of which has lived so long. One that lived long enough to wait
// for others, on a node that is starved, is none of a row.
[[nodiscard]] int attempts_in_a_row(int attempts, std::chrono::steady_clock::duration lived);

}  // namespace conode::services
