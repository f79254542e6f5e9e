// SPDX-License-Identifier: Apache-2.0
#include "agent/job/agent_impl.h"

namespace conode::job {

agent::StatusReply NodeAgent::status() const {
  agent::StatusReply reply;
  reply.set_job(options_.job);
  reply.set_state(std::string(to_string(state_)));
  reply.set_instance(instance_.instance);
  reply.set_pid(instance_.pid);
  reply.set_state_dir(dir_.path());
  reply.set_enforcement(instance_.enforcement);
  reply.set_enforcement_reason(enforced_.reason);
  reply.set_subordinate_ids(ids_.subordinate);
  role_->describe(reply);
  reply.set_egress(egress_ ? egress_->describe() : "none: the sandbox is not there");
  const auto fill = [](const EnforcedPart& part, const std::string& cgroup, agent::Part& out) {
    out.set_cpus(part.cpus);
    out.set_memory_bytes(part.memory);
    out.set_cgroup(cgroup);
  };
  fill(options_.hpc, enforced_.hpc_cgroup, *reply.mutable_hpc());
  fill(options_.k8s, enforced_.k8s_cgroup, *reply.mutable_kubernetes());
  for (const services::ServiceStatus& s : supervisor_->status()) {
    agent::Service& service = *reply.add_services();
    service.set_name(s.name);
    service.set_state(std::string(to_string(s.state)));
    service.set_pid(s.pid);
    service.set_restarts(s.restarts);
    service.set_ready_after(s.ready_after);
    service.set_last_exit(s.last_exit);
  }
  for (const Progress& p : phases_) {
    agent::Phase& out = *reply.add_phases();
    out.set_name(p.phase);
    out.set_seconds(p.seconds);
  }
  for (const BadEnd& end : containers_.bad_ends()) {
    agent::ContainerEnd& out = *reply.add_container_ends();
    out.set_container(end.container);
    out.set_name(end.name);
    out.set_what(end.what);
    out.set_time(std::chrono::duration<double>(end.time.time_since_epoch()).count());
  }
  return reply;
}

}  // namespace conode::job
