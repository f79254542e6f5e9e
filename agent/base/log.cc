// SPDX-License-Identifier: Apache-2.0
#include "agent/base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <cstdlib>
#include <memory>

namespace conode::log {
namespace {

// "<6>" and its like, from spdlog's level.
class PriorityFlag : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*time*/,
              spdlog::memory_buf_t& out) override {
    const std::string_view text = message.level >= spdlog::level::err    ? "<3>"
                                  : message.level >= spdlog::level::warn ? "<4>"
                                  : message.level >= spdlog::level::info ? "<6>"
                                                                         : "<7>";
    out.append(text.data(), text.data() + text.size());
  }
  [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<PriorityFlag>();
  }
};

spdlog::sink_ptr standard_error() {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  const bool journal = std::getenv("JOURNAL_STREAM") != nullptr;  // systemd.exec(5)
  formatter->add_flag<PriorityFlag>('*').set_pattern(journal ? "%*conode: %v" : "conode: %v");
  sink->set_formatter(std::move(formatter));
  return sink;
}

constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%e %l %v";

constexpr size_t kRemembered = 100;  // lines

std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> memory() {
  static const auto sink = [] {
    auto made = std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(kRemembered);
    made->set_pattern(kPattern);
    return made;
  }();
  return sink;
}

spdlog::logger& logger() {
  static spdlog::logger instance("conode", {standard_error(), memory()});
  return instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug:
      return spdlog::level::debug;
    case Level::info:
      return spdlog::level::info;
    case Level::warning:
      return spdlog::level::warn;
    case Level::error:
      break;
  }
  return spdlog::level::err;
}

}  // namespace

void set_level(Level level) { logger().set_level(to_spdlog(level)); }

bool enabled(Level level) { return logger().should_log(to_spdlog(level)); }

void add_file(const std::string& path) {
  try {
    auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    sink->set_pattern(kPattern);
    logger().sinks().push_back(std::move(sink));
    logger().flush_on(spdlog::level::info);
  } catch (const spdlog::spdlog_ex& e) {
    warning("open log '{}': {}, ignoring", path, e.what());
  }
}

std::vector<std::string> recent() { return memory()->last_formatted(); }

void write(Level level, std::string_view message) { logger().log(to_spdlog(level), message); }

}  // namespace conode::log
