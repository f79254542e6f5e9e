// SPDX-License-Identifier: Apache-2.0
#include "netplug/carrier/udp_session.h"

namespace conode::carrier {

Result<void> UdpSession::begin(const SessionKeys& keys, const UdpRoute& route) {
  Sending sending{.id = keys.id, .keys = keys.send, .route = route};
  sending.payload_is_fixed = route.payload != 0;
  if (!sending.payload_is_fixed) sending.route.payload = UdpSocket::path_payload(route.remote);
  Receiving receiving{
      .id = keys.id, .keys = keys.receive, .frames = std::make_unique<Reassembly>()};
  if (protection_ == Protection::aes_gcm) {
    sending.sealer = TRY(Sealer::create(keys.send.seal, true));
    receiving.sealer = TRY(Sealer::create(keys.receive.seal, false));
  }
  receiving_ = std::move(receiving);
  const std::lock_guard lock(mutex_);
  sending_ = std::move(sending);
  return {};
}

void UdpSession::end() {
  receiving_.reset();
  const std::lock_guard lock(mutex_);
  sending_.reset();
}

UdpSession::Sent UdpSession::send(FrameBuffer& frame) {
  const std::lock_guard lock(mutex_);
  if (!sending_) return Sent::no_session;
  Sending& sending = *sending_;
  ++sending.frame;
  std::span<uint8_t> bytes = frame.bytes();
  if (sending.sealer) {
    if (!sending.sealer->seal(sending.frame, {}, bytes)) return Sent::full;
    bytes = {bytes.data(), bytes.size() + kSealSize};
  }
  UdpSocket::Sent sent = send_chunks(sending, bytes);
  if (sent == UdpSocket::Sent::too_big && !sending.payload_is_fixed) {
    // The path has become narrower: the kernel has learned its MTU from an ICMP message. What was
    // sent of this frame has other chunks, so it gets a new number (and, sealed, is lost).
    sending.route.payload = UdpSocket::path_payload(sending.route.remote);
    if (sending.sealer) return Sent::full;
    ++sending.frame;
    sent = send_chunks(sending, bytes);
  }
  return sent == UdpSocket::Sent::all ? Sent::all : Sent::full;
}

UdpSocket::Sent UdpSession::send_chunks(Sending& sending, std::span<uint8_t> frame) {
  const size_t chunk_size = sending.route.payload - kDatagramHeader;
  DatagramHeader header{.kind = DatagramKind::chunk,
                        .lane = name_.lane,
                        .rank = name_.own,
                        .session = sending.id,
                        .frame = sending.frame,
                        .frame_length = static_cast<uint32_t>(frame.size()),
                        .chunk_size = static_cast<uint16_t>(chunk_size)};
  const size_t chunks = header.chunks();
  std::array<HeaderBytes, kMaxChunks> headers;
  if (chunks > headers.size()) return UdpSocket::Sent::full;
  for (size_t i = 0; i < chunks; ++i) {
    header.chunk = static_cast<uint8_t>(i);
    encode(header, sending.keys, headers[i]);
  }
  return sending.route.socket->send_train(sending.route.remote, std::span(headers).first(chunks),
                                          frame, chunk_size);
}

void UdpSession::keep_alive() {
  const std::lock_guard lock(mutex_);
  if (!sending_) return;
  HeaderBytes bytes;
  encode({.kind = DatagramKind::keep_alive,
          .lane = name_.lane,
          .rank = name_.own,
          .session = sending_->id,
          .frame = sending_->frame},
         sending_->keys, bytes);
  (void)sending_->route.socket->send_one(sending_->route.remote, bytes);
}

UdpSession::Received UdpSession::receive(const DatagramOrigin& origin,
                                         std::span<uint8_t> datagram) {
  if (!receiving_ || origin.session != receiving_->id) return {.heard = Heard::stale};
  const std::optional<DatagramHeader> header = decode(datagram, receiving_->keys);
  if (!header) return {.heard = Heard::stranger};
  heard_ = true;
  if (header->kind == DatagramKind::keep_alive) return {};
  const Reassembly::Outcome outcome =
      receiving_->frames->add(*header, datagram.subspan(kDatagramHeader));
  Received received{.gave_up = outcome.gave_up};
  if (outcome.state == Reassembly::State::stale) received.heard = Heard::stale;
  if (outcome.state != Reassembly::State::complete) return received;
  received = open(outcome.frame, header->frame);
  received.gave_up = outcome.gave_up;
  return received;
}

UdpSession::Received UdpSession::open(std::span<uint8_t> frame, uint64_t number) {
  if (!receiving_->sealer) return {.heard = Heard::frame, .frame = frame};
  if (frame.size() <= kSealSize) return {.heard = Heard::stranger};
  const std::span<uint8_t> text = frame.first(frame.size() - kSealSize);
  if (!receiving_->sealer->open(number, {}, text)) return {.heard = Heard::stranger};
  return {.heard = Heard::frame, .frame = text};
}

}  // namespace conode::carrier
