// SPDX-License-Identifier: Apache-2.0
#include "agent/egress/egress.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <boost/asio/read_until.hpp>
#include <csignal>

#include "agent/base/environment.h"
#include "agent/base/file.h"
#include "agent/base/log.h"
#include "agent/base/pipe.h"
#include "agent/egress/attendant.h"
#include "agent/services/failure_report.h"
#include "agent/services/service.h"
#include "netplug/link/egress_link.h"

namespace conode::egress {

namespace asio = boost::asio;
using asio::posix::stream_descriptor;
using boost::system::error_code;

struct Egress::Run {
  Run(asio::io_context& loop, Process p, Process a, Pipe words, UniqueFd alive)
      : program(std::move(p)),
        attendant(std::move(a)),
        keep_alive(std::move(alive)),
        report(loop, words.out.release()),
        ended(loop, ::fcntl(program.pidfd(), F_DUPFD_CLOEXEC, 0)) {}

  // Now, whoever else holds it: handlers come back and see that it is over, when the Egress may be
  // gone.
  void end() {
    error_code ignored;
    over = true;
    (void)report.close(ignored);
    (void)ended.close(ignored);
    for (Process* process : {&program, &attendant})
      if (process->kill(SIGKILL)) (void)process->wait();
  }

  Process program;
  Process attendant;
  UniqueFd keep_alive;       // the attendant ends the program when this end is gone
  stream_descriptor report;  // of the attendant: its end shows too
  stream_descriptor ended;   // of the program
  std::string said;
  bool over = false;
};

Egress::Egress(asio::io_context& loop, Options options)
    : loop_(loop), options_(std::move(options)), pause_(loop) {
  if (options_.choice.kind != Kind::none) start();
}

Egress::~Egress() {
  if (run_) run_->end();
}

void Egress::start() {
  if (const Result<void> started = try_start(); !started) again(started.error().message());
}

Result<UniqueFd> Egress::cgroup() const {
  if (options_.cgroup.empty()) return UniqueFd();
  TRY(make_dir(options_.cgroup, 0755));
  return open_at(AT_FDCWD, options_.cgroup, O_PATH | O_DIRECTORY);
}

Result<void> Egress::try_start() {
  const UniqueFd null = TRY(open_at(AT_FDCWD, "/dev/null", O_RDONLY));
  const UniqueFd log =
      TRY(open_at(AT_FDCWD, options_.log_path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
  const UniqueFd group = TRY(cgroup());
  ProcessOptions options;
  options.argv = command_line(options_.choice, options_.sandbox, options_.inward);
  options.environment = environment_with({options_.marker});
  options.fds = {{0, null.get()}, {1, log.get()}, {2, log.get()}};
  options.affinity = options_.cpus;
  options.cgroup = group ? group.get() : -1;
  options.new_session = true;
  options.die_with_parent = true;  // until it changes its credentials
  Process program = TRY(Process::spawn(options));
  Pipe alive = TRY(make_pipe());
  Pipe said = TRY(make_pipe());
  options.argv = {options_.libexec_dir + "/conode-init", "egress", std::to_string(options_.sandbox),
                  options_.node_address, options_.pod_prefix};
  options.argv.insert(options.argv.end(), options_.inside.begin(), options_.inside.end());
  options.fds = {{0, null.get()},
                 {1, said.in.get()},
                 {2, log.get()},
                 {kAgentFd, alive.out.get()},
                 {kProgramFd, program.pidfd()}};
  options.die_with_parent = false;  // it has to do something then
  Process attendant = TRY(Process::spawn(options));
  said.in.reset();
  run_ = std::make_shared<Run>(loop_, std::move(program), std::move(attendant), std::move(said),
                               std::move(alive.in));
  read_report();
  wait_for_end();
  return {};
}

// One line, then nothing until the attendant ends.
void Egress::read_report() {
  asio::async_read_until(run_->report, asio::dynamic_buffer(run_->said), '\n',
                         [this, run = run_](const error_code& error, size_t size) {
                           if (run->over) return;
                           const std::string line = run->said.substr(0, size);
                           run->said.erase(0, size);
                           if (error) return again("its attendant has ended");
                           if (line != kUp) return again(line.substr(0, line.size() - 1));
                           if (const Result<void> open = let_in(); !open)
                             return again(open.error().message());
                           up_ = true;
                           up_since_ = std::chrono::steady_clock::now();
                           trouble_.clear();
                           log::info("egress: {}", describe());
                           read_report();
                         });
}

Result<void> Egress::let_in() const {
  if (!options_.inward || options_.choice.kind != Kind::slirp4netns) return {};
  return open_inward(*options_.inward);
}

void Egress::wait_for_end() {
  run_->ended.async_wait(stream_descriptor::wait_read, [this, run = run_](const error_code& error) {
    if (error || run->over) return;
    const Result<ExitStatus> status = run->program.wait();
    std::string why = status ? "it ended with " + conode::describe(*status) : "it ended";
    const std::string last = services::last_lines(read_file(options_.log_path).value_or(""), 1);
    if (!last.empty()) why += ": " + last;
    again(why);
  });
}

void Egress::again(const std::string& why) {
  constexpr std::chrono::seconds kStable{10};
  if (run_) run_->end();
  run_.reset();
  if (up_ && std::chrono::steady_clock::now() - up_since_ > kStable) failures_ = 0;
  up_ = false;
  trouble_ = why;
  const auto pause = services::backoff(failures_++);
  log::warning("egress: {}: {}; starting it again in {} ms", to_string(options_.choice.kind), why,
               pause.count());
  pause_.expires_after(pause);
  // Cancelling takes nothing back that is queued already.
  pause_.async_wait([this, alive = std::weak_ptr(alive_)](const error_code& error) {
    if (!error && !alive.expired()) start();
  });
}

pid_t Egress::pid() const { return run_ ? run_->program.pid() : 0; }

std::string Egress::describe() const {
  const Choice& choice = options_.choice;
  if (choice.kind == Kind::none) return fmt::format("none: {}", choice.reason);
  if (up_)
    return fmt::format("{}, masqueraded as {}, MTU {}", to_string(choice.kind), kEgressAddress,
                       kEgressMtu);
  if (trouble_.empty()) return fmt::format("{}: starting", to_string(choice.kind));
  return fmt::format("{}: not up: {}; it is started again", to_string(choice.kind), trouble_);
}

}  // namespace conode::egress
