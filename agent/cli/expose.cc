// SPDX-License-Identifier: Apache-2.0
// conode expose
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "agent/cli/exposed.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "agent/expose/service.h"
#include "agent/job/rpc_server.h"
#include "netplug/link/address.h"

namespace conode::cli {
namespace {

struct ExposeOptions {
  std::string target;
  uint32_t host_port = 0;
  std::string name_space = "default";
  std::string address;
  bool list = false;
  bool close = false;
};

void print_json(const google::protobuf::RepeatedPtrField<agent::ExposedPort>& ports) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string all;
  for (const agent::ExposedPort& port : ports) {
    std::string text;
    (void)google::protobuf::util::MessageToJsonString(port, &text, options);
    all += (all.empty() ? "" : ",") + text;
  }
  fmt::print("[{}]\n", all);
}

void print(const Session& session,
           const google::protobuf::RepeatedPtrField<agent::ExposedPort>& ports) {
  if (session.json) return print_json(ports);
  for (const agent::ExposedPort& port : ports) fmt::print("{}\n", describe(port));
}

Result<agent::ExposeRequest> request_of(const ExposeOptions& options) {
  if (options.target.empty())
    return failure("expose: nothing is named",
                   "'conode expose svc/NAME[:PORT] [HOSTPORT]', or --list");
  const expose::Target target = TRY(expose::parse_target(options.target));
  if (!expose::is_label(options.name_space))
    return failure(fmt::format("expose '{}': '{}' is no name of a namespace", options.target,
                               options.name_space));
  if (!options.address.empty())
    TRY_AS(fmt::format("expose '{}': --address", options.target),
           Ipv4Address::parse(options.address));
  agent::ExposeRequest request;
  request.set_service_namespace(options.name_space);
  request.set_service(target.service);
  request.set_port(target.port);
  request.set_address(options.address);
  request.set_host_port(options.host_port);
  request.set_close(options.close);
  return request;
}

Result<void> expose(const Session& session, const ExposeOptions& options,
                    const config::Config& config) {
  agent::ExposeRequest request;
  if (!options.list) request = TRY(request_of(options));
  const job::FoundJob job = TRY(running_job(config));
  if (options.list) {
    const agent::StatusReply status = TRY(job::request_status(job));
    print(session, status.exposed());
    return {};
  }
  const agent::ExposeReply reply = TRY(job::request_expose(job, request));
  if (!reply.failure().empty()) return failure(reply.failure(), reply.remedy());
  print(session, reply.ports());
  return {};
}

}  // namespace

std::string describe(const agent::ExposedPort& port) {
  std::string text = fmt::format("{}:{} -> {}/{}:{} {} ({})", port.address(), port.host_port(),
                                 port.service_namespace(), port.service(), port.service_port(),
                                 port.protocol(), port.origin());
  if (!port.refused().empty()) text += "; refused: " + port.refused();
  return text;
}

void print_exposed(const agent::StatusReply& status) {
  for (const agent::ExposedPort& port : status.exposed()) {
    fmt::print("  exposed     {}\n", describe(port));
    if (!port.remedy().empty()) fmt::print("              what to do: {}\n", port.remedy());
  }
}

void add_expose(CLI::App& app, Session& session) {
  constexpr uint32_t kLargestPort = 65535;
  CLI::App* verb = app.add_subcommand("expose", "Reach a Service at a port of this host");
  config::add_flags(*verb, session.flags, {"job", "state_dir"});
  add_json_flag(*verb, session);
  auto options = std::make_shared<ExposeOptions>();
  verb->add_option("service", options->target, "svc/NAME, or svc/NAME:PORT with number or name");
  verb->add_option("host-port", options->host_port, "Port of this host; without it, a free one")
      ->check(CLI::Range(1U, kLargestPort));
  verb->add_option("-n,--namespace", options->name_space, "Namespace of the Service");
  verb->add_option("--address", options->address,
                   "IPv4 address of this host; without it, network.expose_address");
  verb->add_flag("-l,--list", options->list, "List what is exposed, NodePorts and all");
  verb->add_flag("--close", options->close, "Close what 'conode expose' has opened");
  verb->callback([&session, options] {
    config::Config config;
    if (!session.load_for_job(&config)) return;
    const Result<void> done = expose(session, *options, config);
    if (!done) session.exit_code = report(session, done.error());
  });
}

}  // namespace conode::cli
