// SPDX-License-Identifier: Apache-2.0
// Images on the other nodes of a job, at rank 0: the file goes over the bus, then every node
// imports it and answers. Nodes that are made of this machine see the file's path and read it
// there. One after the other. On the loop's thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/bus/bus.h"

namespace conode::job {

class ImageSpread {
 public:
  // "rank 3: why", of each that has not done it.
  using Failures = std::map<uint32_t, std::string>;
  using Done = std::function<void(const Failures&)>;

  ImageSpread(bus::Bus& bus, bool shared_machine) : bus_(bus), shared_machine_(shared_machine) {}

  // An OCI archive or layout (a layout's directory every node has to find at that path) to all that
  // have joined. `name`: of an archive of one image; empty: its own.
  void import(const std::string& path, const std::string& name, Done done);
  void remove(const std::string& name, Done done);
  // Who waits is told so.
  void stop(const std::string& why);
  // The bus's event.
  void on_delivered(const bus::FileDelivered& delivered);

 private:
  struct Job {
    bus::Message question;
    std::string file;  // to be sent; empty: none
    Done done;
    uint64_t transfer = 0;
    Failures failures;
  };
  void add(Job job);
  void begin();
  [[nodiscard]] Result<uint64_t> send(const std::string& file);
  void ask();
  void finish();

  bus::Bus& bus_;
  bool shared_machine_;
  uint64_t sent_ = 0;     // names of files differ
  std::deque<Job> jobs_;  // the first is under way
};

}  // namespace conode::job
