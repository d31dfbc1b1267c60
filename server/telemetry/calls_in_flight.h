// The calls that are being served, and an end to those whose client stalls.
//
// A client that sends its message a byte at a time, or never reads its reply,
// holds a ticket for as long as it likes. So a call that waits for its client,
// with nothing coming or going for a while, is ended.
#ifndef HALFSTEP_SERVER_TELEMETRY_CALLS_IN_FLIGHT_H_
#define HALFSTEP_SERVER_TELEMETRY_CALLS_IN_FLIGHT_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

struct grpc_call;

namespace halfstep {

// What a call waits for.
enum class CallPhase : uint8_t {
  kAdmission,  // its turn to be read
  kReading,    // the client's message
  kQueue,      // a thread
  kCompute,    // its results
  kWriting,    // the client to take its reply
};
inline constexpr size_t kCallPhaseCount = 5;

absl::string_view ToString(CallPhase phase);

// One call, from when it is added to when it is removed.
class CallInFlight {
 public:
  // `method`   must outlive this object, as `call` does.
  // `arrived`  now.
  CallInFlight(absl::string_view method, grpc_call* call, absl::Time arrived)
      : method_(method), call_(call), arrived_(arrived) {}
  CallInFlight(const CallInFlight&) = delete;
  CallInFlight& operator=(const CallInFlight&) = delete;

  // Each call of this counts as progress. Thread-safe.
  void SetPhase(CallPhase phase, absl::Time now) {
    since_nanoseconds_.store(absl::ToUnixNanos(now), std::memory_order_relaxed);
    phase_.store(phase, std::memory_order_release);
  }

  absl::Time arrived() const { return arrived_; }

  // Whether it was ended for lack of progress. Thread-safe.
  bool is_stalled() const { return is_stalled_.load(); }

 private:
  friend class CallsInFlight;

  const absl::string_view method_;
  grpc_call* const call_;
  const absl::Time arrived_;
  // Written before the phase, read after it: never older than the phase.
  std::atomic<int64_t> since_nanoseconds_{absl::ToUnixNanos(arrived_)};
  std::atomic<CallPhase> phase_{CallPhase::kAdmission};
  std::atomic<bool> is_stalled_{false};
  CallInFlight* previous_ = nullptr;
  CallInFlight* next_ = nullptr;
};

// Thread-safe.
class CallsInFlight {
 public:
  // `stall_timeout`: how long a client may take to send a message that its call
  // waits for, or to take one; infinite means for ever.
  explicit CallsInFlight(absl::Duration stall_timeout);
  ~CallsInFlight();
  CallsInFlight(const CallsInFlight&) = delete;
  CallsInFlight& operator=(const CallsInFlight&) = delete;

  void Add(CallInFlight& call);
  // `call` is not touched any more once this returns.
  void Remove(CallInFlight& call);

  size_t count() const;
  // By CallPhase.
  std::array<size_t, kCallPhaseCount> counts() const;

  // The oldest calls, at most `calls_max`, for people:
  // "QuantizationService/Quantize for 12.3s (writing for 11s), ...".
  std::string Describe(size_t calls_max) const;

 private:
  void Watch();
  void EndStalled();

  const absl::Duration stall_timeout_;
  mutable absl::Mutex mutex_;
  // In order of arrival.
  CallInFlight* first_ ABSL_GUARDED_BY(mutex_) = nullptr;
  CallInFlight* last_ ABSL_GUARDED_BY(mutex_) = nullptr;
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Notification stop_;
  std::thread thread_;
};

}  // namespace halfstep

#endif  // HALFSTEP_SERVER_TELEMETRY_CALLS_IN_FLIGHT_H_
