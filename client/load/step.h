// One step of a load run: what it is to do, and what came of it.
#ifndef HALFSTEP_CLIENT_LOAD_STEP_H_
#define HALFSTEP_CLIENT_LOAD_STEP_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/load/arrivals.h"
#include "client/load/histogram.h"

namespace halfstep::load {

// An argument of gRPC's channels: {"grpc.http2.max_frame_size", 16384}.
using ChannelSetting = std::pair<std::string, int>;

struct StepOptions {
  // Open loop: calls per second. 0: a closed loop.
  double rate = 0;
  ArrivalKind arrivals = ArrivalKind::kConstant;
  // Closed loop: calls in flight at any time.
  int concurrency = 1;
  // Open loop: calls in flight at most. A call that must wait for another to
  // end is sent late; its latency counts from when it was due.
  int outstanding_max = 10'000;
  // Measured, after `warmup`.
  absl::Duration duration = absl::Seconds(10);
  absl::Duration warmup = absl::Seconds(1);
  // Of one call, from when it is sent.
  absl::Duration timeout = absl::Seconds(60);
  // Threads that take up replies, at most one per channel.
  int threads = 1;
  // Share of the answers that are checked, in [0, 1].
  double verify_fraction = 0;
  uint64_t seed = 1;
};

// A call that is due this long before it is sent counts as late.
inline constexpr absl::Duration kLate = absl::Milliseconds(1);

struct Failures {
  uint64_t count = 0;
  std::string first_message;
};

// Why a step ended before its time.
enum class Stop : uint8_t {
  kNot,
  kInterrupted,  // the caller said so
  kServerGone,   // nothing but UNAVAILABLE for a second or longer
  kWrongAnswer,
};

struct StepResult {
  StepOptions options;
  Stop stop = Stop::kNot;
  // What a wrong answer was, or what the server that went away said last.
  absl::Status stop_reason;

  // The measured calls: those due after the warm-up. A call counts with its
  // latency if it was answered, or ran out of time.
  LatencyHistogram latency;
  uint64_t calls = 0;
  uint64_t ok = 0;
  std::map<absl::StatusCode, Failures> failures;
  // Neither answered nor failed when the step was stopped.
  uint64_t unfinished = 0;

  // Answered within the measured time, whenever they were due.
  double seconds = 0;
  uint64_t answered = 0;
  uint64_t request_bytes = 0;
  uint64_t reply_bytes = 0;

  // Open loop: calls sent more than kLate after they were due, and the worst.
  uint64_t late = 0;
  int64_t latest_ns = 0;

  // All calls, the warm-up's too.
  uint64_t verified = 0;

  // Processor time per second of this process, in cores; and of the busiest
  // thread that sends calls or takes up replies.
  double cpu_cores = 0;
  double busiest_thread = 0;

  bool partial() const { return stop != Stop::kNot; }
  double calls_per_second() const { return PerSecond(answered); }
  double PerSecond(uint64_t amount) const {
    return seconds > 0 ? static_cast<double>(amount) / seconds : 0;
  }
};

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_STEP_H_
