// SPDX-License-Identifier: Apache-2.0
// Starts the services of the sandbox in the order of their readiness, restarts what ends, and says
// what is wrong with what fails. On the event loop's thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/local/datagram_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/services/sandbox_link.h"
#include "agent/services/service.h"

namespace conode::services {

struct ServiceStatus {
  std::string name;
  State state = State::waiting;
  pid_t pid = 0;  // in the sandbox's PID namespace; 0: none
  int restarts = 0;
  double ready_after = 0;  // seconds from supervision's start to the first time it was ready
  std::string last_exit;
};

class Supervisor {
 public:
  struct Options {
    std::string state_dir;                 // the host's path; logs in log/, sockets in notify/
    std::vector<std::string> environment;  // of every service
  };
  struct Handlers {
    std::function<void(const ServiceStatus&)> changed;
    std::function<void(const Error&)> failed;  // a service that will not run; the text says why
  };

  Supervisor(boost::asio::io_context& loop, SandboxLink& link, Options options, Handlers handlers);

  void add(ServiceSpec spec);
  // From here on, what has its dependencies ready is started.
  void start();

  // The init's reports, wired by the owner of the link.
  void on_started(uint32_t id, pid_t pid);
  void on_start_failed(uint32_t id, const Error& error);
  void on_exited(uint32_t id, const ExitStatus& status);

  [[nodiscard]] std::vector<ServiceStatus> status() const;
  [[nodiscard]] bool ready(const std::string& name) const;
  [[nodiscard]] bool all_ready() const;

 private:
  struct Service {
    explicit Service(boost::asio::io_context& loop) : timer(loop), notify(loop) {}
    uint32_t id = 0;
    ServiceSpec spec;
    ServiceStatus status;
    int attempts = 0;  // in a row, without being ready in between
    std::chrono::steady_clock::time_point spawned;
    uint64_t instance = 0;  // counts spawns: a probe of an older process is ignored
    boost::asio::steady_timer timer;
    boost::asio::local::datagram_protocol::socket notify;
    std::array<char, 512> notify_buffer{};
  };

  void handle(Service& service, Event event);
  void perform(Service& service, Action action);
  void spawn(Service& service);
  void schedule_restart(Service& service);
  void report(Service& service);
  [[nodiscard]] Error explanation(const Service& service) const;
  void start_what_can();
  void begin_probe(Service& service);
  Result<void> open_notify(Service& service);
  void wait_for_notify(Service& service);
  boost::asio::awaitable<void> probe_http(Service& service, ReadyByHttp http, uint64_t instance);
  void watch_ready_deadline(Service& service);
  [[nodiscard]] double elapsed() const;

  boost::asio::io_context& loop_;
  SandboxLink& link_;
  Options options_;
  Handlers handlers_;
  bool started_ = false;
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
  std::map<uint32_t, std::unique_ptr<Service>> services_;  // by id, in order of add()
};

}  // namespace conode::services
