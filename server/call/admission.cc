#include "server/call/admission.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/wire/grpc_status.h"

namespace halfstep {

Ticket::Ticket(Ticket&& other) noexcept
    : admission_(std::exchange(other.admission_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Ticket& Ticket::operator=(Ticket&& other) noexcept {
  if (this != &other) {
    Release();
    admission_ = std::exchange(other.admission_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
  }
  return *this;
}

absl::Status Ticket::Resize(uint64_t bytes) {
  if (bytes > bytes_) {
    if (absl::Status grown = admission_->Grow(bytes - bytes_); !grown.ok()) {
      return grown;
    }
    bytes_ = bytes;
  } else if (bytes < bytes_) {
    admission_->GiveBack(std::exchange(bytes_, bytes) - bytes, false);
  }
  return absl::OkStatus();
}

void Ticket::Release() {
  if (admission_ == nullptr) return;
  std::exchange(admission_, nullptr)->GiveBack(std::exchange(bytes_, 0), true);
}

absl::Status Admission::Enter(uint64_t bytes, Waiter& waiter,
                              bool is_only_call) {
  const Entry entry{&waiter, bytes, is_only_call};
  Ticket ticket;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_) {
      last_refusal_ = absl::Now();
      return absl::UnavailableError("the server is shutting down");
    }
    // Who waits stands before, but for those whom the quarter is not left to.
    const size_t before = is_only_call ? only_calls_waiting_ : waiting_.size();
    if (before > 0 || !HasRoomFor(entry)) {
      if (waiting_.size() >= limits_.waiting_max) {
        return BusyError("max_waiting_calls",
                         absl::StrCat(waiting_.size(), " calls wait already"));
      }
      waiting_.push_back(entry);
      if (is_only_call) ++only_calls_waiting_;
      return absl::OkStatus();
    }
    ticket = Issue(bytes);
  }
  waiter.Admitted(std::move(ticket));
  return absl::OkStatus();
}

bool Admission::Leave(const Waiter& waiter) {
  {
    absl::MutexLock lock(&mutex_);
    const auto found = std::find_if(
        waiting_.begin(), waiting_.end(),
        [&waiter](const Entry& entry) { return entry.waiter == &waiter; });
    if (found == waiting_.end()) return false;
    if (found->is_only_call) --only_calls_waiting_;
    waiting_.erase(found);
  }
  // Whoever stood behind may fit where this one did not.
  AdmitWaiting();
  return true;
}

void Admission::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
  last_refusal_ = absl::Now();
}

bool Admission::AwaitEmpty(absl::Time deadline) const {
  const auto is_empty = [this] {
    mutex_.AssertReaderHeld();
    return IsEmpty();
  };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithDeadline(absl::Condition(&is_empty), deadline);
}

bool Admission::AwaitQuiet(absl::Duration quiet, absl::Time deadline) const {
  while (true) {
    const absl::Time now = absl::Now();
    absl::Time quiet_from;
    {
      absl::MutexLock lock(&mutex_);
      quiet_from = last_refusal_ + quiet;
    }
    if (now >= quiet_from) return true;
    if (now >= deadline) return false;
    absl::SleepFor(std::min(quiet_from, deadline) - now);
  }
}

Ticket Admission::Issue(uint64_t bytes) {
  bytes_in_flight_ += bytes;
  ++tickets_;
  ++admitted_;
  return Ticket(this, bytes);
}

absl::Status Admission::Grow(uint64_t more) {
  absl::MutexLock lock(&mutex_);
  if (!HasRoom(more)) {
    return BusyError(
        "max_bytes_in_flight",
        absl::StrCat(bytes_in_flight_, " bytes in flight leave no room for ",
                     more, " more"));
  }
  bytes_in_flight_ += more;
  return absl::OkStatus();
}

void Admission::GiveBack(uint64_t bytes, bool is_ticket_over) {
  {
    absl::MutexLock lock(&mutex_);
    bytes_in_flight_ -= bytes;
    if (is_ticket_over) --tickets_;
    if (waiting_.empty()) return;
  }
  AdmitWaiting();
}

void Admission::AdmitWaiting() {
  std::vector<std::pair<Waiter*, Ticket>> admitted;
  {
    absl::MutexLock lock(&mutex_);
    // Somebody must wait to whom the quarter is not left.
    bool is_others_turn = false;
    for (auto at = waiting_.begin(); at != waiting_.end();) {
      if (is_others_turn && only_calls_waiting_ == 0) break;
      const Entry entry = *at;
      if ((is_others_turn && !entry.is_only_call) || !HasRoomFor(entry)) {
        if (entry.is_only_call) break;
        is_others_turn = true;
        ++at;
        continue;
      }
      at = waiting_.erase(at);
      if (entry.is_only_call) --only_calls_waiting_;
      admitted.emplace_back(entry.waiter, Issue(entry.bytes));
    }
  }
  for (auto& [waiter, ticket] : admitted) waiter->Admitted(std::move(ticket));
}

uint64_t Admission::bytes_in_flight() const {
  absl::MutexLock lock(&mutex_);
  return bytes_in_flight_;
}

size_t Admission::waiting() const {
  absl::MutexLock lock(&mutex_);
  return waiting_.size();
}

uint64_t Admission::admitted() const {
  absl::MutexLock lock(&mutex_);
  return admitted_;
}

}  // namespace halfstep
