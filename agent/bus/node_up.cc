// SPDX-License-Identifier: Apache-2.0
#include "agent/bus/codec.h"
#include "agent/bus/node.h"

namespace conode::bus {

using wire::Envelope;

bool Node::send_report(wire::Report& report) {
  if (readiness_dirty_) *report.mutable_readiness() = subtree_.readiness();
  if (is_root()) {
    if (std::exchange(readiness_dirty_, false)) {
      ReadinessChanged changed{RankSet::from_wire(report.readiness().ready(), options_.size), {}};
      for (const wire::Trouble& trouble : report.readiness().troubled())
        changed.troubled[trouble.rank()] = trouble.text();
      emit(std::move(changed));
    }
    return true;
  }
  Envelope envelope;
  envelope.mutable_report()->Swap(&report);
  if (parent_->send(envelope)) {
    readiness_dirty_ = false;
    return true;
  }
  report.Swap(envelope.mutable_report());
  return false;
}

// A new parent knows nothing: it gets the state of the whole subtree, and what was not sent yet.
void Node::on_way_up_open() {
  wire::Report& report = outbox_.add();
  Hello& hello = *report.add_hellos();
  hello = options_.hello;
  hello.set_rank(options_.rank);
  for (wire::Member& member : subtree_.members()) *report.add_attached() = std::move(member);
  for (const uint64_t transfer : files_->open()) *report.add_files() = files_->result(transfer);
  readiness_dirty_ = true;
  outbox_.flush();
}

void Node::on_child_attached(Rank child, uint64_t epoch, const std::string& endpoint) {
  wire::Member member;
  member.set_rank(child);
  member.set_parent(options_.rank);
  member.set_epoch(epoch);
  subtree_.drop_branch(child);  // it tells anew
  subtree_.attach(member);
  wire::Report news;
  *news.add_attached() = std::move(member);
  if (is_root()) {
    if (!endpoint.empty()) rendezvous_->learn(child, endpoint);
    absorb_at_root(news);
  } else {
    outbox_.add().MergeFrom(news);
  }
  files_->child_attached(child);
}

void Node::on_child_gone(Rank child, uint64_t epoch, ChildState how, const std::string& reason) {
  wire::Report news;
  wire::Member& member = how == ChildState::left ? *news.add_left() : *news.add_lost();
  member.set_rank(child);
  member.set_parent(options_.rank);
  member.set_epoch(epoch);
  member.set_reason(reason);
  subtree_.drop_branch(child);
  files_->child_gone(child);
  readiness_changed();
  if (is_root())
    absorb_at_root(news);
  else
    outbox_.add().MergeFrom(news);
}

void Node::on_child_message(Rank child, Envelope& envelope, zmq::message_t& /*bulk*/) {
  switch (envelope.body_case()) {
    case Envelope::kReport:
      return absorb(child, *envelope.mutable_report());
    case Envelope::kFileAck:
      return files_->on_child(child, envelope.file_ack());
    default:
      ++counters_.unexpected;
  }
}

void Node::absorb(Rank child, wire::Report& report) {
  for (const wire::Member& member : report.attached()) subtree_.attach(member);
  for (const wire::Member& member : report.lost()) subtree_.drop_branch(member.rank());
  for (const wire::Member& member : report.left()) subtree_.drop_branch(member.rank());
  if (report.has_readiness()) {
    subtree_.set_readiness(child, report.readiness());
    report.clear_readiness();  // ours covers it
    readiness_changed();
  }
  for (const wire::FileResult& file : report.files()) files_->on_child_result(child, file);
  report.clear_files();
  if (is_root()) return absorb_at_root(report);
  outbox_.add().MergeFrom(report);
}

void Node::readiness_changed() {
  readiness_dirty_ = true;
  (void)outbox_.add();
}

void Node::report_ready(bool ready) {
  subtree_.set_ready(ready);
  readiness_changed();
}

void Node::report_trouble(const std::string& text) {
  subtree_.set_trouble(text);
  readiness_changed();
}

// The latest state of each transfer is enough.
void Node::on_file_changed(uint64_t transfer) {
  if (is_root()) return finish_files();
  auto& files = *outbox_.add().mutable_files();
  for (wire::FileResult& file : files)
    if (file.transfer() == transfer) {
      file = files_->result(transfer);
      return;
    }
  *files.Add() = files_->result(transfer);
}

void Node::send_to_root(const Message& message) {
  if (ended_) return;
  wire::Upward& upward = *outbox_.add().add_messages();
  upward.set_rank(options_.rank);
  if (upward_sequence_ == 0) upward_sequence_ = stamp_after(0);
  upward.set_sequence(++upward_sequence_);
  *upward.mutable_message() = message;
}

void Node::answer(uint64_t gather, const Answer& answer) {
  constexpr size_t kRemembered = 8;
  if (ended_) return;
  answers_.push_back({gather, answer});
  if (answers_.size() > kRemembered) answers_.pop_front();
  wire::GatherAnswer& told = *outbox_.add().add_answers();
  told.set_gather(gather);
  told.set_rank(options_.rank);
  *told.mutable_answer() = answer;
}

void Node::absorb_at_root(const wire::Report& report) {
  roster_->absorb(report);
  for (const wire::GatherAnswer& answer : report.answers())
    gathers_.answer(answer.gather(), answer.rank(), answer.answer());
  for (const wire::Receipt& receipt : report.receipts()) dispatch_.received(receipt);
  for (const wire::Upward& upward : report.messages()) on_upward(upward);
}

void Node::on_upward(const wire::Upward& upward) {
  if (upward_seen_[upward.rank()].accept(upward.sequence()))
    emit(Received{upward.rank(), upward.message(), 0});
  else
    ++counters_.replayed;
}

void Node::on_member_gone(Rank rank) {
  dispatch_.forget(rank);
  rendezvous_->forget(rank);
  gathers_.gone(rank);
  finish_files();
}

void Node::finish_files() {
  if (!roster_) return;  // an own file, before the start
  RankSet waited_for = roster_->in(MemberState::joined);
  waited_for.add(roster_->in(MemberState::doubtful));
  for (const uint64_t transfer : files_->open()) {
    const wire::FileResult result = files_->result(transfer);
    RankSet missing = waited_for;
    const RankSet done = RankSet::from_wire(result.done(), options_.size);
    missing.remove(done);
    FileDelivered delivered{transfer, done, {}};
    for (const wire::Trouble& trouble : result.failed()) {
      missing.remove(trouble.rank());
      delivered.failed[trouble.rank()] = trouble.text();
    }
    if (!missing.empty()) continue;
    files_->end(transfer, {});
    emit(std::move(delivered));
  }
}

}  // namespace conode::bus
