// SPDX-License-Identifier: Apache-2.0
#include "agent/expose/session_table.h"

namespace conode::expose {

void SessionTable::touch(const Client& client, Time now) {
  const auto found = by_client_.find(client);
  if (found == by_client_.end()) return;
  found->second->used = now;
  entries_.splice(entries_.end(), entries_, found->second);
}

SessionTable::SessionPtr SessionTable::find(const Client& client, Time now) {
  const auto found = by_client_.find(client);
  if (found == by_client_.end()) return nullptr;
  touch(client, now);
  return found->second->session;
}

SessionTable::SessionPtr SessionTable::insert(const Client& client, SessionPtr session, Time now) {
  SessionPtr evicted;
  if (by_client_.size() >= most_) {
    evicted = entries_.front().session;
    by_client_.erase(entries_.front().client);
    entries_.pop_front();
  }
  entries_.push_back({client, std::move(session), now});
  by_client_[client] = std::prev(entries_.end());
  return evicted;
}

void SessionTable::erase(const Client& client) {
  const auto found = by_client_.find(client);
  if (found == by_client_.end()) return;
  entries_.erase(found->second);
  by_client_.erase(found);
}

std::vector<SessionTable::SessionPtr> SessionTable::expire(Time now) {
  std::vector<SessionPtr> expired;
  while (!entries_.empty() && entries_.front().used + idle_ <= now) {
    expired.push_back(std::move(entries_.front().session));
    by_client_.erase(entries_.front().client);
    entries_.pop_front();
  }
  return expired;
}

std::optional<SessionTable::Time> SessionTable::next_expiry() const {
  if (entries_.empty()) return {};
  return entries_.front().used + idle_;
}

std::vector<SessionTable::SessionPtr> SessionTable::clear() {
  std::vector<SessionPtr> all;
  for (Entry& entry : entries_) all.push_back(std::move(entry.session));
  entries_.clear();
  by_client_.clear();
  return all;
}

}  // namespace conode::expose
