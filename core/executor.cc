#include "core/executor.h"

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"

namespace halfstep {

absl::Status Cancellation::Check() const {
  if (is_cancelled()) {
    return absl::CancelledError("the caller has cancelled the call");
  }
  if (deadline_ != absl::InfiniteFuture() && absl::Now() >= deadline_) {
    return absl::DeadlineExceededError("the deadline of the call has passed");
  }
  return absl::OkStatus();
}

namespace {

// oneTBB orders what is done before and after its tasks, too, but out of sight
// of ThreadSanitizer. Hence this and Split's `ranges`, which nothing depends
// on.
std::atomic<size_t> submitted{0};

absl::Status ForEachHere(size_t count, const Cancellation& cancellation,
                         absl::FunctionRef<void(size_t)> body) {
  for (size_t i = 0; i < count; ++i) {
    if (absl::Status wanted = cancellation.Check(); !wanted.ok()) return wanted;
    body(i);
  }
  return absl::OkStatus();
}

}  // namespace

class Executor::Pool {
 public:
  explicit Pool(const Options& options)
      : threads_(options.threads > 0
                     ? options.threads
                     : static_cast<int>(
                           std::max(1u, std::thread::hardware_concurrency()))),
        queued_max_(options.queued_max),
        // oneTBB gives out one worker less than the machine has cores unless
        // told otherwise; our callers never compute themselves.
        limit_(tbb::global_control::max_allowed_parallelism,
               static_cast<size_t>(threads_) + 1),
        arena_(threads_, /*reserved_for_masters=*/0) {}

  ~Pool() {
    const absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](size_t* pending) { return *pending == 0; }, &pending_));
  }

  int threads() const { return threads_; }

  size_t pending() const {
    const absl::MutexLock lock(&mutex_);
    return pending_;
  }

  bool Submit(absl::AnyInvocable<void()> work) {
    {
      const absl::MutexLock lock(&mutex_);
      if (pending_ >= queued_max_ + static_cast<size_t>(threads_)) return false;
      ++pending_;
    }
    // A tbb task must be copyable, which AnyInvocable is not. Each task runs.
    auto* const queued = new absl::AnyInvocable<void()>(std::move(work));
    submitted.fetch_add(1, std::memory_order_release);
    arena_.enqueue([this, queued] {
      submitted.load(std::memory_order_acquire);
      (*queued)();
      delete queued;  // what it holds goes before the executor may
      const absl::MutexLock lock(&mutex_);
      --pending_;
    });
    return true;
  }

  template <typename F>
  void Split(size_t count, const F& body) {
    // Ranges that have run; in order with what was before and comes after.
    std::atomic<size_t> ranges;
    ranges.store(0, std::memory_order_release);
    arena_.execute([&] {
      // Isolated: while this thread waits for the others it takes no other
      // call's work, which could hold it for long.
      tbb::this_task_arena::isolate([&] {
        tbb::parallel_for(tbb::blocked_range<size_t>(0, count),
                          [&](const tbb::blocked_range<size_t>& range) {
                            ranges.load(std::memory_order_acquire);
                            for (size_t i = range.begin(); i < range.end();
                                 ++i) {
                              body(i);
                            }
                            ranges.fetch_add(1, std::memory_order_release);
                          });
      });
    });
    ranges.load(std::memory_order_acquire);
  }

 private:
  const int threads_;
  const size_t queued_max_;
  mutable absl::Mutex mutex_;
  size_t pending_ ABSL_GUARDED_BY(mutex_) = 0;
  tbb::global_control limit_;
  tbb::task_arena arena_;
};

Executor::Executor(const Options& options)
    : pool_(std::make_unique<Pool>(options)) {}

Executor::~Executor() = default;

int Executor::threads() const { return pool_->threads(); }

size_t Executor::pending() const { return pool_->pending(); }

bool Executor::Submit(absl::AnyInvocable<void()> work) {
  return pool_->Submit(std::move(work));
}

absl::Status Executor::ForEach(size_t count, size_t together,
                               const Cancellation& cancellation,
                               absl::FunctionRef<void(size_t)> body) {
  if (count < 2 * together || threads() == 1) {
    return ForEachHere(count, cancellation, body);
  }
  std::atomic<bool> stopped{false};
  pool_->Split(count, [&](size_t i) {
    if (stopped.load(std::memory_order_relaxed)) return;
    if (!cancellation.Check().ok()) {
      stopped.store(true, std::memory_order_relaxed);
      return;
    }
    body(i);
  });
  // A deadline that passes after the last block changes nothing.
  return stopped ? cancellation.Check() : absl::OkStatus();
}

absl::Status Execution::ForEach(size_t count, size_t together,
                                absl::FunctionRef<void(size_t)> body) const {
  return is_alone ? ForEachHere(count, cancellation, body)
                  : executor.ForEach(count, together, cancellation, body);
}

}  // namespace halfstep
