// SPDX-License-Identifier: Apache-2.0
// conode image import|list|remove|build
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/base/file.h"
#include "agent/bundle/oci_layout.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"
#include "agent/containerd/containerd.h"
#include "agent/job/rpc_server.h"

namespace conode::cli {
namespace {

using nlohmann::json;

Result<job::FoundJob> job_of(Session& session) {
  config::Config config;
  if (!session.load_for_job(&config)) return failure("read the configuration");
  return running_job(config);
}

containerd::ContainerdClient client(const job::FoundJob& job) {
  return containerd::ContainerdClient(job.path + "/run/containerd.sock");
}

// Each node has a containerd of its own.
Result<void> on_other_nodes(const job::FoundJob& job, const agent::SpreadImageRequest& request) {
  const agent::SpreadImageReply reply = TRY(job::request_spread_image(job, request));
  if (reply.failures().empty()) return {};
  return failure(fmt::format("the image is right on this node, but not on all: {}",
                             fmt::join(reply.failures(), "; ")),
                 "the same again, when the cause is gone");
}

std::function<void(const containerd::ImportProgress&)> progress(const Session& session) {
  if (session.json || ::isatty(STDERR_FILENO) != 1) return {};
  return [](const containerd::ImportProgress& p) {
    fmt::print(stderr, "\r\033[Kimport {} / {} MiB", p.done >> 20U, p.total >> 20U);
    if (p.done == p.total) fmt::print(stderr, "\n");
  };
}

Result<void> import(Session& session, const std::string& source, const std::string& name) {
  const job::FoundJob job = TRY(job_of(session));
  containerd::ContainerdClient to = client(job);
  containerd::ImportOptions options;
  options.name = name;
  options.on_progress = progress(session);
  json all = json::array();
  for (const auto& image : TRY(to.import_image(source, options))) {
    all.push_back({{"name", image.name}, {"digest", image.digest}, {"size", image.size}});
    if (!session.json)
      fmt::print("{}  {}  {} MiB\n", image.name, image.digest.substr(0, 19), image.size >> 20U);
  }
  if (session.json) fmt::print("{}\n", all.dump());
  agent::SpreadImageRequest request;
  std::error_code error;
  request.set_import_path(std::filesystem::absolute(source, error).string());
  request.set_name(name);
  return on_other_nodes(job, request);
}

Result<void> list(Session& session) {
  containerd::ContainerdClient from = client(TRY(job_of(session)));
  json all = json::array();
  if (!session.json) fmt::print("{:<60} {}\n", "IMAGE", "DIGEST");
  for (const auto& image : TRY(from.images())) {
    all.push_back({{"name", image.name}, {"digest", image.digest}, {"pinned", image.pinned}});
    if (!session.json) fmt::print("{:<60} {}\n", image.name, image.digest.substr(0, 19));
  }
  if (session.json) fmt::print("{}\n", all.dump());
  return {};
}

Result<void> remove(Session& session, const std::string& name) {
  const job::FoundJob job = TRY(job_of(session));
  if (!TRY(client(job).remove_image(image::complete_name(name))))
    return failure(fmt::format("remove image '{}': there is none of that name", name),
                   "'conode image list' shows the complete names");
  agent::SpreadImageRequest request;
  request.set_remove_name(image::complete_name(name));
  return on_other_nodes(job, request);
}

Result<void> build(const std::string& root, const image::ImageConfig& config,
                   const std::string& archive) {
  const image::Layout made =
      TRY(image::write_layout(config, TRY(image::files_of_directory(root)), archive));
  fmt::print("{}  {}  {} MiB\n", made.name, made.manifest.substr(0, 19), made.layer_size >> 20U);
  return {};
}

void finish(Session& session, const Result<void>& done) {
  if (!done && session.exit_code == 0) session.exit_code = report(session, done.error());
}

void add_build(CLI::App& verb, Session& session) {
  CLI::App* sub =
      verb.add_subcommand("build", "Make an OCI archive of a directory, no engine needed");
  auto root = std::make_shared<std::string>();
  auto archive = std::make_shared<std::string>();
  auto config = std::make_shared<image::ImageConfig>();
  sub->add_option("directory", *root, "Becomes the image's root")->required();
  sub->add_option("archive", *archive, "File to write (tar)")->required();
  sub->add_option("--name", config->name, "Name of the image")->required();
  sub->add_option("--entrypoint", config->entrypoint, "Entry point, a word each");
  sub->add_option("--cmd", config->cmd, "Default arguments, a word each");
  sub->add_option("--env", config->env, "NAME=value");
  sub->add_option("--workdir", config->working_dir, "Working directory");
  sub->add_option("--user", config->user, "uid[:gid]; default: root");
  sub->callback(
      [&session, root, archive, config] { finish(session, build(*root, *config, *archive)); });
}

}  // namespace

void add_image(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("image", "Container images of the job, without a registry");
  verb->require_subcommand(1);
  auto source = std::make_shared<std::string>();
  auto name = std::make_shared<std::string>();
  const auto add = [&](const char* word, const char* help) {
    CLI::App* sub = verb->add_subcommand(word, help);
    config::add_flags(*sub, session.flags, {"job", "state_dir"});
    add_json_flag(*sub, session);
    return sub;
  };
  CLI::App* sub = add("import", "Import an OCI archive or layout directory");
  sub->add_option("source", *source, "File or directory")->required();
  sub->add_option("--name", *name, "Name; default: the archive's own");
  sub->callback([&session, source, name] { finish(session, import(session, *source, *name)); });

  sub = add("list", "The images that pods can use");
  sub->callback([&session] { finish(session, list(session)); });

  sub = add("remove", "Remove an image");
  sub->add_option("name", *name, "Name")->required();
  sub->callback([&session, name] { finish(session, remove(session, *name)); });

  add_build(*verb, session);
}

}  // namespace conode::cli
