// SPDX-License-Identifier: Apache-2.0
// conode bundle build|info|verify|pack|unpack
#include "agent/bundle/bundle.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "agent/bundle/archive.h"
#include "agent/bundle/build.h"
#include "agent/cli/session.h"
#include "agent/cli/verbs.h"

namespace conode::cli {
namespace {

using nlohmann::json;

bundle::ProgressCallback progress(const Session& session) {
  if (session.json)
    return [](const bundle::Progress& p) {
      fmt::print(
          stderr, "{}\n",
          json({{"step", p.step}, {"object", p.object}, {"index", p.index}, {"count", p.count}})
              .dump());
    };
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  return [terminal, last = std::string()](const bundle::Progress& p) mutable {
    if (!terminal && last == p.object) return;  // one line an object in a log
    last = p.object;
    fmt::print(stderr, "{}{} {}/{} {} {:.60}{}", terminal ? "\r\033[K" : "", p.step, p.index + 1,
               p.count, p.object, terminal ? p.detail : "", terminal ? "" : "\n");
    if (terminal && p.index + 1 == p.count && p.detail.empty()) fmt::print(stderr, "\n");
  };
}

// The bundle named, configured, installed or in the cache.
Result<std::string> chosen(Session& session, const std::string& named) {
  if (!named.empty()) return named;
  config::Config config;
  if (!session.load(&config)) return failure("read the configuration");
  if (!config.bundle().empty()) return config.bundle();
  return bundle::find();
}

Result<void> build(const Session& session) {
  const bundle::BuildResult result = TRY(bundle::build({}, progress(session)));
  if (session.json)
    fmt::print(
        "{}\n",
        json({{"path", result.bundle.path}, {"id", result.bundle.id}, {"cached", result.cached}})
            .dump());
  else
    fmt::print("{}\n", result.bundle.path);
  return {};
}

Result<void> info(Session& session, const std::string& path) {
  const bundle::Bundle opened = TRY(bundle::open(TRY(chosen(session, path))));
  fmt::print("{}", session.json ? bundle::to_json(opened.manifest) + "\n" : describe(opened));
  return {};
}

Result<void> verify(Session& session, const std::string& path) {
  const bundle::Bundle opened = TRY(bundle::open(TRY(chosen(session, path))));
  const auto problems = bundle::problems(opened, bundle::Level::full, progress(session));
  if (session.json) {
    json lines = json::array();
    for (const bundle::Problem& p : problems)
      lines.push_back({{"file", p.file}, {"cause", p.cause}, {"remedy", p.remedy}});
    fmt::print("{}\n", json({{"path", opened.path}, {"problems", lines}}).dump());
  } else {
    for (const bundle::Problem& p : problems)
      report(
          session,
          Error{{}, fmt::format("verify '{}': '{}' {}", opened.path, p.file, p.cause), p.remedy});
    if (problems.empty()) fmt::print("{}: undamaged\n", opened.path);
  }
  session.exit_code = problems.empty() ? 0 : kFailed;
  return {};
}

Result<void> pack(Session& session, const std::string& archive, const std::string& path) {
  return bundle::pack(TRY(chosen(session, path)), archive, progress(session));
}

Result<void> unpack(Session& session, const std::string& archive, const std::string& target) {
  const bundle::Bundle unpacked = TRY(bundle::unpack(archive, target, progress(session)));
  fmt::print("{}\n", unpacked.path);
  return {};
}

void finish(Session& session, const Result<void>& done) {
  if (!done && session.exit_code == 0) session.exit_code = report(session, done.error());
}

}  // namespace

void add_bundle(CLI::App& app, Session& session) {
  CLI::App* verb = app.add_subcommand("bundle", "The upstream programs that a cluster is made of");
  verb->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  auto archive = std::make_shared<std::string>();
  const auto add = [&](const char* name, const char* help) {
    CLI::App* sub = verb->add_subcommand(name, help);
    add_json_flag(*sub, session);
    return sub;
  };

  CLI::App* sub = add("build", "Build it from the pinned recipe (about 10 minutes; then cached)");
  sub->callback([&session] { finish(session, build(session)); });

  sub = add("info", "Its components, versions, licences and sizes");
  sub->add_option("path", *path, "Bundle; default: the one that 'conode up' would use");
  sub->callback([&session, path] { finish(session, info(session, *path)); });

  sub = add("verify", "Compare every file with the manifest");
  sub->add_option("path", *path, "Bundle; default: the one that 'conode up' would use");
  sub->callback([&session, path] { finish(session, verify(session, *path)); });

  sub = add("pack", "Write it as one archive (.tar.zst, .tar.gz)");
  sub->add_option("archive", *archive, "File to write")->required();
  sub->add_option("path", *path, "Bundle; default: the one that 'conode up' would use");
  sub->callback([&session, archive, path] { finish(session, pack(session, *archive, *path)); });

  sub = add("unpack", "Unpack and verify an archive");
  sub->add_option("archive", *archive, "File to read")->required();
  sub->add_option("path", *path, "Directory to make; default: where 'conode up' finds it");
  sub->callback([&session, archive, path] { finish(session, unpack(session, *archive, *path)); });
}

}  // namespace conode::cli
