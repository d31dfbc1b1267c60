// The one pool of threads that computes: a bounded queue of calls, and large
// tensors split across all threads.
#ifndef HALFSTEP_CORE_EXECUTOR_H_
#define HALFSTEP_CORE_EXECUTOR_H_

#include <atomic>
#include <cstddef>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/time/time.h"

namespace halfstep {

// Whether work is still wanted. Looked at between blocks. Thread-safe.
class Cancellation {
 public:
  explicit Cancellation(absl::Time deadline = absl::InfiniteFuture())
      : deadline_(deadline) {}

  void Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  // Whether Cancel was called.
  bool is_cancelled() const {
    return cancelled_.load(std::memory_order_relaxed);
  }

  // OK, CANCELLED or DEADLINE_EXCEEDED.
  absl::Status Check() const;

 private:
  std::atomic<bool> cancelled_{false};
  const absl::Time deadline_;
};

// One at a time in a process: the number of oneTBB's threads is the process's.
class Executor {
 public:
  struct Options {
    int threads = 0;           // 0: as many as the machine has
    size_t queued_max = 1024;  // calls waiting in Submit's queue
  };

  explicit Executor(const Options& options);
  // Waits until everything submitted has run.
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  int threads() const;

  // Calls waiting or running.
  size_t pending() const;

  // Runs `work` on a thread of the pool, some time later. False, with `work`
  // dropped, if queued_max calls wait already.
  [[nodiscard]] bool Submit(absl::AnyInvocable<void()> work);

  // Runs body(i) once for each i in [0, count), on several threads if there are
  // at least 2 * `together`, and returns when all have run or `cancellation`
  // says stop: then its status, with some i never run. `together`: how many
  // one thread does in less time than it takes to call another. Other work
  // never runs in between on the waiting thread.
  absl::Status ForEach(size_t count, size_t together,
                       const Cancellation& cancellation,
                       absl::FunctionRef<void(size_t)> body);

 private:
  class Pool;
  std::unique_ptr<Pool> pool_;
};

// Where an operation runs and how it is told to stop.
struct Execution {
  Executor& executor;
  const Cancellation& cancellation;
  // Not on the executor's threads but on the caller's own, all of it.
  bool is_alone = false;

  int threads() const { return is_alone ? 1 : executor.threads(); }

  // As Executor::ForEach; in order of i if it is alone.
  absl::Status ForEach(size_t count, size_t together,
                       absl::FunctionRef<void(size_t)> body) const;
};

}  // namespace halfstep

#endif  // HALFSTEP_CORE_EXECUTOR_H_
