#include "server/telemetry/calls_in_flight.h"

#include <grpc/grpc.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "server/wire/grpc_status.h"

namespace halfstep {
namespace {

// How often the watch looks, at least.
constexpr absl::Duration kLookInterval = absl::Seconds(1);

bool WaitsForClient(CallPhase phase) {
  return phase == CallPhase::kReading || phase == CallPhase::kWriting;
}

absl::Duration Whole(absl::Duration time) {
  return absl::Trunc(time, absl::Milliseconds(1));
}

}  // namespace

absl::string_view ToString(CallPhase phase) {
  switch (phase) {
    case CallPhase::kAdmission:
      return "waiting for admission";
    case CallPhase::kReading:
      return "reading";
    case CallPhase::kQueue:
      return "waiting for a thread";
    case CallPhase::kCompute:
      return "computing";
    case CallPhase::kWriting:
      return "writing";
  }
  return "";
}

CallsInFlight::CallsInFlight(absl::Duration stall_timeout)
    : stall_timeout_(stall_timeout), thread_([this] { Watch(); }) {}

CallsInFlight::~CallsInFlight() {
  stop_.Notify();
  thread_.join();
}

void CallsInFlight::Add(CallInFlight& call) {
  const absl::MutexLock lock(&mutex_);
  call.previous_ = last_;
  (last_ == nullptr ? first_ : last_->next_) = &call;
  last_ = &call;
  ++count_;
}

void CallsInFlight::Remove(CallInFlight& call) {
  const absl::MutexLock lock(&mutex_);
  (call.previous_ == nullptr ? first_ : call.previous_->next_) = call.next_;
  (call.next_ == nullptr ? last_ : call.next_->previous_) = call.previous_;
  --count_;
}

size_t CallsInFlight::count() const {
  const absl::MutexLock lock(&mutex_);
  return count_;
}

std::array<size_t, kCallPhaseCount> CallsInFlight::counts() const {
  std::array<size_t, kCallPhaseCount> counts = {};
  const absl::MutexLock lock(&mutex_);
  for (const CallInFlight* call = first_; call != nullptr; call = call->next_) {
    ++counts[static_cast<size_t>(call->phase_.load(std::memory_order_relaxed))];
  }
  return counts;
}

std::string CallsInFlight::Describe(size_t calls_max) const {
  const absl::Time now = absl::Now();
  std::string text;
  size_t described = 0;
  const absl::MutexLock lock(&mutex_);
  for (const CallInFlight* call = first_;
       call != nullptr && described < calls_max;
       call = call->next_, ++described) {
    const CallPhase phase = call->phase_.load(std::memory_order_acquire);
    const absl::Time since = absl::FromUnixNanos(
        call->since_nanoseconds_.load(std::memory_order_relaxed));
    absl::StrAppend(&text, text.empty() ? "" : ", ", call->method_, " for ",
                    absl::FormatDuration(Whole(now - call->arrived_)), " (",
                    ToString(phase), " for ",
                    absl::FormatDuration(Whole(now - since)), ")");
  }
  if (count_ > described) {
    absl::StrAppend(&text, " and ", count_ - described, " more");
  }
  return text;
}

void CallsInFlight::Watch() {
  if (stall_timeout_ == absl::InfiniteDuration()) return;
  const absl::Duration interval = std::min(kLookInterval, stall_timeout_ / 4);
  while (!stop_.WaitForNotificationWithTimeout(interval)) EndStalled();
}

void CallsInFlight::EndStalled() {
  const int64_t limit = absl::ToUnixNanos(absl::Now() - stall_timeout_);
  std::vector<grpc_call*> stalled;
  {
    const absl::MutexLock lock(&mutex_);
    for (CallInFlight* call = first_; call != nullptr; call = call->next_) {
      if (!WaitsForClient(call->phase_.load(std::memory_order_acquire)) ||
          call->since_nanoseconds_.load(std::memory_order_relaxed) > limit ||
          call->is_stalled_.exchange(true)) {
        continue;
      }
      // Kept alive beyond the lock: it may end meanwhile.
      grpc_call_ref(call->call_);
      stalled.push_back(call->call_);
    }
  }
  const absl::Status status = StalledError(stall_timeout_);
  for (grpc_call* call : stalled) {
    grpc_call_cancel_with_status(
        call, static_cast<grpc_status_code>(status.code()),
        std::string(status.message()).c_str(), nullptr);
    grpc_call_unref(call);
  }
}

}  // namespace halfstep
