// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/context.h"

#include <algorithm>

#include "agent/bus/socket.h"

namespace conode::bus {
namespace {

// Frames of a ZAP request (RFC 27): version, request id, domain, address, identity, mechanism, key.
constexpr size_t kRequestId = 1;
constexpr size_t kMechanism = 5;
constexpr size_t kCredentials = 6;

}  // namespace

Context::Context(const Secret& secret, uint32_t size)
    : server_(server_keys(secret)),
      rendezvous_key_(secret.derive("conode bus rendezvous")),
      keys_(secret, size) {}

Context::~Context() = default;

Result<std::shared_ptr<Context>> Context::create(const boost::asio::any_io_executor& executor,
                                                 const Secret& secret, Options options) {
  std::shared_ptr<Context> context(new Context(secret, options.size));
  try {
    context->zmq_ = std::make_unique<zmq::context_t>();
    context->zmq_->set(zmq::ctxopt::io_threads, options.io_threads);
    context->zmq_->set(zmq::ctxopt::max_sockets, options.most_sockets);
  } catch (const zmq::error_t& error) {
    return zmq_failure(error, "make the ZeroMQ context");
  }
  TRY(context->open_gate(executor));
  return context;
}

Result<void> Context::open_gate(const boost::asio::any_io_executor& executor) {
  try {
    zmq::socket_t socket(*zmq_, zmq::socket_type::rep);
    socket.set(zmq::sockopt::linger, 0);
    socket.bind("inproc://zeromq.zap.01");
    gate_ = TRY(Socket::create(executor, std::move(socket), [this] { answer_requests(); }));
    return {};
  } catch (const zmq::error_t& error) {
    return zmq_failure(error, "bind 'inproc://zeromq.zap.01'");
  }
}

void Context::answer_requests() {
  for (std::vector<zmq::message_t> request = gate_->receive(); !request.empty();
       request = gate_->receive()) {
    std::optional<Rank> rank;
    if (request.size() > kCredentials && request[kMechanism].to_string_view() == "CURVE" &&
        request[kCredentials].size() == sizeof(Key)) {
      Key key;
      std::copy_n(request[kCredentials].data<uint8_t>(), key.size(), key.begin());
      rank = keys_.owner(key);
    }
    if (!rank) ++refused_;
    std::vector<zmq::message_t> reply;
    reply.emplace_back(std::string_view("1.0"));
    reply.push_back(request.size() > kRequestId ? std::move(request[kRequestId])
                                                : zmq::message_t());
    reply.emplace_back(std::string_view(rank ? "200" : "400"));
    reply.emplace_back(std::string_view(rank ? "OK" : "not a rank of this job"));
    reply.emplace_back(rank ? std::to_string(*rank) : std::string());  // the User-Id
    reply.emplace_back();                                              // no metadata
    (void)gate_->send(std::move(reply));
  }
}

}  // namespace conode::bus
