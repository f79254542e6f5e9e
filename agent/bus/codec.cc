// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/codec.h"

#include <algorithm>
#include <charconv>

#include "agent/bus/tree.h"

namespace conode::bus {
namespace {

using wire::Envelope;

template <typename Range, typename Check>
bool all(const Range& range, Check check) {
  return std::all_of(range.begin(), range.end(), check);
}

bool valid(const wire::Place& place, uint32_t size) {
  return place.rank() < size && is_endpoint(place.endpoint());
}

bool valid(const wire::RankRanges& ranges, uint32_t size) {
  return all(ranges.ranges(), [&](const wire::RankRange& range) {
    return range.first() <= range.last() && range.last() < size;
  });
}

bool valid(const wire::Report& report, uint32_t size) {
  const auto has_rank = [&](const auto& item) { return item.rank() < size; };
  const auto has_place = [&](const wire::Member& member) {
    return member.rank() < size && member.rank() != kRoot && member.parent() < member.rank();
  };
  return all(report.hellos(), has_rank) && all(report.attached(), has_place) &&
         all(report.lost(), has_place) && all(report.left(), has_place) &&
         valid(report.readiness().ready(), size) && all(report.readiness().troubled(), has_rank) &&
         all(report.answers(), has_rank) && all(report.receipts(), has_rank) &&
         all(report.messages(), has_rank) && all(report.files(), [&](const wire::FileResult& file) {
           return valid(file.done(), size) && all(file.failed(), has_rank);
         });
}

bool valid(const wire::Downward& downward, uint32_t size) {
  return (downward.to() < size || downward.to() == kEveryone) &&
         (downward.via() < size || downward.via() == kEveryone) && downward.sequence() != 0 &&
         downward.message().size() <= kMostPayload;
}

bool valid(const wire::FileOffer& offer) {
  const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return is_file_name(offer.name()) && offer.piece_size() > 0 &&
         offer.piece_size() <= kMostPieceSize && offer.sha256().size() == 64 &&
         all(offer.sha256(), is_hex) && offer.size() <= uint64_t{1} << 50U;
}

bool valid(const google::protobuf::RepeatedPtrField<wire::Place>& places, uint32_t size) {
  return all(places, [&](const wire::Place& place) { return valid(place, size); });
}

bool body_is_valid(const Envelope& envelope, uint32_t size) {
  switch (envelope.body_case()) {
    case Envelope::kAttach:
      return envelope.attach().epoch() != 0 &&
             (envelope.attach().endpoint().empty() || is_endpoint(envelope.attach().endpoint()));
    case Envelope::kWelcome:
      return valid(envelope.welcome().ancestors(), size);
    case Envelope::kHeartbeat:
      return valid(envelope.heartbeat().ancestors(), size);
    case Envelope::kReport:
      return valid(envelope.report(), size);
    case Envelope::kDownward:
      return valid(envelope.downward(), size);
    case Envelope::kFileOffer:
      return valid(envelope.file_offer());
    case Envelope::kRefusal:
    case Envelope::kGoodbye:
    case Envelope::kRootLost:
    case Envelope::kFileAck:
    case Envelope::kFilePiece:
    case Envelope::kFileEnd:
      return true;
    case Envelope::BODY_NOT_SET:
      return false;
  }
  return false;
}

}  // namespace

std::optional<Envelope> decode_envelope(std::string_view bytes, uint32_t size) {
  Envelope envelope;
  if (bytes.size() > kMostMessage ||
      !envelope.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())))
    return std::nullopt;
  if (envelope.origin() >= size || envelope.sequence() == 0 || !body_is_valid(envelope, size))
    return std::nullopt;
  return envelope;
}

std::optional<wire::Datagram> decode_datagram(std::string_view sealed, const Key& key,
                                              uint32_t size) {
  if (sealed.size() > kMostDatagram) return std::nullopt;
  const std::optional<std::string> plain = unseal(key, sealed);
  wire::Datagram datagram;
  if (!plain || !datagram.ParseFromString(*plain)) return std::nullopt;
  if (datagram.has_ask() && datagram.ask().rank() < size && datagram.ask().rank() != kRoot &&
      (datagram.ask().endpoint().empty() || is_endpoint(datagram.ask().endpoint())))
    return datagram;
  if (datagram.has_told() && valid(datagram.told().parent(), size)) return datagram;
  return std::nullopt;
}

std::string encode_datagram(const wire::Datagram& datagram, const Key& key) {
  return seal(key, datagram.SerializeAsString());
}

bool is_file_name(std::string_view name) {
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

bool is_endpoint(std::string_view endpoint) {
  constexpr std::string_view kScheme = "tcp://";
  if (endpoint.size() > 128 || endpoint.substr(0, kScheme.size()) != kScheme) return false;
  const size_t colon = endpoint.rfind(':');
  if (colon <= kScheme.size()) return false;
  uint16_t port = 0;
  const char* const end = endpoint.data() + endpoint.size();
  const auto parsed = std::from_chars(endpoint.data() + colon + 1, end, port);
  return parsed.ec == std::errc() && parsed.ptr == end && port != 0;
}

}  // namespace conode::bus
