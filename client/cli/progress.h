// How far a long command is, on a terminal; silent anywhere else.
#ifndef HALFSTEP_CLIENT_CLI_PROGRESS_H_
#define HALFSTEP_CLIENT_CLI_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace halfstep::cli {

// Whether standard error is a terminal that can erase a line. We use no colour
// anywhere, whatever NO_COLOR says.
bool CanErase();

// Thread-safe.
class Progress {
 public:
  // `what` is being done to `total_bytes`.
  Progress(std::string what, uint64_t total_bytes);
  // Removes the line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // So many bytes more are done. Shows share, rate and time left on standard
  // error, a few times a second.
  void Add(uint64_t bytes);

 private:
  const bool is_shown_;
  const std::string what_;
  const uint64_t total_bytes_;
  const absl::Time begin_;
  absl::Mutex mutex_;
  uint64_t done_bytes_ = 0;
  absl::Time shown_;
};

}  // namespace halfstep::cli

#endif  // HALFSTEP_CLIENT_CLI_PROGRESS_H_
