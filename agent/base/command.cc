// SPDX-License-Identifier: Apache-2.0
#include "agent/base/command.h"

#include <fmt/format.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/process.hpp>
#include <istream>

#include "agent/base/process.h"

namespace conode {
namespace bp = boost::process;
namespace {

std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const size_t newline = text.rfind('\n');
  return newline == std::string::npos ? text : text.substr(newline + 1);
}

// Reads `pipe` line by line until its end.
void follow(bp::async_pipe& pipe, boost::asio::streambuf& buffer, std::string& collected,
            const std::function<void(std::string_view)>& on_line) {
  boost::asio::async_read_until(
      pipe, buffer, '\n',
      [&pipe, &buffer, &collected, &on_line](const boost::system::error_code& error, size_t size) {
        std::istream stream(&buffer);
        std::string line;
        if (!error) {
          line.resize(size);
          stream.read(line.data(), static_cast<std::streamsize>(size));
        } else {
          line.assign(std::istreambuf_iterator<char>(stream), {});
        }
        collected += line;
        if (!line.empty() && line.back() == '\n') line.pop_back();
        if (on_line && !line.empty()) on_line(line);
        if (!error) follow(pipe, buffer, collected, on_line);
      });
}

}  // namespace

std::string find_program(const std::string& program) {
  std::vector<boost::filesystem::path> path = boost::this_process::path();
  path.insert(path.end(), {"/usr/sbin", "/sbin", "/usr/local/sbin"});
  return bp::search_path(program, path).string();
}

std::string shell_quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

Result<CommandOutput> run_command(const std::vector<std::string>& argv,
                                  const CommandOptions& options) {
  if (argv.empty()) return failure("run: empty command");
  const std::string program =
      argv[0].find('/') == std::string::npos ? find_program(argv[0]) : argv[0];
  if (program.empty())
    return code_failure(ENOENT, fmt::format("run '{}': not found in PATH", argv[0]));
  try {
    boost::asio::io_context loop;
    bp::async_pipe out(loop);
    bp::async_pipe err(loop);
    bp::environment environment = boost::this_process::environment();
    for (const auto& [name, value] : options.environment) environment[name] = value;
    const boost::filesystem::path start_dir =
        options.working_dir.empty() ? boost::filesystem::current_path() : options.working_dir;
    CommandOutput output;
    auto unknown = OwnChildren::lock();
    bp::child child(bp::exe = program,
                    bp::args = std::vector<std::string>(argv.begin() + 1, argv.end()),
                    bp::std_in<bp::null, bp::std_out> out, bp::std_err > err, environment,
                    bp::start_dir = start_dir);
    OwnChildren::add(child.id(), unknown);
    unknown.unlock();
    boost::asio::streambuf out_buffer;
    boost::asio::streambuf err_buffer;
    const std::function<void(std::string_view)> ignore;
    follow(out, out_buffer, output.standard_output, ignore);
    follow(err, err_buffer, output.standard_error, options.on_error_line);
    loop.run();
    child.wait();
    OwnChildren::remove(child.id());
    output.exit_code = child.exit_code();
    return output;
  } catch (const std::exception& e) {  // Boost.Process reports by exception
    return failure(fmt::format("run '{}': {}", program, e.what()));
  }
}

Result<std::string> command_output(const std::vector<std::string>& argv,
                                   const CommandOptions& options) {
  CommandOutput output = TRY(run_command(argv, options));
  if (output.exit_code != 0)
    return failure(fmt::format("run '{}': exit code {}: {}", fmt::join(argv, " "), output.exit_code,
                               last_line(output.standard_error)));
  return std::move(output.standard_output);
}

}  // namespace conode
