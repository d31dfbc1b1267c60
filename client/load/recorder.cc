#include "client/load/recorder.h"

namespace halfstep::load {

void Recorder::Record(const Ended& call) {
  const absl::MutexLock lock(&mutex_);
  const int64_t end_ns = window_.end_ns.load(std::memory_order_relaxed);
  const bool ok = call.code == absl::StatusCode::kOk;
  if (ok && call.ended_ns >= window_.begin_ns && call.ended_ns < end_ns) {
    ++measured_.answered;
    measured_.request_bytes += call.request_bytes;
    measured_.reply_bytes += call.reply_bytes;
  }
  if (call.due_ns < window_.begin_ns) return;
  ++measured_.calls;
  // A call that ran out of time would have taken at least this long: leaving it
  // out would make a stalled server look fast.
  if (ok || call.code == absl::StatusCode::kDeadlineExceeded) {
    measured_.latency.Record(call.ended_ns - call.due_ns);
  }
  if (ok) {
    ++measured_.ok;
    return;
  }
  Failures& failures = measured_.failures[call.code];
  if (failures.count++ == 0) failures.first_message = *call.message;
}

void Recorder::RecordUnfinished(int64_t due_ns) {
  const absl::MutexLock lock(&mutex_);
  if (due_ns >= window_.begin_ns) ++measured_.unfinished;
}

void Recorder::RecordVerified() {
  const absl::MutexLock lock(&mutex_);
  ++measured_.verified;
}

void Recorder::AddTo(StepResult& result) const {
  const absl::MutexLock lock(&mutex_);
  result.latency.Merge(measured_.latency);
  result.calls += measured_.calls;
  result.ok += measured_.ok;
  result.unfinished += measured_.unfinished;
  result.answered += measured_.answered;
  result.request_bytes += measured_.request_bytes;
  result.reply_bytes += measured_.reply_bytes;
  result.verified += measured_.verified;
  for (const auto& [code, failures] : measured_.failures) {
    Failures& sum = result.failures[code];
    if (sum.count == 0) sum.first_message = failures.first_message;
    sum.count += failures.count;
  }
}

}  // namespace halfstep::load
