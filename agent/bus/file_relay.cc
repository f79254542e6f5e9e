// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/file_relay.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "agent/base/file.h"
#include "agent/bus/codec.h"

namespace conode::bus {

using wire::Envelope;

namespace {

uint64_t pieces_of(const wire::FileOffer& offer) {
  return (offer.size() + offer.piece_size() - 1) / offer.piece_size();
}

uint64_t bytes_of_piece(const wire::FileOffer& offer, uint64_t index) {
  return std::min<uint64_t>(offer.piece_size(), offer.size() - index * offer.piece_size());
}

// pread(2) until all is there.
Result<void> read_exactly(int fd, char* to, size_t size, uint64_t offset, const std::string& name) {
  while (size > 0) {
    const ssize_t got = ::pread(fd, to, size, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_failure(fmt::format("read '{}'", name));
    if (got == 0) return failure(fmt::format("read '{}': it became shorter", name));
    to += got;
    size -= static_cast<size_t>(got);
    offset += static_cast<uint64_t>(got);
  }
  return {};
}

}  // namespace

FileRelay::FileRelay(Rank self, uint32_t size, std::string dir, Counters& counters,
                     Handlers handlers)
    : self_(self),
      size_(size),
      dir_(std::move(dir)),
      counters_(counters),
      handlers_(std::move(handlers)) {}

Result<void> FileRelay::offer(uint64_t id, const std::string& name, UniqueFd fd) {
  if (!is_file_name(name)) return failure(fmt::format("'{}' is no file name", name));
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return errno_failure(fmt::format("stat '{}'", name));
  if (!S_ISREG(status.st_mode)) return failure(fmt::format("'{}' is no regular file", name));
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return errno_failure(fmt::format("seek in '{}'", name));
  Transfer transfer;
  transfer.offer.set_transfer(id);
  transfer.offer.set_name(name);
  transfer.offer.set_size(static_cast<uint64_t>(status.st_size));
  transfer.offer.set_piece_size(kPieceSize);
  transfer.offer.set_sha256(TRY(sha256_of_fd(fd.get(), name)));
  transfer.fd = std::move(fd);
  transfer.have = pieces_of(transfer.offer);
  transfer.done = true;
  transfer.outcome.done.add(self_);
  const auto entry = transfers_.emplace(id, std::move(transfer)).first;
  for (const Rank child : handlers_.children()) offer_to(entry->second, child);
  return {};
}

void FileRelay::end(uint64_t id, const std::string& why) {
  wire::FileEnd end;
  end.set_transfer(id);
  end.set_failure(why);
  on_end(end);
}

void FileRelay::on_parent(const Envelope& envelope, const zmq::message_t& bulk) {
  if (envelope.has_file_offer()) return on_offer(envelope.file_offer());
  if (envelope.has_file_piece()) return on_piece(envelope.file_piece(), bulk);
  if (envelope.has_file_end()) return on_end(envelope.file_end());
  ++counters_.unexpected;
}

void FileRelay::on_offer(const wire::FileOffer& offer) {
  const auto [entry, is_new] = transfers_.try_emplace(offer.transfer());
  Transfer& transfer = entry->second;
  if (is_new) {
    transfer.offer = offer;
    Result<void> begun = begin(transfer);
    for (const Rank child : handlers_.children()) offer_to(transfer, child);
    if (!begun) return fail(transfer, begun.error().message());
  }
  acknowledge(transfer);  // also says where to go on after a change of parent
  if (transfer.have == pieces_of(transfer.offer) && !transfer.done && transfer.failure.empty())
    if (Result<void> completed = complete(transfer); !completed)  // an empty file
      fail(transfer, completed.error().message());
}

Result<void> FileRelay::begin(Transfer& transfer) const {
  if (dir_.empty()) return failure("this agent takes no files");
  transfer.part = fmt::format("{}/.{:016x}.part", dir_, transfer.offer.transfer());
  transfer.fd =
      TRY(open_at(AT_FDCWD, transfer.part, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  return {};
}

void FileRelay::on_piece(const wire::FilePiece& piece, const zmq::message_t& bulk) {
  const auto entry = transfers_.find(piece.transfer());
  if (entry == transfers_.end() || entry->second.done || !entry->second.failure.empty()) return;
  Transfer& transfer = entry->second;
  if (piece.index() != transfer.have ||
      bulk.size() != bytes_of_piece(transfer.offer, piece.index())) {
    ++counters_.unexpected;
    return;
  }
  if (Result<void> kept = keep(transfer, bulk); !kept) fail(transfer, kept.error().message());
}

Result<void> FileRelay::keep(Transfer& transfer, const zmq::message_t& bulk) {
  TRY(write(transfer, bulk));
  acknowledge(transfer);
  TRY(pump_all(transfer));
  if (transfer.have < pieces_of(transfer.offer)) return {};
  return complete(transfer);
}

Result<void> FileRelay::write(Transfer& transfer, const zmq::message_t& bulk) {
  TRY(write_all(transfer.fd.get(), bulk.to_string_view(), transfer.part));
  transfer.digest.update(bulk.to_string_view());
  ++transfer.have;
  return {};
}

Result<void> FileRelay::complete(Transfer& transfer) {
  const std::string sum = transfer.digest.hex();
  if (sum != transfer.offer.sha256())
    return failure(fmt::format("'{}' came with SHA-256 {} instead of {}", transfer.offer.name(),
                               sum, transfer.offer.sha256()));
  const std::string path = dir_ + "/" + transfer.offer.name();
  if (::rename(transfer.part.c_str(), path.c_str()) != 0)
    return errno_failure(fmt::format("rename '{}' to '{}'", transfer.part, path));
  transfer.part.clear();
  transfer.done = true;
  transfer.outcome.done.add(self_);
  handlers_.received({transfer.offer.name(), path, transfer.offer.size(), sum});
  handlers_.changed(transfer.offer.transfer());
  return {};
}

// Those below cannot get it from us; they say so themselves.
void FileRelay::fail(Transfer& transfer, const std::string& why) {
  transfer.failure = why;
  transfer.outcome.failed[self_] = why;
  if (!transfer.part.empty()) (void)::unlink(transfer.part.c_str());
  transfer.part.clear();
  for (const Rank child : handlers_.children()) tell_failure(transfer, child);
  transfer.flows.clear();
  handlers_.changed(transfer.offer.transfer());
}

void FileRelay::tell_failure(const Transfer& transfer, Rank child) {
  Envelope envelope;
  envelope.mutable_file_end()->set_transfer(transfer.offer.transfer());
  envelope.mutable_file_end()->set_failure(
      fmt::format("rank {}, which passes it on: {}", self_, transfer.failure));
  (void)handlers_.send_down(child, std::move(envelope), {});
}

void FileRelay::on_end(const wire::FileEnd& end) {
  const auto entry = transfers_.find(end.transfer());
  if (entry == transfers_.end()) return;
  Transfer& transfer = entry->second;
  if (self_ != kRoot && !end.failure().empty()) {
    if (!transfer.done && transfer.failure.empty()) fail(transfer, end.failure());
    return;  // the results go up; rank 0 ends it
  }
  Envelope envelope;
  *envelope.mutable_file_end() = end;
  for (const Rank child : handlers_.children()) (void)handlers_.send_down(child, envelope, {});
  if (!transfer.part.empty()) (void)::unlink(transfer.part.c_str());
  transfers_.erase(entry);
}

void FileRelay::acknowledge(const Transfer& transfer) {
  Envelope envelope;
  envelope.mutable_file_ack()->set_transfer(transfer.offer.transfer());
  envelope.mutable_file_ack()->set_have(transfer.have);
  (void)handlers_.send_up(std::move(envelope));  // a lost parent's successor offers it again
}

void FileRelay::offer_to(const Transfer& transfer, Rank child) {
  Envelope envelope;
  *envelope.mutable_file_offer() = transfer.offer;
  (void)handlers_.send_down(child, std::move(envelope), {});
}

// The first acknowledgement of a child says where it wants to begin.
void FileRelay::on_child(Rank child, const wire::FileAck& ack) {
  const auto entry = transfers_.find(ack.transfer());
  if (entry == transfers_.end() || !entry->second.failure.empty() ||
      ack.have() > pieces_of(entry->second.offer))
    return;
  const auto [flow, is_new] = entry->second.flows.try_emplace(child);
  if (is_new) flow->second.next = ack.have();
  if (ack.have() > flow->second.next) {
    ++counters_.unexpected;
    return;
  }
  flow->second.acknowledged = std::max(flow->second.acknowledged, ack.have());
  if (Result<void> sent = pump(entry->second, child, flow->second); !sent)
    fail(entry->second, sent.error().message());
}

Result<void> FileRelay::pump_all(Transfer& transfer) const {
  for (auto& [child, flow] : transfer.flows) TRY(pump(transfer, child, flow));
  return {};
}

Result<void> FileRelay::pump(const Transfer& transfer, Rank child, Flow& flow) const {
  while (flow.next < transfer.have && flow.next - flow.acknowledged < kWindow) {
    zmq::message_t bulk(bytes_of_piece(transfer.offer, flow.next));
    TRY(read_exactly(transfer.fd.get(), bulk.data<char>(), bulk.size(),
                     flow.next * transfer.offer.piece_size(), transfer.offer.name()));
    Envelope envelope;
    envelope.mutable_file_piece()->set_transfer(transfer.offer.transfer());
    envelope.mutable_file_piece()->set_index(flow.next);
    ++flow.next;
    if (!handlers_.send_down(child, std::move(envelope), std::move(bulk))) break;
  }
  return {};
}

void FileRelay::child_attached(Rank child) {
  for (auto& [id, transfer] : transfers_) {
    transfer.flows.erase(child);
    offer_to(transfer, child);
    if (!transfer.failure.empty()) tell_failure(transfer, child);
  }
}

void FileRelay::child_gone(Rank child) {
  for (auto& [id, transfer] : transfers_) transfer.flows.erase(child);
}

void FileRelay::on_child_result(Rank /*child*/, const wire::FileResult& result) {
  const auto entry = transfers_.find(result.transfer());
  if (entry == transfers_.end()) return;
  entry->second.outcome.done.add(RankSet::from_wire(result.done(), size_));
  for (const wire::Trouble& trouble : result.failed())
    entry->second.outcome.failed[trouble.rank()] = trouble.text();
  handlers_.changed(result.transfer());
}

std::vector<uint64_t> FileRelay::open() const {
  std::vector<uint64_t> ids;
  for (const auto& [id, transfer] : transfers_) ids.push_back(id);
  return ids;
}

wire::FileResult FileRelay::result(uint64_t id) const {
  wire::FileResult result;
  result.set_transfer(id);
  const auto entry = transfers_.find(id);
  if (entry == transfers_.end()) return result;
  *result.mutable_done() = entry->second.outcome.done.to_wire();
  for (const auto& [rank, text] : entry->second.outcome.failed) {
    wire::Trouble& trouble = *result.add_failed();
    trouble.set_rank(rank);
    trouble.set_text(text);
  }
  return result;
}

}  // namespace conode::bus
