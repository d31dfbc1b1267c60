// What one thread has measured. Threads have one each, so that none waits for
// another; a snapshot may be taken at any time.
#ifndef HALFSTEP_CLIENT_LOAD_RECORDER_H_
#define HALFSTEP_CLIENT_LOAD_RECORDER_H_

#include <atomic>
#include <cstdint>

#include "absl/synchronization/mutex.h"
#include "client/load/step.h"

namespace halfstep::load {

// A call that has ended.
struct Ended {
  int64_t due_ns;
  int64_t ended_ns;
  absl::StatusCode code;
  const std::string* message;  // of the status
  uint64_t request_bytes;
  uint64_t reply_bytes;
};

// When to measure, in ns of the monotonic clock. The end moves forward when a
// step is stopped.
struct Window {
  int64_t begin_ns = 0;
  std::atomic<int64_t> end_ns{0};
};

// Thread-safe.
class Recorder {
 public:
  explicit Recorder(const Window& window) : window_(window) {}

  void Record(const Ended& call);
  // A call that was still open when the step was stopped.
  void RecordUnfinished(int64_t due_ns);
  void RecordVerified();

  // Adds everything measured so far to `result`.
  void AddTo(StepResult& result) const;

 private:
  const Window& window_;
  mutable absl::Mutex mutex_;
  StepResult measured_;
};

}  // namespace halfstep::load

#endif  // HALFSTEP_CLIENT_LOAD_RECORDER_H_
