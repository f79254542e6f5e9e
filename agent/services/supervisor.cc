// SPDX-License-Identifier: Apache-2.0
#include "agent/services/supervisor.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>

#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/services/failure_report.h"
#include "agent/services/http.h"

namespace conode::services {

namespace asio = boost::asio;
using asio::local::datagram_protocol;
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {
// Between two looks at a health endpoint that gives no event. The endpoint answers in about 1 ms.
constexpr milliseconds kProbeInterval{20};
}  // namespace

Supervisor::Supervisor(asio::io_context& loop, SandboxLink& link, Options options,
                       Handlers handlers)
    : loop_(loop), link_(link), options_(std::move(options)), handlers_(std::move(handlers)) {}

void Supervisor::add(ServiceSpec spec) {
  auto service = std::make_unique<Service>(loop_);
  service->id = static_cast<uint32_t>(services_.size() + 1);
  service->status.name = spec.name;
  service->spec = std::move(spec);
  services_[service->id] = std::move(service);
  if (started_) start_what_can();
}

void Supervisor::start() {
  started_ = true;
  start_what_can();
}

void Supervisor::start_what_can() {
  if (!started_) return;
  for (const auto& [id, service] : services_) {
    const std::vector<std::string>& after = service->spec.after;
    if (service->status.state == State::waiting &&
        std::all_of(after.begin(), after.end(), [&](const auto& name) { return ready(name); }))
      handle(*service, Event::dependencies_ready);
  }
}

void Supervisor::handle(Service& service, Event event) {
  const std::optional<Transition> transition = next(service.status.state, event);
  if (!transition) return;
  service.status.state = transition->to;
  perform(service, transition->action);
  handlers_.changed(service.status);
  if (transition->action == Action::announce_ready) start_what_can();
}

void Supervisor::perform(Service& service, Action action) {
  switch (action) {
    case Action::none:
      return;
    case Action::spawn:
      return spawn(service);
    case Action::announce_ready:
      service.attempts = 0;
      service.timer.cancel();
      if (service.status.ready_after == 0) service.status.ready_after = elapsed();
      return;
    case Action::schedule_restart:
      return schedule_restart(service);
    case Action::kill:
      (void)link_.sandbox().signal(service.id, SIGKILL);
      return;
    case Action::report:
      return report(service);
  }
}

void Supervisor::spawn(Service& service) {
  ++service.instance;
  ++service.attempts;
  service.spawned = std::chrono::steady_clock::now();
  const std::string log = fmt::format("{}/log/{}.log", options_.state_dir, service.spec.name);
  std::vector<std::string> environment = options_.environment;
  environment.insert(environment.end(), service.spec.environment.begin(),
                     service.spec.environment.end());
  Result<UniqueFd> log_fd =
      open_at(AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
  if (!log_fd) return on_start_failed(service.id, log_fd.error());
  if (std::holds_alternative<ReadyByNotify>(service.spec.ready)) {
    if (Result<void> opened = open_notify(service); !opened)
      return on_start_failed(service.id, opened.error());
    environment.push_back(
        fmt::format("NOTIFY_SOCKET={}/notify/{}", sandbox::kStatePath, service.spec.name));
  }
  if (Result<void> sent = link_.sandbox().start(service.id, service.spec.name, service.spec.argv,
                                                environment, std::move(*log_fd));
      !sent)
    on_start_failed(service.id, sent.error());
}

void Supervisor::schedule_restart(Service& service) {
  service.status.pid = 0;
  ++service.status.restarts;
  service.attempts =
      attempts_in_a_row(service.attempts, std::chrono::steady_clock::now() - service.spawned);
  if (service.attempts >= kMostAttempts && service.status.ready_after == 0) {
    asio::post(loop_, [this, &service] { handle(service, Event::gave_up); });
    return;
  }
  // What has worked once may work again, for instance when a full disk has space again.
  if (service.attempts == kMostAttempts) log::error("{}", explanation(service).message());
  service.timer.expires_after(backoff(service.attempts - 1));
  service.timer.async_wait([this, &service](const error_code& error) {
    if (!error) handle(service, Event::backoff_over);
  });
}

Error Supervisor::explanation(const Service& service) const {
  return explain_failure(service.spec.name, service.status.last_exit,
                         fmt::format("{}/log/{}.log", options_.state_dir, service.spec.name));
}

void Supervisor::report(Service& service) { handlers_.failed(explanation(service)); }

void Supervisor::on_started(uint32_t id, pid_t pid) {
  Service& service = *services_.at(id);
  service.status.pid = pid;
  handlers_.changed(service.status);
  begin_probe(service);
  watch_ready_deadline(service);
}

void Supervisor::on_start_failed(uint32_t id, const Error& error) {
  Service& service = *services_.at(id);
  service.status.last_exit = error.message();
  // What has run before lacks something for a while only: processes, descriptors, space.
  handle(service, service.status.ready_after == 0 ? Event::start_failed : Event::exited);
}

void Supervisor::on_exited(uint32_t id, const ExitStatus& status) {
  Service& service = *services_.at(id);
  service.status.pid = 0;
  service.status.last_exit = describe(status);
  service.timer.cancel();
  const bool one_shot = std::holds_alternative<ReadyWhenCompleted>(service.spec.ready);
  if (one_shot && shell_exit_code(status) == 0) return handle(service, Event::became_ready);
  log::warning("service ended, restarting service={} status='{}' restarts={}", service.spec.name,
               service.status.last_exit, service.status.restarts);
  handle(service, Event::exited);
}

void Supervisor::begin_probe(Service& service) {
  if (std::holds_alternative<ReadyWhenStarted>(service.spec.ready))
    return handle(service, Event::became_ready);
  if (const auto* http = std::get_if<ReadyByHttp>(&service.spec.ready))
    asio::co_spawn(loop_, probe_http(service, *http, service.instance), asio::detached);
}

void Supervisor::watch_ready_deadline(Service& service) {
  if (service.status.state != State::starting) return;
  service.timer.expires_after(service.spec.ready_within);
  service.timer.async_wait([this, &service](const error_code& error) {
    if (!error) handle(service, Event::ready_timeout);
  });
}

Result<void> Supervisor::open_notify(Service& service) {
  const std::string path = fmt::format("{}/notify/{}", options_.state_dir, service.spec.name);
  (void)::unlink(path.c_str());
  error_code error;
  service.notify = datagram_protocol::socket(loop_);
  (void)service.notify.open({}, error);
  if (!error) (void)service.notify.bind(datagram_protocol::endpoint(path), error);
  if (error) return code_failure(error.value(), fmt::format("listen on '{}'", path));
  wait_for_notify(service);
  return {};
}

void Supervisor::wait_for_notify(Service& service) {
  service.notify.async_receive(asio::buffer(service.notify_buffer),
                               [this, &service](const error_code& error, size_t size) {
                                 if (error) return;
                                 const std::string_view text(service.notify_buffer.data(), size);
                                 if (text.find("READY=1") != std::string_view::npos)
                                   handle(service, Event::became_ready);
                                 else
                                   wait_for_notify(service);
                               });
}

asio::awaitable<void> Supervisor::probe_http(Service& service, ReadyByHttp http,
                                             uint64_t instance) {
  const std::shared_ptr<TlsContext> tls = http.tls ? TlsContext::unverified() : nullptr;
  asio::steady_timer pause(loop_);
  while (service.instance == instance && service.status.state == State::starting) {
    // A named object: GCC 12 destroys an aggregate temporary in a co_await twice.
    HttpRequest request{
        .address = http.address, .port = http.port, .target = http.path, .tls = tls};
    const Result<HttpResponse> answer = co_await http_request(link_, std::move(request));
    if (answer && answer->status == 200 && service.instance == instance)
      co_return handle(service, Event::became_ready);
    error_code error;
    pause.expires_after(kProbeInterval);
    co_await pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
  }
}

std::vector<ServiceStatus> Supervisor::status() const {
  std::vector<ServiceStatus> all;
  all.reserve(services_.size());
  for (const auto& [id, service] : services_) all.push_back(service->status);
  return all;
}

bool Supervisor::ready(const std::string& name) const {
  return std::any_of(services_.begin(), services_.end(), [&](const auto& entry) {
    return entry.second->spec.name == name && entry.second->status.state == State::ready;
  });
}

bool Supervisor::all_ready() const {
  return std::all_of(services_.begin(), services_.end(),
                     [](const auto& entry) { return entry.second->status.state == State::ready; });
}

double Supervisor::elapsed() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since_).count();
}

}  // namespace conode::services
