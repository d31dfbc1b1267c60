// One pool: bounded, draining, splitting, stopping.
#include "core/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"

namespace halfstep {
namespace {

TEST(Executor, RunsEachIndexOnce) {
  for (const int threads : {1, 2, 16}) {
    Executor executor({.threads = threads});
    EXPECT_EQ(executor.threads(), threads);
    const Cancellation never;
    std::vector<std::atomic<int>> seen(1000);
    EXPECT_TRUE(
        executor.ForEach(seen.size(), 1, never, [&](size_t i) { ++seen[i]; })
            .ok());
    for (const auto& count : seen) EXPECT_EQ(count, 1);
  }
}

// The threads that ran any of `count` indices. Each waits until there are
// `wanted`, or for ten seconds in vain.
std::set<std::thread::id> ThreadsOf(const Execution& execution, size_t count,
                                    size_t together, size_t wanted) {
  absl::Mutex mutex;
  std::set<std::thread::id> threads;
  const auto are_there = [&] { return threads.size() >= wanted; };
  const absl::Status status = execution.ForEach(count, together, [&](size_t) {
    const absl::MutexLock lock(&mutex);
    threads.insert(std::this_thread::get_id());
    mutex.AwaitWithTimeout(absl::Condition(&are_there), absl::Seconds(10));
  });
  EXPECT_TRUE(status.ok()) << status;
  return threads;
}

TEST(Execution, StaysWhereItIsIfThatIsSooner) {
  Executor executor({.threads = 4});
  const Cancellation never;
  const std::set<std::thread::id> here = {std::this_thread::get_id()};
  EXPECT_EQ(ThreadsOf({executor, never}, 15, 8, 1), here);
  EXPECT_EQ(ThreadsOf({executor, never, /*is_alone=*/true}, 1000, 1, 1), here);
  EXPECT_GE(ThreadsOf({executor, never}, 16, 8, 2).size(), 2u);
  EXPECT_TRUE(ThreadsOf({executor, never}, 0, 8, 1).empty());
}

TEST(Execution, StopsWhereItIs) {
  Executor executor({.threads = 2});
  Cancellation cancellation;
  size_t ran = 0;
  const Execution alone{executor, cancellation, /*is_alone=*/true};
  const absl::Status status = alone.ForEach(100, 1, [&](size_t i) {
    EXPECT_EQ(i, ran);
    if (++ran == 10) cancellation.Cancel();
  });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(ran, 10u);
  EXPECT_EQ(alone.threads(), 1);
}

TEST(Executor, RefusesWhatItCannotQueue) {
  Executor executor({.threads = 1, .queued_max = 2});
  absl::Notification release;
  std::atomic<int> ran{0};
  // One that runs and two that wait.
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(executor.Submit([&] {
      release.WaitForNotification();
      ++ran;
    }));
  }
  EXPECT_EQ(executor.pending(), 3u);
  auto held = std::make_shared<int>(1);
  EXPECT_FALSE(executor.Submit([held] {}));
  EXPECT_EQ(held.use_count(), 1) << "refused work must be dropped";
  release.Notify();
  while (executor.pending() != 0) absl::SleepFor(absl::Milliseconds(1));
  EXPECT_EQ(ran, 3);
  EXPECT_TRUE(executor.Submit([] {}));
}

TEST(Executor, DrainsBeforeItGoes) {
  std::atomic<int> ran{0};
  {
    Executor executor({.threads = 2});
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(executor.Submit([&] {
        absl::SleepFor(absl::Microseconds(100));
        ++ran;
      }));
    }
  }
  EXPECT_EQ(ran, 100);
}

TEST(Executor, SubmittedWorkSplitsFurther) {
  Executor executor({.threads = 2});
  std::atomic<size_t> sum{0};
  absl::Notification done;
  ASSERT_TRUE(executor.Submit([&] {
    const Cancellation never;
    EXPECT_TRUE(
        executor.ForEach(100, 1, never, [&](size_t i) { sum += i; }).ok());
    done.Notify();
  }));
  done.WaitForNotification();
  EXPECT_EQ(sum, 4950u);
}

TEST(Executor, StopsBetweenBlocks) {
  Executor executor({.threads = 2});
  Cancellation cancellation;
  std::atomic<int> ran{0};
  const absl::Status status =
      executor.ForEach(1000000, 1, cancellation, [&](size_t) {
        if (++ran == 10) cancellation.Cancel();
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
  EXPECT_LT(ran, 1000000);
}

TEST(Executor, StopsAtTheDeadline) {
  Executor executor({.threads = 2});
  const Cancellation passed(absl::Now() - absl::Seconds(1));
  bool ran = false;
  EXPECT_EQ(executor.ForEach(1, 1, passed, [&](size_t) { ran = true; }).code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace halfstep
